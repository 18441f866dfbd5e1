//! [`BlockDraft`]: what one block changes, worked out without changing anything; and how it goes.

use alloc::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use lastword_types::{BlockRef, Bug, FundingSpend, MonitorState, OutputSpend, OutputSpendKind};

use crate::closing::{Closing, recognise};
use crate::error::MonitorError;
use crate::funding::{self, Scope};
use crate::index::{Index, second_stage};
use crate::outputs;

/// The spends in one block that concern the channel and were not seen before.
#[derive(Debug, Clone)]
pub(crate) struct BlockDraft {
    /// The block.
    pub(crate) block: BlockRef,
    /// Fundings whose transaction is in it.
    pub(crate) splices: BTreeSet<Txid>,
    /// The spend of a funding output that is no splice.
    pub(crate) funding: Option<Funding>,
    /// Spends of outputs that came from it.
    pub(crate) spends: BTreeMap<OutPoint, OutputSpend>,
    /// Outputs of HTLC transactions among them that we may take.
    second_stages: BTreeSet<OutPoint>,
}

/// The spend of a funding output, recognised.
#[derive(Debug, Clone)]
pub(crate) struct Funding {
    pub(crate) spend: FundingSpend,
    pub(crate) closing: Option<Closing>,
}

/// One input of a transaction in the block.
pub(crate) struct Input<'a> {
    pub(crate) index: usize,
    pub(crate) spends: OutPoint,
    pub(crate) transaction: &'a Transaction,
    pub(crate) txid: Txid,
}

impl BlockDraft {
    /// Works out what a block changes, or says why it cannot be on top of what was seen.
    ///
    /// A transaction that does not concern the channel is passed over: whoever chose the
    /// transactions may have chosen too many. Those that do may spend each other's outputs.
    pub(crate) fn check(
        state: &MonitorState,
        index: &Index,
        block: BlockRef,
        transactions: &[Transaction],
    ) -> Result<Self, MonitorError> {
        if let Some(known) = known_at(state, block) {
            return Err(MonitorError::BlockDoesNotConnect { block, known });
        }
        let (spends, second_stages) = (BTreeMap::new(), BTreeSet::new());
        let splices = BTreeSet::new();
        let mut draft = Self { block, splices, funding: None, spends, second_stages };
        for transaction in transactions {
            if draft.may_concern(state, index, transaction) {
                draft.transaction(state, index, transaction)?;
            }
        }
        // Below the best block only what was seen can come again: the rest belongs to another
        // chain, even where nothing here remembers that height.
        if block.height <= state.best.height && block != state.best && !draft.is_empty() {
            return Err(MonitorError::BlockDoesNotConnect { block, known: state.best });
        }
        Ok(draft)
    }

    /// Says whether the block changes nothing: it was seen before.
    pub(crate) fn is_noop(&self, state: &MonitorState) -> bool {
        self.is_empty() && self.block.height <= state.best.height
    }

    fn is_empty(&self) -> bool {
        self.splices.is_empty() && self.funding.is_none() && self.spends.is_empty()
    }

    /// Says whether a transaction spends anything of this channel; computes no hash.
    fn may_concern(&self, state: &MonitorState, index: &Index, transaction: &Transaction) -> bool {
        transaction.input.iter().any(|input| {
            let spends = input.previous_output;
            funding::at(state, spends).is_some()
                || self.closing(index).is_some_and(|closing| closing.txid == spends.txid)
                || self.is_second_stage(index, spends)
        })
    }

    fn transaction(
        &mut self,
        state: &MonitorState,
        index: &Index,
        transaction: &Transaction,
    ) -> Result<(), MonitorError> {
        let txid = transaction.compute_txid();
        for (place, input) in transaction.input.iter().enumerate() {
            let input = Input { index: place, spends: input.previous_output, transaction, txid };
            if let Some(scope) = funding::at(state, input.spends) {
                match funding::made_by(state, txid) {
                    Some(made) => self.splice(&made, &input)?,
                    None => self.funding_spend(&scope, index, &input)?,
                }
            } else if let Some(kind) = self.classify(state, index, &input) {
                self.output_spend(state, index, &input, kind)?;
            }
        }
        Ok(())
    }

    /// The funding goes on in another one.
    fn splice(&mut self, made: &Scope<'_>, input: &Input<'_>) -> Result<(), MonitorError> {
        let known = made.confirmed().or(self.splices.contains(&input.txid).then_some(self.block));
        if let Some(known) = known {
            return if known == self.block { Ok(()) } else { Err(spent_twice(input, known)) };
        }
        if let Some(closed) = self.closed(made.state) {
            return Err(spent_twice(input, closed.block));
        }
        self.check_unspent(made.state, input)?;
        self.splices.insert(input.txid);
        Ok(())
    }

