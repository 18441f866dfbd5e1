//! Channels of ours and the records that payments make in them.

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, OutPoint, Txid};
use lastword_bolt3::{ChannelKeys, point_of};
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, ChannelParameters, CommitmentFormat,
    CommitmentNumber, FeeRatePerKw, Generation, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcOrigin,
    HtlcRemoved, LocalCommitment, Metadata, MonitorUpdate, NewChannel, PartIndex, PaymentId,
    PaymentOrigin, PaymentPreimage, RemoteCommitment, RemovalReason, Side, Terms, ToSelfDelay,
    UpdateId, UpdateStep,
};

use crate::meter::Result;

const FUNDING_SAT: u64 = 16_000_000;
const HTLC_MSAT: AmountMsat = AmountMsat(5_000_000);
/// What is received at a time: above dust, and so little that the peer can pay for a long time.
const RECEIVED_MSAT: AmountMsat = AmountMsat(600_000);

/// A channel, as far as it has come.
pub(crate) struct Channel {
    id: ChannelId,
    /// Ours and the peer's.
    keys: [ChannelKeys; 2],
    numbers: [CommitmentNumber; 2],
    balances_msat: [u64; 2],
    pending: usize,
    next_htlc: u64,
    update_id: u64,
}

impl Channel {
    /// Makes the channel of a number.
    pub(crate) fn new(number: u32) -> Self {
        let id = ChannelId(sha256::Hash::hash(&number.to_be_bytes()).to_byte_array());
        let half = FUNDING_SAT * 500;
        Self {
            id,
            keys: [1, 2].map(|seed| ChannelKeys::derive(&[seed; 32], &id.0)),
            numbers: [CommitmentNumber::ZERO; 2],
            balances_msat: [half, half],
            pending: 0,
            next_htlc: 0,
            update_id: 0,
        }
    }

    /// Returns how it begins.
    pub(crate) fn birth(&self, birth: BlockRef) -> Result<NewChannel> {
        let delay = ToSelfDelay(144);
        let [local, remote] = self.keys.each_ref().map(|it| it.side(Amount::from_sat(546), delay));
        Ok(NewChannel {
            parameters: ChannelParameters {
                channel_id: self.id,
                funding_outpoint: OutPoint { txid: Txid::from_byte_array(self.id.0), vout: 0 },
                funding_amount: Amount::from_sat(FUNDING_SAT),
                format: CommitmentFormat::AnchorsZeroFeeHtlc,
                opener: Side::Local,
                local,
                remote,
            },
            local: self.local_commitment()?,
            remote: self.remote_commitment()?,
            birth,
        })
    }

    /// A payment that the peer offers, its preimage, and the end of it: five updates, as LDK makes.
    pub(crate) fn receive_payment(&mut self) -> Result<Vec<MonitorUpdate>> {
        let direction = HtlcDirection::Received;
        let htlc = self.htlc(direction);
        let htlc_id = htlc.htlc_id;
        let preimage = preimage(direction, htlc_id);
        self.balances_msat[1] -= RECEIVED_MSAT.0;
        self.pending += 1;
        let local = self.next_local(vec![HtlcAdded::New(htlc)], vec![])?;
        let (remote, added) =
            self.next_remote(vec![HtlcAdded::Known { direction, htlc_id }], vec![])?;
        let added = [self.update(vec![local, remote]), self.update(vec![added])];

        self.balances_msat[0] += RECEIVED_MSAT.0;
        self.pending -= 1;
        let reason = RemovalReason::Fulfilled { preimage };
        let removed = HtlcRemoved { direction, htlc_id, reason };
        let (remote, revoked) = self.next_remote(vec![], vec![removed.clone()])?;
        let local = self.next_local(vec![], vec![removed])?;
        let ended = [
            self.update(vec![UpdateStep::Preimage { preimage }, remote]),
            self.update(vec![revoked]),
            self.update(vec![local]),
        ];
        Ok(added.into_iter().chain(ended).collect())
    }

    /// The next commitment of both sides in one update, with a payment that we offer new in them,
    /// and the peer's revocation.
    pub(crate) fn offer(&mut self) -> Result<[MonitorUpdate; 2]> {
        let direction = HtlcDirection::Offered;
        let htlc = self.htlc(direction);
        let known = HtlcAdded::Known { direction, htlc_id: htlc.htlc_id };
        self.balances_msat[0] -= HTLC_MSAT.0;
        self.pending += 1;
        let (remote, revoked) = self.next_remote(vec![HtlcAdded::New(htlc)], vec![])?;
        let local = self.next_local(vec![known], vec![])?;
        Ok([self.update(vec![remote, local]), self.update(vec![revoked])])
    }

