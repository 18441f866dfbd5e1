//! The values behind the golden files of payments: records, the book, and events.

use lastword_types::{
    Alarm, AmountMsat, BlockHeight, BookEntry, BookEpoch, BookState, ChannelId, Event, EventKey,
    EventKind, Generation, HtlcDirection, HtlcFailure, HtlcId, Intent, IntentPart, Metadata,
    Outcome, Overdue, PartIndex, PaymentHash, PaymentId, PaymentPreimage, PaymentRecord,
    PaymentState, Terms,
};

use crate::build::{key, number, txid};
use lastword_wire::AnyRecord as Any;

pub(crate) const PAYMENT: PaymentId = PaymentId([0x1D; 32]);
pub(crate) const GENERATION: Generation = Generation([0x6E; 16]);

/// The reasons for which an HTLC fails, all of them.
const REASONS: [(&str, HtlcFailure); 6] = [
    ("payment_decided_removed", HtlcFailure::Removed { code: 0x400F }),
    ("payment_decided_timed_out", HtlcFailure::TimedOut),
    ("payment_decided_absent", HtlcFailure::Absent),
    ("payment_decided_never_sent", HtlcFailure::NeverSent),
    ("payment_decided_abandoned", HtlcFailure::Abandoned),
    ("payment_decided_failed_back", HtlcFailure::FailedBack),
];

pub(crate) fn sent() -> Outcome {
    Outcome::Sent {
        preimage: PaymentPreimage([0x99; 32]),
        amount_msat: AmountMsat(100_000_000),
        fee_msat: AmountMsat(2_000),
    }
}

pub(crate) fn intent(parts: u8, metadata: Metadata) -> Intent {
    let part = |n| IntentPart {
        channel_id: ChannelId([0xC0 + n; 32]),
        htlc_id: HtlcId(2 + u64::from(n)),
        amount_msat: AmountMsat(50_001_000),
        part_amount_msat: AmountMsat(50_000_000),
        cltv_expiry: BlockHeight(800_144),
    };
    Intent {
        payment_id: PAYMENT,
        generation: GENERATION,
        attempt: 1,
        payment_hash: PaymentHash([0xAB; 32]),
        total_msat: AmountMsat(100_000_000),
        fee_msat: AmountMsat(2_000),
        parts: (1..=parts).map(part).collect(),
        metadata,
        terms: Terms::default(),
    }
}

pub(crate) fn payment_records() -> Vec<(&'static str, Any)> {
    let (payment_id, generation) = (PAYMENT, GENERATION);
    let handled = |kind| PaymentRecord::Handled { key: EventKey { payment_id, generation, kind } };
    let (attempt, part) = (1, PartIndex(300));
    let decided = |outcome| PaymentRecord::Decided { payment_id, generation, outcome };
    let mut records = vec![
        ("payment_intent", PaymentRecord::Intent(intent(2, Metadata::Here(b"order 66".into())))),
        ("payment_rebuilt", PaymentRecord::Rebuilt(intent(0, Metadata::Hash([0x4A; 32])))),
        ("payment_abandoned", PaymentRecord::Abandoned { payment_id, generation }),
        ("payment_decided_sent", decided(sent())),
        ("payment_handled_path_failed", handled(EventKind::PathFailed { attempt, part })),
        ("payment_handled_failed", handled(EventKind::Failed)),
        ("payment_handled_sent", handled(EventKind::Sent)),
        ("payment_handled_path_successful", handled(EventKind::PathSuccessful { attempt, part })),
        ("payment_adopted", PaymentRecord::Adopted { payment_id, generation, outcome: sent() }),
        ("payment_dropped", PaymentRecord::Dropped { payment_id, generation }),
        ("payment_decided_unknown", decided(Outcome::Unknown)),
        ("payment_handled_unknown", handled(EventKind::Unknown)),
        ("payment_handled_claimed", handled(EventKind::Claimed)),
        ("payment_epoch_raised", PaymentRecord::EpochRaised { epoch: BookEpoch(300) }),
    ];
    records.extend(REASONS.map(|(name, reason)| (name, decided(Outcome::Failed { reason }))));
    records.into_iter().map(|(name, record)| (name, Any::Payment(record))).collect()
}

