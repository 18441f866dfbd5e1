//! [`Monitor`]: the fold of one channel's records. All routing is here; the leaves are pure.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::Transaction;
use lastword_types::{
    Alarm, BookEpoch, Bug, Card, ChainDelta, ClaimRequest, Close, CommitmentNumber, Effect,
    Generation, Htlc, HtlcClaim, HtlcDirection, HtlcFailure, HtlcId, HtlcKey, HtlcState,
    MempoolEvidence, MonitorRecord, MonitorState, MonitorUpdate, NewChannel, PaymentId, Side, Told,
    UpdateId, UpdateStep, Verdict,
};

use crate::block::{self, BlockDraft};
use crate::closing;
use crate::error::MonitorError;
use crate::funding;
use crate::index::{self, Index};
use crate::invariant;
use crate::marks::{HtlcRef, Marks};
use crate::received;
use crate::release;
use crate::revoked;
use crate::update::{self, UpdateDraft};
use crate::{archive, card, claims, deadline, forget, mempool, verdict};

/// The monitor of one channel: what the channel, the chain and the consumer told it, and what
/// follows from that.
///
/// # Invariants
///
/// The state is the fold of the channel's records: [`restore`](Self::restore) of a monitor's
/// [`state`](Self::state) behaves like the monitor. A final verdict never changes.
///
/// Two monitors cannot be compared: what one remembers can, and what it derives from that is its own
/// affair.
///
/// ```compile_fail,E0369
/// fn are_equal(one: lastword_monitor::Monitor, other: lastword_monitor::Monitor) -> bool {
///     one == other
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Monitor {
    state: MonitorState,
    index: Index,
    /// Counts commits, so that a token of another moment is recognised.
    revision: u64,
}

/// The permission to commit one record, for the monitor in the state that was checked.
#[derive(Debug, Clone)]
#[must_use = "a checked record does nothing until it is committed"]
pub struct Accepted<'r> {
    change: Change<'r>,
    at: u64,
}

/// What a record changes, worked out by `check`.
#[derive(Debug, Clone)]
enum Change<'r> {
    Nothing(Noop),
    Update(UpdateId, Box<UpdateDraft<'r>>),
    Release(Vec<HtlcRef>, Told),
    GiveUp(HtlcId),
    InboundOnChain(HtlcId),
    Claim(&'r HtlcClaim, BTreeSet<HtlcId>),
    ToldUnknown(PaymentId, Generation),
    Block(Box<BlockDraft>),
    Disconnect(lastword_types::BlockRef),
    Evidence(HtlcRef, Marks),
    Prune(BookEpoch),
    Archive,
}

/// Why a record changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noop {
    /// The monitor has it already.
    Known,
    /// The channel is archived, and what the record says comes too late to matter (rule R11).
    Archived,
}

impl Accepted<'_> {
    /// Says whether the record says nothing new, so that it need not be written.
    pub fn is_noop(&self) -> bool {
        self.noop().is_some()
    }

    /// Returns why the record changes nothing, if it does not.
    pub fn noop(&self) -> Option<Noop> {
        match self.change {
            Change::Nothing(why) => Some(why),
            Change::Update(..)
            | Change::Release(..)
            | Change::GiveUp(_)
            | Change::InboundOnChain(_)
            | Change::Claim(..)
            | Change::Evidence(..)
            | Change::Block(_)
            | Change::Disconnect(_)
            | Change::Prune(_)
            | Change::ToldUnknown(..)
            | Change::Archive => None,
        }
    }
}

/// Verdicts before a change; `None` for an HTLC that is new.
type Before = BTreeMap<HtlcRef, Option<Verdict>>;

