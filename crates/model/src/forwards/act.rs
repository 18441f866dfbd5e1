//! [`Act`]: everything that may happen to a forward, and what it makes of a state.

use super::state::{Broken, IN, Inbound, Monitor, OUT, Outbound, State, Upstream, World};
use crate::disk::{Image, Verdict, View, stores};
use crate::rules::{Mode, Rule};
use crate::truth::{Fate, Turn};

/// A step of a world of one forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Intend,
    AppendEntry,
    Leave,
    Peer { turn: Turn },
    Observe,
    Sync { store: u8 },
    StorePreimage,
    StoreFailure,
    FailBackNeverForwarded,
    PayUpstream,
    FailUpstream,
    ObserveResolved,
    Release,
    Report,
    Prune,
    ArchiveOutbound,
    ArchiveInbound,
    Repair,
    Crash { book: Option<u8>, damaged: Option<u8> },
}

impl Act {
    /// Says whether no rule may rely on it.
    pub(crate) const fn is_fault(self) -> bool {
        matches!(self, Self::Crash { .. }) || matches!(self, Self::Peer { turn } if turn.is_fault())
    }
}

type Change = Image<super::state::Book, Monitor>;

impl State {
    /// Returns the line of the outbound monitor.
    pub(crate) fn outbound(&self, view: View) -> Outbound {
        match self.disk.ledger(view, OUT) {
            Monitor::Out(line) => *line,
            Monitor::In(_) => Outbound::Absent,
        }
    }

    /// Returns the line of the inbound monitor.
    pub(crate) fn inbound(&self, view: View) -> Inbound {
        match self.disk.ledger(view, IN) {
            Monitor::In(line) => *line,
            Monitor::Out(_) => Inbound::Live,
        }
    }
}

impl World {
    /// Names every step that could be possible; [`World::step`] refuses those that are not.
    pub(crate) fn acts(&self, state: &State, acts: &mut Vec<Act>) {
        acts.extend([Act::Intend, Act::AppendEntry, Act::Leave, Act::Observe]);
        acts.extend((0..stores(self.mode)).map(|store| Act::Sync { store }));
        acts.extend(Turn::ALL.map(|turn| Act::Peer { turn }));
        acts.extend([Act::StorePreimage, Act::StoreFailure, Act::FailBackNeverForwarded]);
        acts.extend([Act::PayUpstream, Act::FailUpstream, Act::ObserveResolved, Act::Release]);
        acts.extend([Act::Report, Act::Prune, Act::ArchiveOutbound, Act::ArchiveInbound]);
        acts.push(Act::Repair);
        let mut books = vec![None];
        if !state.disk.history.is_empty() {
            books = (0..4).take(state.disk.history.len()).map(Some).collect();
        }
        for book in books {
            acts.push(Act::Crash { book, damaged: None });
            if self.has_damage {
                acts.extend([OUT, IN].map(|channel| Act::Crash { book, damaged: Some(channel) }));
            }
        }
    }

    /// Returns what a step makes of a state, if it is possible.
    pub(crate) fn step(&self, state: &State, act: Act) -> Option<State> {
        match act {
            Act::Intend => self.intend(state),
            Act::AppendEntry => self.append_entry(state),
            Act::Leave => self.leave(state),
            Act::Peer { turn } => self.peer(state, turn),
            Act::Observe => self.observe(state),
            Act::Sync { store } => self.sync(state, store),
            Act::StorePreimage => self.store_preimage(state),
            Act::StoreFailure => self.store_failure(state),
            Act::FailBackNeverForwarded => self.fail_back_never_forwarded(state),
            Act::PayUpstream => upstream(state, Inbound::Fulfilling, Upstream::Paid),
            Act::FailUpstream => upstream(state, Inbound::Failing, Upstream::FailedBack),
            Act::ObserveResolved => self.observe_resolved(state),
            Act::Release => self.release(state),
            Act::Report => self.report(state),
            Act::Prune => self.prune(state),
            Act::ArchiveOutbound => self.archive_outbound(state),
            Act::ArchiveInbound => self.archive_inbound(state),
            Act::Repair => {
                state.damaged?;
                Some(State { damaged: None, ..state.clone() })
            }
            Act::Crash { book, damaged } => self.crash(state, book, damaged),
        }
    }

    fn append(&self, state: &State, change: impl FnOnce(&mut Change)) -> Option<State> {
        let mut next = state.clone();
        next.disk.append((self.mode, self.tail), change)?;
        Some(next)
    }

    fn set_outbound(&self, state: &State, line: Outbound) -> Option<State> {
        self.append(state, |image| image.ledgers[usize::from(OUT)] = Monitor::Out(line))
    }

    fn set_inbound(&self, state: &State, line: Inbound) -> Option<State> {
        self.append(state, |image| image.ledgers[usize::from(IN)] = Monitor::In(line))
    }

