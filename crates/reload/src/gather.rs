//! Gathering: which payments and forwards a plan is about, and every entry of a payment.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lastword_ports::{Ledger, LedgerState};
use lastword_types::{
    Bug, ChannelId, EntryState, Generation, Htlc, HtlcDirection, HtlcKey, HtlcOrigin, Intent,
    LedgerEntry, Outcome, PaymentId, PaymentOrigin, PaymentPreimage, PreimageSource, Told,
    Tombstone, Verdict,
};

use crate::plan::{Scope, View};
use crate::received::Received;

/// One part of a payment, as a ledger tells it.
#[derive(Debug, Clone)]
pub(crate) struct Part<'a> {
    pub(crate) key: HtlcKey,
    pub(crate) generation: Generation,
    pub(crate) htlc: &'a Htlc,
    pub(crate) origin: &'a PaymentOrigin,
    pub(crate) verdict: Verdict,
    pub(crate) delivered: Option<Told>,
    pub(crate) is_given_up: bool,
}

impl<'a> Part<'a> {
    fn read(entry: LedgerEntry<'a>) -> Option<Self> {
        let LedgerEntry { key, htlc, verdict, delivered, is_given_up, .. } = entry;
        match &htlc.origin {
            HtlcOrigin::Payment(origin) if key.direction == HtlcDirection::Offered => Some(Self {
                key,
                generation: origin.generation,
                htlc,
                origin,
                verdict,
                delivered,
                is_given_up,
            }),
            HtlcOrigin::Payment(_)
            | HtlcOrigin::Forward(_)
            | HtlcOrigin::Ours
            | HtlcOrigin::Forwarded { .. } => None,
        }
    }

    pub(crate) fn is_undelivered(&self) -> bool {
        self.delivered.is_none()
    }

    /// Returns the channels of its siblings: of its own attempt and of earlier ones.
    pub(crate) fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        let origin = &self.origin;
        origin.part_channels.iter().chain(&origin.terms.earlier_channels).copied()
    }
}

/// The undelivered outbound half of a forward.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outbound {
    pub(crate) inbound: HtlcKey,
    pub(crate) verdict: Verdict,
    pub(crate) is_inbound_on_chain: bool,
}

/// The inbound half of a forward that waits to be settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inbound {
    /// What it is claimed with, if it is.
    pub(crate) claim: Option<PaymentPreimage>,
    /// The outbound half.
    pub(crate) outbound: HtlcKey,
}

impl Inbound {
    fn of(entry: &LedgerEntry<'_>) -> Option<Self> {
        let is_waiting = !entry.is_removed && !entry.verdict.is_final();
        let inbound = match (entry.source, &entry.htlc.origin) {
            (Some(PreimageSource::Downstream { outbound }), _) => {
                Some(Self { claim: entry.claim.copied(), outbound: *outbound })
            }
            (None, HtlcOrigin::Forwarded { outbound }) => {
                Some(Self { claim: None, outbound: *outbound })
            }
            (None, HtlcOrigin::Ours | HtlcOrigin::Payment(_) | HtlcOrigin::Forward(_))
            | (Some(PreimageSource::Invoice { .. }), _) => None,
        };
        inbound.filter(|_| is_waiting)
    }
}

/// What a plan is about.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    /// The payments in the order of their ids, each as often as a channel is known to concern it, and
    /// those of which none is known once without.
    payments: Vec<(PaymentId, Option<ChannelId>)>,
    /// The forwards, by their outbound half.
    pub(crate) forwards: BTreeMap<HtlcKey, Outbound>,
    /// The received payments.
    pub(crate) received: BTreeSet<Received>,
    /// The inbound halves of forwards that wait to be settled.
    pub(crate) inbound: BTreeMap<HtlcKey, Inbound>,
}

impl Subjects {
    /// Names everything that the scope covers.
    pub(crate) fn of(scope: &Scope, view: &View<'_>) -> Self {
        let mut subjects = Self::default();
        match scope {
            Scope::All => {
                view.ledgers.for_each(&mut |ledger| subjects.add_undelivered(ledger, &|_| true));
                view.payments.for_each_pending(&mut |payment| {
                    subjects.payments.push((payment.intent.payment_id, None));
                });
            }
            Scope::Changed { payments, forwards, received } => {
                subjects.payments.extend(payments.iter().map(|payment_id| (*payment_id, None)));
                subjects.add_unknown(payments, view);
                subjects.add_forwards(forwards, view);
                subjects.add_received(received, view);
            }
        }
        subjects.payments.sort_unstable_by(|one, other| {
            // Nearly always the first half of an id decides, and that is a comparison of two numbers.
            let half =
                |(id, _): &(PaymentId, _)| id.0.first_chunk().copied().map(u128::from_be_bytes);
            half(one).cmp(&half(other)).then_with(|| one.cmp(other))
        });
        subjects.payments.dedup();
        subjects
    }

