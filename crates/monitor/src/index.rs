//! [`Index`]: what can be computed from the state, kept so that a record costs what it changes.

use alloc::collections::{BTreeMap, BTreeSet};

use bitcoin::OutPoint;
use lastword_bolt3::SecretStore;
use lastword_types::{
    BlockHeight, FulfilledHow, HtlcDirection, HtlcId, HtlcOrigin, HtlcState, MonitorState,
    OutputSpend, OutputSpendKind, PaymentHash, PaymentId, PaymentPreimage, Side, Tombstone,
};

use crate::closing::Closing;
use crate::deadline;
use crate::error::MonitorError;
use crate::marks::{HtlcRef, spell};
use crate::received;
use crate::verdict;

/// What the newest commitment of one side holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) offered: usize,
    pub(crate) received: usize,
    pub(crate) amount_msat: u64,
}

impl Held {
    pub(crate) fn count_mut(&mut self, direction: HtlcDirection) -> &mut usize {
        match direction {
            HtlcDirection::Offered => &mut self.offered,
            HtlcDirection::Received => &mut self.received,
        }
    }
}

/// Everything derived. Settled HTLCs are in none of its sets but those that the ledger reads.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// What our newest commitment holds.
    pub(crate) local: Held,
    /// What the peer's newest commitment holds.
    pub(crate) remote: Held,
    /// HTLCs whose verdict is not final.
    pub(crate) open: BTreeSet<HtlcRef>,
    /// HTLCs that stand in one of the up to four commitments that the state holds.
    pub(crate) standing: BTreeSet<HtlcRef>,
    /// Those of them that one side's newest commitment is without.
    pub(crate) leaving: BTreeSet<HtlcRef>,
    /// Those that stand in a commitment which is not revoked, by the height before which they should
    /// leave it.
    pub(crate) deadlines: BTreeSet<(BlockHeight, HtlcRef)>,
    /// Offered HTLCs whose outcome was not told.
    pub(crate) undelivered: BTreeSet<HtlcId>,
    /// Received HTLCs that somebody has to look at after a start.
    pub(crate) owed: BTreeSet<HtlcId>,
    /// The parts of payments.
    pub(crate) by_payment: BTreeMap<PaymentId, BTreeSet<HtlcId>>,
    /// The forgotten parts of payments.
    pub(crate) buried: BTreeMap<PaymentId, BTreeSet<HtlcId>>,
    /// How many received HTLCs have each payment hash.
    received: BTreeMap<PaymentHash, usize>,
    /// HTLCs whose preimage came after their final failure.
    pub(crate) violated: BTreeSet<HtlcRef>,
    /// Forgotten HTLCs that had failed and of which the chain shows the preimage.
    pub(crate) violated_past: BTreeSet<HtlcRef>,
    /// The commitment transaction that spends the funding output, built again.
    pub(crate) closing: Option<Closing>,
    /// Outputs of HTLC transactions that we may take.
    pub(crate) second_stages: BTreeSet<OutPoint>,
    /// The peer's secrets.
    pub(crate) secrets: SecretStore,
}

impl Index {
    /// Computes everything from a state that was checked.
    pub(crate) fn of(state: &MonitorState) -> Result<Self, MonitorError> {
        let mut index = Self {
            local: Held::default(),
            remote: Held::default(),
            open: BTreeSet::new(),
            standing: BTreeSet::new(),
            leaving: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            owed: BTreeSet::new(),
            by_payment: BTreeMap::new(),
            buried: BTreeMap::new(),
            received: BTreeMap::new(),
            violated: BTreeSet::new(),
            violated_past: BTreeSet::new(),
            closing: None,
            second_stages: BTreeSet::new(),
            secrets: SecretStore::from_slots(&state.remote_secrets)?,
        };
        for (key, htlc) in &state.htlcs {
            index.enter(*key, htlc);
            index.count(state, *key, htlc)?;
            index.place(state, *key, htlc);
        }
        index.closing = Closing::of_state(state, &index.standing, &index.secrets)?;
        for (key, htlc) in &state.htlcs {
            index.judge(state, *key, htlc);
        }
        for (htlc_id, tombstone) in &state.tombstones {
            index.bury(*htlc_id, tombstone);
        }
        index.reread_spends(state);
        Ok(index)
    }

