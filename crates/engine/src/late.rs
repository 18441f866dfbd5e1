//! Asynchronous persistence: inputs go on while a sync runs elsewhere.
//!
//! ```text
//!  stage          check → append → commit      machines are ahead of the disk; nothing is let out
//!  begin_sync     jobs, one for each log       for any thread; inputs are staged meanwhile
//!  sync_returned  release → act                what is durable with all before it, in its order
//!  take_completed                              the callers whose requests are durable
//! ```

use lastword_ports::{Durable, StoreError, SyncJob};
use lastword_types::{ChannelId, PaymentId, UpdateId};

use crate::driver::{Driver, Request};
use crate::error::EngineError;

/// Requests that may wait for a sync, or for their caller to take note: what a disk that never
/// answers costs in memory.
const IN_FLIGHT_MAX: usize = 10_000;

/// The name of a request that was staged; a driver draws each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Driver {
    /// Takes requests as far as the sync, which the caller has done elsewhere, and returns a ticket
    /// for each that was taken in.
    ///
    /// # Shape
    ///
    /// As many results as requests, in the same order.
    ///
    /// # Crash safety
    ///
    /// Nothing is durable when it returns. A ticket in [`take_completed`](Self::take_completed) is
    /// what `Ok` of [`update`](Self::update) and [`send_payment`](Self::send_payment) is: the
    /// permission for the next message to the peer. Until then queries answer with what is in
    /// memory, and nothing is told, advised, claimed or released for it. Requests are durable in
    /// their order; a crash takes the last ones. With two logs the intent of a payment is made
    /// durable here, before its HTLCs are appended (rule R1).
    ///
    /// # Errors
    ///
    /// As of [`submit_requests`](Self::submit_requests), and [`EngineError::InFlightFull`].
    #[must_use = "each result is the answer to one caller"]
    pub fn stage(&mut self, requests: Vec<Request>) -> Vec<Result<Ticket, EngineError>> {
        let in_flight: usize = self.in_flight.iter().map(|held| held.tickets).sum();
        if in_flight + self.completed.len() + requests.len() > IN_FLIGHT_MAX {
            return requests.iter().map(|_| Err(EngineError::InFlightFull)).collect();
        }
        let payment_ids: Vec<Option<PaymentId>> =
            requests.iter().map(Request::payment_id).collect();
        // An id is free once its release is durable (rule R8), so a payment waits for those.
        let is_releasing = self.in_flight.iter().any(|held| held.has_releases);
        if is_releasing
            && payment_ids.iter().any(Option::is_some)
            && let Err(error) = self.finish()
        {
            return requests.iter().map(|_| Err(error.copy())).collect();
        }
        self.warm_for_requests(&requests);
        let mut results = self.hold_each(requests, Self::batch);
        self.fail_unsent(&payment_ids, &mut results);
        results
    }

    /// Begins to make durable what was staged, and returns what is left to do: a job for each log,
    /// none if there is nothing. Any thread runs them, in any order; what each returns goes to
    /// [`sync_returned`](Self::sync_returned).
    ///
    /// A log that cannot do this syncs here, and its job is done.
    ///
    /// # Errors
    ///
    /// A failure of a store: as after a sync that failed.
    pub fn begin_sync(&mut self) -> Result<Vec<SyncJob>, EngineError> {
        Ok(self.logs.begin_syncs()?)
    }

    /// Takes in what became of a sync, releases what is durable with everything before it, and acts
    /// on that. What plans write then is in flight: [`begin_sync`](Self::begin_sync) has a job for
    /// it.
    ///
    /// A proof of less than is known changes nothing: one that comes twice, or late, is no mistake.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownLog`] and [`EngineError::ProvenAhead`] for a proof of something else;
    /// nothing was changed. The failure of the sync, or of one before it: nothing that is in flight
    /// will ever complete, and only a new start finds out what is durable.
    pub fn sync_returned(
        &mut self,
        result: Result<Durable, StoreError>,
    ) -> Result<(), EngineError> {
        self.logs.sync_returned(result)?;
        self.completed()
    }

    /// Makes everything that is in flight durable, here and now, and acts on it.
    ///
    /// # Errors
    ///
    /// A failure of the store; what is in flight stays so.
    pub fn finish(&mut self) -> Result<(), EngineError> {
        self.catch_up()
    }

    /// Takes out the tickets of requests that became durable, in their order.
    pub fn take_completed(&mut self) -> Vec<Ticket> {
        core::mem::take(&mut self.completed)
    }

    /// Returns the updates that are applied and not known to be durable, in their order.
    pub fn in_flight(&self) -> impl Iterator<Item = (ChannelId, UpdateId)> + '_ {
        let held = self.in_flight.iter().flat_map(|held| &held.updates);
        held.chain(&self.unsettled.staged.updates).copied()
    }

    /// Says whether an update of a channel is durable, with everything before it.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownChannel`]; [`EngineError::UnknownUpdate`] if there is no such update yet.
    pub fn is_durable(
        &self,
        channel_id: ChannelId,
        update_id: UpdateId,
    ) -> Result<bool, EngineError> {
        let latest = self.channels.latest_update(channel_id);
        let latest = latest.ok_or(EngineError::UnknownChannel(channel_id))?;
        if update_id > latest {
            return Err(EngineError::UnknownUpdate { channel_id, update_id, latest });
        }
        Ok(!self.in_flight().any(|(of, first)| of == channel_id && first <= update_id))
    }

    /// Says whether anything waits for a sync.
    pub(crate) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Waits for what is in flight, for a call that decides by what is durable.
    pub(crate) fn wait_for_disk(&mut self) -> Result<(), EngineError> {
        if self.in_flight.is_empty() { Ok(()) } else { self.finish() }
    }

    pub(crate) fn draw_ticket(&mut self) -> Ticket {
        self.tickets_given += 1;
        Ticket(self.tickets_given)
    }
}
