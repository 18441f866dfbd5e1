//! Lends a [`SharedChain`] to other processes: [`serve`].

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind};

use crate::protocol::{Answer, Request, read_message, write_message};
use crate::shared::SharedChain;

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    /// The open connections, so that stopping can end them.
    open: Mutex<BTreeMap<u64, TcpStream>>,
}

/// Answers [`RemoteChain`](crate::RemoteChain)s that connect to `listener`, each on a thread of its
/// own, until the [`Server`] is dropped.
///
/// Bind the listener to a loopback address: nobody is asked who they are.
///
/// # Errors
///
/// What the operating system says about the listener.
pub fn serve(listener: TcpListener, chain: SharedChain) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let state = Arc::new(State::default());
    let shared = Arc::clone(&state);
    let acceptor = std::thread::Builder::new()
        .name("regtest-accept".to_owned())
        .spawn(move || accept(&listener, &chain, &shared))?;
    Ok(Server { address, state, acceptor: Some(acceptor) })
}

impl Server {
    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        // A last connection wakes the acceptor; if it cannot be made, the listener is dead already.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            // A panic of the acceptor has been printed; there is nobody to tell it again.
            drop(acceptor.join());
        }
        self.state.close_all();
    }
}

impl State {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn with_open<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, TcpStream>) -> T) -> T {
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn close_all(&self) {
        self.with_open(|open| {
            for stream in core::mem::take(open).into_values() {
                // A connection that is closed already is as good.
                drop(stream.shutdown(Shutdown::Both));
            }
        });
    }
}

fn accept(listener: &TcpListener, chain: &SharedChain, state: &Arc<State>) {
    for (id, stream) in (0..).zip(listener.incoming()) {
        if state.is_stopping() {
            return;
        }
        // A client that is gone before it was served needs no answer.
        let Ok(stream) = stream else { continue };
        let Ok(handle) = stream.try_clone() else { continue };
        state.with_open(|open| open.insert(id, handle));
        let (chain, state) = (chain.clone(), Arc::clone(state));
        let thread = std::thread::Builder::new().name("regtest-serve".to_owned());
        let spawned = thread.spawn({
            let state = Arc::clone(&state);
            move || {
                // The reason why a connection ended concerns the client, who sees it too.
                drop(answer_all(stream, chain));
                state.with_open(|open| open.remove(&id));
            }
        });
        if spawned.is_err() {
            state.with_open(|open| open.remove(&id));
        }
    }
}

/// Answers one client until it leaves or sends what is no message.
fn answer_all(mut stream: TcpStream, mut chain: SharedChain) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let message = read_message(&mut stream)?;
        let Ok(request) = Request::decode(&message) else {
            let answer =
                Answer::Error(ChainErrorKind::Nonsense, "the request is no message".to_owned());
            return write_message(&mut stream, &answer.encode());
        };
        write_message(&mut stream, &answer(request, &mut chain).encode())?;
    }
}

fn answer(request: Request, chain: &mut SharedChain) -> Answer {
    let answer = match request {
        Request::Tip => chain.tip().map(Answer::Tip),
        Request::Header(hash) => chain.header(hash).map(Answer::Header),
        Request::Block(hash) => chain.block(hash).map(Answer::Block),
        Request::Broadcast(transaction) => chain.broadcast(&transaction).map(|()| Answer::Taken),
        Request::Package(package) => chain.broadcast_package(&package).map(|()| Answer::Taken),
    };
    answer.unwrap_or_else(|error| Answer::Error(error.kind, reason_of(&error)))
}

/// Says an error in one line, the cause rather than the summary where there is one.
fn reason_of(error: &ChainError) -> String {
    match &error.source {
        Some(source) => source.to_string(),
        None => error.detail.to_owned(),
    }
}
