//! [`World`]: ledgers, books and a user, and the execution of plans on them.

use std::collections::{BTreeMap, BTreeSet};

use lastword_ports::{
    ChannelBook, ChannelEntry, ForwardBook, InboundState, Ledger, LedgerHead, LedgerState, Ledgers,
    PaymentBook, PaymentView,
};
use lastword_reload::{Action, Plan, Scope, View, plan};
use lastword_types::{
    BookEntry, BookEpoch, ChannelId, Event, EventKey, EventKind, Generation, GiveUp, Htlc,
    HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, LedgerEntry, MonitorUpdate, Outcome, OutcomeKind,
    PaymentId, PaymentRecord, PaymentState, Purpose, ReleasePaymentComplete, Told, Tombstone,
    UpdateId, Verdict,
};

/// One line of a fake ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) htlc: Htlc,
    pub(crate) verdict: Verdict,
    pub(crate) delivered: Option<Told>,
    pub(crate) is_given_up: bool,
    pub(crate) is_inbound_on_chain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    Present,
    Missing,
    Damaged,
}

/// The ledger of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sheet {
    pub(crate) channel_id: ChannelId,
    pub(crate) bytes: Bytes,
    pub(crate) latest_update: UpdateId,
    pub(crate) is_closed: bool,
    pub(crate) lines: BTreeMap<HtlcId, Line>,
    pub(crate) tombstones: BTreeMap<HtlcId, Tombstone>,
    pub(crate) told_unknown: Vec<Tombstone>,
    pub(crate) pruned_behind: BookEpoch,
    pub(crate) is_archived: bool,
}

impl Sheet {
    fn entry(&self, htlc_id: HtlcId) -> LedgerEntry<'_> {
        let line = &self.lines[&htlc_id];
        let direction = HtlcDirection::Offered;
        let key = HtlcKey { channel_id: self.channel_id, direction, htlc_id };
        LedgerEntry {
            delivered: line.delivered,
            is_given_up: line.is_given_up,
            is_inbound_on_chain: line.is_inbound_on_chain,
            ..LedgerEntry::undelivered(key, &line.htlc, line.verdict)
        }
    }
}

impl Ledger for Sheet {
    fn head(&self) -> LedgerHead {
        let Self { channel_id, latest_update, pruned_behind, is_archived, .. } = *self;
        LedgerHead { channel_id, latest_update, pruned_behind, is_archived }
    }

    fn for_each_undelivered(&self, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        let undelivered = self.lines.iter().filter(|(_, line)| line.delivered.is_none());
        undelivered.for_each(|(htlc_id, _)| visit(self.entry(*htlc_id)));
    }

    fn entries_of<'a>(&'a self, payment_id: PaymentId, visit: &mut dyn FnMut(LedgerEntry<'a>)) {
        for (htlc_id, line) in &self.lines {
            if let HtlcOrigin::Payment(origin) = &line.htlc.origin
                && origin.payment_id == payment_id
            {
                visit(self.entry(*htlc_id));
            }
        }
    }

    fn tombstones_of(&self, payment_id: PaymentId, visit: &mut dyn FnMut(Tombstone)) {
        let all = self.tombstones.values().chain(&self.told_unknown);
        all.filter(|tombstone| tombstone.payment_id == payment_id).copied().for_each(visit);
    }
}

/// A payment book as the port sees it; `apply` panics where the real one refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Book(pub(crate) BTreeMap<PaymentId, BookEntry>, pub(crate) BookEpoch);

