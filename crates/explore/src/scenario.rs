//! The scenarios: what can happen to a payment, put together.

use core::fmt;

/// How a payment is split: over one channel or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One part.
    Direct,
    /// Two parts in two channels.
    TwoParts,
    /// Three parts, two of them in the second channel.
    ThreeParts,
    /// One part in the second channel, which fails; then one in the first.
    Retry,
    /// One part, which is to fail at the recipient.
    Probe,
    /// An HTLC that comes in by the second channel and goes out by the first.
    Forward,
    /// A payment to this node, a part in each channel.
    Received,
    /// Two payments of one id and one part each, one after the other, both ended off chain; then what
    /// is remembered of them is dropped.
    Again,
}

impl Shape {
    pub(crate) fn has_second_channel(self) -> bool {
        match self {
            Self::Direct | Self::Probe | Self::Again => false,
            Self::TwoParts | Self::ThreeParts | Self::Retry | Self::Forward | Self::Received => {
                true
            }
        }
    }

    /// Says whether more than one fate is told apart.
    fn has_other(self) -> bool {
        self.has_second_channel() || self == Self::Again
    }
}

/// Which transaction closes a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Our newest commitment.
    Ours,
    /// The peer's newest commitment.
    PeersLatest,
    /// The peer's commitment before, which it has not revoked: the newest is without the HTLC.
    PeersPrevious,
    /// A commitment that the peer has revoked; a second payment stands in the newest alone.
    Revoked,
}

/// Who gets an HTLC's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer, with the preimage.
    Claimed,
    /// We: after the expiry, or as a penalty.
    TakenBack,
}

/// What becomes of the HTLCs in one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Fulfilled off chain.
    Fulfilled,
    /// Failed off chain.
    Failed,
    /// Settled off chain as the outbound half of the forward was.
    Answered,
    /// The channel closes.
    Closed(Close, End),
}

/// What the chain takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reorg {
    /// Nothing.
    None,
    /// The block with the resolution; it comes again.
    OneBlock,
    /// The resolution when it is five deep; the other side gets the output then.
    BelowFinality,
    /// The resolution when it is final; the other side gets the output then, which changes nothing.
    BeyondFinality,
    /// The closing; the other side's commitment takes its place, or that of the peer before.
    Swap,
    /// The closing when it is five deep, with what followed; it comes again.
    Closing,
}

/// One small life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// How the payment is split.
    pub shape: Shape,
    /// What happens in the first channel.
    pub fate: Fate,
    /// What happens in the second, where there is one.
    pub other: Fate,
    /// Whether the HTLCs are too small for an output.
    pub is_dust: bool,
    /// What the chain takes back in the first channel.
    pub reorg: Reorg,
}

impl Scenario {
    /// Says whether the recipient gets the preimage out of the first channel.
    pub(crate) fn is_paid(self) -> bool {
        match self.fate {
            Fate::Fulfilled => true,
            Fate::Failed | Fate::Answered => false,
            // A preimage that was seen stays seen, and one that comes in time counts.
            Fate::Closed(_, end) => {
                !self.is_dust && (end == End::Claimed || self.reorg == Reorg::BelowFinality)
            }
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Direct => "direct",
            Shape::TwoParts => "two-parts",
            Shape::ThreeParts => "three-parts",
            Shape::Retry => "retry",
            Shape::Probe => "probe",
            Shape::Forward => "forward",
            Shape::Received => "received",
            Shape::Again => "again",
        };
        write!(f, "{shape}/{}", FateName(self.fate))?;
        if self.shape.has_other() {
            write!(f, "/{}", FateName(self.other))?;
        }
        f.write_str(if self.is_dust { "/dust" } else { "" })?;
        f.write_str(match self.reorg {
            Reorg::None => "",
            Reorg::OneBlock => "/reorg-1",
            Reorg::BelowFinality => "/reorg-5",
            Reorg::BeyondFinality => "/reorg-7",
            Reorg::Swap => "/reorg-swap",
            Reorg::Closing => "/reorg-closing",
        })
    }
}

struct FateName(Fate);

