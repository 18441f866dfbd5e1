//! What it costs when many channels close at once: a peer went away, and what it left us is in blocks.
//!
//! Each channel closes with our own commitment, with received HTLCs whose preimage we know and offered
//! ones that have expired. We decided that: our commitments go out before the first block.
//! Counted is what the processor does from when those go out until the last claim is handed to the
//! network: reading and writing the store, both signatures of each claim, and all.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, Block, BlockHash, CompressedPublicKey, EcdsaSighashType, Network, OutPoint, ScriptBuf,
    Transaction, Txid, Witness, constants, ecdsa,
};
use lastword_bolt3::InMemorySigner;
use lastword_engine::{Driver, NoChannels, NoForwards, NoObserver, Ports};
use lastword_monitor::Monitor;
use lastword_ports::{
    BlockSource, Broadcaster, ChainError, ChainErrorKind, Coin, CoinSource, Frame, Header, Lsn,
    Stream,
};
use lastword_ports::{SnapshotStore as _, UpdateLog as _};
use lastword_store::RedbStore;
use lastword_testkit::FixedFees;
use lastword_types::{
    BlockHeight, BlockRef, Card, ChainTip, FeeRatePerKw, HtlcDirection, HtlcOrigin, MonitorState,
};
use lastword_wire::{encode_card, encode_chain_tip, encode_monitor_state};

use crate::memory::resident_bytes as resident;
use crate::quiet::channel_id;
use crate::restart::Folder;
use crate::tape::{self, Tape, funding_outpoint};
use crate::{Line, Result, thread_time};

/// The word by which this program asks itself for one measurement.
pub(crate) const CHILD: &str = "--mass";

/// HTLCs of each channel in each direction.
const HTLCS: u32 = 5;
/// The tip before the first block: the HTLCs have expired.
const TIP: u32 = tape::BIRTH + 150;
/// Channels in an append.
const BATCH: u32 = 500;
const GIB: f64 = 1_073_741_824.0;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let (mut seconds, mut peak, mut longest, mut decided) = (0.0, 0.0_f64, 0.0_f64, 0.0);
    for (id, channels, blocks) in [("mass-block", 1_400, 1), ("mass-hour", 10_000, 8)] {
        let folder = Folder::new()?;
        write(&folder.path("node.redb"), channels)?;
        let [time, resident, block, decision] = ask(&folder.path("node.redb"), channels, blocks)?;
        let what = format!("{channels} channels close within {blocks} blocks, 10 HTLCs each");
        lines.push(Line { id, what, unit: "s", ours: time, bar: None });
        (seconds, peak) = (seconds + decision + time, peak.max(resident));
        longest = longest.max(block);
        decided += decision;
    }
    let what = "both, from our commitments to the last claim".into();
    lines.push(Line { id: "mass", what, unit: "s", ours: seconds, bar: Some(12.0) });
    let what = "of it before the first block: our commitments, each with a child that pays".into();
    lines.push(Line { id: "mass-decided", what, unit: "s", ours: decided, bar: None });
    let what = "the block that took the longest of them".into();
    lines.push(Line { id: "mass-longest", what, unit: "s", ours: longest, bar: None });
    let what = "the most that was resident".into();
    lines.push(Line { id: "mass-memory", what, unit: "GiB", ours: peak / GIB, bar: Some(1.0) });
    Ok(lines)
}

/// Asks a process of its own, so that nothing of another measurement is counted.
fn ask(store: &Path, channels: u32, blocks: u32) -> Result<[f64; 4]> {
    let numbers = [channels, blocks].map(|number| number.to_string());
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(CHILD).arg(store).args(numbers).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().ok_or("a number is missing");
    Ok([next()??, next()??, next()??, next()??])
}

