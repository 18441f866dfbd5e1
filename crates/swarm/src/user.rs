//! The user of a node: a handler that may fail, or a reader; and questions.

use lastword_engine::EngineError;
use lastword_types::{Cursor, Event, HtlcFailure};

use crate::dice::Dice;
use crate::marks::Mark;
use crate::world::{Broken, Done, World, why};

/// How a handler returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Well,
    /// It fails, panics or hangs as the dice say.
    Badly,
}

impl World {
    /// The user of a node is told what there is to tell.
    pub(crate) fn tell(&mut self, node: usize, manner: Manner, dice: &mut Dice) -> Done {
        if self.nodes[node].is_reader {
            return self.read(node, manner, dice);
        }
        if manner == Manner::Well {
            for event in std::mem::take(&mut self.nodes[node].held) {
                self.handled(node, event)?;
            }
        }
        for _ in 0..64 {
            let next = self.nodes[node].call(lastword_engine::Driver::next_event).flatten();
            let Some(event) = next else { break };
            self.hear(node, &event)?;
            match manner {
                Manner::Well => self.handled(node, event)?,
                Manner::Badly => match dice.below(4) {
                    0 => self.handled(node, event)?,
                    1 => {
                        self.nodes[node].mark(Mark::HandlerHangs);
                        self.nodes[node].held.push(event);
                    }
                    2 => {
                        // What the shell makes of a panic: the handler did not handle it.
                        self.nodes[node].mark(Mark::HandlerPanics);
                        self.not_handled(node, &event)?;
                        break;
                    }
                    _ => {
                        self.nodes[node].mark(Mark::HandlerFails);
                        self.not_handled(node, &event)?;
                        break;
                    }
                },
            }
        }
        self.look_at_panics()
    }

    /// The handler returned well from an event.
    fn handled(&mut self, node: usize, event: Event) -> Done {
        let result = self.nodes[node].call(|driver| driver.event_returned(&event, true));
        match result {
            Some(Ok(())) => {
                self.acknowledged(&event);
                Ok(())
            }
            Some(Err(EngineError::Store(_))) => {
                // The handler is done; what it did is written down later.
                self.nodes[node].held.push(event);
                Ok(())
            }
            None => self.look_at_panics(),
            Some(Err(error)) => Err(Broken::new("refusal", format!("{event:?}: {}", why(&error)))),
        }
    }

    fn not_handled(&mut self, node: usize, event: &Event) -> Done {
        match self.nodes[node].call(|driver| driver.event_returned(event, false)) {
            None | Some(Ok(()) | Err(EngineError::Store(_))) => self.look_at_panics(),
            Some(Err(error)) => Err(Broken::new("refusal", why(&error))),
        }
    }

    /// A reader reads on, and acknowledges what it has, or does not.
    fn read(&mut self, node: usize, manner: Manner, dice: &mut Dice) -> Done {
        for _ in 0..32 {
            let cursor = self.nodes[node].cursor;
            let events_max = 1 + dice.below(4);
            let read = self.nodes[node].call(|driver| driver.read_after(cursor, events_max));
            let Some(read) = read else { return self.look_at_panics() };
            for (cursor, event) in &read {
                self.hear(node, event)?;
                self.nodes[node].cursor = Some(*cursor);
                self.nodes[node].read.push((*cursor, event.clone()));
            }
            if manner == Manner::Badly && dice.percent(50) {
                // It reads the same again, or dies with it.
                self.nodes[node].mark(Mark::HandlerHangs);
                self.nodes[node].cursor = None;
                self.nodes[node].read.clear();
                return Ok(());
            }
            let Some(last) = self.nodes[node].cursor.filter(|_| !self.nodes[node].read.is_empty())
            else {
                return Ok(());
            };
            match self.nodes[node].call(|driver| driver.acknowledge(last)) {
                Some(Ok(())) => {
                    for (_, event) in std::mem::take(&mut self.nodes[node].read) {
                        self.acknowledged(&event);
                    }
                }
                Some(Err(EngineError::Store(_))) => return Ok(()),
                None => return self.look_at_panics(),
                Some(Err(error)) => return Err(Broken::new("refusal", why(&error))),
            }
            if read.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The user acknowledges what it was never told.
    pub(crate) fn acknowledge_wrongly(&mut self, node: usize, dice: &mut Dice) -> Done {
        let never_told: Vec<usize> = (0..self.deals.len())
            .filter(|at| self.deals[*at].payer == node && self.deals[*at].told.is_empty())
            .collect();
        let Some(at) = dice.pick(&never_told) else { return Ok(()) };
        let deal = &self.deals[at];
        let event = Event::PaymentFailed {
            payment_id: deal.payment_id,
            generation: deal.generation,
            payment_hash: deal.preimage.payment_hash(),
            reason: HtlcFailure::NeverSent,
        };
        let cursor = Cursor { epoch: 0, position: 7 };
        let results = self.nodes[node]
            .call(|driver| (driver.event_returned(&event, true), driver.acknowledge(cursor)));
        let Some((event, cursor)) = results else { return self.look_at_panics() };
        self.nodes[node].mark(Mark::WrongAcknowledgement);
        let is_refused = matches!(event, Err(EngineError::NeverTold(_) | EngineError::Store(_)))
            && matches!(cursor, Err(EngineError::Cursor(_) | EngineError::Store(_)));
        if is_refused {
            return Ok(());
        }
        Err(Broken::new("false acknowledgement", format!("payment {at}: {event:?}, {cursor:?}")))
    }

    /// Somebody asks what became of a payment.
    pub(crate) fn ask(&mut self, at: usize) -> Done {
        let (node, id) = (self.deals[at].payer, self.deals[at].payment_id);
        if !self.is_own(node) || !self.nodes[node].is_up() {
            return Ok(());
        }
        match self.nodes[node].call(|driver| driver.payment_status(id)) {
            None | Some(Err(EngineError::Store(_))) => self.look_at_panics(),
            Some(Err(error)) => Err(Broken::new("refusal", why(&error))),
            Some(Ok(status)) => {
                self.marks.hit(Mark::Query);
                self.check_answer(at, &status)
            }
        }
    }
}