    fn htlc(&mut self, direction: HtlcDirection) -> Htlc {
        let htlc_id = HtlcId(self.next_htlc);
        self.next_htlc += 1;
        let origin = match direction {
            HtlcDirection::Received => HtlcOrigin::Ours,
            HtlcDirection::Offered => HtlcOrigin::Payment(PaymentOrigin {
                payment_id: PaymentId(digest(3, htlc_id)),
                generation: generation(htlc_id),
                attempt: 0,
                part: PartIndex(0),
                part_channels: vec![self.id],
                part_amount_msat: HTLC_MSAT,
                total_msat: HTLC_MSAT,
                fee_msat: AmountMsat::ZERO,
                metadata: Metadata::Here(vec![]),
                terms: Terms::default(),
            }),
        };
        Htlc {
            direction,
            htlc_id,
            amount_msat: match direction {
                HtlcDirection::Received => RECEIVED_MSAT,
                HtlcDirection::Offered => HTLC_MSAT,
            },
            payment_hash: preimage(direction, htlc_id).payment_hash(),
            cltv_expiry: BlockHeight(800_144),
            origin,
        }
    }

    fn update(&mut self, steps: Vec<UpdateStep>) -> MonitorUpdate {
        self.update_id += 1;
        MonitorUpdate { channel_id: self.id, update_id: UpdateId(self.update_id), steps }
    }

    fn next_local(
        &mut self,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> Result<UpdateStep> {
        self.numbers[0] = self.numbers[0].next().ok_or("there is a next number")?;
        let htlc_signatures = vec![signature()?; self.pending];
        let commitment = self.local_commitment()?;
        let commitment = LocalCommitment { added, removed, htlc_signatures, ..commitment };
        Ok(UpdateStep::LocalCommitment(commitment))
    }

    /// The peer's next commitment, and its revocation of the one before.
    fn next_remote(
        &mut self,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> Result<(UpdateStep, UpdateStep)> {
        let number = self.numbers[1];
        self.numbers[1] = number.next().ok_or("there is a next number")?;
        let secret = self.keys[1].per_commitment_secret(number);
        let commitment = RemoteCommitment { added, removed, ..self.remote_commitment()? };
        let revocation = UpdateStep::RemoteRevocation { number, secret };
        Ok((UpdateStep::RemoteCommitment(commitment), revocation))
    }

    fn local_commitment(&self) -> Result<LocalCommitment> {
        Ok(LocalCommitment {
            number: self.numbers[0],
            per_commitment_point: point(&self.keys[0], self.numbers[0])?,
            feerate_per_kw: FeeRatePerKw(1_000),
            to_local_msat: AmountMsat(self.balances_msat[0]),
            to_remote_msat: AmountMsat(self.balances_msat[1]),
            added: vec![],
            removed: vec![],
            signature: signature()?,
            htlc_signatures: vec![],
        })
    }

    fn remote_commitment(&self) -> Result<RemoteCommitment> {
        Ok(RemoteCommitment {
            number: self.numbers[1],
            per_commitment_point: point(&self.keys[1], self.numbers[1])?,
            feerate_per_kw: FeeRatePerKw(1_000),
            to_local_msat: AmountMsat(self.balances_msat[1]),
            to_remote_msat: AmountMsat(self.balances_msat[0]),
            added: vec![],
            removed: vec![],
        })
    }
}

fn point(keys: &ChannelKeys, number: CommitmentNumber) -> Result<PublicKey> {
    Ok(point_of(&keys.per_commitment_secret(number))?)
}

/// Any numbers: whoever took a signature has verified it, and a monitor does not.
fn signature() -> Result<Signature> {
    Ok(Signature::from_compact(&[1; 64])?)
}

/// Bytes that differ for each HTLC, as random ones would.
fn digest(purpose: u8, htlc_id: HtlcId) -> [u8; 32] {
    let mut bytes = vec![purpose];
    bytes.extend(htlc_id.0.to_be_bytes());
    sha256::Hash::hash(&bytes).to_byte_array()
}

fn preimage(direction: HtlcDirection, htlc_id: HtlcId) -> PaymentPreimage {
    PaymentPreimage(digest(if direction == HtlcDirection::Offered { 1 } else { 2 }, htlc_id))
}

fn generation(htlc_id: HtlcId) -> Generation {
    let mut generation = [0; 16];
    generation.copy_from_slice(&digest(4, htlc_id)[..16]);
    Generation(generation)
}
