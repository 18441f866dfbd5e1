//! What node and peer share about a channel: how a list of HTLCs becomes a signed commitment, and
//! the closing transaction.
//!
//! Each side looks at a channel from its own end: in its [`ChannelParameters`] it is the local
//! side. [`mirror`] turns one view into the other.

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::{
    CommitmentInput, CommitmentTx, InMemorySigner, build_commitment, sign_commitment,
    verify_commitment,
};
use lastword_types::{
    AmountMsat, ChannelParameters, FeeRatePerKw, Htlc, HtlcDirection, HtlcOrigin, Side,
    UnsignedCommitment,
};

use crate::error::{SimError, Trying as _};
use crate::messages::{WireHtlc, WireSide};

/// The fee rate of every commitment in the simulator.
pub const COMMITMENT_FEERATE: FeeRatePerKw = FeeRatePerKw(1_000);

/// The fee of a mutual close.
pub const CLOSING_FEE: Amount = Amount::from_sat(1_000);

/// Outputs below it do not exist in the node's commitments.
pub const NODE_DUST_LIMIT: Amount = Amount::from_sat(546);

/// Outputs below it do not exist in the peer's commitments; another limit than the node's, so that
/// the same HTLC can be trimmed on one side alone.
pub const PEER_DUST_LIMIT: Amount = Amount::from_sat(354);

/// Returns the channel as the other side sees it.
#[must_use]
pub fn mirror(parameters: &ChannelParameters) -> ChannelParameters {
    ChannelParameters {
        channel_id: parameters.channel_id,
        funding_outpoint: parameters.funding_outpoint,
        funding_amount: parameters.funding_amount,
        format: parameters.format,
        opener: parameters.opener.other(),
        local: parameters.remote.clone(),
        remote: parameters.local.clone(),
    }
}

impl WireSide {
    /// Returns the direction of what the node or the peer offered, seen from `viewer`.
    pub(crate) fn direction(self, viewer: Self) -> HtlcDirection {
        if self == viewer { HtlcDirection::Offered } else { HtlcDirection::Received }
    }

    /// Returns who offered an HTLC that `viewer` sees in this direction.
    pub(crate) fn offerer(viewer: Self, direction: HtlcDirection) -> Self {
        match (viewer, direction) {
            (Self::Node, HtlcDirection::Offered) | (Self::Peer, HtlcDirection::Received) => {
                Self::Node
            }
            (Self::Node, HtlcDirection::Received) | (Self::Peer, HtlcDirection::Offered) => {
                Self::Peer
            }
        }
    }
}

impl WireHtlc {
    /// Returns what goes over the wire of an HTLC that `viewer` holds.
    pub fn of(htlc: &Htlc, viewer: WireSide) -> Self {
        Self {
            offered_by: WireSide::offerer(viewer, htlc.direction),
            htlc_id: htlc.htlc_id,
            amount_msat: htlc.amount_msat,
            payment_hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
        }
    }

    /// Returns the HTLC as `viewer` holds it, when it is for nobody else.
    pub fn seen_by(&self, viewer: WireSide) -> Htlc {
        Htlc {
            direction: self.offered_by.direction(viewer),
            htlc_id: self.htlc_id,
            amount_msat: self.amount_msat,
            payment_hash: self.payment_hash,
            cltv_expiry: self.cltv_expiry,
            origin: HtlcOrigin::Ours,
        }
    }
}

/// A commitment with its HTLCs, from the view of `parameters`.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// The channel, from the view of who asks.
    pub parameters: &'a ChannelParameters,
    /// Whose commitment.
    pub owner: Side,
    /// The commitment.
    pub commitment: &'a UnsignedCommitment,
    /// Its HTLCs.
    pub htlcs: &'a [&'a Htlc],
}

impl Whole<'_> {
    /// Builds the transaction.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the amounts do not fit together.
    pub fn build(&self) -> Result<CommitmentTx, SimError> {
        let Self { parameters, owner, commitment, htlcs } = *self;
        build_commitment(&CommitmentInput { parameters, owner, commitment, htlcs })
            .trying("build a commitment")
    }

    /// Signs the other side's commitment and its HTLC transactions.
    ///
    /// # Errors
    ///
    /// [`SimError`] if it cannot be built or the signer refuses.
    pub fn sign(
        &self,
        signer: &mut InMemorySigner,
    ) -> Result<(Signature, Vec<Signature>), SimError> {
        sign_commitment(signer, self.parameters, &self.build()?).trying("sign a commitment")
    }

    /// Checks the other side's signatures on our commitment.
    ///
    /// # Errors
    ///
    /// [`SimError`] if one of them is wrong.
    pub fn verify(&self, signature: &Signature, htlcs: &[Signature]) -> Result<(), SimError> {
        verify_commitment(self.parameters, &self.build()?, signature, htlcs)
            .trying("verify a commitment")
    }
}