impl Monitor {
    /// Begins the monitor of a channel: the fold of its first record.
    ///
    /// # Errors
    ///
    /// [`MonitorError::WrongCommitmentNumber`], [`MonitorError::WrongBalance`] or
    /// [`MonitorError::State`] if the first commitments are none.
    ///
    /// Source: BOLT 2, `funding_created` and `funding_signed`.
    pub fn create(new: NewChannel) -> Result<Self, MonitorError> {
        let NewChannel { parameters, local, remote, birth } = new;
        for (owner, number) in [(Side::Local, local.number), (Side::Remote, remote.number)] {
            if number != CommitmentNumber::ZERO {
                let latest = CommitmentNumber::ZERO;
                return Err(MonitorError::WrongCommitmentNumber { owner, latest, got: number });
            }
        }
        let has_htlcs = [&local.added, &remote.added].iter().any(|added| !added.is_empty())
            || [&local.removed, &remote.removed].iter().any(|removed| !removed.is_empty())
            || !local.htlc_signatures.is_empty();
        if has_htlcs {
            return Err(MonitorError::State("a channel begins without HTLCs"));
        }
        Self::restore(MonitorState {
            parameters,
            latest_update: UpdateId::ZERO,
            local: update::local_of(&local),
            local_previous: None,
            remote: update::remote_of(&remote),
            remote_previous: None,
            remote_secrets: Vec::new(),
            htlcs: BTreeMap::new(),
            preimages: BTreeMap::new(),
            closing_txids: BTreeSet::new(),
            fail_channel: false,
            data_loss: false,
            best: birth,
            funding_spend: None,
            output_spends: BTreeMap::new(),
            fundings: Vec::new(),
            funding_confirmed: None,
            past: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            told_unknown: BTreeSet::new(),
            forgotten: BTreeMap::new(),
            pruned_behind: BookEpoch::ZERO,
            is_archived: false,
        })
    }

    /// Puts a monitor back from what it remembered.
    ///
    /// # Errors
    ///
    /// [`MonitorError::State`] or [`MonitorError::Bolt3`] if no run of records leads to this state;
    /// [`MonitorError::WrongBalance`] and its like where one commitment is at fault.
    pub fn restore(state: MonitorState) -> Result<Self, MonitorError> {
        invariant::check_state(&state)?;
        let index = Index::of(&state)?;
        invariant::check_index(&state, &index)?;
        Ok(Self { state, index, revision: 0 })
    }

    /// Returns everything that must be kept.
    pub fn state(&self) -> &MonitorState {
        &self.state
    }

