//! A channel with HTLCs both ways, its two commitments, and everything that may be claimed of them.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, Script, ScriptBuf, Transaction, TxOut, Txid};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, CommitmentOutput, CommitmentTx, InMemorySigner, OutputKind,
    build_commitment, funding_script, remote_htlc_sighash,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, ChannelParameters, ClaimKind, ClaimRequest,
    CommitmentFormat, CommitmentNumber, FeeRatePerKw, Htlc, HtlcDirection, HtlcId, HtlcOrigin,
    PaymentPreimage, PerCommitmentSecret, Side, SigningKey, SweepWitness, ToSelfDelay,
    UnsignedCommitment,
};

/// The blocks that both sides wait for their own outputs.
pub(crate) const DELAY: u16 = 144;
/// Where everything is confirmed.
pub(crate) const CONFIRMED: BlockHeight = BlockHeight(1_000);
/// The expiry of the first HTLC; each next one expires a block later.
pub(crate) const EXPIRY: u32 = 1_100;
/// From this tip on every request of a [`World`] is due.
pub(crate) const LATE: BlockHeight = BlockHeight(2_000);

const OUR_SEED: [u8; 32] = [1; 32];
const THEIR_SEED: [u8; 32] = [2; 32];

/// A channel, both sides' keys, and the outputs that exist.
pub(crate) struct World {
    pub(crate) parameters: ChannelParameters,
    ours: InMemorySigner,
    theirs: InMemorySigner,
    htlcs: Vec<Htlc>,
    /// Every output that a request or a coin names.
    pub(crate) outputs: BTreeMap<OutPoint, TxOut>,
}

impl World {
    /// Opens a channel of 10,000,000 sat with an HTLC for each of `amounts`, offered and received
    /// by turns. Equal numbers make equal worlds.
    pub(crate) fn new(format: CommitmentFormat, number: u8, amounts: &[u64]) -> Self {
        let channel_id = ChannelId([number; 32]);
        let [local, remote] =
            [OUR_SEED, THEIR_SEED].map(|seed| ChannelKeys::derive(&seed, &channel_id.0));
        let [local_side, remote_side] =
            [&local, &remote].map(|keys| keys.side(Amount::from_sat(354), ToSelfDelay(DELAY)));
        let funding_amount = Amount::from_sat(10_000_000);
        let parameters = ChannelParameters {
            channel_id,
            funding_outpoint: OutPoint::new(Txid::from_byte_array([number; 32]), 0),
            funding_amount,
            format,
            opener: Side::Local,
            local: local_side,
            remote: remote_side,
        };
        let [mut ours, mut theirs] = [InMemorySigner::new(), InMemorySigner::new()];
        ours.insert(channel_id, local);
        theirs.insert(channel_id, remote);
        let htlcs = amounts.iter().zip(0..).map(|(sat, id)| htlc(id, *sat)).collect();
        let mut world = Self { parameters, ours, theirs, htlcs, outputs: BTreeMap::new() };
        let script_pubkey = world.funding_script().to_p2wsh();
        world.outputs.insert(
            world.parameters.funding_outpoint,
            TxOut { value: funding_amount, script_pubkey },
        );
        world
    }

    /// The channel and our keys in it.
    pub(crate) fn keys(&self) -> (ChannelId, ChannelKeys) {
        let channel_id = self.parameters.channel_id;
        (channel_id, ChannelKeys::derive(&OUR_SEED, &channel_id.0))
    }

    /// Everything that could be asked for once one of them is confirmed, from both commitments at
    /// once.
    pub(crate) fn requests(&mut self) -> Vec<ClaimRequest> {
        let mut requests = self.second_stage_requests();
        requests.extend(self.delayed_requests());
        requests.extend(self.their_commitment_requests());
        requests
    }

