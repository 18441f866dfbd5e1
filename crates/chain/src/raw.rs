//! A block as its bytes: [`RawBlock`].
//!
//! ```text
//! header [80] · count · transactions
//!
//! transaction:  version [4] · (0x00 0x01)? · inputs · outputs · witnesses? · lock time [4]
//!               └ start     └ marker         └ body              └ witness     end ┘
//! ```

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxMerkleNode, Txid, merkle_tree};

/// The most bytes of a block: its weight is at most 4,000,000, and a byte weighs at least one.
///
/// Source: BIP 141, block size.
pub const MAX_BLOCK_BYTES: usize = 4_000_000;

const HEADER_BYTES: usize = 80;
const OUTPOINT_BYTES: usize = 36;

/// A block as its bytes, walked once: where its transactions lie and what they spend.
///
/// No transaction is built before somebody asks for it, so a block that concerns nobody costs the
/// walk and nothing else.
///
/// # Shape
///
/// At most [`MAX_BLOCK_BYTES`]. Takes the same bytes as `bitcoin`'s own decoder, no more and no
/// less. Twenty bytes for each transaction and four for each input are kept beside the bytes.
///
/// # Examples
///
/// ```
/// use bitcoin::Network;
/// use bitcoin::consensus::serialize;
/// use bitcoin::constants::genesis_block;
/// use lastword_chain::RawBlock;
///
/// let genesis = genesis_block(Network::Bitcoin);
/// let raw = RawBlock::parse(serialize(&genesis))?;
/// assert_eq!(raw.block_hash(), genesis.block_hash());
/// assert_eq!(raw.transaction(0)?, genesis.txdata[0]);
/// assert!(raw.has_committed_transactions());
/// # Ok::<(), lastword_chain::Undecodable>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RawBlock {
    bytes: Vec<u8>,
    header: Header,
    transactions: Vec<Span>,
    /// Where the outpoints lie that the inputs spend, of all transactions in their order.
    spends: Vec<u32>,
}

/// Where a transaction lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    /// The count of inputs, behind the marker where there is one.
    body: u32,
    /// The end of the outputs.
    witness: u32,
    end: u32,
    /// The end of its inputs in the block's list of spends.
    spends_end: u32,
}

/// Bytes that are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no block: what stands at byte {at} cannot be there")]
pub struct Undecodable {
    /// Where the walk stopped.
    pub at: usize,
}

impl core::fmt::Debug for RawBlock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RawBlock")
            .field("hash", &self.block_hash())
            .field("bytes", &self.bytes.len())
            .field("transactions", &self.transactions.len())
            .finish_non_exhaustive()
    }
}

impl RawBlock {
    /// Walks the bytes of a block once.
    ///
    /// Whether the transactions are those of the header is another question:
    /// [`has_committed_transactions`](Self::has_committed_transactions).
    ///
    /// # Errors
    ///
    /// [`Undecodable`], for anything that `bitcoin` would not decode whole.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Undecodable> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(Undecodable { at: MAX_BLOCK_BYTES });
        }
        let mut walk = Walk { bytes: &bytes, at: 0 };
        let walked = walk.block();
        let at = walk.at;
        let (header, transactions, spends) = walked.ok_or(Undecodable { at })?;
        Ok(Self { bytes, header, transactions, spends })
    }

    /// Takes a block that is already decoded.
    ///
    /// # Errors
    ///
    /// [`Undecodable`], if it is larger than a block may be.
    pub fn from_block(block: &Block) -> Result<Self, Undecodable> {
        Self::parse(bitcoin::consensus::serialize(block))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the hash of the header.
    pub fn block_hash(&self) -> BlockHash {
        self.header.block_hash()
    }

    /// Returns how many transactions there are, with the coinbase.
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    /// Returns the outpoints that the transaction at `place` spends; none if there is none.
    pub fn spends(&self, place: usize) -> impl Iterator<Item = OutPoint> + '_ {
        let upto = |place: usize| self.transactions.get(place).map(|span| span.spends_end as usize);
        let end = upto(place).unwrap_or(0);
        let start = place.checked_sub(1).and_then(upto).unwrap_or(0);
        let places = self.spends.get(start..end).unwrap_or_default();
        places.iter().filter_map(|at| self.outpoint(*at as usize))
    }

    fn outpoint(&self, at: usize) -> Option<OutPoint> {
        let bytes = self.bytes.get(at..at + OUTPOINT_BYTES)?;
        let (txid, vout) = bytes.split_first_chunk::<32>()?;
        let vout = u32::from_le_bytes(*vout.first_chunk()?);
        Some(OutPoint { txid: Txid::from_byte_array(*txid), vout })
    }

    /// Builds the transaction at `place`.
    ///
    /// # Errors
    ///
    /// [`Undecodable`], if there is no such place.
    pub fn transaction(&self, place: usize) -> Result<Transaction, Undecodable> {
        let span = self.transactions.get(place);
        let [start, end] =
            span.map_or([self.bytes.len(); 2], |span| [span.start, span.end].map(|at| at as usize));
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        deserialize(bytes).map_err(|_| Undecodable { at: start })
    }

    /// Returns the id of the transaction at `place`, of its bytes without witnesses.
    pub fn txid(&self, place: usize) -> Option<Txid> {
        let Span { start, body, witness, end, .. } = *self.transactions.get(place)?;
        let [start, body, witness, end] = [start, body, witness, end].map(|at| at as usize);
        let mut engine = Txid::engine();
        for range in [start..start + 4, body..witness, end.checked_sub(4)?..end] {
            engine.input(self.bytes.get(range)?);
        }
        Some(Txid::from_engine(engine))
    }

    /// Checks the merkle root, and that no transaction stands twice: a list with its end repeated
    /// may have the same root (CVE-2012-2459).
    ///
    /// Hashes every transaction, which costs several times the walk; whoever does not trust the
    /// source of the bytes needs it.
    pub fn has_committed_transactions(&self) -> bool {
        let places = 0..self.transactions.len();
        let mut txids: Vec<sha256d::Hash> =
            places.filter_map(|place| self.txid(place)).map(Txid::to_raw_hash).collect();
        let root = merkle_tree::calculate_root(txids.iter().copied());
        txids.sort_unstable();
        root.map(TxMerkleNode::from) == Some(self.header.merkle_root)
            && txids.is_sorted_by(|one, next| one < next)
    }
}

