//! Small values with recognisable bytes, for the golden files.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use hex::FromHex as _;
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, ChannelParameters, ChannelSide, CommitmentFormat,
    CommitmentNumber, FeeRatePerKw, ForwardOrigin, Generation, Htlc, HtlcDirection, HtlcId,
    HtlcKey, HtlcOrigin, LocalCommitment, Metadata, NewChannel, PartIndex, PaymentHash, PaymentId,
    PaymentOrigin, RemoteCommitment, Side, SignedCommitment, Terms, ToSelfDelay,
    UnsignedCommitment,
};

/// The x coordinates of the first multiples of the curve's generator; each is a point twice.
const X: [&str; 8] = [
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    "e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
    "2f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
    "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556",
    "5cbdf0646e5db4eaa398f365f2ea7a0e3d419b7e0330e39ce92bddedcac4f9bc",
    "2f01e5e15cca351daff3843fb70f3c2f0a1bdd05e5af888a67784ef3e10a2a01",
];

/// One of sixteen public keys.
pub(crate) fn point(n: u8) -> PublicKey {
    let x = <[u8; 32]>::from_hex(X[usize::from(n >> 1) % X.len()]).expect("the table is hex");
    let mut bytes = [2 + n % 2; 33];
    bytes[1..].copy_from_slice(&x);
    PublicKey::from_slice(&bytes).expect("the table holds points of the curve")
}

pub(crate) fn signature(n: u8) -> Signature {
    let mut bytes = [n; 64];
    bytes[32..].fill(n ^ 0x0F);
    Signature::from_compact(&bytes).expect("small numbers are in range")
}

pub(crate) fn txid(n: u8) -> Txid {
    Txid::from_byte_array([n; 32])
}

pub(crate) fn outpoint(n: u8, vout: u32) -> OutPoint {
    OutPoint { txid: txid(n), vout }
}

pub(crate) fn block(height: u32) -> BlockRef {
    let mut hash = [0xB0; 32];
    hash[..4].copy_from_slice(&height.to_le_bytes());
    BlockRef { height: BlockHeight(height), hash: BlockHash::from_byte_array(hash) }
}

pub(crate) fn number(n: u64) -> CommitmentNumber {
    CommitmentNumber::new(n).expect("small")
}

pub(crate) fn key(direction: HtlcDirection, htlc_id: u64) -> HtlcKey {
    HtlcKey { channel_id: ChannelId([0xC1; 32]), direction, htlc_id: HtlcId(htlc_id) }
}

/// A transaction with witnesses, or one without.
pub(crate) fn transaction(segwit: bool) -> Transaction {
    let witness = if segwit {
        Witness::from_slice(&[&[0x30; 71][..], &[], &[0xEE; 32]])
    } else {
        Witness::new()
    };
    let script_sig = if segwit { ScriptBuf::new() } else { ScriptBuf::from(vec![0x51]) };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(500_000),
        input: vec![TxIn {
            previous_output: outpoint(0x0F, 1),
            script_sig,
            sequence: Sequence(0xFFFF_FFFD),
            witness,
        }],
        output: vec![TxOut {
            value: Amount::from_sat(330),
            script_pubkey: ScriptBuf::from(vec![0; 34]),
        }],
    }
}

fn side(first: u8) -> ChannelSide {
    ChannelSide {
        funding_pubkey: point(first),
        revocation_basepoint: point(first + 1),
        payment_basepoint: point(first + 2),
        delayed_payment_basepoint: point(first + 3),
        htlc_basepoint: point(first + 4),
        dust_limit: Amount::from_sat(546),
        to_self_delay: ToSelfDelay(144),
    }
}

pub(crate) fn parameters(format: CommitmentFormat, opener: Side) -> ChannelParameters {
    ChannelParameters {
        channel_id: ChannelId([0xC1; 32]),
        funding_outpoint: outpoint(0xF0, 0),
        funding_amount: Amount::from_sat(1_000_000),
        format,
        opener,
        local: side(0),
        remote: side(5),
    }
}

pub(crate) fn unsigned(n: u64) -> UnsignedCommitment {
    UnsignedCommitment {
        number: number(n),
        per_commitment_point: point(10),
        feerate_per_kw: FeeRatePerKw(2500),
        to_local_msat: AmountMsat(600_000_000),
        to_remote_msat: AmountMsat(400_000_000),
    }
}

pub(crate) fn signed(n: u64, htlcs: u8) -> SignedCommitment {
    SignedCommitment {
        commitment: unsigned(n),
        signature: signature(0x51),
        htlc_signatures: (0..htlcs).map(|n| signature(0x60 + n)).collect(),
    }
}

pub(crate) fn local_commitment(n: u64) -> LocalCommitment {
    LocalCommitment {
        number: number(n),
        per_commitment_point: point(11),
        feerate_per_kw: FeeRatePerKw(253),
        to_local_msat: AmountMsat(600_000_000),
        to_remote_msat: AmountMsat(400_000_000),
        added: Vec::new(),
        removed: Vec::new(),
        signature: signature(0x52),
        htlc_signatures: Vec::new(),
    }
}

pub(crate) fn remote_commitment(n: u64) -> RemoteCommitment {
    RemoteCommitment {
        number: number(n),
        per_commitment_point: point(12),
        feerate_per_kw: FeeRatePerKw(253),
        to_local_msat: AmountMsat(400_000_000),
        to_remote_msat: AmountMsat(600_000_000),
        added: Vec::new(),
        removed: Vec::new(),
    }
}

pub(crate) fn new_channel(format: CommitmentFormat, opener: Side) -> NewChannel {
    NewChannel {
        parameters: parameters(format, opener),
        local: local_commitment(0),
        remote: remote_commitment(0),
        birth: block(800_000),
    }
}

pub(crate) fn htlc(direction: HtlcDirection, htlc_id: u64, origin: HtlcOrigin) -> Htlc {
    Htlc {
        direction,
        htlc_id: HtlcId(htlc_id),
        amount_msat: AmountMsat(50_001_000),
        payment_hash: PaymentHash([0xAB; 32]),
        cltv_expiry: BlockHeight(800_144),
        origin,
    }
}

pub(crate) fn paid_by(metadata: Metadata) -> HtlcOrigin {
    HtlcOrigin::Payment(PaymentOrigin {
        payment_id: PaymentId([0x1D; 32]),
        generation: Generation([0x6E; 16]),
        attempt: 1,
        part: PartIndex(0),
        part_channels: vec![ChannelId([0xC1; 32]), ChannelId([0xC2; 32])],
        part_amount_msat: AmountMsat(50_000_000),
        total_msat: AmountMsat(100_000_000),
        fee_msat: AmountMsat(2_000),
        metadata,
        terms: Terms::default(),
    })
}

pub(crate) fn forward() -> HtlcOrigin {
    HtlcOrigin::Forward(ForwardOrigin {
        inbound: key(HtlcDirection::Received, 9),
        inbound_amount_msat: AmountMsat(50_002_000),
        inbound_cltv_expiry: BlockHeight(800_184),
    })
}
