//! [`Plan`]: what is to be done, as a value that one can print, compare and test.

use alloc::vec::Vec;
use core::fmt;

use lastword_types::{
    ChannelId, Event, EventKind, Generation, GiveUp, HtlcClaim, HtlcDirection, HtlcFailure,
    HtlcKey, MonitorUpdate, Outcome, PaymentHash, PaymentId, PaymentPreimage, PaymentRecord,
    ReleasePaymentComplete, Told, UpdateId,
};

use crate::reason::Reason;

/// What is to be done, in order.
///
/// # Shape
///
/// Payments by id, then received payments, then forwards by their outbound HTLC and those of which
/// there is none by their inbound one, then channels as their book visits them.
/// The actions of one payment: records, then what is told, then releases, then what is waited for.
///
/// # Crash safety
///
/// Any prefix of it may be lost: planning again on what became durable gives the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a plan changes nothing until it is executed"]
pub struct Plan {
    /// The actions.
    pub actions: Vec<Planned>,
}

/// An action and why it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is to be done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// One thing that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Append a record to the payment book.
    Record(PaymentRecord),
    /// Replace everything that is queued for a payment.
    Tell {
        /// Which payment.
        payment_id: PaymentId,
        /// What is to be told now, in order; empty drops what is queued.
        events: Vec<Event>,
    },
    /// Tell a monitor that the outcome of an HTLC is durably known (rule R5).
    Release(ReleasePaymentComplete),
    /// Do nothing yet: what decides the payment cannot be read.
    Wait {
        /// Which payment.
        payment_id: PaymentId,
        /// The channel that it waits for.
        channel_id: ChannelId,
    },
    /// Note in a ledger that a payment is not tried again (rule R5).
    GiveUp(GiveUp),
    /// Every attempt failed and the terms allow another: the caller may find a route and make it,
    /// or abandon the payment.
    Retry {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// The number of the attempt that may be made.
        attempt: u32,
    },
    /// Claim the inbound half of a forward: its peer has to hear the preimage. Where its monitor is
    /// here, it is claimed in its ledger before.
    ClaimInbound {
        /// The half to claim.
        inbound: HtlcKey,
        /// The half that was fulfilled.
        outbound: HtlcKey,
        /// With this.
        preimage: PaymentPreimage,
    },
    /// Fail the inbound half of a forward back.
    FailInbound {
        /// The half to fail.
        inbound: HtlcKey,
        /// The half that failed.
        outbound: HtlcKey,
        /// Why it did.
        reason: HtlcFailure,
    },
    /// Note in the ledger of the outbound half of a forward that the channel of the inbound half is
    /// closed.
    NoteInboundOnChain {
        /// The half whose channel is closed.
        inbound: HtlcKey,
        /// The half that is not failed back early.
        outbound: HtlcKey,
    },
    /// Claim HTLCs in the ledger of the channel that received them.
    Claim(HtlcClaim),
    /// Give a peer the preimage of an HTLC that is claimed (BOLT 2, `update_fulfill_htlc`).
    FulfillHtlc {
        /// Which.
        htlc: HtlcKey,
        /// The preimage.
        preimage: PaymentPreimage,
    },
    /// Do nothing yet: a part of a received payment cannot be read.
    WaitForPart {
        /// What was paid.
        payment_hash: PaymentHash,
        /// The channel that is waited for.
        channel_id: ChannelId,
    },
    /// Decide about an HTLC that was never forwarded: fail it back, or forward it.
    DecideInbound {
        /// Which.
        inbound: HtlcKey,
        /// The outbound half that there was to be.
        outbound: HtlcKey,
    },
    /// Note in the ledger of a channel of a payment that the user knows that it is unknown: no
    /// older book brings that up again.
    NoteUnknown {
        /// The channel that notes it.
        channel_id: ChannelId,
        /// The caller's key.
        payment_id: PaymentId,
        /// The incarnation of that key.
        generation: Generation,
    },
    /// Report, once after each start, a forward that the node does not know.
    ReportUnknownForward {
        /// Its outbound half.
        outbound: HtlcKey,
    },
    /// The node believes a channel open that is closed.
    MarkChannelClosed {
        /// Which.
        channel_id: ChannelId,
    },
    /// The node lost updates of a channel that its monitor has. It is no reason to close it.
    ManagerBehind {
        /// Which.
        channel_id: ChannelId,
        /// The last update that the node knows.
        have: UpdateId,
        /// The last update that is durable.
        durable: UpdateId,
    },
    /// Write an update that the node handed over and the monitor lost before it was durable.
    ReplayUpdate(MonitorUpdate),
    /// Updates that the node holds for being in flight are durable.
    UpdatesDurable {
        /// Of which channel.
        channel_id: ChannelId,
        /// The last of them.
        up_to: UpdateId,
    },
    /// The monitor lost updates that the node knows to be durable: what it takes for our newest
    /// commitment may be revoked and must not be broadcast.
    MonitorBehind {
        /// Which channel.
        channel_id: ChannelId,
        /// The last update that the node knows to be durable.
        have: UpdateId,
        /// The last update that the monitor has.
        durable: UpdateId,
    },
}

