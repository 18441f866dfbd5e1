//! The node under test: its stores, its driver, and what it tells the user.

use lastword_bolt3::InMemorySigner;
use lastword_engine::{Driver, EngineError, NoChannels, NoForwards, NoObserver, Ports};
use lastword_ports::{LogId, Store, Stream, UpdateLog as _};
use lastword_testkit::{CrashStore, FixedFees, Survivors};
use lastword_types::{
    ChannelId, CommitmentFormat, Event, FeeRatePerKw, HtlcDirection, MonitorState, PaymentId, Told,
    Verdict,
};

use crate::channel::our_keys;
use crate::world::{Payment, World, channel_id};

const MONITORS: LogId = LogId([0xaa; 16]);
const BOOKS: LogId = LogId([0xbb; 16]);

/// Whether book and monitors share a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    One,
    Two,
}

/// The node's disks.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    pub(crate) monitors: CrashStore,
    pub(crate) books: Option<CrashStore>,
}

impl Stores {
    pub(crate) fn new(logs: Logs) -> Self {
        let books = match logs {
            Logs::One => None,
            Logs::Two => Some(CrashStore::new(BOOKS)),
        };
        Self { monitors: CrashStore::new(MONITORS), books }
    }

    /// Returns what a crash at this moment leaves.
    pub(crate) fn image(&self, survivors: Survivors) -> Self {
        let books = self.books.as_ref().map(|books| books.image(survivors));
        Self { monitors: self.monitors.image(survivors), books }
    }

    /// Returns these monitors with an older book.
    pub(crate) fn with_books_of(&self, older: &Self) -> Self {
        let books = older.books.as_ref().map(|books| books.image(Survivors::Everything));
        Self { monitors: self.monitors.image(Survivors::Everything), books }
    }

    /// Returns these monitors with an empty book.
    pub(crate) fn without_book(&self) -> Self {
        let books = self.books.as_ref().map(|_| CrashStore::new(BOOKS));
        Self { monitors: self.monitors.image(Survivors::Everything), books }
    }

    /// Every record that is in one of the logs, by stream.
    pub(crate) fn records(&self) -> Vec<(Stream, u64, Vec<u8>)> {
        let channels = (0..3).map(|index| Stream::Channel(channel_id(index)));
        let mut all = Vec::new();
        for store in [Some(&self.monitors), self.books.as_ref()].into_iter().flatten() {
            for stream in channels.clone().chain([Stream::Payments]) {
                store
                    .replay(stream, None, &mut |lsn, body| {
                        all.push((stream, lsn.position, body.to_vec()));
                        std::ops::ControlFlow::Continue(())
                    })
                    .unwrap();
            }
        }
        all
    }

    /// Says whether every record that was appended is durable.
    pub(crate) fn is_all_durable(&self) -> bool {
        self.image(Survivors::SyncedOnly).records() == self.records()
    }
}

/// Returns the ports of a node on these stores.
pub(crate) fn ports_on(
    world: &World,
    monitors: Box<dyn Store>,
    books: Option<Box<dyn Store>>,
) -> Ports {
    let mut signer = InMemorySigner::new();
    for index in 0..3 {
        signer.insert(channel_id(index), our_keys(channel_id(index)));
    }
    Ports {
        monitors,
        books,
        source: Box::new(world.chain.clone()),
        broadcaster: Box::new(world.chain.clone()),
        signer: Box::new(signer),
        coins: Box::new(world.wallet()),
        fees: Box::new(FixedFees(FeeRatePerKw(5_000))),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: Box::new(NoObserver),
    }
}

pub(crate) fn ports(world: &World, stores: &Stores) -> Ports {
    let books = stores.books.clone().map(|books| Box::new(books) as Box<dyn Store>);
    ports_on(world, Box::new(stores.monitors.clone()), books)
}

/// The node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) stores: Stores,
    pub(crate) driver: Driver,
}

impl Node {
    /// Starts a node on its disks.
    pub(crate) fn start(world: &World, stores: Stores) -> Self {
        let driver = Driver::start(ports(world, &stores)).expect("the stores are sound");
        Self { stores, driver }
    }

