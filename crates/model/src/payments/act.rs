//! [`Act`]: everything that may happen next, and what it makes of a state.

use super::plan::Finding;
use super::state::{
    Broken, Extra, State, World, channel_of, generation_of, has_bit, htlc, htlcs_of,
};
use crate::disk::{
    CHANNELS, EMPTY, Entry, HTLCS, Image, PARTS, Phase, Slot, Told, Verdict, View, stores,
};
use crate::rules::{Mode, Rule};
use crate::truth::{Fate, Turn};

/// A step of a world of payments; an `htlc` is `3 * generation + part`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Send,
    AppendParts { generation: u8 },
    AppendPart { htlc: u8 },
    Leave { htlc: u8 },
    Peer { htlc: u8, turn: Turn },
    Observe { htlc: u8 },
    Sync { store: u8 },
    Retry { generation: u8 },
    Rebuild { generation: u8 },
    Decide { generation: u8 },
    Recompute { generation: u8 },
    TellPath { htlc: u8 },
    Tell { generation: u8 },
    HandlerReturns { generation: u8 },
    Adopt { generation: u8 },
    Release { channel: u8, generation: u8 },
    Drop { generation: u8 },
    Prune { htlc: u8 },
    DrawEpoch,
    EnterEpoch,
    ForgetTombstones { channel: u8 },
    Archive { channel: u8 },
    Repair,
    Crash { book: Option<u8>, damaged: Option<u8> },
}

impl Act {
    /// Says whether no rule may rely on it.
    pub(crate) const fn is_fault(self) -> bool {
        matches!(self, Self::Crash { .. })
            || matches!(self, Self::Peer { turn, .. } if turn.is_fault())
    }
}

impl World {
    /// Names every step that could be possible; [`World::step`] refuses those that are not.
    pub(crate) fn acts(&self, state: &State, acts: &mut Vec<Act>) {
        acts.push(Act::Send);
        acts.extend((0..stores(self.mode)).map(|store| Act::Sync { store }));
        for generation in 0..state.next_generation {
            acts.extend([
                Act::AppendParts { generation },
                Act::Retry { generation },
                Act::Rebuild { generation },
                Act::Decide { generation },
                Act::Recompute { generation },
                Act::Tell { generation },
                Act::HandlerReturns { generation },
                Act::Adopt { generation },
                Act::Drop { generation },
            ]);
            acts.extend((0..CHANNELS).map(|channel| Act::Release { channel, generation }));
            for htlc in htlcs_of(generation) {
                acts.extend([Act::AppendPart { htlc }, Act::Leave { htlc }]);
                acts.extend([Act::Observe { htlc }, Act::TellPath { htlc }, Act::Prune { htlc }]);
                acts.extend(Turn::ALL.map(|turn| Act::Peer { htlc, turn }));
            }
        }
        acts.extend([Act::DrawEpoch, Act::EnterEpoch, Act::Repair]);
        for channel in 0..CHANNELS {
            acts.extend([Act::ForgetTombstones { channel }, Act::Archive { channel }]);
        }
        let books = 0..u8::try_from(state.disk.history.len()).unwrap_or(u8::MAX);
        let mut books: Vec<Option<u8>> = books.map(Some).collect();
        if books.is_empty() {
            books.push(None);
        }
        for book in books {
            acts.push(Act::Crash { book, damaged: None });
            if self.has(Extra::Damage) {
                let damaged = (0..CHANNELS).map(Some);
                acts.extend(damaged.map(|damaged| Act::Crash { book, damaged }));
            }
        }
    }

