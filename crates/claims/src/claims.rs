//! [`Claims`]: the requests that stand and the transactions that answer them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use lastword_types::{BlockHeight, ChannelId, ClaimKind, ClaimRequest, SweepWitness};

use crate::channel::Channel;
use crate::error::ClaimError;
use crate::purse::Wallet;
use crate::round::Round;

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
    pub(crate) channels: BTreeMap<ChannelId, Channel>,
    /// Asked for from the wallet and paid by nothing yet.
    pub(crate) destination: Option<ScriptBuf>,
    /// Coins of transactions that were replaced for the block at a height. Until then one that takes
    /// them might be offered before that which takes their transaction out of the mempool.
    pub(crate) given_back: BTreeMap<OutPoint, BlockHeight>,
}

/// What [`Claims::due`] returns.
#[derive(Debug, Default)]
pub struct Due {
    /// Signed transactions to broadcast, each of which may be in the next block.
    ///
    /// In the order in which to offer them: the nearest deadline first, and what takes the place of
    /// one that others claimed too before those others. None spends what another spends.
    pub transactions: Vec<Transaction>,
    /// Signed commitments, each with the child that pays for both: to broadcast as one package, for
    /// the network may refuse either alone. In the same order.
    pub packages: Vec<[Transaction; 2]>,
    /// What could not be done at this call.
    pub errors: Vec<ClaimError>,
}

/// Why the network refused a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It pays too little: for the network of now, or to replace what is there.
    Fee,
    /// Another reason, or one that nobody knows.
    Other,
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
        let old = self.channels.remove(&channel_id).unwrap_or_default();
        let new = old.with_requests(requests);
        if !new.requests.is_empty() {
            self.channels.insert(channel_id, new);
        }
    }

    /// Takes in that a broadcaster refused a transaction, or the package that it is in.
    ///
    /// One that pays too little pays a quarter more at the next call of [`Claims::due`] where its
    /// output can pay that, and is offered again as it is where not: what is in its way may go. That
    /// is also how a claim finds its way past the one that was made for it before a restart. After
    /// any other refusal it is built anew, from the coins and rates of then, and pays no more for
    /// it.
    ///
    /// A transaction that is not one of this channel is ignored.
    pub fn refused(&mut self, channel_id: ChannelId, txid: Txid, refusal: Refusal) {
        if let Some(channel) = self.channels.get_mut(&channel_id) {
            channel.refused(txid, refusal);
        }
    }

    /// Begins a round: every transaction that may be in the block after `tip`, one by one, the most
    /// urgent first.
    ///
    /// Begin one after every block, and as often as you like: for the same tip and the same rates a
    /// transaction is the same in every round, byte for byte, so broadcasting it again is harmless.
    /// It is replaced by one that pays more when the rate rose by so much that the network takes
    /// another, when its deadline comes near, and when it paid too little. A tip that fell back below
    /// some of its requests makes it anew without those.
    pub fn begin<'c, 'p, 'w>(
        &'c mut self,
        tip: BlockHeight,
        wallet: &'p mut Wallet<'w>,
    ) -> Round<'c, 'p, 'w> {
        let next = tip.plus(1);
        for channel in self.channels.values_mut() {
            channel.drop_torn(next);
            channel.drop_pressing(next);
        }
        self.given_back.retain(|_, since| *since >= next);
        Round::new(self, next, wallet)
    }

    /// Returns a whole [round](Self::begin) at once.
    ///
    /// # Errors
    ///
    /// None of the call; [`Due::errors`] names the requests that got no transaction, each of which
    /// is tried again at the next call.
    pub fn due(&mut self, tip: BlockHeight, wallet: &mut Wallet<'_>) -> Due {
        let mut due = Due::default();
        let mut round = self.begin(tip, wallet);
        for offer in round.by_ref() {
            match <[Transaction; 2]>::try_from(offer.transactions) {
                Ok(package) => due.packages.push(package),
                Err(alone) => due.transactions.extend(alone),
            }
        }
        due.errors = round.take_errors();
        due
    }

    /// Returns how many outputs are to be claimed.
    pub fn len(&self) -> usize {
        self.channels.values().map(|channel| channel.requests.len()).sum()
    }

    /// Says whether nothing is to be claimed.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Returns about how many bytes of memory the requests and their transactions take.
    pub fn heap_bytes(&self) -> usize {
        self.channels.values().map(Channel::heap_bytes).sum()
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

    /// Returns the outputs that somebody else can take with a preimage, in order: those of HTLCs that
    /// we offered, and those that a revoked commitment has for HTLCs.
    ///
    /// Their unconfirmed spends are worth a look, for they may show the preimage early.
    pub fn shows_preimage(&self) -> Vec<OutPoint> {
        let requests = self.channels.values().flat_map(|channel| channel.requests.values());
        let open = requests.map(|pending| &pending.request).filter(|it| is_open_to_a_preimage(it));
        open.map(|request| request.outpoint).collect()
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
    pub(crate) fn reserved(&self) -> BTreeSet<OutPoint> {
        let packages = self.channels.values().flat_map(|channel| channel.packages.values());
        let live = packages.flat_map(|package| package.coins.iter().copied());
        live.chain(self.given_back.keys().copied()).collect()
    }
}

fn is_open_to_a_preimage(request: &ClaimRequest) -> bool {
    match &request.kind {
        ClaimKind::Commitment { .. } => false,
        ClaimKind::SecondStage { preimage, .. } => preimage.is_none(),
        ClaimKind::Sweep { witness, .. } => match witness {
            SweepWitness::HtlcTimeout { .. } | SweepWitness::HtlcRevocation { .. } => true,
            SweepWitness::Delayed { .. }
            | SweepWitness::PaymentKeyHash { .. }
            | SweepWitness::PaymentKey
            | SweepWitness::Anchor
            | SweepWitness::HtlcPreimage { .. }
            | SweepWitness::Revocation { .. } => false,
        },
    }
}
