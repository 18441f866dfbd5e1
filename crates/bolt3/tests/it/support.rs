//! Channels, HTLCs and signatures that the tests are made of.

use std::path::PathBuf;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use lastword_bolt3::{
    Bolt3Error, ChannelKeys, CommitmentInput, CommitmentTx, InMemorySigner, build_commitment,
    generate_from_seed, point_of,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, ChannelParameters, CommitmentFormat, CommitmentNumber,
    FeeRatePerKw, Htlc, HtlcDirection, HtlcId, HtlcOrigin, PaymentPreimage, Side, SigningKey,
    ToSelfDelay, UnsignedCommitment,
};

pub(crate) const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];
pub(crate) const SIDES: [Side; 2] = [Side::Local, Side::Remote];
pub(crate) const FUNDING_SAT: u64 = 10_000_000;
pub(crate) const CHANNEL: ChannelId = ChannelId([7; 32]);

/// Returns the folder of the vectors, or says that this test is skipped.
pub(crate) fn vectors(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LASTWORD_VECTORS");
    if folder.is_none() {
        eprintln!("skipped: {test}: LASTWORD_VECTORS is not set");
    }
    folder.map(PathBuf::from)
}

/// A channel with the private keys of both sides.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) parameters: ChannelParameters,
    pub(crate) keys: [ChannelKeys; 2],
}

impl Channel {
    pub(crate) fn new(format: CommitmentFormat) -> Self {
        let keys = [1, 2].map(|node| ChannelKeys::derive(&[node; 32], &CHANNEL.0));
        let dust_limit = Amount::from_sat(546);
        let parameters = ChannelParameters {
            channel_id: CHANNEL,
            funding_outpoint: OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 1 },
            funding_amount: Amount::from_sat(FUNDING_SAT),
            format,
            opener: Side::Local,
            local: keys[0].side(dust_limit, ToSelfDelay(144)),
            remote: keys[1].side(dust_limit, ToSelfDelay(720)),
        };
        Self { parameters, keys }
    }

    pub(crate) fn keys(&self, side: Side) -> &ChannelKeys {
        match side {
            Side::Local => &self.keys[0],
            Side::Remote => &self.keys[1],
        }
    }

    /// Builds a commitment in which the owner has what the HTLCs leave of half the channel.
    pub(crate) fn commitment(
        &self,
        owner: Side,
        feerate_per_kw: u32,
        htlcs: &[Htlc],
    ) -> Result<CommitmentTx, Bolt3Error> {
        let in_htlcs: u64 = htlcs.iter().map(|htlc| htlc.amount_msat.0).sum();
        let half = FUNDING_SAT * 500;
        self.commitment_of(owner, feerate_per_kw, htlcs, half - in_htlcs)
    }

    /// Builds a commitment in which the owner has `to_local_msat`.
    pub(crate) fn commitment_of(
        &self,
        owner: Side,
        feerate_per_kw: u32,
        htlcs: &[Htlc],
        to_local_msat: u64,
    ) -> Result<CommitmentTx, Bolt3Error> {
        let in_htlcs: u64 = htlcs.iter().map(|htlc| htlc.amount_msat.0).sum();
        let to_remote_msat =
            self.parameters.funding_amount.to_sat() * 1000 - to_local_msat - in_htlcs;
        let unsigned = UnsignedCommitment {
            number: number(42),
            per_commitment_point: self.point(owner, 42),
            feerate_per_kw: FeeRatePerKw(feerate_per_kw),
            to_local_msat: AmountMsat(to_local_msat),
            to_remote_msat: AmountMsat(to_remote_msat),
        };
        build(&self.parameters, owner, &unsigned, htlcs)
    }

    pub(crate) fn point(&self, owner: Side, at: u64) -> PublicKey {
        let index = number(at).secret_index();
        point_of(&generate_from_seed(&self.keys(owner).commitment_seed, index)).unwrap()
    }

    /// Signs all of a transaction with a key of `side`.
    pub(crate) fn sign(
        &self,
        side: Side,
        key: SigningKey,
        transaction: &Transaction,
        (script, amount): (&ScriptBuf, Amount),
    ) -> Signature {
        signer(self.keys(side))
            .sign(&SigningRequest {
                channel_id: CHANNEL,
                key,
                transaction,
                input: 0,
                amount,
                script,
                sighash: EcdsaSighashType::All,
            })
            .unwrap()
    }
}

pub(crate) fn signer(keys: &ChannelKeys) -> InMemorySigner {
    let mut signer = InMemorySigner::new();
    signer.insert(CHANNEL, keys.clone());
    signer
}

pub(crate) fn build(
    parameters: &ChannelParameters,
    owner: Side,
    commitment: &UnsignedCommitment,
    htlcs: &[Htlc],
) -> Result<CommitmentTx, Bolt3Error> {
    let htlcs: Vec<_> = htlcs.iter().collect();
    build_commitment(&CommitmentInput { parameters, owner, commitment, htlcs: &htlcs })
}

pub(crate) fn number(number: u64) -> CommitmentNumber {
    CommitmentNumber::new(number).unwrap()
}

pub(crate) fn htlc(
    direction: HtlcDirection,
    id: u64,
    amount_msat: u64,
    preimage: u8,
    cltv_expiry: u32,
) -> Htlc {
    Htlc {
        direction,
        htlc_id: HtlcId(id),
        amount_msat: AmountMsat(amount_msat),
        payment_hash: PaymentPreimage([preimage; 32]).payment_hash(),
        cltv_expiry: BlockHeight(cltv_expiry),
        origin: HtlcOrigin::Ours,
    }
}

/// Returns the same channel as the peer sees it.
pub(crate) fn mirrored(parameters: &ChannelParameters) -> ChannelParameters {
    ChannelParameters {
        opener: parameters.opener.other(),
        local: parameters.remote.clone(),
        remote: parameters.local.clone(),
        ..parameters.clone()
    }
}

/// Returns the same HTLC as the peer sees it.
pub(crate) fn mirrored_htlc(htlc: &Htlc) -> Htlc {
    let direction = match htlc.direction {
        HtlcDirection::Offered => HtlcDirection::Received,
        HtlcDirection::Received => HtlcDirection::Offered,
    };
    Htlc { direction, ..htlc.clone() }
}

/// Makes a transaction that spends one output and waits as it is told.
pub(crate) fn spend(
    previous_output: OutPoint,
    amount: Amount,
    sequence: u32,
    lock_time: u32,
) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(lock_time),
        input: vec![TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence(sequence),
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: amount - Amount::from_sat(100),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    }
}