    /// Returns what a step makes of a state, if it is possible.
    pub(crate) fn step(&self, state: &State, act: Act) -> Option<State> {
        match act {
            Act::Send => self.send(state),
            Act::AppendParts { generation } => self.append_parts(state, generation),
            Act::AppendPart { htlc } => self.append_part(state, htlc),
            Act::Leave { htlc } => self.leave(state, htlc),
            Act::Peer { htlc, turn } => self.peer(state, htlc, turn),
            Act::Observe { htlc } => self.observe(state, htlc),
            Act::Sync { store } => self.sync(state, store),
            Act::Retry { generation } => self.retry(state, generation),
            Act::Rebuild { generation } => self.rebuild(state, generation),
            Act::Decide { generation } => self.decide(state, generation),
            Act::Recompute { generation } => self.recompute(state, generation),
            Act::TellPath { htlc } => self.tell_path(state, htlc),
            Act::Tell { generation } => self.tell(state, generation),
            Act::HandlerReturns { generation } => self.handler_returns(state, generation),
            Act::Adopt { generation } => self.adopt(state, generation),
            Act::Release { channel, generation } => self.release(state, channel, generation),
            Act::Drop { generation } => self.drop(state, generation),
            Act::Prune { htlc } => self.prune(state, htlc),
            Act::DrawEpoch => self.draw_epoch(state),
            Act::EnterEpoch => self.enter_epoch(state),
            Act::ForgetTombstones { channel } => self.forget(state, channel),
            Act::Archive { channel } => self.archive(state, channel),
            Act::Repair => {
                state.damaged?;
                Some(State { damaged: None, ..state.clone() })
            }
            Act::Crash { book, damaged } => self.crash(state, book, damaged),
        }
    }

    fn append(&self, mut state: State, change: impl FnOnce(&mut Image)) -> Option<State> {
        state.disk.append((self.mode, self.tail), change)?;
        Some(state)
    }

    fn set_phase(&self, state: State, generation: u8, phase: Phase) -> Option<State> {
        let id = usize::from(self.id_of(generation));
        self.append(state, |image| image.book.slots[id].phase = phase)
    }

    /// Returns the book's slot if it is about this very generation and waits for nothing.
    fn own_slot(&self, state: &State, generation: u8) -> Option<Slot> {
        let slot = self.slot(state, View::Memory, generation)?;
        let is_running = state.running[usize::from(generation)].is_some();
        (slot.generation == generation && !is_running).then_some(slot)
    }

    fn send(&self, state: &State) -> Option<State> {
        let generation = state.next_generation;
        let is_last = generation >= self.generations();
        if is_last || !self.is_free(state, generation) || self.is_old(state) {
            return None;
        }
        let mut next = state.clone();
        next.labels[usize::from(generation)] = self.label(state, generation);
        next.next_generation += 1;
        next.sending |= 1 << generation;
        if self.mode == Mode::AnyBook {
            next.fresh |= 1 << generation;
        }
        if !self.rules.has(Rule::R1Intent) {
            next.accepted |= 1 << generation;
        }
        let id = usize::from(self.id_of(generation));
        let slot = Slot { generation, phase: Phase::Pending, ..EMPTY };
        self.append(next, |image| image.book.slots[id] = slot)
    }

    /// Returns the parts that the sender may append, once R1 allows it.
    fn sendable(&self, state: &State, generation: u8) -> Option<Vec<u8>> {
        let slot = self.own_slot(state, generation)?;
        let durable = self.slot(state, View::Durable, generation);
        let is_intended = durable.is_some_and(|durable| {
            durable.generation == generation && durable.is_retried == slot.is_retried
        });
        let is_wanted = slot.phase == Phase::Pending
            && self.finding(state, View::Memory, generation) != Finding::Is(Told::Sent);
        let is_late = slot.is_retried && !self.rules.has(Rule::R5NoRetry);
        if !has_bit(state.sending, generation)
            || !is_intended && self.rules.has(Rule::R1Intent)
            || !is_wanted && !is_late
        {
            return None;
        }
        let parts = if slot.is_retried { 2..3 } else { 0..self.parts[usize::from(generation)] };
        Some(parts.map(|part| htlc(generation, part)).collect())
    }

    fn append_parts(&self, state: &State, generation: u8) -> Option<State> {
        if !self.rules.has(Rule::R1OneAppend) {
            return None;
        }
        let htlcs = self.sendable(state, generation)?;
        let mut next = state.clone();
        next.sending &= !(1 << generation);
        let open = |htlc: &u8| !self.is_archived(state, channel_of(*htlc));
        let htlcs: Vec<u8> = htlcs.into_iter().filter(open).collect();
        self.note_late_retry(&mut next, generation, &htlcs);
        if htlcs.is_empty() {
            return Some(next);
        }
        self.append(next, |image| htlcs.iter().for_each(|htlc| open_entry(image, *htlc)))
    }

