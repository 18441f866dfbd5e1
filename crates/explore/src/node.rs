//! The node: the real driver on stores that crash.

use lastword_engine::{Driver, EngineError, NoChannels, NoForwards, Observer, Ports};
use lastword_ports::{LogId, Store};
use lastword_testkit::{CrashStore, FixedFees, Survivors};
use lastword_types::FeeRatePerKw;

use crate::chain::{Chain, NoCoins};
use crate::channel::TokenSigner;

const MONITORS: LogId = LogId([0xaa; 16]);
const BOOKS: LogId = LogId([0xbb; 16]);

/// The node's disks: one for all, or one for the monitors and one for the payment book.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    pub(crate) monitors: CrashStore,
    pub(crate) books: Option<CrashStore>,
}

impl Stores {
    pub(crate) fn new(is_one: bool) -> Self {
        let books = (!is_one).then(|| CrashStore::new(BOOKS));
        Self { monitors: CrashStore::new(MONITORS), books }
    }

    /// A payment book that holds nothing.
    pub(crate) fn no_book() -> CrashStore {
        CrashStore::new(BOOKS)
    }

    /// Stores of their own, with everything that these hold.
    pub(crate) fn copy(&self) -> Self {
        let copy = |store: &CrashStore| store.image(Survivors::Everything);
        Self { monitors: copy(&self.monitors), books: self.books.as_ref().map(copy) }
    }

    pub(crate) fn start(
        &self,
        chain: &Chain,
        observer: Box<dyn Observer>,
    ) -> Result<Driver, EngineError> {
        let books = self.books.clone().map(|books| Box::new(books) as Box<dyn Store>);
        start_on(Box::new(self.monitors.clone()), books, chain, observer)
    }
}

/// Starts a node on stores of any kind.
pub(crate) fn start_on(
    monitors: Box<dyn Store>,
    books: Option<Box<dyn Store>>,
    chain: &Chain,
    observer: Box<dyn Observer>,
) -> Result<Driver, EngineError> {
    Driver::start(Ports {
        monitors,
        books,
        source: Box::new(chain.clone()),
        broadcaster: Box::new(chain.clone()),
        signer: Box::new(TokenSigner),
        coins: Box::new(NoCoins),
        fees: Box::new(FixedFees(FeeRatePerKw(253))),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer,
    })
}
