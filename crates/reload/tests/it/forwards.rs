//! Forwards: every state of the inbound half against every verdict of the outbound one.

use std::collections::BTreeSet;

use lastword_ports::InboundState;
use lastword_reload::{Action, Planned, Reason, Scope};
use lastword_types::{
    AmountMsat, BlockHeight, ForwardOrigin, Htlc, HtlcDirection, HtlcFailure, HtlcId, HtlcKey,
    HtlcOrigin, ReleasePaymentComplete, Told, Verdict,
};

use crate::tools::{
    FAILED, FAILING, FULFILLED, LIVE, PREIMAGE, add_htlc, channel, open, set_bytes,
};
use crate::world::{Bytes, World};

fn key(byte: u8, direction: HtlcDirection) -> HtlcKey {
    HtlcKey { channel_id: channel(byte), direction, htlc_id: HtlcId(5) }
}

fn inbound() -> HtlcKey {
    key(1, HtlcDirection::Received)
}

fn outbound() -> HtlcKey {
    key(2, HtlcDirection::Offered)
}

fn world(state: InboundState, verdict: Verdict) -> World {
    let mut world = World::default();
    let htlc = Htlc {
        direction: HtlcDirection::Offered,
        htlc_id: outbound().htlc_id,
        amount_msat: AmountMsat(1_000),
        payment_hash: PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(500),
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound: inbound(),
            inbound_amount_msat: AmountMsat(1_001),
            inbound_cltv_expiry: BlockHeight(600),
        }),
    };
    add_htlc(&mut world, channel(2), htlc, verdict);
    world.inbound.insert(inbound(), state);
    world
}

#[test]
fn every_inbound_state_meets_every_verdict() {
    let (inbound, outbound) = (inbound(), outbound());
    let claim = Action::ClaimInbound { inbound, outbound, preimage: PREIMAGE };
    let fail = Action::FailInbound { inbound, outbound, reason: HtlcFailure::TimedOut };
    let release = Action::Release(ReleasePaymentComplete { htlc: outbound, told: Told::Forward });
    let report = Action::ReportUnknownForward { outbound };
    let resolved = Some((release.clone(), Reason::InboundResolved));
    let gone = Some((release, Reason::InboundGone));
    let unknown = Some((report, Reason::InboundUnknown));
    // One column for each verdict: live, failing, fulfilled, failed.
    let table = [
        (
            InboundState::Open,
            [
                None,
                None,
                Some((claim, Reason::OutboundFulfilled)),
                Some((fail, Reason::OutboundFailed)),
            ],
        ),
        (InboundState::Resolved, [None, None, resolved.clone(), resolved]),
        (InboundState::Gone, [None, None, gone.clone(), gone]),
        (InboundState::Unknown, [unknown.clone(), unknown.clone(), unknown.clone(), unknown]),
    ];
    let scope = Scope::Changed {
        payments: BTreeSet::new(),
        forwards: BTreeSet::from([outbound]),
        received: BTreeSet::new(),
    };
    for (state, row) in table {
        for (verdict, expected) in [LIVE, FAILING, FULFILLED, FAILED].into_iter().zip(row) {
            let world = world(state, verdict);
            let plan = world.plan_all();
            let found = plan.actions.first().map(|first| (first.action.clone(), first.reason));
            assert_eq!(found, expected, "{state:?} {verdict:?}");
            assert!(plan.actions.len() <= 1);
            assert_eq!(world.plan(&scope), plan, "the live path is the same");
        }
    }
}

/// The exception to waiting for proof: the inbound half would expire first.
#[test]
fn a_forward_that_is_given_up_early_fails_its_inbound_half_and_is_released_after_that() {
    let (inbound, outbound) = (inbound(), outbound());
    let verdict = Verdict::Failed { reason: HtlcFailure::FailedBack };
    let mut world = world(InboundState::Open, verdict);
    let plan = world.plan_all();
    let action = Action::FailInbound { inbound, outbound, reason: HtlcFailure::FailedBack };
    assert_eq!(plan.actions, [Planned { action, reason: Reason::FailedBack }]);
    let explained = plan.to_string();
    assert!(explained.contains("failed back before it was decided"), "{explained}");
    assert!(explained.contains("the inbound half would expire"), "{explained}");
    world.settle();
    assert_eq!(world.line(outbound).delivered, Some(Told::Forward));
    assert!(world.plan_all().is_empty());
}