    fn append_part(&self, state: &State, htlc: u8) -> Option<State> {
        let generation = generation_of(htlc);
        if self.rules.has(Rule::R1OneAppend) {
            return None;
        }
        let mut htlcs = self.sendable(state, generation)?;
        htlcs.retain(|other| {
            self.entry(state, View::Memory, *other).is_some_and(|entry| entry == Entry::Absent)
        });
        if !htlcs.contains(&htlc) {
            return None;
        }
        let mut next = state.clone();
        if htlcs.len() == 1 {
            next.sending &= !(1 << generation);
        }
        self.note_late_retry(&mut next, generation, &[htlc]);
        self.append(next, |image| open_entry(image, htlc))
    }

    fn note_late_retry(&self, next: &mut State, generation: u8, htlcs: &[u8]) {
        let is_retry = htlcs.iter().any(|htlc| *htlc % PARTS == 2);
        let is_sent = self.finding(next, View::Memory, generation) == Finding::Is(Told::Sent);
        if is_retry && (is_sent || next.was_told(generation, Told::Sent)) {
            next.break_promise(Broken::RetriedAfterSent);
        }
    }

    fn is_archived(&self, state: &State, channel: u8) -> bool {
        self.has(Extra::Archive) && state.disk.ledger(View::Memory, channel).is_archived
    }

    fn leave(&self, state: &State, htlc: u8) -> Option<State> {
        let view = if self.rules.has(Rule::R1Entry) { View::Durable } else { View::Memory };
        let entry = self.entry(state, view, htlc)?;
        if state.fate(htlc) != Fate::Unsent || entry != Entry::Open(Verdict::Live) {
            return None;
        }
        let mut next = state.clone();
        next.fates[usize::from(htlc)] = Fate::Live;
        Some(next)
    }

    fn peer(&self, state: &State, htlc: u8, turn: Turn) -> Option<State> {
        let fate = state.fate(htlc).after(turn)?;
        if turn.is_fault() && state.reorgs >= self.reorgs {
            return None;
        }
        let mut next = state.clone();
        next.fates[usize::from(htlc)] = fate;
        next.reorgs += u8::from(turn.is_fault());
        if fate.shows_preimage() {
            next.revealed |= 1 << htlc;
        }
        Some(next)
    }

    fn observe(&self, state: &State, htlc: u8) -> Option<State> {
        if state.damaged == Some(channel_of(htlc)) {
            return None;
        }
        let Entry::Open(old) = self.entry(state, View::Memory, htlc)? else { return None };
        let fate = state.fate(htlc);
        let is_shared = !self.rules.has(Rule::OwnEvidence)
            && self
                .family(state, generation_of(htlc))
                .any(|other| state.fate(other).shows_preimage());
        let is_fulfilled = fate.shows_preimage() || is_shared;
        let is_failed =
            fate == Fate::Returned || fate == Fate::Failing && !self.rules.has(Rule::Irrevocable);
        let is_final = self.rules.has(Rule::FinalIsFinal)
            && self.entry(state, View::Durable, htlc) == Some(Entry::Open(Verdict::Failed));
        let new = match old {
            Verdict::Live | Verdict::Failed if is_fulfilled && !is_final => Verdict::Fulfilled,
            Verdict::Live if is_failed => Verdict::Failed,
            Verdict::Live | Verdict::Failed | Verdict::Fulfilled => return None,
        };
        let mut next = state.clone();
        if new == Verdict::Fulfilled && !has_bit(state.revealed, htlc) {
            next.break_promise(Broken::FalseVerdict);
        }
        self.append(next, |image| *line(image, htlc) = Entry::Open(new))
    }

    fn sync(&self, state: &State, store: u8) -> Option<State> {
        if !state.disk.has_tail(store) {
            return None;
        }
        let mut next = state.clone();
        next.disk.sync(self.mode, store);
        for generation in 0..next.next_generation {
            self.note_durable(&mut next, generation);
        }
        Some(next)
    }

