//! [`Node`]: our side of every channel, with nothing durable of its own.
//!
//! All that it remembers is in the engine's monitors and payment book. On every command it reads
//! them and goes on with what was begun: what is recorded and not answered is sent again, the same.

mod dance;
mod open;
mod pay;
mod shell;
mod splice;
mod view;

use std::collections::BTreeSet;

use lastword_bolt3::{ChannelKeys, InMemorySigner};
use lastword_engine::Stats;
use lastword_types::{
    ChannelId, HtlcDirection, HtlcKey, HtlcOrigin, MonitorState, MonitorUpdate, PaymentHash,
    PaymentPreimage, UpdateId, UpdateStep, Verdict,
};

pub use shell::{Direct, Shell, Stand, Threaded, node_ports};

use crate::error::{SimError, Trying as _};
use crate::link::Line;
use crate::messages::{Answer, Command, FinalVerdict, LedgerLine};
use crate::seed::Seed;

/// At most so many channels does a run have; the signer gets the keys of all of them at the start.
pub const MAX_CHANNELS: u16 = 16;

/// At most so many splices does a channel have.
pub(crate) const MAX_SPLICES: u32 = 2;

/// Our side of every channel.
#[derive(Debug)]
pub struct Node<S> {
    shell: S,
    line: Line,
    signer: InMemorySigner,
    seed: Seed,
}

/// Returns a signer with the node's keys of every channel.
pub fn node_signer(seed: Seed) -> InMemorySigner {
    let mut signer = InMemorySigner::new();
    for channel in 0..MAX_CHANNELS {
        let (channel_id, keys) = (seed.channel_id(channel), node_keys(seed, channel));
        let spliced = (1..=MAX_SPLICES).map(|splice| keys.spliced_funding(splice));
        let spliced: Vec<_> = spliced.collect();
        signer.insert(channel_id, keys);
        for key in spliced {
            let inserted = signer.insert_funding(channel_id, key);
            debug_assert_eq!(inserted, Ok(()), "the channel has its keys");
        }
    }
    signer
}

fn node_keys(seed: Seed, channel: u16) -> ChannelKeys {
    ChannelKeys::derive(&seed.bytes("node", 0), &seed.channel_id(channel).0)
}

impl<S: Shell> Node<S> {
    /// Makes a node around a running engine.
    pub fn new(seed: Seed, shell: S, line: Line) -> Self {
        Self { shell, line, signer: node_signer(seed), seed }
    }

    /// Returns the engine's shell.
    pub fn shell(&mut self) -> &mut S {
        &mut self.shell
    }

    /// Returns what the engine holds in memory, by kind.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the engine stopped.
    pub fn stats(&mut self) -> Result<Stats, SimError> {
        self.shell.with(|driver| driver.stats())
    }

    /// Does what it is told, and returns when everything that followed from it is done and told.
    ///
    /// # Crash safety
    ///
    /// May die at any instruction; the same command again, to a node that comes back, goes on.
    ///
    /// # Errors
    ///
    /// [`SimError`] if something is broken that should not be.
    pub fn obey(&mut self, command: &Command) -> Result<Answer, SimError> {
        let answer = match command {
            Command::Open { channel, spec } => self.open(*channel, *spec)?,
            Command::Resume => self.resume()?,
            Command::Poll => self.poll()?,
            Command::Pay(order) => self.pay(order)?,
            Command::Settle { channel } => self.settle(*channel)?,
            Command::Claim { channels, preimage } => self.claim(channels, *preimage)?,
            Command::Remove { channel, payment_hash, preimage } => {
                self.remove(*channel, *payment_hash, *preimage)?
            }
            Command::FailChannel { channel } => self.fail_channel(*channel)?,
            Command::Close { channel } => self.close(*channel)?,
            Command::Splice { channel, attempt } => self.splice(*channel, *attempt)?,
            Command::LockSplice { channel } => self.lock_splice(*channel)?,
            Command::Look => self.look()?,
        };
        self.shell.deliver()?;
        Ok(answer)
    }

    fn resume(&mut self) -> Result<Answer, SimError> {
        for channel in 0..MAX_CHANNELS {
            self.advance(channel)?;
        }
        Ok(Answer::Done)
    }

    fn poll(&mut self) -> Result<Answer, SimError> {
        self.shell.with(lastword_engine::Driver::poll_chain)?.trying("follow the chain")?;
        Ok(Answer::Done)
    }

