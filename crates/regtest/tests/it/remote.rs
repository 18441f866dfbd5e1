//! A chain in another process is the same chain.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind};
use lastword_regtest::{MAX_MESSAGE_BYTES, RemoteChain, Server, SharedChain, serve};

use crate::support::{COIN, funded, output, pay};

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("loopback has a free port")
}

fn served(shared: &SharedChain) -> (Server, RemoteChain) {
    let server = serve(listener(), shared.clone()).expect("the listener works");
    let remote = RemoteChain::connect(server.address()).expect("it is served");
    (server, remote)
}

fn kind<T>(result: Result<T, ChainError>) -> Result<T, ChainErrorKind> {
    result.map_err(|error| error.kind)
}

#[test]
fn the_remote_equals_the_local() {
    let (chain, coins) = funded(1);
    let mut local = SharedChain::new(chain);
    let (_server, mut remote) = served(&local);
    let gone = local.lock().reorg(2);
    local.lock().mine_empty();

    assert_eq!(kind(remote.tip()), kind(local.tip()));
    let best: Vec<_> = local.lock().blocks().map(bitcoin::Block::block_hash).collect();
    for hash in best.into_iter().chain(gone) {
        assert_eq!(kind(remote.header(hash)), kind(local.header(hash)));
        assert_eq!(kind(remote.block(hash)), kind(local.block(hash)));
    }
    let unknown = BlockHash::all_zeros();
    assert_eq!(kind(remote.header(unknown)), Err(ChainErrorKind::NotFound));
    assert_eq!(kind(remote.header(unknown)), kind(local.header(unknown)));
    assert_eq!(kind(remote.block(unknown)), kind(local.block(unknown)));

    let spend = pay(&coins, &[COIN.to_sat()]);
    let conflict = pay(&coins, &[1]);
    assert_eq!(kind(remote.broadcast(&spend)), Ok(()));
    assert_eq!(kind(remote.broadcast(&spend)), Ok(()));
    assert_eq!(kind(local.broadcast(&spend)), Ok(()));
    assert_eq!(local.lock().mempool(), [spend.compute_txid()]);
    let there = remote.broadcast(&conflict).expect_err("the first seen stays");
    let here = local.broadcast(&conflict).expect_err("the first seen stays");
    assert_eq!(there.kind, ChainErrorKind::Rejected);
    let reason = |error: ChainError| error.source.map(|source| source.to_string());
    assert_eq!(reason(there), reason(here));
    let orphan = pay(&[output(&conflict, 0)], &[1]);
    assert_eq!(kind(remote.broadcast(&orphan)), kind(local.broadcast(&orphan)));

    // A package is taken in its order, and up to what is refused.
    let child = pay(&[output(&spend, 0)], &[2]);
    let grandchild = pay(&[output(&child, 0)], &[1]);
    let backwards = [grandchild.clone(), child.clone()];
    assert_eq!(kind(remote.broadcast_package(&backwards)), Err(ChainErrorKind::Rejected));
    assert_eq!(local.lock().mempool(), [spend.compute_txid()]);
    let package = [spend.clone(), child.clone(), conflict.clone()];
    let there = remote.broadcast_package(&package).expect_err("the last one conflicts");
    let here = local.broadcast_package(&package).expect_err("the last one conflicts");
    assert_eq!(reason(there), reason(here));
    assert_eq!(local.lock().mempool(), [&spend, &child].map(bitcoin::Transaction::compute_txid));
    for _ in 0..2 {
        assert_eq!(kind(remote.broadcast_package(&[spend.clone(), child.clone()])), Ok(()));
    }
    assert_eq!(kind(remote.broadcast_package(&[])), Ok(()));
}

#[test]
fn many_clients_at_a_time_see_one_chain() {
    let shared = SharedChain::default();
    let (server, mut first) = served(&shared);
    let mut second = RemoteChain::connect(server.address()).expect("it is served");
    for _ in 0..3 {
        shared.lock().mine_empty();
        let tip = kind(first.tip());
        assert_eq!(tip, kind(second.tip()));
        assert_eq!(tip.map(|tip| tip.height), Ok(shared.lock().height()));
    }
}

#[test]
fn a_server_that_is_away_can_come_back() {
    let shared = SharedChain::default();
    let (server, mut remote) = served(&shared);
    let address = server.address();
    drop(server);
    assert_eq!(kind(remote.tip()), Err(ChainErrorKind::Retry));
    assert_eq!(kind(remote.tip()), Err(ChainErrorKind::Retry));
    let refused = RemoteChain::connect(address).map(|_| ());
    assert_eq!(kind(refused), Err(ChainErrorKind::Retry));

    let listener = TcpListener::bind(address).expect("the port is free again");
    let _server = serve(listener, shared.clone()).expect("the listener works");
    assert_eq!(kind(remote.tip()), Ok(shared.lock().tip()));
}

#[test]
fn garbage_ends_a_connection_and_hurts_nobody_else() {
    let shared = SharedChain::default();
    let (server, mut remote) = served(&shared);
    let too_long = u32::try_from(MAX_MESSAGE_BYTES + 1).expect("it fits").to_le_bytes();
    let mut stream = TcpStream::connect(server.address()).expect("it is served");
    stream.write_all(&too_long).expect("it is open");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("it is closed in order");
    assert_eq!(rest, [], "a length beyond the limit gets no answer");

    for garbage in [&[][..], &[0], &[1, 1], &[2, 1, 2, 3], &[4, 0xff], &[0xff; 40]] {
        let mut stream = TcpStream::connect(server.address()).expect("it is served");
        let length = u32::try_from(garbage.len()).expect("short").to_le_bytes();
        stream.write_all(&[&length[..], garbage].concat()).expect("it is open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is closed in order");
        // Length, error, nonsense.
        assert_eq!(answer[4..6], [5, 3], "{garbage:?}");
    }
    assert_eq!(kind(remote.tip()), Ok(shared.lock().tip()));
}

#[test]
fn an_answer_that_is_none_is_nonsense() {
    // Each connection gets one of these for whatever it asks.
    let too_long = u32::try_from(MAX_MESSAGE_BYTES + 1).expect("it fits").to_le_bytes();
    let answers: [Vec<u8>; 4] = [
        [&2_u32.to_le_bytes()[..], &[1, 0]].concat(),
        [&1_u32.to_le_bytes()[..], &[4]].concat(),
        [&2_u32.to_le_bytes()[..], &[5, 99]].concat(),
        too_long.to_vec(),
    ];
    let listener = listener();
    let address = listener.local_addr().expect("it is bound");
    let count = answers.len();
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a client comes");
            stream.write_all(&answer).expect("it is open");
            let mut request = Vec::new();
            // The client closes when it sees the answer; how is all the same.
            drop(stream.read_to_end(&mut request));
        }
    });
    for _ in 0..count {
        let mut remote = RemoteChain::connect(address).expect("it is served");
        assert_eq!(kind(remote.tip()), Err(ChainErrorKind::Nonsense));
    }
    server.join().expect("every client came");
}
