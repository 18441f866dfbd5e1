//! Arbitrary values of every record.
//!
//! The large strategies are boxed: nested by value they overflow a test's stack.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, BookEpoch, BookMark, Card, ChainDelta, ChainTip, ChannelId,
    ChannelParameters, ChannelSide, Close, CommitmentFormat, CommitmentNumber, FeeRatePerKw,
    ForwardOrigin, FulfilledHow, FundingSpend, Generation, GiveUp, Htlc, HtlcAdded, HtlcClaim,
    HtlcDirection, HtlcFailure, HtlcId, HtlcKey, HtlcOrigin, HtlcRemoved, HtlcState,
    MempoolEvidence, Metadata, MonitorRecord, MonitorState, MonitorUpdate, NewChannel, Outcome,
    OutputSpend, OutputSpendKind, PartIndex, PastHtlc, PaymentHash, PaymentHash160, PaymentId,
    PaymentOrigin, PaymentPreimage, PerCommitmentSecret, PreimageSource, Purpose,
    ReleasePaymentComplete, RemovalReason, RetryPolicy, SecretIndex, Side, SignedCommitment, Spell,
    Terms, ToSelfDelay, Told, Tombstone, UnsignedCommitment, UpdateId, UpdateStep,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

use crate::build::point;
use crate::fundings::{funding, local, local_on, new_funding, remote, remote_on};
use lastword_wire::AnyRecord as Any;

/// An integer of any width that bincode distinguishes.
pub(crate) fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=300u64,
        any::<u16>().prop_map(u64::from),
        any::<u32>().prop_map(u64::from),
        any::<u64>(),
    ]
}

fn integer32() -> impl Strategy<Value = u32> {
    prop_oneof![0..=300u32, any::<u16>().prop_map(u32::from), any::<u32>()]
}

pub(crate) fn bytes32() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

pub(crate) fn msat() -> impl Strategy<Value = AmountMsat> {
    integer().prop_map(AmountMsat)
}

pub(crate) fn height() -> impl Strategy<Value = BlockHeight> {
    integer32().prop_map(BlockHeight)
}

pub(crate) fn channel_id() -> impl Strategy<Value = ChannelId> {
    bytes32().prop_map(ChannelId)
}

pub(crate) fn htlc_id() -> impl Strategy<Value = HtlcId> {
    integer().prop_map(HtlcId)
}

pub(crate) fn preimage() -> impl Strategy<Value = PaymentPreimage> {
    bytes32().prop_map(PaymentPreimage)
}

pub(crate) fn payment_hash() -> impl Strategy<Value = PaymentHash> {
    bytes32().prop_map(PaymentHash)
}

pub(crate) fn incarnation() -> impl Strategy<Value = (PaymentId, Generation)> {
    (bytes32(), any::<[u8; 16]>())
        .prop_map(|(id, generation)| (PaymentId(id), Generation(generation)))
}

pub(crate) fn attempt_part() -> impl Strategy<Value = (u32, PartIndex)> {
    (integer32(), any::<u16>()).prop_map(|(attempt, part)| (attempt, PartIndex(part)))
}

pub(crate) fn number() -> impl Strategy<Value = CommitmentNumber> {
    integer().prop_map(|n| CommitmentNumber::new(n >> 16).expect("48 bits"))
}

pub(crate) fn key() -> impl Strategy<Value = PublicKey> {
    (0..16u8).prop_map(point)
}

fn signature() -> impl Strategy<Value = Signature> {
    (bytes32(), bytes32())
        .prop_filter_map("out of range", |(r, s)| Signature::from_compact(&[r, s].concat()).ok())
}

pub(crate) fn txid() -> impl Strategy<Value = Txid> {
    bytes32().prop_map(Txid::from_byte_array)
}

pub(crate) fn outpoint() -> impl Strategy<Value = OutPoint> {
    (txid(), integer32()).prop_map(|(txid, vout)| OutPoint { txid, vout })
}

pub(crate) fn block() -> impl Strategy<Value = BlockRef> {
    (height(), bytes32())
        .prop_map(|(height, hash)| BlockRef { height, hash: BlockHash::from_byte_array(hash) })
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 240..260)]
}

