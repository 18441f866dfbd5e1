//! The life of a soak: what happens in each block, and what must hold.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lastword_engine::{Boundary, Driver, NoChannels, NoForwards, Observer, Ports, Request, Stats};
use lastword_ports::BlockSource as _;
use lastword_store::RedbStore;
use lastword_testkit::FixedFees;
use lastword_types::{Event, FeeRatePerKw, HtlcId, MonitorUpdate, PaymentId};

use super::chain::{Chain, OneSigner};
use super::peer::{Open, Peer};
use crate::Result;
use crate::quiet::channel_id;
use crate::tape::Tape;

/// Channels that are in use at a time.
const POOL: u32 = 200;
/// Payments in a block.
const PAYMENTS: u32 = 5;
/// Channels that somebody looks at in a block.
const LOOKS: u32 = 20;
/// Blocks until an HTLC expires, and those in which the peer answers if it does.
const EXPIRY: u32 = 60;
const ANSWER: u32 = 25;
/// What quiet monitors may take of memory here.
const QUIET_BYTES: usize = 1 << 20;

/// What a soak came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    pub(crate) payments: u64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) events: u64,
    pub(crate) again: u64,
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
}

/// The boundary at which the node dies next; 0 is never.
#[derive(Clone, Default)]
struct Bomb(Arc<AtomicU64>);

/// What a node dies of.
struct Died;

impl Observer for Bomb {
    fn at(&mut self, _: Boundary) {
        let left = self.0.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        self.0.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            // Without the hook, so that a death prints nothing.
            resume_unwind(Box::new(Died));
        }
    }
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound.max(1))).unwrap_or(0)
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// The place of one of `count` things.
    fn place(&mut self, count: usize) -> usize {
        self.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize
    }
}

/// A channel that closes: the peer claims some of its HTLCs once our commitment is there.
struct Closing {
    peer: Peer,
    claimed: Vec<HtlcId>,
}

pub(crate) struct Life {
    path: PathBuf,
    chain: Chain,
    pattern: Tape,
    bomb: Bomb,
    driver: Option<Driver>,
    dice: Dice,
    quiet_bytes: usize,
    channels: u32,
    /// The next channel that was never in use.
    fresh: u32,
    pool: Vec<Peer>,
    closing: Vec<Closing>,
    /// Whether the payment is to be sent, of those that are not told.
    expected: BTreeMap<PaymentId, bool>,
    /// What was told last of each payment, as a number.
    told: BTreeMap<PaymentId, u64>,
    sum: Told,
}

impl Life {
    pub(crate) fn begin(path: &Path, channels: u32, seed: u64, keeps_all: bool) -> Result<Self> {
        let pattern = Tape::new(channel_id(0))?;
        let mut life = Self {
            path: path.to_owned(),
            chain: Chain::new(),
            pattern,
            bomb: Bomb::default(),
            driver: None,
            dice: Dice(seed),
            quiet_bytes: if keeps_all { usize::MAX } else { QUIET_BYTES },
            channels,
            fresh: 0,
            pool: Vec::new(),
            closing: Vec::new(),
            expected: BTreeMap::new(),
            told: BTreeMap::new(),
            sum: Told::default(),
        };
        for _ in 0..POOL.min(channels / 2) {
            life.use_another()?;
        }
        life.start()?;
        Ok(life)
    }

