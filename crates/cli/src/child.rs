//! [`Child`]: the node as a process that is killed and brought back.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command as Program, Stdio};
use std::time::Duration;

use lastword_sim::messages::{Answer, Command};
use lastword_sim::outside::SharedOutside;
use lastword_sim::run::Workforce;
use lastword_sim::scenario::Dice;
use lastword_sim::seed::Seed;
use lastword_sim::{SimError, Trying as _};

use crate::boundary::{Kind, Stop};
use crate::node::BOOK;
use crate::wire::{FromNode, Held, ToNode, Wire};

/// After so many kills the node is left alone.
const KILLS_MAX: u32 = 72;

/// So many copies of the payment book are kept.
const BOOKS_KEPT: usize = 24;

/// How long a node may take to call, and to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the node stands on.
#[derive(Debug, Clone)]
pub(crate) enum Ground {
    /// The in-process chain, served here.
    InProcess(SocketAddr),
    /// A bitcoind.
    Real {
        /// Its URL.
        url: String,
        /// Its cookie file.
        cookie: PathBuf,
    },
}

/// What was done to the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Harm {
    /// How often it was killed.
    pub(crate) kills: u32,
    /// How often it found no payment book.
    pub(crate) restored_none: u32,
    /// How often it found an older one.
    pub(crate) restored_older: u32,
}

/// Which payment book a node finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Book {
    Same,
    Lost,
    Older,
}

/// The node as a process that is killed and brought back.
pub(crate) struct Child {
    seed: Seed,
    outside: SharedOutside,
    ground: Ground,
    folder: PathBuf,
    listener: TcpListener,
    dice: Dice,
    is_spared: bool,
    running: Option<Running>,
    /// Copies of the book, oldest first: made after each kill.
    books: Vec<PathBuf>,
    copies: u32,
    pub(crate) harm: Harm,
    on_kill: Box<dyn FnMut(&str)>,
}

struct Running {
    process: Process,
    wire: Wire,
}

/// What an attempt came to.
enum Attempt {
    Answered(Answer),
    Stopped { kind: Kind, passed: u32 },
}

impl Child {
    pub(crate) fn new(
        seed: Seed,
        outside: SharedOutside,
        ground: Ground,
        folder: PathBuf,
    ) -> Result<Self, SimError> {
        let listener = TcpListener::bind("127.0.0.1:0").trying("listen for the node")?;
        Ok(Self {
            seed,
            outside,
            ground,
            folder,
            listener,
            dice: Dice::new(seed, "kills"),
            is_spared: false,
            running: None,
            books: Vec::new(),
            copies: 0,
            harm: Harm::default(),
            on_kill: Box::new(|_| {}),
        })
    }

    /// Says in words what happens to the node.
    pub(crate) fn on_kill(&mut self, tell: Box<dyn FnMut(&str)>) {
        self.on_kill = tell;
    }

    /// Kills the node once more where it stands, takes its book away, and lets it live from then on.
    pub(crate) fn rise_without_book(&mut self) -> Result<(), SimError> {
        self.is_spared = true;
        self.kill()?;
        self.put_book(Book::Lost)?;
        for command in [Command::Resume, Command::Poll] {
            self.command(&command)?;
        }
        Ok(())
    }

    /// Asks the node what it holds in memory.
    pub(crate) fn stats(&mut self) -> Result<Vec<Held>, SimError> {
        let running = self.running.as_mut().ok_or(SimError::new("the node does not run"))?;
        running.wire.write(&ToNode::Stats)?;
        match running.wire.read()? {
            Some(FromNode::Stats(held)) => Ok(held),
            Some(FromNode::Ask(_) | FromNode::Answer(_) | FromNode::Stopped { .. }) => {
                Err(SimError::new("the node speaks out of turn"))
            }
            None => Err(SimError::new("the node died by itself")),
        }
    }

    /// Ends the node without a kill that counts.
    pub(crate) fn dismiss(&mut self) -> Result<(), SimError> {
        if let Some(mut running) = self.running.take() {
            running.process.kill().trying("end the node")?;
            running.process.wait().trying("wait for the node's end")?;
        }
        Ok(())
    }

    fn attempt(&mut self, command: &Command) -> Result<Attempt, SimError> {
        if self.running.is_none() {
            self.start()?;
            // A node that comes back goes on with what it had begun.
            match self.ask(&Command::Resume)? {
                Attempt::Answered(Answer::Done) => {}
                other @ (Attempt::Answered(_) | Attempt::Stopped { .. }) => return Ok(other),
            }
        }
        if self.outside.lock().is_over(command) {
            return Ok(Attempt::Answered(Answer::Done));
        }
        self.ask(command)
    }