    fn funding_spend(
        &mut self,
        scope: &Scope<'_>,
        index: &Index,
        input: &Input<'_>,
    ) -> Result<(), MonitorError> {
        if let Some(known) = self.closed(scope.state) {
            let is_same =
                known.block == self.block && known.transaction.compute_txid() == input.txid;
            return if is_same { Ok(()) } else { Err(spent_twice(input, known.block)) };
        }
        self.check_unspent(scope.state, input)?;
        let (close, closing) = recognise(scope, &index.standing, &index.secrets, input.transaction);
        let transaction = input.transaction.clone();
        let spend = FundingSpend { transaction, block: self.block, close };
        self.funding = Some(Funding { spend, closing });
        Ok(())
    }

    fn closed<'a>(&'a self, state: &'a MonitorState) -> Option<&'a FundingSpend> {
        let drafted = self.funding.as_ref().map(|funding| &funding.spend);
        state.funding_spend.as_ref().or(drafted)
    }

    /// Refuses the spend of a funding output if another one is what the chain holds.
    fn check_unspent(&self, state: &MonitorState, input: &Input<'_>) -> Result<(), MonitorError> {
        let seen = funding::all(state).rev().find_map(|scope| {
            let is_here = self.splices.contains(&scope.outpoint().txid);
            let block = scope.confirmed().or(is_here.then_some(self.block))?;
            Some((scope.outpoint(), block))
        });
        match seen {
            Some((outpoint, block)) if outpoint != input.spends => Err(spent_twice(input, block)),
            Some(_) | None => Ok(()),
        }
    }

    fn classify(
        &self,
        state: &MonitorState,
        index: &Index,
        input: &Input<'_>,
    ) -> Option<OutputSpendKind> {
        let closing = self.closing(index)?;
        if self.is_second_stage(index, input.spends) {
            let witness = &input.transaction.input.get(input.index)?.witness;
            return Some(OutputSpendKind::Swept { owner: outputs::taker(closing, witness) });
        }
        let output = closing.output(input.spends)?;
        outputs::classify(state, closing, output, input)
    }

    fn output_spend(
        &mut self,
        state: &MonitorState,
        index: &Index,
        input: &Input<'_>,
        kind: OutputSpendKind,
    ) -> Result<(), MonitorError> {
        let drafted = self.spends.get(&input.spends);
        if let Some(known) = state.output_spends.get(&input.spends).or(drafted) {
            let is_same = known.block == self.block && known.txid == input.txid;
            return if is_same { Ok(()) } else { Err(spent_twice(input, known.block)) };
        }
        let spend = OutputSpend { txid: input.txid, block: self.block, kind };
        let is_revoked = self.closing(index).is_some_and(|closing| closing.revoked().is_some());
        self.second_stages.extend(second_stage(&spend, is_revoked));
        self.spends.insert(input.spends, spend);
        Ok(())
    }

    /// The commitment transaction whose outputs count: of an earlier block, or of this one.
    fn closing<'a>(&'a self, index: &'a Index) -> Option<&'a Closing> {
        let drafted = self.funding.as_ref().and_then(|funding| funding.closing.as_ref());
        index.closing.as_ref().or(drafted)
    }

    fn is_second_stage(&self, index: &Index, outpoint: OutPoint) -> bool {
        index.second_stages.contains(&outpoint) || self.second_stages.contains(&outpoint)
    }
}

/// Returns a block that was seen at this height, if it is another one.
pub(crate) fn known_at(state: &MonitorState, block: BlockRef) -> Option<BlockRef> {
    let funding = state.funding_spend.as_ref().map(|spend| spend.block);
    let outputs = state.output_spends.values().map(|spend| spend.block);
    let splices = funding::all(state).filter_map(|scope| scope.confirmed());
    core::iter::once(state.best)
        .chain(funding)
        .chain(outputs)
        .chain(splices)
        .find(|known| known.height == block.height && known.hash != block.hash)
}

/// Takes back every fact of the chain above a block, and nothing else.
pub(crate) fn disconnect(state: &mut MonitorState, fork: BlockRef) {
    state.best = fork;
    if Bug::ReorgNotUndone.is_planted() {
        return;
    }
    funding::disconnect(state, fork);
    state.funding_spend.take_if(|spend| spend.block.height > fork.height);
    state.output_spends.retain(|_, spend| spend.block.height <= fork.height);
}

fn spent_twice(input: &Input<'_>, known: BlockRef) -> MonitorError {
    MonitorError::SpentTwice { outpoint: input.spends, known }
}
