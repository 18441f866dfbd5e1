//! [`Truth`]: what of a scene is true, from the chain, the peer and the caller alone, and whether
//! what the user was told agrees with it.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::OutPoint;
use lastword_bolt3::OutputKind;
use lastword_types::{ANTI_REORG_DELAY, BalanceTotals, Event, PaymentId, Side};

use super::case::{Closing, Known};
use super::channel::{FUNDING, Name, Which};
use super::scene::{Role, Scene};
use super::stage::Stage;
use crate::peer::shows_preimage;
use crate::world::accounts::follow;

/// What is true of a scene, and what its user was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    /// The last word on each payment.
    told: BTreeMap<PaymentId, Event>,
    /// The HTLCs of the node whose preimage the peer showed on chain, in their own output.
    shown: BTreeSet<Name>,
    /// Those that it fulfilled by a message.
    messaged: BTreeSet<Name>,
    /// How often a last word came again.
    pub(super) again: usize,
    /// What the node reported at the end.
    totals: BalanceTotals,
    /// What must not be, in words.
    pub(super) violations: Vec<String>,
}

impl Truth {
    /// Takes note of what the peer has fulfilled by a message.
    pub(super) fn was_fulfilled(&mut self, scene: &Scene, role: Role) {
        let of_role = scene.deals.iter().filter(|deal| deal.role == role);
        self.messaged.extend(of_role.map(|deal| deal.name).filter(|name| name.0 == Side::Local));
    }

    /// Takes note of what the best block shows.
    pub(super) fn look_at_chain(&mut self, stage: &Stage, scene: &Scene) {
        let Some((which, _)) = confirmed(stage, scene) else { return };
        for deal in scene.deals.iter().filter(|deal| deal.name.0 == Side::Local) {
            let Some(offer) = scene.channel.offers.get(&deal.name) else { continue };
            let output = scene.channel.output(which, deal.name);
            let spend = output.and_then(|output| stage.index.spend(output));
            let hash = offer.preimage.payment_hash();
            if spend.is_some_and(|spend| shows_preimage(&spend.transaction, hash)) {
                self.shown.insert(deal.name);
            }
        }
    }

    /// Hears what the user is told (M1, M2).
    pub(super) fn hear(&mut self, stage: &Stage, scene: &Scene, event: &Event) {
        let Some(key) = event.key().filter(|key| key.kind.is_terminal()) else { return };
        if let Some(before) = self.told.get(&key.payment_id) {
            self.again += 1;
            if before != event {
                self.violations.push(format!("M1: told {before:?}, then {event:?}"));
            }
            return;
        }
        let Some((role, name)) = payment(scene, key.payment_id) else {
            self.violations.push(format!("M1: nobody made this payment: {event:?}"));
            return;
        };
        let is_paid = self.shown.contains(&name) || self.messaged.contains(&name);
        let is_sent = matches!(event, Event::PaymentSent { .. });
        if is_sent && !is_paid {
            self.violations.push(format!("M2: {role:?} was told sent and its HTLC was not taken"));
        }
        if !is_sent && (is_paid || may_be_paid(stage, scene, name)) {
            self.violations.push(format!("M1: {role:?} failed and may be or was paid: {event:?}"));
        }
        self.told.insert(key.payment_id, event.clone());
    }

    /// Checks the end: one last word for each payment, the right one (M1, M3).
    pub(super) fn check_words(&mut self, stage: &Stage, scene: &Scene) {
        for deal in &scene.deals {
            let Some(payment_id) = payment_id(scene, deal.name) else { continue };
            let is_paid = self.shown.contains(&deal.name) || self.messaged.contains(&deal.name);
            match self.told.get(&payment_id) {
                // What such a closing holds for an HTLC cannot be known.
                None if is_blind(stage, scene) && !self.messaged.contains(&deal.name) => {}
                None => {
                    let role = deal.role;
                    self.violations.push(format!("M1: {role:?} has no last word"));
                }
                Some(Event::PaymentFailed { .. }) if is_paid && !was_over(deal.role) => {
                    self.violations.push(format!("M3: {:?} was paid and failed", deal.role));
                }
                Some(_) => {}
            }
        }
    }

