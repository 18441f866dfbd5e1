//! The public surface of the in-process chain, rule by rule.

mod smoke;
