//! [`Channels`]: every channel, as a card or as a monitor in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use lastword_chain::{RECENT_BLOCKS, WatchIndex};
use lastword_monitor::Monitor;
use lastword_ports::{Ledger, LedgerState, Ledgers, Lsn, Store, Stream};
use lastword_types::{
    BlockHeight, BookEpoch, Card, ChannelId, HtlcDirection, HtlcKey, HtlcOrigin, LedgerEntry,
    MonitorRecord, MonitorUpdate, PaymentId, UpdateId,
};
use lastword_wire as wire;

use crate::damage::{Damage, DamagedPart};
use crate::error::EngineError;
use crate::growth::Growth;
use crate::quiet::{Quiet, footprint};

/// What is kept of every channel, also of a quiet one: a card's facts but those of the index.
#[derive(Debug)]
struct Kept {
    slot: Slot,
    latest_update: UpdateId,
    /// Up to which block the channel has seen the chain.
    synced_to: BlockHeight,
    /// Whether its funding output is spent or we decided to fail it.
    is_closed: bool,
    /// Whether nothing changes it any more.
    is_archived: bool,
}

impl Kept {
    /// What is kept of a channel of which nothing is known but its name.
    fn unreadable() -> Self {
        Self {
            slot: Slot::Damaged,
            latest_update: UpdateId(0),
            synced_to: BlockHeight(0),
            is_closed: false,
            is_archived: false,
        }
    }

    /// What is kept of a channel whose monitor is not in memory.
    fn cold(card: &Card) -> Self {
        Self {
            slot: Slot::Cold,
            latest_update: card.latest_update,
            synced_to: card.synced_to.height,
            is_closed: card.is_closed,
            is_archived: card.is_archived,
        }
    }
}

/// Where a channel's monitor is.
#[derive(Debug)]
enum Slot {
    /// Open and quiet: its monitor is read on first need.
    Cold,
    /// Its monitor is in memory.
    Warm(Box<Warm>),
    /// Its bytes are damaged and set apart.
    Damaged,
}

/// A monitor in memory, and how far its log has grown since its last snapshot.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) monitor: Monitor,
    pub(crate) last: Lsn,
    pub(crate) growth: Growth,
}

/// Every channel, with the indexes that spare a visit to each of them.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    kept: BTreeMap<ChannelId, Kept>,
    /// The channels that are set apart, each with the damage that was met first.
    damaged: BTreeMap<ChannelId, Damage>,
    /// Who is concerned by a spend or a height.
    pub(crate) index: WatchIndex,
    /// The channels by the block up to which they have seen the chain, for reorgs; only those that
    /// have seen a block above `floor`.
    synced: BTreeSet<(BlockHeight, ChannelId)>,
    /// No reorg goes below this height: the tracker refuses it.
    floor: BlockHeight,
    /// The offered HTLCs of each payment whose outcome is not durably told.
    undelivered: BTreeMap<PaymentId, BTreeSet<HtlcKey>>,
    /// The same by HTLC: what is delivered may be forgotten at once, and the ledger is then silent.
    payment_of: BTreeMap<HtlcKey, PaymentId>,
    /// How many undelivered HTLCs each channel holds that holds any.
    untold: BTreeMap<ChannelId, usize>,
    /// The outbound halves of forwards whose inbound half is not durably settled, with that half.
    pub(crate) forwards: BTreeMap<HtlcKey, HtlcKey>,
    /// The same halves, the inbound one first.
    pub(crate) forwarded: BTreeSet<(HtlcKey, HtlcKey)>,
    /// Received HTLCs that somebody has to look at: claimed parts of payments that nobody was told
    /// of, and what a peer waits to hear of.
    pub(crate) owed: BTreeSet<HtlcKey>,
    /// The highest epoch behind which some channel dropped tombstones.
    pruned_behind: BookEpoch,
    /// Channels with a new card, of which some may be archived or have too many tombstones.
    changed: BTreeSet<ChannelId>,
    /// The monitors in memory, by when they were needed last.
    pub(crate) quiet: Quiet,
    /// Channels that have closed and whose forwards were not looked at since.
    closed: BTreeSet<ChannelId>,
}

