//! `lastword node`: the process that the demo kills.

use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lastword_chain::BitcoindSource;
use lastword_ports::{BlockSource, Broadcaster, Store};
use lastword_regtest::RemoteChain;
use lastword_sim::link::Line;
use lastword_sim::messages::Answer;
use lastword_sim::node::{Node, Stand, Threaded, node_ports};
use lastword_sim::seed::Seed;
use lastword_sim::{SimError, Trying as _};
use lastword_store::RedbStore;

use crate::NodeArgs;
use crate::boundary::Stopper;
use crate::wire::{FromNode, Held, ToNode, Wire, WireLink};

/// The file of the monitors' log.
const MONITORS: &str = "monitors.redb";

/// The file of the payment book's log.
pub(crate) const BOOK: &str = "book.redb";

/// Obeys the demo until it hangs up or kills this process.
pub(crate) fn run(arguments: &NodeArgs) -> Result<(), SimError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .trying("start the runtime")?;
    let stream = TcpStream::connect(arguments.connect).trying("connect to the demo")?;
    let mut wire = Wire::new(stream)?;
    let Some(ToNode::Begin(stop)) = wire.read()? else {
        return Err(SimError::new("the demo does not say how to begin"));
    };
    let wire = Arc::new(Mutex::new(wire));
    let line = Line::new(WireLink(wire.clone()));
    let (source, broadcaster) = chain(arguments)?;
    let stand = Stand {
        monitors: open(&arguments.folder, MONITORS)?,
        books: Some(open(&arguments.folder, BOOK)?),
        source,
        broadcaster,
        observer: Box::new(Stopper::new(wire.clone(), stop)),
    };
    let seed = Seed(arguments.seed);
    let ports = node_ports(seed, &line, stand);
    let shell = Threaded::start(runtime.handle().clone(), ports, line.clone())?;
    let mut node = Node::new(seed, shell, line);
    loop {
        // The engine is idle between two commands, so nobody else wants the wire.
        let message = wire.lock().unwrap_or_else(PoisonError::into_inner).read()?;
        let command = match message {
            Some(ToNode::Obey(command)) => command,
            Some(ToNode::Stats) => {
                let held = node.stats()?.kinds().map(|(kind, amount)| Held {
                    kind: kind.to_owned(),
                    count: amount.count,
                    bytes: amount.bytes,
                });
                let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
                wire.write(&FromNode::Stats(held.to_vec()))?;
                continue;
            }
            Some(ToNode::Begin(_) | ToNode::Reply(_)) => {
                return Err(SimError::new("the demo speaks out of turn"));
            }
            None => return Ok(()),
        };
        let answer = node.obey(&command).unwrap_or_else(|error| Answer::Failed(error.chain()));
        let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
        wire.write(&FromNode::Answer(answer))?;
    }
}

fn open(folder: &Path, file: &str) -> Result<Box<dyn Store>, SimError> {
    Ok(Box::new(RedbStore::open(&folder.join(file)).trying("open a store")?))
}

type Chain = (Box<dyn BlockSource>, Box<dyn Broadcaster>);

/// Connects to the chain that the demo stands on.
fn chain(arguments: &NodeArgs) -> Result<Chain, SimError> {
    if let (Some(url), Some(cookie)) = (&arguments.rpc, &arguments.cookie) {
        let source = BitcoindSource::connect(url, cookie).trying("connect to bitcoind")?;
        return Ok((Box::new(source.clone()), Box::new(source)));
    }
    let address = arguments.chain.ok_or(SimError::new("the demo names no chain"))?;
    let source = RemoteChain::connect(address).trying("connect to the chain")?;
    let broadcaster = RemoteChain::connect(address).trying("connect to the chain")?;
    Ok((Box::new(source), Box::new(broadcaster)))
}
