//! The node's half of the commitment dance, and the mutual close.

use std::collections::BTreeSet;

use bitcoin::EcdsaSighashType;
use lastword_bolt3::{funding_script, point_of};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    CommitmentNumber, Htlc, HtlcAdded, HtlcDirection, HtlcRemoved, LocalCommitment, MonitorState,
    PaymentHash, PaymentPreimage, RemoteCommitment, RemovalReason, Side, SigningKey, UpdateStep,
};

use super::splice::{local_batch, remote_steps};
use super::view::{Difference, PeerStatus, difference, facts, is_closing, names, next};
use super::{Node, Shell, received};
use crate::channel::{Balances, COMMITMENT_FEERATE, Whole, closing};
use crate::error::{SimError, Trying as _};
use crate::link::unexpected;
use crate::messages::{
    Answer, Commit, PeerReply, PeerRequest, Proposal, Revoked, Signed, WireHtlc, WireSide,
};
use crate::seed::Wallet;

/// More rounds than any dance needs; the bound turns a defect into an error.
const ROUNDS_MAX: u32 = 16;

impl<S: Shell> Node<S> {
    /// Goes on with what was begun in a channel until both sides hold the same HTLCs, or the peer
    /// does not answer any more.
    pub(super) fn advance(&mut self, channel: u16) -> Result<(), SimError> {
        for _ in 0..ROUNDS_MAX {
            let Some(state) = self.state(channel)? else { return Ok(()) };
            if is_closing(&state) {
                return Ok(());
            }
            self.revoke_old(channel, &state)?;
            if state.remote_previous.is_some() {
                if !self.send_commit(channel, &state)? {
                    return Ok(());
                }
                continue;
            }
            let local = names(&state, Side::Local, state.local.commitment.number);
            let remote = names(&state, Side::Remote, state.remote.number);
            if local == remote {
                return Ok(());
            }
            // The peer's commitment follows ours.
            let change = difference(&state, &remote, &local)?;
            let balances = Balances::of(&state.local.commitment).swapped();
            let commitment = self.remote_commitment(channel, &state, balances, change)?;
            self.update(&state, remote_steps(&state, commitment)?)?;
        }
        Err(SimError::new("the dance does not come to an end"))
    }

    /// Asks the peer for its changes and takes them in.
    pub(super) fn settle(&mut self, channel: u16) -> Result<Answer, SimError> {
        self.advance(channel)?;
        let state = self.known(channel)?;
        if is_closing(&state) || state.remote_previous.is_some() {
            return Ok(Answer::Done);
        }
        let number = next(state.local.commitment.number)?;
        let point = self.point(&state, number)?;
        let request = PeerRequest::Propose { channel, number: number.value(), point };
        let PeerReply::Proposed(proposal) = self.line.peer(request)? else {
            return Err(unexpected());
        };
        if let Some(proposal) = proposal {
            self.take_proposal(&state, *proposal)?;
            self.advance(channel)?;
        }
        Ok(Answer::Done)
    }

    /// Removes a received HTLC: a new commitment of the peer without it, and the dance after it.
    pub(super) fn remove(
        &mut self,
        channel: u16,
        payment_hash: PaymentHash,
        preimage: Option<PaymentPreimage>,
    ) -> Result<Answer, SimError> {
        self.advance(channel)?;
        let state = self.known(channel)?;
        let held = names(&state, Side::Remote, state.remote.number);
        let found = received(&state, payment_hash)
            .map(|htlc_id| (HtlcDirection::Received, htlc_id))
            .filter(|name| held.contains(name));
        let Some((direction, htlc_id)) = found else { return Ok(Answer::Done) };
        if is_closing(&state) || state.remote_previous.is_some() {
            return Ok(Answer::Done);
        }
        // What the peer hears is claimed before.
        if let Some(preimage) = preimage {
            self.claim(&[channel], preimage)?;
        }
        let entry = &state.htlcs[&(direction, htlc_id)];
        let reason = match preimage {
            Some(preimage) => RemovalReason::Fulfilled { preimage },
            None => RemovalReason::Failed { code: 0x400f },
        };
        let mut balances = Balances::of(&state.remote);
        // The peer owns this commitment; what it offered goes to us only when fulfilled.
        balances.pay(preimage.is_none(), entry.htlc.amount_msat)?;
        let removed = vec![HtlcRemoved { direction, htlc_id, reason }];
        let change = Difference { added: Vec::new(), removed };
        let commitment = self.remote_commitment(channel, &state, balances, change)?;
        self.update(&state, remote_steps(&state, commitment)?)?;
        self.advance(channel)?;
        Ok(Answer::Done)
    }

