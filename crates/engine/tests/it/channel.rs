//! One channel off chain: both sides' keys, every commitment of both, and the updates that a node
//! makes of them, with real signatures.

use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, OutPoint};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, CommitmentTx, InMemorySigner, build_commitment, sign_commitment,
    verify_commitment,
};
use lastword_ports::ChannelSigner as _;
use lastword_types::{
    AmountMsat, BlockRef, ChannelId, ChannelParameters, CommitmentFormat, CommitmentNumber,
    FeeRatePerKw, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcRemoved, LocalCommitment,
    MonitorUpdate, NewChannel, RemoteCommitment, RemovalReason, Side, ToSelfDelay,
    UnsignedCommitment, UpdateId, UpdateStep,
};

/// What a channel is worth.
pub(crate) const FUNDING: Amount = Amount::from_sat(1_000_000);
/// The delay on both sides' own outputs.
pub(crate) const DELAY: u16 = 6;

const FEERATE: FeeRatePerKw = FeeRatePerKw(1_000);
const DUST_LIMIT: Amount = Amount::from_sat(546);
const OUR_SEED: [u8; 32] = [1; 32];
const PEERS_SEED: [u8; 32] = [2; 32];

/// A commitment with its HTLCs, as the node sees them.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) unsigned: UnsignedCommitment,
    pub(crate) htlcs: Vec<Htlc>,
}

/// One channel with everything that both sides ever signed.
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    /// As the node sees it.
    pub(crate) ours: ChannelParameters,
    /// As the peer sees it.
    pub(crate) theirs: ChannelParameters,
    pub(crate) our_signer: InMemorySigner,
    pub(crate) peers_signer: InMemorySigner,
    /// The node's commitments, by number.
    pub(crate) local: Vec<Held>,
    /// The peer's commitments, by number.
    pub(crate) remote: Vec<Held>,
    next_update: UpdateId,
    next_htlc: u64,
}

/// Returns the node's keys of a channel; they never change.
pub(crate) fn our_keys(channel_id: ChannelId) -> ChannelKeys {
    ChannelKeys::derive(&OUR_SEED, &channel_id.0)
}

fn peers_keys(channel_id: ChannelId) -> ChannelKeys {
    ChannelKeys::derive(&PEERS_SEED, &channel_id.0)
}

/// Returns the script of a channel's funding output.
pub(crate) fn funding_script(channel_id: ChannelId) -> bitcoin::ScriptBuf {
    let [ours, theirs] = [our_keys(channel_id), peers_keys(channel_id)]
        .map(|keys| keys.side(DUST_LIMIT, ToSelfDelay(DELAY)).funding_pubkey);
    lastword_bolt3::funding_script(&ours, &theirs)
}

impl Channel {
    /// Makes a channel that the node opened, 600,000 of its satoshi the node's.
    pub(crate) fn new(
        channel_id: ChannelId,
        format: CommitmentFormat,
        funding_outpoint: OutPoint,
    ) -> Self {
        let side = |keys: ChannelKeys| keys.side(DUST_LIMIT, ToSelfDelay(DELAY));
        let (local, remote) = (side(our_keys(channel_id)), side(peers_keys(channel_id)));
        let parameters = |opener, local, remote| ChannelParameters {
            channel_id,
            funding_outpoint,
            funding_amount: FUNDING,
            format,
            opener,
            local,
            remote,
        };
        let ours = parameters(Side::Local, local.clone(), remote.clone());
        let theirs = parameters(Side::Remote, remote, local);
        let (mut our_signer, mut peers_signer) = (InMemorySigner::new(), InMemorySigner::new());
        our_signer.insert(channel_id, our_keys(channel_id));
        peers_signer.insert(channel_id, peers_keys(channel_id));
        let first = |signer: &mut InMemorySigner, to_local, to_remote| Held {
            unsigned: UnsignedCommitment {
                number: CommitmentNumber::ZERO,
                per_commitment_point: signer
                    .per_commitment_point(channel_id, CommitmentNumber::ZERO)
                    .unwrap(),
                feerate_per_kw: FEERATE,
                to_local_msat: AmountMsat(to_local),
                to_remote_msat: AmountMsat(to_remote),
            },
            htlcs: Vec::new(),
        };
        let local = vec![first(&mut our_signer, 600_000_000, 400_000_000)];
        let remote = vec![first(&mut peers_signer, 400_000_000, 600_000_000)];
        Self {
            id: channel_id,
            ours,
            theirs,
            our_signer,
            peers_signer,
            local,
            remote,
            next_update: UpdateId(1),
            next_htlc: 0,
        }
    }

