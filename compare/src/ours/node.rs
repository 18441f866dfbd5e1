//! A node of ours on a real store, with nothing outside that costs anything.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bitcoin::{ScriptBuf, Transaction};
use lastword_bolt3::InMemorySigner;
use lastword_engine::{Driver, Engine, NoChannels, NoForwards, NoObserver, Ports};
use lastword_ports::{ChainError, Coin, CoinSource};
use lastword_regtest::{Chain, SharedChain};
use lastword_store::RedbStore;
use lastword_testkit::{FixedFees, RecordingHandler};
use lastword_types::{FeeRatePerKw, MonitorRecord, MonitorUpdate};
use tempfile::TempDir;

use super::channel::Channel;
use crate::meter::{Meter, Result, Used, size};

/// A wallet without coins.
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
        _transaction: &mut Transaction,
        _input: usize,
        _coin: &Coin,
    ) -> std::result::Result<(), ChainError> {
        Ok(())
    }
}

/// The updates of some channels, one list for each.
pub(crate) struct Tape {
    channels: Vec<Channel>,
    updates: Vec<Vec<MonitorUpdate>>,
}

impl Tape {
    /// Records payments that the node receives, `payments` in each channel.
    pub(crate) fn new(channels: u32, payments: usize) -> Result<Self> {
        let mut tape = Self { channels: Vec::new(), updates: Vec::new() };
        for number in 0..channels {
            let mut channel = Channel::new(number);
            let mut updates = Vec::new();
            for _ in 0..payments {
                updates.extend(channel.receive_payment()?);
            }
            tape.channels.push(Channel::new(number));
            tape.updates.push(updates);
        }
        Ok(tape)
    }

    /// Returns how many updates there are.
    pub(crate) fn len(&self) -> usize {
        self.updates.iter().map(Vec::len).sum()
    }

    /// Returns the sizes of the updates in bytes, as they are appended.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let updates = self.updates.iter().flatten();
        let records = updates.map(|update| MonitorRecord::Update(update.clone()));
        records.map(|record| lastword_wire::encode_monitor_record(&record).len()).collect()
    }

    /// Returns the bytes of all updates.
    pub(crate) fn bytes(&self) -> f64 {
        size(self.sizes().iter().sum())
    }
}

fn ports(folder: &Path) -> Result<Ports> {
    let chain = SharedChain::new(Chain::new());
    Ok(Ports {
        monitors: Box::new(RedbStore::open(&folder.join("node.redb"))?),
        books: None,
        source: Box::new(chain.clone()),
        broadcaster: Box::new(chain),
        signer: Box::new(InMemorySigner::new()),
        coins: Box::new(NoCoins),
        fees: Box::new(FixedFees(FeeRatePerKw(1_000))),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: Box::new(NoObserver),
    })
}

fn driver(folder: &Path, tape: &Tape) -> Result<Driver> {
    let mut driver = Driver::start(ports(folder)?)?;
    for channel in &tape.channels {
        driver.open_channel(channel.birth(driver.tip())?)?;
    }
    Ok(driver)
}

/// A node that gets its updates one after the other.
pub(crate) struct Alone {
    driver: Driver,
    updates: std::vec::IntoIter<MonitorUpdate>,
    _folder: TempDir,
}

impl Alone {
    /// Starts it.
    pub(crate) fn new(folder: &Path, tape: &Tape) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let driver = driver(folder.path(), tape)?;
        let updates: Vec<MonitorUpdate> = tape.updates.iter().flatten().cloned().collect();
        Ok(Self { driver, updates: updates.into_iter(), _folder: folder })
    }

    /// Applies so many updates.
    pub(crate) fn step(&mut self, count: usize) -> Result<Used> {
        let meter = Meter::start()?;
        for update in self.updates.by_ref().take(count) {
            self.driver.update(vec![update])?;
        }
        meter.stop()
    }
}

/// Applies the updates in batches of one for each channel.
pub(crate) fn batched(folder: &Path, tape: &Tape) -> Result<Used> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut driver = driver(folder.path(), tape)?;
    let rounds = tape.updates.first().map_or(0, Vec::len);
    let batches: Vec<Vec<MonitorUpdate>> = (0..rounds)
        .map(|round| tape.updates.iter().filter_map(|all| all.get(round).cloned()).collect())
        .collect();
    let meter = Meter::start()?;
    for batch in batches {
        driver.update(batch)?;
    }
    meter.stop()
}

/// Applies the updates of every channel in a task of its own; each waits until it is durable.
pub(crate) fn concurrent(folder: &Path, tape: &Tape) -> Result<Used> {
    let folder = tempfile::tempdir_in(folder)?;
    drop(driver(folder.path(), tape)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(async {
        let ports = ports(folder.path())?;
        let engine = Engine::start(ports, Box::new(RecordingHandler::new())).await?;
        let failure = Arc::new(Mutex::new(None));
        let meter = Meter::start()?;
        let tasks: Vec<_> = tape
            .updates
            .iter()
            .map(|updates| {
                let (engine, updates, failure) = (engine.clone(), updates.clone(), failure.clone());
                tokio::spawn(async move {
                    for update in updates {
                        if let Err(error) = engine.update(vec![update]).await {
                            *failure.lock().expect("nobody panics with it") = Some(error);
                            return;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        let used = meter.stop()?;
        let failure = failure.lock().expect("nobody panics with it").take();
        failure.map_or(Ok(used), |error| Err(error.into()))
    })
}
