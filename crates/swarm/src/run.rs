//! [`run_seed`]: one seed, from its first step to its end.

use core::fmt;
use std::collections::BTreeSet;

use crate::dice::Dice;
use crate::marks::Marks;
use crate::world::{Broken, World};

/// How a seed is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The steps that are done; all if `None`.
    pub keep: Option<BTreeSet<u32>>,
    /// Whether what happens is written down in words.
    pub wants_story: bool,
}

/// What a run without a violation came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// How often everything happened.
    pub marks: Marks,
    /// Steps that were done.
    pub steps: u64,
    /// A number that two runs of one seed share.
    pub trace: u64,
    /// What happened, if it was asked for.
    pub story: Vec<String>,
}

/// A rule was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// The rule.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
    /// The step at which it was seen; the number after the last step means the end.
    pub step: u32,
    /// The steps that the seed has.
    pub steps: u32,
    /// The steps that were done.
    pub keep: Option<BTreeSet<u32>>,
    /// What happened, if it was asked for.
    pub story: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rule, what, step, .. } = self;
        write!(f, "seed {seed}, step {step}: {rule}: {what}")
    }
}

impl core::error::Error for Violation {}

/// Runs a seed.
///
/// # Shape
///
/// The same seed and options give the same run, to the byte of every event.
///
/// # Errors
///
/// The first [`Violation`]; whoever wants its story runs it again with
/// [`wants_story`](Options::wants_story).
pub fn run_seed(seed: u64, options: &Options) -> Result<Report, Box<Violation>> {
    let violated = |broken: Broken, step: u32, steps: u32, story: Option<Vec<String>>| {
        Box::new(Violation {
            seed,
            rule: broken.rule,
            what: broken.what,
            step,
            steps,
            keep: options.keep.clone(),
            story: story.unwrap_or_default(),
        })
    };
    let mut world =
        World::new(seed, options.wants_story).map_err(|broken| violated(broken, 0, 0, None))?;
    let steps = world.knobs.steps;
    for step in 0..steps {
        if options.keep.as_ref().is_some_and(|keep| !keep.contains(&step)) {
            continue;
        }
        let mut dice = Dice::new(seed, u64::from(step));
        if let Err(broken) = world.step(step, &mut dice) {
            return Err(violated(broken, step, steps, world.story));
        }
    }
    if world.knobs.is_live
        && let Err(broken) = world.settle(&mut Dice::new(seed, u64::from(steps)))
    {
        return Err(violated(broken, steps, steps, world.story));
    }
    let mut marks = world.marks;
    for node in &world.nodes {
        marks.add(&node.take_marks());
    }
    let trace = world.trace();
    Ok(Report { marks, steps: world.steps, trace, story: world.story.unwrap_or_default() })
}
