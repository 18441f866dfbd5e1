//! [`ReadCommitment`]: what the outputs of a commitment transaction are for, where its balances and
//! fee rate are no longer known.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, ScriptBuf, Transaction};
use lastword_types::{
    BlockHeight, ChannelParameters, Htlc, HtlcDirection, HtlcId, PaymentHash160, Side,
};

use crate::commitment::{CommitmentOutput, OutputKind, is_offered_by};
use crate::error::Bolt3Error;
use crate::format::{Anchors, rules};
use crate::keys::CommitmentKeys;
use crate::scripts::{self, HtlcScripts};

/// A commitment transaction that was found on the chain and read by the scripts of its outputs.
///
/// # Shape
///
/// `outputs[n]` describes `transaction.output[n]`; `None` is an output that no script explains.
///
/// Source: BOLT 5, "Revoked Transaction Close Handling".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCommitment {
    /// What its outputs are for.
    pub outputs: Vec<Option<CommitmentOutput>>,
    /// The keys that they pay.
    pub keys: CommitmentKeys,
    /// The script of `to_local` and of the output of every HTLC transaction of its owner.
    pub delayed_script: ScriptBuf,
}

/// What the output of an HTLC shows of it, and which HTLC it is.
///
/// Source: BOLT 3, "Offered HTLC Outputs" and "Received HTLC Outputs".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HtlcFacts {
    /// Who offered it.
    pub direction: HtlcDirection,
    /// Its id.
    pub htlc_id: HtlcId,
    /// What the script holds of its payment hash.
    pub payment_hash160: PaymentHash160,
    /// What its output is worth.
    pub amount: Amount,
    /// The height from which its offerer may take it back.
    pub cltv_expiry: BlockHeight,
}

impl From<&Htlc> for HtlcFacts {
    fn from(htlc: &Htlc) -> Self {
        Self {
            direction: htlc.direction,
            htlc_id: htlc.htlc_id,
            payment_hash160: htlc.payment_hash.hash160(),
            amount: htlc.amount_msat.to_sat_floor(),
            cltv_expiry: htlc.cltv_expiry,
        }
    }
}

/// Reads a commitment transaction of `owner` whose point and HTLCs are known, but not its balances
/// and fee rate.
///
/// # Shape
///
/// `htlcs` are all HTLCs of this commitment, in any order; a trimmed one finds no output. HTLCs with
/// equal outputs get them in the order in which the commitment was built: by expiry, then by id.
/// The cost grows with the number of HTLCs and outputs, not with their product.
///
/// # Errors
///
/// [`Bolt3Error::NoKey`]
///
/// Source: BOLT 3, "Commitment Transaction Outputs" and "Transaction Output Ordering".
pub fn read_commitment(
    parameters: &ChannelParameters,
    owner: Side,
    per_commitment_point: &PublicKey,
    htlcs: &[HtlcFacts],
    transaction: &Transaction,
) -> Result<ReadCommitment, Bolt3Error> {
    let keys = CommitmentKeys::derive(parameters, owner, per_commitment_point)?;
    let delay = parameters.side(owner).to_self_delay;
    let delayed_script = scripts::to_local(&keys.revocation_pubkey, &keys.delayed_pubkey, delay);
    let to_local = (scripts::script_pubkey(&delayed_script), delayed_script.clone());
    let mut places = HtlcPlaces::new(parameters, owner, &keys, htlcs);

    let mut outputs = read_static_outputs(parameters, owner, transaction);
    let mut signature_index = 0;
    for (output, place) in transaction.output.iter().zip(&mut outputs) {
        if place.is_some() {
            continue;
        }
        let amount = output.value;
        if output.script_pubkey == to_local.0 {
            let (kind, script) = (OutputKind::ToLocal, to_local.1.clone());
            *place = Some(CommitmentOutput { kind, script, amount });
        } else if let Some(found) = places.take(amount, &output.script_pubkey) {
            let Place { direction, htlc_id, script, .. } = found;
            let kind = OutputKind::Htlc { direction, htlc_id, signature_index };
            *place = Some(CommitmentOutput { kind, script, amount });
            signature_index += 1;
        }
    }
    Ok(ReadCommitment { outputs, keys, delayed_script })
}

/// Reads the outputs of a commitment transaction of `owner` whose scripts are the same in all of
/// them: the other side's balance and the anchors.
///
/// # Shape
///
/// One for each output of the transaction, `None` for the others.
///
/// Source: BOLT 3, "Commitment Transaction Outputs".
pub fn read_static_outputs(
    parameters: &ChannelParameters,
    owner: Side,
    transaction: &Transaction,
) -> Vec<Option<CommitmentOutput>> {
    let rules = rules(parameters.format);
    let to_remote = (rules.to_remote)(&parameters.side(owner.other()).payment_basepoint);
    let mut known = Vec::from([(OutputKind::ToRemote, to_remote)]);
    match rules.anchors {
        Anchors::None => {}
        Anchors::OneForEachSide(_) => {
            known.extend([Side::Local, Side::Remote].map(|side| {
                let script = scripts::anchor(&parameters.side(side).funding_pubkey);
                (OutputKind::Anchor(side), script)
            }));
        }
        Anchors::Shared(_) => known.push((OutputKind::SharedAnchor, scripts::shared_anchor())),
    }
    let by_pubkey: BTreeMap<ScriptBuf, (OutputKind, ScriptBuf)> = known
        .into_iter()
        .map(|(kind, script)| (scripts::script_pubkey(&script), (kind, script)))
        .collect();
    let outputs = transaction.output.iter().map(|output| {
        let (kind, script) = by_pubkey.get(&output.script_pubkey)?.clone();
        Some(CommitmentOutput { kind, script, amount: output.value })
    });
    outputs.collect()
}

/// The outputs that HTLCs may have, by what can be seen of them; equal ones in the reverse of their
/// order, so that the first is taken from the end.
struct HtlcPlaces(BTreeMap<(Amount, ScriptBuf), Vec<Place>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    cltv_expiry: BlockHeight,
    htlc_id: HtlcId,
    direction: HtlcDirection,
    script: ScriptBuf,
}

impl HtlcPlaces {
    fn new(
        parameters: &ChannelParameters,
        owner: Side,
        keys: &CommitmentKeys,
        htlcs: &[HtlcFacts],
    ) -> Self {
        let scripts = HtlcScripts::new(rules(parameters.format), keys);
        let mut places: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for htlc in htlcs {
            let HtlcFacts { direction, htlc_id, payment_hash160, amount, cltv_expiry } = *htlc;
            let script = if is_offered_by(owner, direction) {
                scripts.offered(payment_hash160)
            } else {
                scripts.received(payment_hash160, cltv_expiry)
            };
            let key = (amount, scripts::script_pubkey(&script));
            let place = Place { cltv_expiry, htlc_id, direction, script };
            places.entry(key).or_default().push(place);
        }
        for twins in places.values_mut() {
            twins.sort_unstable_by(|left, right| right.cmp(left));
        }
        Self(places)
    }

    fn take(&mut self, amount: Amount, script_pubkey: &ScriptBuf) -> Option<Place> {
        self.0.get_mut(&(amount, script_pubkey.clone()))?.pop()
    }
}
