//! The matrix of closings: every closing, format, direction, preimage and reorg, generated, on a
//! chain that accepts only what consensus accepts, with the real engine.
//!
//! A [`Case`] is one cell. Its channel holds one HTLC for each thing that may be special about one:
//! a twin, one from the other side with the same hash, one too small for an output, ones that are
//! gone, one that enters and one that leaves. A [`Template`] brings the channels of some cases to
//! the moment before their closing; [`Template::fork`] copies it, so that the past is lived once
//! and the rest with every reorg and every crash. [`Template::play`] goes on to the end and looks at
//! everything after every step, with an oracle that knows chain, peer and caller, and of the engine
//! only what it tells them.

mod case;
mod channel;
mod life;
mod peer;
mod play;
mod real;
mod scene;
mod stage;
mod tally;
mod truth;

pub use case::{Case, Closing, FORMATS, Known, Reorg};
pub use life::{Immortal, Life};
pub use play::{End, Played, Template};
pub use real::{Round, all_at_once};
pub use stage::{Place, Stage};
pub use tally::Tally;