/// What a walk found: the header, the transactions and what they spend.
type Walked = (Header, Vec<Span>, Vec<u32>);

/// The walk over a block's bytes. `None` means that what stands at `at` cannot be there.
struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Walk<'b> {
    fn block(&mut self) -> Option<Walked> {
        let header = deserialize(self.take(HEADER_BYTES)?).ok()?;
        let count = self.compact_size()?;
        let (mut transactions, mut spends) = (Vec::new(), Vec::new());
        for _ in 0..count {
            transactions.push(self.transaction(&mut spends)?);
        }
        (self.at == self.bytes.len()).then_some((header, transactions, spends))
    }

    fn transaction(&mut self, spends: &mut Vec<u32>) -> Option<Span> {
        let start = self.place()?;
        self.skip(4)?;
        // No inputs, and a flag where their outputs would be: what follows has witnesses (BIP 144).
        let has_witnesses = match self.bytes.get(self.at..)? {
            [0, 1, ..] => true,
            [0, ..] => return None,
            _ => false,
        };
        if has_witnesses {
            self.skip(2)?;
        }
        let body = self.place()?;
        let inputs = self.compact_size()?;
        for _ in 0..inputs {
            spends.push(self.place()?);
            self.skip(OUTPOINT_BYTES)?;
            self.skip_bytes()?;
            self.skip(4)?;
        }
        for _ in 0..self.compact_size()? {
            self.skip(8)?;
            self.skip_bytes()?;
        }
        let witness = self.place()?;
        if has_witnesses {
            self.witnesses(inputs)?;
        }
        self.skip(4)?;
        let spends_end = u32::try_from(spends.len()).ok()?;
        Some(Span { start, body, witness, end: self.place()?, spends_end })
    }

    /// Walks the witnesses of so many inputs; not all of them may be empty.
    fn witnesses(&mut self, inputs: u64) -> Option<()> {
        let mut is_any = inputs == 0;
        for _ in 0..inputs {
            let elements = self.compact_size()?;
            is_any |= elements > 0;
            for _ in 0..elements {
                self.skip_bytes()?;
            }
        }
        is_any.then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// Skips a count and as many bytes.
    fn skip_bytes(&mut self) -> Option<()> {
        let count = self.compact_size()?;
        self.skip(usize::try_from(count).ok()?)
    }

    /// Reads a number that must be written in as few bytes as it can be.
    fn compact_size(&mut self) -> Option<u64> {
        let (value, least) = match *self.take(1)?.first()? {
            0xFD => (u64::from(u16::from_le_bytes(*self.take(2)?.first_chunk()?)), 0xFD),
            0xFE => (u64::from(u32::from_le_bytes(*self.take(4)?.first_chunk()?)), 0x1_0000),
            0xFF => (u64::from_le_bytes(*self.take(8)?.first_chunk()?), 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        (value >= least).then_some(value)
    }

    fn place(&self) -> Option<u32> {
        u32::try_from(self.at).ok()
    }
}