fn transaction() -> BoxedStrategy<Transaction> {
    let input = (outpoint(), blob(), any::<u32>(), vec(blob(), 0..4)).prop_map(
        |(previous_output, script, sequence, witness)| TxIn {
            previous_output,
            script_sig: ScriptBuf::from(script),
            sequence: Sequence(sequence),
            witness: Witness::from_slice(&witness),
        },
    );
    let output = (integer(), blob()).prop_map(|(value, script)| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from(script),
    });
    (any::<i32>(), any::<u32>(), vec(input, 0..4), vec(output, 0..4))
        .prop_map(|(version, lock_time, input, output)| Transaction {
            version: Version(version),
            lock_time: LockTime::from_consensus(lock_time),
            input,
            output,
        })
        .boxed()
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Local), Just(Side::Remote)]
}

fn direction() -> impl Strategy<Value = HtlcDirection> {
    prop_oneof![Just(HtlcDirection::Offered), Just(HtlcDirection::Received)]
}

pub(crate) fn htlc_key() -> impl Strategy<Value = HtlcKey> {
    (channel_id(), direction(), htlc_id()).prop_map(|(channel_id, direction, htlc_id)| HtlcKey {
        channel_id,
        direction,
        htlc_id,
    })
}

fn channel_side() -> impl Strategy<Value = ChannelSide> {
    ((key(), key(), key(), key(), key()), integer(), any::<u16>()).prop_map(
        |(keys, dust, delay)| ChannelSide {
            funding_pubkey: keys.0,
            revocation_basepoint: keys.1,
            payment_basepoint: keys.2,
            delayed_payment_basepoint: keys.3,
            htlc_basepoint: keys.4,
            dust_limit: Amount::from_sat(dust),
            to_self_delay: ToSelfDelay(delay),
        },
    )
}

fn parameters() -> BoxedStrategy<ChannelParameters> {
    let format = prop_oneof![
        Just(CommitmentFormat::StaticRemoteKey),
        Just(CommitmentFormat::AnchorsZeroFeeHtlc),
        Just(CommitmentFormat::ZeroFee),
    ];
    (channel_id(), outpoint(), integer(), format, side(), channel_side(), channel_side())
        .prop_map(|(channel_id, funding_outpoint, amount, format, opener, local, remote)| {
            ChannelParameters {
                channel_id,
                funding_outpoint,
                funding_amount: Amount::from_sat(amount),
                format,
                opener,
                local,
                remote,
            }
        })
        .boxed()
}

pub(crate) fn unsigned() -> impl Strategy<Value = UnsignedCommitment> {
    (number(), key(), integer32(), msat(), msat()).prop_map(
        |(number, per_commitment_point, feerate, to_local_msat, to_remote_msat)| {
            UnsignedCommitment {
                number,
                per_commitment_point,
                feerate_per_kw: FeeRatePerKw(feerate),
                to_local_msat,
                to_remote_msat,
            }
        },
    )
}

pub(crate) fn signed() -> BoxedStrategy<SignedCommitment> {
    (unsigned(), signature(), vec(signature(), 0..6))
        .prop_map(|(commitment, signature, htlc_signatures)| SignedCommitment {
            commitment,
            signature,
            htlc_signatures,
        })
        .boxed()
}

pub(crate) fn metadata() -> impl Strategy<Value = Metadata> {
    prop_oneof![blob().prop_map(Metadata::Here), bytes32().prop_map(Metadata::Hash)]
}

pub(crate) fn terms() -> impl Strategy<Value = Terms> {
    let retry = (integer32(), option::of(height()))
        .prop_map(|(attempts_max, deadline_height)| RetryPolicy { attempts_max, deadline_height });
    let unusual = (retry, any::<bool>(), btree_set(channel_id(), 0..4)).prop_map(
        |(retry, is_probe, earlier_channels)| {
            let purpose = if is_probe { Purpose::Probe } else { Purpose::Payment };
            Terms { retry, purpose, earlier_channels }
        },
    );
    prop_oneof![Just(Terms::default()), unusual]
}

