//! What an unconfirmed transaction proves: a preimage that it shows for an HTLC that we offered, and
//! nothing else.
//!
//! A spend that is not confirmed may never be, so no output counts as spent by it: what is watched is
//! watched on, and what is ours is claimed on. The preimage stays true whatever becomes of the
//! transaction. Whoever saw it need not have been told the truth of the mempool: a preimage that does
//! not open the HTLC, or an input that spends nothing of this channel, says nothing.
//!
//! Source: BOLT 5, "HTLC Output Handling: Local Commitment, Local Offers" and "Remote Commitment, Local
//! Offers": what a preimage on chain is good for.

use alloc::vec::Vec;

use bitcoin::Transaction;
use lastword_types::{
    FulfilledHow, HtlcDirection, HtlcKey, MempoolEvidence, MonitorState, OutputSpendKind,
    PaymentPreimage,
};

use crate::block::Input;
use crate::error::MonitorError;
use crate::index::Index;
use crate::marks::{HtlcRef, Marks};
use crate::outputs;

/// Returns what a transaction shows that is not known yet, by its inputs.
pub(crate) fn read(
    state: &MonitorState,
    index: &Index,
    transaction: &Transaction,
) -> Vec<MempoolEvidence> {
    let Some(closing) = &index.closing else { return Vec::new() };
    let is_ours = |input: &bitcoin::TxIn| input.previous_output.txid == closing.txid;
    if !transaction.input.iter().any(is_ours) {
        return Vec::new();
    }
    let txid = transaction.compute_txid();
    let inputs = transaction.input.iter().enumerate().filter_map(|(place, input)| {
        let spends = input.previous_output;
        if state.output_spends.contains_key(&spends) {
            return None;
        }
        let output = closing.output(spends)?;
        let input = Input { index: place, spends, transaction, txid };
        let ((direction, htlc_id), preimage) =
            shown(&outputs::classify(state, closing, output, &input)?)?;
        let htlc = HtlcKey { channel_id: state.parameters.channel_id, direction, htlc_id };
        Some(MempoolEvidence { htlc, preimage, txid })
    });
    inputs.filter(|evidence| matches!(check(state, evidence), Ok(Some(_)))).collect()
}

/// Says whose marks evidence changes and how; `None` if it says nothing new.
///
/// A failure that is final stays what it is: if the spend confirms, the block says so.
pub(crate) fn check(
    state: &MonitorState,
    evidence: &MempoolEvidence,
) -> Result<Option<(HtlcRef, Marks)>, MonitorError> {
    let MempoolEvidence { htlc: HtlcKey { direction, htlc_id, .. }, preimage, txid } = *evidence;
    let key = (direction, htlc_id);
    if state.past.contains_key(&key) {
        return Ok(None);
    }
    let known = state.htlcs.get(&key).filter(|_| direction == HtlcDirection::Offered);
    let htlc = known.ok_or(MonitorError::UnknownHtlc { direction, htlc_id })?;
    if preimage.payment_hash() != htlc.htlc.payment_hash {
        return Err(MonitorError::WrongPreimage { direction, htlc_id });
    }
    if htlc.failed.is_some() || htlc.fulfilled.is_some() {
        return Ok(None);
    }
    let mut marks = Marks::of(htlc);
    marks.show(preimage, FulfilledHow::Mempool { txid });
    Ok(Some((key, marks)))
}

/// Returns whose preimage a spend shows.
fn shown(spend: &OutputSpendKind) -> Option<(HtlcRef, PaymentPreimage)> {
    match *spend {
        OutputSpendKind::HtlcPreimage { direction, htlc_id, preimage, .. }
        | OutputSpendKind::PeerHtlcTransaction {
            direction,
            htlc_id,
            preimage: Some(preimage),
            ..
        } => Some(((direction, htlc_id), preimage)),
        OutputSpendKind::PeerHtlcTransaction { preimage: None, .. }
        | OutputSpendKind::HtlcTimeout { .. }
        | OutputSpendKind::HtlcOther { .. }
        | OutputSpendKind::Swept { .. }
        | OutputSpendKind::HtlcPenalty { .. } => None,
    }
}