    /// Says whether a record may be committed. Changes nothing; every refusal is here.
    ///
    /// The same update, release or block again is accepted as one that says nothing new. Of a block
    /// below the best one only what it changes can be judged: the hashes of blocks that held nothing
    /// of this channel are not remembered.
    ///
    /// # Errors
    ///
    /// [`MonitorError`], which names what is wrong.
    pub fn check<'r>(&self, record: &'r MonitorRecord) -> Result<Accepted<'r>, MonitorError> {
        if self.state.is_archived {
            let change = self.check_archived(record)?;
            return Ok(Accepted { change, at: self.revision });
        }
        let change = match record {
            MonitorRecord::Created(_) => return Err(MonitorError::AlreadyCreated),
            MonitorRecord::Update(update) => self.check_update(update)?,
            MonitorRecord::Release(release) => {
                self.check_channel(release.htlc.channel_id)?;
                release::check(&self.state, self.index.closing.as_ref(), release)?
                    .map_or(Change::Nothing(Noop::Known), |(keys, told)| {
                        Change::Release(keys, told)
                    })
            }
            MonitorRecord::Chain(delta) => self.check_chain(delta)?,
            MonitorRecord::GivenUp(given_up) => {
                self.check_channel(given_up.htlc.channel_id)?;
                release::check_given_up(&self.state, given_up)?
                    .map_or(Change::Nothing(Noop::Known), Change::GiveUp)
            }
            MonitorRecord::InboundOnChain { htlc } => {
                self.check_channel(htlc.channel_id)?;
                let (closing, key) = (self.index.closing.as_ref(), (htlc.direction, htlc.htlc_id));
                release::check_inbound_on_chain(&self.state, closing, key)?
                    .map_or(Change::Nothing(Noop::Known), Change::InboundOnChain)
            }
            MonitorRecord::Claim(claim) => {
                self.check_channel(claim.channel_id)?;
                let new = received::check(&self.state, self.index.closing.as_ref(), claim)?;
                let is_known = new.is_empty();
                if is_known { Change::Nothing(Noop::Known) } else { Change::Claim(claim, new) }
            }
            MonitorRecord::PruneTombstones { behind } => self.check_prune(*behind)?,
            MonitorRecord::ToldUnknown { payment_id, generation } => {
                self.told_unknown(*payment_id, *generation)
            }
            MonitorRecord::Archive => {
                archive::check(&self.state, &self.index).map_err(MonitorError::NotArchivable)?;
                Change::Archive
            }
            MonitorRecord::Mempool(evidence) => {
                self.check_channel(evidence.htlc.channel_id)?;
                mempool::check(&self.state, evidence)?
                    .map_or(Change::Nothing(Noop::Known), |(key, marks)| {
                        Change::Evidence(key, marks)
                    })
            }
        };
        Ok(Accepted { change, at: self.revision })
    }

    /// Commits a checked record and says what should be looked at again.
    ///
    /// # Crash safety
    ///
    /// The record is appended to the log before. The effects are hints: what they point to can be
    /// asked for at any time.
    ///
    /// # Panics
    ///
    /// If the monitor changed after the check.
    pub fn commit(&mut self, Accepted { change, at }: Accepted<'_>) -> Vec<Effect> {
        assert_eq!(self.revision, at, "a token is used on the state that was checked");
        self.revision += 1;
        let effects = match change {
            Change::Nothing(_) => Vec::new(),
            Change::Update(update_id, draft) => self.commit_update(update_id, *draft),
            Change::Release(keys, told) => self.commit_release(&keys, told),
            Change::GiveUp(htlc_id) => self.commit_given_up(htlc_id),
            Change::InboundOnChain(htlc_id) => self.commit_inbound_on_chain(htlc_id),
            Change::Claim(claim, new) => self.commit_claim(claim, &new),
            Change::Block(draft) => self.commit_block(*draft),
            Change::Disconnect(fork) => self.commit_disconnect(fork),
            Change::Evidence(key, marks) => self.commit_evidence(key, marks),
            Change::Prune(behind) => self.commit_prune(behind),
            Change::ToldUnknown(payment_id, generation) => {
                self.state.told_unknown.insert((payment_id, generation));
                Vec::from([Effect::CardChanged])
            }
            Change::Archive => {
                self.state.is_archived = true;
                Vec::from([Effect::ClaimsChanged, Effect::CardChanged])
            }
        };
        debug_assert_eq!(invariant::check_state(&self.state), Ok(()));
        debug_assert_eq!(invariant::check_index(&self.state, &self.index), Ok(()));
        effects
    }

    /// Checks and commits a record: for replay, where the log holds it already.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); the monitor is unchanged.
    pub fn apply(&mut self, record: &MonitorRecord) -> Result<Vec<Effect>, MonitorError> {
        let accepted = self.check(record)?;
        Ok(self.commit(accepted))
    }

    /// Returns what must be known of the channel while the monitor is not in memory.
    pub fn card(&self) -> Card {
        card::of(&self.state, &self.index)
    }

    /// Returns every output that should be spent by us, by outpoint, as long as no confirmed
    /// transaction spends it.
    ///
    /// Source: BOLT 5.
    pub fn claim_requests(&self) -> Vec<ClaimRequest> {
        claims::of(&self.state, &self.index)
    }

    /// Returns what an unconfirmed transaction shows of HTLCs that we offered, for records of its own;
    /// nothing if it is none of this channel's, or shows what is known.
    ///
    /// # Shape
    ///
    /// At most one for each input, in their order. Whatever the transaction holds, it is an answer.
    pub fn evidence_in(&self, transaction: &Transaction) -> Vec<MempoolEvidence> {
        mempool::read(&self.state, &self.index, transaction)
    }

    /// Returns what a person should hear of, as long as it stands.
    pub fn alarms(&self) -> Vec<Alarm> {
        let violated = self.index.violated.iter().chain(&self.index.violated_past);
        let violated = violated.map(|key| self.late_alarm(*key));
        let waits = self.state.fail_channel && self.state.funding_spend.is_none();
        let overdue = waits.then(|| self.overdue_alarms(|_| true)).into_iter().flatten();
        let channel = self.closing_alarm().into_iter().chain(self.loss_alarm());
        channel.chain(violated).chain(overdue).collect()
    }

    /// Returns what became of an HTLC, or `None` if it is not known.
    pub fn verdict(&self, direction: HtlcDirection, htlc_id: HtlcId) -> Option<Verdict> {
        let htlc = self.state.htlcs.get(&(direction, htlc_id))?;
        Some(verdict::of(&self.state, self.index.closing.as_ref(), htlc))
    }

    /// Returns the HTLCs that stand in a commitment, by direction and id.
    ///
    /// For a commitment that was revoked this walks the whole ledger, and says nothing of HTLCs that
    /// are forgotten.
    pub fn htlcs_in(&self, owner: Side, number: CommitmentNumber) -> Vec<&Htlc> {
        closing::htlcs_in(&self.state, &self.index.standing, owner, number)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    fn check_channel(&self, got: lastword_types::ChannelId) -> Result<(), MonitorError> {
        let expected = self.state.parameters.channel_id;
        if got == expected { Ok(()) } else { Err(MonitorError::WrongChannel { expected, got }) }
    }

    /// Says what a record means for a channel that is archived.
    fn check_archived<'r>(&self, record: &'r MonitorRecord) -> Result<Change<'r>, MonitorError> {
        let too_late = Change::Nothing(Noop::Archived);
        match record {
            MonitorRecord::Created(_) => Err(MonitorError::AlreadyCreated),
            MonitorRecord::Update(update) => {
                self.check_channel(update.channel_id)?;
                let is_preimage = |step: &UpdateStep| {
                    matches!(step, UpdateStep::Preimage { .. } | UpdateStep::ClaimHtlc { .. })
                };
                if update.update_id <= self.state.latest_update {
                    Ok(Change::Nothing(Noop::Known))
                } else if update.steps.iter().all(is_preimage) {
                    Ok(too_late)
                } else {
                    Err(MonitorError::Archived)
                }
            }
            MonitorRecord::Release(release) => {
                self.check_channel(release.htlc.channel_id)?;
                Ok(too_late)
            }
            MonitorRecord::GivenUp(given_up) => {
                self.check_channel(given_up.htlc.channel_id)?;
                Ok(too_late)
            }
            MonitorRecord::InboundOnChain { htlc } => {
                self.check_channel(htlc.channel_id)?;
                Ok(too_late)
            }
            MonitorRecord::Claim(claim) => {
                self.check_channel(claim.channel_id)?;
                Ok(too_late)
            }
            MonitorRecord::Mempool(_) | MonitorRecord::Chain(_) => Ok(too_late),
            MonitorRecord::PruneTombstones { behind } => self.check_prune(*behind),
            MonitorRecord::ToldUnknown { payment_id, generation } => {
                Ok(self.told_unknown(*payment_id, *generation))
            }
            MonitorRecord::Archive => Ok(Change::Nothing(Noop::Known)),
        }
    }

    /// Behind one epoch tombstones are dropped once: what came after it, a book of that epoch need
    /// not know.
    fn check_prune(&self, behind: BookEpoch) -> Result<Change<'static>, MonitorError> {
        let latest = self.state.pruned_behind;
        if self.state.tombstones.is_empty() {
            return Ok(Change::Nothing(Noop::Known));
        }
        if behind <= latest {
            return Err(MonitorError::EpochNotRaised { latest, got: behind });
        }
        Ok(Change::Prune(behind))
    }

    fn told_unknown(&self, payment_id: PaymentId, generation: Generation) -> Change<'static> {
        let is_known = self.state.told_unknown.contains(&(payment_id, generation));
        let news = Change::ToldUnknown(payment_id, generation);
        if is_known { Change::Nothing(Noop::Known) } else { news }
    }

    fn check_update<'r>(&self, update: &'r MonitorUpdate) -> Result<Change<'r>, MonitorError> {
        self.check_channel(update.channel_id)?;
        let latest = self.state.latest_update;
        if update.update_id <= latest {
            return Ok(Change::Nothing(Noop::Known));
        }
        if latest.next() != Some(update.update_id) {
            return Err(MonitorError::UpdateGap { latest, got: update.update_id });
        }
        let draft = UpdateDraft::check(&self.state, &self.index, update)?;
        Ok(Change::Update(update.update_id, Box::new(draft)))
    }

    fn check_chain<'r>(&self, delta: &'r ChainDelta) -> Result<Change<'r>, MonitorError> {
        match delta {
            ChainDelta::Connected { block, transactions } => {
                let draft = BlockDraft::check(&self.state, &self.index, *block, transactions)?;
                let is_noop = draft.is_noop(&self.state);
                Ok(if is_noop {
                    Change::Nothing(Noop::Known)
                } else {
                    Change::Block(Box::new(draft))
                })
            }
            ChainDelta::Disconnected { fork } => {
                if let Some(known) = block::known_at(&self.state, *fork) {
                    return Err(MonitorError::BlockDoesNotConnect { block: *fork, known });
                }
                let is_noop = fork.height >= self.state.best.height;
                Ok(if is_noop { Change::Nothing(Noop::Known) } else { Change::Disconnect(*fork) })
            }
        }
    }

    fn commit_update(&mut self, update_id: UpdateId, draft: UpdateDraft<'_>) -> Vec<Effect> {
        let revoked = self.revoked_closing(&draft);
        let mut before = self.verdicts(draft.marks.keys().chain(&self.index.leaving));
        let learnt = draft.learnt();
        // A closing decides what time had only prepared.
        if revoked.is_some() || draft.fail_channel || !learnt.is_empty() {
            before.append(&mut self.verdicts(&self.index.open));
        }
        let had_loss = self.state.data_loss;
        let had_closed = self.is_closed();
        self.write_update(update_id, draft);
        let is_recalled = funding::recall(&mut self.state);
        if is_recalled {
            self.index.closing = None;
            self.index.reread_spends(&self.state);
        }
        if let (Some(number), Some(spend)) = (revoked, &mut self.state.funding_spend) {
            spend.close = Close::Revoked { number };
            self.index.closing = revoked::reread(&self.state, &self.index, number);
            self.index.reread_spends(&self.state);
        }
        // Other HTLCs wait for the next block: one that came too late is rather failed off chain.
        let overdue = self.go_on_chain(|htlc| learnt.opens(&htlc.htlc));
        let mut effects = self.settle(before);
        effects.extend(overdue);
        if revoked.is_some() {
            effects.extend(self.closing_alarm().map(Effect::Alarm));
        }
        if !had_loss {
            effects.extend(self.loss_alarm().map(Effect::Alarm));
        }
        if is_recalled {
            self.forget_what_stayed();
        }
        if had_closed || self.is_closed() {
            effects.push(Effect::ClaimsChanged);
        }
        effects.push(Effect::CardChanged);
        effects
    }

    /// Returns the number of the confirmed commitment, if an update is what revokes it.
    fn revoked_closing(&self, draft: &UpdateDraft<'_>) -> Option<CommitmentNumber> {
        match self.state.funding_spend.as_ref()?.close {
            Close::RemoteUnilateral { number } => draft.revoked.contains(&number).then_some(number),
            Close::Mutual
            | Close::LocalUnilateral { .. }
            | Close::Revoked { .. }
            | Close::Unknown
            | Close::Future { .. } => None,
        }
    }

    fn write_update(&mut self, update_id: UpdateId, draft: UpdateDraft<'_>) {
        let state = &mut self.state;
        state.latest_update = update_id;
        for (key, marks) in draft.marks {
            if let Some(htlc) = state.htlcs.get_mut(&key) {
                marks.write_to(htlc);
            } else if let Some(htlc) = draft.added.get(&key) {
                let htlc = marks.into_state(Htlc::clone(htlc));
                self.index.enter(key, &htlc);
                state.htlcs.insert(key, htlc);
            }
        }
        for step in draft.steps {
            funding::write(state, step);
        }
        funding::forget(state);
        if let Some(secrets) = draft.secrets {
            state.remote_secrets = secrets.slots();
            self.index.secrets = secrets;
        }
        state.preimages.extend(draft.preimages);
        state.closing_txids.extend(draft.closing_txids);
        state.fail_channel |= draft.fail_channel;
        state.data_loss |= draft.data_loss;
        self.index.local = draft.local_held;
        self.index.remote = draft.remote_held;
    }

    fn commit_release(&mut self, keys: &[HtlcRef], told: Told) -> Vec<Effect> {
        let mut effects = Vec::with_capacity(keys.len() + 1);
        for key @ (direction, htlc_id) in keys.iter().copied() {
            if let Some(htlc) = self.state.htlcs.get_mut(&key) {
                htlc.delivered = Some(told);
            }
            match direction {
                HtlcDirection::Offered => drop(self.index.undelivered.remove(&htlc_id)),
                HtlcDirection::Received => self.judge(key),
            }
            effects.push(Effect::LedgerChanged(self.key(key)));
        }
        self.forget_where_due(keys.iter().copied());
        effects.push(Effect::CardChanged);
        effects
    }

    fn commit_claim(&mut self, claim: &HtlcClaim, new: &BTreeSet<HtlcId>) -> Vec<Effect> {
        // A claim that comes late goes on chain at once, and a closing decides what waited for it.
        let before = self.verdicts(&self.index.open);
        let keys = new.iter().map(|htlc_id| (HtlcDirection::Received, *htlc_id));
        for key in keys.clone() {
            if let Some(htlc) = self.state.htlcs.get_mut(&key) {
                htlc.claim = Some(claim.preimage);
                htlc.source = Some(claim.source.clone());
            }
            self.judge(key);
        }
        let overdue = self.go_on_chain(|htlc| {
            htlc.htlc.direction == HtlcDirection::Received && new.contains(&htlc.htlc.htlc_id)
        });
        let mut effects = self.settle(before);
        effects.extend(overdue);
        effects.extend(keys.map(|key| Effect::LedgerChanged(self.key(key))));
        if self.is_closed() {
            effects.push(Effect::ClaimsChanged);
        }
        effects.push(Effect::CardChanged);
        effects
    }

    fn commit_given_up(&mut self, htlc_id: HtlcId) -> Vec<Effect> {
        let key = (HtlcDirection::Offered, htlc_id);
        if let Some(htlc) = self.state.htlcs.get_mut(&key) {
            htlc.is_given_up = true;
        }
        Vec::from([Effect::LedgerChanged(self.key(key))])
    }

    fn commit_inbound_on_chain(&mut self, htlc_id: HtlcId) -> Vec<Effect> {
        let key = (HtlcDirection::Offered, htlc_id);
        if let Some(htlc) = self.state.htlcs.get_mut(&key) {
            htlc.is_inbound_on_chain = true;
        }
        Vec::from([Effect::LedgerChanged(self.key(key)), Effect::CardChanged])
    }

    fn commit_evidence(&mut self, key: HtlcRef, marks: Marks) -> Vec<Effect> {
        let before = self.verdicts([&key]);
        if let Some(htlc) = self.state.htlcs.get_mut(&key) {
            marks.write_to(htlc);
        }
        let mut effects = self.settle(before);
        effects.push(Effect::CardChanged);
        effects
    }

    fn commit_prune(&mut self, behind: BookEpoch) -> Vec<Effect> {
        self.state.tombstones.clear();
        if !Bug::TombstonesWithoutEpoch.is_planted() {
            self.state.pruned_behind = behind;
        }
        self.index.buried.clear();
        Vec::from([Effect::CardChanged])
    }

    fn commit_block(&mut self, draft: BlockDraft) -> Vec<Effect> {
        let shown: Vec<_> = draft.spends.values().filter_map(index::shown).collect();
        let keys = shown.iter().map(|(key, ..)| key);
        let before = self.verdicts(self.index.open.iter().chain(keys));
        let BlockDraft { block, splices, funding, spends, .. } = draft;
        let has_closed = funding.is_some();
        let has_facts = has_closed || !spends.is_empty() || !splices.is_empty();
        let had_loss = self.state.data_loss;
        let violated_before = self.index.violated_past.clone();

        for txid in splices {
            funding::confirm(&mut self.state, txid, block);
        }
        if let Some(funding) = funding {
            self.state.data_loss |= matches!(funding.spend.close, Close::Future { .. });
            self.state.funding_spend = Some(funding.spend);
            self.index.closing = funding.closing;
        }
        self.state.output_spends.extend(spends);
        self.index.reread_spends(&self.state);
        // Evidence comes before time: a preimage in the very block that would have made a failure
        // final still beats it.
        let kept = if Bug::EvidenceNotKept.is_planted() { Vec::new() } else { shown };
        for (key, preimage, how) in kept {
            if let Some(htlc) = self.state.htlcs.get_mut(&key) {
                let mut marks = Marks::of(htlc);
                marks.show(preimage, how);
                marks.write_to(htlc);
            }
            let hash = preimage.payment_hash();
            let twins = self.state.htlcs.values_mut().filter(|it| it.htlc.payment_hash == hash);
            for twin in twins.filter(|_| Bug::HashIsIdentity.is_planted()) {
                twin.fulfilled.get_or_insert((preimage, how));
            }
        }
        // It is above the best block, or that block itself with more that was found in it.
        self.state.best = block;
        funding::forget(&mut self.state);
        let overdue = self.go_on_chain(|_| true);
        let is_decided = !overdue.is_empty();
        let mut effects = self.settle(before);
        effects.extend(overdue);
        let violated = self.index.violated_past.difference(&violated_before);
        effects.extend(violated.map(|key| Effect::Alarm(self.late_alarm(*key))));
        if has_closed {
            effects.extend(self.closing_alarm().map(Effect::Alarm));
        }
        if !had_loss {
            effects.extend(self.loss_alarm().map(Effect::Alarm));
        }
        if has_facts || is_decided {
            effects.push(Effect::ClaimsChanged);
        }
        effects.push(Effect::CardChanged);
        effects
    }

    fn commit_disconnect(&mut self, fork: lastword_types::BlockRef) -> Vec<Effect> {
        let before = self.verdicts(&self.index.open);
        let had_closed = self.is_closed();
        block::disconnect(&mut self.state, fork);
        if self.state.funding_spend.is_none() {
            self.index.closing = None;
        }
        self.index.reread_spends(&self.state);
        let mut effects = self.settle(before);
        if had_closed {
            self.forget_what_stayed();
            effects.push(Effect::ClaimsChanged);
        }
        effects.push(Effect::CardChanged);
        effects
    }

    fn verdicts<'k>(&self, keys: impl IntoIterator<Item = &'k HtlcRef>) -> Before {
        keys.into_iter().map(|key| (*key, self.verdict(key.0, key.1))).collect()
    }

    /// Freezes the failures that became final, and says whose verdict changed.
    fn settle(&mut self, before: Before) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (key, before) in before {
            let verdict = self.verdict(key.0, key.1);
            let Some(htlc) = self.state.htlcs.get_mut(&key) else { continue };
            if let Some(Verdict::Failed { reason }) = verdict {
                htlc.failed = Some(reason);
            }
            let was_violated = self.index.violated.contains(&key);
            let is_violated = htlc.late_preimage.is_some();
            if let Some(htlc) = self.state.htlcs.get(&key) {
                self.index.place(&self.state, key, htlc);
                self.index.judge(&self.state, key, htlc);
            }
            self.forget_where_due([key]);
            let name = self.key(key);
            if verdict != before || is_violated != was_violated {
                effects.push(Effect::LedgerChanged(name));
            }
            if is_violated && !was_violated {
                effects.push(Effect::Alarm(self.late_alarm(key)));
            }
        }
        effects
    }

    /// Brings the sets up to date that say what became of an HTLC.
    fn judge(&mut self, key: HtlcRef) {
        if let Some(htlc) = self.state.htlcs.get(&key) {
            self.index.judge(&self.state, key, htlc);
        }
    }

    /// Forgets what was settled while the funding was spent, if the channel is open again.
    fn forget_what_stayed(&mut self) {
        let keys: Vec<_> = self.state.htlcs.keys().copied().collect();
        self.forget_where_due(keys);
    }

    /// Forgets those of some HTLCs of which nothing more can come (rule R10).
    fn forget_where_due(&mut self, keys: impl IntoIterator<Item = HtlcRef>) {
        for key in keys {
            let htlc = self.state.htlcs.get(&key);
            if htlc.is_some_and(|htlc| forget::may_forget(&self.state, &self.index, key, htlc)) {
                forget::forget(&mut self.state, &mut self.index, key);
            }
        }
    }

    /// Fails the channel if it is open and an HTLC stands in it too long, and says which.
    ///
    /// Source: BOLT 2, "`cltv_expiry_delta` Selection"; BOLT 5, "Failing a Channel".
    fn go_on_chain(&mut self, may_count: impl Fn(&HtlcState) -> bool) -> Vec<Effect> {
        if self.is_closed() {
            return Vec::new();
        }
        let alarms: Vec<_> = self.overdue_alarms(may_count).map(Effect::Alarm).collect();
        self.state.fail_channel = !alarms.is_empty();
        alarms
    }

    fn overdue_alarms(
        &self,
        may_count: impl Fn(&HtlcState) -> bool,
    ) -> impl Iterator<Item = Alarm> {
        let overdue = deadline::overdue(&self.state, &self.index);
        let overdue =
            overdue.filter(move |(key, _)| self.state.htlcs.get(key).is_some_and(&may_count));
        overdue.map(|(key, overdue)| Alarm::GoingOnChain { htlc: self.key(key), overdue })
    }

    /// Says what a preimage means that came after the final failure.
    fn late_alarm(&self, key: HtlcRef) -> Alarm {
        let htlc = self.key(key);
        match self.state.htlcs.get(&key).and_then(|state| state.failed) {
            Some(HtlcFailure::FailedBack) => Alarm::ForwardLost { htlc },
            Some(
                HtlcFailure::Removed { .. }
                | HtlcFailure::TimedOut
                | HtlcFailure::Absent
                | HtlcFailure::NeverSent
                | HtlcFailure::Abandoned,
            )
            | None => Alarm::FinalityViolated { htlc },
        }
    }

    fn closing_alarm(&self) -> Option<Alarm> {
        let spend = self.state.funding_spend.as_ref()?;
        let channel_id = self.state.parameters.channel_id;
        let txid = || spend.transaction.compute_txid();
        match spend.close {
            Close::Unknown => Some(Alarm::UnknownFundingSpend { channel_id, txid: txid() }),
            Close::Revoked { number } => {
                Some(Alarm::RevokedCommitment { channel_id, txid: txid(), number })
            }
            Close::Future { number } => {
                Some(Alarm::FutureCommitment { channel_id, txid: txid(), number })
            }
            Close::Mutual | Close::LocalUnilateral { .. } | Close::RemoteUnilateral { .. } => None,
        }
    }

    fn loss_alarm(&self) -> Option<Alarm> {
        let channel_id = self.state.parameters.channel_id;
        self.state.data_loss.then_some(Alarm::DataLoss { channel_id })
    }

    fn is_closed(&self) -> bool {
        index::is_closed(&self.state)
    }

    fn key(&self, (direction, htlc_id): HtlcRef) -> HtlcKey {
        HtlcKey { channel_id: self.state.parameters.channel_id, direction, htlc_id }
    }
}
