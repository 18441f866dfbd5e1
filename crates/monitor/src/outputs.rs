//! What the spend of an output means: HTLC outputs, our main outputs, our HTLC transactions.

use bitcoin::{OutPoint, Transaction, TxIn};
use lastword_bolt3::{CommitmentOutput, HtlcSpend, OutputKind, read_htlc_spend};
use lastword_types::{HtlcDirection, MonitorState, OutputSpendKind, Side};

use crate::closing::Closing;
use crate::marks::HtlcRef;

/// Says whether the spend of an output concerns us.
///
/// The peer's main output and the peer's anchor are resolved by the commitment itself (BOLT 5,
/// L-3 and R-2). The shared anchor is nobody's: what it holds is part of the fee.
pub(crate) fn is_of_interest(closing: &Closing, output: &CommitmentOutput) -> bool {
    match output.kind {
        OutputKind::Htlc { .. } => true,
        OutputKind::ToLocal => closing.owner == Side::Local,
        OutputKind::ToRemote => closing.owner == Side::Remote,
        OutputKind::Anchor(owner) => owner == Side::Local,
        OutputKind::SharedAnchor => false,
    }
}

/// Says what it means that input `index` of `transaction` spends an output of the closing.
pub(crate) fn classify(
    state: &MonitorState,
    closing: &Closing,
    output: &CommitmentOutput,
    (index, transaction): (usize, &Transaction),
) -> Option<OutputSpendKind> {
    match output.kind {
        OutputKind::Htlc { direction, htlc_id, .. } => {
            let spend = Spend { closing, output, index, transaction, htlc: (direction, htlc_id) };
            Some(spend.classify(state))
        }
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => {
            is_of_interest(closing, output).then_some(OutputSpendKind::Swept { owner: Side::Local })
        }
    }
}

/// One input that spends an HTLC output.
struct Spend<'a> {
    closing: &'a Closing,
    output: &'a CommitmentOutput,
    index: usize,
    transaction: &'a Transaction,
    htlc: HtlcRef,
}

impl Spend<'_> {
    /// Reads the witness; the outpoint has said which HTLC it is.
    fn classify(&self, state: &MonitorState) -> OutputSpendKind {
        let (direction, htlc_id) = self.htlc;
        let (Some(input), Some(htlc)) =
            (self.transaction.input.get(self.index), state.htlcs.get(&self.htlc))
        else {
            return OutputSpendKind::HtlcOther { direction, htlc_id };
        };
        match read_htlc_spend(&input.witness, &self.output.script, &htlc.htlc.payment_hash) {
            HtlcSpend::Preimage(preimage) => OutputSpendKind::HtlcPreimage {
                direction,
                htlc_id,
                preimage,
                second_stage: self.second_stage(input, HtlcDirection::Received),
            },
            HtlcSpend::Timeout => OutputSpendKind::HtlcTimeout {
                direction,
                htlc_id,
                second_stage: self.second_stage(input, HtlcDirection::Offered),
            },
            HtlcSpend::Revocation | HtlcSpend::Other => {
                OutputSpendKind::HtlcOther { direction, htlc_id }
            }
        }
    }

    /// Returns the output of our HTLC transaction.
    ///
    /// On our commitment we claim what we received and take back what we offered, both by an HTLC
    /// transaction, while the peer spends the output at once. The peer's signature ties the output
    /// to the input of the same index, however many others the transaction has.
    fn second_stage(&self, input: &TxIn, ours: HtlcDirection) -> Option<OutPoint> {
        if self.closing.owner != Side::Local || self.htlc.0 != ours {
            return None;
        }
        let expected = self.closing.built.htlc_transaction(input.previous_output.vout).ok()?;
        let output = self.transaction.output.get(self.index)?;
        if expected.transaction.output.first() != Some(output) {
            return None;
        }
        let vout = u32::try_from(self.index).ok()?;
        Some(OutPoint { txid: self.transaction.compute_txid(), vout })
    }
}
