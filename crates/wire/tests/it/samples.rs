//! The values behind the golden files of monitors and the chain: every record and every variant.

use lastword_types::{
    AmountMsat, BlockHeight, BookEpoch, BookMark, Card, ChainDelta, ChainTip, ChannelId, Close,
    CommitmentFormat, FulfilledHow, Funding, FundingKind, FundingSpend, Generation, HtlcAdded,
    HtlcClaim, HtlcDirection, HtlcFailure, HtlcId, HtlcKey, HtlcOrigin, HtlcRemoved, HtlcState,
    LocalCommitment, LocalCommitmentOn, MempoolEvidence, Metadata, MonitorRecord, MonitorState,
    MonitorUpdate, NewFunding, Outcome, OutputSpend, OutputSpendKind, PastHtlc, PaymentHash,
    PaymentHash160, PaymentId, PaymentPreimage, PerCommitmentSecret, PreimageSource,
    ReleasePaymentComplete, RemoteCommitment, RemoteCommitmentOn, RemovalReason, SecretIndex, Side,
    SignedCommitment, Spell, Told, Tombstone, UnsignedCommitment, UpdateId, UpdateStep,
};

use crate::build::{
    block, forward, htlc, key, local_commitment, new_channel, number, outpoint, paid_by,
    parameters, point, remote_commitment, signature, signed, transaction, txid, unsigned,
};
use crate::{book, terms};
use lastword_wire::AnyRecord as Any;

/// Every golden value with the name of its file.
pub(crate) fn all() -> Vec<(&'static str, Any)> {
    let mut all = Vec::new();
    all.extend(monitor_records());
    all.extend(updates());
    all.extend(monitor_states());
    all.extend(cards());
    all.extend(book::payment_records());
    all.extend(book::book_states());
    all.extend(book::events());
    all.extend(terms::all());
    all
}

fn monitor_records() -> Vec<(&'static str, Any)> {
    use CommitmentFormat::{AnchorsZeroFeeHtlc, StaticRemoteKey, ZeroFee};
    let release = |told| {
        let htlc = key(HtlcDirection::Offered, 3);
        MonitorRecord::Release(ReleasePaymentComplete { htlc, told })
    };
    let claim = |htlc_ids: &[u64], source| {
        let htlc_ids = htlc_ids.iter().copied().map(HtlcId).collect();
        let preimage = PaymentPreimage([0xC2; 32]);
        MonitorRecord::Claim(HtlcClaim {
            channel_id: ChannelId([0xC1; 32]),
            htlc_ids,
            preimage,
            source,
        })
    };
    let told = |outcome| Told::Payment { generation: Generation([0x6E; 16]), outcome };
    let connected = |transactions| {
        MonitorRecord::Chain(ChainDelta::Connected { block: block(800_001), transactions })
    };
    let created = |format, opener| MonitorRecord::Created(Box::new(new_channel(format, opener)));
    [
        ("monitor_created_static_remote_key", created(StaticRemoteKey, Side::Local)),
        ("monitor_created_anchors", created(AnchorsZeroFeeHtlc, Side::Remote)),
        ("monitor_created_zero_fee", created(ZeroFee, Side::Local)),
        ("monitor_release_sent", release(told(book::sent()))),
        (
            "monitor_release_failed",
            release(told(Outcome::Failed { reason: HtlcFailure::TimedOut })),
        ),
        ("monitor_release_forward", release(Told::Forward)),
        ("monitor_connected_empty", connected(Vec::new())),
        ("monitor_connected", connected(vec![transaction(true), transaction(false)])),
        (
            "monitor_disconnected",
            MonitorRecord::Chain(ChainDelta::Disconnected { fork: block(799_999) }),
        ),
        (
            "monitor_mempool",
            MonitorRecord::Mempool(MempoolEvidence {
                htlc: key(HtlcDirection::Offered, 7),
                preimage: PaymentPreimage([0x5A; 32]),
                txid: txid(0xAB),
            }),
        ),
        ("monitor_prune_tombstones", MonitorRecord::PruneTombstones { behind: BookEpoch(300) }),
        ("monitor_archive", MonitorRecord::Archive),
        (
            "monitor_inbound_on_chain",
            MonitorRecord::InboundOnChain { htlc: key(HtlcDirection::Offered, 1) },
        ),
        ("monitor_release_claimed", release(Told::Claimed)),
        ("monitor_claim_invoice", claim(&[2, 300], invoice())),
        ("monitor_claim_downstream", claim(&[1], downstream())),
        (
            "monitor_told_unknown",
            MonitorRecord::ToldUnknown {
                payment_id: PaymentId([0x1D; 32]),
                generation: Generation([0x6E; 16]),
            },
        ),
    ]
    .map(|(name, record)| (name, Any::Monitor(record)))
    .into()
}

