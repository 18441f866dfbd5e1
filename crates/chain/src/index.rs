//! Which channels a block concerns: [`WatchIndex`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash, RandomState};

use bitcoin::{Block, OutPoint, Transaction, TxIn, Txid, Witness};
use lastword_types::{BlockHeight, ChannelId};

use crate::raw::RawBlock;
use crate::table::HandleTable;

/// The outpoints that channels watch, and the heights at which they must be looked at.
///
/// A block costs one look-up for each of its inputs, however many channels there are. It is filled
/// from the channels' cards at start, and `set` again whenever a card changes.
///
/// # Shape
///
/// At most one set of outpoints and one deadline for each channel. Several channels may watch one
/// outpoint. Answers are ordered by channel, and the same for every order of calls that leads to
/// the same contents. A channel with one outpoint and no deadline needs about 110 bytes.
///
/// # Examples
///
/// ```
/// use bitcoin::OutPoint;
/// use lastword_chain::WatchIndex;
/// use lastword_types::{BlockHeight, ChannelId};
///
/// let mut index = WatchIndex::new();
/// let channel = ChannelId([1; 32]);
/// index.set(channel, &[OutPoint::null()], Some(BlockHeight(700)));
/// assert_eq!(index.due(BlockHeight(699)), []);
/// assert_eq!(index.due(BlockHeight(700)), [channel]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct WatchIndex {
    rows: Vec<Row>,
    /// Rows that no channel has.
    free: Vec<u32>,
    /// Rows by channel.
    channels: HandleTable<u32>,
    /// Rows, and places in their outpoints, by outpoint.
    watchers: HandleTable<(u32, u32)>,
    deadlines: BTreeSet<(BlockHeight, ChannelId)>,
    /// Keyed at random, so that nobody can choose outpoints that fall together.
    hasher: RandomState,
}

/// What is kept of a channel.
#[derive(Debug, Clone)]
struct Row {
    channel_id: ChannelId,
    watched: Watched,
    deadline: Option<BlockHeight>,
}

/// What a channel watches: nearly always its funding output alone, which needs no allocation.
#[derive(Debug, Clone)]
enum Watched {
    One(OutPoint),
    Many(Box<[OutPoint]>),
}

impl Watched {
    /// Takes a list in any order; what stands twice counts once.
    fn new(watched: &[OutPoint]) -> Self {
        match watched {
            [one] => Self::One(*one),
            many => Self::Many(many.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()),
        }
    }

    fn as_slice(&self) -> &[OutPoint] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A transaction of a block that concerns a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its place in the block.
    pub place: usize,
    /// Its inputs that concern the channel, ascending.
    pub inputs: Vec<usize>,
}

impl Match {
    /// Returns what the channel has to see of the transaction: all of it but the witnesses of inputs
    /// that are nothing to the channel.
    ///
    /// The id is the same, for it does not cover witnesses; so what strangers put into theirs is not
    /// kept once for each channel.
    #[must_use]
    pub fn shown(&self, transaction: &Transaction) -> Transaction {
        let input = transaction.input.iter().enumerate().map(|(at, input)| {
            let concerns = self.inputs.binary_search(&at).is_ok();
            let witness = if concerns { input.witness.clone() } else { Witness::new() };
            TxIn { witness, script_sig: input.script_sig.clone(), ..*input }
        });
        Transaction {
            input: input.collect(),
            output: transaction.output.clone(),
            version: transaction.version,
            lock_time: transaction.lock_time,
        }
    }
}

/// A transaction of the block that concerns somebody: by which of its inputs, ascending, and whom.
struct Followed {
    concerned: Vec<(usize, ChannelId)>,
    has_one_input: bool,
}

impl Followed {
    /// Returns the channels that follow an output.
    fn of(&self, vout: u32) -> impl Iterator<Item = ChannelId> + '_ {
        // A place that does not fit is behind every input.
        let input = usize::try_from(vout).unwrap_or(usize::MAX);
        let all = self.concerned.as_slice();
        let range = if self.has_one_input {
            all
        } else {
            let start = all.partition_point(|(at, _)| *at < input);
            let end = all.partition_point(|(at, _)| *at <= input);
            all.get(start..end).unwrap_or_default()
        };
        range.iter().map(|(_, channel_id)| *channel_id)
    }
}

/// A block, for the index: what its transactions spend, in their order.
trait Spends {
    fn transaction_count(&self) -> usize;
    fn spends(&self, place: usize) -> impl Iterator<Item = OutPoint>;
    fn txid(&self, place: usize) -> Option<Txid>;
}

impl Spends for RawBlock {
    fn transaction_count(&self) -> usize {
        self.transaction_count()
    }