impl Book {
    pub(crate) fn apply(&mut self, record: &PaymentRecord) {
        match record {
            PaymentRecord::Intent(intent) | PaymentRecord::Rebuilt(intent) => {
                assert!(!intent.parts.is_empty());
                let mut entry = BookEntry {
                    intent: intent.clone(),
                    state: PaymentState::Pending,
                    is_abandoned: false,
                    paths_handled: BTreeSet::new(),
                };
                if let Some(old) = self.0.get(&intent.payment_id)
                    && old.intent.generation == intent.generation
                {
                    let is_lost = match old.state {
                        PaymentState::Pending => old.intent.attempt < intent.attempt,
                        PaymentState::Decided(_) => true,
                        PaymentState::Handled(_) => false,
                    };
                    assert!(is_lost, "nothing was lost");
                    entry.paths_handled.clone_from(&old.paths_handled);
                    entry.is_abandoned = old.is_abandoned;
                }
                self.0.insert(intent.payment_id, entry);
            }
            PaymentRecord::Retried(intent) => {
                let entry = self.entry(intent.payment_id, intent.generation);
                assert_eq!(entry.state, PaymentState::Pending, "only what is open is tried again");
                assert!(!entry.is_abandoned && intent.attempt >= entry.intent.attempt);
                entry.intent = intent.clone();
            }
            PaymentRecord::Abandoned { payment_id, generation } => {
                self.entry(*payment_id, *generation).is_abandoned = true;
            }
            PaymentRecord::Decided { payment_id, generation, outcome } => {
                let entry = self.entry(*payment_id, *generation);
                assert_eq!(entry.state, PaymentState::Pending, "an outcome is recorded once");
                entry.state = PaymentState::Decided(*outcome);
            }
            PaymentRecord::Handled { key } => self.handle(*key),
            PaymentRecord::Adopted { payment_id, generation, outcome } => {
                let entry = self.entry(*payment_id, *generation);
                assert!(!matches!(entry.state, PaymentState::Handled(_)), "nothing to adopt");
                entry.state = PaymentState::Handled(*outcome);
            }
            PaymentRecord::Dropped { payment_id, generation } => {
                assert!(matches!(
                    self.entry(*payment_id, *generation).state,
                    PaymentState::Handled(_)
                ));
                self.0.remove(payment_id);
            }
            PaymentRecord::EpochRaised { epoch } => self.1 = *epoch,
        }
    }

    fn handle(&mut self, key: EventKey) {
        let entry = self.entry(key.payment_id, key.generation);
        if !key.kind.is_terminal() {
            if matches!(key.kind, EventKind::PathSuccessful { .. }) {
                let PaymentState::Handled(outcome) = entry.state else {
                    panic!("a taken path follows the terminal event");
                };
                assert_eq!(outcome.kind(), OutcomeKind::Sent);
            }
            entry.paths_handled.insert(key.kind);
            return;
        }
        let PaymentState::Decided(outcome) = entry.state else {
            panic!("a terminal event is told of a recorded outcome, once");
        };
        let kind = match key.kind {
            EventKind::Sent => OutcomeKind::Sent,
            EventKind::Unknown => OutcomeKind::Unknown,
            EventKind::Failed
            | EventKind::Probed
            | EventKind::PathFailed { .. }
            | EventKind::PathSuccessful { .. } => OutcomeKind::Failed,
            EventKind::Claimed => panic!("this world receives nothing"),
        };
        let is_probe = entry.intent.terms.purpose == Purpose::Probe;
        assert!(key.kind == EventKind::Sent || is_probe == (key.kind == EventKind::Probed));
        assert_eq!(outcome.kind(), kind);
        entry.state = PaymentState::Handled(outcome);
    }

    fn entry(&mut self, payment_id: PaymentId, generation: Generation) -> &mut BookEntry {
        let entry = self.0.get_mut(&payment_id).expect("a known payment");
        assert_eq!(entry.intent.generation, generation);
        entry
    }
}

fn view_of(entry: &BookEntry) -> PaymentView<'_> {
    PaymentView { intent: &entry.intent, state: entry.state, is_abandoned: entry.is_abandoned }
}

/// Everything that a plan looks at, and what the user was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) sheets: BTreeMap<ChannelId, Sheet>,
    pub(crate) book: Book,
    pub(crate) inbound: BTreeMap<HtlcKey, InboundState>,
    pub(crate) channels: Vec<ChannelEntry>,
    pub(crate) in_flight: BTreeMap<ChannelId, Vec<MonitorUpdate>>,
    /// Ledgers and books name things in the other order.
    pub(crate) is_reversed: bool,
    /// What waits to be told.
    pub(crate) queued: BTreeMap<PaymentId, Vec<Event>>,
    /// What the user saw, for ever.
    pub(crate) told: Vec<Event>,
}

