//! [`Balances`]: whose the value of the channel is, as a pure function of the state.
//!
//! ```text
//!   an output of the confirmed commitment, as long as nobody spent it
//!       ours, and only we hold its key           ─► Awaiting ─► Ours
//!       we offered it                            ─► ByTimeout ─► Contended from the timeout on
//!       we received it, preimage known           ─► ByPreimage ─► Contended from its timeout on
//!       we received it, preimage not known       ─► WaitingForPreimage
//!       of a revoked commitment                  ─► Contended
//!   spent by us                                  ─► Awaiting ─► Ours
//!   spent by the peer                            ─► Peers, or Lost if it should have been ours
//! ```

use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_bolt3::{CommitmentOutput, OutputKind, rules};
use lastword_types::{
    ANTI_REORG_DELAY, AmountMsat, Balance, BalanceKind, BalanceView, Balances, BlockHeight, Close,
    FundingSpend, HtlcDirection, HtlcKey, HtlcState, MonitorState, OutputSpend, OutputSpendKind,
    RemovalReason, Side,
};

use crate::claims::preimage_for;
use crate::closing::{Body, Closing};
use crate::funding::{self, Scope};
use crate::index::Index;
use crate::machine::Monitor;
use crate::marks::HtlcRef;
use crate::revoked;

impl Monitor {
    /// Returns whose the value of the channel is, part by part, at the best block that the monitor was
    /// told of.
    ///
    /// # Units
    ///
    /// The parts sum to the value of the funding output, after every record.
    ///
    /// Source: BOLT 5.
    pub fn balances(&self) -> Balances {
        self.balances_at(self.state().best.height)
    }

    /// The same for a later tip: blocks that hold nothing of this channel are not told to its monitor,
    /// and time passes in them.
    ///
    /// Source: BOLT 5.
    pub fn balances_at(&self, tip: BlockHeight) -> Balances {
        of(self.state(), self.index(), tip.max(self.state().best.height))
    }
}

/// Returns every part of the channel's value.
fn of(state: &MonitorState, index: &Index, tip: BlockHeight) -> Balances {
    // Nothing is asked of the tip itself: what may be spent may be spent in the next block.
    let next = tip.plus(1);
    let closing = state.funding_spend.as_ref();
    let closed = closing.and_then(|spend| funding::spent_by(state, &spend.transaction));
    let scope = closed.unwrap_or_else(|| funding::in_force(state));
    let mut purse = Purse::new(scope.amount());
    let view = match &state.funding_spend {
        None => {
            open(&scope, index, &mut purse);
            BalanceView::Open { number: scope.local().commitment.number }
        }
        Some(spend) => {
            match &index.closing {
                Some(closing) => Confirmed::new(state, closing, spend, next).divide(&mut purse),
                None => without_commitment(&scope, spend, next, &mut purse),
            }
            BalanceView::Closed(spend.close)
        }
    };
    Balances { view, parts: purse.empty() }
}

/// The channel's value, as it is given out. It never gives more than there is, so that the parts sum
/// to it whatever they are.
struct Purse {
    left_msat: u64,
    parts: Vec<Balance>,
}

/// Where a part of the value is.
#[derive(Clone, Copy, Default)]
struct Place {
    outpoint: Option<OutPoint>,
    htlc: Option<HtlcKey>,
}

impl Purse {
    fn new(value: Amount) -> Self {
        Self { left_msat: msat(value), parts: Vec::new() }
    }

    fn give(&mut self, amount_msat: u64, kind: BalanceKind, place: Place) {
        let amount_msat = amount_msat.min(self.left_msat);
        self.left_msat -= amount_msat;
        if amount_msat > 0 {
            let Place { outpoint, htlc } = place;
            let amount_msat = AmountMsat(amount_msat);
            self.parts.push(Balance { amount_msat, kind, outpoint, htlc });
        }
    }

    /// What no output holds is a fee.
    fn empty(mut self) -> Vec<Balance> {
        self.give(self.left_msat, BalanceKind::Fees, Place::default());
        self.parts
    }
}

