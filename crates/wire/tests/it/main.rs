//! The bytes as a user sees them: golden files, round trips, and everything that must be refused.

mod book;
mod build;
mod fundings;
mod golden;
mod hostile;
mod prop;
mod samples;
mod size;
mod spec;
mod strategies;
mod strategies_book;
mod terms;
mod tlv;
