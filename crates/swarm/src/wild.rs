//! The node that is not ours: it says and confirms whatever it likes.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use lastword_bolt3::{
    CommitmentOutput, OutputKind, htlc_preimage_witness, htlc_timeout_witness, htlc_witness,
    remote_htlc_sighash, rules,
};
use lastword_ports::SigningRequest;
use lastword_regtest::Reject;
use lastword_types::{PaymentPreimage, RemovalReason, SigningKey};

use crate::dice::Dice;
use crate::ground::{Wallet, channel_id};
use crate::htlc::Name;
use crate::knobs::Kind;
use crate::marks::Mark;
use crate::world::World;

const CLAIM_FEE: Amount = Amount::from_sat(500);

/// What the peer does with an HTLC that is offered to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whim {
    /// It fulfils it, by message while the channel is open.
    Fulfil,
    Fail,
    /// It neither fulfils nor fails it.
    Keep,
    /// It shows the preimage on chain alone, not before this height.
    Late(u32),
}

/// An HTLC output that the peer may spend now.
struct Claim {
    index: usize,
    owner: usize,
    number: usize,
    outpoint: OutPoint,
    output: CommitmentOutput,
    preimage: Option<PaymentPreimage>,
    expiry: u32,
}

impl World {
    /// The peer decides what to do with the HTLCs of a payment to it.
    pub(crate) fn whim(&mut self, dice: &mut Dice, number: usize) {
        let is_hostile = self.knobs.kinds.contains(&Kind::Hostile);
        for (index, name) in self.arrived(number) {
            let fact = &self.channels[index].htlcs[&name];
            let (expiry, preimage) = (fact.expiry, fact.preimage);
            let is_probe = self.deals[number].is_probe;
            let drawn = match dice.below(10) {
                _ if is_probe => Whim::Fail,
                0 | 1 if is_hostile => Whim::Keep,
                2 | 3 if is_hostile => Whim::Late((expiry + dice.between(0, 2)).saturating_sub(2)),
                0..=5 => Whim::Fulfil,
                _ => Whim::Fail,
            };
            let whim = *self.whims.entry((index, name)).or_insert(drawn);
            let Some(fact) = self.channels[index].htlcs.get_mut(&name) else { continue };
            match whim {
                Whim::Fulfil => fact.wanted = Some(RemovalReason::Fulfilled { preimage }),
                Whim::Fail => fact.wanted = Some(RemovalReason::Failed { code: 0x400f }),
                Whim::Keep => self.marks.hit(Mark::Refusal),
                Whim::Late(_) => {}
            }
        }
    }

    /// Takes note of HTLCs to which the peer was the last to be bound.
    pub(crate) fn bound_by_peer(&mut self, index: usize, bound: &[Name]) {
        self.bind(index, bound);
        self.follow_forwards(index);
    }

    /// The peer confirms one of its commitments.
    pub(crate) fn peer_closes(&mut self, dice: &mut Dice) {
        let peer = self.peer();
        let with: Vec<usize> = self
            .channels
            .iter()
            .filter(|it| it.end_of(peer).is_some())
            .map(|it| it.index)
            .collect();
        let Some(index) = dice.pick(&with) else { return };
        let funding = self.channels[index].parameters[0].funding_outpoint;
        if self.chain.lock().spender(funding).is_some() {
            return;
        }
        let Some((transaction, mark)) = self.peers_commitment(dice, index) else { return };
        self.say(|| format!("the peer broadcasts a commitment of channel {index}: {mark}"));
        let taken = self.chain.lock().submit(transaction.clone());
        if taken.is_err() {
            let nobody = ScriptBuf::new_op_return([]);
            // What waits in the mempool is not what is mined.
            drop(self.chain.lock().mine_transactions(&nobody, vec![transaction]));
        }
        self.marks.hit(mark);
        self.silent[index] = true;
    }