/// Divides the value as our newest commitment does.
///
/// What is trimmed and rounded is said as that, also where a shared anchor would hold it: the
/// anchor then has only what is left.
fn open(scope: &Scope<'_>, index: &Index, purse: &mut Purse) {
    let (state, commitment) = (scope.state, &scope.local().commitment);
    let built = Closing::build(scope, &index.standing, Side::Local, commitment).ok();
    let Some(Body::Standing(built)) = built.map(|closing| closing.body) else {
        // Nobody can have signed such a commitment.
        return purse.give(purse.left_msat, BalanceKind::Unknown, Place::default());
    };
    let mut rounding = commitment.to_local_msat.0 % 1000 + commitment.to_remote_msat.0 % 1000;
    let mut anchors = Amount::ZERO;
    for output in &built.outputs {
        let (kind, htlc) = match output.kind {
            OutputKind::ToLocal => (BalanceKind::Ours, None),
            OutputKind::ToRemote => (BalanceKind::Peers, None),
            OutputKind::Anchor(_) | OutputKind::SharedAnchor => {
                anchors += output.amount;
                continue;
            }
            OutputKind::Htlc { direction, htlc_id, .. } => {
                let key = (direction, htlc_id);
                let Some(htlc) = state.htlcs.get(&key) else { continue };
                rounding += htlc.htlc.amount_msat.0 % 1000;
                (unspent(state, htlc, BlockHeight(0), BlockHeight(0)), Some(name(state, key)))
            }
        };
        purse.give(msat(output.amount), kind, Place { outpoint: None, htlc });
    }
    for key in built.trimmed() {
        let amount_msat = state.htlcs.get(key).map_or(0, |htlc| htlc.htlc.amount_msat.0);
        let place = Place { outpoint: None, htlc: Some(name(state, *key)) };
        purse.give(amount_msat, BalanceKind::Trimmed, place);
    }
    purse.give(rounding, BalanceKind::Rounding, Place::default());
    purse.give(msat(anchors), BalanceKind::Anchor, Place::default());
}

/// Divides the value as a closing does that is no commitment, as far as it can be known.
fn without_commitment(
    scope: &Scope<'_>,
    spend: &FundingSpend,
    next: BlockHeight,
    purse: &mut Purse,
) {
    let transaction = &spend.transaction;
    let txid = transaction.compute_txid();
    let [_] = &transaction.input[..] else {
        // Which of its outputs hold the channel's value cannot be said.
        return purse.give(purse.left_msat, BalanceKind::Unknown, Place::default());
    };
    let ours = match spend.close {
        Close::Mutual => our_share(scope, transaction),
        Close::LocalUnilateral { .. }
        | Close::RemoteUnilateral { .. }
        | Close::Revoked { .. }
        | Close::Unknown
        | Close::Future { .. } => None,
    };
    for (vout, output) in (0u32..).zip(&transaction.output) {
        let kind = match ours {
            None => BalanceKind::Unknown,
            Some(Share { vout: place }) if place == Some(vout) => {
                awaiting(spend.block.height, 0, next)
            }
            Some(_) => BalanceKind::Peers,
        };
        let place = Place { outpoint: Some(OutPoint { txid, vout }), htlc: None };
        purse.give(msat(output.value), kind, place);
    }
}

/// Which output of a closing transaction is ours, if one is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Share {
    vout: Option<u32>,
}

