//! The chain that a run takes place on, and what is read from it.

pub mod accounts;
pub mod bank;
pub mod bitcoind;
pub mod index;
pub mod inprocess;

use bitcoin::{OutPoint, Script, Transaction};
use lastword_ports::{BlockSource, Broadcaster};

use crate::error::SimError;

/// A chain that obeys: it mines when it is told to.
///
/// Everything else goes through the ports that a node uses, and through the real checks of
/// consensus: nothing here can make an invalid transaction confirm.
pub trait World: BlockSource + Broadcaster {
    /// Mines one block with what the mempool holds.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is away.
    fn mine(&mut self, reward: &Script) -> Result<(), SimError>;

    /// Mines one block with these transactions and nothing else.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is away or one of them is not valid.
    fn mine_with(&mut self, reward: &Script, transactions: &[Transaction]) -> Result<(), SimError>;

    /// Takes the best `depth` blocks away; their transactions go back to the mempool.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is away or too short.
    fn disconnect(&mut self, depth: u32) -> Result<(), SimError>;

    /// Says whether an output exists and nothing spends it, not even in the mempool.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is away.
    fn is_unspent(&mut self, outpoint: OutPoint) -> Result<bool, SimError>;
}
