//! The node's half of a splice: what the peer takes out, and commitments on several fundings.

use bitcoin::secp256k1::{PublicKey, Secp256k1};
use bitcoin::{EcdsaSighashType, TxOut};
use lastword_bolt3::funding_script;
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    ChannelParameters, Funding, FundingKind, Htlc, LocalCommitmentOn, MonitorState, NewFunding,
    RemoteCommitment, RemoteCommitmentOn, Side, SigningKey, UnsignedCommitment, UpdateStep,
};

use super::view::{facts, is_closing};
use super::{MAX_SPLICES, Node, Shell, node_keys};
use crate::channel::{Whole, on_splice, splice_out};
use crate::error::{SimError, Trying as _};
use crate::link::unexpected;
use crate::messages::{Answer, OnSplice, PeerReply, PeerRequest, SpliceSigned, Spliced};

impl<S: Shell> Node<S> {
    /// Lets the peer take something out of a channel: the monitor knows the splice before our
    /// signature lets it leave.
    pub(super) fn splice(&mut self, channel: u16, attempt: u16) -> Result<Answer, SimError> {
        self.advance(channel)?;
        let state = self.known(channel)?;
        if is_closing(&state) || state.remote_previous.is_some() {
            return Ok(Answer::Done);
        }
        let funding_pubkey = self.next_funding_key(channel, &state)?;
        let request = PeerRequest::Splice { channel, attempt, funding_pubkey };
        let PeerReply::Spliced(spliced) = self.line.peer(request)? else {
            return Err(unexpected());
        };
        check_splice(&state, &spliced, attempt, funding_pubkey)?;
        let funding_txid = spliced.transaction.compute_txid();
        if pending(&state).all(|it| it.funding_outpoint.txid != funding_txid) {
            let new = new_funding(&state, &spliced)?;
            self.update(&state, vec![UpdateStep::NewFunding(Box::new(new))])?;
        }
        let signed = self.sign_splice(channel, &state, &spliced)?;
        self.line.peer(PeerRequest::SpliceSigned(Box::new(signed)))?;
        Ok(Answer::Done)
    }

    /// Locks the splice that is confirmed.
    pub(super) fn lock_splice(&mut self, channel: u16) -> Result<Answer, SimError> {
        self.advance(channel)?;
        let state = self.known(channel)?;
        let confirmed = pending(&state).find(|it| it.confirmed.is_some());
        let funding_txid = match confirmed.map(|it| it.funding_outpoint.txid) {
            Some(funding_txid) => {
                self.update(&state, vec![UpdateStep::FundingLocked { funding_txid }])?;
                funding_txid
            }
            None => state.parameters.funding_outpoint.txid,
        };
        self.line.peer(PeerRequest::SpliceLocked { channel, funding_txid })?;
        Ok(Answer::Done)
    }

    /// Signs the peer's newest commitment on every funding that is not locked.
    pub(super) fn sign_batch(
        &mut self,
        state: &MonitorState,
        htlcs: &[&Htlc],
    ) -> Result<Vec<OnSplice>, SimError> {
        let mut batch = Vec::new();
        for funding in pending(state) {
            let parameters = parameters_on(state, funding);
            let commitment = &funding.remote;
            let whole = Whole { parameters: &parameters, owner: Side::Remote, commitment, htlcs };
            let (signature, htlc_signatures) = whole.sign(&mut self.signer)?;
            batch.push(OnSplice { signature, htlc_signatures });
        }
        Ok(batch)
    }

    /// The key of the next splice: all tries of one have the same.
    fn next_funding_key(&self, channel: u16, state: &MonitorState) -> Result<PublicKey, SimError> {
        let secp = Secp256k1::signing_only();
        let keys = node_keys(self.seed, channel);
        let public = |splice: u32| keys.spliced_funding(splice).public_key(&secp);
        let current = state.parameters.local.funding_pubkey;
        let used = (1..=MAX_SPLICES).find(|splice| public(*splice) == current).unwrap_or(0);
        if used == MAX_SPLICES {
            return Err(SimError::new("the channel was spliced too often"));
        }
        Ok(public(used + 1))
    }

    /// Signs the peer's newest commitment on the splice, and the splice itself.
    fn sign_splice(
        &mut self,
        channel: u16,
        state: &MonitorState,
        spliced: &Spliced,
    ) -> Result<SpliceSigned, SimError> {
        let held = facts(state, Side::Remote, state.remote.number);
        let parameters = &spliced.parameters;
        let commitment = on_splice(&state.parameters, parameters, &state.remote, true)?;
        let whole =
            Whole { parameters, owner: Side::Remote, commitment: &commitment, htlcs: &held };
        let (signature, htlc_signatures) = whole.sign(&mut self.signer)?;
        let locked = &state.parameters;
        let script = funding_script(&locked.local.funding_pubkey, &locked.remote.funding_pubkey);
        let funding_signature = self
            .signer
            .sign(&SigningRequest {
                channel_id: locked.channel_id,
                key: SigningKey::Funding,
                transaction: &spliced.transaction,
                input: 0,
                amount: locked.funding_amount,
                script: &script,
                sighash: EcdsaSighashType::All,
            })
            .trying("sign a splice")?;
        let funding_txid = spliced.transaction.compute_txid();
        Ok(SpliceSigned { channel, funding_txid, signature, htlc_signatures, funding_signature })
    }
}