    /// Closes a channel together with the peer.
    pub(super) fn close(&mut self, channel: u16) -> Result<Answer, SimError> {
        self.advance(channel)?;
        let state = self.known(channel)?;
        if state.fail_channel || state.funding_spend.is_some() {
            return Ok(Answer::Done);
        }
        let parameters = &state.parameters;
        let own_script = self.seed.wallet(Wallet::Node).script;
        let status = self.peer_status(channel)?;
        let commitment = &state.local.commitment;
        let transaction = closing(
            parameters,
            (commitment.to_local_msat, own_script.clone()),
            (commitment.to_remote_msat, status.destination),
        )?;
        let txid = transaction.compute_txid();
        if !state.closing_txids.contains(&txid) {
            self.update(&state, vec![UpdateStep::MutualClose { txid }])?;
        }
        let script =
            funding_script(&parameters.local.funding_pubkey, &parameters.remote.funding_pubkey);
        let signature = self
            .signer
            .sign(&SigningRequest {
                channel_id: parameters.channel_id,
                key: SigningKey::Funding,
                transaction: &transaction,
                input: 0,
                amount: parameters.funding_amount,
                script: &script,
                sighash: EcdsaSighashType::All,
            })
            .trying("sign a closing transaction")?;
        self.line.peer(PeerRequest::Close { channel, destination: own_script, signature })?;
        Ok(Answer::Done)
    }

    /// Asks the peer where we stand.
    pub(super) fn peer_status(&mut self, channel: u16) -> Result<PeerStatus, SimError> {
        match self.line.peer(PeerRequest::Status { channel })? {
            PeerReply::Status { next_point, next_htlc_id, destination } => {
                Ok(PeerStatus { next_point, next_htlc_id, destination })
            }
            PeerReply::Done
            | PeerReply::Opened { .. }
            | PeerReply::Revoked(_)
            | PeerReply::Withheld
            | PeerReply::Proposed(_)
            | PeerReply::Spliced(_)
            | PeerReply::Refused(_) => Err(unexpected()),
        }
    }

    /// Makes the peer's next commitment out of balances and changes.
    pub(super) fn remote_commitment(
        &mut self,
        channel: u16,
        state: &MonitorState,
        balances: Balances,
        change: Difference,
    ) -> Result<RemoteCommitment, SimError> {
        Ok(RemoteCommitment {
            number: next(state.remote.number)?,
            per_commitment_point: self.peer_status(channel)?.next_point,
            feerate_per_kw: COMMITMENT_FEERATE,
            to_local_msat: balances.to_local_msat,
            to_remote_msat: balances.to_remote_msat,
            added: change.added,
            removed: change.removed,
        })
    }

    /// Sends the peer's newest commitment and takes its answer in; `false` if there is none.
    fn send_commit(&mut self, channel: u16, state: &MonitorState) -> Result<bool, SimError> {
        let before = state
            .remote_previous
            .as_ref()
            .ok_or(SimError::new("there is no commitment that waits for an answer"))?;
        let old = names(state, Side::Remote, before.number);
        let new = names(state, Side::Remote, state.remote.number);
        let Difference { removed, .. } = difference(state, &old, &new)?;
        let held = facts(state, Side::Remote, state.remote.number);
        let whole = Whole {
            parameters: &state.parameters,
            owner: Side::Remote,
            commitment: &state.remote,
            htlcs: &held,
        };
        let (signature, htlc_signatures) = whole.sign(&mut self.signer)?;
        let mut htlcs: Vec<WireHtlc> =
            held.iter().map(|htlc| WireHtlc::of(htlc, WireSide::Node)).collect();
        htlcs.sort_unstable();
        let commit = Commit {
            channel,
            commitment: state.remote.clone(),
            htlcs,
            removed,
            signature,
            htlc_signatures,
            next_point: self.point(state, next(state.local.commitment.number)?)?,
            batch: self.sign_batch(state, &held)?,
        };
        match self.line.peer(PeerRequest::Commit(Box::new(commit)))? {
            PeerReply::Withheld => Ok(false),
            PeerReply::Revoked(revoked) => self.take_revocation(state, *revoked).map(|()| true),
            PeerReply::Done
            | PeerReply::Opened { .. }
            | PeerReply::Status { .. }
            | PeerReply::Proposed(_)
            | PeerReply::Spliced(_)
            | PeerReply::Refused(_) => Err(unexpected()),
        }
    }

