//! [`Channel`]: the requests of one channel and the transactions that answer them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::{OutPoint, Transaction, Txid};
use lastword_ports::Urgency;
use lastword_types::{BlockHeight, ClaimKind, ClaimRequest, FeeRatePerKw};

use crate::claims::Refusal;
use crate::error::{ClaimError, ClaimErrorKind};
use crate::offers::{Offer, Offers};
use crate::package::{Package, check, urgency};
use crate::penalty;
use crate::presigned::{Commitment, SecondStage};
use crate::purse::Purse;
use crate::round::{Due, Task};
use crate::schedule::{RAISE_WINDOW, blocks_left, risen};
use crate::sweep::{self, Failure, Sweep};
use crate::terms::Terms;

/// The sweeps that one transaction takes at most: with 325 weight units for each it stays far below
/// the 400,000 that nodes relay.
pub const MAX_SWEEPS_PER_TRANSACTION: usize = 100;

/// What an entry of a map or a set takes besides its value.
const ENTRY_BYTES: usize = 128;

/// What a transaction takes besides its bytes: its lists, their room, and a witness's index.
const TRANSACTION_BYTES: usize = 512;

/// The requests of one channel and the transactions that answer them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channel {
    pub(crate) requests: BTreeMap<OutPoint, Pending>,
    /// By the lowest output that each claims.
    pub(crate) packages: BTreeMap<OutPoint, Package>,
    /// Those of them whose requests shared a transaction because there was time.
    shared: BTreeSet<OutPoint>,
    /// What the network has seen of them.
    offers: Offers,
}

/// A request, and what the last call made of it.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) request: ClaimRequest,
    /// Whether the last call found that it is not worth its fee.
    pub(crate) is_not_worth: bool,
}

impl Channel {
    /// Takes the complete list of what is to be spent, and keeps of its transactions those all of
    /// whose requests are the same.
    pub(crate) fn with_requests(mut self, requests: Vec<ClaimRequest>) -> Self {
        let mut new: BTreeMap<OutPoint, Pending> = BTreeMap::new();
        for request in requests {
            let known = self.requests.get(&request.outpoint);
            let is_not_worth =
                known.is_some_and(|pending| pending.is_not_worth && pending.request == request);
            new.entry(request.outpoint).or_insert(Pending { request, is_not_worth });
        }
        let old = core::mem::replace(&mut self.requests, new);
        let requests = &self.requests;
        self.packages.retain(|_, package| {
            package.claimed.iter().all(|outpoint| {
                let [before, after] = [&old, requests].map(|requests| requests.get(outpoint));
                before.map(|pending| &pending.request) == after.map(|pending| &pending.request)
            })
        });
        self.offers.retain(|outpoint| requests.contains_key(outpoint));
        self
    }

