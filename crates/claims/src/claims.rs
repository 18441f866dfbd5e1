//! [`Claims`]: the requests that stand and the transactions that answer them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid};
use lastword_ports::Urgency;
use lastword_types::{BlockHeight, ChannelId, ClaimRequest};

use crate::error::{ClaimError, ClaimErrorKind};
use crate::package::{Package, check, urgency};
use crate::penalty;
use crate::presigned::{Commitment, SecondStage};
use crate::purse::{Purse, Wallet};
use crate::sweep::{self, Failure, Sweep};

/// The sweeps that one transaction takes at most: with 325 weight units for each it stays far below
/// the 400,000 that nodes relay.
pub const MAX_SWEEPS_PER_TRANSACTION: usize = 100;

/// The claims of all channels: what is to be spent, and the signed transactions that spend it.
///
/// # Shape
///
/// Grows with the requests that stand: one signed transaction for each at most.
///
/// # Crash safety
///
/// Volatile: a function of the requests, the wallet and the rates. After a restart the monitors name
/// the same requests; the transactions made for them may differ in fee and coin from those made
/// before, and one of the two confirms.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    channels: BTreeMap<ChannelId, Channel>,
    /// Asked for from the wallet and paid by nothing yet.
    destination: Option<ScriptBuf>,
}

/// What [`Claims::due`] returns.
#[derive(Debug, Default)]
pub struct Due {
    /// Signed transactions to broadcast, each of which may be in the next block.
    ///
    /// By channel, then by the lowest output that each claims; none spends what another spends.
    pub transactions: Vec<Transaction>,
    /// Signed commitments, each with the child that pays for both: to broadcast as one package, for
    /// the network may refuse either alone. In the same order.
    pub packages: Vec<[Transaction; 2]>,
    /// What could not be done at this call.
    pub errors: Vec<ClaimError>,
}

#[derive(Debug, Clone, Default)]
struct Channel {
    requests: BTreeMap<OutPoint, Pending>,
    /// By the lowest output that each claims.
    packages: BTreeMap<OutPoint, Package>,
    /// Those of them whose requests shared a transaction because there was time.
    shared: BTreeSet<OutPoint>,
    /// The fee of the transaction that the claim of an output has to replace.
    replaced: BTreeMap<OutPoint, Amount>,
}

#[derive(Debug, Clone)]
struct Pending {
    request: ClaimRequest,
    /// Whether the last call found that it is not worth its fee.
    is_not_worth: bool,
}

impl Claims {
    /// Starts without requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the complete list of what a channel wants spent; what it no longer names is dropped.
    ///
    /// Call it whenever a monitor changed. Naming the same list again changes nothing. A request
    /// that changed, or that shared a transaction with one that is gone, is built anew at the next
    /// call of [`Claims::due`]. If an output is named twice, the first one counts.
    pub fn replace(&mut self, channel_id: ChannelId, requests: Vec<ClaimRequest>) {
        let mut old = self.channels.remove(&channel_id).unwrap_or_default();
        let mut new = Channel::default();
        for request in requests {
            let known = old.requests.get(&request.outpoint);
            let is_not_worth =
                known.is_some_and(|pending| pending.is_not_worth && pending.request == request);
            new.requests.entry(request.outpoint).or_insert(Pending { request, is_not_worth });
        }
        old.packages.retain(|_, package| {
            package.claimed.iter().all(|outpoint| {
                let [before, after] =
                    [&old.requests, &new.requests].map(|requests| requests.get(outpoint));
                before.map(|pending| &pending.request) == after.map(|pending| &pending.request)
            })
        });
        new.packages = old.packages;
        new.shared = old.shared;
        new.replaced = old.replaced;
        new.replaced.retain(|outpoint, _| new.requests.contains_key(outpoint));
        if !new.requests.is_empty() {
            self.channels.insert(channel_id, new);
        }
    }

    /// Drops the transaction that a broadcaster refused, or the package that it is in, so that the next call of [`Claims::due`]
    /// builds it anew from the coins and rates of then.
    ///
    /// This is the way out when a coin was spent elsewhere or the relay floor rose. A transaction
    /// that is not one of ours is ignored.
    pub fn refused(&mut self, txid: Txid) {
        for channel in self.channels.values_mut() {
            channel.packages.retain(|_, package| !package.holds(txid));
        }
    }

