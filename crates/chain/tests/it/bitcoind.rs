//! Against a real bitcoind, which the environment variable `BITCOIND` names.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{Address, BlockHash, Network, OutPoint, Script};
use jsonrpc::bitreq_http::BitreqHttpTransport;
use lastword_chain::{BitcoindSource, RpcRefusal, Tracker};
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind};
use lastword_types::BlockHeight;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{anybody, follow, heights, pay};

/// A node of our own; it is stopped when this is dropped.
pub(crate) struct Node {
    child: Child,
    port: u16,
    program: PathBuf,
    folder: TempDir,
}

impl Node {
    /// Starts a node and waits until it answers; `None` if there is no program, which is said.
    pub(crate) fn start(test: &str) -> Option<(Self, BitcoindSource)> {
        let Some(program) = std::env::var_os("BITCOIND") else {
            // Not by a macro, whose output the test harness would swallow.
            let note = format!("skipped: {test}: no bitcoind (set BITCOIND)\n");
            std::io::stderr().write_all(note.as_bytes()).expect("there is a standard error");
            return None;
        };
        let program = PathBuf::from(program);
        let folder = tempfile::tempdir().expect("there is room");
        let port = free_port();
        let child = spawn(&program, folder.path(), port);
        let mut node = Self { child, port, program, folder };
        let source = node.wait();
        Some((node, source))
    }

    /// Stops the node and starts it again, with another cookie and the same chain.
    fn restart(&mut self) -> BitcoindSource {
        self.stop();
        self.child = spawn(&self.program, self.folder.path(), self.port);
        self.wait()
    }

    fn stop(&mut self) {
        self.call("stop", &[]);
        self.child.wait().expect("it is our child");
    }