/// The least id there is.
const FIRST_CHANNEL: ChannelId = ChannelId([0; 32]);

/// Returns the highest block that no reorg from a tip takes away.
fn reorg_floor(tip: BlockHeight) -> BlockHeight {
    let deepest = u32::try_from(RECENT_BLOCKS).unwrap_or(u32::MAX);
    BlockHeight(tip.0.saturating_sub(deepest))
}

/// The cards of a start, one after the other as a store hands them out.
///
/// They are put in their order at once when all are there: a map that is built of a sorted list
/// needs half the memory of one that grows.
#[derive(Debug, Default)]
pub(crate) struct Cards {
    kept: Vec<(ChannelId, Kept)>,
    index: WatchIndex,
    pruned_behind: Option<BookEpoch>,
}

impl Cards {
    pub(crate) fn take_in(&mut self, card: &Card) {
        self.index.set(card.channel_id, &card.watched, card.next_deadline);
        self.kept.push((card.channel_id, Kept::cold(card)));
        self.pruned_behind = self.pruned_behind.max(Some(card.pruned_behind));
    }

    /// Returns the channels, not one of them in memory.
    pub(crate) fn into_channels(self, tip: BlockHeight) -> Channels {
        let floor = reorg_floor(tip);
        let is_recent = |kept: &Kept| kept.synced_to > floor && !kept.is_archived;
        let recent = self.kept.iter().filter(|(_, kept)| is_recent(kept));
        let synced = recent.map(|(channel_id, kept)| (kept.synced_to, *channel_id)).collect();
        let kept = self.kept.into_iter().collect();
        let pruned_behind = self.pruned_behind.unwrap_or(BookEpoch::ZERO);
        Channels { kept, index: self.index, synced, floor, pruned_behind, ..Channels::default() }
    }
}

impl Channels {
    pub(crate) fn contains(&self, channel_id: ChannelId) -> bool {
        self.kept.contains_key(&channel_id)
    }

    pub(crate) fn damaged(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.damaged.keys().copied()
    }

