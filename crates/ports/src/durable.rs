//! [`Durable`], the proof that something survives a crash, and [`Gated`], what waits for it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

/// The identity of one log: random, drawn when the log is created, kept with it for ever.
///
/// A proof of one log says nothing about another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A place in one log (log sequence number); positions of a log rise with every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lsn {
    /// Which log.
    pub log: LogId,
    /// How far; 0 is before the first frame.
    pub position: u64,
}

/// The proof that everything in a log up to a place survives a crash.
///
/// There is one way to make one, [`Durable::attest`], so that a search for that word lists every
/// claim of durability in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "effects stay gated until a proof releases them"]
pub struct Durable(Lsn);

impl Durable {
    /// Claims that the log is durable up to `upto`.
    ///
    /// # Crash safety
    ///
    /// Only an implementation of [`UpdateLog`](crate::UpdateLog) may call this, after the sync that
    /// makes it true.
    pub fn attest(upto: Lsn) -> Self {
        Self(upto)
    }

    /// Returns the place up to which the log is durable.
    pub fn upto(&self) -> Lsn {
        self.0
    }
}

/// The best proof of each log seen so far.
#[derive(Debug, Clone, Default)]
pub struct Proofs(BTreeMap<LogId, u64>);

impl Proofs {
    /// Starts without any proof.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a proof in; an older one than the best changes nothing.
    pub fn learn(&mut self, durable: Durable) {
        let Lsn { log, position } = durable.upto();
        let best = self.0.entry(log).or_insert(position);
        *best = position.max(*best);
    }

    /// Says whether a place is known to be durable.
    pub fn cover(&self, lsn: Lsn) -> bool {
        self.0.get(&lsn.log).is_some_and(|durable| lsn.position <= *durable)
    }
}

/// A value that nobody may act on before its causes are durable.
///
/// # Examples
///
/// ```
/// use lastword_ports::{Durable, Gated, LogId, Lsn, Proofs};
///
/// let (ours, other) = (LogId([1; 16]), LogId([2; 16]));
/// let gated = Gated::new("paid", Lsn { log: ours, position: 7 });
///
/// let mut proofs = Proofs::new();
/// proofs.learn(Durable::attest(Lsn { log: other, position: 9 }));
/// let gated = gated.release(&proofs).expect_err("a proof of another log releases nothing");
///
/// proofs.learn(Durable::attest(Lsn { log: ours, position: 7 }));
/// assert_eq!(gated.release(&proofs).expect("durable"), "paid");
/// ```
#[derive(Debug)]
#[must_use = "a gated value does nothing until released"]
pub struct Gated<T> {
    value: T,
    after: Vec<Lsn>,
}

impl<T> Gated<T> {
    /// Holds `value` back until its log is durable up to `after`.
    pub fn new(value: T, after: Lsn) -> Self {
        Self { value, after: alloc::vec![after] }
    }

    /// Makes the value wait for one more place, perhaps of another log.
    pub fn and_after(mut self, after: Lsn) -> Self {
        self.after.push(after);
        self
    }

    /// Returns the value if every place it waits for is durable.
    ///
    /// # Errors
    ///
    /// Hands itself back, unchanged, if a proof is missing.
    pub fn release(self, proofs: &Proofs) -> Result<T, Self> {
        if self.after.iter().all(|lsn| proofs.cover(*lsn)) { Ok(self.value) } else { Err(self) }
    }
}
