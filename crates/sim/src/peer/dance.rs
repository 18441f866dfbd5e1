//! The peer's half of the commitment dance (BOLT 2, "Normal Operation").
//!
//! ```text
//! the node changes something        the peer changes something
//! node ── Commit N+1 ──► peer       node ── Propose M+1 ──► peer
//!      ◄─ Revoked N, signs M+1            ◄─ changes, signs M+1
//!      ── Revoke M ────►                  ── Revoke M ────►
//!                                         ── Commit N+1 ──►
//!                                         ◄─ Revoked N
//! ```

use bitcoin::secp256k1::PublicKey;
use lastword_bolt3::point_of;
use lastword_ports::ChannelSigner as _;
use lastword_types::{
    CommitmentNumber, Htlc, HtlcDirection, HtlcRemoved, PerCommitmentSecret, RemovalReason, Side,
    UnsignedCommitment,
};

use super::{Fate, Held, OwnCommitment, Peer, unknown};
use crate::channel::{Balances, COMMITMENT_FEERATE};
use crate::error::{SimError, Trying as _};
use crate::messages::{Commit, PeerReply, Proposal, Revoked, WireHtlc, WireSide};

impl Peer {
    /// Takes the node's signatures on the next commitment and revokes the one before.
    pub(super) fn commit(&mut self, commit: &Commit) -> Result<PeerReply, SimError> {
        let number = commit.commitment.number.value();
        let channel = self.channel(commit.channel)?;
        let known = u64::try_from(channel.own.len()).trying("count commitments")?;
        if number + 1 == known {
            return self.commit_again(commit);
        }
        if number != known {
            return Err(SimError::with(
                "the node signs the wrong commitment",
                format!("{number} instead of {known}"),
            ));
        }
        let htlcs = commit.htlcs.iter().map(|htlc| htlc.seen_by(WireSide::Peer)).collect();
        let commitment = commit.commitment.clone();
        let held = Held::new(&channel.parameters, Side::Local, commitment, htlcs)?;
        self.check_commit(commit, &held)?;
        let channel = self.channel_mut(commit.channel)?;
        channel.take_batch(commit)?;
        channel.own.push(OwnCommitment {
            held,
            signature: commit.signature,
            htlc_signatures: commit.htlc_signatures.clone(),
        });
        if channel.withholds {
            return Ok(PeerReply::Withheld);
        }
        let answer = self.answer_commit(commit, number)?;
        let channel = self.channel_mut(commit.channel)?;
        channel.revoked_count = number;
        channel.answers.insert(number, answer.clone());
        Ok(PeerReply::Revoked(Box::new(answer)))
    }

    /// A repetition must be the same, or the node lost what it had promised to remember.
    fn commit_again(&self, commit: &Commit) -> Result<PeerReply, SimError> {
        let channel = self.channel(commit.channel)?;
        let newest = channel.newest_own().ok_or(unknown())?;
        let mut htlcs: Vec<WireHtlc> =
            newest.held.htlcs.iter().map(|htlc| WireHtlc::of(htlc, WireSide::Peer)).collect();
        htlcs.sort_unstable();
        let is_same = newest.held.commitment == commit.commitment
            && htlcs == commit.htlcs
            && newest.signature == commit.signature
            && newest.htlc_signatures == commit.htlc_signatures
            && channel.is_same_batch(commit);
        if !is_same {
            return Err(SimError::new("the node signs two different commitments of one number"));
        }
        match channel.answers.get(&commit.commitment.number.value()) {
            Some(answer) => Ok(PeerReply::Revoked(Box::new(answer.clone()))),
            None => Ok(PeerReply::Withheld),
        }
    }

