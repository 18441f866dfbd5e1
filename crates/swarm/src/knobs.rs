//! [`Knobs`]: which faults a seed has, and how often.

use crate::dice::Dice;

/// A kind of fault that a seed has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Crash,
    Store,
    Book,
    Reorg,
    Source,
    Broadcast,
    Fee,
    Hostile,
    User,
}

const KINDS: [Kind; 9] = [
    Kind::Crash,
    Kind::Store,
    Kind::Book,
    Kind::Reorg,
    Kind::Source,
    Kind::Broadcast,
    Kind::Fee,
    Kind::Hostile,
    Kind::User,
];

/// What a seed draws before anything happens.
#[derive(Debug, Clone)]
pub(crate) struct Knobs {
    /// How many nodes are ours.
    pub(crate) own: usize,
    /// Steps.
    pub(crate) steps: u32,
    pub(crate) kinds: Vec<Kind>,
    /// How many of a hundred steps are faults.
    pub(crate) rate: u32,
    /// Faults end at some step, and then everything must come to its end.
    pub(crate) is_live: bool,
    /// The step from which on there are no faults.
    pub(crate) calm_from: u32,
}

impl Knobs {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let kinds = match dice.below(10) {
            0 => KINDS.to_vec(),
            1 => Vec::new(),
            _ => KINDS.into_iter().filter(|_| dice.percent(50)).collect(),
        };
        let steps = dice.between(80, 320);
        let is_live = dice.percent(75);
        let calm_from = if is_live { dice.between(steps / 2, steps) } else { steps };
        let own = if dice.percent(30) { 4 } else { 3 };
        Self { own, steps, kinds, rate: dice.between(8, 40), is_live, calm_from }
    }
}
