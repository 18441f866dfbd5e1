//! [`Levels`]: how far each funding is while an update is checked.

use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, Txid};
use lastword_types::{
    CommitmentNumber, FundingKind, LocalCommitmentOn, MAX_FUNDINGS, MonitorState, NewFunding,
    RemoteCommitmentOn, Side,
};

use crate::error::MonitorError;
use crate::funding;
use crate::index::Held;
use crate::update::{adds_up, check_signatures};

/// The newest commitments on every funding, as far as the steps of an update have come.
///
/// After every commitment each pending funding has to get it too, before the next one of that side
/// and before the update ends: they are always level.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    locked: Level,
    pending: Vec<Level>,
    retired: Vec<OutPoint>,
    /// Whether a splice brought the locked funding and is not final.
    is_spliced: bool,
}

/// One funding.
#[derive(Debug, Clone, Copy)]
struct Level {
    outpoint: OutPoint,
    amount: Amount,
    kind: FundingKind,
    local: CommitmentNumber,
    remote: CommitmentNumber,
}

impl Level {
    fn number(&self, owner: Side) -> CommitmentNumber {
        match owner {
            Side::Local => self.local,
            Side::Remote => self.remote,
        }
    }

    fn number_mut(&mut self, owner: Side) -> &mut CommitmentNumber {
        match owner {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }
}

impl Levels {
    /// Reads them from a state.
    pub(crate) fn of(state: &MonitorState) -> Self {
        let (retired, pending) = state.fundings.split_at(funding::pending_from(&state.fundings));
        let pending = pending.iter().map(|it| Level {
            outpoint: it.funding_outpoint,
            amount: it.funding_amount,
            kind: it.kind,
            local: it.local.commitment.number,
            remote: it.remote.number,
        });
        Self {
            locked: Level {
                outpoint: state.parameters.funding_outpoint,
                amount: state.parameters.funding_amount,
                kind: FundingKind::Replacement,
                local: state.local.commitment.number,
                remote: state.remote.number,
            },
            pending: pending.collect(),
            retired: retired.iter().map(|it| it.funding_outpoint).collect(),
            is_spliced: state.funding_confirmed.is_some(),
        }
    }

    /// The newest commitment of one side.
    pub(crate) fn newest(&self, owner: Side) -> CommitmentNumber {
        self.locked.number(owner)
    }

    /// What the locked funding is worth.
    pub(crate) fn amount(&self) -> Amount {
        self.locked.amount
    }

    /// Takes in the next commitment of one side on the locked funding.
    pub(crate) fn next(&mut self, owner: Side, got: CommitmentNumber) -> Result<(), MonitorError> {
        self.check_level_of(owner)?;
        let latest = self.newest(owner);
        if latest.next() != Some(got) {
            return Err(MonitorError::WrongCommitmentNumber { owner, latest, got });
        }
        *self.locked.number_mut(owner) = got;
        Ok(())
    }

    /// Takes in our newest commitment on a pending funding.
    pub(crate) fn local_on(
        &mut self,
        funding_txid: Txid,
        on: &LocalCommitmentOn,
        held: Held,
    ) -> Result<(), MonitorError> {
        let parts = [on.to_local_msat.0, on.to_remote_msat.0, held.amount_msat];
        self.on(funding_txid, Side::Local, on.number, &parts)?;
        check_signatures(on.htlc_signatures.len(), held)
    }

    /// Takes in the peer's newest commitment on a pending funding.
    pub(crate) fn remote_on(
        &mut self,
        funding_txid: Txid,
        on: &RemoteCommitmentOn,
        held: Held,
    ) -> Result<(), MonitorError> {
        let parts = [on.to_local_msat.0, on.to_remote_msat.0, held.amount_msat];
        self.on(funding_txid, Side::Remote, on.number, &parts)
    }