    /// Checks the end: every output of the channel is with whom it belongs to (M7, M8), and returns
    /// what the node must report as its own.
    pub(super) fn check_outputs(&mut self, stage: &Stage, scene: &Scene) -> Option<u64> {
        let scripts = [Side::Local, Side::Remote].map(|side| &**stage.script(side));
        let funding = scene.channel.parameters.funding_outpoint;
        let whole = follow(&stage.index, scripts, funding);
        let rest: u64 = whole.rest.iter().map(|(_, value)| value).sum();
        if whole.ours + whole.theirs + whole.fees + rest != FUNDING.to_sat() {
            self.violations.push(format!("M7: satoshi were lost: {whole:?}"));
        }
        let (which, _) = confirmed(stage, scene)?;
        let built = &scene.channel.commitment(which).ok()?.built;
        let mut ours = BTreeSet::new();
        for (output, vout) in built.outputs.iter().zip(0..) {
            let outpoint = OutPoint { txid: built.txid(), vout };
            let shares = follow(&stage.index, scripts, outpoint);
            let expected = self.owner(stage, scene, which, output.kind);
            let (got, not_theirs) = (shares.ours > 0, shares.theirs == 0);
            let is_right = match expected {
                Some(Side::Local) => got && not_theirs && shares.rest.is_empty(),
                Some(Side::Remote) => !got,
                None => true,
            };
            if !is_right {
                let kind = output.kind;
                self.violations.push(format!("M8: {kind:?} is to go to {expected:?}: {shares:?}"));
            }
            if expected.is_some() {
                ours.extend(shares.paid_us);
            }
        }
        Some(ours.into_iter().map(|(_, value)| value).sum())
    }

    /// Returns who is to have an output of the confirmed commitment; `None` where it is open.
    fn owner(&self, stage: &Stage, scene: &Scene, which: Which, kind: OutputKind) -> Option<Side> {
        if is_punished(stage, scene) {
            return match kind {
                OutputKind::Anchor(_) | OutputKind::SharedAnchor => None,
                OutputKind::ToLocal | OutputKind::ToRemote | OutputKind::Htlc { .. } => {
                    Some(Side::Local)
                }
            };
        }
        let (direction, htlc_id) = match kind {
            OutputKind::ToLocal => return Some(which.0),
            OutputKind::ToRemote => return Some(which.0.other()),
            OutputKind::Anchor(_) | OutputKind::SharedAnchor => return None,
            OutputKind::Htlc { direction, htlc_id, .. } => (direction, htlc_id),
        };
        if is_blind(stage, scene) {
            return None;
        }
        let found =
            scene.deals.iter().find(|deal| super::channel::seen(deal.name) == (direction, htlc_id));
        let deal = found?;
        let is_known = matches!(scene.case.known, Known::Before | Known::After);
        Some(match (deal.name.0, deal.role) {
            (Side::Local, _) if self.shown.contains(&deal.name) => Side::Remote,
            (Side::Local, _) => Side::Local,
            (Side::Remote, Role::Main | Role::Twin) if is_known => Side::Local,
            // A payment of ours with the same hash may have taught us the preimage.
            (Side::Remote, Role::Mirror) if scene.case.known != Known::Never => return None,
            (Side::Remote, _) => Side::Remote,
        })
    }

    /// Says in words how the scene ended; what differs only in numbers is the same.
    pub(super) fn shape(&self, stage: &Stage, scene: &Scene, totals: BalanceTotals) -> String {
        let closing = confirmed(stage, scene)
            .map(|(which, _)| (which.0, is_punished(stage, scene), is_blind(stage, scene)));
        let words = scene.deals.iter().map(|deal| {
            let word = payment_id(scene, deal.name).and_then(|id| self.told.get(&id));
            let word = word.map(|event| match event {
                Event::PaymentSent { .. } => "sent".to_owned(),
                Event::PaymentFailed { reason, .. } => format!("{reason:?}"),
                Event::PaymentPathSuccessful { .. }
                | Event::PaymentPathFailed { .. }
                | Event::Probed { .. }
                | Event::PaymentUnknown { .. }
                | Event::PaymentClaimed { .. }
                | Event::Alarm(_) => "no word".to_owned(),
            });
            (deal.role, deal.name.0, word)
        });
        let words: Vec<_> = words.collect();
        format!("{:?} {:?} {closing:?} {words:?} {totals:?}", scene.case.format, scene.case.closing)
    }