    /// Our commitment itself.
    pub(crate) fn commitment_request(&mut self) -> ClaimRequest {
        let commitment = self.commitment(Side::Local);
        let script = self.funding_script();
        let remote_signature = self.peer_signs(&PeerSigns {
            key: SigningKey::Funding,
            transaction: &commitment.transaction,
            amount: self.parameters.funding_amount,
            script: &script,
            sighash: EcdsaSighashType::All,
        });
        ClaimRequest {
            channel_id: self.parameters.channel_id,
            outpoint: self.parameters.funding_outpoint,
            amount: self.parameters.funding_amount,
            script,
            earliest_height: BlockHeight(0),
            deadline: None,
            kind: ClaimKind::Commitment {
                transaction: commitment.transaction,
                remote_signature,
                remote_funding_pubkey: self.parameters.remote.funding_pubkey,
                local_funding_pubkey: self.parameters.local.funding_pubkey,
                format: self.parameters.format,
                at_stake: Amount::ZERO,
            },
        }
    }

    /// The HTLC outputs of our commitment.
    pub(crate) fn second_stage_requests(&mut self) -> Vec<ClaimRequest> {
        let commitment = self.commitment(Side::Local);
        let per_commitment_point = commitment.keys.per_commitment_point;
        let mut requests = Vec::new();
        for (output, vout) in commitment.outputs.iter().zip(0..) {
            let OutputKind::Htlc { direction, htlc_id, .. } = output.kind else { continue };
            let second = commitment.htlc_transaction(vout).unwrap();
            let remote_sighash = remote_htlc_sighash(self.parameters.format);
            let remote_signature = self.peer_signs(&PeerSigns {
                key: SigningKey::Htlc { per_commitment_point },
                transaction: &second.transaction,
                amount: second.amount,
                script: &second.script,
                sighash: remote_sighash,
            });
            let htlc = self.htlc(direction, htlc_id).clone();
            let (preimage, earliest_height, deadline) = match direction {
                HtlcDirection::Offered => (None, htlc.cltv_expiry.plus(1), None),
                HtlcDirection::Received => {
                    (Some(preimage(htlc_id)), CONFIRMED.plus(1), Some(htlc.cltv_expiry))
                }
            };
            let kind = ClaimKind::SecondStage {
                transaction: second.transaction,
                remote_signature,
                remote_sighash,
                preimage,
                per_commitment_point,
                format: self.parameters.format,
            };
            let outpoint = self.exists(&commitment.transaction, vout);
            requests.push(self.request(output, outpoint, (earliest_height, deadline), kind));
        }
        requests
    }

    /// Our main output and those of our HTLC transactions, after the delay.
    pub(crate) fn delayed_requests(&mut self) -> Vec<ClaimRequest> {
        let commitment = self.commitment(Side::Local);
        let per_commitment_point = commitment.keys.per_commitment_point;
        let height = (CONFIRMED.plus(DELAY.into()), None);
        let mut requests = Vec::new();
        for (output, vout) in commitment.outputs.iter().zip(0..) {
            match output.kind {
                OutputKind::ToLocal => {
                    let outpoint = self.exists(&commitment.transaction, vout);
                    let kind = sweep(SweepWitness::Delayed { per_commitment_point }, DELAY, 0);
                    requests.push(self.request(output, outpoint, height, kind));
                }
                OutputKind::Htlc { .. } => {
                    let second = commitment.htlc_transaction(vout).unwrap();
                    let outpoint = self.exists(&second.transaction, 0);
                    let kind = sweep(SweepWitness::Delayed { per_commitment_point }, DELAY, 0);
                    let output = CommitmentOutput {
                        kind: OutputKind::ToLocal,
                        script: second.output_script,
                        amount: second.transaction.output[0].value,
                    };
                    requests.push(self.request(&output, outpoint, height, kind));
                }
                OutputKind::Anchor(Side::Local) => {
                    let outpoint = self.exists(&commitment.transaction, vout);
                    let height = (CONFIRMED.plus(1), None);
                    let kind = sweep(SweepWitness::Anchor, 0, 0);
                    requests.push(self.request(output, outpoint, height, kind));
                }
                OutputKind::Anchor(Side::Remote)
                | OutputKind::SharedAnchor
                | OutputKind::ToRemote => {}
            }
        }
        requests
    }

