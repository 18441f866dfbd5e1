//! What [`RemoteChain`](crate::RemoteChain) and [`serve`](crate::serve) say to each other.
//!
//! ```text
//! message   length: u32 little endian | kind: u8 | body          the length counts kind and body
//! request   1 tip        –
//!           2 header     hash: 32 bytes
//!           3 block      hash: 32 bytes
//!           4 broadcast  transaction, consensus encoding
//!           6 package    transactions, consensus encoding of a vector
//! answer    1 tip        height: u32 little endian | hash
//!           2 header     height | hash | previous hash
//!           3 block      block, consensus encoding
//!           4 taken      –
//!           5 error      kind: u8 | reason in UTF-8
//! ```

use std::io::{self, Read, Write};

use bitcoin::consensus::{Decodable, Encodable, deserialize, serialize};
use bitcoin::{Block, BlockHash, Transaction};
use lastword_ports::{ChainErrorKind, Header};
use lastword_types::{BlockHeight, BlockRef};

/// The most bytes of one message: a block of full weight without discount is smaller.
pub const MAX_MESSAGE_BYTES: usize = 4_000_100;
/// The most bytes of a reason that travel.
const MAX_REASON_BYTES: usize = 1_000;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Tip,
    Header(BlockHash),
    Block(BlockHash),
    Broadcast(Transaction),
    Package(Vec<Transaction>),
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Tip(BlockRef),
    Header(Header),
    Block(Block),
    Taken,
    Error(ChainErrorKind, String),
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Tip => vec![TIP],
            Self::Header(hash) => tagged(HEADER, hash),
            Self::Block(hash) => tagged(BLOCK, hash),
            Self::Broadcast(transaction) => tagged(BROADCAST, transaction),
            Self::Package(package) => tagged(PACKAGE, package),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, body) = bytes.split_first().ok_or(Malformed)?;
        match *kind {
            TIP if body.is_empty() => Ok(Self::Tip),
            HEADER => whole(body).map(Self::Header),
            BLOCK => whole(body).map(Self::Block),
            BROADCAST => whole(body).map(Self::Broadcast),
            PACKAGE => whole(body).map(Self::Package),
            _ => Err(Malformed),
        }
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Tip(block) => tagged(TIP, &(block.height.0, block.hash)),
            Self::Header(Header { block, previous }) => {
                tagged(HEADER, &(block.height.0, block.hash, *previous))
            }
            Self::Block(block) => tagged(BLOCK, block),
            Self::Taken => vec![BROADCAST],
            Self::Error(kind, reason) => {
                let mut end = reason.len().min(MAX_REASON_BYTES);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                let mut bytes = vec![ERROR, kind_to_byte(*kind)];
                bytes.extend_from_slice(&reason.as_bytes()[..end]);
                bytes
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, body) = bytes.split_first().ok_or(Malformed)?;
        match *kind {
            TIP => {
                let (height, hash) = whole(body)?;
                Ok(Self::Tip(BlockRef { height: BlockHeight(height), hash }))
            }
            HEADER => {
                let (height, hash, previous) = whole(body)?;
                let block = BlockRef { height: BlockHeight(height), hash };
                Ok(Self::Header(Header { block, previous }))
            }
            BLOCK => whole(body).map(Self::Block),
            BROADCAST if body.is_empty() => Ok(Self::Taken),
            ERROR => {
                let (kind, reason) = body.split_first().ok_or(Malformed)?;
                let kind = kind_from_byte(*kind).ok_or(Malformed)?;
                let reason = core::str::from_utf8(reason).map_err(|_| Malformed)?;
                Ok(Self::Error(kind, reason.to_owned()))
            }
            _ => Err(Malformed),
        }
    }
}

/// Writes one message.
pub(crate) fn write_message(writer: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len())
        .ok()
        .filter(|_| message.len() <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the message is too long")
    })?;
    let mut framed = length.to_le_bytes().to_vec();
    framed.extend_from_slice(message);
    writer.write_all(&framed)
}

