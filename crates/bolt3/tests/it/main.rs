//! The public surface of `lastword-bolt3`, against the vectors of BOLT 3, against Bitcoin Core's
//! script interpreter, and against what must hold for any input.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod checklist;
#[cfg(test)]
mod consensus;
#[cfg(test)]
mod prop;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod zero_fee;