    /// The peer closes what holds an HTLC of its own too long, as anybody would.
    pub(crate) fn peer_goes_on_chain(&mut self) {
        let (peer, height) = (self.peer(), self.height().0);
        for index in 0..self.channels.len() {
            let channel = &self.channels[index];
            let Some(owner) = channel.end_of(peer) else { continue };
            let newest = channel.newest_given(owner);
            let mut all =
                channel.commitments.iter().flat_map(|of| &of.last().expect("the first").names);
            let is_overdue =
                all.any(|name| name.offerer == owner && channel.htlcs[name].expiry + 2 <= height);
            let funding = channel.parameters[0].funding_outpoint;
            if is_overdue && self.chain.lock().spender(funding).is_none() {
                let transaction = self.channels[index].signed(owner, newest);
                self.peer_offers(transaction);
                self.silent[index] = true;
            }
        }
    }

    /// Draws one of the commitments that the peer has.
    pub(crate) fn peers_commitment(
        &mut self,
        dice: &mut Dice,
        index: usize,
    ) -> Option<(Transaction, Mark)> {
        let peer = self.peer();
        let owner = self.channels[index].end_of(peer)?;
        let newest = self.channels[index].newest_given(owner);
        let revoked = usize::try_from(self.channels[index].revoked[owner]).unwrap_or(0);
        let number = match dice.below(3) {
            0 => newest,
            1 => newest.saturating_sub(1),
            _ => dice.below(newest + 1),
        };
        let mark = if number < revoked {
            Mark::Revoked
        } else if number == newest {
            Mark::Latest
        } else {
            Mark::Previous
        };
        // The last one may be revoked by the time that it confirms.
        self.breached[index] = true;
        self.channels[index].signed(owner, number).map(|transaction| (transaction, mark))
    }

    /// The peer spends the HTLC outputs that it wants and can.
    pub(crate) fn peer_claims(&mut self) {
        let claims = self.peers_claims();
        let next = self.height().0 + 1;
        let mut together: Vec<Claim> = Vec::new();
        for claim in claims {
            if claim.preimage.is_some() && claim.expiry.abs_diff(next) <= 6 {
                self.marks.hit(Mark::LastBlock);
            }
            let peer = self.peer();
            if self.channels[claim.index].ends[claim.owner] == peer {
                let transaction = self.second_stage(&claim);
                self.peer_offers(transaction);
            } else {
                together.push(claim);
            }
        }
        // What has the same lock goes into one transaction.
        let is_timeout = |claim: &Claim| claim.preimage.is_none();
        let (timeouts, preimages): (Vec<Claim>, Vec<Claim>) =
            together.into_iter().partition(is_timeout);
        for claims in [timeouts, preimages] {
            if claims.len() > 1 {
                self.marks.hit(Mark::Batched);
            }
            if !claims.is_empty() {
                let transaction = self.direct(&claims);
                self.peer_offers(Some(transaction));
            }
        }
    }

    fn peer_offers(&mut self, transaction: Option<Transaction>) {
        let Some(transaction) = transaction else { return };
        // Who sees it in the mempool knows what it shows.
        if self.chain.lock().submit(transaction.clone()).is_ok() {
            self.say(|| format!("the peer broadcasts {}", transaction.compute_txid()));
            self.saw(&transaction);
        }
    }

    /// Returns the outputs that the peer may spend in the next block.
    fn peers_claims(&self) -> Vec<Claim> {
        let chain = self.chain.lock();
        let next = chain.height().0 + 1;
        let mut claims = Vec::new();
        for channel in &self.channels {
            let Some(end) = channel.end_of(self.peer()) else { continue };
            let funding = channel.parameters[0].funding_outpoint;
            let closed = chain.spender(funding).and_then(|(txid, _)| channel.find(txid));
            let Some((owner, number)) = closed else { continue };
            for name in &channel.commitments[owner][number].names {
                let Some(outpoint) = channel.output((owner, number), *name) else { continue };
                let is_free =
                    chain.utxo(outpoint).is_some() && chain.mempool_spender(outpoint).is_none();
                let fact = &channel.htlcs[name];
                let is_offerer = name.offerer == end;
                let wants = match self.whims.get(&(channel.index, *name)) {
                    _ if is_offerer => fact.expiry < next,
                    Some(Whim::Fulfil) => true,
                    Some(Whim::Late(from)) => *from <= next,
                    Some(Whim::Fail | Whim::Keep) | None => false,
                };
                if !is_free || !wants {
                    continue;
                }
                let built = &channel.commitments[owner][number].built;
                let place = usize::try_from(outpoint.vout).unwrap_or(0);
                claims.push(Claim {
                    index: channel.index,
                    owner,
                    number,
                    outpoint,
                    output: built.outputs[place].clone(),
                    preimage: (!is_offerer).then_some(fact.preimage),
                    expiry: fact.expiry,
                });
            }
        }
        claims
    }

