//! Blocks from and transactions to a bitcoind: [`BitcoindSource`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bitcoin::consensus::encode::{
    deserialize, deserialize_hex, deserialize_partial, serialize_hex,
};
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::{Block, BlockHash, OutPoint, Transaction};
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind, Header};
use lastword_types::{BlockHeight, BlockRef};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rpc::{Failure, RPC_TIMEOUT, Rpc, RpcRefusal};

/// A bitcoind as block source and broadcaster, over its RPC.
///
/// Needs no wallet and no index. With `txindex` it also recognises a transaction that is
/// confirmed and whose outputs are all spent again; without, that one is refused as one whose
/// inputs are missing.
///
/// # Shape
///
/// A clone is another handle on the same node. Every call is bounded by [`RPC_TIMEOUT`].
///
/// # Errors
///
/// | kind | when |
/// |---|---|
/// | `Retry` | away, starting, busy, too slow, or its cookie file is missing |
/// | `Refused` | the cookie is wrong (it was read again), or the URL is |
/// | `NotFound` | the node does not have the block |
/// | `FeeTooLow` | the node refuses the transaction for its fee; the source is an [`RpcRefusal`] |
/// | `Rejected` | the node refuses it for another reason; the source is the same |
/// | `Nonsense` | the answer cannot be understood, or is not what was asked for |
#[derive(Debug, Clone)]
pub struct BitcoindSource {
    rpc: Rpc,
}

/// What is read of the answer to `getblockchaininfo`.
#[derive(Debug, Deserialize)]
struct ChainInfo {
    blocks: u32,
    bestblockhash: BlockHash,
}

/// What is read of the answer to `getblockheader`.
#[derive(Debug, Deserialize)]
struct HeaderInfo {
    hash: BlockHash,
    height: u32,
    /// The genesis block has none.
    previousblockhash: Option<BlockHash>,
}

/// What is read of the answer to `submitpackage`.
#[derive(Debug, Deserialize)]
struct PackageAnswer {
    #[serde(rename = "package_msg")]
    message: String,
    /// By wtxid.
    #[serde(rename = "tx-results")]
    results: BTreeMap<String, PackageResult>,
}

/// What `gettxspendingprevout` says of one output.
#[derive(Debug, Deserialize)]
struct Spending {
    /// Absent while no transaction of the mempool spends it.
    spendingtxid: Option<String>,
}

/// What `submitpackage` says of one transaction.
#[derive(Debug, Deserialize)]
struct PackageResult {
    error: Option<String>,
}

impl BitcoindSource {
    /// Connects to a node and asks for its tip, to see that it answers us.
    ///
    /// `url` is like `http://127.0.0.1:18443`; the cookie file is `.cookie` in the folder of the
    /// network within the node's data folder.
    ///
    /// # Errors
    ///
    /// [`ChainErrorKind::Retry`] if the node is away, [`ChainErrorKind::Refused`] if it does not
    /// take the cookie.
    pub fn connect(url: &str, cookie_file: &Path) -> Result<Self, ChainError> {
        Self::with_timeout(url, cookie_file, RPC_TIMEOUT)
    }

    /// Connects like [`BitcoindSource::connect`], with another bound for every call.
    ///
    /// # Errors
    ///
    /// As [`BitcoindSource::connect`].
    pub fn with_timeout(
        url: &str,
        cookie_file: &Path,
        timeout: Duration,
    ) -> Result<Self, ChainError> {
        let mut source = Self { rpc: Rpc::new(url, cookie_file, timeout)? };
        source.tip()?;
        Ok(source)
    }

    /// Says whether the node has this very transaction, in its mempool or by its index.
    fn knows(&mut self, transaction: &Transaction) -> bool {
        let txid = transaction.compute_txid().to_string();
        let answer: Result<String, Failure> = self.rpc.call("getrawtransaction", &[json!(txid)]);
        answer.is_ok()
    }
}

