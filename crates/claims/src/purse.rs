//! [`Purse`]: the wallet as it stands during one call.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, ScriptBuf};
use lastword_ports::{ChainError, ChannelSigner, Coin, CoinSource, FeeSource, Urgency};
use lastword_types::FeeRatePerKw;

use crate::error::ClaimErrorKind;
use crate::terms::Terms;

/// The three ports that a claim needs.
pub struct Wallet<'a> {
    /// Signs for the channels.
    pub signer: &'a mut dyn ChannelSigner,
    /// Pays the fees of transactions that cannot pay them, and receives what is swept.
    pub coins: &'a mut dyn CoinSource,
    /// Says what a transaction should pay.
    pub fees: &'a mut dyn FeeSource,
}

/// The wallet during one call: it is asked only for what is needed, and for that once.
pub(crate) struct Purse<'a, 'w> {
    pub(crate) wallet: &'a mut Wallet<'w>,
    coins: Option<Result<Vec<Coin>, Arc<ChainError>>>,
    reserved: BTreeSet<OutPoint>,
    destination: Option<ScriptBuf>,
    relaxed: Option<FeeRatePerKw>,
    contended: Option<FeeRatePerKw>,
}

impl<'a, 'w> Purse<'a, 'w> {
    /// Opens the wallet. `reserved` are coins that live claims spend; `destination` is one that was
    /// asked for and not used.
    pub(crate) fn new(
        wallet: &'a mut Wallet<'w>,
        reserved: BTreeSet<OutPoint>,
        destination: Option<ScriptBuf>,
    ) -> Self {
        Self { wallet, coins: None, reserved, destination, relaxed: None, contended: None }
    }

    /// Returns the destination that nothing pays yet, for the next call.
    pub(crate) fn close(self) -> Option<ScriptBuf> {
        self.destination
    }

    /// Returns the rate to use, which is never below the relay floor.
    pub(crate) fn rate(&mut self, urgency: Urgency) -> FeeRatePerKw {
        let known = match urgency {
            Urgency::Relaxed => &mut self.relaxed,
            Urgency::Contended => &mut self.contended,
        };
        *known.get_or_insert_with(|| self.wallet.fees.feerate(urgency).max(FeeRatePerKw::FLOOR))
    }

    /// Returns the script that the next transaction pays: that of what it replaces, or else one that
    /// is the same until it is used.
    pub(crate) fn destination(&mut self, terms: &Terms) -> ScriptBuf {
        match &terms.destination {
            Some(script) => script.clone(),
            None => self.destination.get_or_insert_with(|| self.wallet.coins.destination()).clone(),
        }
    }

    /// Says that a transaction pays the destination, so that the next one gets another.
    pub(crate) fn use_destination(&mut self, terms: &Terms) {
        if terms.destination.is_none() {
            self.destination = None;
        }
    }

    /// Returns the coins that together hold what a transaction needs that spends so many of them:
    /// the smallest free coin that suffices, or else as few as possible.
    pub(crate) fn gather(
        &mut self,
        needed: impl Fn(usize) -> Result<Amount, ClaimErrorKind>,
    ) -> Result<Vec<Coin>, ClaimErrorKind> {
        let one = needed(1)?;
        let mut free: Vec<Coin> = self.free()?.cloned().collect();
        free.sort_by_key(|coin| (coin.amount, coin.outpoint));
        if let Some(coin) = free.iter().find(|coin| coin.amount >= one) {
            return Ok(Vec::from([coin.clone()]));
        }
        free.reverse();
        free.truncate(COINS_MAX);
        for count in 2..=free.len() {
            let Some(coins) = free.get(..count) else { break };
            // Each holds at most 21 million coins and they are few.
            let total: Amount = coins.iter().map(|coin| coin.amount).sum();
            if needed(count).is_ok_and(|needed| total >= needed) {
                return Ok(coins.to_vec());
            }
        }
        Err(ClaimErrorKind::NoCoin { needed: one })
    }

    /// Visits the coins that no claim spends.
    fn free(&mut self) -> Result<impl Iterator<Item = &Coin>, ClaimErrorKind> {
        let listed = self
            .coins
            .get_or_insert_with(|| self.wallet.coins.coins().map_err(Arc::new))
            .as_ref()
            .map_err(|error| ClaimErrorKind::Wallet(Arc::clone(error)))?;
        let reserved = &self.reserved;
        Ok(listed
            .iter()
            .filter(|coin| coin.amount <= Amount::MAX_MONEY)
            .filter(|coin| coin.script_pubkey.is_p2wpkh())
            .filter(|coin| !reserved.contains(&coin.outpoint)))
    }

    /// Keeps coins for the claim that spends them.
    pub(crate) fn reserve(&mut self, coins: impl IntoIterator<Item = OutPoint>) {
        self.reserved.extend(coins);
    }

    /// Gives coins back.
    pub(crate) fn release(&mut self, coins: &[OutPoint]) {
        for coin in coins {
            self.reserved.remove(coin);
        }
    }
}

/// The coins that pay for one claim at most.
const COINS_MAX: usize = 8;
