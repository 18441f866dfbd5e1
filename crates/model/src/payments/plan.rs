//! The plan: what the rules conclude from the book and the ledgers, and from nothing else.

use super::state::{Extra, State, World, channel_of, generation_of, has_bit, htlc, htlcs_of};
use crate::disk::{Entry, PARTS, Phase, Slot, Told, Verdict, View};
use crate::rules::{Mode, Rule};

/// What the parts of a generation come to while none is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Open,
    Is(Told),
}

impl World {
    /// Returns the line of an HTLC, if its monitor can be read.
    pub(crate) fn entry(&self, state: &State, view: View, htlc: u8) -> Option<Entry> {
        let channel = channel_of(htlc);
        if state.damaged == Some(channel) {
            let is_believed_empty = !self.rules.has(Rule::R2Monitor);
            return is_believed_empty.then_some(Entry::Absent);
        }
        Some(state.disk.ledger(view, channel).entries[usize::from(htlc)])
    }

    /// Returns what the book holds for a generation, or for what the rules take for it.
    pub(crate) fn slot(&self, state: &State, view: View, generation: u8) -> Option<Slot> {
        let slot = state.disk.book(view).slots[usize::from(self.id_of(generation))];
        let is_of = slot.phase != Phase::Empty && self.is_same(state, slot.generation, generation);
        is_of.then_some(slot)
    }

    /// Says whether the rules take two generations for one.
    pub(crate) fn is_same(&self, state: &State, one: u8, other: u8) -> bool {
        let label = |generation: u8| state.labels[usize::from(generation)];
        one == other || self.id_of(one) == self.id_of(other) && label(one) == label(other)
    }

    /// Returns the HTLCs of a generation and of those that the rules take for it.
    pub(crate) fn family(&self, state: &State, generation: u8) -> impl Iterator<Item = u8> {
        (0..state.next_generation)
            .filter(move |other| self.is_same(state, *other, generation))
            .flat_map(htlcs_of)
    }

    /// R6: returns what was told of a generation, if the durable ledgers say that it is over.
    pub(crate) fn over(&self, state: &State, generation: u8) -> Option<Told> {
        let mut told = None;
        let mut is_all = true;
        for htlc in self.family(state, generation) {
            let Some(entry) = self.entry(state, View::Durable, htlc) else { continue };
            told = told.or(entry.told());
            is_all &= entry.told().is_some() || entry.is_nothing();
        }
        told.filter(|_| is_all || self.rules.has(Rule::R6Over))
    }

    /// Says whether every monitor can be read.
    pub(crate) fn reads_all(&self, state: &State) -> bool {
        state.damaged.is_none() || !self.rules.has(Rule::R2Monitor)
    }

    /// Returns the oldest epoch of a book that the tombstones do not rely on any more.
    pub(crate) fn floor(state: &State) -> u8 {
        let floor = |channel| state.disk.ledger(View::Memory, channel).floor;
        floor(0).max(floor(1))
    }

    /// Returns the parts that the book or the ledgers name.
    fn parts(&self, state: &State, view: View, generation: u8) -> impl Iterator<Item = u8> {
        let slot = self.slot(state, view, generation);
        let retry = htlc(generation, 2);
        let is_known = self.entry(state, view, retry).is_some_and(|entry| !entry.is_nothing());
        let is_retried = is_known || slot.is_some_and(|slot| slot.is_retried);
        let first = if is_retried && !self.rules.has(Rule::OneGeneration) { 2 } else { 0 };
        let count = self.parts[usize::from(generation)];
        (0..PARTS).filter(move |part| *part >= first && (*part < count || *part == 2 && is_retried))
    }

    /// R2: returns what a view says of a part, once it is clear which line is its own.
    fn line(&self, state: &State, view: View, (generation, part): (u8, u8)) -> Option<Entry> {
        let own = htlc(generation, part);
        let entry = self.entry(state, view, own)?;
        if !entry.is_nothing() {
            return Some(entry);
        }
        let merged = self.family(state, generation).find(|other| {
            *other % PARTS == part && self.entry(state, view, *other).is_some_and(Entry::is_open)
        });
        let other = merged.or_else(|| self.stranger(state, view, own));
        other.map_or(Some(entry), |other| self.entry(state, view, other))
    }