    fn spends(&self, place: usize) -> impl Iterator<Item = OutPoint> {
        self.spends(place)
    }

    fn txid(&self, place: usize) -> Option<Txid> {
        self.txid(place)
    }
}

impl Spends for Block {
    fn transaction_count(&self) -> usize {
        self.txdata.len()
    }

    fn spends(&self, place: usize) -> impl Iterator<Item = OutPoint> {
        let inputs = self.txdata.get(place).map_or(&[][..], |transaction| &transaction.input);
        inputs.iter().map(|input| input.previous_output)
    }

    fn txid(&self, place: usize) -> Option<Txid> {
        self.txdata.get(place).map(Transaction::compute_txid)
    }
}

impl WatchIndex {
    /// Makes an index that watches nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what is watched for a channel.
    ///
    /// # Shape
    ///
    /// `watched` in any order; what stands twice counts once. `deadline` is the height of the tip
    /// at which [`WatchIndex::due`] names the channel.
    pub fn set(
        &mut self,
        channel_id: ChannelId,
        watched: &[OutPoint],
        deadline: Option<BlockHeight>,
    ) {
        self.remove(channel_id);
        let row = Row { channel_id, watched: Watched::new(watched), deadline };
        let handle = self.claim_row(row);
        let hasher = &self.hasher;
        let hash = hasher.hash_one(channel_id);
        self.channels.insert(hash, handle, |other| {
            hash_or_zero(hasher, self.rows.get(other as usize).map(|row| row.channel_id))
        });
        let outpoints = self.rows.get(handle as usize).map(|row| row.watched.as_slice());
        for (place, outpoint) in (0..).zip(outpoints.unwrap_or_default()) {
            self.watchers.insert(hasher.hash_one(outpoint), (handle, place), |other| {
                hash_or_zero(hasher, outpoint_at(&self.rows, other))
            });
        }
        if let Some(height) = deadline {
            self.deadlines.insert((height, channel_id));
        }
    }

    /// Puts a row where there is room.
    fn claim_row(&mut self, row: Row) -> u32 {
        let free = self.free.pop();
        if let Some((handle, place)) =
            free.and_then(|handle| Some((handle, self.rows.get_mut(handle as usize)?)))
        {
            *place = row;
            return handle;
        }
        let handle =
            u32::try_from(self.rows.len()).expect("fewer than 2^32 channels fit in memory");
        self.rows.push(row);
        handle
    }

    /// Forgets a channel; nothing happens if the index does not have it.
    pub fn remove(&mut self, channel_id: ChannelId) {
        let Some(handle) = self.handle_of(channel_id) else { return };
        let Some(row) = self.rows.get_mut(handle as usize) else { return };
        let watched = core::mem::replace(&mut row.watched, Watched::Many(Box::default()));
        if let Some(height) = row.deadline {
            self.deadlines.remove(&(height, channel_id));
        }
        self.channels.remove(self.hasher.hash_one(channel_id), |other| other == handle);
        for (place, outpoint) in (0..).zip(watched.as_slice()) {
            let hash = self.hasher.hash_one(outpoint);
            self.watchers.remove(hash, |other| other == (handle, place));
        }
        self.free.push(handle);
    }

    fn handle_of(&self, channel_id: ChannelId) -> Option<u32> {
        self.channels.candidates(self.hasher.hash_one(channel_id)).find(|handle| {
            self.rows.get(*handle as usize).is_some_and(|row| row.channel_id == channel_id)
        })
    }

    /// Returns, for each channel that the block concerns, which of its transactions do.
    ///
    /// A transaction concerns a channel if it spends what the channel watches, or an output of a
    /// transaction of this block that follows from that: every output of a transaction with one
    /// input, and of one with several the output at the place of an input that concerns the channel.
    /// That is all there is to follow. Commitments have one input; where HTLC transactions are
    /// gathered into one, each input's signature ties it to the output at its place.
    ///
    /// So an input hands a transaction to the watchers of one outpoint at most, and a block costs
    /// what its inputs are, however a stranger weaves them.
    ///
    /// # Shape
    ///
    /// In block order, each transaction once. A block that concerns nobody gives nothing.
    ///
    /// Source: BOLT 3, "HTLC-Timeout and HTLC-Success Transactions": `SIGHASH_SINGLE`.
    pub fn matches(&self, block: &RawBlock) -> BTreeMap<ChannelId, Vec<Match>> {
        self.matches_in(block)
    }

    /// Does what [`matches`](Self::matches) does, in a block that is already decoded.
    pub fn matches_decoded(&self, block: &Block) -> BTreeMap<ChannelId, Vec<Match>> {
        self.matches_in(block)
    }

