//! [`Purse`]: the wallet as it stands during one call.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
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
    coins: Option<Result<Coins, Arc<ChainError>>>,
    reserved: BTreeSet<OutPoint>,
    destination: Option<ScriptBuf>,
    relaxed: Option<FeeRatePerKw>,
    contended: Option<FeeRatePerKw>,
}

/// The coins of a wallet that may pay for claims.
#[derive(Default)]
struct Coins {
    listed: BTreeMap<OutPoint, Coin>,
    /// Those that no claim spends, the smallest first.
    free: BTreeSet<(Amount, OutPoint)>,
}

impl Coins {
    fn new(coins: Vec<Coin>, reserved: &BTreeSet<OutPoint>) -> Self {
        let fit = coins
            .into_iter()
            .filter(|coin| coin.amount <= Amount::MAX_MONEY && coin.script_pubkey.is_p2wpkh());
        let listed: BTreeMap<OutPoint, Coin> = fit.map(|coin| (coin.outpoint, coin)).collect();
        let free = listed.values().filter(|coin| !reserved.contains(&coin.outpoint));
        let free = free.map(|coin| (coin.amount, coin.outpoint)).collect();
        Self { listed, free }
    }

    /// The smallest free coin that holds so much.
    fn smallest(&self, needed: Amount) -> Option<Coin> {
        let (_, outpoint) = self.free.range((needed, first_outpoint())..).next()?;
        self.listed.get(outpoint).cloned()
    }

    /// The largest free coins.
    fn largest(&self, count: usize) -> Vec<Coin> {
        let places = self.free.iter().rev().take(count);
        places.filter_map(|(_, outpoint)| self.listed.get(outpoint)).cloned().collect()
    }

    fn place(&self, outpoint: OutPoint) -> Option<(Amount, OutPoint)> {
        self.listed.get(&outpoint).map(|coin| (coin.amount, outpoint))
    }
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

    /// Takes out the destination that nothing pays yet, for the next call.
    pub(crate) fn take_destination(&mut self) -> Option<ScriptBuf> {
        self.destination.take()
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
        let coins = self.coins()?;
        if let Some(coin) = coins.smallest(one) {
            return Ok(Vec::from([coin]));
        }
        let free = coins.largest(COINS_MAX);
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

    /// The wallet's coins, for which it is asked once.
    fn coins(&mut self) -> Result<&Coins, ClaimErrorKind> {
        let reserved = &self.reserved;
        let list = || {
            let coins = self.wallet.coins.coins().map_err(Arc::new)?;
            Ok(Coins::new(coins, reserved))
        };
        let coins = self.coins.get_or_insert_with(list).as_ref();
        coins.map_err(|error| ClaimErrorKind::Wallet(Arc::clone(error)))
    }

    /// Keeps coins for the claim that spends them.
    pub(crate) fn reserve(&mut self, coins: impl IntoIterator<Item = OutPoint>) {
        for outpoint in coins {
            self.reserved.insert(outpoint);
            if let Some(Ok(coins)) = &mut self.coins
                && let Some(place) = coins.place(outpoint)
            {
                coins.free.remove(&place);
            }
        }
    }

    /// Gives coins back.
    pub(crate) fn release(&mut self, released: &[OutPoint]) {
        for outpoint in released {
            self.reserved.remove(outpoint);
            if let Some(Ok(coins)) = &mut self.coins
                && let Some(place) = coins.place(*outpoint)
            {
                coins.free.insert(place);
            }
        }
    }
}

/// The least outpoint there is.
fn first_outpoint() -> OutPoint {
    OutPoint { txid: Txid::all_zeros(), vout: 0 }
}

/// The coins that pay for one claim at most.
const COINS_MAX: usize = 8;
