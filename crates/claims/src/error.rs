//! [`ClaimError`]: why an output is not claimed at this call.

use alloc::sync::Arc;

use bitcoin::{Amount, OutPoint};
use lastword_ports::{ChainError, SignerError};
use lastword_types::ChannelId;
use thiserror::Error;

/// One request could not be turned into a transaction at this call.
///
/// The request stays, its inputs and coins are free again, and the next call tries it anew. Other
/// requests are not touched by it.
#[derive(Debug, Clone, Error)]
#[error("the output {outpoint} of channel {channel_id} is not claimed")]
pub struct ClaimError {
    /// The channel.
    pub channel_id: ChannelId,
    /// The output that is not claimed.
    pub outpoint: OutPoint,
    /// Why, to branch on.
    #[source]
    pub kind: ClaimErrorKind,
}

/// Why a request could not be turned into a transaction.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ClaimErrorKind {
    /// The signer refused or is away.
    #[error("the signer did not sign")]
    Signer(#[source] SignerError),
    /// The wallet did not list its coins, or did not sign for one of them. One failure to list coins
    /// is told for each request that needs one.
    #[error("the wallet did not help")]
    Wallet(#[source] Arc<ChainError>),
    /// No single free coin pays the fee: put at least this much into the wallet.
    #[error("no free coin of at least {needed}")]
    NoCoin {
        /// The fee of the transaction, with the coin as its input and without change.
        needed: Amount,
    },
    /// The fee would eat the output. It is kept and looked at at every call; this is told once, and
    /// again only if the output was worth it in between.
    #[error("an output of {amount} is not worth a fee of {fee}")]
    NotWorthItsFee {
        /// The value of the output.
        amount: Amount,
        /// What its spend costs at this call's rate.
        fee: Amount,
    },
    /// The network would not relay it: scripts of the wallet that are long enough for this are a
    /// mistake.
    #[error("a transaction of {vsize} virtual bytes, where at most {limit} are relayed")]
    TooLarge {
        /// Its virtual size, with signatures as long as they can be.
        vsize: usize,
        /// The most that is relayed.
        limit: usize,
    },
    /// The request contradicts itself: a mistake of whoever made it.
    #[error("the request makes no sense: {0}")]
    Request(&'static str),
}
