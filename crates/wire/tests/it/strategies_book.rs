//! Arbitrary payment records, books and events.

use lastword_types::{
    Alarm, BookEntry, BookEpoch, BookState, Event, EventKey, EventKind, Intent, IntentPart,
    Overdue, PaymentId, PaymentRecord, PaymentState,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::strategies::{
    attempt_part, bytes32, channel_id, failure, height, htlc_id, htlc_key, incarnation, integer,
    metadata, msat, number, outcome, payment_hash, preimage, terms, txid,
};
use lastword_wire::AnyRecord as Any;

fn intent() -> impl Strategy<Value = Intent> {
    let part = (channel_id(), htlc_id(), msat(), msat(), height()).prop_map(
        |(channel_id, htlc_id, amount_msat, part_amount_msat, cltv_expiry)| IntentPart {
            channel_id,
            htlc_id,
            amount_msat,
            part_amount_msat,
            cltv_expiry,
        },
    );
    let kept = (metadata(), terms());
    (incarnation(), attempt_part(), payment_hash(), (msat(), msat()), vec(part, 0..4), kept)
        .prop_map(|((payment_id, generation), (attempt, _), payment_hash, sums, parts, kept)| {
            let (metadata, terms) = kept;
            Intent {
                payment_id,
                generation,
                attempt,
                payment_hash,
                total_msat: sums.0,
                fee_msat: sums.1,
                parts,
                metadata,
                terms,
            }
        })
}

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        attempt_part().prop_map(|(attempt, part)| EventKind::PathFailed { attempt, part }),
        Just(EventKind::Failed),
        Just(EventKind::Sent),
        attempt_part().prop_map(|(attempt, part)| EventKind::PathSuccessful { attempt, part }),
        Just(EventKind::Probed),
        Just(EventKind::Unknown),
        Just(EventKind::Claimed),
    ]
}

pub(crate) fn payment_record() -> impl Strategy<Value = Any> {
    prop_oneof![
        intent().prop_map(PaymentRecord::Intent),
        intent().prop_map(PaymentRecord::Rebuilt),
        intent().prop_map(PaymentRecord::Retried),
        incarnation().prop_map(|(payment_id, generation)| PaymentRecord::Abandoned {
            payment_id,
            generation
        }),
        incarnation()
            .prop_map(|(payment_id, generation)| PaymentRecord::Dropped { payment_id, generation }),
        (incarnation(), outcome()).prop_map(|((payment_id, generation), outcome)| {
            PaymentRecord::Decided { payment_id, generation, outcome }
        }),
        (incarnation(), outcome()).prop_map(|((payment_id, generation), outcome)| {
            PaymentRecord::Adopted { payment_id, generation, outcome }
        }),
        (incarnation(), kind()).prop_map(|((payment_id, generation), kind)| {
            PaymentRecord::Handled { key: EventKey { payment_id, generation, kind } }
        }),
        integer().prop_map(|epoch| PaymentRecord::EpochRaised { epoch: BookEpoch(epoch) }),
    ]
    .prop_map(Any::Payment)
}

pub(crate) fn book_state() -> impl Strategy<Value = Any> {
    let state = prop_oneof![
        Just(PaymentState::Pending),
        outcome().prop_map(PaymentState::Decided),
        outcome().prop_map(PaymentState::Handled),
    ];
    let entry = (intent(), state, any::<bool>(), btree_set(kind(), 0..4)).prop_map(
        |(intent, state, is_abandoned, paths_handled)| BookEntry {
            intent,
            state,
            is_abandoned,
            paths_handled,
        },
    );
    let epoch = integer().prop_map(BookEpoch);
    (epoch, btree_map(bytes32().prop_map(PaymentId), entry, 0..6))
        .prop_map(|(epoch, payments)| Any::BookState(BookState { epoch, payments }))
}

fn alarm() -> impl Strategy<Value = Alarm> {
    prop_oneof![
        (channel_id(), txid())
            .prop_map(|(channel_id, txid)| Alarm::UnknownFundingSpend { channel_id, txid }),
        (channel_id(), txid(), number()).prop_map(|(channel_id, txid, number)| {
            Alarm::RevokedCommitment { channel_id, txid, number }
        }),
        htlc_key().prop_map(|htlc| Alarm::FinalityViolated { htlc }),
        (channel_id(), txid(), number()).prop_map(|(channel_id, txid, number)| {
            Alarm::FutureCommitment { channel_id, txid, number }
        }),
        channel_id().prop_map(|channel_id| Alarm::DataLoss { channel_id }),
        (htlc_key(), prop_oneof![Just(Overdue::Expired), Just(Overdue::Fulfilment)])
            .prop_map(|(htlc, overdue)| Alarm::GoingOnChain { htlc, overdue }),
        htlc_key().prop_map(|htlc| Alarm::ForwardLost { htlc }),
    ]
}

fn claimed() -> impl Strategy<Value = Event> {
    (preimage(), msat(), msat(), btree_set(htlc_key(), 0..4)).prop_map(
        |(preimage, amount_msat, lost_msat, parts)| Event::PaymentClaimed {
            payment_hash: preimage.payment_hash(),
            preimage,
            amount_msat,
            lost_msat,
            parts,
        },
    )
}

pub(crate) fn event() -> impl Strategy<Value = Any> {
    let sent = (incarnation(), payment_hash(), preimage(), msat(), msat()).prop_map(
        |((payment_id, generation), payment_hash, preimage, amount_msat, fee_msat)| {
            Event::PaymentSent {
                payment_id,
                generation,
                payment_hash,
                preimage,
                amount_msat,
                fee_msat,
            }
        },
    );
    let successful = (incarnation(), attempt_part(), htlc_key(), msat()).prop_map(
        |((payment_id, generation), (attempt, part), htlc, amount_msat)| {
            Event::PaymentPathSuccessful {
                payment_id,
                generation,
                attempt,
                part,
                htlc,
                amount_msat,
            }
        },
    );
    let path_failed = (incarnation(), attempt_part(), htlc_key(), failure()).prop_map(
        |((payment_id, generation), (attempt, part), htlc, reason)| Event::PaymentPathFailed {
            payment_id,
            generation,
            attempt,
            part,
            htlc,
            reason,
        },
    );
    let failed = (incarnation(), payment_hash(), failure()).prop_map(
        |((payment_id, generation), payment_hash, reason)| Event::PaymentFailed {
            payment_id,
            generation,
            payment_hash,
            reason,
        },
    );
    let probed = (incarnation(), payment_hash(), any::<bool>(), failure()).prop_map(
        |((payment_id, generation), payment_hash, is_reached, reason)| Event::Probed {
            payment_id,
            generation,
            payment_hash,
            is_reached,
            reason,
        },
    );
    let unknown =
        (incarnation(), payment_hash()).prop_map(|((payment_id, generation), payment_hash)| {
            Event::PaymentUnknown { payment_id, generation, payment_hash }
        });
    prop_oneof![
        sent,
        successful,
        path_failed,
        failed,
        probed,
        unknown,
        claimed(),
        alarm().prop_map(Event::Alarm),
    ]
    .prop_map(Any::Event)
}
