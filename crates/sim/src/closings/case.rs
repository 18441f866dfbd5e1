//! The axes of the matrix, and which combinations of them cannot be.

use lastword_types::{CommitmentFormat, Side};

/// Declares an axis with all its values.
macro_rules! axis {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$value_doc])* $value),+ }

        impl $name {
            const ALL: &[Self] = &[$(Self::$value),+];
        }
    };
}

axis!(
    /// What spends the funding output.
    Closing {
        /// A transaction on which both agreed.
        Mutual,
        /// Our newest commitment, which the node itself broadcasts.
        OursCurrent,
        /// The one before, which was on its way when its successor came.
        OursPrevious,
        /// The peer's newest commitment.
        TheirsCurrent,
        /// The peer's newest but one, which it has not revoked.
        TheirsPrevious,
        /// The peer's newest, which it has signed for with no revocation.
        TheirsNext,
        /// The peer's newest but one, which it has revoked.
        JustRevoked,
        /// One that it revoked many states ago; its thefts are confirmed before we can punish.
        LongRevoked,
        /// A commitment that the node does not know yet, because it lost its newest records.
        Future,
        /// Something that both signed and that is no commitment.
        Unknown,
    }
);
axis!(
    /// When a preimage is known: of what the peer offered, to us; of what we offered, how the peer
    /// shows it.
    Known {
        /// Never.
        Never,
        /// Before the closing.
        Before,
        /// After it, by a message.
        After,
        /// After it, by the witness of a claim.
        OnChain,
    }
);
axis!(
    /// What leaves the chain.
    Reorg {
        /// Nothing.
        None,
        /// Every block that holds something, once.
        EachBlock,
        /// The closing and all after it, which is followed by the same closing.
        SameAgain,
        /// The closing and all after it, which is followed by another commitment.
        Another,
    }
);

/// The side whose HTLCs are looked at, and the side whose commitment changes while the channel closes.
const SIDES: [Side; 2] = [Side::Local, Side::Remote];

/// Every commitment format.
pub const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];

/// One cell of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// How commitments are built.
    pub format: CommitmentFormat,
    /// What spends the funding output.
    pub closing: Closing,
    /// Who offered the HTLCs whose preimage may be known; there is one of the same hash and amount
    /// from the other side.
    pub offerer: Side,
    /// When it is known.
    pub known: Known,
    /// Whose commitment has an HTLC that the other lacks, and lacks one that the other has.
    pub ahead: Side,
    /// What leaves the chain.
    pub reorg: Reorg,
}

impl Case {
    /// Returns every combination that can be, of one format.
    pub fn all(format: CommitmentFormat) -> Vec<Self> {
        let mut all = Vec::new();
        for &closing in Closing::ALL {
            for &known in Known::ALL {
                for offerer in SIDES {
                    for ahead in SIDES {
                        let of = |reorg| Self { format, closing, offerer, known, ahead, reorg };
                        all.extend(Reorg::ALL.iter().copied().map(of));
                    }
                }
            }
        }
        all.retain(|case| case.cannot_be().is_none());
        all
    }

    /// Returns how many combinations there are, possible or not, of one format.
    pub fn combinations() -> usize {
        Closing::ALL.len() * Known::ALL.len() * SIDES.len() * SIDES.len() * Reorg::ALL.len()
    }

    /// Returns the rule by which a combination cannot be.
    pub fn cannot_be(self) -> Option<&'static str> {
        let rules = [
            (
                self.closing == Closing::Mutual
                    && (self.known != Known::Never || self.ahead == Side::Remote),
                "a closing by agreement needs a channel without HTLCs",
            ),
            (
                self.known == Known::OnChain && self.offerer == Side::Remote,
                "the peer does not show the preimage of what it offered",
            ),
            (
                self.known == Known::OnChain && self.closing == Closing::Unknown,
                "a spend that is no commitment has no HTLC output",
            ),
            (
                self.closing == Closing::Future && self.reorg == Reorg::Another,
                "of a node that lost data only commitments from the future may confirm",
            ),
        ];
        rules.into_iter().find_map(|(applies, rule)| applies.then_some(rule))
    }

    /// Says whether the closing is a commitment that the peer had revoked.
    pub fn is_revoked(self) -> bool {
        matches!(self.closing, Closing::JustRevoked | Closing::LongRevoked)
    }

    /// Says whether nobody here can know what the closing holds for an HTLC.
    pub fn is_blind(self) -> bool {
        matches!(self.closing, Closing::Future | Closing::Unknown)
    }

    /// Returns whose two newest commitments are both unrevoked at the closing.
    pub(super) fn unrevoked(self) -> Option<Side> {
        match self.closing {
            Closing::OursPrevious => Some(Side::Local),
            Closing::TheirsPrevious | Closing::TheirsNext => Some(Side::Remote),
            Closing::Mutual
            | Closing::OursCurrent
            | Closing::TheirsCurrent
            | Closing::JustRevoked
            | Closing::LongRevoked
            | Closing::Future
            | Closing::Unknown => None,
        }
    }
}