    fn matches_in(&self, block: &impl Spends) -> BTreeMap<ChannelId, Vec<Match>> {
        let mut found: BTreeMap<ChannelId, Vec<Match>> = BTreeMap::new();
        let mut followed: BTreeMap<Txid, Followed> = BTreeMap::new();
        // The coinbase spends nothing.
        for place in 1..block.transaction_count() {
            let mut concerned = Vec::new();
            let mut input_count = 0;
            for (input, outpoint) in (0..).zip(block.spends(place)) {
                let start = concerned.len();
                concerned.extend(self.watchers_of(&outpoint).map(|channel_id| (input, channel_id)));
                if !followed.is_empty()
                    && let Some(parent) = followed.get(&outpoint.txid)
                {
                    concerned
                        .extend(parent.of(outpoint.vout).map(|channel_id| (input, channel_id)));
                    let from_input = concerned.split_off(start);
                    concerned.extend(from_input.into_iter().collect::<BTreeSet<_>>());
                }
                input_count = input + 1;
            }
            if concerned.is_empty() {
                continue;
            }
            for (input, channel_id) in &concerned {
                let matches = found.entry(*channel_id).or_default();
                match matches.last_mut().filter(|last| last.place == place) {
                    Some(last) => last.inputs.push(*input),
                    None => matches.push(Match { place, inputs: vec![*input] }),
                }
            }
            if let Some(txid) = block.txid(place) {
                followed.insert(txid, Followed { concerned, has_one_input: input_count == 1 });
            }
        }
        found
    }

    /// Returns the channels that watch an output which a transaction spends, in order.
    pub fn concerned_by(&self, transaction: &Transaction) -> BTreeSet<ChannelId> {
        let spends = transaction.input.iter().map(|input| input.previous_output);
        spends.flat_map(|outpoint| self.watchers_of(&outpoint).collect::<Vec<_>>()).collect()
    }

    fn watchers_of(&self, outpoint: &OutPoint) -> impl Iterator<Item = ChannelId> + '_ {
        let outpoint = *outpoint;
        let candidates = self.watchers.candidates(self.hasher.hash_one(outpoint));
        candidates.filter_map(move |handle| {
            let is_it = outpoint_at(&self.rows, handle) == Some(outpoint);
            self.rows.get(handle.0 as usize).filter(|_| is_it).map(|row| row.channel_id)
        })
    }

    /// Returns the channels whose deadline is this height or lower, the earliest first.
    ///
    /// They stay due until `set` gives them another deadline.
    pub fn due(&self, height: BlockHeight) -> Vec<ChannelId> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= height);
        due.map(|(_, channel_id)| *channel_id).collect()
    }

    /// Returns the earliest deadline there is.
    pub fn next_deadline(&self) -> Option<BlockHeight> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Returns how many channels the index has.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Says whether the index has no channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns about how many bytes of memory it takes.
    pub fn heap_bytes(&self) -> usize {
        let lists = self.rows.iter().map(|row| match &row.watched {
            Watched::One(_) => 0,
            Watched::Many(many) => size_of_val::<[OutPoint]>(many),
        });
        self.rows.capacity() * size_of::<Row>()
            + lists.sum::<usize>()
            + self.free.capacity() * size_of::<u32>()
            + self.channels.heap_bytes()
            + self.watchers.heap_bytes()
            // Nodes of such a set are two thirds full.
            + self.deadlines.len() * size_of::<(BlockHeight, ChannelId)>() * 3 / 2
    }
}

/// Returns the outpoint that a watcher's handle stands for.
fn outpoint_at(rows: &[Row], (row, place): (u32, u32)) -> Option<OutPoint> {
    rows.get(row as usize)?.watched.as_slice().get(place as usize).copied()
}

/// Hashes a key; every handle of a table has one.
fn hash_or_zero(hasher: &RandomState, key: Option<impl Hash>) -> u64 {
    key.map_or(0, |key| hasher.hash_one(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_channels_that_were_removed() {
        let mut index = WatchIndex::new();
        let outpoint = OutPoint::null();
        for byte in 0..3 {
            index.set(ChannelId([byte; 32]), &[outpoint, outpoint], Some(BlockHeight(7)));
        }
        assert_eq!(index.watchers.len(), 3);
        for byte in 0..3 {
            index.remove(ChannelId([byte; 32]));
        }
        assert_eq!(index.watchers.len(), 0);
        assert!(index.deadlines.is_empty());
        assert!(index.is_empty());
        index.set(ChannelId([9; 32]), &[outpoint], None);
        assert_eq!(index.rows.len(), 3, "the rows of others are used again");
    }
}
