//! Blocks: mined, reorganised away, seen.

use bitcoin::{ScriptBuf, Txid};
use lastword_engine::EngineError;

use crate::dice::Dice;
use crate::ground::Ground;
use crate::marks::Mark;
use crate::world::{Broken, Done, World, why};

/// Blocks that a node of ours may be behind: what is later may cost money, and nobody promises
/// anything to a node that sleeps.
const BEHIND_MAX: u32 = 5;
/// A reorg is never deeper: what is six deep is final.
const REORG_MAX: u32 = 5;

impl World {
    /// Mines some blocks; a node that is far behind is woken first.
    pub(crate) fn mine(&mut self, blocks: u32, dice: &mut Dice) -> Done {
        for _ in 0..blocks {
            self.wake_sleepers(dice)?;
            if self.nodes.iter().any(|node| !node.is_up()) {
                self.marks.hit(Mark::BlockWhileDown);
            }
            self.offer_closings();
            let nobody = ScriptBuf::new_op_return([]);
            if dice.percent(12) {
                self.chain.lock().mine_empty();
            } else {
                self.chain.lock().mine(&nobody);
            }
        }
        let tip = self.chain.lock().tip();
        self.note(&tip.hash);
        self.say(|| format!("block {}", tip.height));
        Ok(())
    }

    fn wake_sleepers(&mut self, dice: &mut Dice) -> Done {
        for node in 0..self.nodes.len() {
            let tip = self.nodes[node].driver.as_ref().map(|driver| driver.tip().height.0);
            let height = self.height().0;
            let is_asleep = |tip: u32| tip + BEHIND_MAX <= height;
            let is_up = self.nodes[node].is_up();
            if !is_up {
                self.nodes[node].sleeps += 1;
            }
            if tip.is_some_and(is_asleep) || self.nodes[node].sleeps > BEHIND_MAX {
                self.wake(node, dice)?;
                self.poll(node, dice)?;
                self.take_advice(node, dice)?;
            }
        }
        Ok(())
    }

    /// Ends the faults of a node and brings it up.
    pub(crate) fn wake(&mut self, node: usize, dice: &mut Dice) -> Done {
        self.nodes[node].switch.lock().heal();
        self.nodes[node].deaths.clear();
        if !self.nodes[node].is_up() {
            self.rise(node, dice)?;
        }
        Ok(())
    }

    /// A node looks at the chain.
    pub(crate) fn poll(&mut self, node: usize, dice: &mut Dice) -> Done {
        let before = self.nodes[node].driver.as_ref().map(|driver| driver.tip().height.0);
        let polled = self.nodes[node].call(lastword_engine::Driver::poll_chain);
        self.look_at_panics()?;
        match polled {
            Some(Ok(tip)) => {
                self.nodes[node].sleeps = 0;
                if before.is_some_and(|before| before + 3 <= tip.height.0) {
                    self.marks.hit(Mark::BlockBurst);
                }
            }
            None => {
                self.note(&("died", node));
                self.say(|| format!("node {node} dies while it looks at the chain"));
            }
            Some(Err(EngineError::Store(_) | EngineError::Chain(_) | EngineError::Track(_))) => {}
            Some(Err(error)) => return Err(Broken::new("chain", why(&error))),
        }
        self.check_offers(node)?;
        self.bury_forwards(node);
        if dice.percent(30) {
            self.nodes[node].keep_version();
        }
        Ok(())
    }

    /// The last blocks are replaced, by one more.
    pub(crate) fn reorg(&mut self, dice: &mut Dice) -> Done {
        let above = self.height().0.saturating_sub(Ground::get().chain.height().0);
        let depth = dice.between(1, REORG_MAX).min(above);
        if depth == 0 {
            return Ok(());
        }
        self.wake_sleepers(dice)?;
        self.say(|| format!("a reorg of {depth} blocks"));
        self.marks.hit(if depth < 3 { Mark::ReorgShallow } else { Mark::ReorgDeep });
        let before: Vec<bool> = self.closed();
        self.chain.lock().reorg(usize::try_from(depth).unwrap_or(0));
        let after = self.closed();
        let reopened: Vec<usize> =
            (0..before.len()).filter(|index| before[*index] && !after[*index]).collect();
        let mut left = depth + 1;
        if let Some(index) = dice.pick(&reopened).filter(|_| dice.percent(50)) {
            left -= u32::from(self.swap(index, dice));
        }
        let waiting = self.chain.lock().mempool();
        let evicted: Vec<Txid> = waiting.into_iter().filter(|_| dice.percent(30)).collect();
        if !evicted.is_empty() {
            self.marks.hit(Mark::Evicted);
        }
        let nobody = ScriptBuf::new_op_return([]);
        for _ in 0..left {
            self.chain.lock().mine_except(&nobody, &evicted);
        }
        let tip = self.chain.lock().tip();
        self.note(&tip.hash);
        Ok(())
    }

    /// Says of each channel whether its funding output is spent.
    fn closed(&self) -> Vec<bool> {
        let chain = self.chain.lock();
        let of = |channel: &crate::channel::Channel| {
            chain.spender(channel.parameters[0].funding_outpoint).is_some()
        };
        self.channels.iter().map(of).collect()
    }

    /// Another commitment of the peer takes the place of the one that was confirmed.
    fn swap(&mut self, index: usize, dice: &mut Dice) -> bool {
        if self.channels[index].end_of(self.peer()).is_none() {
            return false;
        }
        let Some((transaction, _)) = self.peers_commitment(dice, index) else { return false };
        let nobody = ScriptBuf::new_op_return([]);
        let is_mined = self.chain.lock().mine_transactions(&nobody, vec![transaction]).is_ok();
        if is_mined {
            self.say(|| format!("another commitment of channel {index} is confirmed"));
            self.marks.hit(Mark::Swap);
            self.silent[index] = true;
        }
        is_mined
    }
}