impl BlockSource for BitcoindSource {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let info: ChainInfo =
            self.rpc.call("getblockchaininfo", &[]).map_err(Failure::into_chain_error)?;
        Ok(BlockRef { height: BlockHeight(info.blocks), hash: info.bestblockhash })
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        let parameters = [json!(hash.to_string()), json!(true)];
        let info: HeaderInfo =
            self.rpc.call("getblockheader", &parameters).map_err(missing_block)?;
        if info.hash != hash {
            return Err(nonsense("bitcoind answered with the header of another block"));
        }
        let previous = match info.previousblockhash {
            Some(previous) => previous,
            None if info.height == 0 => BlockHash::all_zeros(),
            None => return Err(nonsense("bitcoind's header names no block before")),
        };
        Ok(Header { block: BlockRef { height: BlockHeight(info.height), hash }, previous })
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        deserialize(&self.raw_block(hash)?)
            .map_err(|error| nonsense("bitcoind's block does not decode").with_source(error))
    }

    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        let parameters = [json!(hash.to_string()), json!(0)];
        let hex: String = self.rpc.call("getblock", &parameters).map_err(missing_block)?;
        let bytes = Vec::<u8>::from_hex(&hex)
            .map_err(|error| nonsense("bitcoind's block is not hexadecimal").with_source(error))?;
        let header: bitcoin::block::Header = deserialize_partial(&bytes)
            .map_err(|error| nonsense("bitcoind's block has no header").with_source(error))?
            .0;
        if header.block_hash() != hash {
            return Err(nonsense("bitcoind answered with another block"));
        }
        Ok(bytes)
    }

    /// Asks once for all outputs, and once for each transaction that is new to this call.
    fn unconfirmed_spends(
        &mut self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Transaction>, ChainError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<Value> =
            outpoints.iter().map(|it| json!({ "txid": it.txid, "vout": it.vout })).collect();
        let spending: Vec<Spending> = self
            .rpc
            .call("gettxspendingprevout", &[json!(asked)])
            .map_err(Failure::into_chain_error)?;
        let txids: BTreeSet<String> =
            spending.into_iter().filter_map(|spending| spending.spendingtxid).collect();
        let mut spends = Vec::new();
        for txid in txids {
            spends.extend(self.unconfirmed(&txid)?);
        }
        Ok(spends)
    }
}

impl BitcoindSource {
    /// Returns a transaction of the mempool, or none if it left meanwhile.
    fn unconfirmed(&mut self, txid: &str) -> Result<Option<Transaction>, ChainError> {
        let answer: Result<String, Failure> = self.rpc.call("getrawtransaction", &[json!(txid)]);
        match answer {
            Ok(hex) => deserialize_hex(&hex).map(Some).map_err(|error| {
                nonsense("bitcoind's transaction does not decode").with_source(error)
            }),
            Err(Failure::Refusal(_)) => Ok(None),
            Err(Failure::Chain(error)) => Err(error),
        }
    }
}

