//! A small world around the real crates.