/// Makes the steps of the peer's next commitment, on every funding.
pub(super) fn remote_steps(
    state: &MonitorState,
    commitment: RemoteCommitment,
) -> Result<Vec<UpdateStep>, SimError> {
    let RemoteCommitment { number, to_local_msat, to_remote_msat, .. } = commitment;
    let locked =
        UnsignedCommitment { number, to_local_msat, to_remote_msat, ..state.remote.clone() };
    let mut steps = vec![UpdateStep::RemoteCommitment(commitment)];
    for funding in pending(state) {
        let parameters = parameters_on(state, funding);
        let on = on_splice(&state.parameters, &parameters, &locked, true)?;
        let UnsignedCommitment { to_local_msat, to_remote_msat, .. } = on;
        let commitment = RemoteCommitmentOn { number, to_local_msat, to_remote_msat };
        let funding_txid = funding.funding_outpoint.txid;
        steps.push(UpdateStep::RemoteCommitmentOn { funding_txid, commitment });
    }
    Ok(steps)
}

/// Checks the peer's signatures on our next commitment on every funding that is not locked, and
/// makes the steps of them.
pub(super) fn local_batch(
    state: &MonitorState,
    locked: &UnsignedCommitment,
    htlcs: &[&Htlc],
    batch: Vec<OnSplice>,
) -> Result<Vec<UpdateStep>, SimError> {
    if batch.len() != pending(state).count() {
        return Err(SimError::new("the peer signed for other fundings than there are"));
    }
    let mut steps = Vec::new();
    for (funding, signed) in pending(state).zip(batch) {
        let parameters = parameters_on(state, funding);
        let commitment = on_splice(&state.parameters, &parameters, locked, false)?;
        let commitment = local_on(&parameters, &commitment, htlcs, signed)?;
        let funding_txid = funding.funding_outpoint.txid;
        steps.push(UpdateStep::LocalCommitmentOn { funding_txid, commitment });
    }
    Ok(steps)
}

fn local_on(
    parameters: &ChannelParameters,
    commitment: &UnsignedCommitment,
    htlcs: &[&Htlc],
    OnSplice { signature, htlc_signatures }: OnSplice,
) -> Result<LocalCommitmentOn, SimError> {
    let whole = Whole { parameters, owner: Side::Local, commitment, htlcs };
    whole.verify(&signature, &htlc_signatures)?;
    Ok(LocalCommitmentOn {
        number: commitment.number,
        to_local_msat: commitment.to_local_msat,
        to_remote_msat: commitment.to_remote_msat,
        signature,
        htlc_signatures,
    })
}

/// Makes the record of a splice out of what the peer signed.
fn new_funding(state: &MonitorState, spliced: &Spliced) -> Result<NewFunding, SimError> {
    let Spliced { parameters, signed, .. } = spliced;
    let own = &state.local.commitment;
    let held = facts(state, Side::Local, own.number);
    let commitment = on_splice(&state.parameters, parameters, own, false)?;
    let on =
        OnSplice { signature: signed.signature, htlc_signatures: signed.htlc_signatures.clone() };
    let local = local_on(parameters, &commitment, &held, on)?;
    let theirs = on_splice(&state.parameters, parameters, &state.remote, true)?;
    let UnsignedCommitment { number, to_local_msat, to_remote_msat, .. } = theirs;
    Ok(NewFunding {
        funding_outpoint: parameters.funding_outpoint,
        funding_amount: parameters.funding_amount,
        local_funding_pubkey: parameters.local.funding_pubkey,
        remote_funding_pubkey: parameters.remote.funding_pubkey,
        kind: FundingKind::Splice,
        local,
        remote: RemoteCommitmentOn { number, to_local_msat, to_remote_msat },
    })
}

/// Refuses a splice that is not what was agreed.
fn check_splice(
    state: &MonitorState,
    spliced: &Spliced,
    attempt: u16,
    funding_pubkey: PublicKey,
) -> Result<(), SimError> {
    let Spliced { parameters, transaction, .. } = spliced;
    let (out, fee) = splice_out(attempt);
    let locked = &state.parameters;
    let mut agreed = locked.clone();
    agreed.funding_outpoint.txid = transaction.compute_txid();
    agreed.funding_outpoint.vout = 0;
    agreed.funding_amount = locked
        .funding_amount
        .checked_sub(out + fee)
        .ok_or(SimError::new("the splice takes more than there is"))?;
    agreed.local.funding_pubkey = funding_pubkey;
    agreed.remote.funding_pubkey = parameters.remote.funding_pubkey;
    let script = funding_script(&funding_pubkey, &agreed.remote.funding_pubkey);
    let output = TxOut { value: agreed.funding_amount, script_pubkey: script.to_p2wsh() };
    let spends_it = transaction.input.first().map(|input| input.previous_output)
        == Some(locked.funding_outpoint);
    if agreed != *parameters || transaction.output.first() != Some(&output) || !spends_it {
        return Err(SimError::new("the peer made another splice than was agreed"));
    }
    Ok(())
}

/// Visits the fundings that are not locked and may be.
fn pending(state: &MonitorState) -> impl Iterator<Item = &Funding> {
    state.fundings.iter().filter(|funding| !funding.is_retired)
}

/// The channel as it is on another funding.
fn parameters_on(state: &MonitorState, funding: &Funding) -> ChannelParameters {
    let mut parameters = state.parameters.clone();
    parameters.funding_outpoint = funding.funding_outpoint;
    parameters.funding_amount = funding.funding_amount;
    parameters.local.funding_pubkey = funding.local_funding_pubkey;
    parameters.remote.funding_pubkey = funding.remote_funding_pubkey;
    parameters
}