    pub(crate) fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.damaged.values()
    }

    pub(crate) fn is_damaged(&self, channel_id: ChannelId) -> bool {
        self.damaged.contains_key(&channel_id)
    }

    /// Sets a channel apart: nothing reads or changes it any more, and whatever it may hold counts
    /// as open.
    pub(crate) fn set_apart(&mut self, channel_id: ChannelId, damage: Damage) {
        let Damage { part, position, error, .. } = &damage;
        tracing::error!(%channel_id, ?part, ?position, %error, "a channel is set apart");
        self.kept.entry(channel_id).or_insert_with(Kept::unreadable).slot = Slot::Damaged;
        self.damaged.entry(channel_id).or_insert(damage);
    }

    fn slot(&self, channel_id: ChannelId) -> Option<&Slot> {
        self.kept.get(&channel_id).map(|kept| &kept.slot)
    }

    fn set_slot(&mut self, channel_id: ChannelId, slot: Slot) {
        if let Some(kept) = self.kept.get_mut(&channel_id) {
            kept.slot = slot;
        }
    }

    /// Takes in a new card of a channel, known or not; its monitor stays where it is.
    pub(crate) fn follow(&mut self, card: &Card) {
        let channel_id = card.channel_id;
        self.index.set(channel_id, &card.watched, card.next_deadline);
        let synced_to = card.synced_to.height;
        let kept = self.kept.entry(channel_id).or_insert_with(|| Kept::cold(card));
        kept.latest_update = card.latest_update;
        if card.is_closed && !kept.is_closed {
            self.closed.insert(channel_id);
        }
        kept.is_closed = card.is_closed;
        kept.is_archived = card.is_archived;
        let before = core::mem::replace(&mut kept.synced_to, synced_to);
        self.synced.remove(&(before, channel_id));
        // No reorg reaches what is archived.
        if synced_to > self.floor && !card.is_archived {
            self.synced.insert((synced_to, channel_id));
        }
        self.pruned_behind = self.pruned_behind.max(card.pruned_behind);
        self.changed.insert(channel_id);
    }

    /// Takes out the channels whose cards are new.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ChannelId> {
        core::mem::take(&mut self.changed)
    }

    pub(crate) fn is_archived(&self, channel_id: ChannelId) -> bool {
        self.kept.get(&channel_id).is_some_and(|kept| kept.is_archived)
    }

    /// Takes a monitor out of memory; it is read again on demand.
    pub(crate) fn cool(&mut self, channel_id: ChannelId) {
        if let Some(Slot::Warm(_)) = self.slot(channel_id) {
            self.set_slot(channel_id, Slot::Cold);
            self.quiet.forget(channel_id);
        }
    }

    /// Forgets which channels have seen blocks that no reorg from this tip can take away.
    pub(crate) fn settle_below(&mut self, tip: BlockHeight) {
        let floor = reorg_floor(tip);
        if floor > self.floor {
            self.floor = floor;
            self.synced = self.synced.split_off(&(floor.plus(1), FIRST_CHANNEL));
        }
    }

    pub(crate) fn insert(&mut self, channel_id: ChannelId, warm: Warm) {
        self.follow(&warm.monitor.card());
        self.set_slot(channel_id, Slot::Warm(Box::new(warm)));
        self.touch(channel_id);
        self.count_undelivered(channel_id);
    }

    /// Takes note that a monitor in memory is needed.
    pub(crate) fn touch(&mut self, channel_id: ChannelId) {
        if let Ok(warm) = self.get(channel_id) {
            let bytes = footprint(&warm.monitor);
            self.quiet.touch(channel_id, bytes);
        }
    }

    /// Says whether something of a channel is not told.
    pub(crate) fn holds_untold(&self, channel_id: ChannelId) -> bool {
        self.untold.contains_key(&channel_id)
    }

    /// Returns how many channels there are.
    pub(crate) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Returns about how many bytes the map of channels takes, with the list for reorgs.
    pub(crate) fn map_bytes(&self) -> usize {
        let each = size_of::<(ChannelId, Kept)>();
        let recent = size_of::<(BlockHeight, ChannelId)>();
        // Nodes of such maps are two thirds full.
        (self.kept.len() * each + self.synced.len() * recent) * 3 / 2
    }

    /// Returns how many HTLCs there are of which something is owed.
    pub(crate) fn pending_count(&self) -> usize {
        self.payment_of.len() + self.forwards.len() + self.owed.len()
    }

    /// Returns the monitors in memory.
    pub(crate) fn warm_monitors(&self) -> impl Iterator<Item = &Monitor> {
        self.kept.values().filter_map(|kept| match &kept.slot {
            Slot::Warm(warm) => Some(&warm.monitor),
            Slot::Cold | Slot::Damaged => None,
        })
    }

    /// Returns the last update of a channel.
    pub(crate) fn latest_update(&self, channel_id: ChannelId) -> Option<UpdateId> {
        self.kept.get(&channel_id).map(|kept| kept.latest_update)
    }

    /// Says whether `have` is the last update of a channel's monitor, if there is such a channel.
    pub(crate) fn is_at(&self, channel_id: ChannelId, have: UpdateId) -> bool {
        self.kept.get(&channel_id).is_none_or(|kept| have == kept.latest_update)
    }

    /// Returns the sound channels that have seen a block above `height`.
    pub(crate) fn synced_above(&self, height: BlockHeight) -> Vec<ChannelId> {
        let above = self.synced.range((height.plus(1), FIRST_CHANNEL)..).map(|(_, id)| *id);
        above.filter(|id| !self.is_damaged(*id)).collect()
    }

    /// Returns a monitor that is in memory.
    pub(crate) fn get(&self, channel_id: ChannelId) -> Result<&Warm, EngineError> {
        match self.slot(channel_id) {
            Some(Slot::Warm(warm)) => Ok(warm),
            Some(Slot::Damaged) => Err(EngineError::Damaged(channel_id)),
            Some(Slot::Cold) | None => Err(EngineError::UnknownChannel(channel_id)),
        }
    }

    pub(crate) fn get_mut(&mut self, channel_id: ChannelId) -> Result<&mut Warm, EngineError> {
        match self.kept.get_mut(&channel_id).map(|kept| &mut kept.slot) {
            Some(Slot::Warm(warm)) => Ok(warm),
            Some(Slot::Damaged) => Err(EngineError::Damaged(channel_id)),
            Some(Slot::Cold) | None => Err(EngineError::UnknownChannel(channel_id)),
        }
    }

    /// Reads a monitor from its store if it is not in memory.
    ///
    /// # Errors
    ///
    /// [`EngineError::Damaged`] and its causes: the channel is set apart, the others go on. A store
    /// that cannot be read now says nothing of the channel.
    pub(crate) fn warm(
        &mut self,
        channel_id: ChannelId,
        store: &dyn Store,
    ) -> Result<(), EngineError> {
        match self.slot(channel_id) {
            Some(Slot::Warm(_)) => {
                self.touch(channel_id);
                Ok(())
            }
            Some(Slot::Damaged) => Err(EngineError::Damaged(channel_id)),
            None => Err(EngineError::UnknownChannel(channel_id)),
            Some(Slot::Cold) => match load(channel_id, store) {
                Ok(warm) => {
                    self.insert(channel_id, warm);
                    Ok(())
                }
                Err(damage) => {
                    let error = damage.error.copy();
                    if damage.is_damage() {
                        self.set_apart(channel_id, *damage);
                    }
                    Err(error)
                }
            },
        }
    }

    /// Returns the payment that an HTLC is or was an undelivered part of.
    pub(crate) fn payment_of(&self, key: HtlcKey) -> Option<PaymentId> {
        let known = self.payment_of.get(&key).copied();
        known.or_else(|| match self.origin(key)? {
            HtlcOrigin::Payment(origin) => Some(origin.payment_id),
            HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => None,
        })
    }

    /// Says whether an HTLC is or was the undelivered outbound half of a forward.
    pub(crate) fn is_forward(&self, key: HtlcKey) -> bool {
        self.forwards.contains_key(&key) || matches!(self.origin(key), Some(HtlcOrigin::Forward(_)))
    }

    /// Returns the undelivered outbound halves of forwards whose inbound half is in a channel that
    /// has closed since the last call. Costs nothing when none has.
    pub(crate) fn take_newly_on_chain(&mut self) -> Vec<HtlcKey> {
        let closed = core::mem::take(&mut self.closed);
        if closed.is_empty() {
            return Vec::new();
        }
        let halves = self.forwards.iter();
        let on_chain = halves.filter(|(_, inbound)| closed.contains(&inbound.channel_id));
        on_chain.map(|(outbound, _)| *outbound).collect()
    }

    /// Returns every channel.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.kept.keys().copied()
    }

    /// Says whether a monitor knows a payment; one that is not in memory is read and let go.
    pub(crate) fn knows(
        &self,
        channel_id: ChannelId,
        payment_id: PaymentId,
        store: &dyn Store,
    ) -> Result<bool, EngineError> {
        let knows = |monitor: &Monitor| {
            let mut is_known = false;
            monitor.entries_of(payment_id, &mut |_: LedgerEntry<'_>| is_known = true);
            monitor.tombstones_of(payment_id, &mut |_| is_known = true);
            is_known
        };
        match self.slot(channel_id) {
            Some(Slot::Warm(warm)) => Ok(knows(&warm.monitor)),
            Some(Slot::Cold) => match load(channel_id, store) {
                Ok(warm) => Ok(knows(&warm.monitor)),
                Err(damage) => Err(damage.error),
            },
            Some(Slot::Damaged) => Err(EngineError::Damaged(channel_id)),
            None => Err(EngineError::UnknownChannel(channel_id)),
        }
    }

    /// Returns the payment or forward that an HTLC of a warm monitor is for.
    fn origin(&self, key: HtlcKey) -> Option<&HtlcOrigin> {
        let warm = self.get(key.channel_id).ok()?;
        warm.monitor
            .state()
            .htlcs
            .get(&(key.direction, key.htlc_id))
            .map(|state| &state.htlc.origin)
    }

    /// Brings the index of undelivered HTLCs up to date with one HTLC.
    pub(crate) fn recount(&mut self, key: HtlcKey) {
        match key.direction {
            HtlcDirection::Offered => {}
            HtlcDirection::Received => return self.recount_received(key),
        }
        let Ok(warm) = self.get(key.channel_id) else { return };
        let htlc = warm.monitor.state().htlcs.get(&(key.direction, key.htlc_id));
        match htlc.filter(|htlc| htlc.delivered.is_none()).map(|htlc| &htlc.htlc.origin) {
            Some(HtlcOrigin::Payment(origin)) => {
                let payment_id = origin.payment_id;
                if self.undelivered.entry(payment_id).or_default().insert(key) {
                    self.payment_of.insert(key, payment_id);
                    self.count_untold(key.channel_id);
                }
            }
            Some(HtlcOrigin::Forward(forward)) => {
                let inbound = forward.inbound;
                if self.forwards.insert(key, inbound).is_none() {
                    self.forwarded.insert((inbound, key));
                    self.count_untold(key.channel_id);
                }
            }
            Some(HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }) => {}
            // Delivered, and perhaps forgotten since.
            None => self.uncount(key),
        }
    }

    fn uncount(&mut self, key: HtlcKey) {
        if let Some(inbound) = self.forwards.remove(&key) {
            self.forwarded.remove(&(inbound, key));
            self.uncount_untold(key.channel_id);
        }
        if let Some(payment_id) = self.payment_of.remove(&key) {
            self.forget_undelivered(payment_id, key);
        }
    }

    pub(crate) fn count_untold(&mut self, channel_id: ChannelId) {
        *self.untold.entry(channel_id).or_default() += 1;
    }

    pub(crate) fn uncount_untold(&mut self, channel_id: ChannelId) {
        if let Some(count) = self.untold.get_mut(&channel_id) {
            *count -= 1;
            if *count == 0 {
                self.untold.remove(&channel_id);
            }
        }
    }

    fn forget_undelivered(&mut self, payment_id: PaymentId, key: HtlcKey) {
        let Some(keys) = self.undelivered.get_mut(&payment_id) else { return };
        if !keys.remove(&key) {
            return;
        }
        if keys.is_empty() {
            self.undelivered.remove(&payment_id);
        }
        self.uncount_untold(key.channel_id);
    }

    fn count_undelivered(&mut self, channel_id: ChannelId) {
        let mut found = Vec::new();
        if let Ok(warm) = self.get(channel_id) {
            warm.monitor.for_each_undelivered(&mut |entry: LedgerEntry<'_>| found.push(entry.key));
        }
        for key in found {
            self.recount(key);
        }
    }

    /// Says whether some ledger holds an undelivered entry of a payment (the ledgers' half of R8).
    pub(crate) fn owes(&self, payment_id: PaymentId) -> bool {
        self.undelivered.contains_key(&payment_id)
    }

    /// Returns the channels of all parts of a payment's undelivered entries in memory.
    pub(crate) fn channels_of(&self, payment_id: PaymentId) -> BTreeSet<ChannelId> {
        let keys = self.undelivered.get(&payment_id).into_iter().flatten();
        keys.flat_map(|key| self.part_channels(*key)).collect()
    }

    /// Returns the channels of all parts of the payments with an undelivered entry in memory.
    pub(crate) fn channels_of_undelivered(&self) -> BTreeSet<ChannelId> {
        let keys = self.undelivered.values().flatten();
        keys.flat_map(|key| self.part_channels(*key)).collect()
    }

    /// Returns the channels of all parts of the attempt that an HTLC belongs to and of those before.
    pub(crate) fn part_channels(&self, key: HtlcKey) -> Vec<ChannelId> {
        match self.origin(key) {
            Some(HtlcOrigin::Payment(origin)) => {
                let earlier = &origin.terms.earlier_channels;
                origin.part_channels.iter().chain(earlier).copied().collect()
            }
            Some(HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. })
            | None => Vec::new(),
        }
    }
}

