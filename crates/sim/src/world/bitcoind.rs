//! [`Bitcoind`]: a real bitcoind on a regtest chain as a [`World`].

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Block, BlockHash, Network, OutPoint, Script, Transaction, Txid};
use jsonrpc::bitreq_http::BitreqHttpTransport;
use lastword_chain::BitcoindSource;
use lastword_ports::{BlockSource, Broadcaster, ChainError, Header};
use lastword_types::BlockRef;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::error::{SimError, Trying as _};
use crate::world::World;

/// The node's clock at the first block that is mined here, in Unix time; each later block is ten
/// minutes on. So no block is like one that was taken away, and a run can be repeated.
const FIRST_BLOCK_TIME: u64 = 1_700_000_000;

const BLOCK_SPACING_SECONDS: u64 = 600;

/// A bitcoind that somebody else started.
pub struct Bitcoind {
    source: BitcoindSource,
    client: jsonrpc::Client,
    blocks_mined: u64,
    counts: MempoolCounts,
}

/// What went through a real mempool; a clone reads the same counts.
#[derive(Debug, Clone, Default)]
pub struct MempoolCounts(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    accepted: BTreeSet<Txid>,
    mined: BTreeSet<Txid>,
}

impl MempoolCounts {
    /// Returns how many different transactions were seen in the mempool.
    pub fn accepted(&self) -> usize {
        self.with(|counts| counts.accepted.len())
    }

    /// Returns how many different transactions were mined, coinbases left out.
    pub fn mined(&self) -> usize {
        self.with(|counts| counts.mined.len())
    }

    fn with<R>(&self, call: impl FnOnce(&mut Counts) -> R) -> R {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Bitcoind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bitcoind").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Bitcoind {
    /// Connects to a regtest node whose chain is empty.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the node is away or does not take the cookie.
    pub fn connect(url: &str, cookie_file: &Path) -> Result<Self, SimError> {
        let source = BitcoindSource::connect(url, cookie_file).trying("connect to bitcoind")?;
        let cookie = std::fs::read_to_string(cookie_file).trying("read bitcoind's cookie")?;
        let transport = BitreqHttpTransport::builder()
            .cookie_auth(cookie.trim_end())
            .url(url)
            .trying("read bitcoind's URL")?
            .build();
        let client = jsonrpc::Client::with_transport(transport);
        Ok(Self { source, client, blocks_mined: 0, counts: MempoolCounts::default() })
    }

    /// Returns the counts of what went through the mempool.
    pub fn counts(&self) -> MempoolCounts {
        self.counts.clone()
    }

    fn call(&self, method: &'static str, parameters: &[Value]) -> Result<Value, SimError> {
        let parameters = to_raw_value(parameters).trying(method)?;
        let request = self.client.build_request(method, Some(&parameters));
        let response = self.client.send_request(request).trying(method)?;
        response.result::<Value>().trying(method)
    }

    /// Sets the clock for the next block and counts what waits for it.
    fn prepare(&mut self) -> Result<(), SimError> {
        let time = FIRST_BLOCK_TIME + self.blocks_mined * BLOCK_SPACING_SECONDS;
        self.call("setmocktime", &[json!(time)])?;
        self.blocks_mined += 1;
        let waiting = self.call("getrawmempool", &[])?;
        let waiting: Vec<Txid> = serde_json::from_value(waiting).trying("read the mempool")?;
        self.counts.with(|counts| counts.accepted.extend(waiting));
        Ok(())
    }

    fn count_block(&mut self) -> Result<(), SimError> {
        let tip = self.source.tip().trying("read the tip")?;
        let block = self.source.block(tip.hash).trying("read a block")?;
        let mined = block.txdata.iter().skip(1).map(Transaction::compute_txid);
        self.counts.with(|counts| counts.mined.extend(mined));
        Ok(())
    }
}

/// Returns the address of a script.
fn address(script: &Script) -> Result<String, SimError> {
    let address = Address::from_script(script, Network::Regtest).trying("make an address")?;
    Ok(address.to_string())
}

impl World for Bitcoind {
    fn mine(&mut self, reward: &Script) -> Result<(), SimError> {
        self.prepare()?;
        self.call("generatetoaddress", &[json!(1), json!(address(reward)?)])?;
        self.count_block()
    }

    fn mine_with(&mut self, reward: &Script, transactions: &[Transaction]) -> Result<(), SimError> {
        self.prepare()?;
        let raw: Vec<String> = transactions.iter().map(serialize_hex).collect();
        self.call("generateblock", &[json!(address(reward)?), json!(raw)])?;
        self.count_block()
    }

    fn disconnect(&mut self, depth: u32) -> Result<(), SimError> {
        let tip = self.source.tip().trying("read the tip")?;
        let lowest = (tip.height.0 + 1)
            .checked_sub(depth)
            .ok_or(SimError::new("the chain is too short for this reorg"))?;
        let hash = self.call("getblockhash", &[json!(lowest)])?;
        self.call("invalidateblock", &[hash])?;
        Ok(())
    }

    fn is_unspent(&mut self, outpoint: OutPoint) -> Result<bool, SimError> {
        let parameters = [json!(outpoint.txid), json!(outpoint.vout), json!(true)];
        Ok(!self.call("gettxout", &parameters)?.is_null())
    }
}

impl BlockSource for Bitcoind {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        self.source.tip()
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        self.source.header(hash)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        self.source.block(hash)
    }

    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        self.source.raw_block(hash)
    }

    fn unconfirmed_spends(
        &mut self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Transaction>, ChainError> {
        self.source.unconfirmed_spends(outpoints)
    }
}

impl Broadcaster for Bitcoind {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        self.source.broadcast(transaction)
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        self.source.broadcast_package(package)
    }
}