    fn wait(&mut self) -> BitcoindSource {
        let mut attempts = 0;
        loop {
            attempts += 1;
            assert!(attempts < 600, "bitcoind did not answer within a minute");
            let exited = self.child.try_wait().expect("it is our child");
            assert!(exited.is_none(), "bitcoind ended: {exited:?}");
            match BitcoindSource::connect(&self.url(), &self.cookie_file()) {
                Ok(source) => return source,
                Err(error) => assert_eq!(error.kind, ChainErrorKind::Retry, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn cookie_file(&self) -> PathBuf {
        self.folder.path().join("regtest").join(".cookie")
    }

    /// Calls a method for which the source has no use.
    pub(crate) fn call(&self, method: &str, parameters: &[Value]) -> Value {
        let cookie = std::fs::read_to_string(self.cookie_file()).expect("the node runs");
        let transport = BitreqHttpTransport::builder()
            .timeout(Duration::from_mins(1))
            .cookie_auth(cookie)
            .url(&self.url())
            .expect("the URL is one")
            .build();
        let client = jsonrpc::Client::with_transport(transport);
        let parameters = to_raw_value(parameters).expect("it is JSON");
        client.call(method, Some(&parameters)).expect("the node does it")
    }

    pub(crate) fn mine(&self, count: u32) -> Vec<BlockHash> {
        self.mine_to(&anybody(), count)
    }

    fn mine_to(&self, witness_script: &Script, count: u32) -> Vec<BlockHash> {
        let address = Address::p2wsh(witness_script, Network::Regtest).to_string();
        let hashes = self.call("generatetoaddress", &[json!(count), json!(address)]);
        serde_json::from_value(hashes).expect("hashes")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It is gone already if the test stopped it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a node must relay for packages of version 3, where it does not by default: packages whose
/// parent has an anchor of any value up to dust. In a file, where a node leaves what it does not know.
const POLICY: &str = "[regtest]\nmempooltruc=enforce\npermitephemeral=anchor,dust\n";

fn spawn(program: &Path, folder: &Path, port: u16) -> Child {
    std::fs::write(folder.join("bitcoin.conf"), POLICY).expect("there is room");
    Command::new(program)
        .arg(format!("-datadir={}", folder.display()))
        .arg(format!("-rpcport={port}"))
        .args(["-regtest", "-listen=0", "-connect=0", "-dnsseed=0", "-server", "-txindex=1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("BITCOIND names a program")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

pub(crate) fn kind<T>(result: Result<T, ChainError>) -> Result<T, ChainErrorKind> {
    result.map_err(|error| error.kind)
}

#[test]
fn a_real_node_shows_what_spends_an_output_before_it_confirms() {
    let name = "a_real_node_shows_what_spends_an_output_before_it_confirms";
    let Some((node, mut source)) = Node::start(name) else { return };
    let mined = node.mine(102);
    let coin = |source: &mut BitcoindSource, at: usize| {
        let block = source.block(mined[at]).expect("it has it");
        OutPoint::new(block.txdata[0].compute_txid(), 0)
    };
    let [first, second] = [0, 1].map(|at| coin(&mut source, at));
    let unknown = OutPoint { vout: 7, ..first };
    let asked = [first, second, unknown];
    let seen = |source: &mut BitcoindSource| source.unconfirmed_spends(&asked).expect("it answers");
    assert_eq!(seen(&mut source), []);
    assert_eq!(source.unconfirmed_spends(&[]).expect("nothing is asked"), []);

    // One that spends both comes once.
    let both = pay(&[first, second], &[9_999_980_000]);
    source.broadcast(&both).expect("it is valid");
    assert_eq!(seen(&mut source), [both]);
    // What replaces it takes its place, and what confirms is gone.
    let dearer = pay(&[first], &[4_999_000_000]);
    source.broadcast(&dearer).expect("it pays more");
    assert_eq!(seen(&mut source), [dearer]);
    node.mine(1);
    assert_eq!(seen(&mut source), []);
}

#[test]
fn a_real_node_gives_blocks_and_takes_transactions() {
    let Some((node, mut source)) = Node::start("a_real_node_gives_blocks_and_takes_transactions")
    else {
        return;
    };
    let genesis = source.tip().expect("it answers");
    assert_eq!(genesis.height, BlockHeight(0));
    let header = source.header(genesis.hash).expect("it has it");
    assert_eq!((header.block, header.previous), (genesis, BlockHash::all_zeros()));
    let unknown = BlockHash::from_byte_array([7; 32]);
    assert_eq!(kind(source.header(unknown)), Err(ChainErrorKind::NotFound));
    assert_eq!(kind(source.block(unknown)), Err(ChainErrorKind::NotFound));

    let mined = node.mine(101);
    let first = source.block(mined[0]).expect("it has it");
    assert_eq!(first.block_hash(), mined[0]);
    assert_eq!(source.header(mined[0]).expect("it has it").previous, genesis.hash);
    let coin = OutPoint::new(first.txdata[0].compute_txid(), 0);

    let spend = pay(&[coin], &[4_999_990_000]);
    let child = pay(&[OutPoint::new(spend.compute_txid(), 0)], &[4_999_980_000]);
    let orphan = source.broadcast(&child).expect_err("its parent is unknown");
    assert_eq!(orphan.kind, ChainErrorKind::Rejected);
    assert!(orphan.source.is_some_and(|source| source.is::<RpcRefusal>()));
    // New, waiting, confirmed, and confirmed with all its outputs spent.
    assert_eq!(kind(source.broadcast(&spend)), Ok(()));
    assert_eq!(kind(source.broadcast(&spend)), Ok(()));
    // Neither the same fee nor ten satoshi more pay for a replacement, and nothing is relayed free.
    for value in [4_999_990_001, 4_999_989_990, 5_000_000_000] {
        let twitch = pay(&[coin], &[value]);
        assert_eq!(kind(source.broadcast(&twitch)), Err(ChainErrorKind::FeeTooLow));
    }
    node.mine(1);
    assert_eq!(kind(source.broadcast(&spend)), Ok(()));
    assert_eq!(kind(source.broadcast(&child)), Ok(()));
    node.mine(1);
    assert_eq!(kind(source.broadcast(&spend)), Ok(()));
    let conflict = pay(&[coin], &[4_000_000_000]);
    assert_eq!(kind(source.broadcast(&conflict)), Err(ChainErrorKind::Rejected));
    let tip = source.tip().expect("it answers");
    let block = source.block(tip.hash).expect("it has it");
    assert_eq!(block.txdata[1], child);
}

#[test]
fn a_real_node_is_followed_through_a_reorg_and_a_restart() {
    let name = "a_real_node_is_followed_through_a_reorg_and_a_restart";
    let Some((mut node, mut source)) = Node::start(name) else { return };
    let mut tracker = Tracker::begin(&mut source).expect("it answers");
    let mined = node.mine(5);
    let steps = follow(&mut tracker, &mut source);
    assert_eq!(heights(&steps), [("on", 1), ("on", 2), ("on", 3), ("on", 4), ("on", 5)]);

    node.call("invalidateblock", &[json!(mined[3].to_string())]);
    assert_eq!(heights(&follow(&mut tracker, &mut source)), [("back", 3)]);
    // Another reward, or the block could be the invalid one once more, byte for byte.
    node.mine_to(Script::from_bytes(&[0x52]), 3);
    let steps = follow(&mut tracker, &mut source);
    assert_eq!(heights(&steps), [("on", 4), ("on", 5), ("on", 6)]);
    // The blocks that left are known still.
    assert_eq!(kind(source.header(mined[4])).map(|header| header.previous), Ok(mined[3]));

    // A source that was connected before the restart reads the new cookie by itself.
    node.stop();
    assert_eq!(kind(source.tip()), Err(ChainErrorKind::Retry));
    node.child = spawn(&node.program, node.folder.path(), node.port);
    node.wait();
    assert_eq!(kind(source.tip()), Ok(tracker.tip()));
    let stored = tracker.chain_tip();
    let mut fresh = node.restart();
    assert_eq!(Tracker::begin(&mut fresh).expect("it answers").chain_tip(), stored);

    let wrong = node.folder.path().join("wrong");
    std::fs::write(&wrong, "__cookie__:wrong").expect("there is room");
    let refused = BitcoindSource::connect(&node.url(), &wrong).map(|_| ());
    assert_eq!(kind(refused), Err(ChainErrorKind::Refused));
}
