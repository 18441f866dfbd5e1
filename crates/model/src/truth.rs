//! [`Fate`]: what really becomes of an HTLC, whatever the node knows of it.

/// What became of an offered HTLC so far.
///
/// ```text
/// Unsent -> Live -> Failing -> Returned            off chain: the peer fails it, then revokes
///            |         '-----> Claimed             (or confirms a commitment that holds it)
///            |-> TimedOut ---> Returned            on chain: one block deep, then buried
///            |-> Claimed ----> Taken
///            '---------------> Taken               off chain: fulfilled
/// reorg:     TimedOut, Claimed -> Live             Returned -> Late (deeper than the finality)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Unsent,
    Live,
    Failing,
    TimedOut,
    Returned,
    Claimed,
    Taken,
    Late,
}

/// A step of the peer or of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// The peer fulfils it, off chain or so deep on chain that it stays.
    Take,
    /// The peer claims it on chain, one block deep.
    Claim,
    /// The peer fails it; a commitment still holds it.
    Fail,
    /// Our timeout confirms, one block deep.
    TimeOut,
    /// It is ours again, for good.
    Return,
    /// The block with its spend goes.
    Reorg,
    /// The chain loses more than the finality, and the peer claims it.
    Late,
}

impl Turn {
    pub(crate) const ALL: [Self; 7] =
        [Self::Take, Self::Claim, Self::Fail, Self::TimeOut, Self::Return, Self::Reorg, Self::Late];

    /// Says whether it may never happen, so that no rule may rely on it.
    pub(crate) const fn is_fault(self) -> bool {
        matches!(self, Self::Reorg | Self::Late)
    }
}

impl Fate {
    /// Returns what a turn makes of it, if it can come.
    pub(crate) const fn after(self, turn: Turn) -> Option<Self> {
        match (self, turn) {
            (Self::Live | Self::Claimed, Turn::Take) => Some(Self::Taken),
            (Self::Live | Self::Failing, Turn::Claim) => Some(Self::Claimed),
            (Self::Live, Turn::Fail) => Some(Self::Failing),
            (Self::Live, Turn::TimeOut) => Some(Self::TimedOut),
            (Self::TimedOut | Self::Failing, Turn::Return) => Some(Self::Returned),
            (Self::TimedOut | Self::Claimed, Turn::Reorg) => Some(Self::Live),
            (Self::Returned, Turn::Late) => Some(Self::Late),
            (
                Self::Unsent
                | Self::Live
                | Self::Failing
                | Self::TimedOut
                | Self::Returned
                | Self::Claimed
                | Self::Taken
                | Self::Late,
                Turn::Take
                | Turn::Claim
                | Turn::Fail
                | Turn::TimeOut
                | Turn::Return
                | Turn::Reorg
                | Turn::Late,
            ) => None,
        }
    }

    /// Says whether the preimage can be seen for this HTLC.
    pub(crate) const fn shows_preimage(self) -> bool {
        matches!(self, Self::Claimed | Self::Taken | Self::Late)
    }

    /// Says whether the peer can still be paid, or was, before any failure was final.
    pub(crate) const fn may_be_paid(self) -> bool {
        matches!(self, Self::Live | Self::Failing | Self::TimedOut | Self::Claimed | Self::Taken)
    }

    /// Says whether nothing but a deep reorg changes it.
    pub(crate) const fn is_settled(self) -> bool {
        matches!(self, Self::Taken | Self::Returned | Self::Late)
    }
}