    /// Makes a world with channels that the node watches, their fundings confirmed and followed.
    pub(crate) fn with_channels(logs: Logs, formats: &[CommitmentFormat]) -> (World, Self) {
        let (world, born) = World::with_channels(formats);
        let mut node = Self::start(&world, Stores::new(logs));
        for new in born {
            node.driver.open_channel(new).unwrap();
        }
        world.mine(1);
        node.poll();
        (world, node)
    }

    /// Sends a payment and takes the peer's answers in.
    pub(crate) fn pay(&mut self, payment: &Payment) {
        self.driver.send_payment(payment.intent.clone(), payment.updates.clone()).unwrap();
        self.driver.update(payment.answers.clone()).unwrap();
    }

    /// Follows the chain to its tip.
    pub(crate) fn poll(&mut self) {
        self.driver.poll_chain().unwrap();
    }

    /// Mines blocks, and follows each.
    pub(crate) fn mine_and_poll(&mut self, world: &World, blocks: u32) {
        for _ in 0..blocks {
            world.mine(1);
            self.poll();
        }
    }

    /// We fail a channel; the commitment is in the next block.
    pub(crate) fn fail_channel(&mut self, world: &mut World, channel: usize) {
        let update = world.channels[channel].fail();
        self.driver.update(vec![update]).unwrap();
        self.poll();
        self.mine_and_poll(world, 1);
    }

    /// Tells the user everything there is to tell, each event handled at once.
    pub(crate) fn tell(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Some(event) = self.driver.next_event() {
            self.driver.event_returned(&event, true).unwrap();
            told.push(event);
        }
        told
    }

    /// Ends the process here, and starts it on what survived.
    pub(crate) fn crash(self, world: &World, survivors: Survivors) -> Self {
        let left = self.stores.image(survivors);
        drop(self);
        Self::start(world, left)
    }

    /// Ends the process here, and starts it on everything that was written, with an older book.
    pub(crate) fn crash_to_book_of(self, world: &World, older: &Stores) -> Self {
        let left = self.stores.with_books_of(older);
        drop(self);
        Self::start(world, left)
    }

    /// Ends the process here, and starts it on everything that was written, without any book.
    pub(crate) fn crash_without_book(self, world: &World) -> Self {
        let left = self.stores.without_book();
        drop(self);
        Self::start(world, left)
    }

    pub(crate) fn state(&mut self, channel: usize) -> MonitorState {
        self.driver.monitor(channel_id(channel)).unwrap().state().clone()
    }

    pub(crate) fn states(&mut self, world: &World) -> Vec<MonitorState> {
        (0..world.channels.len()).map(|channel| self.state(channel)).collect()
    }

    pub(crate) fn verdict(&mut self, payment: &Payment, part: usize) -> Verdict {
        let key = payment.key(part);
        let monitor = self.driver.monitor(key.channel_id).unwrap();
        monitor.verdict(HtlcDirection::Offered, key.htlc_id).expect("the HTLC is known")
    }

    /// What the monitor durably knows that the user was told of a part.
    pub(crate) fn delivered(&mut self, payment: &Payment, part: usize) -> Option<Told> {
        let key = payment.key(part);
        let state = self.driver.monitor(key.channel_id).unwrap().state();
        match state.htlcs.get(&(HtlcDirection::Offered, key.htlc_id)) {
            Some(htlc) => htlc.delivered,
            None => state.tombstones.get(&key.htlc_id).map(|tombstone| Told::Payment {
                generation: tombstone.generation,
                outcome: tombstone.outcome,
            }),
        }
    }

    /// Says whether every part is released.
    pub(crate) fn is_released(&mut self, payment: &Payment) -> bool {
        (0..payment.intent.parts.len()).all(|part| self.delivered(payment, part).is_some())
    }

    pub(crate) fn damaged(&self) -> Vec<ChannelId> {
        self.driver.damaged()
    }

    /// Tries to send and says why not.
    pub(crate) fn refusal(&mut self, payment: &Payment) -> EngineError {
        self.driver
            .send_payment(payment.intent.clone(), payment.updates.clone())
            .expect_err("it must be refused")
    }

    pub(crate) fn is_known(&self, payment_id: PaymentId) -> bool {
        self.driver.payment(payment_id).is_some()
    }
}