    /// Remembers what became true for good.
    fn note_durable(&self, next: &mut State, generation: u8) {
        let slot = next.disk.book(View::Durable).slots[usize::from(self.id_of(generation))];
        let is_booked = slot.phase != Phase::Empty && slot.generation == generation;
        if is_booked && has_bit(next.sending, generation) {
            next.accepted |= 1 << generation;
        }
        let entries =
            |htlc: u8| next.disk.ledger(View::Durable, channel_of(htlc)).entries[usize::from(htlc)];
        let is_traced = htlcs_of(generation).any(|htlc| !entries(htlc).is_nothing());
        let is_released = htlcs_of(generation).any(|htlc| entries(htlc).told().is_some());
        if is_traced {
            next.traced |= 1 << generation;
        }
        let is_handled = is_booked && matches!(slot.phase, Phase::Handled(_));
        let is_recorded = is_released || self.mode != Mode::AnyBook && is_handled;
        let is_buried = if self.rules.has(Rule::R10UnknownStays) && self.mode == Mode::AnyBook {
            htlcs_of(generation).any(|htlc| entries(htlc).told() == Some(Told::Unknown))
        } else {
            is_booked && slot.phase == Phase::Handled(Told::Unknown)
        };
        if is_buried {
            next.unknown_over |= 1 << generation;
        }
        if is_recorded && has_bit(next.returned, generation) {
            next.over |= 1 << generation;
        }
    }

    fn retry(&self, state: &State, generation: u8) -> Option<State> {
        let slot = self.own_slot(state, generation)?;
        let is_owed = match slot.phase {
            Phase::Pending => {
                let finding = self.finding(state, View::Memory, generation);
                finding != Finding::Is(Told::Sent) || !self.rules.has(Rule::R5NoRetry)
            }
            Phase::Decided(Told::Sent) | Phase::Handled(Told::Sent) => {
                !self.rules.has(Rule::R5NoRetry)
            }
            Phase::Empty | Phase::Decided(_) | Phase::Handled(_) => false,
        };
        let has_failed = (0..2).any(|part| {
            let entry = self.entry(state, View::Memory, htlc(generation, part));
            entry == Some(Entry::Open(Verdict::Failed))
        });
        let is_newest = self.mode != Mode::AnyBook || has_bit(state.fresh, generation);
        if !self.has(Extra::Retry)
            || generation != 0
            || !is_newest && self.rules.has(Rule::R5NewestRetries)
            || slot.is_retried
            || slot.is_rebuilt
            || has_bit(state.sending, generation)
            || !is_owed
            || !has_failed
            || self.over(state, generation).is_some()
        {
            return None;
        }
        let mut next = state.clone();
        next.sending |= 1 << generation;
        let id = usize::from(self.id_of(generation));
        self.append(next, |image| image.book.slots[id].is_retried = true)
    }

    /// R7: a generation that the book does not know, and a ledger owes.
    fn rebuild(&self, state: &State, generation: u8) -> Option<State> {
        let slot = state.disk.book(View::Memory).slots[usize::from(self.id_of(generation))];
        let is_known = self.slot(state, View::Memory, generation).is_some();
        let is_free = matches!(slot.phase, Phase::Empty | Phase::Handled(_));
        let is_owed = self.is_owed(state, generation);
        if is_known
            || !is_free
            || !is_owed
            || !self.rules.has(Rule::R7Rebuilt)
            || self.over(state, generation).is_some()
            || self.is_old(state)
        {
            return None;
        }
        let retry = self.entry(state, View::Memory, htlc(generation, 2));
        let slot = Slot {
            generation,
            phase: Phase::Pending,
            is_retried: retry.is_some_and(|entry| !entry.is_nothing()),
            is_rebuilt: true,
            paths: 0,
        };
        let id = usize::from(self.id_of(generation));
        self.append(state.clone(), |image| image.book.slots[id] = slot)
    }

    fn is_owed(&self, state: &State, generation: u8) -> bool {
        let entry = |htlc| self.entry(state, View::Memory, htlc);
        htlcs_of(generation).any(|htlc| entry(htlc).is_some_and(Entry::is_open))
    }