    /// Checks a new commitment: its point, what was removed and why, its balances, the signatures.
    fn check_commit(&mut self, commit: &Commit, held: &Held) -> Result<(), SimError> {
        let channel_id = self.channel(commit.channel)?.parameters.channel_id;
        let point = self.point(channel_id, commit.commitment.number.value())?;
        let channel = self.channel(commit.channel)?;
        let before = &channel.newest_own().ok_or(unknown())?.held;
        let UnsignedCommitment { per_commitment_point, feerate_per_kw, .. } = &commit.commitment;
        if *per_commitment_point != point || *feerate_per_kw != COMMITMENT_FEERATE {
            return Err(SimError::new("the node's commitment has a wrong point or fee rate"));
        }
        let mut balances = Balances::of(&before.commitment);
        for htlc in held.htlcs.iter().filter(|htlc| find(before, htlc).is_none()) {
            balances.lock(htlc.direction == HtlcDirection::Offered, htlc.amount_msat)?;
        }
        for htlc in before.htlcs.iter().filter(|htlc| find(held, htlc).is_none()) {
            let reason = removal(commit, htlc)?;
            settle(&mut balances, htlc, reason)?;
        }
        let Balances { to_local_msat, to_remote_msat } = balances;
        if commit.commitment.to_local_msat != to_local_msat
            || commit.commitment.to_remote_msat != to_remote_msat
        {
            return Err(SimError::new("the node's commitment has wrong balances"));
        }
        channel.verify(held, &commit.signature, &commit.htlc_signatures)
    }

    /// Reveals the secret of the commitment before `number`, and signs the node's next commitment
    /// if it does not hold the same HTLCs yet.
    fn answer_commit(&mut self, commit: &Commit, number: u64) -> Result<Revoked, SimError> {
        let Self { channels, signer, .. } = self;
        let channel = channels.get_mut(&commit.channel).ok_or(unknown())?;
        let old = number.checked_sub(1).and_then(CommitmentNumber::new).ok_or(unknown())?;
        let secret = signer.revoke(channel.parameters.channel_id, old).trying("revoke")?;
        let own = &channel.newest_own().ok_or(unknown())?.held;
        let theirs = channel.theirs.last().ok_or(unknown())?;
        if same_htlcs(own, theirs) {
            return Ok(Revoked { secret, local: None });
        }
        let balances = Balances::of(&own.commitment).swapped();
        let commitment = next(&theirs.commitment, commit.next_point, balances)?;
        let htlcs = own.htlcs.clone();
        let signed = channel.give(signer, commitment, &htlcs)?;
        Ok(Revoked { secret, local: Some(signed) })
    }

    /// Proposes what the peer's script wants changed, once for each commitment of the node.
    pub(super) fn propose(
        &mut self,
        index: u16,
        number: u64,
        point: &PublicKey,
    ) -> Result<PeerReply, SimError> {
        let channel = self.channel(index)?;
        if let Some((of, proposal)) = &channel.proposal
            && *of == number
            && proposal.is_some()
        {
            return Ok(PeerReply::Proposed(proposal.clone().map(Box::new)));
        }
        let theirs = channel.theirs.last().ok_or(unknown())?;
        let own = &channel.newest_own().ok_or(unknown())?.held;
        if theirs.commitment.number.value() + 1 != number || !same_htlcs(own, theirs) {
            return Err(SimError::new("the node asks for a proposal in the middle of a change"));
        }
        let proposal = if channel.withholds { None } else { self.draft(index, point)? };
        let channel = self.channel_mut(index)?;
        channel.proposal = Some((number, proposal.clone()));
        Ok(PeerReply::Proposed(proposal.map(Box::new)))
    }

    /// Builds a proposal and counts the node's commitment that it signs as given.
    fn draft(&mut self, index: u16, point: &PublicKey) -> Result<Option<Proposal>, SimError> {
        let removed = self.removals(index)?;
        let Self { channels, signer, .. } = self;
        let channel = channels.get_mut(&index).ok_or(unknown())?;
        let added = std::mem::take(&mut channel.offers);
        if added.is_empty() && removed.is_empty() {
            return Ok(None);
        }
        let base = channel.theirs.last().ok_or(unknown())?;
        let mut balances = Balances::of(&base.commitment).swapped();
        let mut htlcs = base.htlcs.clone();
        for HtlcRemoved { htlc_id, reason, .. } in &removed {
            let place = htlcs
                .iter()
                .position(|htlc| {
                    htlc.direction == HtlcDirection::Received && htlc.htlc_id == *htlc_id
                })
                .ok_or(unknown())?;
            settle(&mut balances, &htlcs.remove(place), *reason)?;
        }
        for offer in &added {
            balances.lock(true, offer.amount_msat)?;
            htlcs.push(offer.seen_by(WireSide::Peer));
        }
        let commitment = next(&base.commitment, *point, balances.swapped())?;
        let signed = channel.give(signer, commitment, &htlcs)?;
        Ok(Some(Proposal { added, removed, signed }))
    }

