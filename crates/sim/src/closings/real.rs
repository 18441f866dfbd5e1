//! Every case that needs no reorg, all channels of a format at once: on a chain where a block takes
//! long.

use lastword_types::CommitmentFormat;

use super::case::{Case, FORMATS, Reorg};
use super::life::Immortal;
use super::play::Template;
use super::stage::{Place, Stage};
use super::tally::Tally;
use crate::error::SimError;

/// What the cases of one format came to.
#[derive(Debug, Clone)]
pub struct Round {
    /// Which format.
    pub format: CommitmentFormat,
    /// How many channels were closed.
    pub cases: usize,
    /// How many different transactions of the node the chain took.
    pub accepted: usize,
    /// How many of them it confirmed.
    pub mined: usize,
    /// What they spent, by kind.
    pub tally: Tally,
}

/// Plays every case without a reorg, one round for each format, on one chain.
///
/// # Errors
///
/// [`SimError`] with every violation, or if something is broken.
pub fn all_at_once(place: Place, told: &mut dyn FnMut(&Round)) -> Result<(), SimError> {
    let rounds = u32::try_from(FORMATS.len()).unwrap_or(u32::MAX);
    let mut stage = Stage::new(place, rounds)?;
    for format in FORMATS {
        let mut cases = Case::all(format);
        cases.retain(|case| case.reorg == Reorg::None);
        let template = Template::new(stage, &cases, Immortal::default())?;
        let (played, end) = template.play()?;
        let (accepted, mined) = end.transactions();
        told(&Round { format, cases: cases.len(), accepted, mined, tally: played.tally });
        stage = end.into_stage();
    }
    Ok(())
}
