//! What demo and node say to each other: one JSON object a line over a local connection.
//!
//! Only one of the two speaks at a time: the demo commands and then answers until the node has
//! obeyed. So a run passes through the same states each time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use lastword_sim::link::Link;
use lastword_sim::messages::{Answer, Command, Reply, Request};
use lastword_sim::{SimError, Trying as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::boundary::{Kind, Stop};

/// What a running node holds of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) kind: String,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// What the demo says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToNode {
    /// Start, and stop where this says.
    Begin(Option<Stop>),
    /// Do this.
    Obey(Command),
    /// Say what you hold in memory.
    Stats,
    /// The answer to what you asked.
    Reply(Reply),
}

/// What the node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromNode {
    /// A question to the outside.
    Ask(Request),
    /// It is done.
    Answer(Answer),
    /// What it holds in memory: of each kind how many, and their bytes.
    Stats(Vec<Held>),
    /// The node stands at a boundary and waits to be killed.
    Stopped {
        /// Which.
        kind: Kind,
        /// How many boundaries it has passed since it started.
        passed: u32,
    },
}

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Wire {
    /// Takes a connection.
    pub(crate) fn new(stream: TcpStream) -> Result<Self, SimError> {
        stream.set_nodelay(true).trying("set up the connection")?;
        let writer = stream.try_clone().trying("set up the connection")?;
        Ok(Self { reader: BufReader::new(stream), writer })
    }

    /// Says something.
    pub(crate) fn write(&mut self, message: &impl Serialize) -> Result<(), SimError> {
        let mut line = serde_json::to_vec(message).trying("encode a message")?;
        line.push(b'\n');
        self.writer.write_all(&line).trying("send a message")
    }

    /// Waits for the other end; `None` if it is gone.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SimError> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&line).trying("decode a message").map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error).trying("receive a message"),
        }
    }
}

/// The node's end as the way to everything outside its process.
pub(crate) struct WireLink(pub(crate) Arc<Mutex<Wire>>);

impl Link for WireLink {
    fn call(&mut self, request: Request) -> Result<Reply, SimError> {
        let mut wire = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wire.write(&FromNode::Ask(request))?;
        match wire.read()? {
            Some(ToNode::Reply(reply)) => Ok(reply),
            Some(ToNode::Begin(_) | ToNode::Obey(_) | ToNode::Stats) => {
                Err(SimError::new("the demo speaks out of turn"))
            }
            None => Err(SimError::new("the demo is gone")),
        }
    }
}