fn updates() -> Vec<(&'static str, Any)> {
    let update = |update_id, steps| {
        let channel_id = ChannelId([0xC1; 32]);
        Any::Monitor(MonitorRecord::Update(MonitorUpdate {
            channel_id,
            update_id: UpdateId(update_id),
            steps,
        }))
    };
    let preimage = PaymentPreimage([0x99; 32]);
    let secret = PerCommitmentSecret([0x5E; 32]);
    vec![
        ("monitor_update_empty", update(1, vec![])),
        ("monitor_update_local", update(2, vec![UpdateStep::LocalCommitment(busy_local())])),
        ("monitor_update_remote", update(3, vec![UpdateStep::RemoteCommitment(busy_remote())])),
        (
            "monitor_update_revocation",
            update(250, vec![UpdateStep::RemoteRevocation { number: number(41), secret }]),
        ),
        (
            "monitor_update_fulfill",
            update(251, vec![UpdateStep::Fulfill { htlc_id: HtlcId(3), preimage }]),
        ),
        ("monitor_update_preimage", update(65_536, vec![UpdateStep::Preimage { preimage }])),
        (
            "monitor_update_mutual_close",
            update(1 << 32, vec![UpdateStep::MutualClose { txid: txid(0xCC) }]),
        ),
        ("monitor_update_fail_channel", update(u64::MAX, vec![UpdateStep::FailChannel])),
        ("monitor_update_data_loss", update(10, vec![UpdateStep::DataLoss])),
        ("monitor_update_both", update(9, both_commitments(10))),
        (
            "monitor_update_new_funding",
            update(11, vec![UpdateStep::NewFunding(Box::new(new_funding()))]),
        ),
        (
            "monitor_update_funding_locked",
            update(12, vec![UpdateStep::FundingLocked { funding_txid: txid(0xF3) }]),
        ),
        ("monitor_update_batch", update(13, batch())),
        (
            "monitor_update_claim_htlc",
            update(
                14,
                vec![UpdateStep::ClaimHtlc {
                    htlc_id: HtlcId(2),
                    preimage: PaymentPreimage([0xC1; 32]),
                }],
            ),
        ),
    ]
}

/// A splice with two HTLCs in it.
fn new_funding() -> NewFunding {
    let funding = funding(FundingKind::Splice, 42);
    NewFunding {
        funding_outpoint: funding.funding_outpoint,
        funding_amount: funding.funding_amount,
        local_funding_pubkey: funding.local_funding_pubkey,
        remote_funding_pubkey: funding.remote_funding_pubkey,
        kind: funding.kind,
        local: local_on(&funding.local),
        remote: remote_on(&funding.remote),
    }
}

/// Both commitments once more, on a funding that is not locked.
fn batch() -> Vec<UpdateStep> {
    let (funding_txid, local, remote) = (txid(0xF3), signed(43, 2), unsigned(44));
    vec![
        UpdateStep::LocalCommitmentOn { funding_txid, commitment: local_on(&local) },
        UpdateStep::RemoteCommitmentOn { funding_txid, commitment: remote_on(&remote) },
    ]
}

