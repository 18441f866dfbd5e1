//! The state machine of one channel on chain, and its ledger of HTLC outcomes.
