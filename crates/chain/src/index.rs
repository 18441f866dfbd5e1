//! Which channels a block concerns: [`WatchIndex`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bitcoin::{Block, OutPoint, Transaction, Txid};
use lastword_types::{BlockHeight, ChannelId};

/// The outpoints that channels watch, and the heights at which they must be looked at.
///
/// A block costs one look-up for each of its inputs, however many channels there are. It is filled
/// from the channels' cards at start, and `set` again whenever a card changes.
///
/// # Shape
///
/// At most one set of outpoints and one deadline for each channel. Several channels may watch one
/// outpoint. Answers are ordered by channel, and the same for every order of calls that leads to
/// the same contents.
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
    /// Only looked up in, never iterated: the order of a hash map reaches nobody.
    watchers: HashMap<OutPoint, Watchers>,
    channels: BTreeMap<ChannelId, Watched>,
    deadlines: BTreeSet<(BlockHeight, ChannelId)>,
}

/// Who watches an outpoint: nearly always one channel, which needs no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watchers {
    One(ChannelId),
    Many(BTreeSet<ChannelId>),
}

#[derive(Debug, Clone)]
struct Watched {
    outpoints: Box<[OutPoint]>,
    deadline: Option<BlockHeight>,
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
        for outpoint in watched {
            self.watch(*outpoint, channel_id);
        }
        if let Some(height) = deadline {
            self.deadlines.insert((height, channel_id));
        }
        self.channels.insert(channel_id, Watched { outpoints: watched.into(), deadline });
    }

    /// Forgets a channel; nothing happens if the index does not have it.
    pub fn remove(&mut self, channel_id: ChannelId) {
        let Some(Watched { outpoints, deadline }) = self.channels.remove(&channel_id) else {
            return;
        };
        for outpoint in outpoints {
            self.unwatch(outpoint, channel_id);
        }
        if let Some(height) = deadline {
            self.deadlines.remove(&(height, channel_id));
        }
    }

    fn watch(&mut self, outpoint: OutPoint, channel_id: ChannelId) {
        match self.watchers.entry(outpoint) {
            Entry::Vacant(entry) => {
                entry.insert(Watchers::One(channel_id));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Watchers::One(other) if *other == channel_id => {}
                Watchers::One(other) => {
                    let both = BTreeSet::from([*other, channel_id]);
                    entry.insert(Watchers::Many(both));
                }
                Watchers::Many(many) => {
                    many.insert(channel_id);
                }
            },
        }
    }

    fn unwatch(&mut self, outpoint: OutPoint, channel_id: ChannelId) {
        let Entry::Occupied(mut entry) = self.watchers.entry(outpoint) else { return };
        let is_last = match entry.get_mut() {
            Watchers::One(other) => *other == channel_id,
            Watchers::Many(many) => {
                many.remove(&channel_id);
                many.is_empty()
            }
        };
        if is_last {
            entry.remove();
        }
    }

    /// Returns, for each channel that the block concerns, which of its transactions do.
    ///
    /// A transaction concerns a channel if it spends what the channel watches, or an output of a
    /// transaction of this block that concerns the channel. So what follows from a spend within
    /// one block is all there, and sometimes a transaction more that only spends the change of
    /// another: who is told must be able to ignore it.
    ///
    /// # Shape
    ///
    /// Places in the block, ascending, each once. A block that concerns nobody gives nothing.
    pub fn matches(&self, block: &Block) -> BTreeMap<ChannelId, Vec<usize>> {
        let mut found: BTreeMap<ChannelId, Vec<usize>> = BTreeMap::new();
        let mut followed: BTreeMap<Txid, BTreeSet<ChannelId>> = BTreeMap::new();
        // The coinbase spends nothing.
        for (place, transaction) in block.txdata.iter().enumerate().skip(1) {
            let concerned = self.concerned(transaction, &followed);
            if concerned.is_empty() {
                continue;
            }
            for channel_id in &concerned {
                found.entry(*channel_id).or_default().push(place);
            }
            followed.insert(transaction.compute_txid(), concerned);
        }
        found
    }

    fn concerned(
        &self,
        transaction: &Transaction,
        followed: &BTreeMap<Txid, BTreeSet<ChannelId>>,
    ) -> BTreeSet<ChannelId> {
        let mut concerned = BTreeSet::new();
        for input in &transaction.input {
            match self.watchers.get(&input.previous_output) {
                None => {}
                Some(Watchers::One(channel_id)) => {
                    concerned.insert(*channel_id);
                }
                Some(Watchers::Many(many)) => concerned.extend(many),
            }
            if let Some(channels) = followed.get(&input.previous_output.txid) {
                concerned.extend(channels);
            }
        }
        concerned
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
        self.channels.is_empty()
    }
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
        assert_eq!(index.watchers.len(), 1);
        for byte in 0..3 {
            index.remove(ChannelId([byte; 32]));
        }
        assert!(index.watchers.is_empty());
        assert!(index.deadlines.is_empty());
        assert!(index.is_empty());
    }
}