fn local_on(signed: &SignedCommitment) -> LocalCommitmentOn {
    LocalCommitmentOn {
        number: signed.commitment.number,
        to_local_msat: signed.commitment.to_local_msat,
        to_remote_msat: signed.commitment.to_remote_msat,
        signature: signed.signature,
        htlc_signatures: signed.htlc_signatures.clone(),
    }
}

fn remote_on(commitment: &UnsignedCommitment) -> RemoteCommitmentOn {
    RemoteCommitmentOn {
        number: commitment.number,
        to_local_msat: commitment.to_local_msat,
        to_remote_msat: commitment.to_remote_msat,
    }
}

fn funding(kind: FundingKind, n: u64) -> Funding {
    Funding {
        funding_outpoint: outpoint(0xF3, 2),
        funding_amount: bitcoin::Amount::from_sat(1_250_000),
        local_funding_pubkey: point(0x51),
        remote_funding_pubkey: point(0x52),
        kind,
        is_retired: false,
        local: signed(n, 2),
        local_previous: None,
        remote: unsigned(n),
        remote_previous: None,
        confirmed: None,
    }
}

/// One update of both commitments with `pending` HTLCs, one of them new.
pub(crate) fn both_commitments(pending: u8) -> Vec<UpdateStep> {
    let new = htlc(HtlcDirection::Offered, 300, paid_by(Metadata::Here(Vec::new())));
    let (direction, htlc_id) = (new.direction, new.htlc_id);
    vec![
        UpdateStep::RemoteCommitment(RemoteCommitment {
            added: vec![HtlcAdded::New(new)],
            ..remote_commitment(1000)
        }),
        UpdateStep::LocalCommitment(LocalCommitment {
            added: vec![HtlcAdded::Known { direction, htlc_id }],
            htlc_signatures: (0..pending).map(signature_of).collect(),
            ..local_commitment(1000)
        }),
    ]
}

fn signature_of(n: u8) -> bitcoin::secp256k1::ecdsa::Signature {
    signature(0x10 + n % 0x40)
}

fn busy_local() -> LocalCommitment {
    use HtlcDirection::{Offered, Received};
    let forwarded = HtlcOrigin::Forwarded { outbound: key(Offered, 1) };
    LocalCommitment {
        added: vec![
            HtlcAdded::New(htlc(Offered, 3, paid_by(Metadata::Here(b"order 66".to_vec())))),
            HtlcAdded::New(htlc(Offered, 4, paid_by(Metadata::Hash([0x4A; 32])))),
            HtlcAdded::New(htlc(Offered, 5, forward())),
            HtlcAdded::New(htlc(Received, 3, HtlcOrigin::Ours)),
            HtlcAdded::New(htlc(Received, 4, forwarded)),
            HtlcAdded::Known { direction: Received, htlc_id: HtlcId(2) },
        ],
        removed: removed(),
        htlc_signatures: (0..6).map(signature_of).collect(),
        ..local_commitment(42)
    }
}

fn busy_remote() -> RemoteCommitment {
    use HtlcDirection::{Offered, Received};
    RemoteCommitment {
        added: vec![
            HtlcAdded::Known { direction: Offered, htlc_id: HtlcId(3) },
            HtlcAdded::New(htlc(Received, 5, HtlcOrigin::Ours)),
        ],
        removed: removed(),
        ..remote_commitment(43)
    }
}

fn removed() -> Vec<HtlcRemoved> {
    let preimage = PaymentPreimage([0x99; 32]);
    vec![
        HtlcRemoved {
            direction: HtlcDirection::Offered,
            htlc_id: HtlcId(1),
            reason: RemovalReason::Fulfilled { preimage },
        },
        HtlcRemoved {
            direction: HtlcDirection::Received,
            htlc_id: HtlcId(0),
            reason: RemovalReason::Failed { code: 0x1007 },
        },
    ]
}

