//! Payments, ledgers and a short way to write plans down.

use std::collections::BTreeMap;

use lastword_reload::{Action, Plan, RetryOwed};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, Event, EventKind, FailingUntil, FulfilledHow, Generation,
    Htlc, HtlcFailure, HtlcId, HtlcKey, Intent, IntentPart, Metadata, Outcome, OutcomeKind,
    PartIndex, PaymentId, PaymentPreimage, PaymentRecord, PaymentState, Terms, Told, UpdateId,
    Verdict,
};

use crate::world::{Bytes, Line, Sheet, World};

pub(crate) const PREIMAGE: PaymentPreimage = PaymentPreimage([7; 32]);
pub(crate) const FEE: AmountMsat = AmountMsat(10);
pub(crate) const LIVE: Verdict = Verdict::Live;
pub(crate) const FULFILLED: Verdict =
    Verdict::Fulfilled { preimage: PREIMAGE, how: FulfilledHow::Message };
pub(crate) const FAILED: Verdict = Verdict::Failed { reason: HtlcFailure::TimedOut };
pub(crate) const FAILING: Verdict =
    Verdict::Failing { reason: HtlcFailure::TimedOut, until: FailingUntil::Revoked };

pub(crate) fn channel(byte: u8) -> ChannelId {
    ChannelId([byte; 32])
}

pub(crate) fn id(byte: u8) -> PaymentId {
    PaymentId([byte; 32])
}

pub(crate) fn generation(byte: u8) -> Generation {
    Generation([byte; 16])
}

/// Payment 1 of this generation, one part of 1,000 msat in each channel; HTLC ids are the
/// generation's byte, so that no two generations share an HTLC.
pub(crate) fn intent(generation_byte: u8, channels: &[u8]) -> Intent {
    intent_of(1, generation_byte, channels)
}

pub(crate) fn intent_of(payment: u8, generation_byte: u8, channels: &[u8]) -> Intent {
    let parts = channels.iter().enumerate().map(|(part, byte)| IntentPart {
        channel_id: channel(*byte),
        htlc_id: HtlcId(u64::from(payment) * 100 + u64::from(generation_byte)),
        amount_msat: AmountMsat(1_000 + if part == 0 { FEE.0 } else { 0 }),
        part_amount_msat: AmountMsat(1_000),
        cltv_expiry: BlockHeight(500),
    });
    Intent {
        payment_id: id(payment),
        generation: generation(generation_byte),
        attempt: 0,
        payment_hash: PREIMAGE.payment_hash(),
        total_msat: AmountMsat(1_000 * channels.len() as u64),
        fee_msat: FEE,
        parts: parts.collect(),
        metadata: Metadata::Here(vec![payment, generation_byte]),
        terms: Terms::default(),
    }
}

/// Returns the attempt of this number after another one.
pub(crate) fn retry(
    held: &Intent,
    attempt: u32,
    fee_msat: AmountMsat,
    parts: Vec<IntentPart>,
) -> Intent {
    let mut earlier_channels = held.terms.earlier_channels.clone();
    earlier_channels.extend(held.parts.iter().map(|part| part.channel_id));
    let generation = held.generation;
    RetryOwed { generation, attempt, earlier_channels }.intent(held, fee_msat, parts)
}

pub(crate) fn sent_for(intent: &Intent) -> Outcome {
    Outcome::Sent { preimage: PREIMAGE, amount_msat: intent.total_msat, fee_msat: intent.fee_msat }
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed { reason: HtlcFailure::TimedOut }
}

pub(crate) fn never_sent() -> Outcome {
    Outcome::Failed { reason: HtlcFailure::NeverSent }
}

/// Makes sure that the ledgers of these channels can be read.
pub(crate) fn open(world: &mut World, channels: &[u8]) {
    for byte in channels {
        let channel_id = channel(*byte);
        world.sheets.entry(channel_id).or_insert(Sheet {
            channel_id,
            bytes: Bytes::Present,
            latest_update: UpdateId(1),
            is_closed: false,
            lines: BTreeMap::default(),
            tombstones: BTreeMap::new(),
            told_unknown: Vec::new(),
            pruned_behind: lastword_types::BookEpoch::ZERO,
            is_archived: false,
        });
    }
}

pub(crate) fn add_htlc(world: &mut World, channel_id: ChannelId, htlc: Htlc, verdict: Verdict) {
    open(world, &[channel_id.0[0]]);
    let sheet = world.sheets.get_mut(&channel_id).unwrap();
    sheet.lines.insert(
        htlc.htlc_id,
        Line { htlc, verdict, delivered: None, is_given_up: false, is_inbound_on_chain: false },
    );
}

/// Puts one part of an intent into its ledger.
pub(crate) fn add_part(world: &mut World, intent: &Intent, part: u16, verdict: Verdict) -> HtlcKey {
    let key = intent.parts[usize::from(part)].key();
    add_htlc(world, key.channel_id, intent.htlc(PartIndex(part)).unwrap(), verdict);
    key
}

