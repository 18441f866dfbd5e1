//! [`UpdateDraft`]: what one update changes, worked out without changing anything.

use alloc::collections::{BTreeMap, BTreeSet};

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, Txid};
use lastword_bolt3::{MAX_ACCEPTED_HTLCS, SecretStore, point_of};
use lastword_types::{
    AmountMsat, CommitmentNumber, FulfilledHow, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcOrigin,
    HtlcRemoved, LocalCommitment, MonitorState, MonitorUpdate, PaymentHash, PaymentPreimage,
    PerCommitmentSecret, RemoteCommitment, RemovalReason, Side, SignedCommitment, Spell,
    UnsignedCommitment, UpdateStep,
};

use crate::error::MonitorError;
use crate::forget;
use crate::index::{Held, Index};
use crate::levels::Levels;
use crate::marks::{HtlcRef, Marks};

/// From here on a lock time is a time and no height (BOLT 2, `cltv_expiry`).
const LOCKTIME_THRESHOLD: u32 = 500_000_000;

/// The outcome of all steps of an update: a thin layer over the state that was checked.
#[derive(Debug, Clone)]
pub(crate) struct UpdateDraft<'r> {
    /// HTLCs that the monitor hears of for the first time.
    pub(crate) added: BTreeMap<HtlcRef, &'r Htlc>,
    /// Every HTLC that changes, as it will be.
    pub(crate) marks: BTreeMap<HtlcRef, Marks>,
    /// What happened, in order.
    pub(crate) steps: &'r [UpdateStep],
    /// Which commitments there are on which funding, as it will be.
    levels: Levels,
    /// The points of the peer's newest commitment and the one before it, as they will be.
    remote_points: (PublicKey, Option<PublicKey>),
    /// The peer's commitments that become revoked.
    pub(crate) revoked: BTreeSet<CommitmentNumber>,
    /// The peer's secrets, if there are new ones.
    pub(crate) secrets: Option<SecretStore>,
    /// Preimages for received HTLCs.
    pub(crate) preimages: BTreeMap<PaymentHash, PaymentPreimage>,
    /// Received HTLCs that are claimed, each by itself.
    claimed: BTreeSet<HtlcId>,
    /// Closing transactions that we signed.
    pub(crate) closing_txids: BTreeSet<Txid>,
    /// Whether we fail the channel.
    pub(crate) fail_channel: bool,
    /// Whether we lost data.
    pub(crate) data_loss: bool,
    /// What our newest commitment will hold.
    pub(crate) local_held: Held,
    /// What the peer's newest commitment will hold.
    pub(crate) remote_held: Held,
}

/// A commitment as far as both sides have the same.
struct Next<'r> {
    owner: Side,
    number: CommitmentNumber,
    balances: [AmountMsat; 2],
    added: &'r [HtlcAdded],
    removed: &'r [HtlcRemoved],
}

impl<'r> UpdateDraft<'r> {
    /// Works out what an update changes, or says why it cannot be.
    pub(crate) fn check(
        state: &MonitorState,
        index: &Index,
        update: &'r MonitorUpdate,
    ) -> Result<Self, MonitorError> {
        let mut draft = Self {
            added: BTreeMap::new(),
            marks: BTreeMap::new(),
            steps: &update.steps,
            levels: Levels::of(state),
            remote_points: (
                state.remote.per_commitment_point,
                state.remote_previous.as_ref().map(|previous| previous.per_commitment_point),
            ),
            revoked: BTreeSet::new(),
            secrets: None,
            preimages: BTreeMap::new(),
            claimed: BTreeSet::new(),
            closing_txids: BTreeSet::new(),
            fail_channel: false,
            data_loss: false,
            local_held: index.local,
            remote_held: index.remote,
        };
        for step in &update.steps {
            draft.step(state, index, step)?;
        }
        draft.levels.check_level()?;
        Ok(draft)
    }