impl Ledgers for Channels {
    fn ledger(&self, channel_id: ChannelId) -> LedgerState<'_> {
        match self.slot(channel_id) {
            Some(Slot::Warm(warm)) => LedgerState::Present(&warm.monitor),
            Some(Slot::Damaged) => LedgerState::Damaged,
            // The driver warms every channel that a plan can name, so a cold one is not asked for.
            Some(Slot::Cold) | None => LedgerState::Missing,
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger)) {
        for channel_id in self.untold.keys() {
            if let Ok(warm) = self.get(*channel_id) {
                visit(&warm.monitor);
            }
        }
    }

    fn for_each_damaged(&self, visit: &mut dyn FnMut(ChannelId)) {
        self.damaged().for_each(visit);
    }

    fn pruned_behind(&self) -> BookEpoch {
        self.pruned_behind
    }

    fn is_closed(&self, channel_id: ChannelId) -> bool {
        self.kept.get(&channel_id).is_some_and(|kept| kept.is_closed)
    }
}

/// Reads the updates of a channel behind `have` that its log still holds.
pub(crate) fn updates_after(
    channel_id: ChannelId,
    have: UpdateId,
    store: &dyn Store,
) -> Result<Vec<MonitorUpdate>, EngineError> {
    let (mut updates, mut failure) = (Vec::new(), None);
    store.replay(Stream::Channel(channel_id), None, &mut |_, body| {
        match wire::decode_monitor_record(body) {
            Ok(MonitorRecord::Update(update)) if have < update.update_id => updates.push(update),
            Ok(_) => {}
            Err(source) => {
                failure = Some(EngineError::Bytes { what: "a channel", source });
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failure.map_or(Ok(updates), Err)
}

/// Folds a channel from its snapshot and the records behind it.
pub(crate) fn load(channel_id: ChannelId, store: &dyn Store) -> Result<Warm, Box<Damage>> {
    let stream = Stream::Channel(channel_id);
    let bytes = |source| EngineError::Bytes { what: "a channel", source };
    let refused = |source| EngineError::Monitor { channel_id, source };
    let damage = |place, error| Box::new(Damage::of_channel(channel_id, place, error));
    let mut after = None;
    let mut monitor = None;
    let mut growth = Growth::default();
    let snapshot = store.latest(stream);
    if let Some(snapshot) =
        snapshot.map_err(|error| Box::new(Damage::reported(error, DamagedPart::Snapshot)))?
    {
        let place = (DamagedPart::Snapshot, Some(snapshot.at.position));
        let state = wire::decode_monitor_state(&snapshot.body).map_err(bytes);
        let restored = state.and_then(|state| Monitor::restore(state).map_err(refused));
        monitor = Some(restored.map_err(|error| damage(place, error))?);
        after = Some(snapshot.at);
        growth = Growth::behind(snapshot.body.len());
    }
    let mut last = after;
    let mut failure = None;
    let replayed = store.replay(stream, after, &mut |lsn, body| {
        last = Some(lsn);
        growth.add(body.len());
        match fold(channel_id, &mut monitor, body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                let place = (DamagedPart::Record, Some(lsn.position));
                failure = Some(damage(place, error));
                ControlFlow::Break(())
            }
        }
    });
    replayed.map_err(|error| Box::new(Damage::reported(error, DamagedPart::Record)))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let whole = (DamagedPart::Whole, None);
    match (monitor, last) {
        (Some(monitor), Some(last)) => {
            let found = monitor.state().parameters.channel_id;
            if found == channel_id {
                return Ok(Warm { monitor, last, growth });
            }
            Err(damage(whole, EngineError::Misplaced { named: channel_id, found }))
        }
        (None, _) | (_, None) => Err(damage(whole, EngineError::UnknownChannel(channel_id))),
    }
}

/// Takes one record in.
fn fold(
    channel_id: ChannelId,
    monitor: &mut Option<Monitor>,
    body: &[u8],
) -> Result<(), EngineError> {
    let refused = |source| EngineError::Monitor { channel_id, source };
    let bytes = |source| EngineError::Bytes { what: "a channel", source };
    match (monitor, wire::decode_monitor_record(body).map_err(bytes)?) {
        (none @ None, MonitorRecord::Created(new)) => {
            *none = Some(Monitor::create(*new).map_err(refused)?);
        }
        (None, _) => return Err(EngineError::UnknownChannel(channel_id)),
        (Some(monitor), record) => {
            monitor.apply(&record).map_err(refused)?;
        }
    }
    Ok(())
}