impl Ledgers for World {
    fn ledger(&self, channel_id: ChannelId) -> LedgerState<'_> {
        match self.sheets.get(&channel_id) {
            Some(sheet) => match sheet.bytes {
                Bytes::Present => LedgerState::Present(sheet),
                Bytes::Missing => LedgerState::Missing,
                Bytes::Damaged => LedgerState::Damaged,
            },
            None => LedgerState::Missing,
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger)) {
        let mut sheets: Vec<&Sheet> =
            self.sheets.values().filter(|sheet| sheet.bytes == Bytes::Present).collect();
        if self.is_reversed {
            sheets.reverse();
        }
        for sheet in sheets {
            visit(sheet);
        }
    }

    fn for_each_damaged(&self, visit: &mut dyn FnMut(ChannelId)) {
        let damaged = self.sheets.values().filter(|sheet| sheet.bytes == Bytes::Damaged);
        damaged.for_each(|sheet| visit(sheet.channel_id));
    }

    fn pruned_behind(&self) -> BookEpoch {
        let epochs = self.sheets.values().map(|sheet| sheet.pruned_behind);
        epochs.max().unwrap_or(BookEpoch::ZERO)
    }

    fn is_closed(&self, channel_id: ChannelId) -> bool {
        self.sheets.get(&channel_id).is_some_and(|sheet| sheet.is_closed)
    }
}

/// The same book, with the order of its visits.
struct Pages<'a> {
    book: &'a Book,
    is_reversed: bool,
}

impl PaymentBook for Pages<'_> {
    fn epoch(&self) -> BookEpoch {
        self.book.1
    }

    fn payment(&self, payment_id: PaymentId) -> Option<PaymentView<'_>> {
        self.book.0.get(&payment_id).map(view_of)
    }

    fn for_each_pending(&self, visit: &mut dyn FnMut(PaymentView<'_>)) {
        let mut pending: Vec<&BookEntry> = self.book.0.values().collect();
        pending.retain(|entry| !matches!(entry.state, PaymentState::Handled(_)));
        if self.is_reversed {
            pending.reverse();
        }
        for entry in pending {
            visit(view_of(entry));
        }
    }

    fn is_handled(&self, key: EventKey) -> bool {
        let entry = self.book.0.get(&key.payment_id);
        let Some(entry) = entry.filter(|entry| entry.intent.generation == key.generation) else {
            return false;
        };
        let handled = match entry.state {
            PaymentState::Handled(outcome) => Some(outcome.kind()),
            PaymentState::Pending | PaymentState::Decided(_) => None,
        };
        match key.kind {
            EventKind::Sent => handled == Some(OutcomeKind::Sent),
            EventKind::Failed | EventKind::Probed => handled == Some(OutcomeKind::Failed),
            EventKind::Unknown => handled == Some(OutcomeKind::Unknown),
            EventKind::PathFailed { .. } | EventKind::PathSuccessful { .. } => {
                entry.paths_handled.contains(&key.kind)
            }
            EventKind::Claimed => false,
        }
    }
}

impl ForwardBook for World {
    fn inbound_state(&self, htlc: HtlcKey) -> InboundState {
        self.inbound.get(&htlc).copied().unwrap_or(InboundState::Unknown)
    }

    fn for_each_pending(&self, visit: &mut dyn FnMut(HtlcKey)) {
        let open = self.inbound.iter().filter(|(_, state)| **state == InboundState::Open);
        open.for_each(|(key, _)| visit(*key));
    }
}

impl ChannelBook for World {
    fn for_each_channel(&self, visit: &mut dyn FnMut(ChannelEntry)) {
        self.channels.iter().for_each(|entry| visit(*entry));
    }

    fn for_each_in_flight(&self, channel_id: ChannelId, visit: &mut dyn FnMut(&MonitorUpdate)) {
        self.in_flight.get(&channel_id).into_iter().flatten().for_each(visit);
    }
}

impl World {
    pub(crate) fn plan(&self, scope: &Scope) -> Plan {
        self.with_view(|view| plan(scope, view))
    }

    pub(crate) fn plan_all(&self) -> Plan {
        self.plan(&Scope::All)
    }