    /// Builds what is missing and returns every transaction that may be in the block after `tip`.
    ///
    /// Call it after every block, and as often as you like: as long as its requests stand, a
    /// transaction is the same at every call, byte for byte, so broadcasting it again is harmless.
    /// Only a tip that fell back below some of its requests makes it anew without those. The child
    /// of a commitment is replaced when the rate rose by so much that the network takes another.
    ///
    /// # Errors
    ///
    /// None of the call; [`Due::errors`] names the requests that got no transaction, each of which
    /// is tried again at the next call.
    pub fn due(&mut self, tip: BlockHeight, wallet: &mut Wallet<'_>) -> Due {
        let next = tip.plus(1);
        for channel in self.channels.values_mut() {
            channel.drop_torn(next);
            channel.drop_pressing(next);
        }
        let mut purse = Purse::new(wallet, self.reserved(), self.destination.take());
        let mut errors = Vec::new();
        for channel in self.channels.values_mut() {
            channel.raise_commitments(next, &mut purse, &mut errors);
        }
        for (_, channel_id, outpoint) in self.due_alone(next) {
            if let Some(channel) = self.channels.get_mut(&channel_id) {
                channel.build_alone(outpoint, &mut purse, &mut errors);
            }
        }
        for channel in self.channels.values_mut() {
            channel.build_batches(next, &mut purse, &mut errors);
        }
        self.destination = purse.close();
        let mut due = Due { errors, ..Due::default() };
        for package in self.channels.values().flat_map(|channel| channel.signed(next)) {
            let transaction = package.transaction.clone();
            match &package.child {
                None => due.transactions.push(transaction),
                Some(child) => due.packages.push([transaction, child.transaction.clone()]),
            }
        }
        due
    }

    /// Returns the lowest height of the tip at which [`Claims::due`] may have something; `None`
    /// while no request stands.
    pub fn next_height(&self) -> Option<BlockHeight> {
        self.channels
            .values()
            .flat_map(|channel| channel.requests.values())
            .map(|pending| BlockHeight(pending.request.earliest_height.0.saturating_sub(1)))
            .min()
    }

    /// Returns the outputs that the last call left because they were not worth their fee, in order.
    ///
    /// They are looked at again at every call; anchors, which never pay alone, are among them.
    pub fn not_worth_their_fee(&self) -> Vec<(ChannelId, OutPoint)> {
        self.channels
            .iter()
            .flat_map(|(channel_id, channel)| {
                let left = channel.requests.iter().filter(|(_, pending)| pending.is_not_worth);
                left.map(|(outpoint, _)| (*channel_id, *outpoint))
            })
            .collect()
    }

    /// The coins that live claims spend: one coin pays for one claim at most.
    fn reserved(&self) -> BTreeSet<OutPoint> {
        let packages = self.channels.values().flat_map(|channel| channel.packages.values());
        packages.filter_map(|package| package.coin).collect()
    }

    /// The requests that get a transaction of their own and have none, the most pressing first, so
    /// that it gets its coin when there are too few.
    fn due_alone(&self, next: BlockHeight) -> BTreeSet<(BlockHeight, ChannelId, OutPoint)> {
        self.channels
            .iter()
            .flat_map(|(channel_id, channel)| {
                let due = channel.unclaimed(next).filter(|request| !is_sociable(request, next));
                due.map(|request| {
                    let deadline = request.deadline.unwrap_or(BlockHeight(u32::MAX));
                    (deadline, *channel_id, request.outpoint)
                })
            })
            .collect()
    }
}

