//! The payment book: idempotent sending, parts, outcomes, events, release.
