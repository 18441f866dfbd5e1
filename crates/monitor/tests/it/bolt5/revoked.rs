//! The peer's revoked commitments, of any age, and a commitment from the future.
