//! [`Reason`]: why the plan wants something done.

use core::fmt;

use lastword_types::Generation;

/// Why an action is taken; names the rule of `docs/INVARIANTS.md` that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No book knows the payment, and a ledger holds an undelivered entry of it (R7).
    Unknown,
    /// The book knows an earlier generation, and a ledger holds an undelivered entry of this one
    /// (R7, R8).
    Superseded {
        /// What the book knew.
        earlier: Generation,
    },
    /// The ledgers do not bear out the outcome that the book recorded and nobody was told (R3).
    Contradicted,
    /// The evidence of one part is enough (R4).
    PartFulfilled,
    /// Every part finally failed or was never sent (R2, R4).
    AllPartsFailed,
    /// No HTLC of the payment ever existed (R2).
    NeverSent,
    /// The caller gave up and no HTLC of the payment ever existed (R2).
    Abandoned,
    /// No ledger has a trace of the payment, and the book is older than the last traces that were
    /// dropped (R10).
    TracesDropped,
    /// Some parts finally failed, and others can still be paid.
    SomePartsFailed,
    /// A ledger proves that the user knows the outcome (R6).
    Over,
    /// The user handled the outcome, and the part can be released (R5).
    Handled,
    /// The user handled the outcome, and a part was taken of which it was not told (R5).
    PathTaken,
    /// The monitor that knows a part is missing (R2).
    MonitorMissing,
    /// The monitor that knows a part is damaged (R2).
    MonitorDamaged,
    /// Every attempt failed, and the terms allow another (R5).
    RetryOwed,
    /// The caller gave up while the terms allow another attempt (R5).
    GivenUp,
    /// A ledger holds a later attempt than the book (R1).
    AttemptLost,
    /// A damaged monitor may know a further attempt (R2).
    AttemptHidden,
    /// Another generation of the id is not finished; this one is looked at after it (R8).
    GenerationInTheWay {
        /// The unfinished one.
        unfinished: Generation,
    },
    /// The outbound half was fulfilled (R12).
    OutboundFulfilled,
    /// The outbound half finally failed (R12).
    OutboundFailed,
    /// The inbound half was about to expire while the outbound half was open on chain (R12).
    FailedBack,
    /// The channel of the inbound half is closed: failing it back early saves no channel (R12).
    InboundOnChain,
    /// The inbound half is durably settled (R12).
    InboundResolved,
    /// The inbound half's channel is archived (R12).
    InboundGone,
    /// The node does not know the inbound half: the entry is kept (R12).
    InboundUnknown,
    /// A part of a received payment is claimed, so all are (R13).
    PartClaimed,
    /// Every part of a received payment that can be claimed is (R13).
    AllPartsClaimed,
    /// No outbound half of the forward ever left (R12).
    NeverForwarded,
    /// The funding output is spent, or we decided to fail the channel.
    ChannelClosed,
    /// The channel is archived: no update changes it any more (R11).
    ChannelArchived,
    /// The monitor has updates that the node lost.
    ManagerStale,
    /// The node handed updates over and did not hear of them again.
    InFlight,
    /// The monitor lost updates that were durable: its bytes are older than the node's.
    MonitorStale,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "R7, no book knows it and a ledger still has it to tell",
            Self::Superseded { earlier } => {
                return write!(f, "R8, it began when generation {earlier} of the book was over");
            }
            Self::Contradicted => "R3, the ledgers do not bear out what was recorded",
            Self::PartFulfilled => "R4, a part was fulfilled",
            Self::AllPartsFailed => "R4, every part finally failed",
            Self::NeverSent => "R2, no HTLC of it ever left",
            Self::Abandoned => "R2, it was abandoned and no HTLC of it ever left",
            Self::TracesDropped => "R10, the book is older than the traces that were dropped",
            Self::SomePartsFailed => "R4, a part failed and others are open",
            Self::Over => "R6, a ledger proves that the user was told",
            Self::Handled => "R5, the user handled the outcome",
            Self::PathTaken => "R5, a part was taken after the outcome was handled",
            Self::MonitorMissing => "R2, the monitor is missing",
            Self::MonitorDamaged => "R2, the monitor is damaged",
            Self::RetryOwed => "R5, every attempt failed and another is allowed",
            Self::GivenUp => "R5, the caller gave up while another attempt was allowed",
            Self::AttemptLost => "R1, a ledger holds a later attempt than the book",
            Self::AttemptHidden => "R2, the monitor is damaged and may know a further attempt",
            Self::GenerationInTheWay { unfinished } => {
                return write!(f, "R8, generation {unfinished} of the id is not finished");
            }
            Self::OutboundFulfilled => "R12, the outbound half was fulfilled",
            Self::OutboundFailed => "R12, the outbound half finally failed",
            Self::FailedBack => "R12, the inbound half would expire before the outbound one ends",
            Self::InboundOnChain => {
                "R12, the inbound half's channel is closed and failing back early saves nothing"
            }
            Self::InboundResolved => "R12, the inbound half is durably settled",
            Self::InboundGone => "R12, the inbound half's channel is archived",
            Self::InboundUnknown => "R12, the node does not know the inbound half",
            Self::PartClaimed => "R13, a part of the received payment is claimed",
            Self::AllPartsClaimed => "R13, every part that can be claimed is",
            Self::NeverForwarded => "R12, no outbound half of it ever left",
            Self::ChannelClosed => "closed is state, the node missed it",
            Self::ChannelArchived => "R11, the channel is archived",
            Self::ManagerStale => "the node lost updates that the monitor has",
            Self::InFlight => "the node did not hear of what it had handed over",
            Self::MonitorStale => "the monitor is older than the node",
        })
    }
}