fn monitor_states() -> Vec<(&'static str, Any)> {
    let closed = |close| {
        let spend = FundingSpend { transaction: transaction(true), block: block(800_002), close };
        MonitorState { funding_spend: Some(spend), ..quiet_state() }
    };
    vec![
        ("monitor_state_quiet", quiet_state()),
        ("monitor_state_busy", busy_state()),
        ("monitor_state_mutual", closed(Close::Mutual)),
        ("monitor_state_local", closed(Close::LocalUnilateral { number: number(42) })),
        ("monitor_state_remote", closed(Close::RemoteUnilateral { number: number(43) })),
        ("monitor_state_revoked", closed(Close::Revoked { number: number(7) })),
        ("monitor_state_unknown", closed(Close::Unknown)),
        ("monitor_state_penalty", penalty_state()),
        ("monitor_state_splice", splice_state()),
        ("monitor_state_replacement", replacement_state()),
        (
            "monitor_state_future",
            MonitorState { data_loss: true, ..closed(Close::Future { number: number(1 << 20) }) },
        ),
        ("monitor_state_forgotten", forgotten_state()),
        ("monitor_state_mempool", mempool_state()),
        ("monitor_state_claims", claims_state()),
        ("monitor_state_inbound_on_chain", inbound_on_chain_state()),
        ("monitor_state_sources", sources_state()),
        (
            "monitor_state_told_unknown",
            MonitorState {
                told_unknown: [
                    (PaymentId([0x1D; 32]), Generation([0x6E; 16])),
                    (PaymentId([0x1D; 32]), Generation([0x6F; 16])),
                ]
                .into(),
                ..quiet_state()
            },
        ),
        ("monitor_state_archived", MonitorState { is_archived: true, ..closed(Close::Mutual) }),
    ]
    .into_iter()
    .map(|(name, state)| (name, Any::MonitorState(Box::new(state))))
    .collect()
}

/// A received HTLC that is claimed by itself.
fn claims_state() -> MonitorState {
    let mut state = busy_state();
    for htlc in state.htlcs.values_mut().filter(|htlc| htlc.removal.is_none()) {
        let is_received = htlc.htlc.direction == HtlcDirection::Received;
        htlc.claim = is_received.then_some(PaymentPreimage([0xC2; 32]));
    }
    state
}

fn invoice() -> PreimageSource {
    let part = |channel, htlc_id| HtlcKey {
        channel_id: ChannelId([channel; 32]),
        ..key(HtlcDirection::Received, htlc_id)
    };
    PreimageSource::Invoice {
        parts: [part(0xC1, 2), part(0xC1, 300), part(0xC7, 1 << 32)].into(),
        amount_msat: AmountMsat(123_456_789),
    }
}

fn downstream() -> PreimageSource {
    PreimageSource::Downstream { outbound: key(HtlcDirection::Offered, 1) }
}

/// A part of a payment that was claimed and told of, and the inbound half of a forward.
fn sources_state() -> MonitorState {
    let mut state = claims_state();
    for htlc in state.htlcs.values_mut().filter(|it| it.htlc.direction == HtlcDirection::Received) {
        let is_ours = htlc.htlc.origin == HtlcOrigin::Ours;
        htlc.claim = Some(PaymentPreimage([0xC2; 32]));
        htlc.source = Some(if is_ours { invoice() } else { downstream() });
        htlc.delivered = is_ours.then_some(Told::Claimed);
    }
    state
}