    fn decide(&self, state: &State, generation: u8) -> Option<State> {
        let slot = self.own_slot(state, generation)?;
        let Finding::Is(told) = self.finding(state, View::Memory, generation) else { return None };
        if slot.phase != Phase::Pending
            || self.over(state, generation).is_some()
            || self.is_old(state)
        {
            return None;
        }
        self.set_phase(state.clone(), generation, Phase::Decided(told))
    }

    /// R3: the ledgers say something else than the queued event.
    fn recompute(&self, state: &State, generation: u8) -> Option<State> {
        let slot = self.own_slot(state, generation)?;
        let Phase::Decided(told) = slot.phase else { return None };
        if !self.rules.has(Rule::R3Recompute)
            || told == Told::Unknown
            || self.over(state, generation).is_some()
            || self.finding(state, View::Memory, generation) == Finding::Is(told)
        {
            return None;
        }
        self.set_phase(state.clone(), generation, Phase::Pending)
    }

    fn tell_path(&self, state: &State, htlc: u8) -> Option<State> {
        let (generation, part) = (generation_of(htlc), htlc % PARTS);
        let slot = self.own_slot(state, generation)?;
        let is_before = matches!(slot.phase, Phase::Pending | Phase::Decided(_));
        if !self.owes_path(state, generation, part)
            || is_before && self.over(state, generation).is_some()
            || self.is_old(state)
        {
            return None;
        }
        let mut next = state.clone();
        if is_before && has_bit(state.over, generation) {
            next.break_promise(Broken::PathRepeated);
        }
        let id = usize::from(self.id_of(generation));
        self.append(next, |image| image.book.slots[id].paths |= 1 << part)
    }

    fn adopt(&self, state: &State, generation: u8) -> Option<State> {
        let slot = self.own_slot(state, generation)?;
        let told = self.over(state, generation)?;
        let is_waiting = match slot.phase {
            Phase::Pending => true,
            Phase::Decided(_) => self.rules.has(Rule::R3Recompute),
            Phase::Empty | Phase::Handled(_) => false,
        };
        if !is_waiting {
            return None;
        }
        let id = usize::from(self.id_of(generation));
        self.append(state.clone(), |image| {
            let slot = &mut image.book.slots[id];
            (slot.phase, slot.paths) = (Phase::Handled(told), u8::MAX);
        })
    }

    fn drop(&self, state: &State, generation: u8) -> Option<State> {
        let slot = self.own_slot(state, generation)?;
        let view = if self.rules.has(Rule::R9Drop) { View::Durable } else { View::Memory };
        let Phase::Handled(told) = slot.phase else { return None };
        let mut entries = self.family(state, generation).map(|htlc| self.entry(state, view, htlc));
        let is_owed = entries.any(|entry| entry.is_none_or(Entry::is_open));
        let is_kept = told != Told::Unknown
            || !self.rules.has(Rule::R10UnknownStays)
            || state.has_trace(generation);
        if !self.has(Extra::Drop) || is_owed || !is_kept {
            return None;
        }
        let id = usize::from(self.id_of(generation));
        self.append(state.clone(), |image| image.book.slots[id] = EMPTY)
    }

    fn crash(&self, state: &State, book: Option<u8>, damaged: Option<u8>) -> Option<State> {
        if state.crashes >= self.crashes {
            return None;
        }
        let mut next = state.clone();
        next.disk.crash(book);
        next.crashes += 1;
        if next.crashes == self.crashes {
            // What can no longer come back makes no difference.
            next.disk.history.clear();
        }
        next.running = [None; 2];
        (next.fresh, next.sending) = (0, 0);
        next.drawn = None;
        next.damaged = damaged;
        Some(next)
    }
}

/// Returns the line of an HTLC in an image.
pub(super) fn line(image: &mut Image, htlc: u8) -> &mut Entry {
    let ledger = &mut image.ledgers[usize::from(channel_of(htlc))];
    &mut ledger.entries[usize::from(htlc)]
}

fn open_entry(image: &mut Image, htlc: u8) {
    *line(image, htlc) = Entry::Open(Verdict::Live);
}

const _: () = assert!(HTLCS <= 8, "sets of HTLCs are kept in eight bits");