/// Puts every part of an intent into its ledger, in these verdicts.
pub(crate) fn add(world: &mut World, intent: &Intent, verdicts: &[Verdict]) -> Vec<HtlcKey> {
    let parts = (0..).zip(verdicts);
    parts.map(|(part, verdict)| add_part(world, intent, part, *verdict)).collect()
}

/// Records a release.
pub(crate) fn deliver(world: &mut World, intent: &Intent, part: usize, outcome: Outcome) {
    let told = Told::Payment { generation: intent.generation, outcome };
    world.line(intent.parts[part].key()).delivered = Some(told);
}

pub(crate) fn set_bytes(world: &mut World, byte: u8, bytes: Bytes) {
    open(world, &[byte]);
    world.sheets.get_mut(&channel(byte)).unwrap().bytes = bytes;
}

/// Puts an intent into the book, in this state.
pub(crate) fn note(world: &mut World, intent: &Intent, state: PaymentState) {
    world.book.0.remove(&intent.payment_id);
    world.book.apply(&PaymentRecord::Intent(intent.clone()));
    world.book.0.get_mut(&intent.payment_id).unwrap().state = state;
}

/// The kinds of the events that the user saw, in order.
pub(crate) fn told(world: &World) -> String {
    events(&world.told)
}

pub(crate) fn events(events: &[Event]) -> String {
    let names: Vec<String> = events
        .iter()
        .map(|event| match event.key().unwrap().kind {
            EventKind::PathFailed { part, .. } => format!("f{part}"),
            EventKind::Failed => "F".into(),
            EventKind::Sent => "S".into(),
            EventKind::PathSuccessful { part, .. } => format!("s{part}"),
            EventKind::Probed => "P".into(),
            EventKind::Unknown => "U".into(),
            EventKind::Claimed => "C".into(),
        })
        .collect();
    names.join(" ")
}

fn letter(outcome: Outcome) -> char {
    match outcome.kind() {
        OutcomeKind::Sent => 's',
        OutcomeKind::Failed => 'f',
        OutcomeKind::Unknown => 'u',
    }
}

fn record_name(record: &PaymentRecord) -> String {
    match record {
        PaymentRecord::Rebuilt(_) => "B".into(),
        PaymentRecord::Decided { outcome, .. } => format!("D{}", letter(*outcome)),
        PaymentRecord::Adopted { outcome, .. } => format!("A{}", letter(*outcome)),
        PaymentRecord::Handled { .. } => "H".into(),
        PaymentRecord::Intent(_)
        | PaymentRecord::Retried(_)
        | PaymentRecord::Abandoned { .. }
        | PaymentRecord::Dropped { .. }
        | PaymentRecord::EpochRaised { .. } => panic!("the plan does not record {record:?}"),
    }
}

/// Writes a plan about payments down in short.
///
/// `B` rebuild, `Ds` `Df` record as sent or failed, `As` `Af` adopt, `H` note an event as known,
/// `T[..]` tell (`S` `F` the terminal events, `s0` `f0` the path events of part 0), `Rs1` `Rf1`
/// release the HTLC of channel 1 as sent or failed, `W1` wait for channel 1, `Y1` attempt 1 is owed,
/// `G1` note that the HTLC of channel 1 was given up, `N1` note in channel 1 that the payment is
/// unknown.
pub(crate) fn short(plan: &Plan) -> String {
    let names: Vec<String> = plan
        .actions
        .iter()
        .map(|planned| match &planned.action {
            Action::Record(record) => record_name(record),
            Action::Tell { events: queued, .. } => format!("T[{}]", events(queued)),
            Action::Release(release) => match release.told {
                Told::Payment { outcome, .. } => {
                    format!("R{}{}", letter(outcome), release.htlc.channel_id.0[0])
                }
                Told::Forward => format!("R>{}", release.htlc.channel_id.0[0]),
                Told::Claimed => format!("RC{}", release.htlc.channel_id.0[0]),
            },
            Action::Wait { channel_id, .. } => format!("W{}", channel_id.0[0]),
            Action::GiveUp(given_up) => format!("G{}", given_up.htlc.channel_id.0[0]),
            Action::NoteUnknown { channel_id, .. } => format!("N{}", channel_id.0[0]),
            Action::Retry { attempt, .. } => format!("Y{attempt}"),
            Action::Claim(_)
            | Action::FulfillHtlc { .. }
            | Action::WaitForPart { .. }
            | Action::DecideInbound { .. }
            | Action::ClaimInbound { .. }
            | Action::FailInbound { .. }
            | Action::NoteInboundOnChain { .. }
            | Action::ReportUnknownForward { .. }
            | Action::MarkChannelClosed { .. }
            | Action::ManagerBehind { .. }
            | Action::ReplayUpdate(_)
            | Action::UpdatesDurable { .. }
            | Action::MonitorBehind { .. } => panic!("not about a payment: {planned}"),
        })
        .collect();
    names.join(" ")
}
