//! BOLT 3 as pure functions: keys, secrets, scripts, commitment and HTLC transactions, witnesses.