impl Plan {
    /// Says whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actions.is_empty() {
            return f.write_str("nothing to do");
        }
        for (index, planned) in self.actions.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{planned}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.reason)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write_record(f, record),
            Self::Tell { payment_id, events } => write_events(f, *payment_id, events),
            Self::Release(ReleasePaymentComplete { htlc, told }) => {
                write!(f, "release {} as ", HtlcName(*htlc))?;
                match told {
                    Told::Payment { outcome, .. } => write!(f, "{}", OutcomeName(*outcome)),
                    Told::Forward => f.write_str("forwarded"),
                    Told::Claimed => f.write_str("claimed"),
                }
            }
            Self::Wait { payment_id, channel_id } => {
                write!(f, "payment {payment_id} waits for channel {channel_id}")
            }
            Self::GiveUp(GiveUp { htlc, .. }) => {
                write!(f, "note that the payment of {} is given up", HtlcName(*htlc))
            }
            Self::Retry { payment_id, attempt, .. } => {
                write!(f, "payment {payment_id} may be tried again as attempt {attempt}")
            }
            Self::ClaimInbound { inbound, outbound, preimage: _ } => {
                write!(f, "claim {} for {}", HtlcName(*inbound), HtlcName(*outbound))
            }
            Self::FailInbound { inbound, outbound, reason } => {
                let (inbound, outbound) = (HtlcName(*inbound), HtlcName(*outbound));
                write!(f, "fail {inbound} back for {outbound} ({})", FailureName(*reason))
            }
            Self::NoteInboundOnChain { inbound, outbound } => {
                let (inbound, outbound) = (HtlcName(*inbound), HtlcName(*outbound));
                write!(f, "note for {outbound} that {inbound} is on chain")
            }
            Self::Claim(HtlcClaim { channel_id, htlc_ids, .. }) => {
                f.write_str("claim received HTLC")?;
                for (index, htlc_id) in htlc_ids.iter().enumerate() {
                    write!(f, "{} {htlc_id}", if index == 0 { "" } else { "," })?;
                }
                write!(f, " of channel {channel_id}")
            }
            Self::FulfillHtlc { htlc, preimage: _ } => write!(f, "fulfill {}", HtlcName(*htlc)),
            Self::WaitForPart { payment_hash, channel_id } => {
                write!(f, "received payment {payment_hash} waits for channel {channel_id}")
            }
            Self::DecideInbound { inbound, outbound } => {
                let (inbound, outbound) = (HtlcName(*inbound), HtlcName(*outbound));
                write!(f, "fail {inbound} back or forward it: there is no {outbound}")
            }
            Self::NoteUnknown { channel_id, payment_id, .. } => {
                write!(f, "note in channel {channel_id} that payment {payment_id} is unknown")
            }
            Self::ReportUnknownForward { outbound } => {
                write!(f, "report the forward in {}", HtlcName(*outbound))
            }
            Self::MarkChannelClosed { channel_id } => {
                write!(f, "mark channel {channel_id} closed")
            }
            Self::ManagerBehind { channel_id, have, durable } => {
                write!(f, "channel {channel_id} is known to update {have} of {durable}")
            }
            Self::ReplayUpdate(MonitorUpdate { channel_id, update_id, .. }) => {
                write!(f, "write update {update_id} of channel {channel_id} again")
            }
            Self::UpdatesDurable { channel_id, up_to } => {
                write!(f, "channel {channel_id} is durable up to update {up_to}")
            }
            Self::MonitorBehind { channel_id, have, durable } => {
                write!(f, "channel {channel_id} is at update {durable} and was at {have}")
            }
        }
    }
}

