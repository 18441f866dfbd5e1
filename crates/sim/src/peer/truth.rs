//! What the peer knows to be true: which HTLCs reached it, how they ended, what confirmed.
//!
//! The oracle measures the node by this; nothing here comes from the node's own memory.

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use lastword_bolt3::OutputKind;
use lastword_types::{AmountMsat, Htlc, HtlcDirection, PaymentHash, PaymentPreimage};

use super::chain::{Theirs, outputs};
use super::{Fate, Held, Peer, unknown};
use crate::error::SimError;
use crate::world::index::ChainIndex;

/// A confirmed commitment of a channel, as the peer knows it.
pub(crate) struct Confirmed {
    /// What each of its outputs is for.
    pub(crate) outputs: Vec<(OutPoint, OutputKind, Amount)>,
    /// Its HTLCs, from the peer's view.
    pub(crate) htlcs: Vec<Htlc>,
    /// The node's balance.
    pub(crate) node_msat: AmountMsat,
    /// The peer's.
    pub(crate) peer_msat: AmountMsat,
    /// Whether the peer had revoked it.
    pub(crate) is_revoked: bool,
}

impl Peer {
    /// Says whether the node ever signed a commitment that holds an HTLC of this hash: whether it
    /// left the node.
    pub fn has_seen(&self, channel: u16, payment_hash: PaymentHash) -> bool {
        self.channels.get(&channel).is_some_and(|channel| {
            channel
                .own
                .iter()
                .any(|own| own.held.htlcs.iter().any(|htlc| htlc.payment_hash == payment_hash))
        })
    }

    /// Says how an HTLC of the node was removed by message: fulfilled or failed; `None` if it was
    /// not. The node's own signatures on a commitment without it are the proof.
    pub fn removed_by_message(&self, channel: u16, payment_hash: PaymentHash) -> Option<bool> {
        let is_fulfilled = match self.fates.get(&(channel, payment_hash))? {
            Fate::FulfillByMessage => true,
            Fate::FailByMessage { .. } => false,
            Fate::ClaimOnChain { .. } | Fate::Ignore => return None,
        };
        let newest = self.channels.get(&channel)?.newest_own()?;
        let is_there = newest.held.htlcs.iter().any(|htlc| htlc.payment_hash == payment_hash);
        (self.has_seen(channel, payment_hash) && !is_there).then_some(is_fulfilled)
    }

    /// Says whether the peer showed the preimage to the network, in a block or not: whoever looks into
    /// the mempool may know it.
    pub(crate) fn has_shown(&self, payment_hash: PaymentHash) -> bool {
        self.shown.contains(&payment_hash)
    }

    /// Returns the transaction that closed a channel in the best chain.
    pub(crate) fn close_txid(&self, channel: u16, chain: &ChainIndex) -> Option<Txid> {
        let closed = self.channels.get(&channel)?.closed(chain);
        closed.map(|spend| spend.transaction.compute_txid())
    }

    /// Returns the output of the confirmed commitment that holds the node's HTLC of this hash.
    pub(crate) fn htlc_output(
        &self,
        channel: u16,
        payment_hash: PaymentHash,
        chain: &ChainIndex,
    ) -> Result<Option<OutPoint>, SimError> {
        self.output_of(channel, (HtlcDirection::Received, payment_hash), chain)
    }

    /// Returns the output of the confirmed commitment that holds the peer's HTLC of this hash.
    pub(crate) fn offer_output(
        &self,
        channel: u16,
        payment_hash: PaymentHash,
        chain: &ChainIndex,
    ) -> Result<Option<OutPoint>, SimError> {
        self.output_of(channel, (HtlcDirection::Offered, payment_hash), chain)
    }