/// A forward whose inbound half is on chain, and another that nothing is known of.
fn inbound_on_chain_state() -> MonitorState {
    let direction = HtlcDirection::Offered;
    let state = |htlc_id, is_inbound_on_chain| HtlcState {
        htlc: htlc(direction, htlc_id, forward()),
        local: None,
        remote: Some(Spell { from: number(40), until: None }),
        removal: None,
        fulfilled: None,
        failed: None,
        late_preimage: None,
        delivered: None,
        is_given_up: false,
        claim: None,
        is_inbound_on_chain,
        source: None,
    };
    let htlcs = [state(1, true), state(4, false)].map(|it| ((direction, it.htlc.htlc_id), it));
    MonitorState { htlcs: htlcs.into(), ..quiet_state() }
}

/// A splice was locked at once, and another one is pending and confirmed.
fn splice_state() -> MonitorState {
    let before = Funding {
        funding_outpoint: outpoint(0xF2, 0),
        is_retired: true,
        local_previous: Some(signed(40, 1)),
        remote_previous: Some(unsigned(40)),
        ..funding(FundingKind::Splice, 41)
    };
    let pending = Funding {
        local_previous: Some(signed(41, 1)),
        remote_previous: Some(unsigned(43)),
        confirmed: Some(block(800_009)),
        ..funding(FundingKind::Splice, 42)
    };
    MonitorState {
        fundings: vec![before, pending],
        funding_confirmed: Some(block(800_007)),
        ..busy_state()
    }
}

/// A first funding that may yet be replaced.
fn replacement_state() -> MonitorState {
    MonitorState { fundings: vec![funding(FundingKind::Replacement, 0)], ..quiet_state() }
}

pub(crate) fn quiet_state() -> MonitorState {
    MonitorState {
        parameters: parameters(CommitmentFormat::AnchorsZeroFeeHtlc, Side::Local),
        latest_update: UpdateId::ZERO,
        local: signed(0, 0),
        local_previous: None,
        remote: unsigned(0),
        remote_previous: None,
        remote_secrets: Vec::new(),
        htlcs: [].into(),
        preimages: [].into(),
        closing_txids: [].into(),
        fail_channel: false,
        data_loss: false,
        best: block(800_000),
        funding_spend: None,
        output_spends: [].into(),
        fundings: Vec::new(),
        funding_confirmed: None,
        past: [].into(),
        tombstones: [].into(),
        told_unknown: [].into(),
        forgotten: [].into(),
        pruned_behind: BookEpoch::ZERO,
        is_archived: false,
    }
}

/// A preimage was seen before any transaction with it was confirmed.
fn mempool_state() -> MonitorState {
    let mut state = busy_state();
    let how = FulfilledHow::Mempool { txid: txid(0xAC) };
    for htlc in state.htlcs.values_mut().filter(|htlc| htlc.fulfilled.is_some()) {
        htlc.fulfilled = htlc.fulfilled.map(|(preimage, _)| (preimage, how));
    }
    state
}

/// What forgotten HTLCs leave behind; differences go up and down and come to the ends.
fn forgotten_state() -> MonitorState {
    use HtlcDirection::{Offered, Received};
    let past = |n, sat, expiry, (from, until), is_failed| PastHtlc {
        payment_hash160: PaymentHash160([n; 20]),
        amount: bitcoin::Amount::from_sat(sat),
        cltv_expiry: BlockHeight(expiry),
        from: number(from),
        until: number(until),
        is_failed,
    };
    let tombstone = |n, outcome| Tombstone {
        payment_id: PaymentId([n; 32]),
        generation: Generation([0x6E; 16]),
        outcome,
    };
    let sent = Outcome::Sent {
        preimage: PaymentPreimage([0x99; 32]),
        amount_msat: AmountMsat(100_000_000),
        fee_msat: AmountMsat(2_000),
    };
    MonitorState {
        remote: unsigned(60),
        past: [
            ((Offered, HtlcId(0)), past(1, 10_000, 800_144, (3, 5), false)),
            ((Offered, HtlcId(1)), past(2, 354, 800_100, (2, 60), true)),
            ((Offered, HtlcId(u64::MAX)), past(3, u64::MAX, u32::MAX, (59, 60), false)),
            ((Received, HtlcId(7)), past(4, 0, 0, (0, (1 << 48) - 1), false)),
        ]
        .into(),
        tombstones: [
            (HtlcId(1), tombstone(0x1D, sent)),
            (HtlcId(300), tombstone(0x1E, Outcome::Failed { reason: HtlcFailure::TimedOut })),
        ]
        .into(),
        forgotten: [(Offered, HtlcId(u64::MAX)), (Received, HtlcId(7))].into(),
        pruned_behind: BookEpoch(9),
        ..quiet_state()
    }
}