    /// Claims a payment: the HTLCs with its hash in these channels are its parts.
    fn claim(&mut self, channels: &[u16], preimage: PaymentPreimage) -> Result<Answer, SimError> {
        let mut parts = BTreeSet::new();
        for channel in channels {
            let state = self.known(*channel)?;
            let htlc_id = received(&state, preimage.payment_hash())
                .ok_or(SimError::new("a part of a payment is not there"))?;
            let channel_id = state.parameters.channel_id;
            parts.insert(HtlcKey { channel_id, direction: HtlcDirection::Received, htlc_id });
        }
        let claimed = self.shell.with(move |driver| driver.claim_payment(preimage, parts))?;
        claimed.trying("claim a payment")?;
        Ok(Answer::Done)
    }

    fn fail_channel(&mut self, channel: u16) -> Result<Answer, SimError> {
        let state = self.known(channel)?;
        if !view::is_closing(&state) {
            self.update(&state, vec![UpdateStep::FailChannel])?;
        }
        // The commitment is broadcast when the chain is followed.
        self.poll()
    }

    fn look(&mut self) -> Result<Answer, SimError> {
        let mut lines = Vec::new();
        for channel in 0..MAX_CHANNELS {
            let channel_id = self.seed.channel_id(channel);
            let found = self.shell.with(move |driver| ledger(driver, channel, channel_id))?;
            lines.extend(found);
        }
        Ok(Answer::Ledger(lines))
    }

    /// Returns the monitor's state, or `None` for a channel that does not exist.
    fn state(&mut self, channel: u16) -> Result<Option<MonitorState>, SimError> {
        let channel_id = self.seed.channel_id(channel);
        let state = self.shell.with(move |driver| match driver.monitor(channel_id) {
            Ok(monitor) => Ok(Some(monitor.state().clone())),
            Err(lastword_engine::EngineError::UnknownChannel(_)) => Ok(None),
            Err(error) => Err(error),
        })?;
        state.trying("read a monitor")
    }

    fn known(&mut self, channel: u16) -> Result<MonitorState, SimError> {
        self.state(channel)?.ok_or(SimError::new("the channel does not exist"))
    }

    /// Applies one update; it is durable when this returns.
    fn update(&mut self, state: &MonitorState, steps: Vec<UpdateStep>) -> Result<(), SimError> {
        let update = numbered(state, steps)?;
        self.shell.with(move |driver| driver.update(vec![update]))?.trying("apply an update")
    }
}

/// Returns the update that comes after what a monitor has.
fn numbered(state: &MonitorState, steps: Vec<UpdateStep>) -> Result<MonitorUpdate, SimError> {
    let update_id: UpdateId =
        state.latest_update.next().ok_or(SimError::new("a channel ran out of update ids"))?;
    Ok(MonitorUpdate { channel_id: state.parameters.channel_id, update_id, steps })
}

/// Reads the offered entries of a channel that belong to payments.
fn ledger(
    driver: &mut lastword_engine::Driver,
    channel: u16,
    channel_id: ChannelId,
) -> Vec<LedgerLine> {
    let Ok(monitor) = driver.monitor(channel_id) else { return Vec::new() };
    let offered = monitor
        .state()
        .htlcs
        .values()
        .filter(|state| state.htlc.direction == HtlcDirection::Offered);
    let mut lines = Vec::new();
    for state in offered {
        let HtlcOrigin::Payment(origin) = &state.htlc.origin else { continue };
        let verdict = match monitor.verdict(HtlcDirection::Offered, state.htlc.htlc_id) {
            Some(Verdict::Fulfilled { preimage, .. }) => Some(FinalVerdict::Fulfilled(preimage)),
            Some(Verdict::Failed { reason }) => Some(FinalVerdict::Failed(reason)),
            Some(Verdict::Live | Verdict::Failing { .. }) | None => None,
        };
        lines.push(LedgerLine {
            channel,
            htlc_id: state.htlc.htlc_id,
            payment_id: origin.payment_id,
            generation: origin.generation,
            verdict,
            is_released: state.delivered.is_some(),
        });
    }
    lines
}

/// Finds a received HTLC of a monitor by its hash.
fn received(state: &MonitorState, payment_hash: PaymentHash) -> Option<lastword_types::HtlcId> {
    state
        .htlcs
        .values()
        .find(|entry| {
            entry.htlc.direction == HtlcDirection::Received
                && entry.htlc.payment_hash == payment_hash
        })
        .map(|entry| entry.htlc.htlc_id)
}