    fn step(
        &mut self,
        state: &MonitorState,
        index: &Index,
        step: &'r UpdateStep,
    ) -> Result<(), MonitorError> {
        match step {
            UpdateStep::LocalCommitment(local) => self.local(state, local),
            UpdateStep::RemoteCommitment(remote) => self.remote(state, remote),
            UpdateStep::RemoteRevocation { number, secret } => {
                self.revocation(index, *number, *secret)
            }
            UpdateStep::Fulfill { htlc_id, preimage } => {
                let key = (HtlcDirection::Offered, *htlc_id);
                let mut marks = self.marks_of(state, key)?;
                self.show(state, key, &mut marks, *preimage)?;
                self.marks.insert(key, marks);
                Ok(())
            }
            UpdateStep::Preimage { preimage } => {
                self.preimages.insert(preimage.payment_hash(), *preimage);
                Ok(())
            }
            UpdateStep::ClaimHtlc { htlc_id, preimage } => self.claim(state, *htlc_id, *preimage),
            UpdateStep::MutualClose { txid } => {
                self.closing_txids.insert(*txid);
                Ok(())
            }
            UpdateStep::FailChannel => {
                self.fail_channel = true;
                Ok(())
            }
            UpdateStep::DataLoss => {
                self.data_loss = true;
                Ok(())
            }
            UpdateStep::NewFunding(new) => {
                let held = [self.local_held, self.remote_held];
                self.levels.begin(new, held)
            }
            UpdateStep::FundingLocked { funding_txid } => self.levels.lock(*funding_txid),
            UpdateStep::LocalCommitmentOn { funding_txid, commitment } => {
                self.levels.local_on(*funding_txid, commitment, self.local_held)
            }
            UpdateStep::RemoteCommitmentOn { funding_txid, commitment } => {
                self.levels.remote_on(*funding_txid, commitment, self.remote_held)
            }
        }
    }

    fn local(
        &mut self,
        state: &MonitorState,
        local: &'r LocalCommitment,
    ) -> Result<(), MonitorError> {
        self.levels.next(Side::Local, local.number)?;
        self.next(
            state,
            &Next {
                owner: Side::Local,
                number: local.number,
                balances: [local.to_local_msat, local.to_remote_msat],
                added: &local.added,
                removed: &local.removed,
            },
        )?;
        check_signatures(local.htlc_signatures.len(), self.local_held)
    }

    fn remote(
        &mut self,
        state: &MonitorState,
        remote: &'r RemoteCommitment,
    ) -> Result<(), MonitorError> {
        let previous = self.levels.newest(Side::Remote);
        self.levels.next(Side::Remote, remote.number)?;
        if let (_, Some(_)) = self.remote_points {
            let previous = previous.previous().unwrap_or(previous);
            return Err(MonitorError::NotRevoked { previous });
        }
        self.next(
            state,
            &Next {
                owner: Side::Remote,
                number: remote.number,
                balances: [remote.to_local_msat, remote.to_remote_msat],
                added: &remote.added,
                removed: &remote.removed,
            },
        )?;
        let (newest, _) = self.remote_points;
        self.remote_points = (remote.per_commitment_point, Some(newest));
        Ok(())
    }

    fn revocation(
        &mut self,
        index: &Index,
        number: CommitmentNumber,
        secret: PerCommitmentSecret,
    ) -> Result<(), MonitorError> {
        let (newest, before) = self.remote_points;
        let previous = before.and(self.levels.newest(Side::Remote).previous());
        let point = match before {
            Some(point) if previous == Some(number) => point,
            Some(_) | None => return Err(MonitorError::WrongRevocation { previous, got: number }),
        };
        let mismatch = |source| MonitorError::SecretMismatch { number, source };
        if point_of(&secret).map_err(mismatch)? != point {
            return Err(MonitorError::WrongSecret { number });
        }
        let mut secrets = self.secrets.take().unwrap_or_else(|| index.secrets.clone());
        secrets.insert(number.secret_index(), secret).map_err(mismatch)?;
        self.secrets = Some(secrets);
        self.remote_points = (newest, None);
        self.revoked.insert(number);
        Ok(())
    }

    /// Moves HTLCs out of and into the next commitment of one side, and adds up what it is worth.
    fn next(&mut self, state: &MonitorState, next: &Next<'r>) -> Result<(), MonitorError> {
        let mut held = match next.owner {
            Side::Local => self.local_held,
            Side::Remote => self.remote_held,
        };
        for removed in next.removed {
            self.remove(state, next, removed, &mut held)?;
        }
        for added in next.added {
            self.add(state, next, added, &mut held)?;
        }
        for direction in [HtlcDirection::Offered, HtlcDirection::Received] {
            if *held.count_mut(direction) > MAX_ACCEPTED_HTLCS {
                return Err(MonitorError::TooManyHtlcs { owner: next.owner, direction });
            }
        }
        let [to_local, to_remote] = next.balances;
        if !adds_up(self.levels.amount(), &[to_local.0, to_remote.0, held.amount_msat]) {
            return Err(MonitorError::WrongBalance { owner: next.owner, number: next.number });
        }
        match next.owner {
            Side::Local => self.local_held = held,
            Side::Remote => self.remote_held = held,
        }
        Ok(())
    }