    /// What is ours on the peer's commitment.
    pub(crate) fn their_commitment_requests(&mut self) -> Vec<ClaimRequest> {
        let commitment = self.commitment(Side::Remote);
        let per_commitment_point = commitment.keys.per_commitment_point;
        let payment_basepoint = self.parameters.local.payment_basepoint;
        let csv = match self.parameters.format {
            CommitmentFormat::StaticRemoteKey | CommitmentFormat::ZeroFee => 0,
            CommitmentFormat::AnchorsZeroFeeHtlc => 1,
        };
        let after = CONFIRMED.plus(1);
        let mut requests = Vec::new();
        for (output, vout) in commitment.outputs.iter().zip(0..) {
            let (kind, heights) = match output.kind {
                OutputKind::ToLocal
                | OutputKind::SharedAnchor
                | OutputKind::Anchor(Side::Remote) => continue,
                OutputKind::ToRemote if csv == 0 => {
                    let witness = SweepWitness::PaymentKeyHash { payment_basepoint };
                    (sweep(witness, 0, 0), (after, None))
                }
                OutputKind::ToRemote => (sweep(SweepWitness::PaymentKey, 1, 0), (after, None)),
                OutputKind::Anchor(Side::Local) => {
                    (sweep(SweepWitness::Anchor, 0, 0), (after, None))
                }
                OutputKind::Htlc { direction: HtlcDirection::Received, htlc_id, .. } => {
                    let preimage = preimage(htlc_id);
                    let witness = SweepWitness::HtlcPreimage { preimage, per_commitment_point };
                    let expiry = self.htlc(HtlcDirection::Received, htlc_id).cltv_expiry;
                    (sweep(witness, csv, 0), (after, Some(expiry)))
                }
                OutputKind::Htlc { direction: HtlcDirection::Offered, htlc_id, .. } => {
                    let witness = SweepWitness::HtlcTimeout { per_commitment_point };
                    let expiry = self.htlc(HtlcDirection::Offered, htlc_id).cltv_expiry;
                    (sweep(witness, csv, expiry.0), (expiry.plus(1), None))
                }
            };
            let outpoint = self.exists(&commitment.transaction, vout);
            requests.push(self.request(output, outpoint, heights, kind));
        }
        requests
    }

    /// What can be taken of the peer's commitment if it had revoked it: `to_local` and every HTLC.
    pub(crate) fn penalty_requests(&mut self) -> Vec<ClaimRequest> {
        let commitment = self.commitment(Side::Remote);
        let per_commitment_secret = self.secret(commitment.number());
        let revocation_pubkey = commitment.keys.revocation_pubkey;
        let mut requests = Vec::new();
        for (output, vout) in commitment.outputs.iter().zip(0..) {
            let htlc = SweepWitness::HtlcRevocation { per_commitment_secret, revocation_pubkey };
            let (witness, deadline) = match output.kind {
                OutputKind::ToLocal => {
                    let deadline = CONFIRMED.plus(u32::from(DELAY));
                    (SweepWitness::Revocation { per_commitment_secret }, deadline)
                }
                OutputKind::Htlc { direction: HtlcDirection::Offered, .. } => {
                    (htlc, CONFIRMED.plus(1))
                }
                OutputKind::Htlc { direction: HtlcDirection::Received, htlc_id, .. } => {
                    let known = self.htlcs.iter().find(|htlc| htlc.htlc_id == htlc_id);
                    (htlc, known.unwrap().cltv_expiry)
                }
                OutputKind::ToRemote | OutputKind::Anchor(_) | OutputKind::SharedAnchor => continue,
            };
            let outpoint = self.exists(&commitment.transaction, vout);
            let kind = sweep(witness, 0, 0);
            requests.push(self.request(output, outpoint, (CONFIRMED, Some(deadline)), kind));
        }
        requests
    }

    /// What takes the place of a penalty of an HTLC once the peer's HTLC transaction is confirmed.
    pub(crate) fn second_penalty(&mut self, first: &ClaimRequest) -> ClaimRequest {
        let commitment = self.commitment(Side::Remote);
        let per_commitment_secret = self.secret(commitment.number());
        let theft = commitment.htlc_transaction(first.outpoint.vout).unwrap();
        ClaimRequest {
            outpoint: self.exists(&theft.transaction, 0),
            amount: theft.transaction.output[0].value,
            script: theft.output_script,
            deadline: Some(CONFIRMED.plus(u32::from(DELAY))),
            kind: sweep(SweepWitness::Revocation { per_commitment_secret }, 0, 0),
            ..first.clone()
        }
    }