fn payment_origin() -> impl Strategy<Value = PaymentOrigin> {
    let sums = (msat(), msat(), msat());
    (incarnation(), attempt_part(), vec(channel_id(), 0..4), sums, metadata(), terms()).prop_map(
        |((payment_id, generation), (attempt, part), part_channels, sums, metadata, terms)| {
            PaymentOrigin {
                payment_id,
                generation,
                attempt,
                part,
                part_channels,
                part_amount_msat: sums.0,
                total_msat: sums.1,
                fee_msat: sums.2,
                metadata,
                terms,
            }
        },
    )
}

fn origin() -> BoxedStrategy<HtlcOrigin> {
    let forward = (htlc_key(), msat(), height()).prop_map(
        |(inbound, inbound_amount_msat, inbound_cltv_expiry)| ForwardOrigin {
            inbound,
            inbound_amount_msat,
            inbound_cltv_expiry,
        },
    );
    prop_oneof![
        payment_origin().prop_map(HtlcOrigin::Payment),
        forward.prop_map(HtlcOrigin::Forward),
        Just(HtlcOrigin::Ours),
        htlc_key().prop_map(|outbound| HtlcOrigin::Forwarded { outbound }),
    ]
    .boxed()
}

fn htlc() -> BoxedStrategy<Htlc> {
    (direction(), htlc_id(), msat(), payment_hash(), height(), origin())
        .prop_map(|(direction, htlc_id, amount_msat, payment_hash, cltv_expiry, origin)| Htlc {
            direction,
            htlc_id,
            amount_msat,
            payment_hash,
            cltv_expiry,
            origin,
        })
        .boxed()
}

pub(crate) fn added() -> BoxedStrategy<Vec<HtlcAdded>> {
    let known = (direction(), htlc_id())
        .prop_map(|(direction, htlc_id)| HtlcAdded::Known { direction, htlc_id });
    vec(prop_oneof![htlc().prop_map(HtlcAdded::New), known], 0..4).boxed()
}

fn removal() -> impl Strategy<Value = RemovalReason> {
    prop_oneof![
        preimage().prop_map(|preimage| RemovalReason::Fulfilled { preimage }),
        any::<u16>().prop_map(|code| RemovalReason::Failed { code }),
    ]
}

pub(crate) fn removed() -> impl Strategy<Value = Vec<HtlcRemoved>> {
    let removed = (direction(), htlc_id(), removal())
        .prop_map(|(direction, htlc_id, reason)| HtlcRemoved { direction, htlc_id, reason });
    vec(removed, 0..4)
}

fn step() -> BoxedStrategy<UpdateStep> {
    prop_oneof![
        local().prop_map(UpdateStep::LocalCommitment),
        remote().prop_map(UpdateStep::RemoteCommitment),
        (number(), bytes32()).prop_map(|(number, secret)| UpdateStep::RemoteRevocation {
            number,
            secret: PerCommitmentSecret(secret),
        }),
        (htlc_id(), preimage())
            .prop_map(|(htlc_id, preimage)| UpdateStep::Fulfill { htlc_id, preimage }),
        preimage().prop_map(|preimage| UpdateStep::Preimage { preimage }),
        txid().prop_map(|txid| UpdateStep::MutualClose { txid }),
        Just(UpdateStep::FailChannel),
        Just(UpdateStep::DataLoss),
        new_funding().prop_map(|new| UpdateStep::NewFunding(Box::new(new))),
        txid().prop_map(|funding_txid| UpdateStep::FundingLocked { funding_txid }),
        (txid(), local_on()).prop_map(|(funding_txid, commitment)| UpdateStep::LocalCommitmentOn {
            funding_txid,
            commitment,
        }),
        (txid(), remote_on()).prop_map(|(funding_txid, commitment)| {
            UpdateStep::RemoteCommitmentOn { funding_txid, commitment }
        }),
        (htlc_id(), preimage())
            .prop_map(|(htlc_id, preimage)| UpdateStep::ClaimHtlc { htlc_id, preimage }),
    ]
    .boxed()
}

