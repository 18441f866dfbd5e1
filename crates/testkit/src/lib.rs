//! Conformance suites and fault-injecting doubles for the ports of Lastword.
