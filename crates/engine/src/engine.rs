//! [`Engine`]: the driver on a thread of its own, the user's handler on others, tokio between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::thread;
use std::time::Duration;

use bitcoin::Transaction;
use lastword_ports::{Durable, EventHandler, StoreError, SyncJob};
use lastword_reload::PaymentStatus;
use lastword_types::{
    BlockRef, BookEntry, ChannelId, Cursor, Event, HtlcKey, Intent, MonitorState, MonitorUpdate,
    NewChannel, PaymentId, PaymentPreimage,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::deliver::{Handlers, Returned};
use crate::driver::{Driver, Request};
use crate::error::EngineError;
use crate::late::Ticket;
use crate::ports::Ports;
use crate::stats::Stats;

/// Calls that may wait for the driver before a caller has to.
const CALLS_QUEUED_MAX: usize = 1024;

/// Requests that share one sync at most: what waits behind them is answered that much later.
const REQUESTS_TOGETHER_MAX: usize = 256;

/// Requests that wait for a sync at most before the driver waits for it too.
const REQUESTS_WAITING_MAX: usize = 4 * REQUESTS_TOGETHER_MAX;

/// How long an event waits that the handler could not handle.
const RETRY_AFTER: Duration = Duration::from_millis(200);

type Call = Box<dyn FnOnce(&mut Driver) + Send>;

/// Who waits for a request.
type Answer = oneshot::Sender<Result<(), EngineError>>;

/// Starts a driver, and follows the chain while many monitors are still to be read.
fn start(ports: Ports) -> Result<Driver, EngineError> {
    let mut starting = Driver::begin(ports)?;
    while starting.read_some()? {
        // The source may be away at a start as at any time; following goes on from where it stopped.
        if let Err(error) = starting.poll_chain() {
            tracing::warn!(%error, "the chain is not followed while the node starts");
        }
    }
    starting.finish()
}

/// What the driver's thread is asked to do.
enum Command {
    Call(Call),
    /// May share a sync with the requests that wait beside it.
    Request(Request, Answer),
    /// A sync that ran on a thread of its own has returned.
    Synced(Result<Durable, StoreError>),
    /// The handler returned from an event.
    Handled(Event),
    /// The same, after its record could not be written.
    HandledAgain(Event),
    /// The handler failed; it is free for other events while this one waits.
    HandlerFree,
    /// A failed event has waited long enough.
    Failed(Event),
    /// Answer once nothing is queued and nothing is being handled.
    WhenIdle(oneshot::Sender<()>),
}

/// A handle to a running engine; clones share it, and the last one to go stops it.
///
/// # Shape
///
/// Stores and chain adapters block, so the [`Driver`] has a thread of its own, and so has
/// each call of the user's [`EventHandler`]: it may be slow, fail, panic or never return, and
/// nothing else stops. Without a handler, events are read after a cursor and acknowledged.
///
/// While a sync of updates and payments runs, on a thread of its own if the store can
/// ([`begin_sync`](lastword_ports::UpdateLog::begin_sync)), those that come meanwhile are checked and
/// appended. Any other call waits until what was taken in before it is durable.
///
/// # Crash safety
///
/// As [`Driver`]'s: what a call returned `Ok` for is durable. Dropping the handle, or a call's
/// future, loses nothing that was durable.
#[derive(Clone)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts a driver on its stores and tells `handler` what has to be told.
    ///
    /// # Errors
    ///
    /// What [`Driver::start`] says.
    pub async fn start(ports: Ports, handler: Box<dyn EventHandler>) -> Result<Self, EngineError> {
        Self::start_with(ports, Some(handler)).await
    }

    /// Starts a driver on its stores for a consumer who calls [`read_after`](Self::read_after) and
    /// [`acknowledge`](Self::acknowledge).
    ///
    /// # Errors
    ///
    /// What [`Driver::start`] says.
    pub async fn start_reading(ports: Ports) -> Result<Self, EngineError> {
        Self::start_with(ports, None).await
    }

    async fn start_with(
        ports: Ports,
        handler: Option<Box<dyn EventHandler>>,
    ) -> Result<Self, EngineError> {
        let (commands, inbox) = mpsc::channel(CALLS_QUEUED_MAX);
        let (started, result) = oneshot::channel();
        // The threads hold weak handles, so that they end when the last engine handle is dropped.
        let weak = commands.downgrade();
        let runtime = Handle::current();
        let is_started = spawn("lastword-driver", move || match start(ports) {
            Ok(driver) => {
                let timer = Timer { commands: weak, runtime };
                let handlers = Handlers::new(handler);
                let syncers = Syncers { timer: timer.clone(), threads: Vec::new() };
                let (waiting, syncs) = (BTreeMap::new(), 0);
                let shell = Shell { driver, handlers, timer, waiting, syncs, syncers };
                if started.send(Ok(())).is_ok() {
                    shell.run(inbox);
                }
            }
            Err(error) => {
                // Nobody waits any more if the caller dropped the future.
                drop(started.send(Err(error)));
            }
        });
        if !is_started {
            return Err(EngineError::Stopped);
        }
        result.await.map_err(|_| EngineError::Stopped)??;
        Ok(Self { commands })
    }

    /// Runs a closure with the driver, between two other calls.
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopped`] if the driver's thread is gone.
    pub async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Driver) -> R + Send + 'static,
    ) -> Result<R, EngineError> {
        let (answer, result) = oneshot::channel();
        let call: Call = Box::new(move |driver| {
            // A caller that went away does not need its answer.
            drop(answer.send(call(driver)));
        });
        self.send(Command::Call(call)).await?;
        result.await.map_err(|_| EngineError::Stopped)
    }

    /// See [`Driver::stats`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopped`].
    pub async fn stats(&self) -> Result<Stats, EngineError> {
        self.call(|driver| driver.stats()).await
    }

    /// See [`Driver::open_channel`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn open_channel(&self, new: NewChannel) -> Result<(), EngineError> {
        self.call(move |driver| driver.open_channel(new)).await?
    }

    /// See [`Driver::update`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn update(&self, updates: Vec<MonitorUpdate>) -> Result<(), EngineError> {
        self.request(Request::Update(updates)).await
    }

    /// See [`Driver::send_payment`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn send_payment(
        &self,
        intent: Intent,
        updates: Vec<MonitorUpdate>,
    ) -> Result<(), EngineError> {
        self.request(Request::Send { intent, updates }).await
    }

    /// See [`Driver::abandon_payment`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn abandon_payment(&self, payment_id: PaymentId) -> Result<(), EngineError> {
        self.call(move |driver| driver.abandon_payment(payment_id)).await?
    }

    /// See [`Driver::claim_payment`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn claim_payment(
        &self,
        preimage: PaymentPreimage,
        parts: BTreeSet<HtlcKey>,
    ) -> Result<(), EngineError> {
        self.call(move |driver| driver.claim_payment(preimage, parts)).await?
    }

    /// See [`Driver::poll_chain`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn poll_chain(&self) -> Result<BlockRef, EngineError> {
        self.call(Driver::poll_chain).await?
    }

    /// See [`Driver::seen_in_mempool`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn seen_in_mempool(&self, transaction: Transaction) -> Result<(), EngineError> {
        self.call(move |driver| driver.seen_in_mempool(&transaction)).await?
    }

    /// Polls the chain every `interval` until the engine stops; a failure is said and tried again.
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopped`], when the engine did.
    pub async fn follow_chain(&self, interval: Duration) -> Result<(), EngineError> {
        loop {
            match self.poll_chain().await {
                Ok(_) => {}
                Err(EngineError::Stopped) => return Err(EngineError::Stopped),
                Err(error) => tracing::warn!(%error, "the chain could not be followed"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Returns what the monitor of a channel remembers.
    ///
    /// # Errors
    ///
    /// As [`Driver::monitor`], and [`EngineError::Stopped`].
    pub async fn monitor_state(&self, channel_id: ChannelId) -> Result<MonitorState, EngineError> {
        self.call(move |driver| driver.monitor(channel_id).map(|monitor| monitor.state().clone()))
            .await?
    }

    /// Returns what the book knows of a payment.
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopped`].
    pub async fn payment(&self, payment_id: PaymentId) -> Result<Option<BookEntry>, EngineError> {
        self.call(move |driver| driver.book_entry(payment_id)).await
    }

    /// See [`Driver::retry_payment`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn retry_payment(
        &self,
        attempt: Intent,
        updates: Vec<MonitorUpdate>,
    ) -> Result<(), EngineError> {
        self.call(move |driver| driver.retry_payment(attempt, updates)).await?
    }

    /// See [`Driver::payment_status`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn payment_status(
        &self,
        payment_id: PaymentId,
    ) -> Result<PaymentStatus, EngineError> {
        self.call(move |driver| driver.payment_status(payment_id)).await?
    }

    /// See [`Driver::read_after`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopped`].
    pub async fn read_after(
        &self,
        cursor: Option<Cursor>,
        events_max: usize,
    ) -> Result<Vec<(Cursor, Event)>, EngineError> {
        self.call(move |driver| driver.read_after(cursor, events_max)).await
    }

    /// See [`Driver::acknowledge`].
    ///
    /// # Errors
    ///
    /// As there, and [`EngineError::Stopped`].
    pub async fn acknowledge(&self, cursor: Cursor) -> Result<(), EngineError> {
        self.call(move |driver| driver.acknowledge(cursor)).await?
    }

    /// Waits until nothing is queued for the handler and nothing is being handled.
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopped`].
    pub async fn when_idle(&self) -> Result<(), EngineError> {
        let (answer, result) = oneshot::channel();
        self.send(Command::WhenIdle(answer)).await?;
        result.await.map_err(|_| EngineError::Stopped)
    }

    async fn request(&self, request: Request) -> Result<(), EngineError> {
        let (answer, result) = oneshot::channel();
        self.send(Command::Request(request, answer)).await?;
        result.await.map_err(|_| EngineError::Stopped)?
    }

    async fn send(&self, command: Command) -> Result<(), EngineError> {
        self.commands.send(command).await.map_err(|_| EngineError::Stopped)
    }
}

/// Sends commands from a thread, now or later, without keeping the engine alive.
#[derive(Clone)]
struct Timer {
    commands: mpsc::WeakSender<Command>,
    runtime: Handle,
}

impl Timer {
    /// Sends a command, if the engine is still there: else its next start tells the event again.
    fn send(&self, command: Command) {
        if let Some(commands) = self.commands.upgrade() {
            drop(commands.blocking_send(command));
        }
    }

    fn send_later(&self, command: Command) {
        let commands = self.commands.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(RETRY_AFTER).await;
            if let Some(commands) = commands.upgrade() {
                // An engine that stopped meanwhile tells the event after its next start.
                drop(commands.send(command).await);
            }
        });
    }
}

/// The driver's thread.
struct Shell {
    driver: Driver,
    handlers: Handlers,
    timer: Timer,
    /// Who waits for a request that is in flight.
    waiting: BTreeMap<Ticket, Answer>,
    /// Syncs that run on threads of their own.
    syncs: usize,
    syncers: Syncers,
}

/// The threads that syncs run on, started when they are first needed: one for each log that can sync
/// while it is used on.
struct Syncers {
    timer: Timer,
    threads: Vec<std::sync::mpsc::Sender<SyncJob>>,
}

impl Syncers {
    /// Hands a job to a thread that has none, the `nth`, and says whether there is one.
    fn run(&mut self, nth: usize, job: SyncJob) -> bool {
        if nth == self.threads.len() {
            let (jobs, inbox) = std::sync::mpsc::channel::<SyncJob>();
            let timer = self.timer.clone();
            let work = move || {
                for job in inbox {
                    timer.send(Command::Synced(job.run()));
                }
            };
            if spawn("lastword-sync", work) {
                self.threads.push(jobs);
            }
        }
        self.threads.get(nth).is_some_and(|thread| thread.send(job).is_ok())
    }
}

impl Shell {
    /// Runs the driver until every handle is gone.
    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.offer();
        let mut idle: Vec<oneshot::Sender<()>> = Vec::new();
        let mut next = None;
        while let Some(command) = next.take().or_else(|| inbox.blocking_recv()) {
            match command {
                Command::Call(call) => {
                    self.finish();
                    call(&mut self.driver);
                }
                Command::Request(request, answer) => {
                    next = self.requested((request, answer), &mut inbox);
                }
                Command::Synced(result) => {
                    self.syncs -= 1;
                    self.synced(result);
                }
                Command::Handled(event) => {
                    self.handlers.returned();
                    self.handled(event);
                }
                Command::HandledAgain(event) => self.handled(event),
                Command::HandlerFree => self.handlers.returned(),
                Command::Failed(event) => {
                    if let Err(error) = self.driver.event_returned(&event, false) {
                        tracing::error!(%error, "a failed event could not be queued again");
                    }
                }
                Command::WhenIdle(answer) => idle.push(answer),
            }
            self.begin_sync();
            self.answer_completed();
            self.offer();
            if self.handlers.is_idle() && self.driver.is_idle() {
                for answer in idle.drain(..) {
                    // Whoever dropped the future does not wait any more.
                    answer.send(()).unwrap_or(());
                }
            }
        }
    }

    /// Takes in what is asked together with the requests that wait right behind it, and returns the
    /// command behind those. Nobody is waited for: requests gather while a sync runs.
    fn requested(
        &mut self,
        first: (Request, Answer),
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Option<Command> {
        let mut next = None;
        let (mut requests, mut answers) = (vec![first.0], vec![first.1]);
        while requests.len() < REQUESTS_TOGETHER_MAX {
            match inbox.try_recv() {
                Ok(Command::Request(request, answer)) => {
                    requests.push(request);
                    answers.push(answer);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        if self.waiting.len() >= REQUESTS_WAITING_MAX {
            self.finish();
        }
        let results = self.driver.stage(requests);
        for (answer, result) in answers.into_iter().zip(results) {
            match result {
                Ok(ticket) => drop(self.waiting.insert(ticket, answer)),
                // A caller that went away does not need its answer.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        next
    }

    /// Has everything synced that is not yet, unless a sync runs: then the next one takes it along.
    fn begin_sync(&mut self) {
        while self.syncs == 0 && self.driver.has_in_flight() {
            match self.driver.begin_sync() {
                Ok(jobs) if jobs.is_empty() => return,
                Ok(jobs) => jobs.into_iter().for_each(|job| self.run_sync(job)),
                Err(error) => return self.failed(&error),
            }
        }
    }

    /// Runs a sync: here if it takes no time, or if no thread can be had.
    fn run_sync(&mut self, job: SyncJob) {
        if job.is_done() {
            return self.synced(job.run());
        }
        if self.syncers.run(self.syncs, job) {
            self.syncs += 1;
        } else {
            self.finish();
        }
    }

    fn synced(&mut self, result: Result<Durable, StoreError>) {
        if let Err(error) = self.driver.sync_returned(result) {
            self.failed(&error);
        }
    }

    /// Makes durable what is in flight, before a call that may ask for anything.
    fn finish(&mut self) {
        if let Err(error) = self.driver.finish() {
            self.failed(&error);
        }
    }

    fn answer_completed(&mut self) {
        for ticket in self.driver.take_completed() {
            if let Some(answer) = self.waiting.remove(&ticket) {
                // A caller that went away does not need its answer.
                drop(answer.send(Ok(())));
            }
        }
    }

    /// Takes note that a store failed. Once a sync has failed nothing that is in flight completes.
    fn failed(&mut self, error: &EngineError) {
        tracing::warn!(%error, "what is in flight has to wait for the store");
        self.answer_completed();
        if self.driver.is_poisoned() {
            for (_, answer) in core::mem::take(&mut self.waiting) {
                drop(answer.send(Err(error.copy())));
            }
        }
    }

    /// Records a handled event; a store that is full or busy is asked again, the user is not.
    fn handled(&mut self, event: Event) {
        if let Err(error) = self.driver.event_returned(&event, true) {
            tracing::error!(%error, "a handled event could not be recorded");
            if !self.driver.is_poisoned() {
                self.timer.send_later(Command::HandledAgain(event));
            }
        }
    }

    /// Gives the handler events, as many as it takes at once.
    ///
    /// A failed event waits on a timer, so that only the events of its own payment wait for it.
    fn offer(&mut self) {
        while self.handlers.has_room() {
            let Some(event) = self.driver.next_event() else { return };
            let timer = self.timer.clone();
            let back = self.handlers.give(event, move |returned| match returned {
                Returned::Handled(event) => timer.send(Command::Handled(event)),
                Returned::Failed(event) => {
                    timer.send_later(Command::Failed(event));
                    timer.send(Command::HandlerFree);
                }
            });
            if let Some(event) = back {
                self.timer.send_later(Command::Failed(event));
                return;
            }
        }
    }
}

/// Starts a thread, and says whether the machine could.
fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name(name.to_owned()).spawn(body).is_ok()
}