pub(crate) fn failure() -> impl Strategy<Value = HtlcFailure> {
    prop_oneof![
        any::<u16>().prop_map(|code| HtlcFailure::Removed { code }),
        Just(HtlcFailure::TimedOut),
        Just(HtlcFailure::Absent),
        Just(HtlcFailure::NeverSent),
        Just(HtlcFailure::Abandoned),
        Just(HtlcFailure::FailedBack),
    ]
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    let sent = (preimage(), msat(), msat()).prop_map(|(preimage, amount_msat, fee_msat)| {
        Outcome::Sent { preimage, amount_msat, fee_msat }
    });
    let failed = failure().prop_map(|reason| Outcome::Failed { reason });
    prop_oneof![sent, failed, Just(Outcome::Unknown)]
}

fn told() -> BoxedStrategy<Told> {
    let payment = (incarnation(), outcome())
        .prop_map(|((_, generation), outcome)| Told::Payment { generation, outcome });
    prop_oneof![payment, Just(Told::Forward), Just(Told::Claimed)].boxed()
}

fn source() -> impl Strategy<Value = PreimageSource> {
    let invoice = (btree_set(htlc_key(), 0..4), integer()).prop_map(|(parts, amount_msat)| {
        PreimageSource::Invoice { parts, amount_msat: AmountMsat(amount_msat) }
    });
    prop_oneof![invoice, htlc_key().prop_map(|outbound| PreimageSource::Downstream { outbound })]
}

fn claim() -> impl Strategy<Value = HtlcClaim> {
    let htlc_ids = btree_set(integer().prop_map(HtlcId), 0..4);
    (channel_id(), htlc_ids, preimage(), source()).prop_map(
        |(channel_id, htlc_ids, preimage, source)| HtlcClaim {
            channel_id,
            htlc_ids,
            preimage,
            source,
        },
    )
}

pub(crate) fn monitor_record() -> impl Strategy<Value = Any> {
    let created = (parameters(), local(), remote(), block()).prop_map(
        |(parameters, local, remote, birth)| {
            MonitorRecord::Created(Box::new(NewChannel { parameters, local, remote, birth }))
        },
    );
    let update =
        (channel_id(), integer(), vec(step(), 0..4)).prop_map(|(channel_id, update_id, steps)| {
            let update_id = UpdateId(update_id);
            MonitorRecord::Update(MonitorUpdate { channel_id, update_id, steps })
        });
    let release = (htlc_key(), told())
        .prop_map(|(htlc, told)| MonitorRecord::Release(ReleasePaymentComplete { htlc, told }));
    let given_up = (htlc_key(), incarnation())
        .prop_map(|(htlc, (_, generation))| MonitorRecord::GivenUp(GiveUp { htlc, generation }));
    let connected = (block(), vec(transaction(), 0..4))
        .prop_map(|(block, transactions)| ChainDelta::Connected { block, transactions });
    let disconnected = block().prop_map(|fork| ChainDelta::Disconnected { fork });
    let mempool = (htlc_key(), preimage(), txid()).prop_map(|(htlc, preimage, txid)| {
        MonitorRecord::Mempool(MempoolEvidence { htlc, preimage, txid })
    });
    prop_oneof![
        created,
        update,
        release,
        given_up,
        mempool,
        connected.prop_map(MonitorRecord::Chain),
        disconnected.prop_map(MonitorRecord::Chain),
        integer().prop_map(|n| MonitorRecord::PruneTombstones { behind: BookEpoch(n) }),
        Just(MonitorRecord::Archive),
        htlc_key().prop_map(|htlc| MonitorRecord::InboundOnChain { htlc }),
        claim().prop_map(MonitorRecord::Claim),
        incarnation().prop_map(|(payment_id, generation)| MonitorRecord::ToldUnknown {
            payment_id,
            generation,
        }),
    ]
    .prop_map(Any::Monitor)
}

fn spell() -> impl Strategy<Value = Spell> {
    (number(), option::of(number())).prop_map(|(from, until)| Spell { from, until })
}