impl fmt::Display for FateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (close, end) = match self.0 {
            Fate::Fulfilled => return f.write_str("fulfilled"),
            Fate::Failed => return f.write_str("failed"),
            Fate::Answered => return f.write_str("answered"),
            Fate::Closed(close, end) => (close, end),
        };
        f.write_str(match close {
            Close::Ours => "ours",
            Close::PeersLatest => "peers-latest",
            Close::PeersPrevious => "peers-previous",
            Close::Revoked => "revoked",
        })?;
        f.write_str(match end {
            End::Claimed => "-claimed",
            End::TakenBack => "-taken-back",
        })
    }
}

/// Returns every scenario, each valid one once.
pub fn scenarios() -> Vec<Scenario> {
    let one = [Shape::Direct, Shape::Probe, Shape::Again];
    let two = [Shape::TwoParts, Shape::ThreeParts, Shape::Retry, Shape::Forward, Shape::Received];
    let shapes = one.into_iter().chain(two);
    let deep = [Reorg::BelowFinality, Reorg::BeyondFinality, Reorg::Closing];
    let reorgs = || [Reorg::None, Reorg::OneBlock, Reorg::Swap].into_iter().chain(deep);
    let mut all = Vec::new();
    for shape in shapes {
        for fate in fates() {
            for is_dust in [false, true] {
                for reorg in reorgs() {
                    for other in others(shape) {
                        let scenario = Scenario { shape, fate, other, is_dust, reorg };
                        all.extend(is_valid(scenario).then_some(scenario));
                    }
                }
            }
        }
    }
    all
}

fn fates() -> Vec<Fate> {
    let closes = [Close::Ours, Close::PeersLatest, Close::PeersPrevious, Close::Revoked];
    let ends = [End::Claimed, End::TakenBack];
    let on_chain = closes.into_iter().flat_map(|close| ends.map(|end| Fate::Closed(close, end)));
    [Fate::Fulfilled, Fate::Failed].into_iter().chain(on_chain).collect()
}

fn others(shape: Shape) -> Vec<Fate> {
    match shape {
        Shape::Direct | Shape::Probe => vec![Fate::Failed],
        Shape::TwoParts | Shape::ThreeParts => {
            vec![Fate::Fulfilled, Fate::Failed, Fate::Closed(Close::Ours, End::TakenBack)]
        }
        Shape::Again => vec![Fate::Fulfilled, Fate::Failed],
        Shape::Retry => vec![Fate::Failed, Fate::Closed(Close::Ours, End::TakenBack)],
        Shape::Received => vec![Fate::Fulfilled],
        // How its output ends follows from the outbound half.
        Shape::Forward => vec![Fate::Answered, Fate::Closed(Close::Ours, End::Claimed)],
    }
}

fn is_valid(scenario: Scenario) -> bool {
    if scenario.shape == Shape::Received {
        return is_valid_receipt(scenario);
    }
    match scenario.fate {
        Fate::Fulfilled | Fate::Failed | Fate::Answered => scenario.reorg == Reorg::None,
        Fate::Closed(close, end) => {
            // Nobody gets what has no output, and only the newest commitments take each other's place.
            let has_end = !scenario.is_dust || end == End::TakenBack;
            let is_sent = !matches!(scenario.shape, Shape::Forward | Shape::Received);
            let can_swap = match close {
                Close::Ours | Close::PeersLatest => true,
                Close::PeersPrevious => is_sent,
                Close::Revoked => false,
            };
            let has_reorg = match scenario.reorg {
                Reorg::Swap => can_swap,
                Reorg::BeyondFinality => is_sent && !scenario.is_dust,
                Reorg::None | Reorg::OneBlock | Reorg::BelowFinality | Reorg::Closing => true,
            };
            has_end && has_reorg && scenario.shape != Shape::Again
        }
    }
}

/// A part is claimed off chain, or from a commitment that may stand, where it has an output.
fn is_valid_receipt(scenario: Scenario) -> bool {
    let Scenario { fate, is_dust, reorg, .. } = scenario;
    reorg == Reorg::None
        && match fate {
            Fate::Fulfilled => true,
            Fate::Closed(Close::Ours | Close::PeersLatest, End::Claimed) => !is_dust,
            Fate::Failed | Fate::Answered | Fate::Closed(..) => false,
        }
}