    /// Takes a new HTLC into the sets that the ledger reads.
    pub(crate) fn enter(&mut self, (direction, id): HtlcRef, htlc: &HtlcState) {
        match direction {
            HtlcDirection::Offered if htlc.delivered.is_none() => {
                self.undelivered.insert(id);
            }
            HtlcDirection::Offered => {}
            HtlcDirection::Received => {
                *self.received.entry(htlc.htlc.payment_hash).or_default() += 1;
            }
        }
        match &htlc.htlc.origin {
            HtlcOrigin::Payment(origin) => {
                self.by_payment.entry(origin.payment_id).or_default().insert(id);
            }
            HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => {}
        }
    }

    /// Takes a forgotten HTLC out of every set; says whether it was the last received one of its
    /// payment hash.
    pub(crate) fn leave(&mut self, key @ (direction, id): HtlcRef, htlc: &HtlcState) -> bool {
        self.open.remove(&key);
        self.standing.remove(&key);
        self.leaving.remove(&key);
        self.violated.remove(&key);
        self.deadlines.remove(&(deadline::of(&htlc.htlc), key));
        if let HtlcOrigin::Payment(origin) = &htlc.htlc.origin {
            take_out(&mut self.by_payment, origin.payment_id, id);
        }
        match direction {
            HtlcDirection::Offered => {
                self.undelivered.remove(&id);
                false
            }
            HtlcDirection::Received => {
                self.owed.remove(&id);
                let count = self.received.get_mut(&htlc.htlc.payment_hash);
                let left = count.map_or(0, |count| {
                    *count -= 1;
                    *count
                });
                if left == 0 {
                    self.received.remove(&htlc.htlc.payment_hash);
                }
                left == 0
            }
        }
    }

    /// Says whether somebody has to look at the ledger after a start.
    pub(crate) fn has_undelivered(&self) -> bool {
        !self.undelivered.is_empty() || !self.owed.is_empty()
    }

    /// Takes in a tombstone.
    pub(crate) fn bury(&mut self, htlc_id: HtlcId, tombstone: &Tombstone) {
        self.buried.entry(tombstone.payment_id).or_default().insert(htlc_id);
    }

    /// Adds an HTLC to what the newest commitments hold.
    fn count(
        &mut self,
        state: &MonitorState,
        (direction, _): HtlcRef,
        htlc: &HtlcState,
    ) -> Result<(), MonitorError> {
        let newest = [
            (&mut self.local, htlc.local, state.local.commitment.number),
            (&mut self.remote, htlc.remote, state.remote.number),
        ];
        for (held, spell, number) in newest {
            if spell.is_some_and(|spell| spell.holds(number)) {
                *held.count_mut(direction) += 1;
                held.amount_msat = held
                    .amount_msat
                    .checked_add(htlc.htlc.amount_msat.0)
                    .ok_or(MonitorError::State("the HTLCs are worth more than there is"))?;
            }
        }
        Ok(())
    }

    /// Puts an HTLC into, or takes it out of, the sets that say where it stands.
    pub(crate) fn place(&mut self, state: &MonitorState, key: HtlcRef, htlc: &HtlcState) {
        let stands = stands(state, htlc);
        set(&mut self.standing, key, stands);
        set(&mut self.leaving, key, stands && htlc.removal.is_some());
        let deadline = (deadline::of(&htlc.htlc), key);
        set(&mut self.deadlines, deadline, deadline::is_live(state, htlc));
    }

    /// Puts an HTLC into, or takes it out of, the sets that say what became of it.
    pub(crate) fn judge(&mut self, state: &MonitorState, key: HtlcRef, htlc: &HtlcState) {
        let verdict = verdict::of(state, self.closing.as_ref(), htlc);
        set(&mut self.open, key, !verdict.is_final());
        set(&mut self.violated, key, htlc.late_preimage.is_some());
        match key {
            (HtlcDirection::Offered, _) => {}
            (HtlcDirection::Received, htlc_id) => {
                set(&mut self.owed, htlc_id, received::is_owed(&verdict, htlc));
            }
        }
    }

