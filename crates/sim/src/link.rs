//! [`Link`]: how a node reaches everything outside its process but the chain; and the ports that
//! a node builds on it.

use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::{ScriptBuf, Transaction};
use lastword_ports::{
    ChainError, ChainErrorKind, Coin, CoinSource, EventHandler, FeeSource, HandlerError, Urgency,
};
use lastword_types::{Event, FeeRatePerKw};

use crate::error::SimError;
use crate::messages::{PeerReply, PeerRequest, Reply, Request};
use crate::seed::WalletKey;
use crate::world::bank::sign_p2wpkh;

/// One way to ask the outside: a function call or a byte stream.
pub trait Link: Send {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the outside is gone.
    fn call(&mut self, request: Request) -> Result<Reply, SimError>;
}

/// A [`Link`] that the parts of a node share; one request at a time.
#[derive(Clone)]
pub struct Line(Arc<Mutex<dyn Link>>);

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    /// Shares a link.
    pub fn new(link: impl Link + 'static) -> Self {
        Self(Arc::new(Mutex::new(link)))
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the outside is gone or could not answer.
    pub fn call(&self, request: Request) -> Result<Reply, SimError> {
        // A link holds no state that a panic elsewhere could have left half done.
        let mut link = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match link.call(request)? {
            Reply::Failed(why) => Err(SimError::with("the outside could not answer", why)),
            reply @ (Reply::Peer(_) | Reply::Noted | Reply::Coins(_)) => Ok(reply),
        }
    }

    /// Asks the peer.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the peer is gone or refuses.
    pub fn peer(&self, request: PeerRequest) -> Result<PeerReply, SimError> {
        match self.call(Request::Peer(Box::new(request)))? {
            Reply::Peer(reply) => match *reply {
                PeerReply::Refused(why) => Err(SimError::with("the peer refuses", why)),
                reply @ (PeerReply::Done
                | PeerReply::Opened { .. }
                | PeerReply::Status { .. }
                | PeerReply::Revoked(_)
                | PeerReply::Withheld
                | PeerReply::Proposed(_)
                | PeerReply::Spliced(_)) => Ok(reply),
            },
            Reply::Noted | Reply::Coins(_) | Reply::Failed(_) => Err(unexpected()),
        }
    }

    /// Tells the user.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the user is gone.
    pub fn tell(&self, event: &Event) -> Result<(), SimError> {
        match self.call(Request::Tell(Box::new(event.clone())))? {
            Reply::Noted => Ok(()),
            Reply::Peer(_) | Reply::Coins(_) | Reply::Failed(_) => Err(unexpected()),
        }
    }
}

/// The answer belongs to another request.
pub(crate) fn unexpected() -> SimError {
    SimError::new("the answer belongs to another request")
}

impl EventHandler for Line {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.tell(event).map_err(|error| HandlerError(Some(Box::new(error))))
    }

    /// One at a time: there is one line.
    fn at_once_max(&self) -> usize {
        1
    }
}

/// The node's wallet: it holds the key, and asks the outside which coins there are.
#[derive(Debug)]
pub struct LinkedWallet {
    line: Line,
    key: WalletKey,
}

impl LinkedWallet {
    /// Makes the wallet of `key`.
    pub fn new(line: Line, key: WalletKey) -> Self {
        Self { line, key }
    }
}

impl CoinSource for LinkedWallet {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        match self.line.call(Request::Coins) {
            Ok(Reply::Coins(coins)) => Ok(coins
                .into_iter()
                .map(|(outpoint, amount)| Coin {
                    outpoint,
                    amount,
                    script_pubkey: self.key.script.clone(),
                })
                .collect()),
            Ok(Reply::Peer(_) | Reply::Noted | Reply::Failed(_)) => {
                Err(ChainError::new(ChainErrorKind::Nonsense, "the wallet answers something else"))
            }
            Err(error) => {
                Err(ChainError::new(ChainErrorKind::Retry, "the wallet is away").with_source(error))
            }
        }
    }

    fn destination(&mut self) -> ScriptBuf {
        self.key.script.clone()
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> Result<(), ChainError> {
        if coin.script_pubkey != self.key.script {
            return Err(ChainError::new(ChainErrorKind::NotFound, "the coin is not this wallet's"));
        }
        sign_p2wpkh(transaction, input, &self.key, coin.amount).map_err(|error| {
            ChainError::new(ChainErrorKind::NotFound, "the input is not there").with_source(error)
        })
    }
}

/// Fee rates that never change, so that a run can be repeated.
#[derive(Debug, Clone, Copy)]
pub struct FixedFees;

impl FeeSource for FixedFees {
    fn feerate(&mut self, urgency: Urgency) -> FeeRatePerKw {
        match urgency {
            Urgency::Relaxed => FeeRatePerKw(1_000),
            Urgency::Contended => FeeRatePerKw(2_500),
        }
    }
}
