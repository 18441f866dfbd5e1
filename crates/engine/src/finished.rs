//! Payments that are over and leave the book (rule R9), and where what they came to is found.
//!
//! ```text
//!   handled, released everywhere ──► waits ──► dropped from the book and written down, a batch in one append
//!                                                 │
//!                                                 └─► Stream::Finished(part of the id): read on demand,
//!                                                     the newest are kept
//! ```
//!
//! The book holds what is not over and a batch or two of what is, however many there ever were; so a
//! start reads no more than that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use lastword_payments::{PaymentError, Payments};
use lastword_ports::{Frame, PaymentBook as _, Stream};
use lastword_reload::{Scope, may_drop};
use lastword_types::{Generation, Intent, Outcome, PaymentId, PaymentRecord, PaymentState};
use lastword_wire as wire;

use crate::driver::Driver;
use crate::error::EngineError;
use crate::logs::LogKind;

/// Payments that leave the book together.
const BATCH: usize = 256;

/// Into how many streams finished payments are spread: to find one reads one of them.
const PARTS: u16 = 1 << 14;

/// Of how many finished payments each stream keeps what they came to, at least; all together keep
/// that of the last million.
const KEPT_PER_PART: usize = 64;

/// How many streams are looked at for what is older than that with each batch that is dropped: every
/// one once in half a million payments.
const PARTS_AT_A_TIME: u16 = 8;