    /// Returns the payments, each with the channels that are known to concern it.
    pub(crate) fn payments(&self) -> impl Iterator<Item = (PaymentId, Channels<'_>)> {
        let payments = self.payments.chunk_by(|(one, _), (next, _)| one == next);
        payments.filter_map(|named| Some((named.first()?.0, Channels(named))))
    }

    /// Returns how many of them there are, or somewhat more.
    pub(crate) fn payments_at_most(&self) -> usize {
        self.payments.len()
    }

    /// A payment that the book does not know can be anywhere, so its channels have to be searched.
    fn add_unknown(&mut self, payments: &BTreeSet<PaymentId>, view: &View<'_>) {
        let is_unknown = |id: &PaymentId| view.payments.payment(*id).is_none();
        let unknown: BTreeSet<PaymentId> = payments.iter().copied().filter(is_unknown).collect();
        if unknown.is_empty() {
            return;
        }
        view.ledgers.for_each(&mut |ledger| {
            self.add_undelivered(ledger, &|entry| match &entry.htlc.origin {
                HtlcOrigin::Payment(origin) => unknown.contains(&origin.payment_id),
                HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => false,
            });
        });
    }

    fn add_forwards(&mut self, forwards: &BTreeSet<HtlcKey>, view: &View<'_>) {
        let channels: BTreeSet<ChannelId> = forwards.iter().map(|key| key.channel_id).collect();
        for channel_id in channels {
            match view.ledgers.ledger(channel_id) {
                LedgerState::Present(ledger) => self.add_undelivered(ledger, &|entry| {
                    forwards.contains(&entry.key)
                        && matches!(entry.htlc.origin, HtlcOrigin::Forward(_))
                }),
                // Its entries are planned when it can be read again.
                LedgerState::Missing | LedgerState::Damaged => {}
            }
        }
    }

    fn add_received(&mut self, received: &BTreeSet<HtlcKey>, view: &View<'_>) {
        for key in received {
            match view.ledgers.ledger(key.channel_id) {
                LedgerState::Present(ledger) => match ledger.entry(key.direction, key.htlc_id) {
                    EntryState::Entry(entry) => self.add_claimed(&entry),
                    EntryState::Forgotten | EntryState::Unknown => {}
                },
                LedgerState::Missing | LedgerState::Damaged => {}
            }
        }
    }

    /// Takes in a received HTLC.
    fn add_claimed(&mut self, entry: &LedgerEntry<'_>) {
        self.received.extend(Received::of(entry));
        self.inbound.extend(Inbound::of(entry).map(|inbound| (entry.key, inbound)));
    }

    fn add_undelivered(
        &mut self,
        ledger: &dyn Ledger,
        is_meant: &dyn Fn(&LedgerEntry<'_>) -> bool,
    ) {
        ledger.for_each_undelivered(&mut |entry| {
            if !is_meant(&entry) {
                return;
            }
            match &entry.htlc.origin {
                HtlcOrigin::Payment(origin) => {
                    self.payments.push((origin.payment_id, Some(entry.key.channel_id)));
                }
                HtlcOrigin::Forward(origin) => {
                    let LedgerEntry { verdict, is_inbound_on_chain, .. } = entry;
                    let outbound =
                        Outbound { inbound: origin.inbound, verdict, is_inbound_on_chain };
                    self.forwards.insert(entry.key, outbound);
                }
                HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => self.add_claimed(&entry),
            }
        });
    }
}

/// Returns the channels of every attempt that an intent knows of.
pub(crate) fn channels_of(intent: &Intent) -> impl Iterator<Item = ChannelId> + '_ {
    let parts = intent.parts.iter().map(|part| part.channel_id);
    parts.chain(intent.terms.earlier_channels.iter().copied())
}

/// The channels that are known to concern a payment.
pub(crate) struct Channels<'a>(&'a [(PaymentId, Option<ChannelId>)]);

impl Channels<'_> {
    fn iter(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.0.iter().filter_map(|(_, channel_id)| *channel_id)
    }
}