fn busy_state() -> MonitorState {
    let secret = |n| PerCommitmentSecret([n; 32]);
    let index = |n| SecretIndex::new(n).expect("48 bits");
    let preimage = PaymentPreimage([0x99; 32]);
    MonitorState {
        latest_update: UpdateId(77),
        local: signed(42, 2),
        local_previous: Some(signed(41, 1)),
        remote: unsigned(44),
        remote_previous: Some(unsigned(43)),
        remote_secrets: vec![(0, index((1 << 48) - 1), secret(1)), (48, index(0), secret(2))],
        htlcs: htlc_states().into_iter().map(|s| ((s.htlc.direction, s.htlc.htlc_id), s)).collect(),
        preimages: [
            (preimage.payment_hash(), preimage),
            (PaymentHash([0x01; 32]), PaymentPreimage([0x02; 32])),
        ]
        .into(),
        closing_txids: [txid(0xCD), txid(0xCC)].into(),
        fail_channel: true,
        output_spends: output_spends().into_iter().collect(),
        ..quiet_state()
    }
}

/// What the outputs of a revoked commitment may come to.
fn penalty_state() -> MonitorState {
    use HtlcDirection::{Offered, Received};
    let (htlc_id, amount, output) =
        (HtlcId(3), bitcoin::Amount::from_sat(49_337), outpoint(0xE1, 2));
    let peers = |direction, preimage| OutputSpendKind::PeerHtlcTransaction {
        direction,
        htlc_id,
        preimage,
        output,
        amount,
    };
    let kinds = [
        peers(Offered, Some(PaymentPreimage([0x99; 32]))),
        peers(Received, None),
        OutputSpendKind::HtlcPenalty { direction: Offered, htlc_id: HtlcId(4) },
    ];
    let spend = |(vout, kind)| {
        (outpoint(0xD0, vout), OutputSpend { txid: txid(0xE0), block: block(800_003), kind })
    };
    let close = Close::Revoked { number: number(7) };
    let closing = FundingSpend { transaction: transaction(true), block: block(800_002), close };
    MonitorState {
        funding_spend: Some(closing),
        output_spends: (0..).zip(kinds).map(spend).collect(),
        ..quiet_state()
    }
}

fn htlc_states() -> Vec<HtlcState> {
    use HtlcDirection::{Offered, Received};
    let preimage = PaymentPreimage([0x99; 32]);
    let live = |direction, htlc_id, origin| HtlcState {
        htlc: htlc(direction, htlc_id, origin),
        local: None,
        remote: Some(Spell { from: number(40), until: None }),
        removal: None,
        fulfilled: None,
        failed: None,
        late_preimage: None,
        delivered: None,
        is_given_up: false,
        claim: None,
        is_inbound_on_chain: false,
        source: None,
    };
    vec![
        live(Received, 2, HtlcOrigin::Ours),
        HtlcState {
            local: Some(Spell { from: number(39), until: Some(number(41)) }),
            removal: Some(RemovalReason::Fulfilled { preimage }),
            fulfilled: Some((preimage, FulfilledHow::Message)),
            ..live(Received, 1, HtlcOrigin::Forwarded { outbound: key(Offered, 1) })
        },
        HtlcState {
            remote: None,
            fulfilled: Some((preimage, FulfilledHow::Chain { txid: txid(0xAA) })),
            delivered: Some(Told::Forward),
            ..live(Offered, 1, forward())
        },
        HtlcState {
            removal: Some(RemovalReason::Failed { code: 0 }),
            failed: Some(HtlcFailure::Removed { code: 0x400F }),
            late_preimage: Some(preimage),
            delivered: Some(Told::Payment {
                generation: Generation([0x6E; 16]),
                outcome: Outcome::Failed { reason: HtlcFailure::Absent },
            }),
            ..live(Offered, 2, paid_by(Metadata::Hash([0x4A; 32])))
        },
    ]
}