    /// Reads again which outputs of HTLC transactions we may take.
    pub(crate) fn reread_spends(&mut self, state: &MonitorState) {
        let is_revoked = self.closing.as_ref().is_some_and(|closing| closing.revoked().is_some());
        let spends = state.output_spends.values();
        self.second_stages = spends.filter_map(|spend| second_stage(spend, is_revoked)).collect();
        let shown = state.output_spends.values().filter_map(shown);
        let shown = shown.map(|(key, ..)| key);
        self.violated_past = shown.filter(|key| has_failed(state, *key)).collect();
    }
}

/// Returns the output of the HTLC transaction that made a spend, if we may take it: the transaction
/// is ours, or the commitment was revoked.
pub(crate) fn second_stage(spend: &OutputSpend, is_revoked: bool) -> Option<OutPoint> {
    match spend.kind {
        OutputSpendKind::HtlcPreimage { second_stage, .. }
        | OutputSpendKind::HtlcTimeout { second_stage, .. } => second_stage,
        OutputSpendKind::PeerHtlcTransaction { output, .. } => is_revoked.then_some(output),
        OutputSpendKind::HtlcOther { .. }
        | OutputSpendKind::Swept { .. }
        | OutputSpendKind::HtlcPenalty { .. } => None,
    }
}

/// Returns whose preimage a spend showed, and where.
pub(crate) fn shown(spend: &OutputSpend) -> Option<(HtlcRef, PaymentPreimage, FulfilledHow)> {
    match spend.kind {
        OutputSpendKind::HtlcPreimage { direction, htlc_id, preimage, .. }
        | OutputSpendKind::PeerHtlcTransaction {
            direction,
            htlc_id,
            preimage: Some(preimage),
            ..
        } => Some(((direction, htlc_id), preimage, FulfilledHow::Chain { txid: spend.txid })),
        OutputSpendKind::PeerHtlcTransaction { preimage: None, .. }
        | OutputSpendKind::HtlcTimeout { .. }
        | OutputSpendKind::HtlcOther { .. }
        | OutputSpendKind::Swept { .. }
        | OutputSpendKind::HtlcPenalty { .. } => None,
    }
}

/// Says whether an HTLC is forgotten and had failed.
fn has_failed(state: &MonitorState, key: HtlcRef) -> bool {
    state.past.get(&key).is_some_and(|past| past.is_failed)
}

fn take_out(of: &mut BTreeMap<PaymentId, BTreeSet<HtlcId>>, payment_id: PaymentId, id: HtlcId) {
    if let Some(ids) = of.get_mut(&payment_id) {
        ids.remove(&id);
        if ids.is_empty() {
            of.remove(&payment_id);
        }
    }
}

/// Says whether an HTLC stands in one of the commitments that the state holds.
fn stands(state: &MonitorState, htlc: &HtlcState) -> bool {
    let local_previous = state.local_previous.as_ref().map(|signed| signed.commitment.number);
    let remote_previous = state.remote_previous.as_ref().map(|unsigned| unsigned.number);
    let in_any = |owner, numbers: [Option<_>; 2]| {
        spell(htlc, owner)
            .is_some_and(|spell| numbers.into_iter().flatten().any(|number| spell.holds(number)))
    };
    in_any(Side::Local, [Some(state.local.commitment.number), local_previous])
        || in_any(Side::Remote, [Some(state.remote.number), remote_previous])
}

fn set<K: Ord>(of: &mut BTreeSet<K>, key: K, is_member: bool) {
    if is_member {
        of.insert(key);
    } else {
        of.remove(&key);
    }
}

/// Says whether the channel is closed: its funding output is spent, or we decided to fail it.
pub(crate) fn is_closed(state: &MonitorState) -> bool {
    state.fail_channel || state.funding_spend.is_some()
}