    /// Returns the outbound line, as far as it can be read.
    fn read_outbound(&self, state: &State, view: View) -> Option<Outbound> {
        if state.damaged != Some(OUT) {
            return Some(state.outbound(view));
        }
        (!self.rules.has(Rule::R2Monitor)).then_some(Outbound::Absent)
    }

    /// Says whether the inbound HTLC waits and nothing downstream is known of it.
    fn is_unforwarded(&self, state: &State) -> bool {
        let is_absent = |view| {
            self.read_outbound(state, view)
                .is_some_and(|line| matches!(line, Outbound::Absent | Outbound::Gone))
        };
        let is_live = |view| state.inbound(view) == Inbound::Live;
        state.damaged != Some(IN)
            && is_live(View::Memory)
            && is_live(View::Durable)
            && is_absent(View::Memory)
            && is_absent(View::Durable)
            && !state.is_sending
    }

    fn intend(&self, state: &State) -> Option<State> {
        let is_intended = state.disk.book(View::Memory).is_intended;
        let waits_for_ever = is_intended && !self.rules.has(Rule::R12NeverForwarded);
        if !self.is_unforwarded(state)
            || state.upstream != Upstream::Live
            || state.damaged == Some(OUT)
            || waits_for_ever
        {
            return None;
        }
        let mut next = state.clone();
        next.is_sending = true;
        if state.outbound(View::Memory) == Outbound::Gone || state.downstream != Fate::Unsent {
            next.broken |= Broken::ForwardedTwice.bit();
        }
        if !is_intended {
            next.disk.append((self.mode, self.tail), |image| image.book.is_intended = true)?;
        }
        Some(next)
    }

    fn append_entry(&self, state: &State) -> Option<State> {
        let is_durable = state.disk.book(View::Durable).is_intended;
        if !state.is_sending || !is_durable && self.rules.has(Rule::R1Intent) {
            return None;
        }
        let next = State { is_sending: false, ..state.clone() };
        self.set_outbound(&next, Outbound::Open(Verdict::Live))
    }

    fn leave(&self, state: &State) -> Option<State> {
        let view = if self.rules.has(Rule::R1Entry) { View::Durable } else { View::Memory };
        let line = state.outbound(view);
        let is_ready = state.damaged != Some(OUT) && line == Outbound::Open(Verdict::Live);
        if !is_ready || state.downstream != Fate::Unsent {
            return None;
        }
        let mut next = State { downstream: Fate::Live, ..state.clone() };
        if state.upstream == Upstream::FailedBack {
            next.broken |= Broken::MoneyLost.bit();
        }
        Some(next)
    }

    fn peer(&self, state: &State, turn: Turn) -> Option<State> {
        let fate = state.downstream.after(turn)?;
        if turn.is_fault() && state.reorgs >= self.reorgs {
            return None;
        }
        let mut next = State { downstream: fate, ..state.clone() };
        next.reorgs += u8::from(turn.is_fault());
        next.is_revealed |= fate.shows_preimage();
        Some(next)
    }

    fn observe(&self, state: &State) -> Option<State> {
        let Outbound::Open(old) = state.outbound(View::Memory) else { return None };
        if state.damaged == Some(OUT) {
            return None;
        }
        let is_final = state.outbound(View::Durable) == Outbound::Open(Verdict::Failed)
            && self.rules.has(Rule::FinalIsFinal);
        let is_failed = state.downstream == Fate::Returned
            || state.downstream == Fate::Failing && !self.rules.has(Rule::Irrevocable);
        let new = match old {
            Verdict::Live | Verdict::Failed if state.downstream.shows_preimage() && !is_final => {
                Verdict::Fulfilled
            }
            Verdict::Live if is_failed => Verdict::Failed,
            Verdict::Live | Verdict::Failed | Verdict::Fulfilled => return None,
        };
        self.set_outbound(state, Outbound::Open(new))
    }

    fn sync(&self, state: &State, store: u8) -> Option<State> {
        if !state.disk.has_tail(store) {
            return None;
        }
        let mut next = state.clone();
        next.disk.sync(self.mode, store);
        let is_kept = self.mode != Mode::AnyBook && next.disk.book(View::Durable).is_reported;
        next.is_report_kept |= is_kept;
        Some(next)
    }

    /// The preimage goes upstream as soon as it is known.
    fn store_preimage(&self, state: &State) -> Option<State> {
        let is_fulfilled = state.outbound(View::Memory) == Outbound::Open(Verdict::Fulfilled);
        let is_live = state.inbound(View::Memory) == Inbound::Live;
        if !is_fulfilled || !is_live || state.damaged.is_some() {
            return None;
        }
        self.set_inbound(state, Inbound::Fulfilling)
    }

    /// A failure goes upstream when it is final: when it is durable downstream.
    fn store_failure(&self, state: &State) -> Option<State> {
        let view = if self.rules.has(Rule::R4Gate) { View::Durable } else { View::Memory };
        let is_failed = state.outbound(view) == Outbound::Open(Verdict::Failed)
            && state.outbound(View::Memory) == Outbound::Open(Verdict::Failed);
        let is_live = state.inbound(View::Memory) == Inbound::Live;
        if !is_failed || !is_live || state.damaged.is_some() {
            return None;
        }
        self.set_inbound(state, Inbound::Failing)
    }

