//! `docs/WIRE.md` says what the code does.