/// Every trace of a payment in the ledgers, by generation.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    /// Its entries, each generation's together, in the order of attempt and part.
    pub(crate) parts: Vec<Part<'a>>,
    /// What its tombstones say that the user was told.
    pub(crate) buried: BTreeMap<Generation, Outcome>,
}

impl<'a> Found<'a> {
    /// Returns every generation that has left a trace.
    pub(crate) fn generations(&self) -> BTreeSet<Generation> {
        self.generations_of_parts().chain(self.buried.keys().copied()).collect()
    }

    /// Returns every generation that has an entry, in their order.
    pub(crate) fn generations_of_parts(&self) -> impl Iterator<Item = Generation> + '_ {
        let generations =
            self.parts.chunk_by(|one, next| generation_of(one) == generation_of(next));
        generations.filter_map(|parts| parts.first().map(generation_of))
    }

    /// Returns the entries of a generation, in the order of attempt and part.
    pub(crate) fn parts_of(&self, generation: Generation) -> &[Part<'a>] {
        let first = self.parts.partition_point(|part| generation_of(part) < generation);
        let last = self.parts.partition_point(|part| generation_of(part) <= generation);
        self.parts.get(first..last).unwrap_or_default()
    }

    /// All parts of a generation were told one outcome. Should two differ, the one that says sent is
    /// taken, as with entries.
    fn bury(&mut self, Tombstone { generation, outcome, .. }: Tombstone) {
        let told = self.buried.entry(generation).or_insert(outcome);
        if outcome.kind() < told.kind() {
            *told = outcome;
        }
    }
}

fn generation_of(part: &Part<'_>) -> Generation {
    part.generation
}

/// Returns every trace of a payment, by generation, each in the order of attempt and part; the
/// channels are those that are known to concern it, besides those that the book names.
pub(crate) fn gather<'a>(
    view: &View<'a>,
    payment_id: PaymentId,
    channels: impl IntoIterator<Item = ChannelId>,
) -> Found<'a> {
    let mut gatherer = Gatherer::default();
    gatherer.gather(view, payment_id, channels);
    gatherer.found
}

/// Gathers the traces of one payment after the other, always in the same room.
#[derive(Debug, Default)]
pub(crate) struct Gatherer<'a> {
    to_ask: Vec<ChannelId>,
    /// Sorted. Nearly every payment has a handful of channels.
    asked: Vec<ChannelId>,
    found: Found<'a>,
}

impl<'a> Gatherer<'a> {
    /// Returns every trace of a payment that a plan is about.
    pub(crate) fn of(
        &mut self,
        view: &View<'a>,
        payment_id: PaymentId,
        channels: &Channels<'_>,
    ) -> &Found<'a> {
        self.gather(view, payment_id, channels.iter());
        &self.found
    }

    /// Asks the channels that are known to concern it and, from each entry that is found, those of its
    /// siblings, until there is nothing new: all parts are known before anything is resolved.
    fn gather(
        &mut self,
        view: &View<'a>,
        payment_id: PaymentId,
        channels: impl IntoIterator<Item = ChannelId>,
    ) {
        let Self { to_ask, asked, found } = self;
        asked.clear();
        found.parts.clear();
        found.buried.clear();
        to_ask.extend(channels);
        let held = view.payments.payment(payment_id).map(|payment| payment.intent);
        to_ask.extend(held.into_iter().flat_map(channels_of));
        while let Some(channel_id) = to_ask.pop() {
            let Err(place) = asked.binary_search(&channel_id) else { continue };
            asked.insert(place, channel_id);
            let ledger = match view.ledgers.ledger(channel_id) {
                LedgerState::Present(ledger) => ledger,
                LedgerState::Missing | LedgerState::Damaged => continue,
            };
            ledger.entries_of(payment_id, &mut |entry| {
                if let Some(part) = Part::read(entry)
                    && part.origin.payment_id == payment_id
                {
                    if !Bug::SiblingForgotten.is_planted() {
                        to_ask.extend(part.channels());
                    }
                    found.parts.push(part);
                }
            });
            ledger.tombstones_of(payment_id, &mut |tombstone| {
                if tombstone.payment_id == payment_id {
                    found.bury(tombstone);
                }
            });
        }
        if let (true, Some(held)) = (Bug::GenerationsMerged.is_planted(), held) {
            found.parts.iter_mut().for_each(|part| part.generation = held.generation);
        }
        found.parts.sort_unstable_by_key(|part| {
            (part.generation, part.origin.attempt, part.origin.part, part.key)
        });
    }
}