fn output_spends() -> Vec<(bitcoin::OutPoint, OutputSpend)> {
    use HtlcDirection::{Offered, Received};
    let preimage = PaymentPreimage([0x99; 32]);
    let htlc_id = HtlcId(3);
    let second_stage = Some(outpoint(0xE1, 0));
    let kinds = [
        OutputSpendKind::HtlcPreimage { direction: Received, htlc_id, preimage, second_stage },
        OutputSpendKind::HtlcPreimage { direction: Offered, htlc_id, preimage, second_stage: None },
        OutputSpendKind::HtlcTimeout { direction: Offered, htlc_id, second_stage },
        OutputSpendKind::HtlcTimeout { direction: Received, htlc_id, second_stage: None },
        OutputSpendKind::HtlcOther { direction: Received, htlc_id },
        OutputSpendKind::Swept { owner: Side::Local },
        OutputSpendKind::Swept { owner: Side::Remote },
    ];
    let spend = |(vout, kind)| {
        (outpoint(0xD0, vout), OutputSpend { txid: txid(0xE0), block: block(800_003), kind })
    };
    (0..).zip(kinds).map(spend).collect()
}

fn cards() -> Vec<(&'static str, Any)> {
    let quiet = Card {
        channel_id: ChannelId([0xC1; 32]),
        latest_update: UpdateId(77),
        watched: vec![outpoint(0xF0, 0)],
        next_deadline: None,
        has_undelivered: false,
        is_closed: false,
        has_claims: false,
        synced_to: block(800_000),
        covers: 0,
        pruned_behind: BookEpoch::ZERO,
        is_archived: false,
    };
    let archived = Card {
        watched: Vec::new(),
        is_closed: true,
        pruned_behind: BookEpoch(9),
        is_archived: true,
        ..quiet.clone()
    };
    let busy = Card {
        watched: vec![outpoint(0xD0, 0), outpoint(0xD0, 3)],
        next_deadline: Some(BlockHeight(800_144)),
        has_undelivered: true,
        is_closed: true,
        has_claims: true,
        covers: 1234,
        ..quiet.clone()
    };
    // The first and last value of each width of a bincode integer.
    let edges = [0, 250, 251, 65_535, 65_536, u32::MAX];
    let integers = Card {
        latest_update: UpdateId(u64::from(u32::MAX)),
        watched: edges.map(|vout| outpoint(0xD1, vout)).into(),
        next_deadline: Some(BlockHeight(u32::MAX)),
        synced_to: block(0),
        covers: u64::MAX,
        ..quiet.clone()
    };
    let bare = Card { watched: Vec::new(), ..quiet.clone() };
    let tip = |recent| Any::ChainTip(ChainTip { best: block(800_000), recent });
    vec![
        ("card_quiet", Any::Card(quiet)),
        ("card_busy", Any::Card(busy)),
        ("card_integers", Any::Card(integers)),
        ("card_bare", Any::Card(bare)),
        ("card_archived", Any::Card(archived)),
        ("book_mark", Any::BookMark(BookMark { log: [0x10; 16], position: 300 })),
        ("chain_tip_alone", tip(Vec::new())),
        ("chain_tip", tip(vec![block(799_999), block(799_998)])),
    ]
}