impl Broadcaster for BitcoindSource {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        // A claim pays what it must: zero switches the node's own limit on fees off.
        let parameters = [json!(serialize_hex(transaction)), json!(0)];
        let sent: Result<Value, Failure> = self.rpc.call("sendrawtransaction", &parameters);
        match sent {
            Ok(_) => Ok(()),
            Err(Failure::Chain(error)) => Err(error),
            Err(Failure::Refusal(refusal)) if is_known(&refusal) => Ok(()),
            // What a spent and confirmed transaction looks like too.
            Err(Failure::Refusal(refusal))
                if refusal.code == RPC_VERIFY_ERROR && self.knows(transaction) =>
            {
                Ok(())
            }
            Err(Failure::Refusal(refusal)) => {
                let kind = refused_kind(core::iter::once(refusal.message.as_str()));
                Err(ChainError::new(kind, "bitcoind refuses the transaction").with_source(refusal))
            }
        }
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        let raw: Vec<String> = package.iter().map(serialize_hex).collect();
        let sent: Result<PackageAnswer, Failure> =
            self.rpc.call("submitpackage", &[json!(raw), json!(0)]);
        let (kind, refusal) = match sent {
            Ok(answer) if answer.message == "success" => return Ok(()),
            Ok(answer) => package_refusal(answer),
            Err(Failure::Refusal(refusal)) => {
                (refused_kind(core::iter::once(refusal.message.as_str())), refusal)
            }
            Err(Failure::Chain(error)) => return Err(error),
        };
        // A part that is confirmed already spoils a package. Alone, each is told from a refusal.
        for transaction in package {
            match self.broadcast(transaction) {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => {
                    let error = ChainError::new(kind, "bitcoind refuses the package");
                    return Err(error.with_source(refusal));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Says what a package was refused for, in the node's words for each transaction.
///
/// A transaction that pays nothing is always too cheap by itself, so its words count only if there
/// are no others.
fn package_refusal(answer: PackageAnswer) -> (ChainErrorKind, RpcRefusal) {
    let errors = answer.results.into_values().filter_map(|result| result.error);
    let words: Vec<String> = core::iter::once(answer.message).chain(errors).collect();
    let said = if words.len() > 1 { &words[1..] } else { &words[..] };
    let kind = refused_kind(said.iter().map(String::as_str));
    (kind, RpcRefusal { code: RPC_VERIFY_REJECTED, message: words.join(": ") })
}

/// Says what a refusal in these words is: for the fee only if all of them are about it.
fn refused_kind<'w>(mut words: impl Iterator<Item = &'w str>) -> ChainErrorKind {
    let is_fee = words.all(|words| FEE_REASONS.iter().any(|reason| words.contains(reason)));
    if is_fee { ChainErrorKind::FeeTooLow } else { ChainErrorKind::Rejected }
}

fn is_refusal(error: &ChainError) -> bool {
    [ChainErrorKind::Rejected, ChainErrorKind::FeeTooLow].contains(&error.kind)
}

/// Says whether a refusal means that the node has the transaction already.
fn is_known(refusal: &RpcRefusal) -> bool {
    refusal.code == RPC_VERIFY_ALREADY_IN_UTXO_SET
        || ["txn-already-in-mempool", "txn-already-known"]
            .iter()
            .any(|reason| refusal.message.contains(reason))
}

/// Takes the refusal of a block as not having it, if it can mean that.
fn missing_block(failure: Failure) -> ChainError {
    match failure {
        // The second is said of a block whose body was pruned or never downloaded.
        Failure::Refusal(refusal)
            if [RPC_INVALID_ADDRESS_OR_KEY, RPC_MISC_ERROR].contains(&refusal.code) =>
        {
            ChainError::new(ChainErrorKind::NotFound, "bitcoind does not have the block")
                .with_source(refusal)
        }
        other @ (Failure::Refusal(_) | Failure::Chain(_)) => other.into_chain_error(),
    }
}

fn nonsense(detail: &'static str) -> ChainError {
    ChainError::new(ChainErrorKind::Nonsense, detail)
}

/// What Bitcoin Core says where a higher fee would help: of the mempool's floor, of a replacement
/// (BIP 125), and of both for a package.
const FEE_REASONS: [&str; 6] = [
    "insufficient fee",
    "min relay fee not met",
    "mempool min fee not met",
    "insufficient anti-DoS fees",
    "package feerate is less than",
    "does not improve feerate diagram",
];

// Bitcoin Core's `RPCErrorCode`.
const RPC_MISC_ERROR: i32 = -1;
const RPC_INVALID_ADDRESS_OR_KEY: i32 = -5;
const RPC_VERIFY_ERROR: i32 = -25;
const RPC_VERIFY_REJECTED: i32 = -26;
const RPC_VERIFY_ALREADY_IN_UTXO_SET: i32 = -27;