    /// The HTLCs that the script wants fulfilled or failed by message, as the node names them.
    fn removals(&self, index: u16) -> Result<Vec<HtlcRemoved>, SimError> {
        let base = self.channel(index)?.theirs.last().ok_or(unknown())?;
        let mut removed = Vec::new();
        for htlc in base.htlcs.iter().filter(|htlc| htlc.direction == HtlcDirection::Received) {
            let reason = match self.fates.get(&(index, htlc.payment_hash)) {
                Some(Fate::FulfillByMessage) => {
                    let preimage = *self
                        .preimages
                        .get(&htlc.payment_hash)
                        .ok_or(SimError::new("the peer does not know the preimage"))?;
                    RemovalReason::Fulfilled { preimage }
                }
                Some(Fate::FailByMessage { code }) => RemovalReason::Failed { code: *code },
                Some(Fate::ClaimOnChain { .. } | Fate::Ignore) | None => continue,
            };
            let direction = HtlcDirection::Offered;
            removed.push(HtlcRemoved { direction, htlc_id: htlc.htlc_id, reason });
        }
        Ok(removed)
    }

    /// Takes the secret of an old commitment of the node.
    pub(super) fn revoke(
        &mut self,
        index: u16,
        number: u64,
        secret: &PerCommitmentSecret,
    ) -> Result<PeerReply, SimError> {
        let channel = self.channel_mut(index)?;
        let place = usize::try_from(number).trying("count commitments")?;
        let old = channel.theirs.get(place).ok_or(unknown())?;
        if place + 1 >= channel.theirs.len() {
            return Err(SimError::new("the node revokes its newest commitment"));
        }
        let point = point_of(secret).trying("read a secret")?;
        if point != old.commitment.per_commitment_point {
            return Err(SimError::new("the node revealed a wrong secret"));
        }
        channel.node_revoked_count = channel.node_revoked_count.max(number + 1);
        Ok(PeerReply::Done)
    }
}

fn find<'a>(held: &'a Held, wanted: &Htlc) -> Option<&'a Htlc> {
    held.htlcs
        .iter()
        .find(|htlc| htlc.direction == wanted.direction && htlc.htlc_id == wanted.htlc_id)
}

fn same_htlcs(one: &Held, other: &Held) -> bool {
    one.htlcs.len() == other.htlcs.len() && one.htlcs.iter().all(|htlc| find(other, htlc).is_some())
}

/// Returns why the node removed an HTLC, and refuses what the node may not do: only who received an
/// HTLC removes it, and only the right preimage fulfils it.
fn removal(commit: &Commit, htlc: &Htlc) -> Result<RemovalReason, SimError> {
    let seen_by_node = match htlc.direction {
        HtlcDirection::Offered => HtlcDirection::Received,
        HtlcDirection::Received => HtlcDirection::Offered,
    };
    let removed = commit
        .removed
        .iter()
        .find(|removed| removed.direction == seen_by_node && removed.htlc_id == htlc.htlc_id)
        .ok_or(SimError::new("the node drops an HTLC without a reason"))?;
    match removed.reason {
        RemovalReason::Fulfilled { preimage } if preimage.payment_hash() != htlc.payment_hash => {
            Err(SimError::new("the node fulfils an HTLC with a wrong preimage"))
        }
        reason @ (RemovalReason::Fulfilled { .. } | RemovalReason::Failed { .. }) => Ok(reason),
    }
}

/// Gives a removed HTLC's amount to who gets it; the peer is the owner of the balances.
fn settle(balances: &mut Balances, htlc: &Htlc, reason: RemovalReason) -> Result<(), SimError> {
    let is_fulfilled = matches!(reason, RemovalReason::Fulfilled { .. });
    let is_peers = (htlc.direction == HtlcDirection::Received) == is_fulfilled;
    balances.pay(is_peers, htlc.amount_msat)
}

fn next(
    before: &UnsignedCommitment,
    point: PublicKey,
    balances: Balances,
) -> Result<UnsignedCommitment, SimError> {
    Ok(UnsignedCommitment {
        number: before.number.next().ok_or(unknown())?,
        per_commitment_point: point,
        feerate_per_kw: COMMITMENT_FEERATE,
        to_local_msat: balances.to_local_msat,
        to_remote_msat: balances.to_remote_msat,
    })
}