/// Finds our output of a closing transaction by its value, or `None` if that does not say which it
/// is.
///
/// One side gets its balance and the other what the fee leaves of its own: the opener pays it, or
/// with `closing_complete` whoever sends that.
///
/// Source: BOLT 2, "Closing Negotiation".
fn our_share(scope: &Scope<'_>, transaction: &Transaction) -> Option<Share> {
    let commitment = &scope.local().commitment;
    let ours = commitment.to_local_msat.to_sat_floor();
    let theirs = commitment.to_remote_msat.to_sat_floor();
    let parameters = &scope.state.parameters;
    let dust = parameters.local.dust_limit.max(parameters.remote.dust_limit);
    let is_whole = |got: Amount, due: Amount| got == due || (got == Amount::ZERO && due <= dust);

    let outputs: Vec<(u32, Amount)> = (0u32..)
        .zip(transaction.output.iter().map(|output| output.value))
        .filter(|(_, value)| *value > Amount::ZERO)
        .collect();
    let nothing = (None, Amount::ZERO);
    let pairs = match outputs[..] {
        [] => [(nothing, nothing); 2],
        [(vout, value)] => [((Some(vout), value), nothing), (nothing, (Some(vout), value))],
        [(first, one), (second, other)] => {
            let (first, second) = ((Some(first), one), (Some(second), other));
            [(first, second), (second, first)]
        }
        _ => return None,
    };
    let we_pay = |mine: Amount, its: Amount| is_whole(its, theirs) && mine <= ours;
    let it_pays = |mine: Amount, its: Amount| is_whole(mine, ours) && its <= theirs;
    let find = |fits: &dyn Fn(Amount, Amount) -> bool| {
        let mut fitting = pairs.iter().filter(|((_, mine), (_, its))| fits(*mine, *its));
        let ((vout, value), _) = *fitting.next()?;
        // Of two equal outputs either may count as ours.
        let is_one = fitting.all(|((_, other), _)| *other == value);
        is_one.then_some(Share { vout })
    };
    match parameters.opener {
        Side::Local => find(&we_pay).or_else(|| find(&it_pays)),
        Side::Remote => find(&it_pays).or_else(|| find(&we_pay)),
    }
}

/// The confirmed commitment, and what became of its outputs.
struct Confirmed<'s> {
    state: &'s MonitorState,
    closing: &'s Closing,
    spend: &'s FundingSpend,
    height: BlockHeight,
    /// The block that may hold the next spend.
    next: BlockHeight,
    /// The relative lock on HTLC outputs and on what the other side gets.
    csv_blocks: u16,
    is_revoked: bool,
    /// Whether it is one of ours that we may have revoked: then the peer can take what is ours.
    is_exposed: bool,
}

impl<'s> Confirmed<'s> {
    fn new(
        state: &'s MonitorState,
        closing: &'s Closing,
        spend: &'s FundingSpend,
        next: BlockHeight,
    ) -> Self {
        let is_older = closing.number < state.local.commitment.number;
        Self {
            state,
            closing,
            spend,
            height: spend.block.height,
            next,
            csv_blocks: rules(state.parameters.format).csv_blocks,
            is_revoked: closing.revoked().is_some(),
            is_exposed: closing.owner == Side::Local && is_older,
        }
    }

    fn divide(&self, purse: &mut Purse) {
        for (vout, output) in (0u32..).zip(&self.spend.transaction.output) {
            let outpoint = OutPoint { txid: self.closing.txid, vout };
            if let Some(known) = self.closing.output(outpoint) {
                self.output(purse, outpoint, known);
            } else {
                let place = Place { outpoint: Some(outpoint), htlc: None };
                purse.give(msat(output.value), BalanceKind::Unknown, place);
            }
        }
    }

    fn output(&self, purse: &mut Purse, outpoint: OutPoint, output: &CommitmentOutput) {
        let is_ours = self.closing.owner == Side::Local;
        let parameters = &self.state.parameters;
        let kind = match output.kind {
            OutputKind::Anchor(_) | OutputKind::SharedAnchor => BalanceKind::Anchor,
            OutputKind::ToLocal if is_ours => {
                self.held(outpoint, self.height, parameters.local.to_self_delay.0)
            }
            OutputKind::ToRemote if !is_ours => awaiting(self.height, self.csv_blocks, self.next),
            OutputKind::ToLocal if self.is_revoked => {
                self.raced(outpoint, self.delayed(self.height))
            }
            OutputKind::ToLocal | OutputKind::ToRemote => BalanceKind::Peers,
            OutputKind::Htlc { direction, htlc_id, .. } => {
                return self.htlc(purse, outpoint, output, (direction, htlc_id));
            }
        };
        let place = Place { outpoint: Some(outpoint), htlc: None };
        purse.give(msat(output.amount), kind, place);
    }