    /// Returns the first record of the channel's monitor.
    pub(crate) fn born_at(&mut self, birth: BlockRef) -> NewChannel {
        let local = self.local_commitment(Vec::new(), Vec::new());
        let remote = remote_commitment(&self.remote[0].unsigned, Vec::new(), Vec::new());
        NewChannel { parameters: self.ours.clone(), local, remote, birth }
    }

    /// Returns the id that our next HTLC gets.
    pub(crate) fn take_htlc_id(&mut self) -> HtlcId {
        self.next_htlc += 1;
        HtlcId(self.next_htlc - 1)
    }

    /// We sign the peer's next commitment, which brings an HTLC.
    pub(crate) fn add(&mut self, htlc: Htlc) -> MonitorUpdate {
        let mut next = self.remote.last().unwrap().clone();
        let payer = match htlc.direction {
            HtlcDirection::Offered => &mut next.unsigned.to_remote_msat,
            HtlcDirection::Received => &mut next.unsigned.to_local_msat,
        };
        *payer = payer.checked_sub(htlc.amount_msat).unwrap();
        next.htlcs.push(htlc.clone());
        let step = self.next_remote(next, vec![HtlcAdded::New(htlc)], Vec::new());
        self.update(vec![step])
    }

    /// The peer revokes its commitment before, and signs ours with the same HTLCs.
    pub(crate) fn answer(&mut self) -> MonitorUpdate {
        let revocation = self.revocation();
        let (have, want) =
            (self.local.last().unwrap().clone(), self.remote.last().unwrap().clone());
        let added = want.htlcs.iter().filter(|htlc| !have.htlcs.contains(htlc));
        let added = added
            .map(|htlc| HtlcAdded::Known { direction: htlc.direction, htlc_id: htlc.htlc_id })
            .collect();
        let next = Held {
            unsigned: UnsignedCommitment {
                to_local_msat: want.unsigned.to_remote_msat,
                to_remote_msat: want.unsigned.to_local_msat,
                ..have.unsigned
            },
            htlcs: want.htlcs,
        };
        let commitment = self.next_local(next, added, Vec::new());
        self.update(vec![revocation, commitment])
    }

    /// The peer fulfils or fails an HTLC of ours off chain: its signature on our next commitment,
    /// then ours on its next one, then its revocation.
    pub(crate) fn remove(&mut self, htlc_id: HtlcId, reason: RemovalReason) -> [MonitorUpdate; 3] {
        let removed = || vec![HtlcRemoved { direction: HtlcDirection::Offered, htlc_id, reason }];
        let mut local = self.local.last().unwrap().clone();
        let at = local.htlcs.iter().position(|htlc| htlc.htlc_id == htlc_id).unwrap();
        let amount = local.htlcs.remove(at).amount_msat;
        let winner = match reason {
            RemovalReason::Fulfilled { .. } => &mut local.unsigned.to_remote_msat,
            RemovalReason::Failed { .. } => &mut local.unsigned.to_local_msat,
        };
        *winner = winner.checked_add(amount).unwrap();
        let remote = Held {
            unsigned: UnsignedCommitment {
                to_local_msat: local.unsigned.to_remote_msat,
                to_remote_msat: local.unsigned.to_local_msat,
                ..self.remote.last().unwrap().unsigned
            },
            htlcs: local.htlcs.clone(),
        };
        let mut steps = Vec::new();
        if let RemovalReason::Fulfilled { preimage } = reason {
            steps.push(UpdateStep::Fulfill { htlc_id, preimage });
        }
        steps.push(self.next_local(local, Vec::new(), removed()));
        let theirs = self.update(steps);
        let step = self.next_remote(remote, Vec::new(), removed());
        let ours = self.update(vec![step]);
        let step = self.revocation();
        [theirs, ours, self.update(vec![step])]
    }

    /// We fulfil or fail an HTLC of the peer off chain: our signature on its next commitment, then its
    /// revocation and its signature on ours.
    pub(crate) fn settle(&mut self, htlc_id: HtlcId, reason: RemovalReason) -> [MonitorUpdate; 2] {
        let direction = HtlcDirection::Received;
        let removed = || vec![HtlcRemoved { direction, htlc_id, reason }];
        let mut remote = self.remote.last().unwrap().clone();
        let is_it = |htlc: &Htlc| (htlc.direction, htlc.htlc_id) == (direction, htlc_id);
        let at = remote.htlcs.iter().position(is_it).unwrap();
        let amount = remote.htlcs.remove(at).amount_msat;
        let winner = match reason {
            RemovalReason::Fulfilled { .. } => &mut remote.unsigned.to_remote_msat,
            RemovalReason::Failed { .. } => &mut remote.unsigned.to_local_msat,
        };
        *winner = winner.checked_add(amount).unwrap();
        let local = Held {
            unsigned: UnsignedCommitment {
                to_local_msat: remote.unsigned.to_remote_msat,
                to_remote_msat: remote.unsigned.to_local_msat,
                ..self.local.last().unwrap().unsigned
            },
            htlcs: remote.htlcs.clone(),
        };
        let step = self.next_remote(remote, Vec::new(), removed());
        let ours = self.update(vec![step]);
        let revocation = self.revocation();
        let step = self.next_local(local, Vec::new(), removed());
        [ours, self.update(vec![revocation, step])]
    }