    fn start(&mut self) -> Result<(), SimError> {
        let program = std::env::current_exe().trying("find this program")?;
        let address = self.listener.local_addr().trying("find our own address")?;
        let mut call = Program::new(program);
        call.arg("node")
            .args(["--connect", &address.to_string()])
            .args(["--seed", &self.seed.0.to_string()])
            .arg("--folder")
            .arg(&self.folder);
        match &self.ground {
            Ground::InProcess(chain) => call.args(["--chain", &chain.to_string()]),
            Ground::Real { url, cookie } => call.args(["--rpc", url]).arg("--cookie").arg(cookie),
        };
        let mut process = call.stdin(Stdio::null()).spawn().trying("start the node")?;
        let accepted = accept(&self.listener, &mut process);
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                process.kill().trying("end a node that does not call")?;
                process.wait().trying("wait for the node's end")?;
                return Err(error);
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).trying("set up the connection")?;
        let mut wire = Wire::new(stream)?;
        let stop = self.draw_stop();
        wire.write(&ToNode::Begin(stop))?;
        self.running = Some(Running { process, wire });
        Ok(())
    }

    /// Chooses where the node stops: kinds are drawn alike, though some are rare.
    fn draw_stop(&mut self) -> Option<Stop> {
        if self.is_spared || self.harm.kills >= KILLS_MAX {
            return None;
        }
        let kind = Kind::ALL[self.dice.below(6) as usize];
        let most = match kind {
            Kind::Append | Kind::Sync | Kind::Release => 16,
            Kind::HandlerReturn | Kind::PaymentReleased => 2,
            Kind::Broadcast => 4,
        };
        Some(Stop { kind, count: self.dice.between(1, most), limit: 60 })
    }

    /// Gives the node a command and answers what it asks until it is done or has stopped.
    fn ask(&mut self, command: &Command) -> Result<Attempt, SimError> {
        let running = self.running.as_mut().ok_or(SimError::new("the node does not run"))?;
        running.wire.write(&ToNode::Obey(command.clone()))?;
        loop {
            match running.wire.read()? {
                Some(FromNode::Ask(request)) => {
                    let reply = self.outside.lock().answer(&request);
                    running.wire.write(&ToNode::Reply(reply))?;
                }
                Some(FromNode::Answer(answer)) => return Ok(Attempt::Answered(answer)),
                Some(FromNode::Stats(_)) => {
                    return Err(SimError::new("the node speaks out of turn"));
                }
                Some(FromNode::Stopped { kind, passed }) => {
                    return Ok(Attempt::Stopped { kind, passed });
                }
                None => return Err(SimError::new("the node died by itself")),
            }
        }
    }

    /// Kills the node (SIGKILL) and keeps a copy of its payment book.
    fn kill(&mut self) -> Result<(), SimError> {
        if let Some(mut running) = self.running.take() {
            running.process.kill().trying("kill the node")?;
            running.process.wait().trying("wait for the node's end")?;
            self.harm.kills += 1;
        }
        let book = self.folder.join(BOOK);
        if book.exists() {
            let copy = self.folder.join(format!("book-{:03}.redb", self.copies));
            self.copies += 1;
            copy_store(&book, &copy)?;
            self.books.push(copy);
            if self.books.len() > BOOKS_KEPT {
                remove_store(&self.books.remove(0))?;
            }
        }
        Ok(())
    }

    /// Chooses which book the node finds. The third and the sixth kill are fixed, so that every run
    /// has both.
    fn draw_book(&mut self) -> Book {
        let drawn = self.dice.below(4);
        match self.harm.kills {
            3 => Book::Lost,
            6 => Book::Older,
            _ => [Book::Lost, Book::Older, Book::Same, Book::Same][drawn as usize],
        }
    }

    fn put_book(&mut self, book: Book) -> Result<&'static str, SimError> {
        let path = self.folder.join(BOOK);
        match book {
            Book::Same => Ok("the same book"),
            Book::Lost => {
                if path.exists() {
                    remove_store(&path)?;
                }
                self.harm.restored_none += 1;
                Ok("no book")
            }
            Book::Older => {
                // The newest copy is the book that was there.
                let count = u32::try_from(self.books.len()).trying("count books")?;
                if count < 2 {
                    return Ok("the same book");
                }
                let place = self.dice.below(count - 1) as usize;
                copy_store(&self.books[place], &path)?;
                self.harm.restored_older += 1;
                Ok("an older book")
            }
        }
    }
}

/// The files of a store.
fn files(store: &Path) -> [PathBuf; 2] {
    [store.to_path_buf(), store.with_extension("redb.journal")]
}

fn copy_store(from: &Path, to: &Path) -> Result<(), SimError> {
    for (from, to) in files(from).iter().zip(files(to)) {
        fs::copy(from, to).trying("copy a payment book")?;
    }
    Ok(())
}

fn remove_store(store: &Path) -> Result<(), SimError> {
    files(store).iter().try_for_each(|file| fs::remove_file(file).trying("remove a payment book"))
}

impl Workforce for Child {
    fn command(&mut self, command: &Command) -> Result<Answer, SimError> {
        loop {
            match self.attempt(command)? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Stopped { kind, passed } => {
                    self.kill()?;
                    let book = self.draw_book();
                    let found = self.put_book(book)?;
                    (self.on_kill)(&format!(
                        "kill {} at boundary {passed} ({}), comes back with {found}",
                        self.harm.kills,
                        kind.name()
                    ));
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // It is gone already, or it goes now; either way nothing is left to be done.
            drop(running.process.kill());
            drop(running.process.wait());
        }
    }
}

/// Waits for the node's call, and sees if it dies before.
fn accept(listener: &TcpListener, process: &mut Process) -> Result<std::net::TcpStream, SimError> {
    listener.set_nonblocking(true).trying("listen for the node")?;
    let step = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).trying("set up the connection")?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).trying("listen for the node"),
        }
        if let Some(status) = process.try_wait().trying("look after the node")? {
            return Err(SimError::with("the node died before it called", status.to_string()));
        }
        if waited >= PATIENCE {
            return Err(SimError::new("the node does not call"));
        }
        std::thread::sleep(step);
        waited += step;
    }
}