fn htlc_state() -> BoxedStrategy<HtlcState> {
    let how = prop_oneof![
        Just(FulfilledHow::Message),
        txid().prop_map(|txid| FulfilledHow::Chain { txid }),
        txid().prop_map(|txid| FulfilledHow::Mempool { txid }),
    ];
    (
        htlc(),
        (option::of(spell()), option::of(spell())),
        option::of(removal()),
        option::of((preimage(), how)),
        option::of(failure()),
        option::of(preimage()),
        (option::of(told()), any::<bool>(), any::<bool>(), option::of(source())),
    )
        .prop_map(|(htlc, (local, remote), removal, fulfilled, failed, late_preimage, ended)| {
            let (delivered, is_given_up, is_inbound_on_chain, source) = ended;
            HtlcState {
                htlc,
                local,
                remote,
                removal,
                fulfilled,
                failed,
                late_preimage,
                delivered,
                is_given_up,
                claim: None,
                is_inbound_on_chain,
                source,
            }
        })
        .boxed()
}

/// Leaves the right to claim only to those that are kept as received.
fn without_wrong_sources(mut htlcs: Htlcs) -> Htlcs {
    for (_, htlc) in htlcs.range_mut(..(HtlcDirection::Received, HtlcId(0))) {
        htlc.source = None;
    }
    htlcs
}

type Htlcs = BTreeMap<(HtlcDirection, HtlcId), HtlcState>;

fn funding_spend() -> BoxedStrategy<FundingSpend> {
    let close = prop_oneof![
        Just(Close::Mutual),
        number().prop_map(|number| Close::LocalUnilateral { number }),
        number().prop_map(|number| Close::RemoteUnilateral { number }),
        number().prop_map(|number| Close::Revoked { number }),
        Just(Close::Unknown),
        number().prop_map(|number| Close::Future { number }),
    ];
    (transaction(), block(), close)
        .prop_map(|(transaction, block, close)| FundingSpend { transaction, block, close })
        .boxed()
}

fn output_spend() -> BoxedStrategy<OutputSpend> {
    let claimed = (direction(), htlc_id(), preimage(), option::of(outpoint())).prop_map(
        |(direction, htlc_id, preimage, second_stage)| OutputSpendKind::HtlcPreimage {
            direction,
            htlc_id,
            preimage,
            second_stage,
        },
    );
    let expired = (direction(), htlc_id(), option::of(outpoint())).prop_map(
        |(direction, htlc_id, second_stage)| OutputSpendKind::HtlcTimeout {
            direction,
            htlc_id,
            second_stage,
        },
    );
    let other = (direction(), htlc_id())
        .prop_map(|(direction, htlc_id)| OutputSpendKind::HtlcOther { direction, htlc_id });
    let swept = side().prop_map(|owner| OutputSpendKind::Swept { owner });
    let penalty = (direction(), htlc_id())
        .prop_map(|(direction, htlc_id)| OutputSpendKind::HtlcPenalty { direction, htlc_id });
    let amount = integer().prop_map(Amount::from_sat);
    let peers = (direction(), htlc_id(), option::of(preimage()), outpoint(), amount).prop_map(
        |(direction, htlc_id, preimage, output, amount)| OutputSpendKind::PeerHtlcTransaction {
            direction,
            htlc_id,
            preimage,
            output,
            amount,
        },
    );
    (txid(), block(), prop_oneof![claimed, expired, other, swept, penalty, peers])
        .prop_map(|(txid, block, kind)| OutputSpend { txid, block, kind })
        .boxed()
}

fn past_htlc() -> impl Strategy<Value = PastHtlc> {
    let spell = (0..1_u64 << 47, 1..1_u64 << 47);
    (any::<[u8; 20]>(), integer(), height(), spell, any::<bool>()).prop_map(
        |(hash, sat, cltv_expiry, (from, count), is_failed)| PastHtlc {
            payment_hash160: PaymentHash160(hash),
            amount: Amount::from_sat(sat),
            cltv_expiry,
            from: CommitmentNumber::new(from).expect("48 bits"),
            until: CommitmentNumber::new(from + count).expect("48 bits"),
            is_failed,
        },
    )
}

