//! The end of a payment: telling, releasing, forgetting, archiving, and the epochs of the book.

use super::act::line;
use super::plan::Finding;
use super::state::{
    Broken, Extra, State, World, channel_of, generation_of, has_bit, htlc, htlcs_of,
};
use crate::disk::{CHANNELS, Entry, Image, PARTS, Phase, Told, Verdict, View};
use crate::rules::{Mode, Rule};
use crate::truth::Fate;

impl World {
    /// Runs the handler of the terminal event, as R3, R4 and R6 allow.
    pub(super) fn tell(&self, state: &State, generation: u8) -> Option<State> {
        let slot = self.slot(state, View::Memory, generation)?;
        let Phase::Decided(told) = slot.phase else { return None };
        let durable = self.slot(state, View::Durable, generation);
        let is_recorded = durable
            .is_some_and(|durable| (durable.generation, durable.phase) == (generation, slot.phase));
        let is_ready = slot.generation == generation
            && is_recorded
            && state.running[usize::from(generation)].is_none();
        if !is_ready || !self.is_backed(state, generation, told) {
            return None;
        }
        if told == Told::Failed && (0..PARTS).any(|part| self.owes_path(state, generation, part)) {
            return None;
        }
        let mut next = state.clone();
        self.judge(&mut next, generation, told);
        next.told[usize::from(generation)] |= told.bit();
        next.running[usize::from(generation)] = Some(told);
        Some(next)
    }

    /// Says whether the ledgers stand behind a queued event.
    fn is_backed(&self, state: &State, generation: u8, told: Told) -> bool {
        let says = |view| {
            told == Told::Unknown || self.finding(state, view, generation) == Finding::Is(told)
        };
        let is_over = self.over(state, generation).is_some();
        let is_current = says(View::Memory) && !is_over && !self.is_old(state);
        (is_current || !self.rules.has(Rule::R3Recompute))
            && (says(View::Durable) || !self.rules.has(Rule::R4Gate))
    }

    /// Compares what is told with the truth and with what was told before.
    fn judge(&self, next: &mut State, generation: u8, told: Told) {
        let before = |other| next.was_told(generation, other);
        let contradicts = match told {
            Told::Sent => before(Told::Failed) || before(Told::Unknown),
            // Of what left no trace, an old book says the one and a newer one the other.
            Told::Failed => {
                before(Told::Sent) || before(Told::Unknown) && !self.may_vanish(next, generation)
            }
            Told::Unknown => false,
        };
        let is_newer = |other: u8| {
            has_bit(next.accepted, other) && self.id_of(other) == self.id_of(generation)
        };
        let is_past = (generation + 1..next.next_generation).any(is_newer);
        let is_unpaid = htlcs_of(generation).all(|htlc| !has_bit(next.revealed, htlc));
        let is_early = htlcs_of(generation).any(|htlc| may_be_paid(next, htlc));
        let is_repeated = has_bit(next.over, generation);
        let is_unknown = told == Told::Unknown;
        let findings = [
            (contradicts, Broken::OneOutcome),
            (is_repeated && !is_unknown, Broken::Repeated),
            (is_past && !is_unknown && !self.may_vanish(next, generation), Broken::MetItsPast),
            (is_unpaid && told == Told::Sent, Broken::SentUnpaid),
            (is_early && told == Told::Failed, Broken::FailedEarly),
            (is_unknown && has_bit(next.unknown_over, generation), Broken::UnknownTwice),
            (is_unknown && next.has_trace(generation), Broken::UnknownKnowable),
        ];
        for (_, broken) in findings.into_iter().filter(|(is_so, _)| *is_so) {
            next.break_promise(broken);
        }
    }

    /// Records that the handler returned; with one log, with the releases in the same batch.
    pub(super) fn handler_returns(&self, state: &State, generation: u8) -> Option<State> {
        let told = state.running[usize::from(generation)]?;
        let mut next = state.clone();
        next.running[usize::from(generation)] = None;
        next.returned |= 1 << generation;
        let id = usize::from(self.id_of(generation));
        let change = |image: &mut Image| {
            image.book.slots[id].phase = Phase::Handled(told);
            if self.mode == Mode::OneLog {
                for channel in 0..CHANNELS {
                    self.release_final(state, image, channel, (generation, told));
                }
            }
        };
        next.disk.append((self.mode, self.tail), change)?;
        Some(next)
    }

    /// R5: releases what is final of a generation in one monitor.
    pub(super) fn release(&self, state: &State, channel: u8, generation: u8) -> Option<State> {
        if state.damaged == Some(channel) {
            return None;
        }
        let slot = self.slot(state, View::Memory, generation);
        let over = self.over(state, generation);
        let phase = slot.map_or(Phase::Empty, |slot| slot.phase);
        let told = match phase {
            Phase::Handled(told) => Some(told),
            Phase::Decided(told) if !self.rules.has(Rule::R5AfterHandler) => Some(told),
            Phase::Pending if !self.rules.has(Rule::R5Path) => Some(Told::Failed),
            Phase::Empty if over.is_none() && !self.rules.has(Rule::R7Rebuilt) => {
                Some(Told::Failed)
            }
            Phase::Empty | Phase::Pending | Phase::Decided(_) => over,
        }?;
        let mut next = state.clone();
        let change = |image: &mut Image| {
            self.release_final(state, image, channel, (generation, told));
        };
        next.disk.append((self.mode, self.tail), change)?;
        Some(next)
    }

