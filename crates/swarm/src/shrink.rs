//! [`shrink`]: the fewest steps that still break the same rule.

use std::collections::BTreeSet;

use crate::run::{Options, Violation, run_seed};

/// Runs at most.
const TRIES_MAX: usize = 600;

/// Leaves out steps, faults among them, as long as the same rule is broken, and returns the
/// violation of what is left, with its story.
pub fn shrink(violation: Violation) -> Violation {
    let (seed, rule) = (violation.seed, violation.rule);
    let breaks = |keep: &BTreeSet<u32>| {
        let options = Options { keep: Some(keep.clone()), wants_story: false };
        run_seed(seed, &options).is_err_and(|found| found.rule == rule)
    };
    let all = 0..violation.steps.min(violation.step.saturating_add(1));
    let mut keep: BTreeSet<u32> = violation.keep.clone().unwrap_or_else(|| all.collect());
    let mut tries = 0;
    let mut chunk = keep.len().div_ceil(2).max(1);
    loop {
        let steps: Vec<u32> = keep.iter().copied().collect();
        let mut is_shorter = false;
        for part in steps.chunks(chunk) {
            let without: BTreeSet<u32> =
                keep.iter().copied().filter(|step| !part.contains(step)).collect();
            tries += 1;
            if tries > TRIES_MAX {
                break;
            }
            if breaks(&without) {
                keep = without;
                is_shorter = true;
            }
        }
        if tries > TRIES_MAX || chunk == 1 && !is_shorter {
            break;
        }
        if !is_shorter {
            chunk = chunk.div_ceil(2);
        }
    }
    let options = Options { keep: Some(keep), wants_story: true };
    match run_seed(seed, &options) {
        Err(found) => *found,
        Ok(_) => violation,
    }
}
