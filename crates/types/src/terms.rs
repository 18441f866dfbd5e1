//! [`Terms`]: what a payment was begun for, how often it may be tried, and where it was tried
//! before.

use alloc::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::block::BlockHeight;
use crate::id::ChannelId;

/// What every HTLC of a payment carries besides its own facts, so that monitors alone can tell
/// whether a retry is owed.
///
/// The default is a payment that is tried once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How often it may be tried.
    pub retry: RetryPolicy,
    /// What it was begun for.
    pub purpose: Purpose,
    /// The channels of all attempts before this one: the way from an HTLC to its elder siblings.
    pub earlier_channels: BTreeSet<ChannelId>,
}

impl Terms {
    /// Says whether another attempt may follow the one of this number.
    pub fn allows_after(&self, attempt: u32) -> bool {
        attempt.saturating_add(1) < self.retry.attempts_max
    }
}

/// How often a payment may be tried. It is the caller's word and never changes.
///
/// # Units
///
/// `attempts_max` counts the first attempt too. At `deadline_height` the payment is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The most attempts, at least 1.
    pub attempts_max: u32,
    /// The height of the tip from which no further attempt is made, if any.
    pub deadline_height: Option<BlockHeight>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 1, deadline_height: None }
    }
}

/// What an intent was begun for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// To pay.
    #[default]
    Payment,
    /// To learn whether the recipient can be reached: it is to fail there, and counts as no
    /// payment.
    Probe,
}