/// Returns a commitment as it is after a splice that is not locked.
///
/// # Shape
///
/// `spliced` is the channel after it; what is taken out is the peer's, who owns the commitment if
/// `is_peers`.
///
/// # Errors
///
/// [`SimError`] if the peer does not have what is taken out.
pub fn on_splice(
    locked: &ChannelParameters,
    spliced: &ChannelParameters,
    commitment: &UnsignedCommitment,
    is_peers: bool,
) -> Result<UnsignedCommitment, SimError> {
    let taken = locked.funding_amount.checked_sub(spliced.funding_amount);
    let taken = taken.and_then(AmountMsat::from_sat).ok_or(SimError::new("no such splice"))?;
    let mut balances = Balances::of(commitment);
    balances.lock(is_peers, taken)?;
    let Balances { to_local_msat, to_remote_msat } = balances;
    Ok(UnsignedCommitment { to_local_msat, to_remote_msat, ..commitment.clone() })
}

/// Returns what a try of a splice takes out of a channel: the peer's part, and the fee.
///
/// # Units
///
/// Each try pays a thousand satoshi more than the one before.
pub fn splice_out(attempt: u16) -> (Amount, Amount) {
    (Amount::from_sat(50_000), Amount::from_sat(1_000 * (u64::from(attempt) + 1)))
}

/// Builds the unsigned closing transaction from what both sides own at the end.
///
/// # Shape
///
/// `local` and `remote` are balance and destination; the opener pays [`CLOSING_FEE`].
///
/// # Errors
///
/// [`SimError`] if the opener cannot pay the fee.
///
/// Source: BOLT 3, "Closing Transaction".
pub fn closing(
    parameters: &ChannelParameters,
    local: (AmountMsat, ScriptBuf),
    remote: (AmountMsat, ScriptBuf),
) -> Result<Transaction, SimError> {
    let mut output = Vec::new();
    for (side, (balance, script_pubkey)) in [(Side::Local, local), (Side::Remote, remote)] {
        let fee = if side == parameters.opener { CLOSING_FEE } else { Amount::ZERO };
        let value = balance
            .to_sat_floor()
            .checked_sub(fee)
            .ok_or(SimError::new("the opener cannot pay the closing fee"))?;
        if value > NODE_DUST_LIMIT {
            output.push(TxOut { value, script_pubkey });
        }
    }
    output.sort_by(|a, b| (a.value, &a.script_pubkey).cmp(&(b.value, &b.script_pubkey)));
    Ok(Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: parameters.funding_outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output,
    })
}

/// Returns the balances of the next commitment after HTLCs came and went.
///
/// # Shape
///
/// `(owner's, other side's)`, before fees and anchors, where `commitment` is the one before.
#[derive(Debug, Clone, Copy)]
pub struct Balances {
    /// The owner's.
    pub to_local_msat: AmountMsat,
    /// The other side's.
    pub to_remote_msat: AmountMsat,
}

impl Balances {
    /// Starts from a commitment.
    pub fn of(commitment: &UnsignedCommitment) -> Self {
        Self { to_local_msat: commitment.to_local_msat, to_remote_msat: commitment.to_remote_msat }
    }

    /// Returns the same balances for the other side's commitment.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { to_local_msat: self.to_remote_msat, to_remote_msat: self.to_local_msat }
    }

    /// Takes the amount of a new HTLC from who offers it.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the offerer has less.
    pub fn lock(&mut self, is_owner: bool, amount: AmountMsat) -> Result<(), SimError> {
        let balance = self.of_owner(is_owner);
        *balance = balance
            .checked_sub(amount)
            .ok_or(SimError::new("an HTLC is larger than its offerer's balance"))?;
        Ok(())
    }

    /// Gives the amount of a removed HTLC to who gets it.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the sum does not fit.
    pub fn pay(&mut self, is_owner: bool, amount: AmountMsat) -> Result<(), SimError> {
        let balance = self.of_owner(is_owner);
        *balance =
            balance.checked_add(amount).ok_or(SimError::new("a balance does not fit its type"))?;
        Ok(())
    }

    fn of_owner(&mut self, is_owner: bool) -> &mut AmountMsat {
        if is_owner { &mut self.to_local_msat } else { &mut self.to_remote_msat }
    }
}
