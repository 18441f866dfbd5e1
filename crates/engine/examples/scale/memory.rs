//! What an open, quiet channel needs in memory: how a process grows with them.

use std::fs;
use std::ops::ControlFlow;
use std::process::Command;

use bitcoin::{ScriptBuf, Transaction};
use lastword_bolt3::InMemorySigner;
use lastword_engine::{Driver, NoChannels, NoForwards, NoObserver, Ports};
use lastword_ports::{
    CardVisitor, ChainError, ChainErrorKind, Coin, CoinSource, Durable, Frame, LogId, Lsn,
    Snapshot, SnapshotStore, StoreError, StoredCard, Stream, UpdateLog,
};
use lastword_regtest::{Chain, SharedChain};
use lastword_testkit::FixedFees;
use lastword_types::{
    BlockHeight, BlockRef, BookEpoch, Card, ChainTip, ChannelId, FeeRatePerKw, UpdateId,
};
use lastword_wire::{encode_card, encode_chain_tip};

use crate::{Line, Result, tape};

/// The word by which this program asks itself for one measurement.
pub(crate) const CHILD: &str = "--resident-with-channels";

const FEW: u32 = 100_000;
const MANY: u32 = 1_000_000;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let growth = resident(MANY)? - resident(FEW)?;
    let what = "a quiet channel, from 100,000 to 1,000,000".into();
    let ours = growth / f64::from(MANY - FEW);
    Ok(vec![Line { id: "memory", what, unit: "bytes", ours, bar: Some(400.0) }])
}

/// Asks a process of its own, so that nothing of another measurement is counted.
fn resident(channels: u32) -> Result<f64> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(CHILD).arg(channels.to_string()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Starts a node with so many quiet channels and prints the bytes that the process holds.
pub(crate) fn child(channels: u32) -> Result<()> {
    let driver = Driver::start(ports(Box::new(Cards { channels })))?;
    assert_eq!(driver.damaged(), []);
    println!("{}", resident_bytes("VmRSS:")?);
    drop(driver);
    Ok(())
}

/// Returns what the system says of this process: what is resident, or was at most.
pub(crate) fn resident_bytes(row: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix(row));
    let kilobytes = resident.and_then(|it| it.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.ok_or("the system tells what is resident")?.parse()?;
    Ok(kilobytes * 1024.0)
}

/// Returns a node's ports on a store; its chain is a new one that nobody asks.
pub(crate) fn ports(store: Box<dyn lastword_ports::Store>) -> Ports {
    let chain = SharedChain::new(Chain::new());
    Ports {
        monitors: store,
        books: None,
        source: Box::new(chain.clone()),
        broadcaster: Box::new(chain.clone()),
        signer: Box::new(InMemorySigner::new()),
        coins: Box::new(NoCoins),
        fees: Box::new(FixedFees(FeeRatePerKw(5_000))),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: Box::new(NoObserver),
    }
}

/// A wallet with nothing in it.
struct NoCoins;

impl CoinSource for NoCoins {
    fn coins(&mut self) -> std::result::Result<Vec<Coin>, ChainError> {
        Ok(Vec::new())
    }

    fn destination(&mut self) -> ScriptBuf {
        ScriptBuf::new()
    }

    fn sign(
        &mut self,
        _: &mut Transaction,
        _: usize,
        _: &Coin,
    ) -> std::result::Result<(), ChainError> {
        Err(ChainError::new(ChainErrorKind::NotFound, "there are no coins"))
    }
}

/// The block at which every channel here stands.
pub(crate) fn tip() -> BlockRef {
    let hash = bitcoin::hashes::Hash::all_zeros();
    BlockRef { height: BlockHeight(tape::BIRTH), hash }
}

/// A store with the cards of open, quiet channels, none of which is kept anywhere.
struct Cards {
    channels: u32,
}

const LOG: LogId = LogId([1; 16]);

impl UpdateLog for Cards {
    fn append(&mut self, _: &[Frame<'_>]) -> std::result::Result<Lsn, StoreError> {
        Ok(Lsn { log: LOG, position: u64::from(self.channels) })
    }

    fn sync(&mut self) -> std::result::Result<Durable, StoreError> {
        self.append(&[]).map(Durable::attest)
    }

    fn replay(
        &self,
        _: Stream,
        _: Option<Lsn>,
        _: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    fn prune(&mut self, _: Stream, _: Lsn) -> std::result::Result<(), StoreError> {
        Ok(())
    }
}

impl SnapshotStore for Cards {
    fn put(&mut self, _: Stream, _: Lsn, _: &[u8]) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    fn latest(&self, _: Stream) -> std::result::Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> std::result::Result<(), StoreError> {
        for number in 0..self.channels {
            let channel_id = channel_id(number);
            let card = quiet_card(channel_id, u64::from(number) + 1);
            let stream = Stream::Channel(channel_id);
            visit(Ok(StoredCard { stream, last: card.covers, body: &encode_card(&card) }));
        }
        let tip = encode_chain_tip(&ChainTip { best: tip(), recent: Vec::new() });
        visit(Ok(StoredCard { stream: Stream::Chain, last: 0, body: &tip }));
        Ok(())
    }
}

/// Ids in the order of their numbers, as a store visits them.
pub(crate) fn channel_id(number: u32) -> ChannelId {
    let mut id = [0x5A; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    ChannelId(id)
}

/// The card of an open channel with nothing to do.
pub(crate) fn quiet_card(channel_id: ChannelId, covers: u64) -> Card {
    Card {
        channel_id,
        latest_update: UpdateId(0),
        watched: vec![tape::funding_outpoint(channel_id)],
        next_deadline: None,
        has_undelivered: false,
        is_closed: false,
        has_claims: false,
        synced_to: tip(),
        covers,
        is_archived: false,
        pruned_behind: BookEpoch(0),
    }
}