    fn htlc(&self, purse: &mut Purse, outpoint: OutPoint, output: &CommitmentOutput, key: HtlcRef) {
        let htlc = Some(name(self.state, key));
        let here = Place { outpoint: Some(outpoint), htlc };
        // None is known of a forgotten one, which only a revoked commitment can hold.
        let state = self.state.htlcs.get(&key);
        let Some(spend) = self.state.output_spends.get(&outpoint) else {
            return purse.give(msat(output.amount), self.unspent(key, state), here);
        };
        match self.second_stage(outpoint, spend) {
            None => {
                let kind = self.spent(state, spend);
                purse.give(msat(output.amount), kind, here);
            }
            Some((second, amount)) => {
                let height = spend.block.height;
                let kind = match taken_by(&spend.kind) {
                    Side::Local => {
                        self.held(second, height, self.state.parameters.local.to_self_delay.0)
                    }
                    Side::Remote if self.is_revoked => self.raced(second, self.delayed(height)),
                    Side::Remote => self.to_peer(state),
                };
                let amount = amount.min(output.amount);
                purse.give(msat(amount), kind, Place { outpoint: Some(second), htlc });
                let paid = Place { outpoint: None, htlc };
                purse.give(msat(output.amount - amount), BalanceKind::Fees, paid);
            }
        }
    }

    /// The output of the HTLC transaction that made a spend, and its value.
    fn second_stage(&self, outpoint: OutPoint, spend: &OutputSpend) -> Option<(OutPoint, Amount)> {
        match spend.kind {
            OutputSpendKind::HtlcPreimage { second_stage, .. }
            | OutputSpendKind::HtlcTimeout { second_stage, .. } => {
                let built = self.closing.built()?;
                let transaction = built.htlc_transaction(outpoint.vout).ok()?.transaction;
                Some((second_stage?, transaction.output.first()?.value))
            }
            OutputSpendKind::PeerHtlcTransaction { output, amount, .. } => Some((output, amount)),
            OutputSpendKind::HtlcOther { .. }
            | OutputSpendKind::Swept { .. }
            | OutputSpendKind::HtlcPenalty { .. } => None,
        }
    }

    /// An HTLC output that nobody spent.
    fn unspent(&self, key: HtlcRef, htlc: Option<&HtlcState>) -> BalanceKind {
        let unlocked = self.height.plus(u32::from(self.csv_blocks));
        if self.is_revoked {
            let peer_from = match (key.0, revoked::expiry(self.state, key)) {
                (HtlcDirection::Received, Some(expiry)) => unlocked.max(expiry.plus(1)),
                (HtlcDirection::Offered, _) | (HtlcDirection::Received, None) => unlocked,
            };
            return BalanceKind::Contended { peer_from };
        }
        let Some(htlc) = htlc else { return BalanceKind::Unknown };
        let kind = unspent(self.state, htlc, unlocked, self.next);
        let is_for_us =
            matches!(kind, BalanceKind::ByTimeout { .. } | BalanceKind::ByPreimage { .. });
        if self.is_exposed && is_for_us {
            BalanceKind::Contended { peer_from: self.height }
        } else {
            kind
        }
    }

    /// An HTLC output that was spent by no HTLC transaction.
    fn spent(&self, htlc: Option<&HtlcState>, spend: &OutputSpend) -> BalanceKind {
        match taken_by(&spend.kind) {
            Side::Local => awaiting(spend.block.height, 0, self.next),
            Side::Remote => self.to_peer(htlc),
        }
    }

    /// An output that only our key opens after a delay, unless we had revoked the commitment.
    fn held(&self, outpoint: OutPoint, created: BlockHeight, csv_blocks: u16) -> BalanceKind {
        if self.is_exposed {
            self.raced(outpoint, created)
        } else {
            awaiting(created, csv_blocks, self.next)
        }
    }

