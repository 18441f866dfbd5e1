//! Block sources, best-chain tracking and the index of watched outpoints.