    /// Without the match of R2: another HTLC of the channel that has taken the id of this one.
    fn stranger(&self, state: &State, view: View, own: u8) -> Option<u8> {
        if self.rules.has(Rule::R2Match) {
            return None;
        }
        let mut others = (0..state.next_generation)
            .filter(|other| *other != generation_of(own))
            .flat_map(htlcs_of);
        others.find(|other| {
            let is_here = channel_of(*other) == channel_of(own);
            is_here && self.entry(state, view, *other).is_some_and(|entry| !entry.is_nothing())
        })
    }

    /// Returns what the parts of a generation come to.
    pub(crate) fn finding(&self, state: &State, view: View, generation: u8) -> Finding {
        let mut has_open = false;
        let mut is_unreadable = false;
        let mut is_sent = false;
        for part in self.parts(state, view, generation) {
            match self.line(state, view, (generation, part)) {
                None => is_unreadable = true,
                Some(Entry::Open(Verdict::Fulfilled)) => is_sent = true,
                Some(Entry::Open(Verdict::Live)) => has_open = true,
                Some(Entry::Open(Verdict::Failed)) => {}
                Some(Entry::Absent | Entry::Gone) => {
                    let is_coming = has_bit(state.sending, generation);
                    has_open |= is_coming || !self.rules.has(Rule::R2NeverSent);
                }
                Some(Entry::Released(_, told) | Entry::Tomb(told, _)) => {
                    is_sent |= told == Told::Sent;
                }
            }
        }
        if is_unreadable && self.rules.has(Rule::R2Whole) {
            return Finding::Open;
        }
        match (is_sent, has_open || is_unreadable) {
            (true, _) => Finding::Is(Told::Sent),
            (false, true) => Finding::Open,
            (false, false) => Finding::Is(Told::Failed),
        }
    }

    /// Returns the parts whose path is told before the outcome, or after it.
    pub(crate) fn owes_path(&self, state: &State, generation: u8, part: u8) -> bool {
        if !self.has(Extra::Paths) {
            return false;
        }
        let Some(slot) = self.slot(state, View::Memory, generation) else { return false };
        let wanted = match slot.phase {
            Phase::Pending | Phase::Decided(Told::Failed) => Verdict::Failed,
            Phase::Handled(Told::Sent) => Verdict::Fulfilled,
            Phase::Empty | Phase::Decided(_) | Phase::Handled(_) => return false,
        };
        let entry = self.entry(state, View::Durable, htlc(generation, part));
        entry == Some(Entry::Open(wanted)) && !has_bit(slot.paths, part)
    }

    /// R8: says whether a payment id may be used.
    pub(crate) fn is_free(&self, state: &State, generation: u8) -> bool {
        let id = self.id_of(generation);
        let is_done = |view| {
            let slot = state.disk.book(view).slots[usize::from(id)];
            matches!(slot.phase, Phase::Empty | Phase::Handled(_))
        };
        if !self.rules.has(Rule::R8Free) {
            return is_done(View::Memory);
        }
        let mut past = (0..generation).filter(|other| self.id_of(*other) == id).flat_map(htlcs_of);
        let is_owed = past.any(|htlc| {
            let is_open = |view| self.entry(state, view, htlc).is_none_or(Entry::is_open);
            is_open(View::Memory) || is_open(View::Durable)
        });
        self.reads_all(state) && is_done(View::Memory) && is_done(View::Durable) && !is_owed
    }

    /// Returns the name that the rules give to a new generation.
    pub(crate) fn label(&self, state: &State, generation: u8) -> u8 {
        if self.rules.has(Rule::RandomGeneration) {
            return generation;
        }
        let slot = state.disk.book(View::Memory).slots[usize::from(self.id_of(generation))];
        let booked = (slot.phase != Phase::Empty).then_some(slot.generation);
        let seen = (0..generation).filter(|other| {
            let mut entries = htlcs_of(*other).map(|htlc| self.entry(state, View::Memory, htlc));
            entries.any(|entry| entry.is_some_and(|entry| !entry.is_nothing()))
        });
        let labels = seen.chain(booked).map(|other| state.labels[usize::from(other)] + 1);
        labels.max().unwrap_or(0)
    }

    /// Says whether a generation that left no trace may be told again, or vanish: with any old book
    /// nothing but the book knows of it.
    pub(crate) fn may_vanish(&self, state: &State, generation: u8) -> bool {
        self.mode == Mode::AnyBook && state.crashes > 0 && !has_bit(state.traced, generation)
    }
}
