//! Channels that were set apart and can be read again: they are shown the blocks that they missed.
//!
//! ```text
//!   damaged ──► a note in the chain's stream: which channel, and the tip that it has seen
//!                   │
//!   sound again at a later start ──► every block since, for this channel alone ──► a note that it is back
//! ```
//!
//! The tip goes on without a channel that is set apart. Its bytes may be put back, or a disk may have
//! failed to read them only once; without the note, nobody would ever look at the blocks between.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use lastword_chain::{Step, Tracker};
use lastword_ports::{Frame, Lsn, Stream};
use lastword_types::{
    BlockHeight, BlockRef, BookEpoch, Card, ChainDelta, ChainTip, ChannelId, MonitorRecord,
    UpdateId,
};
use lastword_wire as wire;

use crate::driver::Driver;
use crate::error::EngineError;
use crate::logs::{LogKind, Logs};
use crate::stage::{Batch, Entry};

/// What is remembered of channels that are, or were, set apart.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    /// Those of which a note says so.
    noted: BTreeSet<ChannelId>,
    /// Those of them that can be read again, with the tip that they had seen.
    behind: BTreeMap<ChannelId, ChainTip>,
}

impl Driver {
    /// Takes the notes of earlier starts in, once the damaged channels are known as far as cards
    /// tell.
    pub(crate) fn read_notes(&mut self) -> Result<(), EngineError> {
        let (notes, last) = read(&self.logs)?;
        for (channel_id, tip) in notes {
            self.apart.noted.insert(channel_id);
            // One that cannot be read after all is set apart when it is shown the first block.
            if !self.channels.is_damaged(channel_id) && self.channels.contains(channel_id) {
                self.apart.behind.insert(channel_id, tip);
            }
        }
        let damaged: Vec<ChannelId> = self.channels.damaged().collect();
        for channel_id in damaged {
            self.note_apart(channel_id)?;
        }
        match last {
            Some(last) if self.apart.noted.is_empty() => {
                Ok(self.logs.forget(Stream::Chain, last)?)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes that a channel is set apart from here on. It is in the log before any later tip.
    pub(crate) fn note_apart(&mut self, channel_id: ChannelId) -> Result<(), EngineError> {
        self.apart.behind.remove(&channel_id);
        if self.apart.noted.contains(&channel_id) {
            return Ok(());
        }
        let tip = self.tracker.chain_tip();
        self.write_note(channel_id, true, &tip)?;
        self.apart.noted.insert(channel_id);
        Ok(())
    }

    /// Shows every channel that is back the blocks that it missed.
    pub(crate) fn rescan(&mut self) -> Result<(), EngineError> {
        while let Some((channel_id, tip)) = self.apart.behind.pop_first() {
            let rescanned = self.rescan_one(channel_id, &tip);
            if self.channels.is_damaged(channel_id) {
                continue;
            }
            if let Err(error) = rescanned {
                self.apart.behind.insert(channel_id, tip);
                return Err(error);
            }
            let tip = self.tracker.chain_tip();
            self.write_note(channel_id, false, &tip)?;
            self.apart.noted.remove(&channel_id);
        }
        Ok(())
    }

    fn rescan_one(&mut self, channel_id: ChannelId, tip: &ChainTip) -> Result<(), EngineError> {
        if self.channels.is_archived(channel_id) {
            return Ok(());
        }
        self.warm(channel_id)?;
        let mut tracker = Tracker::new(tip.clone());
        while tracker.tip() != self.tip() {
            let Some(step) = tracker.next_step(&mut *self.source)? else { break };
            // What comes behind our tip is followed with all the others.
            let is_beyond = |block: &BlockRef| block.height > self.tip().height;
            if matches!(&step, Step::Connected { block, .. } if is_beyond(block)) {
                break;
            }
            if let Some(entry) = self.own_entry(channel_id, &step)? {
                self.submit(Batch { entries: vec![entry], tip: None })?;
            }
            tracker.accept(&step);
        }
        Ok(())
    }

    /// Returns what a step brings to one channel.
    fn own_entry(
        &mut self,
        channel_id: ChannelId,
        step: &Step,
    ) -> Result<Option<Entry>, EngineError> {
        match step {
            Step::Connected { block, body } => {
                let entries = self.connected(*block, body)?.into_iter();
                let is_own =
                    |entry: &Entry| matches!(entry, Entry::Monitor(of, _) if *of == channel_id);
                Ok(entries.into_iter().find(is_own))
            }
            Step::Disconnected { fork } => {
                self.warm(channel_id)?;
                let synced_to = self.channels.get(channel_id)?.monitor.card().synced_to;
                let delta = MonitorRecord::Chain(ChainDelta::Disconnected { fork: *fork });
                let is_above = synced_to.height > fork.height;
                Ok(is_above.then_some(Entry::Monitor(channel_id, delta)))
            }
        }
    }

    /// Writes which channel it is about, and whether it is set apart, behind a tip.
    fn write_note(
        &mut self,
        channel_id: ChannelId,
        is_apart: bool,
        tip: &ChainTip,
    ) -> Result<(), EngineError> {
        let note = note(channel_id, is_apart, tip.best);
        let bodies = [wire::encode_chain_tip(tip), wire::encode_card(&note)];
        let frames: Vec<Frame<'_>> =
            bodies.iter().map(|body| Frame::Record { stream: Stream::Chain, body }).collect();
        self.logs.append(LogKind::Monitors, &frames)?;
        Ok(())
    }
}

/// A note has the shape of a card: whose it is, the block, and whether the channel is set apart.
fn note(channel_id: ChannelId, is_apart: bool, synced_to: BlockRef) -> Card {
    Card {
        channel_id,
        latest_update: UpdateId(0),
        watched: Vec::new(),
        next_deadline: None::<BlockHeight>,
        has_undelivered: is_apart,
        is_closed: false,
        has_claims: false,
        synced_to,
        covers: 0,
        is_archived: false,
        pruned_behind: BookEpoch::ZERO,
    }
}

type Notes = BTreeMap<ChannelId, ChainTip>;

/// Reads which channels were set apart and are not back, each with the tip that it had seen, and
/// where the last note lies.
fn read(logs: &Logs) -> Result<(Notes, Option<Lsn>), EngineError> {
    let (mut notes, mut tip, mut last, mut failure) = (Notes::new(), None, None, None);
    logs.store(Stream::Chain).replay(Stream::Chain, None, &mut |lsn, body| {
        last = Some(lsn);
        if let Ok(of_note) = wire::decode_chain_tip(body) {
            tip = Some(of_note);
            return ControlFlow::Continue(());
        }
        match (wire::decode_card(body), &tip) {
            (Ok(note), Some(tip)) if note.has_undelivered => {
                notes.entry(note.channel_id).or_insert_with(|| tip.clone());
            }
            (Ok(note), _) => drop(notes.remove(&note.channel_id)),
            (Err(source), _) => {
                let what = "a note of a channel that was set apart";
                failure = Some(EngineError::Bytes { what, source });
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failure.map_or(Ok((notes, last)), Err)
}
