//! A bitcoind that is away, slow, wrong or hostile ends in an error that says which.

use std::net::TcpListener;
use std::time::Instant;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Network};
use lastword_chain::{BitcoindSource, RpcRefusal};
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind};
use serde_json::json;

use crate::http::{PATIENCE, Reply, hello, scripted};
use crate::support::pay;

/// Connects, makes one call and returns the kind of its error.
fn kind_of<T>(
    replies: Vec<Reply>,
    call: impl FnOnce(&mut BitcoindSource) -> Result<T, ChainError>,
) -> Result<T, ChainErrorKind> {
    let server = scripted([hello()].into_iter().chain(replies).collect());
    let mut source = server.connect().expect("the greeting is right");
    let result = call(&mut source).map_err(|error| error.kind);
    server.finish();
    result
}

fn header_of_genesis(reply: Reply) -> Result<lastword_ports::Header, ChainErrorKind> {
    let hash = genesis_block(Network::Regtest).block_hash();
    kind_of(vec![reply], |source| source.header(hash))
}

fn block_of_genesis(reply: Reply) -> Result<bitcoin::Block, ChainErrorKind> {
    let hash = genesis_block(Network::Regtest).block_hash();
    kind_of(vec![reply], |source| source.block(hash))
}

#[test]
fn nobody_there_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let folder = tempfile::tempdir().expect("there is room");
    let cookie_file = folder.path().join(".cookie");
    // A node that is down has taken its cookie with it.
    let error = BitcoindSource::connect(&url, &cookie_file).expect_err("no cookie");
    assert_eq!(error.kind, ChainErrorKind::Retry);
    std::fs::write(&cookie_file, "__cookie__:old").expect("there is room");
    let error = BitcoindSource::connect(&url, &cookie_file).expect_err("nobody listens");
    assert_eq!(error.kind, ChainErrorKind::Retry);
    let error = BitcoindSource::connect("no url", &cookie_file).expect_err("no URL");
    assert_eq!(error.kind, ChainErrorKind::Refused);
}

#[test]
fn a_wrong_cookie_is_refused() {
    for status in [401, 403] {
        let server = scripted(vec![Reply::Http(status, Vec::new())]);
        let error = server.connect().expect_err("the cookie is wrong");
        assert_eq!(error.kind, ChainErrorKind::Refused, "{status}");
        server.finish();
    }
}

#[test]
fn a_cookie_that_changed_is_read_again() {
    let server = scripted(vec![
        hello(),
        Reply::Http(401, Vec::new()),
        hello(),
        Reply::Http(401, Vec::new()),
        hello(),
    ]);
    let mut source = server.connect().expect("the greeting is right");
    std::fs::write(&server.cookie_file, "__cookie__:second\n").expect("there is room");
    assert!(source.tip().is_ok());
    // Refused again with the same cookie: there is nothing to try.
    assert_eq!(source.tip().map_err(|error| error.kind), Err(ChainErrorKind::Refused));
    assert!(source.tip().is_ok());
    let seen = server.finish();
    let authorizations: Vec<_> = seen.iter().map(|seen| seen.authorization.as_str()).collect();
    // `__cookie__:first` and `__cookie__:second` in base 64.
    let (first, second) = ("Basic X19jb29raWVfXzpmaXJzdA==", "Basic X19jb29raWVfXzpzZWNvbmQ=");
    assert_eq!(authorizations, [first, first, second, second, second]);
    assert!(seen.iter().all(|seen| seen.method == "getblockchaininfo"));
}

#[test]
fn a_slow_node_is_a_retry_within_the_bound() {
    let start = Instant::now();
    assert_eq!(kind_of(vec![Reply::Hang], BlockSource::tip), Err(ChainErrorKind::Retry));
    assert!(start.elapsed() < 10 * PATIENCE);
    assert_eq!(kind_of(vec![Reply::Close], BlockSource::tip), Err(ChainErrorKind::Retry));
}

#[test]
fn a_busy_or_starting_node_is_a_retry() {
    let full = Reply::Http(503, b"Work queue depth exceeded".to_vec());
    assert_eq!(kind_of(vec![full], BlockSource::tip), Err(ChainErrorKind::Retry));
    let warming = Reply::Error(-28, "Loading block index...");
    assert_eq!(kind_of(vec![warming], BlockSource::tip), Err(ChainErrorKind::Retry));
}

