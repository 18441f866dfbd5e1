//! The public surface: the tracker, the index, and bitcoind as a source.
