//! What the spend of an output means: HTLC outputs, main outputs, HTLC transactions.

use bitcoin::{Amount, OutPoint, TxIn, Witness};
use lastword_bolt3::{
    CommitmentOutput, HtlcSpend, OutputKind, read_htlc_spend, read_past_htlc_spend,
};
use lastword_types::{HtlcDirection, MonitorState, OutputSpendKind, PaymentPreimage, Side};

use crate::block::Input;
use crate::closing::{Body, Closing};
use crate::marks::HtlcRef;

/// Says whether the spend of an output concerns us.
///
/// The peer's main output and the peer's anchor are resolved by the commitment itself (BOLT 5,
/// L-3 and R-2), unless the peer had revoked it: then its main output is ours (V-3). The shared
/// anchor is nobody's: what it holds is part of the fee.
pub(crate) fn is_of_interest(closing: &Closing, output: &CommitmentOutput) -> bool {
    match output.kind {
        OutputKind::Htlc { .. } => true,
        OutputKind::ToLocal => closing.owner == Side::Local || closing.revoked().is_some(),
        OutputKind::ToRemote => closing.owner == Side::Remote,
        OutputKind::Anchor(owner) => owner == Side::Local,
        OutputKind::SharedAnchor => false,
    }
}

/// Says what it means that an input spends an output of the closing.
pub(crate) fn classify(
    state: &MonitorState,
    closing: &Closing,
    output: &CommitmentOutput,
    input: &Input<'_>,
) -> Option<OutputSpendKind> {
    match output.kind {
        OutputKind::Htlc { direction, htlc_id, .. } => {
            let spend = Spend { closing, output, input, htlc: (direction, htlc_id) };
            Some(spend.classify(state))
        }
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => {
            if !is_of_interest(closing, output) {
                return None;
            }
            let witness = &input.transaction.input.get(input.index)?.witness;
            let owner = match output.kind {
                OutputKind::ToLocal => taker(closing, witness),
                OutputKind::ToRemote
                | OutputKind::Anchor(_)
                | OutputKind::SharedAnchor
                | OutputKind::Htlc { .. } => Side::Local,
            };
            Some(OutputSpendKind::Swept { owner })
        }
    }
}

/// Says who took a delayed output: the commitment's owner after the delay, the other side with the
/// revocation key, which any true element chooses (BOLT 3, "`to_local` Output").
pub(crate) fn taker(closing: &Closing, witness: &Witness) -> Side {
    let is_true = |element: &[u8]| match element.split_last() {
        None => false,
        Some((last, rest)) => rest.iter().any(|byte| *byte != 0) || !matches!(last, 0 | 0x80),
    };
    let is_penalty = witness.second_to_last().is_some_and(is_true);
    if is_penalty { closing.owner.other() } else { closing.owner }
}

/// One input that spends an HTLC output.
struct Spend<'a> {
    closing: &'a Closing,
    output: &'a CommitmentOutput,
    input: &'a Input<'a>,
    htlc: HtlcRef,
}

impl Spend<'_> {
    /// Reads the witness; the outpoint has said which HTLC it is.
    fn classify(&self, state: &MonitorState) -> OutputSpendKind {
        let (direction, htlc_id) = self.htlc;
        let other = OutputSpendKind::HtlcOther { direction, htlc_id };
        let Some(input) = self.input.transaction.input.get(self.input.index) else {
            return other;
        };
        let script = &self.output.script;
        let spend = if let Some(htlc) = state.htlcs.get(&self.htlc) {
            read_htlc_spend(&input.witness, script, &htlc.htlc.payment_hash)
        } else if let Some(past) = state.past.get(&self.htlc) {
            read_past_htlc_spend(&input.witness, script, past.payment_hash160)
        } else {
            return other;
        };
        match spend {
            HtlcSpend::Preimage(preimage) => {
                self.by(Some(preimage), self.htlc_transaction(input, HtlcDirection::Received))
            }
            HtlcSpend::Timeout => {
                self.by(None, self.htlc_transaction(input, HtlcDirection::Offered))
            }
            HtlcSpend::Revocation if self.closing.revoked().is_some() => {
                OutputSpendKind::HtlcPenalty { direction, htlc_id }
            }
            HtlcSpend::Revocation | HtlcSpend::Other => other,
        }
    }

    /// A claim with the preimage or after the expiry, by an HTLC transaction of the commitment's
    /// owner or by the other side at once.
    fn by(
        &self,
        preimage: Option<PaymentPreimage>,
        htlc_transaction: Option<(OutPoint, Amount)>,
    ) -> OutputSpendKind {
        let (direction, htlc_id) = self.htlc;
        match (self.closing.owner, htlc_transaction, preimage) {
            (Side::Remote, Some((output, amount)), preimage) => {
                OutputSpendKind::PeerHtlcTransaction {
                    direction,
                    htlc_id,
                    preimage,
                    output,
                    amount,
                }
            }
            (_, output, Some(preimage)) => {
                let second_stage = output.map(|(output, _)| output);
                OutputSpendKind::HtlcPreimage { direction, htlc_id, preimage, second_stage }
            }
            (_, output, None) => {
                let second_stage = output.map(|(output, _)| output);
                OutputSpendKind::HtlcTimeout { direction, htlc_id, second_stage }
            }
        }
    }

    /// Returns the output of the HTLC transaction of the commitment's owner, and its value.
    ///
    /// The owner claims what it received and takes back what it offered, both by an HTLC
    /// transaction, while the other side spends the output at once. The other side's signature ties
    /// the output to the input of the same index, however many others the transaction has.
    ///
    /// `direction` is seen from the owner.
    fn htlc_transaction(
        &self,
        input: &TxIn,
        direction: HtlcDirection,
    ) -> Option<(OutPoint, Amount)> {
        let is_ours = self.closing.owner == Side::Local;
        if (self.htlc.0 == direction) != is_ours {
            return None;
        }
        let output = self.input.transaction.output.get(self.input.index)?;
        let is_it = match &self.closing.body {
            Body::Standing(built) => {
                let expected = built.htlc_transaction(input.previous_output.vout).ok()?;
                expected.transaction.output.first() == Some(output)
            }
            // Its value depends on a fee rate that is no longer known.
            Body::Revoked(revoked) => revoked.is_second_stage(&output.script_pubkey),
            Body::Future(_) => false,
        };
        let vout = u32::try_from(self.input.index).ok()?;
        is_it.then_some((OutPoint { txid: self.input.txid, vout }, output.value))
    }
}
