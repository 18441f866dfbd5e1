//! The log, snapshots and cards, on redb and in memory.