    fn remove(
        &mut self,
        state: &MonitorState,
        next: &Next<'r>,
        removed: &HtlcRemoved,
        held: &mut Held,
    ) -> Result<(), MonitorError> {
        let key @ (direction, htlc_id) = (removed.direction, removed.htlc_id);
        let mut marks = self.marks_of(state, key)?;
        match marks.spell_mut(next.owner) {
            Some(spell) if spell.until.is_none() => spell.until = Some(next.number),
            Some(_) | None => {
                return Err(MonitorError::HtlcAbsent { owner: next.owner, direction, htlc_id });
            }
        }
        if *marks.removal.get_or_insert(removed.reason) != removed.reason {
            return Err(MonitorError::OtherReason { direction, htlc_id });
        }
        match removed.reason {
            RemovalReason::Fulfilled { preimage } => {
                self.show(state, key, &mut marks, preimage)?;
            }
            RemovalReason::Failed { .. } => {}
        }
        *held.count_mut(direction) -= 1;
        held.amount_msat -= self.facts_of(state, key)?.amount_msat.0;
        self.marks.insert(key, marks);
        Ok(())
    }

    fn add(
        &mut self,
        state: &MonitorState,
        next: &Next<'r>,
        added: &'r HtlcAdded,
        held: &mut Held,
    ) -> Result<(), MonitorError> {
        let key @ (direction, htlc_id) = added.id();
        let present = MonitorError::HtlcPresent { direction, htlc_id };
        let (amount, mut marks) = match added {
            HtlcAdded::New(htlc) => {
                let was_there = forget::is_spent_id(state, key);
                if was_there || state.htlcs.contains_key(&key) || self.marks.contains_key(&key) {
                    return Err(present);
                }
                check_new(htlc)?;
                self.added.insert(key, htlc);
                (htlc.amount_msat, Marks::NONE)
            }
            HtlcAdded::Known { .. } => {
                let marks = self.marks_of(state, key)?;
                (self.facts_of(state, key)?.amount_msat, marks)
            }
        };
        // What was removed on one side never enters the other: it could rise from the dead.
        if marks.removal.is_some() || marks.spell_mut(next.owner).is_some() {
            return Err(present);
        }
        *marks.spell_mut(next.owner) = Some(Spell { from: next.number, until: None });
        *held.count_mut(direction) += 1;
        held.amount_msat = held
            .amount_msat
            .checked_add(amount.0)
            .ok_or(MonitorError::WrongBalance { owner: next.owner, number: next.number })?;
        self.marks.insert(key, marks);
        Ok(())
    }

    /// Takes in that one HTLC is ours to claim. What was failed back is not, and what is forgotten
    /// has nothing left to claim.
    fn claim(
        &mut self,
        state: &MonitorState,
        htlc_id: HtlcId,
        preimage: PaymentPreimage,
    ) -> Result<(), MonitorError> {
        let key @ (direction, _) = (HtlcDirection::Received, htlc_id);
        if forget::is_spent_id(state, key) {
            return Ok(());
        }
        let mut marks = self.marks_of(state, key)?;
        if preimage.payment_hash() != self.facts_of(state, key)?.payment_hash {
            return Err(MonitorError::WrongPreimage { direction, htlc_id });
        }
        if matches!(marks.removal, Some(RemovalReason::Failed { .. })) {
            return Err(MonitorError::OtherReason { direction, htlc_id });
        }
        marks.claim = Some(preimage);
        self.marks.insert(key, marks);
        self.claimed.insert(htlc_id);
        Ok(())
    }

    /// Returns which HTLCs the update makes claimable.
    pub(crate) fn learnt(&self) -> Learnt {
        let hashes = self.preimages.keys().copied().collect();
        Learnt { hashes, htlcs: self.claimed.clone() }
    }

