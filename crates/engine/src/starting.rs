//! [`Starting`]: a node that watches the chain and has not read everything yet.

use core::fmt;

use lastword_types::{BlockRef, BookMark, ChannelId};

use crate::driver::Driver;
use crate::error::EngineError;
use crate::ports::Progress;

/// How many monitors are read between two looks at the chain: some tenths of a second of work.
const MONITORS_AT_A_TIME: usize = 256;

/// A driver on its way ([`Driver::begin`]).
///
/// # Shape
///
/// ```no_run
/// # fn start(ports: lastword_engine::Ports) -> Result<(), lastword_engine::EngineError> {
/// use lastword_engine::Driver;
///
/// let mut starting = Driver::begin(ports)?;
/// while starting.read_some()? {
///     starting.poll_chain()?;
/// }
/// let driver = starting.finish()?;
/// # drop(driver);
/// # Ok(())
/// # }
/// ```
///
/// Nothing is told, planned or taken from a caller before [`finish`](Self::finish): a monitor that
/// is not read yet may know better.
///
/// # Crash safety
///
/// As [`Driver`]'s.
pub struct Starting {
    driver: Driver,
    /// The channels whose monitors have to be read.
    wanted: Vec<ChannelId>,
    read: usize,
    mark: Option<BookMark>,
}

impl fmt::Debug for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { driver, wanted, read, .. } = self;
        f.debug_struct("Starting")
            .field("tip", &driver.tip())
            .field("read", read)
            .field("wanted", &wanted.len())
            .finish_non_exhaustive()
    }
}

impl Starting {
    pub(crate) fn new(mut driver: Driver, wanted: Vec<ChannelId>, mark: Option<BookMark>) -> Self {
        let progress = Progress::CardsRead {
            channels: driver.channels.ids().count(),
            damaged: driver.channels.damaged().count(),
            wanted: wanted.len(),
        };
        driver.logs.progress(progress);
        Self { driver, wanted, read: 0, mark }
    }

    /// Reads some of the monitors that have something to tell or to claim, and says whether there are
    /// more.
    ///
    /// # Errors
    ///
    /// A failure of the store. A damaged channel is set apart.
    pub fn read_some(&mut self) -> Result<bool, EngineError> {
        let some = self.wanted.iter().skip(self.read).take(MONITORS_AT_A_TIME);
        let some: Vec<ChannelId> = some.copied().collect();
        for channel_id in &some {
            self.driver.warm_at_start(*channel_id)?;
        }
        if !some.is_empty() {
            self.read += some.len();
            let (read, wanted) = (self.read, self.wanted.len());
            self.driver.logs.progress(Progress::MonitorsRead { read, wanted });
        }
        Ok(self.read < self.wanted.len())
    }

    /// Follows the chain to its tip, for every channel, read or not; what may be claimed is claimed.
    ///
    /// # Crash safety
    ///
    /// As [`Driver::poll_chain`].
    ///
    /// # Errors
    ///
    /// As [`Driver::poll_chain`]; the start goes on all the same.
    pub fn poll_chain(&mut self) -> Result<BlockRef, EngineError> {
        self.driver.poll_chain()
    }

    /// Reads what is left, plans over everything, and returns the driver.
    ///
    /// # Errors
    ///
    /// As [`Driver::start`].
    pub fn finish(mut self) -> Result<Driver, EngineError> {
        while self.read_some()? {}
        self.driver.finish_start(self.mark)?;
        self.driver.logs.progress(Progress::Started);
        Ok(self.driver)
    }
}
