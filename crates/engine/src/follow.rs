//! Following the chain: one pass over each block, and only the channels that it concerns.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Transaction;
use lastword_chain::{Match, Nonsense, RawBlock, Step, TrackError};
use lastword_claims::{Refusal, Wallet};
use lastword_ports::{ChainError, ChainErrorKind};
use lastword_types::{BlockHeight, BlockRef, Bug, ChainDelta, ChannelId, MonitorRecord};

use crate::driver::Driver;
use crate::error::EngineError;
use crate::ports::{Boundary, Progress};
use crate::stage::{Batch, Entry};

impl Driver {
    /// Follows the source to its tip, block by block, then offers every claim that is due.
    ///
    /// # Crash safety
    ///
    /// A block's deltas and what they cause are durable before the next block is asked for. A block
    /// that concerns no channel writes nothing but, at the end, the tip. Claims follow from durable
    /// facts and the confirmed chain: they are offered even if the store fails, up to the source's
    /// tip and with the block that could not be written.
    ///
    /// # Errors
    ///
    /// What stopped it: a source that is away or answers nonsense, a store that failed. What was
    /// followed before stays, and the next call goes on from there.
    pub fn poll_chain(&mut self) -> Result<BlockRef, EngineError> {
        let caught_up = self.catch_up();
        let followed = self.rescan().and_then(|()| self.follow());
        let given_up = self.give_up_overdue();
        let height = match &followed {
            // A full disk must not let a thief go: time passes although nothing can be written.
            Err(EngineError::Store(_)) => {
                self.source.tip().map_or(self.tip().height, |tip| tip.height.max(self.tip().height))
            }
            Ok(()) | Err(_) => self.tip().height,
        };
        if followed.is_ok() {
            self.look_into_mempool();
        }
        let offered = self.offer_claims(height);
        self.cool_quiet();
        caught_up?;
        followed?;
        given_up?;
        offered?;
        Ok(self.tip())
    }

    /// Takes in an unconfirmed transaction, from wherever it is known: a preimage that it shows for an
    /// HTLC of ours is evidence, and goes the way of evidence on chain. Anything else about it is
    /// ignored, whatever it holds.
    ///
    /// [`poll_chain`](Self::poll_chain) does this with what its source has in its mempool.
    ///
    /// # Crash safety
    ///
    /// The evidence is durable before anything is told or claimed upstream. It stands whether the
    /// transaction confirms or not; our own claim on the output is wanted until a spend is confirmed.
    ///
    /// # Errors
    ///
    /// A failure of the store.
    pub fn seen_in_mempool(&mut self, transaction: &Transaction) -> Result<(), EngineError> {
        let mut entries = Vec::new();
        for channel_id in self.channels.index.concerned_by(transaction) {
            if self.channels.is_damaged(channel_id) {
                continue;
            }
            self.warm(channel_id)?;
            let evidence = self.channels.get(channel_id)?.monitor.evidence_in(transaction);
            let record = |evidence| Entry::Monitor(channel_id, MonitorRecord::Mempool(evidence));
            entries.extend(evidence.into_iter().map(record));
        }
        if entries.is_empty() { Ok(()) } else { self.submit(Batch { entries, tip: None }) }
    }

    /// Asks the source for unconfirmed spends of outputs that a preimage opens. What fails is said, for
    /// the chain will tell the same later.
    fn look_into_mempool(&mut self) {
        let outpoints = self.claims.shows_preimage();
        if outpoints.is_empty() {
            return;
        }
        let seen = self.source.unconfirmed_spends(&outpoints).map_err(EngineError::Chain);
        let taken = seen.and_then(|transactions| {
            transactions.iter().try_for_each(|transaction| self.seen_in_mempool(transaction))
        });
        if let Err(error) = taken {
            tracing::warn!(%error, "the mempool was not looked into");
        }
    }

    fn follow(&mut self) -> Result<(), EngineError> {
        let start = self.tip();
        while let Some(step) = self.tracker.next_step(&mut *self.source)? {
            let entries = match &step {
                Step::Connected { block, body } => self.connected(*block, body)?,
                Step::Disconnected { fork } => self
                    .channels
                    .synced_above(fork.height)
                    .into_iter()
                    .map(|channel_id| disconnected(channel_id, *fork))
                    .collect(),
            };
            let channels = entries.len();
            if channels == 0 {
                self.tracker.accept(&step);
                self.tell_block(channels);
                continue;
            }
            let mut tracker = self.tracker.clone();
            tracker.accept(&step);
            let tip = Some(tracker.chain_tip());
            if Bug::TipBeforeBlock.is_planted() {
                core::mem::swap(&mut self.tracker, &mut tracker);
                self.append_tip()?;
                core::mem::swap(&mut self.tracker, &mut tracker);
            }
            if let Err(error) = self.submit(Batch { entries, tip }) {
                self.claim_unwritten(&step);
                return Err(error);
            }
            self.tracker = tracker;
            self.tell_block(channels);
        }
        if self.tip() != start {
            self.channels.settle_below(self.tip().height);
            self.append_tip()?;
        }
        Ok(())
    }

