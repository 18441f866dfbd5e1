//! A chain in another process: [`RemoteChain`].

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bitcoin::{Block, BlockHash, Transaction};
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind, Header};
use lastword_types::BlockRef;
use thiserror::Error;

use crate::protocol::{Answer, Request, read_message, write_message};

/// How long a connection may take to come about, and each read and write after that.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What lies beneath the [`ChainError`] of a [`RemoteChain`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The connection failed.
    #[error("the connection to {address} failed")]
    Connection {
        /// Where to.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The chain refused, in its own words.
    #[error("{reason}")]
    Reason {
        /// Its words.
        reason: String,
    },
}

/// A chain that another process [`serve`](crate::serve)s.
///
/// A lost connection is a [`ChainErrorKind::Retry`]; the next call connects again.
#[derive(Debug)]
pub struct RemoteChain {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl RemoteChain {
    /// Connects to a served chain.
    ///
    /// # Errors
    ///
    /// [`ChainErrorKind::Retry`] if nobody answers there within ten seconds.
    pub fn connect(address: SocketAddr) -> Result<Self, ChainError> {
        let mut remote = Self { address, stream: None };
        let stream = remote.open().map_err(|error| remote.lost(error))?;
        remote.stream = Some(stream);
        Ok(remote)
    }

    fn open(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Asks, and returns the answer unless it is an error.
    fn ask(&mut self, request: &Request) -> Result<Answer, ChainError> {
        let message = request.encode();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().map_err(|error| self.lost(error))?,
        };
        let answer = write_message(&mut stream, &message)
            .and_then(|()| read_message(&mut stream))
            .map_err(|error| self.lost(error))?;
        let answer = Answer::decode(&answer).map_err(|_| nonsense("the answer is no message"))?;
        // Only a connection that is known to be between two messages is used again.
        self.stream = Some(stream);
        match answer {
            Answer::Error(kind, reason) => Err(ChainError::new(kind, "the remote chain says no")
                .with_source(RemoteError::Reason { reason })),
            Answer::Tip(_) | Answer::Header(_) | Answer::Block(_) | Answer::Taken => Ok(answer),
        }
    }

    /// Asks for what is answered with a receipt.
    fn offer(&mut self, request: &Request) -> Result<(), ChainError> {
        match self.ask(request)? {
            Answer::Taken => Ok(()),
            Answer::Tip(_) | Answer::Header(_) | Answer::Block(_) | Answer::Error(..) => {
                Err(nonsense("the answer is not a receipt"))
            }
        }
    }

    fn lost(&self, source: io::Error) -> ChainError {
        let (kind, detail) = if source.kind() == io::ErrorKind::InvalidData {
            (ChainErrorKind::Nonsense, "the answer is too long")
        } else if source.kind() == io::ErrorKind::InvalidInput {
            (ChainErrorKind::Rejected, "what is offered is longer than a block may be")
        } else {
            (ChainErrorKind::Retry, "the remote chain is away")
        };
        ChainError::new(kind, detail)
            .with_source(RemoteError::Connection { address: self.address, source })
    }
}

impl BlockSource for RemoteChain {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        match self.ask(&Request::Tip)? {
            Answer::Tip(tip) => Ok(tip),
            Answer::Header(_) | Answer::Block(_) | Answer::Taken | Answer::Error(..) => {
                Err(nonsense("the answer is not a tip"))
            }
        }
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        match self.ask(&Request::Header(hash))? {
            Answer::Header(header) => Ok(header),
            Answer::Tip(_) | Answer::Block(_) | Answer::Taken | Answer::Error(..) => {
                Err(nonsense("the answer is not a header"))
            }
        }
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        match self.ask(&Request::Block(hash))? {
            Answer::Block(block) => Ok(block),
            Answer::Tip(_) | Answer::Header(_) | Answer::Taken | Answer::Error(..) => {
                Err(nonsense("the answer is not a block"))
            }
        }
    }
}

impl Broadcaster for RemoteChain {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        self.offer(&Request::Broadcast(transaction.clone()))
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        self.offer(&Request::Package(package.to_vec()))
    }
}

fn nonsense(detail: &'static str) -> ChainError {
    ChainError::new(ChainErrorKind::Nonsense, detail)
}
