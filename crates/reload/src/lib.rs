//! The plan: from ledgers and books of any age to actions, each with its reason.