    fn release_final(&self, state: &State, image: &mut Image, channel: u8, (of, told): (u8, Told)) {
        if state.damaged == Some(channel) {
            return;
        }
        let slot = image.book.slots[usize::from(self.id_of(of))];
        let slot = (slot.phase != Phase::Empty && slot.generation == of).then_some(slot);
        for htlc in self.family(state, of).filter(|htlc| channel_of(*htlc) == channel) {
            let Entry::Open(verdict) = *line(image, htlc) else { continue };
            let is_path_told = slot.is_none_or(|slot| has_bit(slot.paths, htlc % PARTS));
            let waits_for_path = match slot.map(|slot| slot.phase) {
                Some(Phase::Handled(Told::Sent)) => verdict == Verdict::Fulfilled,
                Some(Phase::Pending) => self.over(state, of).is_none(),
                Some(Phase::Empty | Phase::Decided(_) | Phase::Handled(_)) | None => false,
            };
            let is_final = verdict != Verdict::Live || !self.rules.has(Rule::R5Final);
            if is_final && (is_path_told || !waits_for_path || !self.has(Extra::Paths)) {
                *line(image, htlc) = Entry::Released(verdict, told);
            }
        }
        let first = htlc(of, 0);
        let leaves_unknown = told == Told::Unknown
            && self.rules.has(Rule::R10UnknownStays)
            && channel == channel_of(first)
            && line(image, first).is_nothing();
        if leaves_unknown {
            *line(image, first) = Entry::Tomb(Told::Unknown, self.date(image));
        }
    }

    /// R10: a released entry becomes a tombstone.
    pub(super) fn prune(&self, state: &State, htlc: u8) -> Option<State> {
        let channel = channel_of(htlc);
        if !self.has(Extra::Prune) || state.damaged == Some(channel) {
            return None;
        }
        let durable = self.entry(state, View::Durable, htlc)?;
        let Entry::Released(_, told) = self.entry(state, View::Memory, htlc)? else { return None };
        if durable.told().is_none() || !state.fate(htlc).is_settled() {
            return None;
        }
        let mut next = state.clone();
        let is_marked = self.rules.has(Rule::R10Tombstone);
        next.disk.append((self.mode, self.tail), |image| {
            let tomb = Entry::Tomb(told, self.date(image));
            *line(image, htlc) = if is_marked { tomb } else { Entry::Gone };
        })?;
        Some(next)
    }

    /// Returns the epoch that a tombstone of this moment carries.
    fn date(&self, image: &Image) -> u8 {
        if self.rules.has(Rule::R10Dated) && self.rules.has(Rule::R10EpochOnce) {
            image.ledgers[0].epoch
        } else {
            image.book.epoch
        }
    }

    /// Says whether the book is older than what the tombstones still know.
    pub(super) fn is_old(&self, state: &State) -> bool {
        let epoch = state.disk.book(View::Memory).epoch;
        self.rules.has(Rule::R10Unknown) && epoch < Self::floor(state)
    }

    /// The monitors record the next epoch before the book takes it.
    pub(super) fn draw_epoch(&self, state: &State) -> Option<State> {
        let newest = state.disk.ledger(View::Memory, 0).epoch;
        let is_wanted = newest < self.epochs || self.is_old(state);
        let is_idle = state.drawn.is_none() && self.reads_all(state) && state.damaged != Some(0);
        if !self.rules.has(Rule::R10EpochOnce) || !is_wanted || !is_idle {
            return None;
        }
        let mut next = state.clone();
        next.drawn = Some(newest + 1);
        next.disk.append((self.mode, self.tail), |image| image.ledgers[0].epoch = newest + 1)?;
        Some(next)
    }

    /// The book enters an epoch; what an old book is alone in holding becomes unknown with it.
    pub(super) fn enter_epoch(&self, state: &State) -> Option<State> {
        let book = state.disk.book(View::Memory);
        let is_old = self.is_old(state);
        let epoch = if self.rules.has(Rule::R10EpochOnce) {
            let recorded = state.disk.ledger(View::Durable, 0).epoch;
            state.drawn.filter(|drawn| recorded >= *drawn)?
        } else if is_old {
            Self::floor(state)
        } else {
            (book.epoch < self.epochs).then_some(book.epoch + 1)?
        };
        let waiting: Vec<u8> = (0..state.next_generation)
            .filter(|generation| self.is_waiting(state, *generation))
            .collect();
        let is_over = |generation: &u8| self.over(state, *generation).is_some();
        let is_adopted = !waiting.iter().any(is_over) || !self.rules.has(Rule::R10Adopted);
        if !self.reads_all(state) || !is_adopted || state.running != [None; 2] {
            return None;
        }
        let mut next = state.clone();
        next.drawn = None;
        next.disk.append((self.mode, self.tail), |image| {
            image.book.epoch = epoch;
            for generation in waiting {
                if is_old && !is_known(image, generation) {
                    let slot = &mut image.book.slots[usize::from(self.id_of(generation))];
                    slot.phase = Phase::Decided(Told::Unknown);
                }
            }
        })?;
        Some(next)
    }