/// Has the channels of a store close, and prints seconds, bytes, and the seconds of
/// the longest block.
pub(crate) fn child(store: &Path, channels: u32, blocks: u32) -> Result<()> {
    let pattern = pattern()?;
    let mut signer = InMemorySigner::new();
    for number in 0..channels {
        signer.insert(channel_id(number), pattern.keys());
    }
    let source = Blocks::new(&pattern, channels, blocks)?;
    let (shown, offered) = (Arc::clone(&source.shown), Arc::new(AtomicUsize::new(0)));
    let mut driver = Driver::start(Ports {
        monitors: Box::new(RedbStore::open(store)?),
        books: None,
        source: Box::new(source),
        broadcaster: Box::new(Crowd(Arc::clone(&offered))),
        signer: Box::new(signer),
        coins: Box::new(Wallet::new(channels * 2 * HTLCS)?),
        fees: Box::new(FixedFees(FeeRatePerKw(1_000))),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: Box::new(NoObserver),
    })?;
    assert_eq!(driver.damaged(), []);
    let since = Instant::now();
    let begun = thread_time(since);
    // The decision to close is made, so our commitments go out first.
    driver.poll_chain()?;
    let before = thread_time(since);
    let decided = before.saturating_sub(begun);
    let mut longest = Duration::ZERO;
    for block in 1..=blocks {
        let begun = thread_time(since);
        shown.store(usize::try_from(block)?, Ordering::Relaxed);
        driver.poll_chain()?;
        longest = longest.max(thread_time(since).saturating_sub(begun));
    }
    let time = thread_time(since).saturating_sub(before);
    let claims = offered.load(Ordering::Relaxed);
    assert!(claims >= usize::try_from(channels * 2 * HTLCS)?, "{claims} claims are offered");
    let peak = resident("VmHWM:")?;
    let [time, longest, decided] = [time, longest, decided].map(|it| it.as_secs_f64());
    println!("{time} {peak} {longest} {decided}");
    Ok(())
}

/// A channel with its HTLCs: the offered ones expire before the closing, the preimages of the received
/// ones are known and there is time to show them.
fn pattern() -> Result<Tape> {
    let mut tape = Tape::new(channel_id(0))?;
    tape.expiries = [BlockHeight(TIP - 1), BlockHeight(TIP + 200)];
    for _ in 0..HTLCS {
        tape.add(HtlcDirection::Offered)?;
        let received = tape.add(HtlcDirection::Received)?;
        tape.know(received)?;
    }
    tape.fail()?;
    Ok(tape)
}

/// Writes the store of a node with so many of these channels.
fn write(path: &Path, channels: u32) -> Result<()> {
    let pattern = pattern()?;
    let mut store = RedbStore::open(path)?;
    let block = |height: u32| BlockRef { height: BlockHeight(height), hash: hash(height) };
    let tip = ChainTip { best: block(TIP), recent: vec![block(TIP - 1)] };
    let body = encode_chain_tip(&tip);
    store.append(&[Frame::Card { stream: Stream::Chain, body: &body }])?;
    for first in (0..channels).step_by(BATCH as usize) {
        let mut position = store.append(&[])?.position;
        let mut cards = Vec::new();
        let mut snapshots = Vec::new();
        for number in first..channels.min(first + BATCH) {
            position += 1;
            let monitor = Monitor::restore(state_like(pattern.monitor.state(), number))?;
            let card = Card { covers: position, ..monitor.card() };
            let stream = Stream::Channel(channel_id(number));
            cards.push((stream, encode_card(&card)));
            snapshots.push((stream, position, encode_monitor_state(monitor.state())));
        }
        let frames: Vec<Frame<'_>> =
            cards.iter().map(|(stream, body)| Frame::Card { stream: *stream, body }).collect();
        let end = store.append(&frames)?;
        let _durable = store.sync()?;
        for (stream, position, body) in snapshots {
            store.put(stream, Lsn { position, ..end }, &body)?;
        }
    }
    let _durable = store.sync()?;
    Ok(())
}

/// The same channel under another name, with payments of its own.
fn state_like(pattern: &MonitorState, number: u32) -> MonitorState {
    let mut state = pattern.clone();
    state.parameters.channel_id = channel_id(number);
    state.parameters.funding_outpoint = funding_outpoint(channel_id(number));
    for held in state.htlcs.values_mut() {
        if let HtlcOrigin::Payment(origin) = &mut held.htlc.origin {
            origin.payment_id.0[..4].copy_from_slice(&number.to_be_bytes());
            origin.part_channels = vec![channel_id(number)];
        }
    }
    state
}

fn hash(height: u32) -> BlockHash {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&height.to_be_bytes());
    BlockHash::from_byte_array(hash)
}

/// Blocks that hold our commitments, shown one after the other.
struct Blocks {
    blocks: Vec<(BlockRef, BlockHash, Vec<u8>)>,
    shown: Arc<AtomicUsize>,
}

