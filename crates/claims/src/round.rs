//! [`Round`]: what is due at one tip, made and handed out one by one, the most urgent first.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::{self, Vec};

use bitcoin::{OutPoint, Transaction};
use lastword_types::{BlockHeight, ChannelId};

use crate::claims::{Claims, Refusal};
use crate::error::ClaimError;
use crate::package::Package;
use crate::purse::{Purse, Wallet};

/// What is to be done for one channel in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Raise the transaction that stands under this output if it should pay more, and offer it again.
    Standing(OutPoint),
    /// Give the request of this output a transaction of its own.
    Alone(OutPoint),
    /// Give the requests that wait for nobody as few transactions as possible.
    Shared,
}

/// A task with its place in the order.
///
/// The nearest deadline comes first; what nobody contests for now comes last. What takes the place of
/// something that others of its channel claimed too comes before those others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) deadline: BlockHeight,
    pub(crate) is_no_heir: bool,
    pub(crate) is_shared: bool,
    /// The lowest output.
    pub(crate) outpoint: Option<OutPoint>,
    pub(crate) task: Task,
}

/// What is offered to the network at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Whose claim it is.
    pub channel_id: ChannelId,
    /// From which height on somebody else can take one of the outputs.
    pub deadline: Option<BlockHeight>,
    /// One signed transaction; or a commitment and behind it the child that pays for both, as one
    /// package, for the network may refuse either alone.
    pub transactions: Vec<Transaction>,
}

/// What is due at one tip: an iterator that raises, builds and signs one transaction after the other,
/// the nearest deadline first, so that whoever is short of time or of coins has served the most
/// urgent.
///
/// # Shape
///
/// Each offer is made when it is asked for. A round that is dropped half-way leaves the rest for the
/// next one, which begins with the most urgent again.
pub struct Round<'c, 'p, 'w> {
    claims: &'c mut Claims,
    purse: Purse<'p, 'w>,
    next: BlockHeight,
    agenda: vec::IntoIter<(Due, ChannelId)>,
    ready: VecDeque<Offer>,
    errors: Vec<ClaimError>,
}

impl core::fmt::Debug for Round<'_, '_, '_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Round").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl<'c, 'p, 'w> Round<'c, 'p, 'w> {
    pub(crate) fn new(
        claims: &'c mut Claims,
        next: BlockHeight,
        wallet: &'p mut Wallet<'w>,
    ) -> Self {
        let purse = Purse::new(wallet, claims.reserved(), claims.destination.take());
        let mut agenda: Vec<(Due, ChannelId)> = claims
            .channels
            .iter()
            .flat_map(|(channel_id, channel)| {
                channel.tasks(next).into_iter().map(|due| (due, *channel_id))
            })
            .collect();
        agenda.sort_unstable_by_key(|(due, channel_id)| {
            (due.deadline, due.is_no_heir, due.is_shared, *channel_id, due.outpoint)
        });
        let agenda = agenda.into_iter();
        Self { claims, purse, next, agenda, ready: VecDeque::new(), errors: Vec::new() }
    }

    /// Returns how many tasks are left; each makes at most a few offers.
    pub fn left(&self) -> usize {
        self.agenda.len() + self.ready.len()
    }

    /// Takes in that a broadcaster refused what was offered; see [`Claims::refused`], which this does
    /// without a search.
    pub fn refused(&mut self, offer: &Offer, refusal: Refusal) {
        let Some(channel) = self.claims.channels.get_mut(&offer.channel_id) else { return };
        let inputs = offer.transactions.first().into_iter().flat_map(|first| &first.input);
        let claimed = inputs.map(|input| input.previous_output);
        if let Some(key) = claimed.filter(|key| channel.packages.contains_key(key)).min() {
            channel.refused_at(key, refusal);
        }
    }

    /// Takes out what could not be done so far.
    pub fn take_errors(&mut self) -> Vec<ClaimError> {
        core::mem::take(&mut self.errors)
    }

    fn work(&mut self, channel_id: ChannelId, task: Task) {
        let Some(channel) = self.claims.channels.get_mut(&channel_id) else { return };
        let (next, purse, errors) = (self.next, &mut self.purse, &mut self.errors);
        let made: Vec<OutPoint> = match task {
            Task::Standing(key) => {
                let given_back = channel.raise(key, next, purse, errors);
                self.claims.given_back.extend(given_back.into_iter().map(|coin| (coin, next)));
                Vec::from([key])
            }
            Task::Alone(outpoint) => {
                channel.build_alone(outpoint, next, purse, errors);
                Vec::from([outpoint])
            }
            Task::Shared => channel.build_batches(next, purse, errors),
        };
        let made: BTreeSet<OutPoint> = made.into_iter().collect();
        let mut packages: Vec<&Package> =
            made.iter().filter_map(|key| channel.packages.get(key)).collect();
        packages.sort_by_key(|package| !package.is_heir);
        self.ready.extend(packages.into_iter().map(|package| {
            let child = package.child.as_ref().map(|child| child.transaction.clone());
            let transactions = core::iter::once(package.transaction.clone()).chain(child).collect();
            Offer { channel_id, deadline: channel.deadline(&package.claimed), transactions }
        }));
    }
}

impl Iterator for Round<'_, '_, '_> {
    type Item = Offer;

    fn next(&mut self) -> Option<Offer> {
        loop {
            if let Some(offer) = self.ready.pop_front() {
                return Some(offer);
            }
            let (Due { task, .. }, channel_id) = self.agenda.next()?;
            self.work(channel_id, task);
        }
    }
}

impl Drop for Round<'_, '_, '_> {
    fn drop(&mut self) {
        self.claims.destination = self.purse.take_destination();
    }
}