    /// The HTLC transaction of the peer's own commitment.
    fn second_stage(&mut self, claim: &Claim) -> Option<Transaction> {
        let Claim { index, owner, number, outpoint, output, preimage, .. } = claim;
        let channel = &mut self.channels[*index];
        let commitment = channel.commitments[*owner][*number].clone();
        let second = commitment.built.htlc_transaction(outpoint.vout).ok()?;
        let OutputKind::Htlc { signature_index, .. } = output.kind else { return None };
        let theirs = commitment.htlc_signatures.get(signature_index)?;
        let point = commitment.built.keys.per_commitment_point;
        let mut transaction = second.transaction;
        let own = channel.sign(
            *owner,
            &SigningRequest {
                channel_id: channel_id(*index),
                key: SigningKey::Htlc { per_commitment_point: point },
                transaction: &transaction,
                input: 0,
                amount: second.amount,
                script: &second.script,
                sighash: EcdsaSighashType::All,
            },
        );
        let sighash = remote_htlc_sighash(channel.format);
        transaction.input[0].witness =
            htlc_witness(theirs, sighash, &own, *preimage, &second.script);
        Some(transaction)
    }

    /// One transaction that spends outputs of our commitments.
    fn direct(&mut self, claims: &[Claim]) -> Transaction {
        let peer = self.peer();
        let input = claims.iter().map(|claim| {
            let csv_blocks = rules(self.channels[claim.index].format).csv_blocks;
            let sequence = match csv_blocks {
                0 => Sequence::ENABLE_RBF_NO_LOCKTIME,
                blocks => Sequence::from_height(blocks),
            };
            TxIn {
                previous_output: claim.outpoint,
                script_sig: ScriptBuf::new(),
                sequence,
                witness: Witness::new(),
            }
        });
        let sum: Amount = claims.iter().map(|claim| claim.output.amount).sum();
        let timeouts = claims.iter().filter(|claim| claim.preimage.is_none());
        let lock_time = timeouts.map(|claim| claim.expiry).max().unwrap_or(0);
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::from_consensus(lock_time),
            input: input.collect(),
            output: vec![TxOut {
                value: sum.checked_sub(CLAIM_FEE).unwrap_or(Amount::ZERO),
                script_pubkey: Wallet::sweeps_of(peer).script,
            }],
        };
        for (input, claim) in claims.iter().enumerate() {
            let channel = &mut self.channels[claim.index];
            let point =
                channel.commitments[claim.owner][claim.number].built.keys.per_commitment_point;
            let signature = channel.sign(
                1 - claim.owner,
                &SigningRequest {
                    channel_id: channel_id(claim.index),
                    key: SigningKey::Htlc { per_commitment_point: point },
                    transaction: &transaction,
                    input,
                    amount: claim.output.amount,
                    script: &claim.output.script,
                    sighash: EcdsaSighashType::All,
                },
            );
            let script = &claim.output.script;
            transaction.input[input].witness = match &claim.preimage {
                Some(preimage) => htlc_preimage_witness(&signature, preimage, script),
                None => htlc_timeout_witness(&signature, script),
            };
        }
        transaction
    }
}

/// Says whether a refusal shows a mistake of who offered the transaction, who knew the tip or did
/// not.
pub(crate) fn is_invalid(reject: &Reject, knew_the_tip: bool) -> bool {
    if matches!(reject, Reject::NotFinal { .. } | Reject::LockedToHeight { .. }) {
        return knew_the_tip;
    }
    matches!(
        reject,
        Reject::Script { .. }
            | Reject::NoInputs
            | Reject::NoOutputs
            | Reject::TooHeavy { .. }
            | Reject::TooMuchMoney { .. }
            | Reject::DuplicateInput { .. }
            | Reject::NullInput { .. }
            | Reject::Coinbase
            | Reject::Inflation { .. }
            | Reject::TooManySigops { .. }
    )
}
