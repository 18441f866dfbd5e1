//! [`Terms`]: what a transaction should pay, has to pay, and may pay.

use bitcoin::{Amount, ScriptBuf, Transaction};
use lastword_types::FeeRatePerKw;

use crate::error::ClaimErrorKind;
use crate::fee::fee_of;

/// What a transaction should pay, has to pay, and may pay.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The rate of now.
    pub(crate) asked: FeeRatePerKw,
    /// That or more: near a deadline, after a refusal, and never less than was offered before.
    pub(crate) wanted: FeeRatePerKw,
    /// What it replaces.
    pub(crate) replaced: Option<Replaced>,
    /// Whether somebody else is about to take the output: what cannot pay the rate of now then pays
    /// what it can.
    pub(crate) is_pressed: bool,
    /// The script that the replaced transaction pays, for this one to pay too.
    pub(crate) destination: Option<ScriptBuf>,
}

/// What a replacement has to exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// What all that it replaces pays.
    pub(crate) fee: Amount,
    /// The highest rate among them.
    pub(crate) rate: FeeRatePerKw,
}

impl Terms {
    /// Returns the fee of a transaction that can pay `budget`, or else what it should pay.
    ///
    /// A budget cuts what is wanted. It cancels only what cannot pay the rate of now while nobody
    /// else is about to take the output, and what the network would not take.
    pub(crate) fn fee(&self, transaction: &Transaction, budget: Amount) -> Result<Amount, Amount> {
        let least = self.least(transaction);
        let [asked, wanted] =
            [self.asked, self.wanted].map(|rate| fee_of(transaction, rate).max(least));
        if wanted <= budget {
            Ok(wanted)
        } else if asked <= budget || (self.is_pressed && least <= budget) {
            Ok(budget)
        } else {
            Err(asked)
        }
    }

    /// Returns the least fee with which a transaction is relayed: for its own bytes, on top of all
    /// that it replaces, at a higher rate than any of those.
    ///
    /// Source: BIP 125, rules 3 and 4.
    pub(crate) fn least(&self, transaction: &Transaction) -> Amount {
        let relay = fee_of(transaction, FeeRatePerKw::FLOOR);
        self.replaced.map_or(relay, |Replaced { fee, rate }| {
            let better = FeeRatePerKw(rate.0.saturating_add(1));
            let exceeds = fee.checked_add(relay).unwrap_or(Amount::MAX_MONEY);
            exceeds.max(fee_of(transaction, better))
        })
    }

    /// Says whether a transaction of this rate is to be replaced: by what the network takes, and as
    /// long as nobody else is about to take the output by no less than a quarter more.
    pub(crate) fn exceed(&self, rate: FeeRatePerKw) -> bool {
        let step = if self.is_pressed { 0 } else { rate.0 / 4 }.max(FeeRatePerKw::FLOOR.0);
        self.wanted.0 >= rate.0.saturating_add(step)
    }

    /// The same at half the rate; `None` below what is relayed and below what is replaced.
    fn halved(&self) -> Option<Self> {
        let wanted = FeeRatePerKw(self.wanted.0 / 2);
        let terms = Self { asked: self.asked.min(wanted), wanted, ..self.clone() };
        let is_better = self.replaced.is_none_or(|replaced| terms.exceed(replaced.rate));
        (wanted >= FeeRatePerKw::FLOOR && is_better).then_some(terms)
    }

    /// Tries, and if there is no coin that suffices and the output is about to be taken, tries again
    /// with less; returns also what it had to do without.
    pub(crate) fn afford<T>(
        &self,
        mut attempt: impl FnMut(&Self) -> Result<T, ClaimErrorKind>,
    ) -> Result<(T, Option<ClaimErrorKind>), ClaimErrorKind> {
        let error = match attempt(self) {
            Ok(done) => return Ok((done, None)),
            Err(error @ ClaimErrorKind::NoCoin { .. }) if self.is_pressed => error,
            Err(error) => return Err(error),
        };
        let mut terms = self.halved();
        while let Some(less) = terms {
            match attempt(&less) {
                Ok(done) => return Ok((done, Some(error))),
                Err(ClaimErrorKind::NoCoin { .. }) => terms = less.halved(),
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }
}
