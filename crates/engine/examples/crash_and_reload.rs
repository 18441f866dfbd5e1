//! A payment whose book is lost in a crash: the monitor alone has its last word.
//!
//! Run it with `cargo run -p lastword-engine --example crash_and_reload`.

use std::error::Error;

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid};
use lastword_bolt3::{ChannelKeys, InMemorySigner};
use lastword_engine::{Driver, NoChannels, NoForwards, NoObserver, Ports};
use lastword_ports::{ChainError, ChannelSigner as _, Coin, CoinSource, LogId};
use lastword_regtest::SharedChain;
use lastword_testkit::{CrashStore, FixedFees, Survivors};
use lastword_types::*;

const CHANNEL: ChannelId = ChannelId([7; 32]);

/// A wallet without coins: nothing goes on chain here.
struct NoCoins;

impl CoinSource for NoCoins {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        Ok(Vec::new())
    }
    fn destination(&mut self) -> ScriptBuf {
        ScriptBuf::new()
    }
    fn sign(&mut self, _: &mut Transaction, _: usize, _: &Coin) -> Result<(), ChainError> {
        Ok(())
    }
}

/// Starts a node; its monitors and its payment book have a disk each.
fn start(chain: &SharedChain, monitors: &CrashStore, books: &CrashStore) -> Driver {
    let ports = Ports {
        monitors: Box::new(monitors.clone()),
        books: Some(Box::new(books.clone())),
        source: Box::new(chain.clone()),
        broadcaster: Box::new(chain.clone()),
        signer: Box::new(InMemorySigner::new()),
        coins: Box::new(NoCoins),
        fees: Box::new(FixedFees(FeeRatePerKw::FLOOR)),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: Box::new(NoObserver),
    };
    Driver::start(ports).expect("the disks are sound")
}

/// A peer's commitment; its signature on ours is not looked at while nothing goes on chain.
fn commitment(
    signer: &mut InMemorySigner,
    number: u64,
    ours_msat: u64,
) -> Result<RemoteCommitment, Box<dyn Error>> {
    let number = CommitmentNumber::new(number).ok_or("48 bits")?;
    Ok(RemoteCommitment {
        number,
        per_commitment_point: signer.per_commitment_point(CHANNEL, number)?,
        feerate_per_kw: FeeRatePerKw(1_000),
        to_local_msat: AmountMsat(0),
        to_remote_msat: AmountMsat(ours_msat),
        added: Vec::new(),
        removed: Vec::new(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    Ok(())
}