fn tombstone() -> impl Strategy<Value = Tombstone> {
    (incarnation(), outcome()).prop_map(|((payment_id, generation), outcome)| Tombstone {
        payment_id,
        generation,
        outcome,
    })
}

type Gone = (
    BTreeMap<(HtlcDirection, HtlcId), PastHtlc>,
    BTreeMap<HtlcId, Tombstone>,
    BTreeSet<(PaymentId, Generation)>,
    BTreeMap<HtlcDirection, HtlcId>,
    BookEpoch,
    bool,
);

fn gone() -> impl Strategy<Value = Gone> {
    (
        btree_map((direction(), htlc_id()), past_htlc(), 0..5),
        btree_map(htlc_id(), tombstone(), 0..3),
        btree_set(incarnation(), 0..3),
        btree_map(direction(), htlc_id(), 0..3),
        integer().prop_map(BookEpoch),
        any::<bool>(),
    )
}

pub(crate) fn monitor_state() -> impl Strategy<Value = Any> {
    let index = integer().prop_map(|n| SecretIndex::new(n >> 16).expect("48 bits"));
    let secrets = vec((any::<u8>(), index, bytes32().prop_map(PerCommitmentSecret)), 0..5);
    let commitments = (signed(), option::of(signed()), unsigned(), option::of(unsigned()));
    let chain = (block(), option::of(funding_spend()), btree_map(outpoint(), output_spend(), 0..4));
    let fundings = (vec(funding(), 0..3), option::of(block()));
    (
        (parameters(), integer(), commitments, secrets),
        btree_map((direction(), htlc_id()), htlc_state(), 0..4).prop_map(without_wrong_sources),
        btree_map(payment_hash(), preimage(), 0..4),
        (btree_set(txid(), 0..3), any::<bool>(), any::<bool>()),
        (chain, fundings),
        gone(),
    )
        .prop_map(
            |(fixed, htlcs, preimages, (closing_txids, fail_channel, data_loss), chain, gone)| {
                let (parameters, latest_update, commitments, remote_secrets) = fixed;
                let (local, local_previous, remote, remote_previous) = commitments;
                let ((best, funding_spend, output_spends), (fundings, funding_confirmed)) = chain;
                let (past, tombstones, told_unknown, forgotten, pruned_behind, is_archived) = gone;
                Any::MonitorState(Box::new(MonitorState {
                    parameters,
                    latest_update: UpdateId(latest_update),
                    local,
                    local_previous,
                    remote,
                    remote_previous,
                    remote_secrets,
                    htlcs,
                    preimages,
                    closing_txids,
                    fail_channel,
                    data_loss,
                    best,
                    funding_spend,
                    output_spends,
                    forgotten,
                    funding_confirmed,
                    fundings,
                    is_archived,
                    past,
                    pruned_behind,
                    tombstones,
                    told_unknown,
                }))
            },
        )
}

pub(crate) fn card() -> impl Strategy<Value = Any> {
    (
        channel_id(),
        (integer(), integer(), integer()),
        vec(outpoint(), 0..6),
        option::of(height()),
        any::<[bool; 4]>(),
        block(),
    )
        .prop_map(|(channel_id, counts, watched, next_deadline, flags, synced_to)| {
            let (latest_update, covers, epoch) = counts;
            let [has_undelivered, is_closed, has_claims, is_archived] = flags;
            Any::Card(Card {
                channel_id,
                latest_update: UpdateId(latest_update),
                watched,
                next_deadline,
                has_undelivered,
                is_closed,
                has_claims,
                synced_to,
                covers,
                pruned_behind: BookEpoch(epoch),
                is_archived,
            })
        })
}

pub(crate) fn book_mark() -> impl Strategy<Value = Any> {
    (any::<[u8; 16]>(), integer())
        .prop_map(|(log, position)| Any::BookMark(BookMark { log, position }))
}

pub(crate) fn chain_tip() -> impl Strategy<Value = Any> {
    (block(), vec(block(), 0..8))
        .prop_map(|(best, recent)| Any::ChainTip(ChainTip { best, recent }))
}