    /// Records that the peer revoked, and our next commitment where it comes with it.
    fn take_revocation(&mut self, state: &MonitorState, revoked: Revoked) -> Result<(), SimError> {
        let old = state.remote_previous.as_ref().ok_or(unexpected())?;
        let point = point_of(&revoked.secret).trying("read the peer's secret")?;
        if point != old.per_commitment_point {
            return Err(SimError::new("the peer revealed a wrong secret"));
        }
        let number = old.number;
        let mut steps = vec![UpdateStep::RemoteRevocation { number, secret: revoked.secret }];
        if let Some(signed) = revoked.local {
            let target = names(state, Side::Remote, state.remote.number);
            let have = names(state, Side::Local, state.local.commitment.number);
            let Difference { added, removed } = difference(state, &have, &target)?;
            let whole: Vec<&Htlc> = facts(state, Side::Remote, state.remote.number);
            steps.extend(self.local_steps(state, signed, &whole, (added, removed))?);
        }
        self.update(state, steps)
    }

    /// Records the peer's changes and our commitment that holds them.
    fn take_proposal(&mut self, state: &MonitorState, proposal: Proposal) -> Result<(), SimError> {
        let Proposal { added, removed, signed } = proposal;
        let new: Vec<Htlc> = added.iter().map(|htlc| htlc.seen_by(WireSide::Node)).collect();
        let gone: BTreeSet<_> =
            removed.iter().map(|removed| (removed.direction, removed.htlc_id)).collect();
        let mut whole = facts(state, Side::Local, state.local.commitment.number);
        whole.retain(|htlc| !gone.contains(&(htlc.direction, htlc.htlc_id)));
        whole.extend(&new);
        let mut steps = Vec::new();
        for HtlcRemoved { htlc_id, reason, .. } in &removed {
            if let RemovalReason::Fulfilled { preimage } = reason {
                steps.push(UpdateStep::Fulfill { htlc_id: *htlc_id, preimage: *preimage });
            }
        }
        let added = new.iter().cloned().map(HtlcAdded::New).collect();
        steps.extend(self.local_steps(state, signed, &whole, (added, removed))?);
        self.update(state, steps)
    }

    /// Checks the peer's signatures on our next commitment and makes the steps of it.
    fn local_steps(
        &mut self,
        state: &MonitorState,
        signed: Signed,
        whole: &[&Htlc],
        (added, removed): (Vec<HtlcAdded>, Vec<HtlcRemoved>),
    ) -> Result<Vec<UpdateStep>, SimError> {
        let Signed { commitment, signature, htlc_signatures, batch } = signed;
        let number = next(state.local.commitment.number)?;
        if commitment.number != number
            || commitment.per_commitment_point != self.point(state, number)?
        {
            return Err(SimError::new("the peer signed a commitment that is not our next one"));
        }
        let checked = Whole {
            parameters: &state.parameters,
            owner: Side::Local,
            commitment: &commitment,
            htlcs: whole,
        };
        checked.verify(&signature, &htlc_signatures)?;
        let on = local_batch(state, &commitment, whole, batch)?;
        let local = LocalCommitment {
            number,
            per_commitment_point: commitment.per_commitment_point,
            feerate_per_kw: commitment.feerate_per_kw,
            to_local_msat: commitment.to_local_msat,
            to_remote_msat: commitment.to_remote_msat,
            added,
            removed,
            signature,
            htlc_signatures,
        };
        Ok(core::iter::once(UpdateStep::LocalCommitment(local)).chain(on).collect())
    }

    /// Reveals the secret of our commitment before the current one, which is durable by now.
    fn revoke_old(&mut self, channel: u16, state: &MonitorState) -> Result<(), SimError> {
        let Some(old) = state.local.commitment.number.previous() else { return Ok(()) };
        let secret =
            self.signer.revoke(state.parameters.channel_id, old).trying("reveal a secret")?;
        self.line.peer(PeerRequest::Revoke { channel, number: old.value(), secret })?;
        Ok(())
    }

    pub(super) fn point(
        &mut self,
        state: &MonitorState,
        number: CommitmentNumber,
    ) -> Result<bitcoin::secp256k1::PublicKey, SimError> {
        self.signer
            .per_commitment_point(state.parameters.channel_id, number)
            .trying("derive a point")
    }
}