/// No channel is saved by failing it back, so it is noted that it must wait: once, before anything is
/// decided, and whether the node's book knows the forward or not.
#[test]
fn a_forward_whose_inbound_channel_is_closed_is_noted_until_it_is_decided() {
    let (inbound, outbound) = (inbound(), outbound());
    let note = Planned {
        action: Action::NoteInboundOnChain { inbound, outbound },
        reason: Reason::InboundOnChain,
    };
    let scope = Scope::Changed {
        payments: BTreeSet::new(),
        forwards: BTreeSet::from([outbound]),
        received: BTreeSet::new(),
    };
    for (state, is_unsettled) in [
        (InboundState::Open, true),
        (InboundState::Unknown, true),
        (InboundState::Resolved, false),
        (InboundState::Gone, false),
    ] {
        for verdict in [LIVE, FAILING, FULFILLED, FAILED] {
            let mut world = world(state, verdict);
            open(&mut world, &[1]);
            let before = world.plan_all();
            world.sheets.get_mut(&channel(1)).unwrap().is_closed = true;
            let plan = world.plan_all();
            assert_eq!(world.plan(&scope), plan, "the live path is the same");
            let is_noted = is_unsettled && !verdict.is_final();
            assert_eq!(plan.actions.contains(&note), is_noted, "{state:?} {verdict:?}");
            assert_eq!(plan.actions.len(), before.actions.len() + usize::from(is_noted));
            if is_noted {
                world.execute(&note.action);
            }
            assert_eq!(world.plan_all(), before, "it is not noted again");
        }
    }
    let explained = note.to_string();
    assert!(explained.contains("is on chain"), "{explained}");
    assert!(explained.contains("saves nothing"), "{explained}");
}

#[test]
fn a_settled_forward_is_quiet() {
    for verdict in [FULFILLED, FAILED] {
        let mut world = world(InboundState::Open, verdict);
        world.settle();
        assert_eq!(world.inbound[&inbound()], InboundState::Resolved);
        assert_eq!(world.line(outbound()).delivered, Some(Told::Forward));
        assert!(world.plan_all().is_empty());
    }
}

#[test]
fn a_forward_in_a_damaged_channel_is_left_alone() {
    let mut world = world(InboundState::Open, FULFILLED);
    set_bytes(&mut world, 2, Bytes::Damaged);
    let forwards = BTreeSet::from([outbound()]);
    assert!(world.plan_all().is_empty());
    assert!(
        world
            .plan(&Scope::Changed {
                payments: BTreeSet::new(),
                forwards,
                received: BTreeSet::new()
            })
            .is_empty()
    );
}

/// Whatever the node's book says: the inbound half may be live in bytes that nobody can read, and then
/// the preimage is needed for it.
#[test]
fn a_forward_into_which_a_damaged_channel_led_is_never_released() {
    for state in
        [InboundState::Open, InboundState::Resolved, InboundState::Gone, InboundState::Unknown]
    {
        for verdict in [LIVE, FAILING, FULFILLED, FAILED] {
            let mut world = world(state, verdict);
            open(&mut world, &[1]);
            set_bytes(&mut world, 1, Bytes::Damaged);
            let is_release = |planned: &Planned| matches!(planned.action, Action::Release(_));
            let plan = world.plan_all();
            assert!(!plan.actions.iter().any(is_release), "{state:?}, {verdict:?}");
            let (inbound, outbound) = (inbound(), outbound());
            let claim = Action::ClaimInbound { inbound, outbound, preimage: PREIMAGE };
            let is_told = plan.actions.iter().any(|planned| planned.action == claim);
            assert_eq!(is_told, verdict == FULFILLED, "{state:?}, {verdict:?}");
        }
    }
}

#[test]
fn the_live_path_looks_only_at_the_forwards_that_it_is_given() {
    let world = world(InboundState::Open, FULFILLED);
    let mut other = outbound();
    other.htlc_id = HtlcId(6);
    let forwards = BTreeSet::from([other]);
    assert!(
        world
            .plan(&Scope::Changed {
                payments: BTreeSet::new(),
                forwards,
                received: BTreeSet::new()
            })
            .is_empty()
    );
}