#[test]
fn an_answer_that_is_not_understood_is_nonsense() {
    let replies = [
        Reply::Http(200, b"{\"result\":{\"blocks\":".to_vec()),
        Reply::Http(200, b"<html>hello</html>".to_vec()),
        Reply::Http(200, vec![0xff; 9]),
        Reply::Http(200, b"{\"result\":1,\"error\":null,\"id\":12345678}".to_vec()),
        Reply::Http(404, b"nothing here".to_vec()),
        Reply::Result(json!(7)),
        Reply::Result(json!({ "blocks": -1, "bestblockhash": "00" })),
        Reply::Result(json!(null)),
        Reply::Error(-32601, "Method not found"),
    ];
    for (at, reply) in replies.into_iter().enumerate() {
        let kind = kind_of(vec![reply], BlockSource::tip);
        assert_eq!(kind, Err(ChainErrorKind::Nonsense), "answer {at}");
    }
}

#[test]
fn an_answer_that_was_cut_is_no_answer() {
    let body = b"{\"result\":{\"blocks\":".to_vec();
    let kind = kind_of(vec![Reply::Cut(body)], BlockSource::tip);
    assert!(matches!(kind, Err(ChainErrorKind::Retry | ChainErrorKind::Nonsense)), "{kind:?}");
}

#[test]
fn a_header_must_be_the_one_that_was_asked_for() {
    let hash = genesis_block(Network::Regtest).block_hash().to_string();
    let other = BlockHash::from_byte_array([7; 32]).to_string();
    let good = json!({ "hash": hash, "height": 0 });
    assert!(header_of_genesis(Reply::Result(good)).is_ok());
    for bad in [
        json!({ "hash": other, "height": 0 }),
        json!({ "hash": hash, "height": 5 }),
        json!({ "hash": hash, "height": 5_000_000_000_u64, "previousblockhash": other }),
        json!({ "hash": hash, "height": 5, "previousblockhash": "xyz" }),
        json!({ "height": 5 }),
    ] {
        let kind = header_of_genesis(Reply::Result(bad.clone()));
        assert_eq!(kind, Err(ChainErrorKind::Nonsense), "{bad}");
    }
    let unknown = header_of_genesis(Reply::Error(-5, "Block not found"));
    assert_eq!(unknown, Err(ChainErrorKind::NotFound));
}

#[test]
fn a_block_must_be_the_one_that_was_asked_for() {
    let genesis = genesis_block(Network::Regtest);
    let hex = serialize_hex(&genesis);
    assert_eq!(block_of_genesis(Reply::Result(json!(hex))), Ok(genesis));
    let other = serialize_hex(&genesis_block(Network::Bitcoin));
    for bad in [&other, &hex[..hex.len() - 2], &hex[1..], "", "zz", &format!("{hex}00")] {
        let kind = block_of_genesis(Reply::Result(json!(bad)));
        assert_eq!(kind, Err(ChainErrorKind::Nonsense), "{bad}");
    }
    let unknown = block_of_genesis(Reply::Error(-5, "Block not found"));
    assert_eq!(unknown, Err(ChainErrorKind::NotFound));
    let pruned = block_of_genesis(Reply::Error(-1, "Block not available (pruned data)"));
    assert_eq!(pruned, Err(ChainErrorKind::NotFound));
}

#[test]
fn what_the_node_has_already_is_a_success() {
    let transaction = pay(&[], &[1]);
    for reply in [
        Reply::Result(json!(transaction.compute_txid().to_string())),
        Reply::Error(-27, "Transaction outputs already in utxo set"),
        Reply::Error(-27, "Transaction already in block chain"),
        Reply::Error(-26, "txn-already-in-mempool"),
        Reply::Error(-26, "txn-already-known"),
    ] {
        assert_eq!(kind_of(vec![reply], |source| source.broadcast(&transaction)), Ok(()));
    }
    // Confirmed, and all its outputs spent again: only an index tells.
    let missing = || Reply::Error(-25, "bad-txns-inputs-missingorspent");
    let found = vec![missing(), Reply::Result(json!("00"))];
    assert_eq!(kind_of(found, |source| source.broadcast(&transaction)), Ok(()));
    let unknown = vec![missing(), Reply::Error(-5, "No such mempool transaction.")];
    let kind = kind_of(unknown, |source| source.broadcast(&transaction));
    assert_eq!(kind, Err(ChainErrorKind::Rejected));
}