/// Reads one message; refuses a length beyond the limit before anything is allocated.
pub(crate) fn read_message(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length))
        .ok()
        .filter(|length| *length <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the message is too long"))?;
    let mut message = vec![0; length];
    reader.read_exact(&mut message)?;
    Ok(message)
}

fn tagged<T: Encodable>(kind: u8, body: &T) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&serialize(body));
    bytes
}

/// Decodes a body that must have no bytes left over.
fn whole<T: Decodable>(body: &[u8]) -> Result<T, Malformed> {
    deserialize(body).map_err(|_| Malformed)
}

fn kind_to_byte(kind: ChainErrorKind) -> u8 {
    match kind {
        ChainErrorKind::Retry => 1,
        ChainErrorKind::Refused => 2,
        ChainErrorKind::Nonsense => 3,
        ChainErrorKind::NotFound => 4,
        ChainErrorKind::Rejected => 5,
        ChainErrorKind::FeeTooLow => 6,
    }
}

fn kind_from_byte(byte: u8) -> Option<ChainErrorKind> {
    match byte {
        1 => Some(ChainErrorKind::Retry),
        2 => Some(ChainErrorKind::Refused),
        3 => Some(ChainErrorKind::Nonsense),
        4 => Some(ChainErrorKind::NotFound),
        5 => Some(ChainErrorKind::Rejected),
        6 => Some(ChainErrorKind::FeeTooLow),
        _ => None,
    }
}

const TIP: u8 = 1;
const HEADER: u8 = 2;
const BLOCK: u8 = 3;
const BROADCAST: u8 = 4;
const ERROR: u8 = 5;
const PACKAGE: u8 = 6;

#[cfg(test)]
mod tests {
    use bitcoin::Network;
    use bitcoin::constants::genesis_block;

    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let block = genesis_block(Network::Regtest);
        let (hash, transaction) = (block.block_hash(), block.txdata[0].clone());
        let place = BlockRef { height: BlockHeight(0x0102_0304), hash };
        for request in [
            Request::Tip,
            Request::Header(hash),
            Request::Block(hash),
            Request::Broadcast(transaction.clone()),
            Request::Package(Vec::new()),
            Request::Package(vec![transaction.clone(), transaction]),
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for answer in [
            Answer::Tip(place),
            Answer::Header(Header { block: place, previous: hash }),
            Answer::Block(block),
            Answer::Taken,
            Answer::Error(ChainErrorKind::Retry, String::new()),
            Answer::Error(ChainErrorKind::Refused, "why".to_owned()),
            Answer::Error(ChainErrorKind::Nonsense, "why".to_owned()),
            Answer::Error(ChainErrorKind::NotFound, "why".to_owned()),
            Answer::Error(ChainErrorKind::Rejected, "why".to_owned()),
            Answer::Error(ChainErrorKind::FeeTooLow, "why".to_owned()),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn nothing_may_be_missing_or_left_over() {
        let hash = genesis_block(Network::Regtest).block_hash();
        let place = BlockRef { height: BlockHeight(1), hash };
        let answer = Answer::Header(Header { block: place, previous: hash }).encode();
        for end in 0..answer.len() {
            assert_eq!(Answer::decode(&answer[..end]), Err(Malformed), "{end} bytes");
        }
        assert_eq!(Answer::decode(&[&answer[..], &[0]].concat()), Err(Malformed));
        let request = Request::Block(hash).encode();
        for end in 0..request.len() {
            assert_eq!(Request::decode(&request[..end]), Err(Malformed), "{end} bytes");
        }
        assert_eq!(Request::decode(&[&request[..], &[0]].concat()), Err(Malformed));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = format!("{}é", "x".repeat(MAX_REASON_BYTES - 1));
        let cut = "x".repeat(MAX_REASON_BYTES - 1);
        let answer = Answer::Error(ChainErrorKind::Rejected, long);
        let expected = Answer::Error(ChainErrorKind::Rejected, cut);
        assert_eq!(Answer::decode(&answer.encode()), Ok(expected));
    }
}