fn write_record(f: &mut fmt::Formatter<'_>, record: &PaymentRecord) -> fmt::Result {
    match record {
        PaymentRecord::Intent(intent) => write!(f, "begin payment {}", intent.payment_id),
        PaymentRecord::Rebuilt(intent) => {
            let count = intent.parts.len();
            write!(f, "rebuild payment {} from {count} part(s)", intent.payment_id)
        }
        PaymentRecord::Abandoned { payment_id, .. } => write!(f, "abandon payment {payment_id}"),
        PaymentRecord::Decided { payment_id, outcome, .. } => {
            write!(f, "record payment {payment_id} as {}", OutcomeName(*outcome))
        }
        PaymentRecord::Handled { key } => {
            write!(f, "record {} of payment {} as known", KindName(key.kind), key.payment_id)
        }
        PaymentRecord::Adopted { payment_id, outcome, .. } => {
            write!(f, "adopt payment {payment_id} as {}", OutcomeName(*outcome))
        }
        PaymentRecord::Dropped { payment_id, .. } => write!(f, "drop payment {payment_id}"),
        PaymentRecord::Retried(intent) => {
            write!(f, "begin attempt {} of payment {}", intent.attempt, intent.payment_id)
        }
        PaymentRecord::EpochRaised { epoch } => write!(f, "enter epoch {epoch}"),
    }
}

fn write_events(
    f: &mut fmt::Formatter<'_>,
    payment_id: PaymentId,
    events: &[Event],
) -> fmt::Result {
    if events.is_empty() {
        return write!(f, "tell nothing of payment {payment_id}");
    }
    write!(f, "tell of payment {payment_id}")?;
    for (index, event) in events.iter().enumerate() {
        f.write_str(if index == 0 { " " } else { ", " })?;
        match event.key() {
            Some(key) => write!(f, "{}", KindName(key.kind))?,
            None => f.write_str("an alarm")?,
        }
    }
    Ok(())
}

struct HtlcName(HtlcKey);

impl fmt::Display for HtlcName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HtlcKey { channel_id, direction, htlc_id } = self.0;
        let direction = match direction {
            HtlcDirection::Offered => "offered",
            HtlcDirection::Received => "received",
        };
        write!(f, "{direction} HTLC {htlc_id} of channel {channel_id}")
    }
}

struct OutcomeName(Outcome);

impl fmt::Display for OutcomeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Sent { amount_msat, fee_msat, .. } => {
                write!(f, "sent ({amount_msat}, fee {fee_msat})")
            }
            Outcome::Failed { reason } => write!(f, "failed ({})", FailureName(reason)),
            Outcome::Unknown => f.write_str("unknown"),
        }
    }
}

struct FailureName(HtlcFailure);

impl fmt::Display for FailureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            HtlcFailure::Removed { code } => write!(f, "removed with code {code:#06x}"),
            HtlcFailure::TimedOut => f.write_str("timed out"),
            HtlcFailure::Absent => f.write_str("absent from the closing"),
            HtlcFailure::NeverSent => f.write_str("never sent"),
            HtlcFailure::Abandoned => f.write_str("abandoned"),
            HtlcFailure::FailedBack => f.write_str("failed back before it was decided"),
        }
    }
}

struct KindName(EventKind);

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EventKind::PathFailed { attempt, part } => {
                write!(f, "PaymentPathFailed({attempt}/{part})")
            }
            EventKind::Failed => f.write_str("PaymentFailed"),
            EventKind::Unknown => f.write_str("PaymentUnknown"),
            EventKind::Sent => f.write_str("PaymentSent"),
            EventKind::PathSuccessful { attempt, part } => {
                write!(f, "PaymentPathSuccessful({attempt}/{part})")
            }
            EventKind::Probed => f.write_str("Probed"),
            EventKind::Claimed => f.write_str("PaymentClaimed"),
        }
    }
}