    /// We fail the channel.
    pub(crate) fn fail(&mut self) -> MonitorUpdate {
        self.update(vec![UpdateStep::FailChannel])
    }

    /// Gives steps the next update id.
    pub(crate) fn update(&mut self, steps: Vec<UpdateStep>) -> MonitorUpdate {
        let update_id = self.next_update;
        self.next_update = update_id.next().unwrap();
        MonitorUpdate { channel_id: self.id, update_id, steps }
    }

    /// Builds a commitment, as the node sees it.
    pub(crate) fn build(&self, owner: Side, held: &Held) -> CommitmentTx {
        let htlcs: Vec<&Htlc> = held.htlcs.iter().collect();
        build(&self.ours, owner, &held.unsigned, &htlcs)
    }

    /// Builds a commitment, as the peer sees it.
    pub(crate) fn build_for_peer(&self, owner: Side, held: &Held) -> CommitmentTx {
        let mirrored: Vec<Htlc> = held.htlcs.iter().map(mirror).collect();
        let htlcs: Vec<&Htlc> = mirrored.iter().collect();
        build(&self.theirs, owner.other(), &held.unsigned, &htlcs)
    }

    fn revocation(&mut self) -> UpdateStep {
        let number = self.remote[self.remote.len() - 2].unsigned.number;
        let secret = self.peers_signer.revoke(self.id, number).unwrap();
        UpdateStep::RemoteRevocation { number, secret }
    }

    fn next_remote(
        &mut self,
        mut next: Held,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> UpdateStep {
        let number = self.remote.last().unwrap().unsigned.number.next().unwrap();
        next.unsigned.number = number;
        next.unsigned.per_commitment_point =
            self.peers_signer.per_commitment_point(self.id, number).unwrap();
        let step = remote_commitment(&next.unsigned, added, removed);
        self.remote.push(next);
        UpdateStep::RemoteCommitment(step)
    }

    fn next_local(
        &mut self,
        mut next: Held,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> UpdateStep {
        let number = self.local.last().unwrap().unsigned.number.next().unwrap();
        next.unsigned.number = number;
        next.unsigned.per_commitment_point =
            self.our_signer.per_commitment_point(self.id, number).unwrap();
        self.local.push(next);
        UpdateStep::LocalCommitment(self.local_commitment(added, removed))
    }

    /// Has the peer sign our newest commitment, and checks it as BOLT 2 wants.
    fn local_commitment(
        &mut self,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> LocalCommitment {
        let held = self.local.last().unwrap().clone();
        let (signature, htlc_signatures) = self.peer_signs(&held);
        let built = self.build(Side::Local, &held);
        verify_commitment(&self.ours, &built, &signature, &htlc_signatures).unwrap();
        LocalCommitment {
            number: held.unsigned.number,
            per_commitment_point: held.unsigned.per_commitment_point,
            feerate_per_kw: held.unsigned.feerate_per_kw,
            to_local_msat: held.unsigned.to_local_msat,
            to_remote_msat: held.unsigned.to_remote_msat,
            added,
            removed,
            signature,
            htlc_signatures,
        }
    }

    fn peer_signs(&mut self, held: &Held) -> (Signature, Vec<Signature>) {
        let built = self.build_for_peer(Side::Local, held);
        sign_commitment(&mut self.peers_signer, &self.theirs, &built).unwrap()
    }
}

fn build(
    parameters: &ChannelParameters,
    owner: Side,
    commitment: &UnsignedCommitment,
    htlcs: &[&Htlc],
) -> CommitmentTx {
    build_commitment(&CommitmentInput { parameters, owner, commitment, htlcs }).unwrap()
}

fn mirror(htlc: &Htlc) -> Htlc {
    let direction = match htlc.direction {
        HtlcDirection::Offered => HtlcDirection::Received,
        HtlcDirection::Received => HtlcDirection::Offered,
    };
    Htlc { direction, ..htlc.clone() }
}

fn remote_commitment(
    unsigned: &UnsignedCommitment,
    added: Vec<HtlcAdded>,
    removed: Vec<HtlcRemoved>,
) -> RemoteCommitment {
    RemoteCommitment {
        number: unsigned.number,
        per_commitment_point: unsigned.per_commitment_point,
        feerate_per_kw: unsigned.feerate_per_kw,
        to_local_msat: unsigned.to_local_msat,
        to_remote_msat: unsigned.to_remote_msat,
        added,
        removed,
    }
}