impl Channel {
    /// The packages all of whose requests are due.
    fn signed(&self, next: BlockHeight) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(move |package| {
            package.claimed.iter().all(|outpoint| is_due(&self.requests, outpoint, next))
        })
    }

    /// Gives our commitments children that pay more, where that is asked for now.
    fn raise_commitments(
        &mut self,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) {
        let mut failed = Vec::new();
        for (outpoint, package) in &mut self.packages {
            let Some(pending) = self.requests.get(outpoint) else { continue };
            let request = &pending.request;
            let Some(commitment) = Commitment::of(&request.kind) else { continue };
            if request.earliest_height > next {
                continue;
            }
            if let Err(kind) = commitment.raise(request, package, purse) {
                failed.push((*outpoint, kind));
            }
        }
        for (outpoint, kind) in failed {
            self.report(outpoint, kind, errors);
        }
    }

    /// Drops the transactions some of whose requests are due and some are not, which happens when the
    /// tip fell back: those that are due must not wait for the others.
    fn drop_torn(&mut self, next: BlockHeight) {
        let requests = &self.requests;
        self.packages.retain(|_, package| {
            let is_due = |outpoint: &&OutPoint| is_due(requests, outpoint, next);
            let due_count = package.claimed.iter().filter(is_due).count();
            due_count == 0 || due_count == package.claimed.len()
        });
    }

    /// Drops the shared transactions with a penalty in them that has to go alone from now on.
    ///
    /// One of the transactions that take its place has to pay for replacing it. The others are
    /// relayed after that one: where they are refused before it, they come again at the next call.
    fn drop_pressing(&mut self, next: BlockHeight) {
        let (requests, replaced) = (&self.requests, &mut self.replaced);
        let shared = &mut self.shared;
        self.packages.retain(|key, package| {
            let request =
                |outpoint: &OutPoint| requests.get(outpoint).map(|pending| pending.request.clone());
            if !shared.contains(key) {
                return true;
            }
            match penalty::successor(package, request, next) {
                None => true,
                Some((heir, fee)) => {
                    replaced.insert(heir, fee);
                    shared.remove(key);
                    false
                }
            }
        });
    }

    /// The requests that are due and that no transaction answers.
    fn unclaimed(&self, next: BlockHeight) -> impl Iterator<Item = &ClaimRequest> {
        let claimed: BTreeSet<&OutPoint> =
            self.packages.values().flat_map(|package| &package.claimed).collect();
        self.requests
            .values()
            .map(|pending| &pending.request)
            .filter(move |request| request.earliest_height <= next)
            .filter(move |request| !claimed.contains(&request.outpoint))
    }

    /// Gives one request a transaction of its own.
    fn build_alone(
        &mut self,
        outpoint: OutPoint,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) {
        let Some(pending) = self.requests.get(&outpoint) else { return };
        match build_alone(&pending.request, self.replaced.get(&outpoint).copied(), purse) {
            Ok((package, error)) => {
                self.keep(package, false);
                if let Some(kind) = error {
                    self.report(outpoint, kind, errors);
                }
            }
            Err(kind) => self.report(outpoint, kind, errors),
        }
    }

    /// Gives the requests that may share transactions as few of them as possible.
    fn build_batches(
        &mut self,
        next: BlockHeight,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) {
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
        for batch in worth.chunks(MAX_SWEEPS_PER_TRANSACTION) {
            self.build_batch(batch.to_vec(), purse, errors);
        }
    }

    /// Sweeps a batch in one transaction, without those that the signer refuses.
    fn build_batch(
        &mut self,
        mut batch: Vec<Sweep<'_>>,
        purse: &mut Purse<'_, '_>,
        errors: &mut Vec<ClaimError>,
    ) {
        while !batch.is_empty() {
            match sweep::build(&batch, Urgency::Relaxed, None, purse) {
                Ok(package) => return self.keep(package, true),
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
    }

    fn keep(&mut self, package: Package, is_shared: bool) {
        for outpoint in &package.claimed {
            if let Some(pending) = self.requests.get_mut(outpoint) {
                pending.is_not_worth = false;
            }
        }
        if let Some(first) = package.claimed.first() {
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

/// Builds and signs the transaction of a request that shares its transaction with none, and says
/// what it has to do without.
fn build_alone(
    request: &ClaimRequest,
    replaced: Option<Amount>,
    purse: &mut Purse<'_, '_>,
) -> Result<(Package, Option<ClaimErrorKind>), ClaimErrorKind> {
    check(request)?;
    if let Some(commitment) = Commitment::of(&request.kind) {
        return commitment.build(request, purse);
    }
    let package = if let Some(second_stage) = SecondStage::of(&request.kind) {
        second_stage.build(request, purse)?
    } else {
        let sweeps: Vec<_> = Sweep::new(request).into_iter().collect();
        let urgency = urgency(request);
        sweep::build(&sweeps, urgency, replaced, purse).map_err(|failure| match failure {
            Failure::Signer(_, kind) => kind,
            Failure::NotWorthItsFee(fee) => {
                ClaimErrorKind::NotWorthItsFee { amount: request.amount, fee }
            }
        })?
    };
    Ok((package, None))
}

fn is_due(requests: &BTreeMap<OutPoint, Pending>, outpoint: &OutPoint, next: BlockHeight) -> bool {
    requests.get(outpoint).is_some_and(|pending| pending.request.earliest_height <= next)
}

fn is_sociable(request: &ClaimRequest, next: BlockHeight) -> bool {
    penalty::is_unhurried(request, next)
        || Sweep::new(request).is_some_and(|sweep| sweep.is_sociable())
}

fn is_anchor(request: &ClaimRequest) -> bool {
    Sweep::new(request).is_some_and(|sweep| sweep.is_anchor())
}
