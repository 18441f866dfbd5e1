//! The suites of this crate, held against implementations that are right and that are wrong.

#[expect(clippy::wildcard_enum_match_arm, reason = "a mistake spoils one place and no other")]
mod block_sources;
mod crash_store;
mod handlers;
#[expect(clippy::wildcard_enum_match_arm, reason = "a mistake spoils one place and no other")]
mod wrong;
mod wrong_stores;
