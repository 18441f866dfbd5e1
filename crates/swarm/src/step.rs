//! What may happen, and how one step is drawn.

use lastword_ports::ChainErrorKind;

use crate::dice::Dice;
use crate::knobs::Kind;
use crate::marks::Mark;
use crate::node::BookFault;
use crate::ports::{BroadcastFault, SourceFault};
use crate::user::Manner;
use crate::world::{Done, World};

impl World {
    /// Does one step. What it draws depends on nothing but the seed, its number and what there is
    /// to draw from.
    pub(crate) fn step(&mut self, number: u32, dice: &mut Dice) -> Done {
        self.steps += 1;
        self.note(&number);
        let is_calm = number >= self.knobs.calm_from;
        if !is_calm && dice.percent(self.knobs.rate) {
            let kinds = self.knobs.kinds.clone();
            if let Some(kind) = dice.pick(&kinds) {
                return self.fault(kind, dice);
            }
        }
        self.life(dice)
    }

    /// Something that may happen on any day.
    fn life(&mut self, dice: &mut Dice) -> Done {
        let node = dice.below(self.nodes.len());
        match dice.below(100) {
            0..=9 => self.pay(dice),
            10..=52 => self.do_something(dice),
            53..=66 => {
                let blocks = dice.between(1, 3);
                self.mine(blocks, dice)
            }
            67..=78 => self.on(node, dice, |world, dice| {
                world.poll(node, dice)?;
                world.take_advice(node, dice)
            }),
            79..=90 => self.on(node, dice, |world, dice| world.tell(node, Manner::Well, dice)),
            91..=93 if !self.deals.is_empty() => {
                let at = dice.below(self.deals.len());
                self.ask(at)
            }
            94 => self.abandon_some(dice),
            95 | 96 => self.close_some(dice),
            97 | 98 => {
                self.peer_claims();
                Ok(())
            }
            _ => self.on(node, dice, |world, _| world.forget(node)),
        }
    }

    /// Does something on a node; one that is down may come up instead.
    fn on(
        &mut self,
        node: usize,
        dice: &mut Dice,
        work: impl FnOnce(&mut Self, &mut Dice) -> Done,
    ) -> Done {
        if self.nodes[node].driver.is_none() {
            return self.rise(node, dice).map(drop);
        }
        // A disk that failed is only whole after a start.
        if !self.nodes[node].is_up() && dice.percent(40) {
            self.nodes[node].kill();
            return self.rise(node, dice).map(drop);
        }
        work(self, dice)
    }