    /// Takes in that a message showed the preimage of this very HTLC.
    fn show(
        &mut self,
        state: &MonitorState,
        (direction, htlc_id): HtlcRef,
        marks: &mut Marks,
        preimage: PaymentPreimage,
    ) -> Result<(), MonitorError> {
        let hash = self.facts_of(state, (direction, htlc_id))?.payment_hash;
        if preimage.payment_hash() != hash {
            return Err(MonitorError::WrongPreimage { direction, htlc_id });
        }
        marks.show(preimage, FulfilledHow::Message);
        Ok(())
    }

    fn marks_of(&self, state: &MonitorState, key: HtlcRef) -> Result<Marks, MonitorError> {
        let drafted = self.marks.get(&key).copied();
        drafted.or_else(|| state.htlcs.get(&key).map(Marks::of)).ok_or_else(|| unknown(key))
    }

    fn facts_of<'a>(
        &'a self,
        state: &'a MonitorState,
        key: HtlcRef,
    ) -> Result<&'a Htlc, MonitorError> {
        let known = state.htlcs.get(&key).map(|known| &known.htlc);
        known.or_else(|| self.added.get(&key).copied()).ok_or_else(|| unknown(key))
    }
}

/// The received HTLCs of which an update brings the preimage.
pub(crate) struct Learnt {
    hashes: BTreeSet<PaymentHash>,
    htlcs: BTreeSet<HtlcId>,
}

impl Learnt {
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty() && self.htlcs.is_empty()
    }

    pub(crate) fn opens(&self, htlc: &Htlc) -> bool {
        let is_claimed =
            htlc.direction == HtlcDirection::Received && self.htlcs.contains(&htlc.htlc_id);
        is_claimed || self.hashes.contains(&htlc.payment_hash)
    }
}

/// Says whether amounts in millisatoshi add up to the funding amount.
pub(crate) fn adds_up(funding: Amount, parts_msat: &[u64]) -> bool {
    let sum = parts_msat.iter().try_fold(0u64, |sum, part| sum.checked_add(*part));
    sum.map(AmountMsat) == AmountMsat::from_sat(funding)
}

/// Returns our commitment without the difference that brought it.
pub(crate) fn local_of(local: &LocalCommitment) -> SignedCommitment {
    SignedCommitment {
        commitment: UnsignedCommitment {
            number: local.number,
            per_commitment_point: local.per_commitment_point,
            feerate_per_kw: local.feerate_per_kw,
            to_local_msat: local.to_local_msat,
            to_remote_msat: local.to_remote_msat,
        },
        signature: local.signature,
        htlc_signatures: local.htlc_signatures.clone(),
    }
}

/// Returns a commitment of the peer without the difference that brought it.
pub(crate) fn remote_of(remote: &RemoteCommitment) -> UnsignedCommitment {
    UnsignedCommitment {
        number: remote.number,
        per_commitment_point: remote.per_commitment_point,
        feerate_per_kw: remote.feerate_per_kw,
        to_local_msat: remote.to_local_msat,
        to_remote_msat: remote.to_remote_msat,
    }
}

/// Refuses an HTLC that contradicts itself.
pub(crate) fn check_new(htlc: &Htlc) -> Result<(), MonitorError> {
    let (direction, htlc_id) = (htlc.direction, htlc.htlc_id);
    match (direction, &htlc.origin) {
        (HtlcDirection::Offered, HtlcOrigin::Payment(_) | HtlcOrigin::Forward(_))
        | (HtlcDirection::Received, HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }) => {}
        (HtlcDirection::Offered, HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. })
        | (HtlcDirection::Received, HtlcOrigin::Payment(_) | HtlcOrigin::Forward(_)) => {
            return Err(MonitorError::WrongOrigin { direction, htlc_id });
        }
    }
    if htlc.cltv_expiry.0 >= LOCKTIME_THRESHOLD {
        return Err(MonitorError::ExpiryIsNoHeight { direction, htlc_id });
    }
    Ok(())
}

/// Refuses more signatures on HTLC transactions than there can be such transactions.
pub(crate) fn check_signatures(signatures: usize, held: Held) -> Result<(), MonitorError> {
    let htlcs = held.offered + held.received;
    if signatures > htlcs {
        return Err(MonitorError::TooManySignatures { signatures, htlcs });
    }
    Ok(())
}

fn unknown((direction, htlc_id): HtlcRef) -> MonitorError {
    MonitorError::UnknownHtlc { direction, htlc_id }
}
