//! An in-process chain that accepts only what consensus accepts.