    fn output_of(
        &self,
        channel: u16,
        (direction, payment_hash): (HtlcDirection, PaymentHash),
        chain: &ChainIndex,
    ) -> Result<Option<OutPoint>, SimError> {
        let Some(confirmed) = self.confirmed(channel, chain)? else { return Ok(None) };
        let wanted = confirmed
            .htlcs
            .iter()
            .find(|htlc| htlc.direction == direction && htlc.payment_hash == payment_hash);
        let Some(wanted) = wanted.map(|htlc| (htlc.direction, htlc.htlc_id)) else {
            return Ok(None);
        };
        Ok(confirmed.outputs.iter().find_map(|(outpoint, kind, _)| match kind {
            OutputKind::Htlc { direction, htlc_id, .. } => {
                ((*direction, *htlc_id) == wanted).then_some(*outpoint)
            }
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => None,
        }))
    }

    /// Returns the commitment that spends a channel's funding output in the best chain, or `None`
    /// if nothing or something else does.
    pub(crate) fn confirmed(
        &self,
        index: u16,
        chain: &ChainIndex,
    ) -> Result<Option<Confirmed>, SimError> {
        let Some(spend) = self.channel(index)?.closed(chain) else { return Ok(None) };
        let txid = spend.transaction.compute_txid();
        let (commitment, held, is_own) =
            if let Some((commitment, own)) = self.own_commitment(index, txid)? {
                (commitment, own.held, true)
            } else if let Some(Theirs { commitment, held }) = self.their_commitment(index, txid)? {
                (commitment, held, false)
            } else {
                return Ok(None);
            };
        let Held { commitment: facts, htlcs, .. } = held;
        let (owner_msat, other_msat) = (facts.to_local_msat, facts.to_remote_msat);
        let (peer_msat, node_msat) =
            if is_own { (owner_msat, other_msat) } else { (other_msat, owner_msat) };
        let outputs = outputs(&commitment)
            .map(|(outpoint, output)| (outpoint, output.kind, output.amount))
            .collect();
        let is_revoked = is_own && facts.number.value() < self.channel(index)?.revoked_count;
        Ok(Some(Confirmed { outputs, htlcs, node_msat, peer_msat, is_revoked }))
    }

    /// Says whether a channel was closed by a commitment that the peer had revoked.
    pub(crate) fn is_breached(&self, index: u16, chain: &ChainIndex) -> Result<bool, SimError> {
        Ok(self.confirmed(index, chain)?.is_some_and(|confirmed| confirmed.is_revoked))
    }

    /// Returns the balances of node and peer in the newest commitment.
    pub(crate) fn balances(&self, index: u16) -> Result<(AmountMsat, AmountMsat), SimError> {
        let newest = self.channel(index)?.newest_own().ok_or(unknown())?;
        let commitment = &newest.held.commitment;
        Ok((commitment.to_remote_msat, commitment.to_local_msat))
    }

    /// Returns an output of the node's confirmed commitment that the peer has claimed with a
    /// preimage.
    pub(crate) fn claimed(
        &self,
        index: u16,
        chain: &ChainIndex,
    ) -> Result<Option<OutPoint>, SimError> {
        let Some(confirmed) = self.confirmed(index, chain)? else { return Ok(None) };
        Ok(confirmed.outputs.iter().find_map(|(outpoint, kind, _)| {
            let OutputKind::Htlc { direction: HtlcDirection::Received, htlc_id, .. } = kind else {
                return None;
            };
            let htlc = confirmed.htlcs.iter().find(|htlc| {
                htlc.direction == HtlcDirection::Received && htlc.htlc_id == *htlc_id
            })?;
            let spend = chain.spend(*outpoint)?;
            shows_preimage(&spend.transaction, htlc.payment_hash).then_some(*outpoint)
        }))
    }
}

/// Says whether a witness of a transaction holds the preimage of a hash.
pub(crate) fn shows_preimage(transaction: &Transaction, payment_hash: PaymentHash) -> bool {
    transaction.input.iter().flat_map(|input| input.witness.iter()).any(|element| {
        <[u8; 32]>::try_from(element)
            .is_ok_and(|bytes| PaymentPreimage(bytes).payment_hash() == payment_hash)
    })
}