impl Blocks {
    fn new(pattern: &Tape, channels: u32, count: u32) -> Result<Self> {
        let mut previous = BlockRef { height: BlockHeight(TIP), hash: hash(TIP) };
        let mut blocks = vec![(previous, hash(TIP - 1), Vec::new())];
        for place in 0..count {
            let mut block: Block = constants::genesis_block(Network::Regtest);
            for number in channels * place / count..channels * (place + 1) / count {
                let mut transaction =
                    pattern.our_commitment(funding_outpoint(channel_id(number)))?;
                transaction.input[0].witness =
                    Witness::from_slice(&[vec![], vec![0; 71], vec![0; 71], vec![0; 71]]);
                block.txdata.push(transaction);
            }
            block.header.prev_blockhash = previous.hash;
            block.header.merkle_root = block.compute_merkle_root().ok_or("it has transactions")?;
            let best = BlockRef { height: previous.height.plus(1), hash: block.block_hash() };
            blocks.push((best, previous.hash, serialize(&block)));
            previous = best;
        }
        Ok(Self { blocks, shown: Arc::new(AtomicUsize::new(0)) })
    }

    fn find(
        &self,
        hash: BlockHash,
    ) -> std::result::Result<&(BlockRef, BlockHash, Vec<u8>), ChainError> {
        let mut blocks = self.blocks.iter();
        let found = blocks.find(|(block, _, _)| block.hash == hash);
        found.ok_or_else(|| ChainError::new(ChainErrorKind::NotFound, "no such block"))
    }
}

impl BlockSource for Blocks {
    fn tip(&mut self) -> std::result::Result<BlockRef, ChainError> {
        let shown = self.blocks.get(self.shown.load(Ordering::Relaxed));
        shown
            .map(|(block, _, _)| *block)
            .ok_or_else(|| ChainError::new(ChainErrorKind::NotFound, "no such block"))
    }

    fn header(&mut self, hash: BlockHash) -> std::result::Result<Header, ChainError> {
        self.find(hash).map(|(block, previous, _)| Header { block: *block, previous: *previous })
    }

    fn block(&mut self, hash: BlockHash) -> std::result::Result<Block, ChainError> {
        let (_, _, raw) = self.find(hash)?;
        bitcoin::consensus::deserialize(raw)
            .map_err(|_| ChainError::new(ChainErrorKind::NotFound, "no such block"))
    }

    fn raw_block(&mut self, hash: BlockHash) -> std::result::Result<Vec<u8>, ChainError> {
        self.find(hash).map(|(_, _, raw)| raw.clone())
    }
}

/// Counts what it is given.
struct Crowd(Arc<AtomicUsize>);

impl Broadcaster for Crowd {
    fn broadcast(&mut self, _: &Transaction) -> std::result::Result<(), ChainError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn broadcast_package(
        &mut self,
        package: &[Transaction],
    ) -> std::result::Result<(), ChainError> {
        self.0.fetch_add(package.len(), Ordering::Relaxed);
        Ok(())
    }
}

/// A wallet with a coin for each claim, which it signs.
struct Wallet {
    secp: Secp256k1<All>,
    secret: SecretKey,
    public: PublicKey,
    script: ScriptBuf,
    coins: u32,
}

impl Wallet {
    fn new(coins: u32) -> Result<Self> {
        let secp = Secp256k1::new();
        let secret = SecretKey::from_slice(&[7; 32])?;
        let public = secret.public_key(&secp);
        let script = ScriptBuf::new_p2wpkh(&CompressedPublicKey(public).wpubkey_hash());
        Ok(Self { secp, secret, public, script, coins })
    }
}

impl CoinSource for Wallet {
    fn coins(&mut self) -> std::result::Result<Vec<Coin>, ChainError> {
        let coin = |number: u32| {
            let mut txid = [0xC0; 32];
            txid[..4].copy_from_slice(&number.to_le_bytes());
            let outpoint = OutPoint { txid: Txid::from_byte_array(txid), vout: 0 };
            let amount = Amount::from_sat(40_000);
            Coin { outpoint, amount, script_pubkey: self.script.clone() }
        };
        Ok((0..self.coins).map(coin).collect())
    }

    fn destination(&mut self) -> ScriptBuf {
        self.script.clone()
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> std::result::Result<(), ChainError> {
        let unknown = |_| ChainError::new(ChainErrorKind::NotFound, "no such input");
        let sighash = SighashCache::new(&*transaction)
            .p2wpkh_signature_hash(input, &coin.script_pubkey, coin.amount, EcdsaSighashType::All)
            .map_err(unknown)?;
        let signature = ecdsa::Signature {
            signature: self.secp.sign_ecdsa(&Message::from(sighash), &self.secret),
            sighash_type: EcdsaSighashType::All,
        };
        transaction.input[input].witness = Witness::p2wpkh(&signature, &self.public);
        Ok(())
    }
}
