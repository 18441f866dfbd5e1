//! A channel in use, with the peer's half of it.

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::htlc_preimage_witness;
use lastword_types::{
    BlockHeight, ChannelId, HtlcDirection, HtlcId, Intent, MonitorUpdate, PaymentId, UpdateId,
};

use crate::Result;
use crate::tape::{Tape, funding_outpoint};

/// A payment that is on its way.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub(crate) htlc_id: HtlcId,
    pub(crate) payment_id: PaymentId,
    pub(crate) since: u32,
}

/// A channel in use.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) channel_id: ChannelId,
    tape: Tape,
    pub(crate) open: Vec<Open>,
    /// Updates of which the node has not said that they are durable.
    pub(crate) unsaid: Vec<MonitorUpdate>,
}

impl Peer {
    pub(crate) fn new(pattern: &Tape, channel_id: ChannelId) -> Result<Self> {
        let tape = pattern.like(channel_id)?;
        Ok(Self { channel_id, tape, open: Vec::new(), unsaid: Vec::new() })
    }

    /// Begins a payment: its intent, and the update with which its HTLC is sent. What follows is
    /// unsaid.
    pub(crate) fn pay(&mut self, height: u32, blocks: u32) -> Result<(Intent, MonitorUpdate)> {
        self.tape.expiries = [BlockHeight(height + blocks); 2];
        let htlc_id = self.tape.add(HtlcDirection::Offered)?;
        let mut updates = self.tape.take_updates().into_iter();
        let first = updates.next().ok_or("a payment has an update")?;
        self.unsaid.extend(updates);
        let intent = self.tape.intent(htlc_id).ok_or("the HTLC is there")?;
        self.open.push(Open { htlc_id, payment_id: intent.payment_id, since: height });
        Ok((intent, first))
    }

    /// The peer fulfils a payment by message.
    pub(crate) fn fulfil(&mut self, htlc_id: HtlcId) -> Result<()> {
        self.tape.fulfil_and_remove(htlc_id)?;
        self.unsaid.append(&mut self.tape.take_updates());
        self.open.retain(|open| open.htlc_id != htlc_id);
        Ok(())
    }

    /// We fail the channel.
    pub(crate) fn fail(&mut self) -> Result<()> {
        self.tape.fail()?;
        self.unsaid.append(&mut self.tape.take_updates());
        Ok(())
    }

    /// The peer's commitment, as it would be mined.
    pub(crate) fn peers_commitment(&self) -> Result<Transaction> {
        let mut transaction = self.tape.peers_commitment()?;
        let input = transaction.input.first_mut().ok_or("a commitment has an input")?;
        input.witness = Witness::from_slice(&[vec![], vec![0; 71], vec![0; 71], vec![0; 71]]);
        Ok(transaction)
    }

    pub(crate) fn funding_outpoint(&self) -> OutPoint {
        funding_outpoint(self.channel_id)
    }

    /// The peer's claim of an HTLC on our commitment, with its preimage.
    pub(crate) fn claim(&self, htlc_id: HtlcId) -> Result<Transaction> {
        let (previous_output, output) = self.tape.our_output(htlc_id)?;
        let signature = Signature::from_compact(&[1; 64])?;
        let preimage = self.tape.preimage_of(htlc_id);
        let input = TxIn {
            previous_output,
            sequence: Sequence::from_height(1),
            witness: htlc_preimage_witness(&signature, &preimage, &output.script),
            ..TxIn::default()
        };
        let value = output.amount / 2;
        Ok(Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: vec![TxOut { value, script_pubkey: output.script.to_p2wsh() }],
        })
    }

    /// Takes note of how far the node has it.
    pub(crate) fn said(&mut self, latest: UpdateId) {
        self.unsaid.retain(|update| update.update_id > latest);
    }
}