    /// R12: an inbound HTLC of which the outbound monitor knows nothing was never forwarded.
    fn fail_back_never_forwarded(&self, state: &State) -> Option<State> {
        if !self.is_unforwarded(state) || !self.rules.has(Rule::R12NeverForwarded) {
            return None;
        }
        self.set_inbound(state, Inbound::Failing)
    }

    fn observe_resolved(&self, state: &State) -> Option<State> {
        let is_waiting =
            matches!(state.inbound(View::Memory), Inbound::Fulfilling | Inbound::Failing);
        if state.upstream == Upstream::Live || !is_waiting || state.damaged == Some(IN) {
            return None;
        }
        self.set_inbound(state, Inbound::Resolved)
    }

    /// R12: the outbound entry is released when the inbound one is durably settled.
    fn release(&self, state: &State) -> Option<State> {
        let Outbound::Open(verdict) = state.outbound(View::Memory) else { return None };
        if verdict == Verdict::Live || state.damaged == Some(OUT) {
            return None;
        }
        let view = if self.rules.has(Rule::R12Durable) { View::Durable } else { View::Memory };
        let is_settled = match state.inbound(view) {
            _ if state.damaged == Some(IN) => !self.rules.has(Rule::R12Unknown),
            Inbound::Live => false,
            Inbound::Fulfilling | Inbound::Failing | Inbound::Resolved => true,
            Inbound::Archived => self.rules.has(Rule::R12Archived),
        };
        if !is_settled {
            return None;
        }
        self.set_outbound(state, Outbound::Released)
    }

    /// R12: that the inbound half is unknown is reported once, through the outbox.
    fn report(&self, state: &State) -> Option<State> {
        let line = state.outbound(View::Memory);
        let is_owed = matches!(line, Outbound::Open(Verdict::Fulfilled | Verdict::Failed));
        let is_reported = state.disk.book(View::Memory).is_reported;
        let is_again = is_reported && self.rules.has(Rule::R12Once);
        if state.damaged != Some(IN) || !is_owed || is_again {
            return None;
        }
        let mut next = State { was_reported: true, ..state.clone() };
        if state.is_report_kept {
            next.broken |= Broken::ReportedTwice.bit();
            return Some(next);
        }
        self.append(&next, |image| image.book.is_reported = true)
    }

    fn prune(&self, state: &State) -> Option<State> {
        let is_released = state.outbound(View::Durable) == Outbound::Released;
        let is_here = state.outbound(View::Memory) == Outbound::Released;
        let is_ready = is_released && is_here && state.downstream.is_settled();
        if !is_ready || state.damaged == Some(OUT) {
            return None;
        }
        self.set_outbound(state, Outbound::Gone)
    }

    /// Without the clause of R11, a monitor goes when its spends are deep.
    fn archive_outbound(&self, state: &State) -> Option<State> {
        let line = state.outbound(View::Memory);
        let is_known = matches!(line, Outbound::Open(Verdict::Fulfilled | Verdict::Failed));
        let is_ready = is_known && state.downstream.is_settled() && state.damaged != Some(OUT);
        if self.rules.has(Rule::R11Preimage) || !is_ready {
            return None;
        }
        self.set_outbound(state, Outbound::Gone)
    }

    fn archive_inbound(&self, state: &State) -> Option<State> {
        let is_resolved = state.inbound(View::Durable) == Inbound::Resolved;
        if !is_resolved || state.damaged == Some(IN) {
            return None;
        }
        self.set_inbound(state, Inbound::Archived)
    }

    fn crash(&self, state: &State, book: Option<u8>, damaged: Option<u8>) -> Option<State> {
        if state.crashes >= self.crashes {
            return None;
        }
        let mut next = state.clone();
        next.disk.crash(book);
        next.crashes += 1;
        next.is_sending = false;
        next.damaged = damaged;
        Some(next)
    }
}

/// What is durable in the inbound monitor reaches the peer upstream.
fn upstream(state: &State, line: Inbound, end: Upstream) -> Option<State> {
    let is_ready = state.inbound(View::Durable) == line && state.damaged != Some(IN);
    if !is_ready || state.upstream != Upstream::Live {
        return None;
    }
    let mut next = State { upstream: end, ..state.clone() };
    let may_leave = [View::Durable, View::Memory]
        .iter()
        .any(|view| state.outbound(*view) == Outbound::Open(Verdict::Live));
    let may_be_paid = state.downstream.may_be_paid()
        || state.downstream == Fate::Unsent && (may_leave || state.is_sending);
    if end == Upstream::FailedBack && may_be_paid {
        next.broken |= Broken::MoneyLost.bit();
    }
    Some(next)
}