    /// About how many bytes all of it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of = |transaction: &Transaction| transaction.total_size() + TRANSACTION_BYTES;
        let requests = self.requests.values().map(|pending| {
            let request = &pending.request;
            let signed_by_peer = match &request.kind {
                ClaimKind::Commitment { transaction, .. }
                | ClaimKind::SecondStage { transaction, .. } => of(transaction),
                ClaimKind::Sweep { .. } => 0,
            };
            size_of::<Pending>() + request.script.len() + signed_by_peer + ENTRY_BYTES
        });
        let packages = self.packages.values().map(|package| {
            let child = package.child.as_ref().map_or(0, |child| of(&child.transaction));
            // The outputs are named by the package, its offer and their marks.
            let named = 3 * package.claimed.len() * ENTRY_BYTES;
            size_of::<Package>() + of(&package.transaction) + child + named + 3 * ENTRY_BYTES
        });
        size_of::<Self>() + requests.sum::<usize>() + packages.sum::<usize>()
    }

    /// Takes in that the network refused a transaction, if it is one of these.
    pub(crate) fn refused(&mut self, txid: Txid, refusal: Refusal) {
        let mut holding = self.packages.iter().filter(|(_, package)| package.holds(txid));
        if let Some((key, _)) = holding.next() {
            self.refused_at(*key, refusal);
        }
    }

    /// Takes in that the network refused the transaction whose lowest output is this one.
    pub(crate) fn refused_at(&mut self, key: OutPoint, refusal: Refusal) {
        let Some(package) = self.packages.get(&key) else { return };
        match refusal {
            Refusal::Fee => self.offers.raise(package),
            Refusal::Other => {
                if let Some(package) = self.packages.remove(&key) {
                    self.offers.take_back(package);
                }
            }
        }
    }

    /// What is to be done for the block at `next`.
    pub(crate) fn tasks(&self, next: BlockHeight) -> Vec<Due> {
        let standing = self.packages.iter().filter(|(_, package)| self.is_due(package, next));
        let standing = standing.map(|(key, package)| {
            let is_shared = self.shared.contains(key);
            self.place(&package.claimed, package.is_heir, is_shared, Task::Standing(*key))
        });
        let mut is_any_sociable = false;
        let unclaimed = self.unclaimed(next).filter(|request| {
            let is_sociable = is_sociable(request, next);
            is_any_sociable |= is_sociable;
            !is_sociable
        });
        let alone = unclaimed.map(|request| {
            let outpoint = request.outpoint;
            let is_heir = self.offers.is_heir(outpoint);
            self.place(&BTreeSet::from([outpoint]), is_heir, false, Task::Alone(outpoint))
        });
        let mut tasks: Vec<Due> = standing.chain(alone).collect();
        if is_any_sociable {
            tasks.push(self.place(&BTreeSet::new(), false, true, Task::Shared));
        }
        tasks
    }

    /// The place of a task for some outputs. An heir goes before all that has a deadline in its
    /// channel.
    fn place(
        &self,
        claimed: &BTreeSet<OutPoint>,
        is_heir: bool,
        is_shared: bool,
        task: Task,
    ) -> Due {
        let deadline = if is_heir {
            self.requests.values().filter_map(|pending| pending.request.deadline).min()
        } else {
            self.deadline(claimed).filter(|_| !is_shared)
        };
        let deadline = deadline.unwrap_or(BlockHeight(u32::MAX));
        let outpoint = claimed.first().copied();
        Due { deadline, is_no_heir: !is_heir, is_shared, outpoint, task }
    }

    /// The height from which on somebody else can take one of these outputs.
    pub(crate) fn deadline(&self, claimed: &BTreeSet<OutPoint>) -> Option<BlockHeight> {
        let requests = claimed.iter().filter_map(|outpoint| self.requests.get(outpoint));
        requests.filter_map(|pending| pending.request.deadline).min()
    }

    fn is_due(&self, package: &Package, next: BlockHeight) -> bool {
        package.claimed.iter().all(|outpoint| is_due(&self.requests, outpoint, next))
    }

    /// What the claim of these outputs should pay.
    fn terms(
        &self,
        claimed: &BTreeSet<OutPoint>,
        urgency: Urgency,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
    ) -> Terms {
        let deadline = self.deadline(claimed);
        let asked = purse.rate(urgency);
        let mark = self.offers.mark(claimed);
        let marked = mark.map_or(asked, |mark| match deadline {
            Some(deadline) => risen(mark.rate, mark.next, next, deadline),
            // Only a refusal makes a mark for what nobody else can take.
            None => mark.rate.min(twice(purse.rate(Urgency::Contended))),
        });
        let left = deadline.map(|deadline| blocks_left(next, deadline));
        Terms {
            asked,
            wanted: asked.max(marked),
            replaced: self.offers.replaced(claimed),
            is_pressed: left.is_some_and(|left| left <= RAISE_WINDOW),
            destination: None,
        }
    }

    /// Replaces a package if it should pay more, and returns the coins that are given back.
    pub(crate) fn raise(
        &mut self,
        key: OutPoint,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) -> Vec<OutPoint> {
        let Some(package) = self.packages.get(&key) else { return Vec::new() };
        let terms = self.terms(&package.claimed, self.urgency(package), next, purse);
        let terms = Terms { destination: package.destination.clone(), ..terms };
        // What takes its place may spend its coins; for the others they are taken.
        let coins = package.coins.clone();
        purse.release(&coins);
        let Raised { package: raised, error } = self.raised(package, &terms, purse);
        purse.reserve(coins.iter().copied());
        let mut given_back = Vec::new();
        if let Some(mut raised) = raised {
            raised.destination = raised.destination.or(terms.destination);
            given_back.extend(coins.into_iter().filter(|coin| !raised.coins.contains(coin)));
            self.keep(raised, self.shared.contains(&key), next);
        }
        if let Some((outpoint, kind)) = error {
            self.report(outpoint, kind, errors);
        }
        given_back
    }

    fn urgency(&self, package: &Package) -> Urgency {
        let requests = package.claimed.iter().filter_map(|outpoint| self.requests.get(outpoint));
        match package.claimed.first() {
            Some(key) if self.shared.contains(key) => Urgency::Relaxed,
            Some(_) | None => {
                requests.map(|pending| urgency(&pending.request)).max().unwrap_or(Urgency::Relaxed)
            }
        }
    }

    /// Builds what takes the place of a package, if it should pay more and can.
    fn raised(&self, package: &Package, terms: &Terms, purse: &mut Purse<'_, '_>) -> Raised {
        let requests: Vec<&ClaimRequest> = package
            .claimed
            .iter()
            .filter_map(|outpoint| self.requests.get(outpoint))
            .map(|pending| &pending.request)
            .collect();
        let Some(first) = requests.first() else { return Raised::default() };
        let built = if let Some(commitment) = Commitment::of(&first.kind) {
            commitment.raise(first, package, terms, purse)
        } else if !terms.exceed(package.rate) {
            return Raised::default();
        } else if let Some(second_stage) = SecondStage::of(&first.kind) {
            if second_stage.pays_by_itself() {
                return Raised::default();
            }
            let built = second_stage.build(first, terms, purse);
            built.map(|(package, error)| (Some(package), error))
        } else {
            let sweeps: Vec<Sweep<'_>> =
                requests.iter().filter_map(|request| Sweep::new(request)).collect();
            return match sweep::build(&sweeps, terms, purse) {
                Ok(package) => Raised { package: Some(package), error: None },
                Err(Failure::NotWorthItsFee(_)) => Raised::default(),
                Err(Failure::Signer(index, kind)) => {
                    let outpoint = sweeps.get(index).map(|sweep| sweep.request.outpoint);
                    let error = outpoint.map(|outpoint| (outpoint, kind));
                    Raised { package: None, error }
                }
            };
        };
        let named = |kind| (first.outpoint, kind);
        match built {
            Ok((package, error)) => Raised { package, error: error.map(named) },
            // It stands, and pays what it can.
            Err(ClaimErrorKind::NotWorthItsFee { .. }) => Raised::default(),
            Err(kind) => Raised { package: None, error: Some(named(kind)) },
        }
    }

    /// Drops the transactions some of whose requests are due and some are not, which happens when the
    /// tip fell back: those that are due must not wait for the others.
    pub(crate) fn drop_torn(&mut self, next: BlockHeight) {
        let requests = &self.requests;
        self.packages.retain(|_, package| {
            let is_due = |outpoint: &&OutPoint| is_due(requests, outpoint, next);
            let due_count = package.claimed.iter().filter(is_due).count();
            due_count == 0 || due_count == package.claimed.len()
        });
    }

    /// Drops the shared transactions with a penalty in them that has to go alone from now on.
    ///
    /// One of the transactions that take its place has to pay for replacing it, and is offered
    /// first; then there is nothing left for the others to replace.
    pub(crate) fn drop_pressing(&mut self, next: BlockHeight) {
        let (requests, offers) = (&self.requests, &mut self.offers);
        let shared = &mut self.shared;
        self.packages.retain(|key, package| {
            if !shared.contains(key) {
                return true;
            }
            let claimed = package.claimed.iter().filter_map(|outpoint| requests.get(outpoint));
            match penalty::heir(claimed.map(|pending| &pending.request), next) {
                None => true,
                Some(heir) => {
                    offers.bequeath(*key, heir);
                    shared.remove(key);
                    false
                }
            }
        });
    }

    /// The requests that are due and that no transaction answers.
    pub(crate) fn unclaimed(&self, next: BlockHeight) -> impl Iterator<Item = &ClaimRequest> {
        let claimed: BTreeSet<&OutPoint> =
            self.packages.values().flat_map(|package| &package.claimed).collect();
        self.requests
            .values()
            .map(|pending| &pending.request)
            .filter(move |request| request.earliest_height <= next)
            .filter(move |request| !claimed.contains(&request.outpoint))
    }

    /// Gives one request a transaction of its own.
    pub(crate) fn build_alone(
        &mut self,
        outpoint: OutPoint,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) {
        let Some(pending) = self.requests.get(&outpoint) else { return };
        let request = &pending.request;
        let terms = self.terms(&BTreeSet::from([outpoint]), urgency(request), next, purse);
        match build_alone(request, &terms, purse) {
            Ok((package, error)) => {
                self.keep(package, false, next);
                if let Some(kind) = error {
                    self.report(outpoint, kind, errors);
                }
            }
            Err(kind) => self.report(outpoint, kind, errors),
        }
    }

    /// Gives the requests that may share transactions as few of them as possible, and returns the
    /// lowest output of each.
    pub(crate) fn build_batches(
        &mut self,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) -> Vec<OutPoint> {
        let requests: Vec<ClaimRequest> =
            self.unclaimed(next).filter(|request| is_sociable(request, next)).cloned().collect();
        let (good, bad): (Vec<_>, Vec<_>) = requests
            .iter()
            .map(|request| (request, check(request)))
            .partition(|(_, checked)| checked.is_ok());
        for (request, checked) in bad {
            if let Err(kind) = checked {
                self.report(request.outpoint, kind, errors);
            }
        }
        let sweeps = good.into_iter().filter_map(|(request, _)| Sweep::new(request)).collect();
        let (worth, not_worth) = sweep::weigh(sweeps, purse.rate(Urgency::Relaxed));
        for (sweep, fee) in not_worth {
            let amount = sweep.request.amount;
            let kind = ClaimErrorKind::NotWorthItsFee { amount, fee };
            self.report(sweep.request.outpoint, kind, errors);
        }
        let batches = worth.chunks(MAX_SWEEPS_PER_TRANSACTION);
        batches.filter_map(|batch| self.build_batch(batch.to_vec(), next, purse, errors)).collect()
    }

    /// Sweeps a batch in one transaction, without those that the signer refuses; returns its lowest
    /// output.
    fn build_batch(
        &mut self,
        mut batch: Vec<Sweep<'_>>,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) -> Option<OutPoint> {
        while !batch.is_empty() {
            let claimed = batch.iter().map(|sweep| sweep.request.outpoint).collect();
            let terms = self.terms(&claimed, Urgency::Relaxed, next, purse);
            match sweep::build(&batch, &terms, purse) {
                Ok(package) => {
                    let first = package.claimed.first().copied();
                    self.keep(package, true, next);
                    return first;
                }
                Err(Failure::Signer(index, kind)) => {
                    let refused = batch.remove(index);
                    self.report(refused.request.outpoint, kind, errors);
                }
                Err(Failure::NotWorthItsFee(fee)) => {
                    for sweep in batch.drain(..) {
                        let amount = sweep.request.amount;
                        let kind = ClaimErrorKind::NotWorthItsFee { amount, fee };
                        self.report(sweep.request.outpoint, kind, errors);
                    }
                }
            }
        }
        None
    }

    /// Keeps a package that is offered for the block at `next`, in place of what claims the same.
    fn keep(&mut self, mut package: Package, is_shared: bool, next: BlockHeight) {
        let requests = &self.requests;
        self.offers.offer(&mut package, next, |outpoint| {
            requests.get(outpoint).is_some_and(|pending| pending.request.deadline.is_some())
        });
        for outpoint in &package.claimed {
            if let Some(pending) = self.requests.get_mut(outpoint) {
                pending.is_not_worth = false;
            }
        }
        if let Some(first) = package.claimed.first() {
            let was_heir = self.packages.get(first).is_some_and(|before| before.is_heir);
            package.is_heir = was_heir || package.replaced.iter().any(Offer::has_heir);
            if is_shared {
                self.shared.insert(*first);
            } else {
                self.shared.remove(first);
            }
            self.packages.insert(*first, package);
        }
    }

    /// Tells an error; that an output is not worth its fee is state, and told when it begins. That
    /// of an anchor is never told: alone it never is.
    fn report(&mut self, outpoint: OutPoint, kind: ClaimErrorKind, errors: &mut Vec<ClaimError>) {
        let Some(pending) = self.requests.get_mut(&outpoint) else { return };
        let channel_id = pending.request.channel_id;
        let is_not_worth = matches!(kind, ClaimErrorKind::NotWorthItsFee { .. });
        let is_known = is_not_worth && (pending.is_not_worth || is_anchor(&pending.request));
        pending.is_not_worth = is_not_worth;
        if !is_known {
            errors.push(ClaimError { channel_id, outpoint, kind });
        }
    }
}

