#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

pub mod amount;
pub mod balance;
pub mod block;
#[doc(hidden)]
pub mod bug;
pub mod channel;
pub mod claim;
pub mod cursor;
pub mod funding;
pub mod htlc;
pub mod id;
pub mod ledger;
pub mod payment;
pub mod received;
pub mod state;
pub mod terms;
pub mod update;

pub use amount::{AmountMsat, FeeRatePerKw};
pub use balance::{Balance, BalanceKind, BalanceTotals, BalanceView, Balances};
pub use block::{
    ANTI_REORG_DELAY, ARCHIVE_DEPTH, BlockHeight, BlockRef, EARLY_FAIL_BACK_BLOCKS,
    FULFIL_DEADLINE_BLOCKS, OFFERED_GRACE_BLOCKS,
};
#[doc(hidden)]
pub use bug::Bug;
#[cfg(lastword_bugs)]
#[doc(hidden)]
pub use bug::{BugFacts, Finder};
pub use channel::{ChannelParameters, ChannelSide, CommitmentFormat, Side, ToSelfDelay};
pub use claim::{ClaimKind, ClaimRequest, SigningKey, SweepWitness};
pub use cursor::Cursor;
pub use funding::{
    Funding, FundingKind, LocalCommitmentOn, MAX_FUNDINGS, NewFunding, RemoteCommitmentOn,
};
pub use htlc::{
    ForwardOrigin, Htlc, HtlcDirection, HtlcKey, HtlcOrigin, Metadata, PaymentHash, PaymentHash160,
    PaymentOrigin, PaymentPreimage,
};
pub use id::{
    BookEpoch, ChannelId, CommitmentNumber, Generation, HtlcId, PartIndex, PaymentId, SecretIndex,
    UpdateId,
};
pub use ledger::{
    FailingUntil, FulfilledHow, HtlcFailure, LedgerEntry, Outcome, OutcomeKind, PastHtlc, Spell,
    Told, Tombstone, Verdict,
};
pub use payment::{
    BookEntry, BookState, Event, EventKey, EventKind, Intent, IntentPart, PaymentRecord,
    PaymentState,
};
pub use received::{EntryState, HtlcClaim, MAX_CLAIM_PARTS, PreimageSource};
pub use state::{
    BookMark, Card, ChainTip, Close, FundingSpend, HtlcState, MonitorState, OutputSpend,
    OutputSpendKind, SignedCommitment, UnsignedCommitment,
};
pub use terms::{Purpose, RetryPolicy, Terms};
pub use update::{
    Alarm, ChainDelta, Effect, GiveUp, HtlcAdded, HtlcRemoved, LocalCommitment, MempoolEvidence,
    MonitorRecord, MonitorUpdate, NewChannel, Overdue, PerCommitmentSecret, ReleasePaymentComplete,
    RemoteCommitment, RemovalReason, UpdateStep,
};