    pub(crate) fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let payments = Pages { book: &self.book, is_reversed: self.is_reversed };
        look(&View { ledgers: self, payments: &payments, forwards: self, channels: self })
    }

    pub(crate) fn line(&mut self, key: HtlcKey) -> &mut Line {
        let sheet = self.sheets.get_mut(&key.channel_id).expect("a known channel");
        sheet.lines.get_mut(&key.htlc_id).expect("a known HTLC")
    }

    /// Executes one action, and panics where an executor would be refused.
    pub(crate) fn execute(&mut self, action: &Action) {
        match action {
            Action::Record(record) => self.book.apply(record),
            Action::Tell { payment_id, events } => {
                self.queued.insert(*payment_id, events.clone());
            }
            Action::Release(ReleasePaymentComplete { htlc, told }) => {
                let line = self.line(*htlc);
                assert!(line.verdict.is_final(), "only what is final is released");
                assert_eq!(line.delivered, None, "a release comes once");
                line.delivered = Some(*told);
            }
            Action::GiveUp(GiveUp { htlc, generation }) => {
                let line = self.line(*htlc);
                let HtlcOrigin::Payment(origin) = &line.htlc.origin else {
                    panic!("only payments are given up");
                };
                assert_eq!(origin.generation, *generation);
                line.is_given_up = true;
            }
            Action::NoteUnknown { channel_id, payment_id, generation } => {
                let (payment_id, generation) = (*payment_id, *generation);
                let tombstone = Tombstone { payment_id, generation, outcome: Outcome::Unknown };
                let sheet = self.sheets.get_mut(channel_id).expect("a known channel");
                assert!(!sheet.told_unknown.contains(&tombstone), "it is noted once");
                sheet.told_unknown.push(tombstone);
            }
            Action::NoteInboundOnChain { outbound, inbound } => {
                assert!(self.is_closed(inbound.channel_id), "an open channel is not on chain");
                let line = self.line(*outbound);
                assert!(!line.verdict.is_final(), "nothing is failed back that is decided");
                assert!(!line.is_inbound_on_chain, "it is noted once");
                line.is_inbound_on_chain = true;
            }
            Action::Claim(_) | Action::FulfillHtlc { .. } | Action::DecideInbound { .. } => {
                panic!("this world receives nothing: {action}")
            }
            Action::Retry { .. }
            | Action::WaitForPart { .. }
            | Action::Wait { .. }
            | Action::ReportUnknownForward { .. }
            | Action::MonitorBehind { .. } => {}
            Action::ClaimInbound { inbound, .. } | Action::FailInbound { inbound, .. } => {
                self.inbound.insert(*inbound, InboundState::Resolved);
            }
            Action::MarkChannelClosed { channel_id } => {
                let known = self.channels.iter_mut().find(|entry| entry.channel_id == *channel_id);
                known.expect("a known channel").is_open = false;
            }
            Action::ManagerBehind { channel_id, durable, .. } => {
                let known = self.channels.iter_mut().find(|entry| entry.channel_id == *channel_id);
                known.expect("a known channel").latest_update = *durable;
                self.in_flight.remove(channel_id);
            }
            Action::ReplayUpdate(update) => {
                let sheet = self.sheets.get_mut(&update.channel_id).expect("a known channel");
                assert_eq!(sheet.latest_update.next(), Some(update.update_id), "in order");
                sheet.latest_update = update.update_id;
            }
            Action::UpdatesDurable { channel_id, up_to } => {
                let known = self.channels.iter_mut().find(|entry| entry.channel_id == *channel_id);
                known.expect("a known channel").latest_update = *up_to;
                let in_flight = self.in_flight.entry(*channel_id).or_default();
                in_flight.retain(|update| *up_to < update.update_id);
            }
        }
    }

    /// Tells the first queued event of some payment, without the record that it was handled.
    pub(crate) fn tell_next(&mut self) -> Option<Event> {
        let (_, events) = self.queued.iter_mut().find(|(_, events)| !events.is_empty())?;
        let event = events.remove(0);
        self.told.push(event.clone());
        Some(event)
    }

    /// Plans, executes, tells and handles until there is nothing left but to wait.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            let before = (self.sheets.clone(), self.book.clone(), self.told.len());
            let channels = (self.inbound.clone(), self.channels.clone());
            for planned in self.plan_all().actions {
                self.execute(&planned.action);
            }
            if let Some(event) = self.tell_next() {
                self.book.apply(&PaymentRecord::Handled { key: event.key().expect("a payment's") });
            }
            let after = (self.sheets.clone(), self.book.clone(), self.told.len());
            if before == after && channels == (self.inbound.clone(), self.channels.clone()) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Loses what is volatile, and restores this book.
    pub(crate) fn crash(&mut self, book: Book) {
        self.queued.clear();
        self.book = book;
    }
}