    fn secret(&mut self, number: CommitmentNumber) -> PerCommitmentSecret {
        self.theirs.revoke(self.parameters.channel_id, number).unwrap()
    }

    fn commitment(&mut self, owner: Side) -> CommitmentTx {
        let signer = match owner {
            Side::Local => &mut self.ours,
            Side::Remote => &mut self.theirs,
        };
        let number = CommitmentNumber::new(7).unwrap();
        let point = signer.per_commitment_point(self.parameters.channel_id, number).unwrap();
        let in_htlcs: u64 = self.htlcs.iter().map(|htlc| htlc.amount_msat.0).sum();
        let main_msat = (self.parameters.funding_amount.to_sat() * 1000 - in_htlcs) / 2;
        let commitment = UnsignedCommitment {
            number,
            per_commitment_point: point,
            feerate_per_kw: FeeRatePerKw(253),
            to_local_msat: AmountMsat(main_msat),
            to_remote_msat: AmountMsat(main_msat),
        };
        let htlcs: Vec<&Htlc> = self.htlcs.iter().collect();
        build_commitment(&CommitmentInput {
            parameters: &self.parameters,
            owner,
            commitment: &commitment,
            htlcs: &htlcs,
        })
        .unwrap()
    }

    fn request(
        &self,
        output: &CommitmentOutput,
        outpoint: OutPoint,
        (earliest_height, deadline): (BlockHeight, Option<BlockHeight>),
        kind: ClaimKind,
    ) -> ClaimRequest {
        ClaimRequest {
            channel_id: self.parameters.channel_id,
            outpoint,
            amount: output.amount,
            script: output.script.clone(),
            earliest_height,
            deadline,
            kind,
        }
    }

    fn exists(&mut self, transaction: &Transaction, vout: u32) -> OutPoint {
        let outpoint = OutPoint::new(transaction.compute_txid(), vout);
        self.outputs.insert(outpoint, transaction.output[vout as usize].clone());
        outpoint
    }

    fn htlc(&self, direction: HtlcDirection, htlc_id: HtlcId) -> &Htlc {
        let is_it = |htlc: &&Htlc| htlc.direction == direction && htlc.htlc_id == htlc_id;
        self.htlcs.iter().find(is_it).unwrap()
    }

    fn funding_script(&self) -> ScriptBuf {
        let [local, remote] = [&self.parameters.local, &self.parameters.remote];
        funding_script(&local.funding_pubkey, &remote.funding_pubkey)
    }

    fn peer_signs(&mut self, what: &PeerSigns<'_>) -> Signature {
        self.theirs
            .sign(&SigningRequest {
                channel_id: self.parameters.channel_id,
                key: what.key,
                transaction: what.transaction,
                input: 0,
                amount: what.amount,
                script: what.script,
                sighash: what.sighash,
            })
            .unwrap()
    }
}

struct PeerSigns<'a> {
    key: SigningKey,
    transaction: &'a Transaction,
    amount: Amount,
    script: &'a Script,
    sighash: EcdsaSighashType,
}

fn sweep(witness: SweepWitness, csv_blocks: u16, lock_time: u32) -> ClaimKind {
    ClaimKind::Sweep { witness, csv_blocks, lock_time: BlockHeight(lock_time) }
}

fn htlc(id: u64, sat: u64) -> Htlc {
    let direction =
        if id.is_multiple_of(2) { HtlcDirection::Offered } else { HtlcDirection::Received };
    Htlc {
        direction,
        htlc_id: HtlcId(id),
        amount_msat: AmountMsat(sat * 1000),
        payment_hash: preimage(HtlcId(id)).payment_hash(),
        cltv_expiry: BlockHeight(EXPIRY + u32::try_from(id).unwrap()),
        origin: HtlcOrigin::Ours,
    }
}

fn preimage(htlc_id: HtlcId) -> PaymentPreimage {
    let mut preimage = [0x5A; 32];
    preimage[..8].copy_from_slice(&htlc_id.0.to_be_bytes());
    PaymentPreimage(preimage)
}