/// Returns the stream that holds what a payment came to.
fn stream_of(payment_id: PaymentId) -> Stream {
    // FNV-1a: ids may be counted up in any of their bytes, or be hashes.
    let mixed = payment_id.0.iter().fold(0xCBF2_9CE4_8422_2325_u64, |mixed, byte| {
        (mixed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let part = (mixed ^ (mixed >> 32)) % u64::from(PARTS);
    Stream::Finished(u16::try_from(part).unwrap_or_default())
}

/// Returns the streams of what is finished.
pub(crate) fn streams() -> impl Iterator<Item = Stream> {
    (0..PARTS).map(Stream::Finished)
}

/// The payments in the book that are handled, oldest first as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    waiting: VecDeque<(PaymentId, Generation)>,
    /// How many of them there were when few could go: they are looked at again when there are more.
    stuck: usize,
    /// The stream that is looked at next for what is older than the horizon.
    next_part: u16,
}

impl Finished {
    /// Returns those of a book that was read, in the order of their ids; `chance` chooses where it
    /// begins to look for what is older than the horizon.
    pub(crate) fn of(book: &Payments, chance: u64) -> Self {
        let handled = book.state().payments.iter().filter_map(|(payment_id, entry)| {
            let is_handled = matches!(entry.state, PaymentState::Handled(_));
            is_handled.then_some((*payment_id, entry.intent.generation))
        });
        let next_part = u16::try_from(chance % u64::from(PARTS)).unwrap_or_default();
        Self { waiting: handled.collect(), stuck: 0, next_part }
    }

    /// Takes in that a payment was handled; once more does no harm.
    pub(crate) fn add(&mut self, payment_id: PaymentId, generation: Generation) {
        self.waiting.push_back((payment_id, generation));
    }

    fn is_batch_due(&self) -> bool {
        self.waiting.len() >= 2 * BATCH && self.waiting.len() >= self.stuck + BATCH
    }
}

impl Driver {
    /// Drops a batch of payments that are over, once there are two of them.
    pub(crate) fn drop_finished_if_many(&mut self) -> Result<(), EngineError> {
        if !self.finished.is_batch_due() {
            return Ok(());
        }
        let dropped = self.drop_batch()?;
        let is_stuck = 2 * dropped < BATCH;
        self.finished.stuck = if is_stuck { self.finished.waiting.len() } else { 0 };
        self.prune_finished()
    }

    /// Drops every payment from the book that is over and released in every channel; a driver does so
    /// by itself where there are many. [`payment_status`](Self::payment_status) goes on to tell what
    /// each came to.
    ///
    /// # Crash safety
    ///
    /// What they came to is written in the append that drops them. None is dropped before its
    /// releases are durable, or while a channel is set apart (rule R9).
    ///
    /// # Errors
    ///
    /// A failure of the store; what is not dropped is dropped another time.
    pub fn drop_finished(&mut self) -> Result<(), EngineError> {
        self.wait_for_disk()?;
        for _ in 0..self.finished.waiting.len().div_ceil(BATCH) {
            self.drop_batch()?;
        }
        Ok(self.logs.sync_all()?)
    }

    /// Looks at the payments that were handled first, and drops those that may go; what may not waits
    /// behind the others. Returns how many went.
    fn drop_batch(&mut self) -> Result<usize, EngineError> {
        if self.channels.damaged().next().is_some() {
            return Ok(0);
        }
        let count = self.finished.waiting.len().min(BATCH);
        let batch: Vec<_> = self.finished.waiting.drain(..count).collect();
        let payments = batch.iter().map(|(payment_id, _)| *payment_id).collect();
        let (forwards, received) = (BTreeSet::new(), BTreeSet::new());
        self.warm_for(&Scope::Changed { payments, forwards, received });
        let mut over = Vec::new();
        for (payment_id, generation) in &batch {
            let own = self.payments.payment(*payment_id);
            // Another generation may have taken its id.
            match own.filter(|own| own.intent.generation == *generation).map(|own| own.state) {
                Some(PaymentState::Handled(outcome)) if may_drop(*payment_id, &self.view()) => {
                    over.push((*payment_id, *generation, outcome));
                }
                Some(_) => self.finished.waiting.push_back((*payment_id, *generation)),
                None => {}
            }
        }
        let written = self.write_dropped(&over);
        if written.is_err() {
            self.finished.waiting.extend(over.iter().map(|(id, generation, _)| (*id, *generation)));
        }
        written.map(|()| over.len())
    }

    /// Drops payments from the book and writes down what they came to: one append, all or none.
    fn write_dropped(
        &mut self,
        over: &[(PaymentId, Generation, Outcome)],
    ) -> Result<(), EngineError> {
        let mut records = Vec::with_capacity(over.len());
        let mut bodies = Vec::with_capacity(2 * over.len());
        for (payment_id, generation, outcome) in over.iter().copied() {
            let record = PaymentRecord::Dropped { payment_id, generation };
            // None of them has to do with another, so that all are accepted if each is.
            let _token = self.payments.check(&record)?;
            bodies.push((Stream::Payments, wire::encode_payment_record(&record)));
            bodies.push(word(payment_id, generation, outcome));
            records.push(record);
        }
        if records.is_empty() {
            return Ok(());
        }
        let frames: Vec<Frame<'_>> =
            bodies.iter().map(|(stream, body)| Frame::Record { stream: *stream, body }).collect();
        self.books_end = Some(self.logs.append(LogKind::Books, &frames)?);
        for record in &records {
            self.payments.apply(record)?;
        }
        let of_book = bodies.iter().filter(|(stream, _)| *stream == Stream::Payments);
        of_book.for_each(|(_, body)| self.book_growth.add(body.len()));
        Ok(())
    }

    /// Returns what is written down with a record of the book that takes the place of a finished
    /// payment of the same id.
    pub(crate) fn word_replaced_by(&self, record: &PaymentRecord) -> Option<(Stream, Vec<u8>)> {
        let (PaymentRecord::Intent(intent) | PaymentRecord::Rebuilt(intent)) = record else {
            return None;
        };
        let held = self.payments.payment(intent.payment_id)?;
        let generation = held.intent.generation;
        match held.state {
            PaymentState::Handled(outcome) if generation != intent.generation => {
                Some(word(intent.payment_id, generation, outcome))
            }
            PaymentState::Pending | PaymentState::Decided(_) | PaymentState::Handled(_) => None,
        }
    }

    /// Returns what is written down of a payment, by incarnation: one read.
    pub(crate) fn past_of(
        &self,
        payment_id: PaymentId,
    ) -> Result<BTreeMap<Generation, Outcome>, EngineError> {
        let stream = stream_of(payment_id);
        let (mut past, mut failure) = (BTreeMap::new(), None);
        self.logs.store(stream).replay(stream, None, &mut |_, body| {
            match wire::decode_payment_record(body) {
                Ok(PaymentRecord::Adopted { payment_id: of, generation, outcome }) => {
                    if of == payment_id {
                        past.insert(generation, outcome);
                    }
                    ControlFlow::Continue(())
                }
                // Nothing else is ever written there.
                Ok(_) => ControlFlow::Continue(()),
                Err(source) => {
                    failure = Some(EngineError::Bytes { what: "a finished payment", source });
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(past), Err)
    }

    /// Refuses a generation that was used before: its traces would be taken for those of the payment
    /// that begins.
    pub(crate) fn check_new(&self, intent: &Intent) -> Result<(), EngineError> {
        let Intent { payment_id, generation, .. } = *intent;
        if self.past_of(payment_id)?.contains_key(&generation) {
            return Err(PaymentError::GenerationReused { payment_id, generation }.into());
        }
        Ok(())
    }

    /// Forgets what is older than the horizon, in some of the streams at a time.
    fn prune_finished(&mut self) -> Result<(), EngineError> {
        for _ in 0..PARTS_AT_A_TIME {
            let stream = Stream::Finished(self.finished.next_part);
            self.finished.next_part = (self.finished.next_part + 1) % PARTS;
            let mut places = Vec::new();
            self.logs.store(stream).replay(stream, None, &mut |lsn, _| {
                places.push(lsn);
                ControlFlow::Continue(())
            })?;
            let surplus = places.len().saturating_sub(KEPT_PER_PART);
            if let Some(upto) = surplus.checked_sub(1).and_then(|last| places.get(last)) {
                self.logs.forget(stream, *upto)?;
            }
        }
        Ok(())
    }
}

/// Returns what is written down of a finished payment, and where.
fn word(payment_id: PaymentId, generation: Generation, outcome: Outcome) -> (Stream, Vec<u8>) {
    let record = PaymentRecord::Adopted { payment_id, generation, outcome };
    (stream_of(payment_id), wire::encode_payment_record(&record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_counted_up_are_spread_over_the_streams() {
        for counted in [0, 15, 31] {
            let mut sizes = vec![0_u32; usize::from(PARTS)];
            for number in 0..u32::from(PARTS) * 16 {
                let mut id = [7; 32];
                for (place, byte) in number.to_le_bytes().into_iter().enumerate() {
                    id[(counted + place) % 32] = byte;
                }
                let Stream::Finished(part) = stream_of(PaymentId(id)) else { panic!("{counted}") };
                sizes[usize::from(part)] += 1;
            }
            let largest = sizes.iter().copied().max();
            assert!(largest < Some(64), "{counted}: {largest:?}");
        }
    }
}
