//! [`Offers`]: what was offered to the network, for what replaces it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint};
use lastword_types::{BlockHeight, FeeRatePerKw};

use crate::package::Package;
use crate::schedule::a_quarter_more;
use crate::terms::Replaced;

/// A transaction that may be in the mempool.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    claimed: BTreeSet<OutPoint>,
    fee: Amount,
    rate: FeeRatePerKw,
    /// Given: of the transactions that take its place only that of this output pays for it.
    heir: Option<OutPoint>,
}

/// The rate of the last claim on an output, and for which block it was offered first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) rate: FeeRatePerKw,
    pub(crate) next: BlockHeight,
}

/// The transactions of one channel that may be in the mempool, and how far its claims have risen.
///
/// Both outlive the transactions: what shared one that is void goes on at the rate that it had.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offers {
    offers: Vec<Offer>,
    marks: BTreeMap<OutPoint, Mark>,
}

impl Offers {
    /// Forgets what claims an output that nobody asks for any more: it is void, or confirmed.
    pub(crate) fn retain(&mut self, is_asked_for: impl Fn(&OutPoint) -> bool) {
        self.offers.retain(|offer| offer.claimed.iter().all(&is_asked_for));
        self.marks.retain(|outpoint, _| is_asked_for(outpoint));
    }

    /// Returns what a transaction that claims these outputs has to replace.
    pub(crate) fn replaced(&self, claimed: &BTreeSet<OutPoint>) -> Option<Replaced> {
        let conflicts = self.offers.iter().filter(|offer| offer.is_replaced_by(claimed));
        conflicts.fold(None, |sum: Option<Replaced>, offer| {
            let before = sum.unwrap_or(Replaced { fee: Amount::ZERO, rate: FeeRatePerKw(0) });
            let fee = before.fee.checked_add(offer.fee).unwrap_or(Amount::MAX_MONEY);
            Some(Replaced { fee, rate: before.rate.max(offer.rate) })
        })
    }

    /// Returns the highest mark of these outputs.
    pub(crate) fn mark(&self, claimed: &BTreeSet<OutPoint>) -> Option<Mark> {
        let marks = claimed.iter().filter_map(|outpoint| self.marks.get(outpoint));
        marks.max_by_key(|mark| mark.rate).copied()
    }

    /// Says which output's claim is to replace the transaction that claims `key` and others.
    pub(crate) fn bequeath(&mut self, key: OutPoint, heir: OutPoint) {
        for offer in self.offers.iter_mut().filter(|offer| offer.claimed.contains(&key)) {
            offer.heir = Some(heir);
        }
    }

    /// Says whether the claim of an output is to replace a transaction that claims others too.
    pub(crate) fn is_heir(&self, outpoint: OutPoint) -> bool {
        self.offers.iter().any(|offer| offer.heir == Some(outpoint))
    }

    /// Takes note of a transaction that is offered for the block at `next`. The marks are those of
    /// outputs that others can take, which alone may not fall.
    pub(crate) fn offer(
        &mut self,
        package: &mut Package,
        next: BlockHeight,
        is_contended: impl Fn(&OutPoint) -> bool,
    ) {
        let claimed = &package.claimed;
        let (gone, kept) =
            self.offers.drain(..).partition(|offer: &Offer| offer.is_replaced_by(claimed));
        (package.replaced, self.offers) = (gone, kept);
        if package.fee > Amount::ZERO {
            let Package { fee, rate, .. } = *package;
            self.offers.push(Offer { claimed: claimed.clone(), fee, rate, heir: None });
        }
        for outpoint in claimed.iter().filter(|outpoint| is_contended(outpoint)) {
            self.marks.insert(*outpoint, Mark { rate: package.rate, next });
        }
    }

    /// Takes note that the network wants a higher fee.
    pub(crate) fn raise(&mut self, package: &Package) {
        for outpoint in &package.claimed {
            let mark = Mark { rate: FeeRatePerKw(0), next: BlockHeight(0) };
            let mark = self.marks.entry(*outpoint).or_insert(mark);
            mark.rate = mark.rate.max(a_quarter_more(package.rate));
        }
    }

    /// Takes back a transaction that the network refused for another reason than its fee: what it was
    /// to replace may still be there.
    pub(crate) fn take_back(&mut self, package: Package) {
        self.offers.retain(|offer| offer.claimed != package.claimed);
        self.offers.extend(package.replaced);
    }
}

impl Offer {
    /// Says whether only one of the transactions that take its place pays for it.
    pub(crate) fn has_heir(&self) -> bool {
        self.heir.is_some()
    }

    fn is_replaced_by(&self, claimed: &BTreeSet<OutPoint>) -> bool {
        match &self.heir {
            Some(heir) => claimed.contains(heir),
            None => !self.claimed.is_disjoint(claimed),
        }
    }
}