    /// Brings a channel into use that never was.
    fn use_another(&mut self) -> Result<()> {
        if self.fresh < self.channels {
            self.pool.push(Peer::new(&self.pattern, channel_id(self.fresh))?);
            self.fresh += 1;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.driver = None;
        self.bomb.0.store(0, Ordering::Relaxed);
        let mut driver = Driver::start(Ports {
            monitors: Box::new(RedbStore::open(&self.path)?),
            books: None,
            source: Box::new(self.chain.clone()),
            broadcaster: Box::new(self.chain.clone()),
            signer: Box::new(OneSigner::new(self.pattern.keys())),
            coins: Box::new(self.chain.clone()),
            fees: Box::new(FixedFees(FeeRatePerKw(1_000))),
            forwards: Box::new(NoForwards),
            channels: Box::new(NoChannels),
            observer: Box::new(self.bomb.clone()),
        })?;
        driver.keep_quiet_bytes(self.quiet_bytes);
        self.driver = Some(driver);
        Ok(())
    }

    /// Asks the node; `None` if it died, and it is up again.
    fn ask<R>(&mut self, work: impl FnOnce(&mut Driver) -> R) -> Result<Option<R>> {
        let driver = self.driver.as_mut().ok_or("the node is up")?;
        match catch_unwind(AssertUnwindSafe(|| work(driver))) {
            Ok(result) => Ok(Some(result)),
            Err(died) if died.is::<Died>() => {
                self.sum.kills += 1;
                self.start()?;
                Ok(None)
            }
            Err(other) => resume_unwind(other),
        }
    }

    pub(crate) fn stats(&self) -> Result<Stats> {
        Ok(self.driver.as_ref().ok_or("the node is up")?.stats())
    }

    /// One block: deeds, if there are to be any, and what follows from what was done before.
    pub(crate) fn block(&mut self, with_deeds: bool) -> Result<()> {
        if with_deeds {
            if self.dice.percent(4) {
                let boundary = 1 + u64::from(self.dice.below(40));
                self.bomb.0.store(boundary, Ordering::Relaxed);
            }
            if self.dice.percent(1) {
                self.sum.restarts += 1;
                self.start()?;
            }
            self.pay()?;
            for _ in 0..LOOKS {
                let looked_at = channel_id(self.dice.below(self.channels));
                self.ask(|driver| driver.monitor(looked_at).map(|_| ()))?.transpose()?;
            }
            if self.dice.percent(50) {
                self.close()?;
            }
        }
        self.answer(with_deeds)?;
        self.claim()?;
        let dice = &mut self.dice;
        self.chain.mine(|| dice.percent(30));
        while self.ask(Driver::poll_chain)?.transpose()?.is_none() {}
        self.listen()?;
        self.bomb.0.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn height(&mut self) -> Result<u32> {
        Ok(self.chain.tip()?.height.0)
    }

    /// Some channels pay, with one sync for all of them.
    fn pay(&mut self) -> Result<()> {
        let height = self.height()?;
        let mut places: Vec<usize> = Vec::new();
        for _ in 0..PAYMENTS {
            let place = self.dice.place(self.pool.len());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let mut before = Vec::new();
        let mut requests = Vec::new();
        for place in &places {
            let Some(peer) = self.pool.get_mut(*place) else { continue };
            before.push((*place, peer.clone()));
            let (intent, first) = peer.pay(height, EXPIRY)?;
            self.expected.insert(intent.payment_id, true);
            requests.push(Request::Send { intent, updates: vec![first] });
        }
        if let Some(results) = self.ask(|driver| driver.submit_requests(requests))? {
            results.into_iter().collect::<std::result::Result<Vec<()>, _>>()?;
        } else {
            // Whatever is not durable never happened.
            for (place, before) in before {
                let channel_id = before.channel_id;
                let latest = self.driver()?.monitor(channel_id)?.state().latest_update;
                let Some(peer) = self.pool.get_mut(place) else { continue };
                let begun = peer.unsaid.first().map(|update| update.update_id);
                if begun.is_none_or(|begun| latest.next() < Some(begun)) {
                    let forgotten = peer.open.last().map(|open| open.payment_id);
                    forgotten.map(|payment_id| self.expected.remove(&payment_id));
                    *peer = before;
                }
            }
        }
        self.say()
    }

    fn driver(&mut self) -> Result<&mut Driver> {
        Ok(self.driver.as_mut().ok_or("the node is up")?)
    }

    /// Tells the node every update that it does not have.
    fn say(&mut self) -> Result<()> {
        loop {
            let peers = self.pool.iter().chain(self.closing.iter().map(|closing| &closing.peer));
            let unsaid: Vec<MonitorUpdate> =
                peers.flat_map(|peer| peer.unsaid.iter().cloned()).collect();
            if unsaid.is_empty() {
                return Ok(());
            }
            let is_said = self.ask(|driver| driver.update(unsaid))?.transpose()?.is_some();
            let driver = self.driver.as_mut().ok_or("the node is up")?;
            let closing = self.closing.iter_mut().map(|closing| &mut closing.peer);
            for peer in self.pool.iter_mut().chain(closing) {
                if is_said {
                    peer.unsaid.clear();
                } else if !peer.unsaid.is_empty() {
                    peer.said(driver.monitor(peer.channel_id)?.state().latest_update);
                }
            }
        }
    }

    /// A channel closes, with our commitment or with the peer's.
    fn close(&mut self) -> Result<()> {
        if self.pool.is_empty() {
            return Ok(());
        }
        let place = self.dice.place(self.pool.len());
        let mut peer = self.pool.swap_remove(place);
        let mut claimed = Vec::new();
        if self.dice.percent(50) {
            peer.fail()?;
            for Open { htlc_id, payment_id, .. } in &peer.open {
                let is_claimed = self.dice.percent(50);
                self.expected.insert(*payment_id, is_claimed);
                claimed.extend(is_claimed.then_some(*htlc_id));
            }
        } else {
            self.chain.offer(&peer.peers_commitment()?);
            for Open { payment_id, .. } in &peer.open {
                self.expected.insert(*payment_id, false);
            }
        }
        self.closing.push(Closing { peer, claimed });
        self.use_another()?;
        self.say()
    }

    /// The peers answer some payments by message, and those in time that have waited long.
    fn answer(&mut self, is_lazy: bool) -> Result<()> {
        let height = self.height()?;
        let dice = &mut self.dice;
        for peer in &mut self.pool {
            let answered: Vec<HtlcId> = peer
                .open
                .iter()
                .filter(|open| !is_lazy || height >= open.since + ANSWER || dice.percent(20))
                .map(|open| open.htlc_id)
                .collect();
            for htlc_id in answered {
                peer.fulfil(htlc_id)?;
            }
        }
        self.say()
    }

    /// The peers claim on chain what they claim, once our commitments are there.
    fn claim(&mut self) -> Result<()> {
        let closing = core::mem::take(&mut self.closing);
        for Closing { peer, claimed } in closing {
            if !self.chain.is_spent(peer.funding_outpoint()) {
                self.closing.push(Closing { peer, claimed });
                continue;
            }
            for htlc_id in claimed {
                self.chain.offer(&peer.claim(htlc_id)?);
            }
        }
        Ok(())
    }

    /// Handles every event.
    fn listen(&mut self) -> Result<()> {
        while let Some(event) = self.driver()?.next_event() {
            self.hear(&event)?;
            self.ask(|driver| driver.event_returned(&event, true))?.transpose()?;
        }
        Ok(())
    }

    fn hear(&mut self, event: &Event) -> Result<()> {
        self.sum.events += 1;
        let (payment_id, is_sent) = match event {
            Event::PaymentSent { payment_id, .. } => (*payment_id, true),
            Event::PaymentFailed { payment_id, .. } => (*payment_id, false),
            Event::PaymentPathSuccessful { .. }
            | Event::PaymentPathFailed { .. }
            | Event::Alarm(_)
            | Event::Probed { .. }
            | Event::PaymentUnknown { .. }
            | Event::PaymentClaimed { .. } => return Ok(()),
        };
        let mut hasher = DefaultHasher::new();
        format!("{event:?}").hash(&mut hasher);
        let word = hasher.finish();
        match self.told.insert(payment_id, word) {
            Some(before) if before != word => Err(format!("told otherwise: {event:?}").into()),
            Some(_) => {
                self.sum.again += 1;
                Ok(())
            }
            None if self.expected.remove(&payment_id) == Some(is_sent) => {
                self.sum.payments += 1;
                self.sum.sent += u64::from(is_sent);
                self.sum.failed += u64::from(!is_sent);
                Ok(())
            }
            None => Err(format!("not what happened: {event:?}").into()),
        }
    }

    /// Ends it, and says what it came to.
    pub(crate) fn end(&mut self) -> Result<Told> {
        if let Some((payment_id, _)) = self.expected.first_key_value() {
            let of = self.expected.len();
            return Err(format!("{of} payments have no last word, {payment_id} is one").into());
        }
        let driver = self.driver()?;
        if !driver.damaged().is_empty() {
            return Err("a channel is set apart".into());
        }
        let stats = driver.stats();
        if stats.pending.count > 0 || !driver.is_idle() {
            return Err(format!("something is owed at the end: {stats:?}").into());
        }
        self.driver = None;
        Ok(self.sum)
    }
}