    /// Some node, ours or not, does what it has to do.
    fn do_something(&mut self, dice: &mut Dice) -> Done {
        let people = self.nodes.len() + 1;
        for _ in 0..dice.between(1, 8) {
            let first = dice.below(people);
            for more in 0..people {
                let node = (first + more) % people;
                let tasks = self.tasks(node);
                if let Some(task) = dice.pick(&tasks) {
                    self.steps += 1;
                    self.work(node, task, dice)?;
                    if self.is_own(node) {
                        self.take_advice(node, dice)?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn abandon_some(&mut self, dice: &mut Dice) -> Done {
        let open: Vec<usize> = (0..self.deals.len())
            .filter(|at| {
                let deal = &self.deals[*at];
                self.is_own(deal.payer) && deal.word().is_none() && self.nodes[deal.payer].is_up()
            })
            .collect();
        dice.pick(&open).map_or(Ok(()), |at| self.abandon(at))
    }

    fn close_some(&mut self, dice: &mut Dice) -> Done {
        let index = dice.below(self.channels.len());
        let end = dice.below(2);
        let node = self.channels[index].ends[end];
        if dice.percent(40) {
            self.agree_to_close(index)
        } else if self.is_own(node) {
            self.fail_channel(index, node)
        } else {
            Ok(())
        }
    }

    fn forget(&mut self, node: usize) -> Done {
        let dropped = self.nodes[node].call(lastword_engine::Driver::drop_finished);
        if let Some(Ok(())) = dropped {
            self.marks.hit(Mark::FinishedDropped);
        }
        let dropped = self.nodes[node].call(lastword_engine::Driver::drop_tombstones);
        self.nodes[node].dropped_tombstones = true;
        if let Some(Ok(())) = dropped {
            self.marks.hit(Mark::TombstonesDropped);
        }
        self.look_at_panics()
    }

    /// Something that should not happen.
    fn fault(&mut self, kind: Kind, dice: &mut Dice) -> Done {
        let node = dice.below(self.nodes.len());
        self.say(|| format!("fault: {kind:?}, node {node}"));
        match kind {
            Kind::Crash => {
                self.crash(node, dice);
                Ok(())
            }
            Kind::Store => {
                let mut switch = self.nodes[node].switch.lock();
                match dice.below(6) {
                    0 => switch.disk_full = true,
                    1 | 2 => switch.append_fails = true,
                    3 => switch.put_fails = true,
                    wrote => switch.sync_fails = Some(wrote == 4),
                }
                Ok(())
            }
            Kind::Book => {
                self.book_fault(node, dice);
                Ok(())
            }
            Kind::Reorg => self.reorg(dice),
            Kind::Source => {
                let fault = match dice.below(5) {
                    0 => SourceFault::Error(ChainErrorKind::Retry),
                    1 => SourceFault::Error(ChainErrorKind::NotFound),
                    2 => SourceFault::Nonsense,
                    3 => SourceFault::Vanish,
                    _ => SourceFault::Repeat(dice.between(1, 3)),
                };
                let calls = dice.between(0, 2);
                self.nodes[node].switch.lock().source = Some((fault, calls));
                Ok(())
            }
            Kind::Broadcast => {
                let fault = match dice.below(4) {
                    0 => BroadcastFault::Refused(ChainErrorKind::Rejected),
                    1 => BroadcastFault::Refused(ChainErrorKind::FeeTooLow),
                    2 => BroadcastFault::Away,
                    _ => BroadcastFault::Lost,
                };
                let calls = dice.between(0, 2);
                self.nodes[node].switch.lock().broadcast = Some((fault, calls));
                Ok(())
            }
            Kind::Fee => {
                let times = [1, 1, 4, 20, 60];
                let fee = dice.pick(&times).unwrap_or(1);
                if fee > 1 {
                    self.marks.hit(Mark::FeeSpike);
                }
                for node in &self.nodes {
                    node.switch.lock().fee = fee;
                }
                Ok(())
            }
            Kind::Hostile => {
                self.hostility(dice);
                Ok(())
            }
            Kind::User => {
                if dice.percent(15) {
                    return self
                        .on(node, dice, |world, dice| world.acknowledge_wrongly(node, dice));
                }
                self.on(node, dice, |world, dice| world.tell(node, Manner::Badly, dice))
            }
        }
    }

    /// A node dies: now, or at one of the next boundaries, and perhaps again while it comes back.
    fn crash(&mut self, node: usize, dice: &mut Dice) {
        let deaths = dice.below(4);
        let again: Vec<u32> = (0..deaths).map(|_| dice.between(1, 5)).collect();
        self.nodes[node].deaths = again;
        self.nodes[node].hands_over = dice.percent(40);
        if dice.percent(25) {
            self.nodes[node].kill();
        } else {
            let boundaries = dice.between(1, 9);
            self.nodes[node].switch.lock().dies_in = Some(boundaries);
        }
    }

    fn book_fault(&mut self, node: usize, dice: &mut Dice) {
        match dice.below(6) {
            0 | 1 => self.nodes[node].book_fault = Some(BookFault::Older),
            2 => self.nodes[node].book_fault = Some(BookFault::Absent),
            3 => self.nodes[node].book_fault = Some(BookFault::Fork),
            4 => self.nodes[node].is_forwards_older = true,
            _ => self.nodes[node].is_channels_older = true,
        }
        if dice.percent(50) {
            self.nodes[node].kill();
        }
    }

    fn hostility(&mut self, dice: &mut Dice) {
        let peer = self.peer();
        match dice.below(4) {
            0 => {
                let with: Vec<usize> = (0..self.channels.len())
                    .filter(|index| self.channels[*index].end_of(peer).is_some())
                    .collect();
                let Some(index) = dice.pick(&with) else { return };
                self.silent[index] = !self.silent[index] || self.channels[index].is_frozen;
                if self.silent[index] {
                    self.marks.hit(Mark::Silence);
                }
            }
            1 => self.peer_closes(dice),
            _ => self.peer_claims(),
        }
    }
}