    pub(super) fn set_totals(&mut self, totals: BalanceTotals) {
        self.totals = totals;
    }

    pub(super) fn totals(&self) -> BalanceTotals {
        self.totals
    }

    /// Makes the truth of one who has heard what `before` has, and sees only the final chain.
    pub(super) fn of_final_chain(&self, before: &Self, stage: &Stage, scene: &Scene) -> Self {
        let told = before.told.clone();
        let mut truth = Self { told, messaged: self.messaged.clone(), ..Self::default() };
        truth.look_at_chain(stage, scene);
        truth
    }

    /// Checks that the same was told to one who saw the final chain alone (M5).
    pub(super) fn check_same(&mut self, scene: &Scene, live: &Self) {
        for deal in &scene.deals {
            let Some(payment_id) = payment_id(scene, deal.name) else { continue };
            let was_undone = live.shown.contains(&deal.name) && !self.shown.contains(&deal.name);
            let words = [&*self, live].map(|truth| truth.told.get(&payment_id));
            if words[0] != words[1] && !was_undone {
                let words = format!("M5: {:?} from scratch, {:?} live", words[0], words[1]);
                self.violations.push(words);
            }
        }
    }

    /// Returns what was told of every payment.
    pub(super) fn words(&self) -> &BTreeMap<PaymentId, Event> {
        &self.told
    }
}

/// Returns the commitment that spends the funding output in the best chain, and its height.
pub(super) fn confirmed(stage: &Stage, scene: &Scene) -> Option<(Which, u32)> {
    let spend = stage.index.spend(scene.channel.parameters.funding_outpoint)?;
    Some((scene.channel.find(spend.transaction.compute_txid())?, spend.height))
}

/// Says whether the confirmed closing is one that the peer had revoked.
pub(super) fn is_punished(stage: &Stage, scene: &Scene) -> bool {
    let is_it =
        confirmed(stage, scene).is_some_and(|(which, _)| Some(which) == scene.closing.which);
    scene.case.is_revoked() && is_it
}

/// Says whether the confirmed closing is one of which the node cannot know what it holds.
fn is_blind(stage: &Stage, scene: &Scene) -> bool {
    let funding = scene.channel.parameters.funding_outpoint;
    let spend = stage.index.spend(funding).map(|spend| spend.transaction.compute_txid());
    scene.case.is_blind() && spend == Some(scene.closing.transaction.compute_txid())
}

/// Says whether the peer may still be paid for an HTLC, by the chain as it is.
fn may_be_paid(stage: &Stage, scene: &Scene, name: Name) -> bool {
    let tip = stage.height();
    let is_deep = |height: u32| tip + 1 >= height + ANTI_REORG_DELAY;
    let funding = scene.channel.parameters.funding_outpoint;
    let spend = stage.index.spend(funding);
    let which = confirmed(stage, scene).map(|(which, _)| which);
    let output = which.and_then(|which| scene.channel.output(which, name));
    match spend {
        Some(spend) if is_deep(spend.height) => output.is_some_and(|output| {
            stage.index.spend(output).is_none_or(|spend| !is_deep(spend.height))
        }),
        Some(_) | None => {
            let mut valid = scene.valid.iter().chain(which.as_ref());
            valid.any(|which| scene.channel.output(*which, name).is_some())
        }
    }
}

/// Says whether a payment had its last word long before the closing.
fn was_over(role: Role) -> bool {
    matches!(role, Role::Failed | Role::Fulfilled)
}

fn payment_id(scene: &Scene, name: Name) -> Option<PaymentId> {
    scene.channel.offers.get(&name)?.intent.as_ref().map(|intent| intent.payment_id)
}

fn payment(scene: &Scene, wanted: PaymentId) -> Option<(Role, Name)> {
    let mut deals = scene.deals.iter();
    let deal = deals.find(|deal| payment_id(scene, deal.name) == Some(wanted))?;
    Some((deal.role, deal.name))
}

/// Says whether the node reports the end of a closing like this one to the satoshi.
pub(super) fn is_reported(stage: &Stage, scene: &Scene) -> bool {
    scene.case.closing != Closing::Mutual && !is_blind(stage, scene)
}
