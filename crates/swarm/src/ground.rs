//! What every seed begins with: keys, wallets, and a chain on which every channel is funded. It is
//! made once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, CompressedPublicKey, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxOut, Witness,
};
use lastword_bolt3::{ChannelKeys, InMemorySigner, funding_script, point_of};
use lastword_regtest::{COINBASE_MATURITY, Chain};
use lastword_types::{ChannelId, ChannelSide, CommitmentNumber, PerCommitmentSecret, ToSelfDelay};

/// Channels that a network may have.
pub(crate) const CHANNELS_MAX: usize = 8;
/// Nodes that a network may have, with the one that is not ours.
pub(crate) const NODES_MAX: usize = 5;
/// What every channel is worth.
pub(crate) const FUNDING: Amount = Amount::from_sat(1_000_000);
const COINS: usize = 40;
const COIN: Amount = Amount::from_sat(30_000);
const DELAYS: [u16; 2] = [9, 12];
/// Two limits, so that an HTLC may be trimmed on one side alone.
const DUST_LIMITS: [Amount; 2] = [Amount::from_sat(546), Amount::from_sat(354)];

/// A wallet of one key.
#[derive(Debug, Clone)]
pub(crate) struct Wallet {
    secret: SecretKey,
    public: PublicKey,
    pub(crate) script: ScriptBuf,
}

impl Wallet {
    fn new(tag: u8) -> Self {
        let secret = SecretKey::from_slice(&[tag; 32]).expect("a small number is a key");
        let public = PublicKey::from_secret_key(&Secp256k1::signing_only(), &secret);
        let script = ScriptBuf::new_p2wpkh(&CompressedPublicKey(public).wpubkey_hash());
        Self { secret, public, script }
    }

    /// Where a node's coins for fees are.
    pub(crate) fn coins_of(node: usize) -> Self {
        Self::new(tag(0x10, node))
    }

    /// Where a node's sweeps go.
    pub(crate) fn sweeps_of(node: usize) -> Self {
        Self::new(tag(0x20, node))
    }

    /// Signs an input that spends an output of this wallet.
    pub(crate) fn sign(&self, transaction: &mut Transaction, input: usize, amount: Amount) {
        let sighash = SighashCache::new(&*transaction)
            .p2wpkh_signature_hash(input, &self.script, amount, EcdsaSighashType::All)
            .expect("the caller names an input that is there");
        let signature = bitcoin::ecdsa::Signature {
            signature: Secp256k1::signing_only().sign_ecdsa(&Message::from(sighash), &self.secret),
            sighash_type: EcdsaSighashType::All,
        };
        transaction.input[input].witness = Witness::p2wpkh(&signature, &self.public);
    }
}

fn tag(base: u8, index: usize) -> u8 {
    base + u8::try_from(index).unwrap_or(0)
}

/// Returns the name of a channel, which never depends on the seed.
pub(crate) fn channel_id(channel: usize) -> ChannelId {
    ChannelId([tag(0xc0, channel); 32])
}

/// Returns the place of a channel by its name.
pub(crate) fn channel_of(id: ChannelId) -> usize {
    usize::from(id.0[0].wrapping_sub(0xc0))
}

fn keys(channel: usize, end: usize) -> ChannelKeys {
    ChannelKeys::derive(&[tag(0x51, end); 32], &channel_id(channel).0)
}

/// Returns what one end of a channel shows of itself.
pub(crate) fn side(channel: usize, end: usize) -> ChannelSide {
    static SIDES: OnceLock<Vec<[ChannelSide; 2]>> = OnceLock::new();
    let sides = SIDES.get_or_init(|| {
        let of = |channel, end: usize| {
            keys(channel, end).side(DUST_LIMITS[end], ToSelfDelay(DELAYS[end]))
        };
        (0..CHANNELS_MAX).map(|channel| [of(channel, 0), of(channel, 1)]).collect()
    });
    sides[channel][end].clone()
}

/// Returns a signer for one end of a channel.
pub(crate) fn signer(channel: usize, end: usize) -> InMemorySigner {
    let mut signer = InMemorySigner::new();
    signer.insert(channel_id(channel), keys(channel, end));
    signer
}

/// Adds the keys of one end of a channel to a signer.
pub(crate) fn add_keys(signer: &mut InMemorySigner, channel: usize, end: usize) {
    signer.insert(channel_id(channel), keys(channel, end));
}

/// Channel, end, number.
type PointKey = (usize, usize, u64);

/// Returns the secret and the point of a commitment. Channels have the same keys in every seed, so
/// a thread derives each once.
pub(crate) fn secret_and_point(
    channel: usize,
    end: usize,
    number: CommitmentNumber,
) -> (PerCommitmentSecret, PublicKey) {
    thread_local! {
        static POINTS: RefCell<BTreeMap<PointKey, (PerCommitmentSecret, PublicKey)>> =
            const { RefCell::new(BTreeMap::new()) };
    }
    POINTS.with_borrow_mut(|points| {
        *points.entry((channel, end, number.value())).or_insert_with(|| {
            let secret = keys(channel, end).per_commitment_secret(number);
            (secret, point_of(&secret).expect("a hash is a key"))
        })
    })
}

/// The chain that every seed begins with.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) chain: Chain,
    pub(crate) fundings: Vec<OutPoint>,
}

impl Ground {
    pub(crate) fn get() -> &'static Self {
        static GROUND: OnceLock<Ground> = OnceLock::new();
        GROUND.get_or_init(Self::make)
    }

    fn make() -> Self {
        let mut chain = Chain::new();
        let bank = Wallet::new(0x01);
        let first = chain.mine(&bank.script);
        for _ in 0..COINBASE_MATURITY {
            chain.mine_empty();
        }
        let coinbase = &chain.block(first).expect("it was just mined").txdata[0];
        let outpoint = OutPoint { txid: coinbase.compute_txid(), vout: 0 };
        let amount = coinbase.output[0].value;
        let mut output: Vec<TxOut> = (0..CHANNELS_MAX)
            .map(|channel| {
                let [one, other] = [0, 1].map(|end| side(channel, end).funding_pubkey);
                let script_pubkey = funding_script(&one, &other).to_p2wsh();
                TxOut { value: FUNDING, script_pubkey }
            })
            .collect();
        for node in 0..NODES_MAX {
            let script_pubkey = Wallet::coins_of(node).script;
            output.extend(std::iter::repeat_n(TxOut { value: COIN, script_pubkey }, COINS));
        }
        let mut funding = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output,
        };
        bank.sign(&mut funding, 0, amount);
        let txid = funding.compute_txid();
        let nobody = ScriptBuf::new_op_return([]);
        chain.mine_transactions(&nobody, vec![funding]).expect("the bank pays with its own money");
        let fundings = (0..CHANNELS_MAX)
            .map(|channel| OutPoint { txid, vout: u32::try_from(channel).expect("few channels") });
        Self { chain, fundings: fundings.collect() }
    }
}