#[test]
fn a_refused_transaction_carries_the_reason() {
    let transaction = pay(&[], &[1]);
    let (low, other) = (ChainErrorKind::FeeTooLow, ChainErrorKind::Rejected);
    for (code, message, kind) in [
        (-26, "min relay fee not met, 1 < 110", low),
        (-26, "mempool min fee not met, 1 < 110", low),
        (-26, "insufficient fee, rejecting replacement 00; new feerate 1 <= old feerate 2", low),
        (-26, "txn-mempool-conflict", other),
        (-26, "non-final", other),
        (-22, "TX decode failed", other),
    ] {
        let server = scripted(vec![hello(), Reply::Error(code, message)]);
        let mut source = server.connect().expect("the greeting is right");
        let error = source.broadcast(&transaction).expect_err("the node refuses");
        server.finish();
        assert_eq!(error.kind, kind);
        let reason = error.source.as_deref().and_then(|source| source.downcast_ref());
        assert_eq!(reason, Some(&RpcRefusal { code, message: message.to_owned() }));
    }
    let away = kind_of(vec![Reply::Close], |source| source.broadcast(&transaction));
    assert_eq!(away, Err(ChainErrorKind::Retry));
}

/// An answer to `submitpackage`: what is said of the package, and of each transaction.
fn packaged(message: &str, errors: &[Option<&str>]) -> Reply {
    let results: serde_json::Map<String, serde_json::Value> = errors
        .iter()
        .enumerate()
        .map(|(at, error)| {
            (format!("{at:064}"), error.map_or(json!({}), |it| json!({ "error": it })))
        })
        .collect();
    Reply::Result(json!({ "package_msg": message, "tx-results": results }))
}

#[test]
fn a_package_is_taken_whole_or_because_its_parts_are_known() {
    let package = [pay(&[], &[1]), pay(&[], &[2])];
    let failed = || packaged("transaction failed", &[Some("txn-already-known"), None]);
    let known = || Reply::Error(-27, "Transaction outputs already in utxo set");
    for replies in [
        vec![packaged("success", &[None, None])],
        vec![failed(), known(), known()],
        vec![failed(), known(), Reply::Result(json!("00"))],
        // What an old node says, or one that finds the package misshapen.
        vec![Reply::Error(-32601, "Method not found"), known(), Reply::Result(json!("00"))],
    ] {
        assert_eq!(kind_of(replies, |source| source.broadcast_package(&package)), Ok(()));
    }
}

#[test]
fn a_refused_package_carries_the_reason_of_each_part() {
    let package = [pay(&[], &[1]), pay(&[], &[2])];
    let refused = || packaged("transaction failed", &[Some("min relay fee not met"), Some("late")]);
    let low = || Reply::Error(-26, "min relay fee not met, 0 < 110");
    let server = scripted(vec![hello(), refused(), low()]);
    let mut source = server.connect().expect("the greeting is right");
    let error = source.broadcast_package(&package).expect_err("the node refuses");
    server.finish();
    assert_eq!(error.kind, ChainErrorKind::Rejected);
    let reason = error.source.as_deref().and_then(|source| source.downcast_ref());
    let message = "transaction failed: min relay fee not met: late".to_owned();
    assert_eq!(reason, Some(&RpcRefusal { code: -26, message }));

    for replies in [vec![Reply::Close], vec![refused(), Reply::Close]] {
        let away = kind_of(replies, |source| source.broadcast_package(&package));
        assert_eq!(away, Err(ChainErrorKind::Retry));
    }
    let nonsense = Reply::Result(json!({ "package_msg": 7 }));
    let kind = kind_of(vec![nonsense], |source| source.broadcast_package(&package));
    assert_eq!(kind, Err(ChainErrorKind::Nonsense));
}
