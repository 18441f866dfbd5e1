//! Further fundings of the channel of a test: signed by both, as transactions.

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid};
use lastword_bolt3::{funding_script, funding_witness};
use lastword_types::{
    AmountMsat, ChannelParameters, FundingKind, NewFunding, UnsignedCommitment, UpdateStep,
};

use crate::channel::{Beside, CHANNEL, Channel, Commitment, Node, PEER, US, local_on, remote_on};
use crate::spend::spend;

impl Channel {
    /// Both nodes make another funding and tell their monitors; `change_sat` is what each of them
    /// puts in or takes out. Says where it is in [`Channel::beside`].
    pub(crate) fn fund(&mut self, kind: FundingKind, change_sat: [i64; 2]) -> usize {
        let new = self.draft_funding(kind, change_sat);
        self.tell_funding(new)
    }

    /// The same without a word to the monitors.
    pub(crate) fn draft_funding(&mut self, kind: FundingKind, change_sat: [i64; 2]) -> Draft {
        let before = [US, PEER].map(|node: Node| self.nodes[node].parameters.clone());
        let keys = [US, PEER].map(|node: Node| {
            let current = before[node].local.funding_pubkey;
            if kind == FundingKind::Replacement {
                return current;
            }
            let keys = &self.nodes[node].keys;
            let secp = Secp256k1::signing_only();
            let spliced = (1..9).map(|splice| keys.spliced_funding(splice));
            let spliced: Vec<_> = spliced.map(|key| (key, key.public_key(&secp))).collect();
            let used = spliced.iter().position(|(_, public)| *public == current);
            let (key, public) = spliced[used.map_or(0, |used| used + 1)];
            self.nodes[node].signer.insert_funding(CHANNEL, key).unwrap();
            public
        });
        let amount = before[US].funding_amount.to_sat();
        let amount = Amount::from_sat(amount.checked_add_signed(change_sat.iter().sum()).unwrap());
        let transaction = self.funding_transaction(kind, &before, keys, amount);
        let outpoint = OutPoint { txid: transaction.compute_txid(), vout: 0 };
        let parameters = [US, PEER].map(|node: Node| {
            let mut parameters = before[node].clone();
            parameters.funding_outpoint = outpoint;
            parameters.funding_amount = amount;
            parameters.local.funding_pubkey = keys[node];
            parameters.remote.funding_pubkey = keys[1 - node];
            parameters
        });
        Draft { kind, transaction, parameters, change_sat }
    }

    /// Signs the first commitments on a funding and tells both monitors.
    pub(crate) fn tell_funding(&mut self, draft: Draft) -> usize {
        let Draft { kind, transaction, parameters, change_sat } = draft;
        let signed = [US, PEER].map(|owner: Node| {
            let Commitment { unsigned, htlcs, .. } = self.newest(owner).clone();
            let changed = |msat: AmountMsat, node: Node| {
                AmountMsat(msat.0.checked_add_signed(change_sat[node] * 1000).unwrap())
            };
            let unsigned = UnsignedCommitment {
                to_local_msat: changed(unsigned.to_local_msat, owner),
                to_remote_msat: changed(unsigned.to_remote_msat, 1 - owner),
                ..unsigned
            };
            self.signed_as(owner, &parameters, unsigned, htlcs)
        });
        for node in [US, PEER] {
            let [(ours, signatures), (theirs, _)] = [&signed[node], &signed[1 - node]];
            let new = NewFunding {
                funding_outpoint: parameters[node].funding_outpoint,
                funding_amount: parameters[node].funding_amount,
                local_funding_pubkey: parameters[node].local.funding_pubkey,
                remote_funding_pubkey: parameters[node].remote.funding_pubkey,
                kind,
                local: local_on(&ours.unsigned, signatures.clone()),
                remote: remote_on(&theirs.unsigned),
            };
            self.update(node, vec![UpdateStep::NewFunding(Box::new(new))]);
        }
        let commitments = signed.map(|(commitment, _)| vec![commitment]);
        self.beside.push(Beside { parameters, commitments, transaction, is_retired: false });
        self.beside.len() - 1
    }

    /// Both nodes lock a funding.
    pub(crate) fn lock(&mut self, place: usize) {
        let funding_txid = self.beside[place].transaction.compute_txid();
        for node in [US, PEER] {
            self.update(node, vec![UpdateStep::FundingLocked { funding_txid }]);
            let member = &mut self.nodes[node];
            let beside = &mut self.beside[place];
            std::mem::swap(&mut member.parameters, &mut beside.parameters[node]);
            std::mem::swap(&mut member.commitments, &mut beside.commitments[node]);
        }
        for beside in &mut self.beside {
            beside.is_retired = true;
        }
    }

    /// The transaction of a funding, with the witness of the input that spends the one before.
    fn funding_transaction(
        &mut self,
        kind: FundingKind,
        before: &[ChannelParameters; 2],
        keys: [bitcoin::secp256k1::PublicKey; 2],
        amount: Amount,
    ) -> Transaction {
        let purse = 100 + u8::try_from(self.beside.len()).unwrap();
        let purse = OutPoint { txid: Txid::from_byte_array([purse; 32]), vout: 0 };
        let spent = match kind {
            FundingKind::Splice => before[US].funding_outpoint,
            FundingKind::Replacement => purse,
        };
        let mut transaction = spend(spent, 0, 0);
        transaction.input.push(TxIn { previous_output: purse, ..TxIn::default() });
        let script_pubkey = funding_script(&keys[0], &keys[1]).to_p2wsh();
        let change = TxOut { value: Amount::from_sat(7_000), script_pubkey: ScriptBuf::new() };
        transaction.output = vec![TxOut { value: amount, script_pubkey }, change];
        if kind == FundingKind::Replacement {
            transaction.input.truncate(1);
            return transaction;
        }
        let [ours, theirs] =
            [US, PEER].map(|node: Node| self.sign_funding(node, &before[node], &transaction));
        let [us, peer] = [before[US].local.funding_pubkey, before[PEER].local.funding_pubkey];
        let script = funding_script(&us, &peer);
        transaction.input[0].witness = funding_witness(&script, &ours, &us, &theirs, &peer);
        transaction
    }
}

/// A funding that the monitors do not know yet.
pub(crate) struct Draft {
    kind: FundingKind,
    pub(crate) transaction: Transaction,
    parameters: [ChannelParameters; 2],
    change_sat: [i64; 2],
}
