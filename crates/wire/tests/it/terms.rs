//! The values behind the golden files of payments on unusual terms: retries and probes.

use lastword_types::{
    BlockHeight, BookEntry, BookEpoch, BookState, ChannelId, Event, EventKey, EventKind, GiveUp,
    HtlcDirection, HtlcFailure, HtlcOrigin, HtlcState, Intent, Metadata, MonitorRecord,
    MonitorState, PaymentHash, PaymentId, PaymentRecord, PaymentState, Purpose, RetryPolicy, Spell,
    Terms,
};

use crate::book::{GENERATION, PAYMENT, intent};
use crate::build::{htlc, key, number, paid_by};
use crate::samples::quiet_state;
use lastword_wire::AnyRecord as Any;

fn retried() -> Terms {
    let deadline_height = Some(BlockHeight(800_100));
    Terms {
        retry: RetryPolicy { attempts_max: 3, deadline_height },
        purpose: Purpose::Payment,
        earlier_channels: [ChannelId([0xC2; 32]), ChannelId([0xC1; 32])].into(),
    }
}

fn probe() -> Terms {
    Terms { purpose: Purpose::Probe, ..Terms::default() }
}

fn with(terms: Terms) -> Intent {
    Intent { terms, ..intent(1, Metadata::Here(b"order 66".into())) }
}

fn state() -> MonitorState {
    let origin = |terms| match paid_by(Metadata::Here(Vec::new())) {
        HtlcOrigin::Payment(origin) => {
            HtlcOrigin::Payment(lastword_types::PaymentOrigin { terms, ..origin })
        }
        other @ (HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }) => other,
    };
    let direction = HtlcDirection::Offered;
    let htlc = |htlc_id, terms, is_given_up| {
        let htlc = htlc(direction, htlc_id, origin(terms));
        let remote = Some(Spell { from: number(40), until: None });
        let state = HtlcState {
            htlc: htlc.clone(),
            local: None,
            remote,
            removal: None,
            fulfilled: None,
            failed: None,
            late_preimage: None,
            delivered: None,
            is_given_up,
            claim: None,
            is_inbound_on_chain: false,
            source: None,
        };
        ((direction, htlc.htlc_id), state)
    };
    let htlcs = [htlc(3, retried(), true), htlc(4, probe(), false)].into();
    MonitorState { htlcs, ..quiet_state() }
}

pub(crate) fn all() -> Vec<(&'static str, Any)> {
    let (payment_id, generation) = (PAYMENT, GENERATION);
    let given_up = GiveUp { htlc: key(HtlcDirection::Offered, 3), generation };
    let kind = EventKind::Probed;
    let handled = PaymentRecord::Handled { key: EventKey { payment_id, generation, kind } };
    let probed = |is_reached, reason| {
        let payment_hash = PaymentHash([0xAB; 32]);
        Any::Event(Event::Probed { payment_id, generation, payment_hash, is_reached, reason })
    };
    let entry = |terms| BookEntry {
        intent: with(terms),
        state: PaymentState::Pending,
        is_abandoned: false,
        paths_handled: [].into(),
    };
    let payments = [
        (PaymentId([1; 32]), entry(retried())),
        (PaymentId([2; 32]), entry(Terms::default())),
        (PaymentId([3; 32]), entry(probe())),
    ];
    vec![
        ("monitor_given_up", Any::Monitor(MonitorRecord::GivenUp(given_up))),
        ("monitor_state_given_up", Any::MonitorState(Box::new(state()))),
        ("payment_intent_probe", Any::Payment(PaymentRecord::Intent(with(probe())))),
        ("payment_rebuilt_retried", Any::Payment(PaymentRecord::Rebuilt(with(retried())))),
        ("payment_retried", Any::Payment(PaymentRecord::Retried(with(retried())))),
        ("payment_retried_bare", Any::Payment(PaymentRecord::Retried(with(Terms::default())))),
        ("payment_handled_probed", Any::Payment(handled)),
        (
            "book_state_terms",
            Any::BookState(BookState { epoch: BookEpoch(5), payments: payments.into() }),
        ),
        ("event_probed", probed(false, HtlcFailure::TimedOut)),
        ("event_probed_reached", probed(true, HtlcFailure::Removed { code: 0x400F })),
    ]
}
