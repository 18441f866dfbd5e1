//! The shell that drives the machines in the one order: check, append, commit, sync, release, act, acknowledge.