pub(crate) fn book_states() -> Vec<(&'static str, Any)> {
    let entry = |state, is_abandoned, kinds: &[EventKind]| BookEntry {
        intent: intent(1, Metadata::Here(Vec::new())),
        state,
        is_abandoned,
        paths_handled: kinds.iter().copied().collect(),
    };
    let (attempt, part) = (0, PartIndex(0));
    let paths =
        [EventKind::PathFailed { attempt, part }, EventKind::PathSuccessful { attempt, part }];
    let failed = Outcome::Failed { reason: HtlcFailure::NeverSent };
    let payments = [
        (PaymentId([1; 32]), entry(PaymentState::Pending, true, &[])),
        (PaymentId([2; 32]), entry(PaymentState::Decided(sent()), false, &paths)),
        (PaymentId([3; 32]), entry(PaymentState::Handled(failed), false, &paths[..1])),
    ];
    vec![
        ("book_state_empty", Any::BookState(BookState::default())),
        (
            "book_state",
            Any::BookState(BookState { epoch: BookEpoch(5), payments: payments.into() }),
        ),
    ]
}

pub(crate) fn events() -> Vec<(&'static str, Any)> {
    let (payment_id, generation) = (PAYMENT, GENERATION);
    let (attempt, part, htlc) = (1, PartIndex(0), key(HtlcDirection::Offered, 3));
    let payment_hash = PaymentHash([0xAB; 32]);
    let amount_msat = AmountMsat(50_000_000);
    [
        (
            "event_payment_sent",
            Event::PaymentSent {
                payment_id,
                generation,
                payment_hash,
                preimage: PaymentPreimage([0x99; 32]),
                amount_msat,
                fee_msat: AmountMsat(2_000),
            },
        ),
        (
            "event_payment_path_successful",
            Event::PaymentPathSuccessful {
                payment_id,
                generation,
                attempt,
                part,
                htlc,
                amount_msat,
            },
        ),
        (
            "event_payment_path_failed",
            Event::PaymentPathFailed {
                payment_id,
                generation,
                attempt,
                part,
                htlc,
                reason: HtlcFailure::TimedOut,
            },
        ),
        (
            "event_payment_failed",
            Event::PaymentFailed {
                payment_id,
                generation,
                payment_hash,
                reason: HtlcFailure::Absent,
            },
        ),
        ("event_payment_unknown", Event::PaymentUnknown { payment_id, generation, payment_hash }),
        (
            "event_payment_claimed",
            Event::PaymentClaimed {
                payment_hash,
                preimage: PaymentPreimage([0xC2; 32]),
                amount_msat: AmountMsat(123_456_789),
                lost_msat: AmountMsat(7),
                parts: [2, 300].map(|htlc_id| key(HtlcDirection::Received, htlc_id)).into(),
            },
        ),
    ]
    .map(|(name, event)| (name, Any::Event(event)))
    .into_iter()
    .chain(alarms().map(|(name, alarm)| (name, Any::Event(Event::Alarm(alarm)))))
    .collect()
}

fn alarms() -> [(&'static str, Alarm); 8] {
    let (channel_id, txid) = (ChannelId([0xC1; 32]), txid(0xBA));
    let htlc = key(HtlcDirection::Offered, 3);
    let overdue = |overdue| Alarm::GoingOnChain { htlc, overdue };
    let [seventh, far] = [number(7), number(1 << 20)];
    [
        ("event_alarm_unknown_spend", Alarm::UnknownFundingSpend { channel_id, txid }),
        ("event_alarm_revoked", Alarm::RevokedCommitment { channel_id, txid, number: seventh }),
        ("event_alarm_finality", Alarm::FinalityViolated { htlc }),
        ("event_alarm_future", Alarm::FutureCommitment { channel_id, txid, number: far }),
        ("event_alarm_data_loss", Alarm::DataLoss { channel_id }),
        ("event_alarm_expired", overdue(Overdue::Expired)),
        ("event_alarm_fulfilment", overdue(Overdue::Fulfilment)),
        ("event_alarm_forward_lost", Alarm::ForwardLost { htlc }),
    ]
}