    /// Says whether the book waits for a generation that is not being sent.
    fn is_waiting(&self, state: &State, generation: u8) -> bool {
        let Some(slot) = self.slot(state, View::Memory, generation) else { return false };
        let is_open = matches!(slot.phase, Phase::Pending | Phase::Decided(_));
        is_open && slot.generation == generation && !has_bit(state.sending, generation)
    }

    /// R10: tombstones go behind a book epoch.
    pub(super) fn forget(&self, state: &State, channel: u8) -> Option<State> {
        if state.damaged == Some(channel) || self.epochs == 0 {
            return None;
        }
        let epoch = state.disk.book(View::Durable).epoch;
        let by_epoch = self.rules.has(Rule::R10Epoch);
        let mut next = state.clone();
        next.disk.append((self.mode, self.tail), |image| {
            for htlc in 0..state.next_generation * PARTS {
                let Entry::Tomb(told, stamp) = *line(image, htlc) else { continue };
                let is_kept = told == Told::Unknown && self.rules.has(Rule::R10UnknownStays);
                let is_behind = stamp < epoch || !by_epoch;
                if channel_of(htlc) != channel || is_kept || !is_behind {
                    continue;
                }
                if self.rules.has(Rule::R10Siblings) && self.has_sibling(state, htlc) {
                    continue;
                }
                *line(image, htlc) = Entry::Gone;
                if by_epoch {
                    image.ledgers[usize::from(channel)].floor = epoch;
                }
            }
        })?;
        Some(next)
    }

    /// Says whether an HTLC of the same generation is owed, or cannot be read.
    fn has_sibling(&self, state: &State, htlc: u8) -> bool {
        self.family(state, generation_of(htlc)).any(|sibling| {
            let is_open = |view| self.entry(state, view, sibling).is_none_or(Entry::is_open);
            is_open(View::Durable) || is_open(View::Memory)
        })
    }

    /// R11: a monitor leaves; its tombstones stay.
    pub(super) fn archive(&self, state: &State, channel: u8) -> Option<State> {
        let ledger = state.disk.ledger(View::Memory, channel);
        if !self.has(Extra::Archive) || ledger.is_archived || state.damaged == Some(channel) {
            return None;
        }
        let durable = state.disk.ledger(View::Durable, channel);
        let mut is_used = false;
        for (htlc, entry) in (0..).zip(ledger.entries) {
            let is_settled = state.fate(htlc).is_settled() && entry != Entry::Open(Verdict::Live);
            let is_owed = entry.is_open() || durable.entries[usize::from(htlc)].is_open();
            is_used |= entry != Entry::Absent;
            if entry != Entry::Absent && !is_settled && entry.told() != Some(Told::Unknown)
                || is_owed && self.rules.has(Rule::R11Owed)
            {
                return None;
            }
        }
        let queued = state.disk.book(View::Memory).slots;
        let is_queued = queued.iter().any(|slot| matches!(slot.phase, Phase::Decided(_)));
        if !is_used || is_queued && self.rules.has(Rule::R11Owed) || state.sending != 0 {
            return None;
        }
        let mut next = state.clone();
        next.disk.append((self.mode, self.tail), |image| {
            let stamp = self.date(image);
            let ledger = &mut image.ledgers[usize::from(channel)];
            ledger.is_archived = true;
            for entry in ledger.entries.iter_mut().filter(|entry| **entry != Entry::Absent) {
                *entry = match entry.told().filter(|_| self.rules.has(Rule::R11Tombstones)) {
                    Some(told) => {
                        let old = if let Entry::Tomb(_, old) = *entry { old } else { stamp };
                        Entry::Tomb(told, old)
                    }
                    None => Entry::Gone,
                };
            }
        })?;
        Some(next)
    }
}

/// Says whether an HTLC can still be taken, be it at the peer or about to leave.
fn may_be_paid(state: &State, htlc: u8) -> bool {
    let is_open = |view| {
        let entries = &state.disk.ledger(view, channel_of(htlc)).entries;
        entries[usize::from(htlc)] == Entry::Open(Verdict::Live)
    };
    let may_leave = is_open(View::Durable) || is_open(View::Memory);
    state.fate(htlc).may_be_paid() || state.fate(htlc) == Fate::Unsent && may_leave
}

/// Says whether a ledger has an entry or a tombstone of a generation.
fn is_known(image: &mut Image, generation: u8) -> bool {
    htlcs_of(generation).any(|htlc| !line(image, htlc).is_nothing())
}