/// What takes the place of a package, and what went wrong.
#[derive(Debug, Default)]
struct Raised {
    package: Option<Package>,
    error: Option<(OutPoint, ClaimErrorKind)>,
}

/// Builds and signs the transaction of a request that shares its transaction with none, and says
/// what it has to do without.
fn build_alone(
    request: &ClaimRequest,
    terms: &Terms,
    purse: &mut Purse<'_, '_>,
) -> Result<(Package, Option<ClaimErrorKind>), ClaimErrorKind> {
    check(request)?;
    if let Some(commitment) = Commitment::of(&request.kind) {
        return commitment.build(request, terms, purse);
    }
    if let Some(second_stage) = SecondStage::of(&request.kind) {
        return second_stage.build(request, terms, purse);
    }
    let sweeps: Vec<_> = Sweep::new(request).into_iter().collect();
    let package = sweep::build(&sweeps, terms, purse).map_err(|failure| match failure {
        Failure::Signer(_, kind) => kind,
        Failure::NotWorthItsFee(fee) => {
            ClaimErrorKind::NotWorthItsFee { amount: request.amount, fee }
        }
    })?;
    Ok((package, None))
}

fn twice(rate: FeeRatePerKw) -> FeeRatePerKw {
    FeeRatePerKw(rate.0.saturating_mul(2))
}

fn is_due(requests: &BTreeMap<OutPoint, Pending>, outpoint: &OutPoint, next: BlockHeight) -> bool {
    requests.get(outpoint).is_some_and(|pending| pending.request.earliest_height <= next)
}

/// Says whether a request shares its transaction with others.
pub(crate) fn is_sociable(request: &ClaimRequest, next: BlockHeight) -> bool {
    penalty::is_unhurried(request, next)
        || Sweep::new(request).is_some_and(|sweep| sweep.is_sociable())
}

fn is_anchor(request: &ClaimRequest) -> bool {
    Sweep::new(request).is_some_and(|sweep| sweep.is_anchor())
}