    /// An output that a revocation key opens at any time and a delayed key later.
    fn raced(&self, outpoint: OutPoint, peer_from: BlockHeight) -> BalanceKind {
        match self.state.output_spends.get(&outpoint) {
            None => BalanceKind::Contended { peer_from },
            Some(spend) => match taken_by(&spend.kind) {
                Side::Local => awaiting(spend.block.height, 0, self.next),
                Side::Remote => BalanceKind::Lost,
            },
        }
    }

    /// An HTLC that the peer has taken.
    fn to_peer(&self, htlc: Option<&HtlcState>) -> BalanceKind {
        let Some(htlc) = htlc else { return BalanceKind::Lost };
        let is_due = match htlc.htlc.direction {
            // What failed for good is ours: what was forwarded was failed back.
            HtlcDirection::Offered => htlc.fulfilled.is_some(),
            HtlcDirection::Received => preimage_for(self.state, htlc).is_none(),
        };
        if is_due && !self.is_revoked { BalanceKind::Peers } else { BalanceKind::Lost }
    }

    /// The height from which the peer can take an output of its own that was confirmed at another.
    fn delayed(&self, confirmed: BlockHeight) -> BlockHeight {
        confirmed.plus(u32::from(self.state.parameters.remote.to_self_delay.0))
    }
}

/// An HTLC output that nobody spent, of a commitment that may stand, in a block of height `next`.
///
/// `unlocked` is where its relative lock is over.
fn unspent(
    state: &MonitorState,
    htlc: &HtlcState,
    unlocked: BlockHeight,
    next: BlockHeight,
) -> BalanceKind {
    // A transaction with lock time `l` may be in a block above `l`.
    let timeout = htlc.htlc.cltv_expiry.plus(1).max(unlocked);
    let is_over = next >= timeout;
    match htlc.htlc.direction {
        HtlcDirection::Offered if is_over => BalanceKind::Contended { peer_from: unlocked },
        // The peer has shown that it can take it.
        HtlcDirection::Offered if htlc.fulfilled.is_some() => BalanceKind::Peers,
        HtlcDirection::Offered => BalanceKind::ByTimeout { from: timeout },
        HtlcDirection::Received => match (htlc.removal, preimage_for(state, htlc)) {
            (Some(RemovalReason::Failed { .. }), _) => BalanceKind::Peers,
            (_, None) => BalanceKind::WaitingForPreimage { until: timeout },
            (_, Some(_)) if is_over => BalanceKind::Contended { peer_from: timeout },
            (_, Some(_)) => BalanceKind::ByPreimage { until: timeout },
        },
    }
}

/// What is ours and was confirmed at a height, under a relative lock.
fn awaiting(confirmed: BlockHeight, csv_blocks: u16, next: BlockHeight) -> BalanceKind {
    let from = confirmed.plus(ANTI_REORG_DELAY.max(u32::from(csv_blocks)));
    if next >= from { BalanceKind::Ours } else { BalanceKind::Awaiting { from } }
}

/// Says who took an output.
fn taken_by(kind: &OutputSpendKind) -> Side {
    match kind {
        OutputSpendKind::HtlcPreimage { direction: HtlcDirection::Received, .. }
        | OutputSpendKind::HtlcTimeout { direction: HtlcDirection::Offered, .. }
        | OutputSpendKind::HtlcPenalty { .. } => Side::Local,
        OutputSpendKind::HtlcPreimage { direction: HtlcDirection::Offered, .. }
        | OutputSpendKind::HtlcTimeout { direction: HtlcDirection::Received, .. }
        // Only the peer has the revocation key of a commitment of ours.
        | OutputSpendKind::HtlcOther { .. }
        | OutputSpendKind::PeerHtlcTransaction { .. } => Side::Remote,
        OutputSpendKind::Swept { owner } => *owner,
    }
}

fn name(state: &MonitorState, (direction, htlc_id): HtlcRef) -> HtlcKey {
    HtlcKey { channel_id: state.parameters.channel_id, direction, htlc_id }
}

fn msat(amount: Amount) -> u64 {
    amount.to_sat().saturating_mul(1000)
}
