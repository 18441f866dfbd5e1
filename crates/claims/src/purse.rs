//! [`Purse`]: the wallet as it stands during one call.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, ScriptBuf};
use lastword_ports::{ChainError, ChannelSigner, Coin, CoinSource, FeeSource, Urgency};
use lastword_types::FeeRatePerKw;

use crate::error::ClaimErrorKind;

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

    /// Returns the script that the next transaction pays; the same until it is used.
    pub(crate) fn destination(&mut self) -> ScriptBuf {
        self.destination.get_or_insert_with(|| self.wallet.coins.destination()).clone()
    }

    /// Says that a transaction pays the destination, so that the next one gets another.
    pub(crate) fn use_destination(&mut self) {
        self.destination = None;
    }

    /// Returns the smallest free coin that holds at least `needed`.
    pub(crate) fn choose(&mut self, needed: Amount) -> Result<Coin, ClaimErrorKind> {
        let listed = self
            .coins
            .get_or_insert_with(|| self.wallet.coins.coins().map_err(Arc::new))
            .as_ref()
            .map_err(|error| ClaimErrorKind::Wallet(Arc::clone(error)))?;
        listed
            .iter()
            .filter(|coin| (needed..=Amount::MAX_MONEY).contains(&coin.amount))
            .filter(|coin| coin.script_pubkey.is_p2wpkh())
            .filter(|coin| !self.reserved.contains(&coin.outpoint))
            .min_by_key(|coin| (coin.amount, coin.outpoint))
            .cloned()
            .ok_or(ClaimErrorKind::NoCoin { needed })
    }

    /// Keeps a coin for the claim that spends it.
    pub(crate) fn reserve(&mut self, coin: &Coin) {
        self.reserved.insert(coin.outpoint);
    }

    /// Gives a coin back.
    pub(crate) fn release(&mut self, coin: &Coin) {
        self.reserved.remove(&coin.outpoint);
    }
}