    fn tell_block(&mut self, channels: usize) {
        let height = self.tip().height;
        self.logs.progress(Progress::Block { height, channels });
    }

    /// Returns the records that a block brings to the channels it concerns.
    pub(crate) fn connected(
        &self,
        block: BlockRef,
        body: &RawBlock,
    ) -> Result<Vec<Entry>, EngineError> {
        let index = &self.channels.index;
        let mut concerned = index.matches(body);
        for channel_id in index.due(block.height) {
            concerned.entry(channel_id).or_default();
        }
        // Each transaction is built once, whomever it concerns.
        let places: BTreeSet<usize> =
            concerned.values().flatten().map(|found| found.place).collect();
        let mut built: BTreeMap<usize, Transaction> = BTreeMap::new();
        for place in places {
            let transaction = body.transaction(place).map_err(|error| {
                let what = Nonsense::Encoding(error);
                EngineError::Track(TrackError::Nonsense { block, what })
            })?;
            built.insert(place, transaction);
        }
        let entries = concerned
            .into_iter()
            .filter(|(channel_id, _)| !self.channels.is_damaged(*channel_id))
            .map(|(channel_id, matched)| {
                let shown = |found: &Match| Some(found.shown(built.get(&found.place)?));
                let transactions = matched.iter().filter_map(shown).collect();
                let delta = ChainDelta::Connected { block, transactions };
                Entry::Monitor(channel_id, MonitorRecord::Chain(delta))
            });
        Ok(entries.collect())
    }

    /// Asks for the claims that follow from a block which could not be written: it is confirmed all
    /// the same. Only for channels whose funding it or an earlier block spends, for our own
    /// commitment waits until the decision to broadcast it is durable.
    fn claim_unwritten(&mut self, step: &Step) {
        let Step::Connected { block, body } = step else { return };
        for entry in self.connected(*block, body).unwrap_or_default() {
            let Entry::Monitor(channel_id, record) = entry else { continue };
            if let Err(error) = self.warm(channel_id) {
                tracing::warn!(%channel_id, %error, "a channel that closes cannot be read");
            }
            let Ok(warm) = self.channels.get(channel_id) else { continue };
            let mut ahead = warm.monitor.clone();
            if ahead.apply(&record).is_ok() && ahead.state().funding_spend.is_some() {
                self.claims.replace(channel_id, ahead.claim_requests());
            }
        }
    }

    /// Signs and broadcasts what may be in the block after `tip`, the nearest deadline first; the same
    /// again at every call. No claim is made before those ahead of it are with the network.
    ///
    /// What the broadcaster refuses is built anew at the next call, and pays more if the fee was the
    /// reason.
    fn offer_claims(&mut self, tip: BlockHeight) -> Result<(), EngineError> {
        let mut wallet =
            Wallet { signer: &mut *self.signer, coins: &mut *self.coins, fees: &mut *self.fees };
        let mut round = self.claims.begin(tip, &mut wallet);
        let mut made = 0;
        while let Some(offer) = round.next() {
            let offered = match offer.transactions.as_slice() {
                [alone] => self.broadcaster.broadcast(alone),
                package => self.broadcaster.broadcast_package(package),
            };
            self.logs.observe(Boundary::Broadcast);
            made += 1;
            self.logs.progress(Progress::Claims { offered: made, left: round.left() });
            if let Err(error) = offered {
                round.refused(&offer, refusal(error)?);
            }
        }
        for error in round.take_errors() {
            tracing::warn!(%error, "a claim has to wait");
        }
        Ok(())
    }
}

/// What a refusal means for a claim, which is offered again later; an error if the network was not
/// reached.
fn refusal(error: ChainError) -> Result<Refusal, EngineError> {
    tracing::debug!(%error, "a claim was refused and is offered again later");
    match error.kind {
        ChainErrorKind::Rejected => Ok(Refusal::Other),
        ChainErrorKind::FeeTooLow => Ok(Refusal::Fee),
        ChainErrorKind::Retry
        | ChainErrorKind::Refused
        | ChainErrorKind::Nonsense
        | ChainErrorKind::NotFound => Err(EngineError::Chain(error)),
    }
}

fn disconnected(channel_id: ChannelId, fork: BlockRef) -> Entry {
    Entry::Monitor(channel_id, MonitorRecord::Chain(ChainDelta::Disconnected { fork }))
}