    fn on(
        &mut self,
        funding_txid: Txid,
        owner: Side,
        got: CommitmentNumber,
        parts_msat: &[u64],
    ) -> Result<(), MonitorError> {
        let newest = self.newest(owner);
        let mut pending = self.pending.iter_mut();
        let level = pending
            .find(|level| level.outpoint.txid == funding_txid)
            .ok_or(MonitorError::FundingNotPending { funding_txid })?;
        let latest = level.number(owner);
        if got != newest || latest.next() != Some(got) {
            return Err(MonitorError::WrongCommitmentNumber { owner, latest, got });
        }
        if !adds_up(level.amount, parts_msat) {
            return Err(MonitorError::WrongBalanceOn { funding_txid, owner, number: got });
        }
        *level.number_mut(owner) = got;
        Ok(())
    }

    /// Takes in one more funding with the newest commitment of each side on it.
    pub(crate) fn begin(&mut self, new: &NewFunding, held: [Held; 2]) -> Result<(), MonitorError> {
        let funding_txid = new.funding_outpoint.txid;
        self.check_level()?;
        let known = self.pending.iter().chain([&self.locked]).map(|level| level.outpoint);
        if known.chain(self.retired.iter().copied()).any(|known| known.txid == funding_txid) {
            return Err(MonitorError::FundingKnown { funding_txid });
        }
        if self.pending.len() + self.retired.len() >= MAX_FUNDINGS {
            return Err(MonitorError::TooManyFundings { funding_txid });
        }
        self.check_kind(new)?;
        let (local, remote) = (&new.local, &new.remote);
        let [local_held, remote_held] = held;
        let parts = [local.to_local_msat.0, local.to_remote_msat.0, local_held.amount_msat];
        let others = [remote.to_local_msat.0, remote.to_remote_msat.0, remote_held.amount_msat];
        for (owner, got, parts) in
            [(Side::Local, local.number, parts), (Side::Remote, remote.number, others)]
        {
            let latest = self.newest(owner);
            if got != latest {
                return Err(MonitorError::WrongCommitmentNumber { owner, latest, got });
            }
            if !adds_up(new.funding_amount, &parts) {
                return Err(MonitorError::WrongBalanceOn { funding_txid, owner, number: got });
            }
        }
        check_signatures(local.htlc_signatures.len(), local_held)?;
        self.pending.push(Level {
            outpoint: new.funding_outpoint,
            amount: new.funding_amount,
            kind: new.kind,
            local: local.number,
            remote: remote.number,
        });
        Ok(())
    }

    /// Refuses a replacement of what a splice spends or brought, and a splice of what may be replaced.
    fn check_kind(&self, new: &NewFunding) -> Result<(), MonitorError> {
        let is_other = self.pending.iter().any(|level| level.kind != new.kind);
        let is_late = new.kind == FundingKind::Replacement && self.is_spliced;
        if is_other || is_late {
            let funding_txid = new.funding_outpoint.txid;
            return Err(MonitorError::WrongFundingKind { funding_txid, kind: new.kind });
        }
        Ok(())
    }

    /// Locks a funding: a pending one, or the first one against its replacements.
    pub(crate) fn lock(&mut self, funding_txid: Txid) -> Result<(), MonitorError> {
        self.check_level()?;
        let mut pending = self.pending.iter();
        let found = pending.find(|level| level.outpoint.txid == funding_txid).copied();
        let is_first = self.locked.outpoint.txid == funding_txid
            && self.pending.iter().any(|level| level.kind == FundingKind::Replacement);
        let level = found
            .or(is_first.then_some(self.locked))
            .ok_or(MonitorError::FundingNotPending { funding_txid })?;
        let others = self.pending.drain(..).chain([self.locked]).map(|level| level.outpoint);
        self.retired.extend(others.filter(|outpoint| *outpoint != level.outpoint));
        self.is_spliced |= level.kind == FundingKind::Splice;
        self.locked = level;
        Ok(())
    }

    /// Refuses to go on while a pending funding is without the newest commitment of either side.
    pub(crate) fn check_level(&self) -> Result<(), MonitorError> {
        self.check_level_of(Side::Local)?;
        self.check_level_of(Side::Remote)
    }

    fn check_level_of(&self, owner: Side) -> Result<(), MonitorError> {
        let number = self.newest(owner);
        let behind = self.pending.iter().find(|level| level.number(owner) != number);
        behind.map_or(Ok(()), |level| {
            let funding_txid = level.outpoint.txid;
            Err(MonitorError::CommitmentMissing { funding_txid, owner, number })
        })
    }
}
