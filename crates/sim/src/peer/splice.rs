//! The peer's half of a splice: it takes something out, and signs commitments on several fundings.

use bitcoin::secp256k1::{PublicKey, Secp256k1};
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use lastword_bolt3::{InMemorySigner, funding_script, sign_commitment};
use lastword_types::{ChannelParameters, Htlc, Side, UnsignedCommitment};

use super::{Held, OwnCommitment, Peer, PeerChannel, sign_funding, unknown};
use crate::channel::{mirror, on_splice, splice_out};
use crate::error::{SimError, Trying as _};
use crate::messages::{Commit, OnSplice, PeerReply, Signed, SpliceSigned, Spliced};
use crate::world::bank::spend;
use crate::world::index::{ChainIndex, Confirmed};

/// A funding that is not locked, from the peer's view.
#[derive(Debug)]
pub(super) struct Splice {
    attempt: u16,
    parameters: ChannelParameters,
    /// Its transaction; signed once the node has signed.
    transaction: Transaction,
    is_signed: bool,
    /// The peer's commitments on it, from the one on that was its newest.
    own: Vec<OwnCommitment>,
    /// The first of these, which waits for the node's signature.
    first: Held,
    /// The node's commitments on it.
    theirs: Vec<Held>,
    reply: Spliced,
}

/// What a channel had on fundings that are no longer the locked one.
#[derive(Debug, Default)]
pub(super) struct Past {
    parameters: Vec<ChannelParameters>,
    own: Vec<OwnCommitment>,
    theirs: Vec<Held>,
    /// How many splices were locked.
    count: u32,
}

impl PeerChannel {
    /// Visits the channel on every funding, each after those before it.
    fn fundings(&self) -> impl DoubleEndedIterator<Item = &ChannelParameters> {
        let spliced = self.splices.iter().map(|splice| &splice.parameters);
        self.past.parameters.iter().chain([&self.parameters]).chain(spliced)
    }

    /// Returns the channel on the funding that a transaction spends first.
    pub(super) fn spent_by(&self, transaction: &Transaction) -> Option<&ChannelParameters> {
        let spends = transaction.input.first()?.previous_output;
        self.fundings().find(|parameters| parameters.funding_outpoint == spends)
    }

    /// Visits the peer's commitments, the newest of the locked funding first.
    pub(super) fn all_own(&self) -> impl Iterator<Item = &OwnCommitment> {
        let spliced = self.splices.iter().flat_map(|splice| splice.own.iter().rev());
        self.own.iter().rev().chain(spliced).chain(self.past.own.iter().rev())
    }

    /// Visits the node's commitments, the newest of the locked funding first.
    pub(super) fn all_theirs(&self) -> impl Iterator<Item = &Held> {
        let spliced = self.splices.iter().flat_map(|splice| splice.theirs.iter().rev());
        self.theirs.iter().rev().chain(spliced).chain(self.past.theirs.iter().rev())
    }

    /// Returns what closed the channel in the best chain: the spend of a funding by no splice.
    pub(super) fn closed<'c>(&self, chain: &'c ChainIndex) -> Option<&'c Confirmed> {
        let spends = self.fundings().filter_map(|it| chain.spend(it.funding_outpoint));
        let mut closing = spends.filter(|spend| {
            let txid = spend.transaction.compute_txid();
            self.fundings().all(|it| it.funding_outpoint.txid != txid)
        });
        closing.next()
    }

    /// Returns the channel on the funding that the best chain holds or held last.
    pub(super) fn in_chain(&self, chain: &ChainIndex) -> &ChannelParameters {
        let closed = self.closed(chain).and_then(|spend| self.spent_by(&spend.transaction));
        let made =
            || self.fundings().rev().find(|it| chain.created_at(it.funding_outpoint).is_some());
        closed.or_else(made).unwrap_or(&self.parameters)
    }

    /// Takes the node's signatures on the peer's newest commitment, on every splice.
    pub(super) fn take_batch(&mut self, commit: &Commit) -> Result<(), SimError> {
        let held = self.check_batch(commit)?;
        for ((splice, held), on) in self.splices.iter_mut().zip(held).zip(&commit.batch) {
            splice.own.push(OwnCommitment {
                held,
                signature: on.signature,
                htlc_signatures: on.htlc_signatures.clone(),
            });
        }
        Ok(())
    }

    fn check_batch(&self, commit: &Commit) -> Result<Vec<Held>, SimError> {
        if commit.batch.len() != self.splices.len() {
            return Err(SimError::new("the node signs for other fundings than there are"));
        }
        let htlcs: Vec<Htlc> =
            commit.htlcs.iter().map(|htlc| htlc.seen_by(crate::messages::WireSide::Peer)).collect();
        let check = |(splice, on): (&Splice, &OnSplice)| {
            let commitment =
                on_splice(&self.parameters, &splice.parameters, &commit.commitment, true)?;
            let held = Held::new(&splice.parameters, Side::Local, commitment, htlcs.clone())?;
            held.verify(&splice.parameters, &on.signature, &on.htlc_signatures)?;
            Ok(held)
        };
        self.splices.iter().zip(&commit.batch).map(check).collect()
    }

    /// Says whether a repeated commit says the same about every splice.
    pub(super) fn is_same_batch(&self, commit: &Commit) -> bool {
        let newest = self.splices.iter().filter_map(|splice| splice.own.last());
        let newest = newest.map(|own| OnSplice {
            signature: own.signature,
            htlc_signatures: own.htlc_signatures.clone(),
        });
        newest.eq(commit.batch.iter().cloned())
    }

    /// Signs a commitment of the node on the locked funding and on every splice, and counts it as
    /// given.
    pub(super) fn give(
        &mut self,
        signer: &mut InMemorySigner,
        commitment: UnsignedCommitment,
        htlcs: &[Htlc],
    ) -> Result<Signed, SimError> {
        let locked = self.parameters.clone();
        let mut batch = Vec::new();
        let mut on_splices = Vec::new();
        for splice in &self.splices {
            let on = on_splice(&locked, &splice.parameters, &commitment, false)?;
            let held = Held::new(&splice.parameters, Side::Remote, on, htlcs.to_vec())?;
            let (signature, htlc_signatures) =
                sign_commitment(signer, &splice.parameters, &held.built)
                    .trying("sign a commitment on a splice")?;
            batch.push(OnSplice { signature, htlc_signatures });
            on_splices.push(held);
        }
        let held = Held::new(&locked, Side::Remote, commitment, htlcs.to_vec())?;
        let (signature, htlc_signatures) =
            sign_commitment(signer, &locked, &held.built).trying("sign a commitment")?;
        let commitment = held.commitment.clone();
        self.theirs.push(held);
        for (splice, held) in self.splices.iter_mut().zip(on_splices) {
            splice.theirs.push(held);
        }
        Ok(Signed { commitment, signature, htlc_signatures, batch })
    }
}

impl Peer {
    /// Makes a splice that takes something out for the peer.
    pub(super) fn splice(
        &mut self,
        index: u16,
        attempt: u16,
        node_key: PublicKey,
    ) -> Result<PeerReply, SimError> {
        let destination = self.destination();
        let keys = self.keys(index);
        let Self { channels, signer, .. } = self;
        let channel = channels.get_mut(&index).ok_or(unknown())?;
        if let Some(known) = channel.splices.iter().find(|splice| splice.attempt == attempt) {
            return Ok(PeerReply::Spliced(Box::new(known.reply.clone())));
        }
        let key = keys.spliced_funding(channel.past.count + 1);
        let channel_id = channel.parameters.channel_id;
        signer.insert_funding(channel_id, key).trying("keep a funding key")?;
        let own_key = key.public_key(&Secp256k1::signing_only());
        let (transaction, parameters) =
            draft(&channel.parameters, attempt, (own_key, node_key), destination)?;

        let own = channel.newest_own().ok_or(unknown())?;
        let theirs = channel.theirs.last().ok_or(unknown())?;
        let locked = &channel.parameters;
        let first = on_splice(locked, &parameters, &own.held.commitment, true)?;
        let first = Held::new(&parameters, Side::Local, first, own.held.htlcs.clone())?;
        let on = on_splice(locked, &parameters, &theirs.commitment, false)?;
        let theirs = Held::new(&parameters, Side::Remote, on, theirs.htlcs.clone())?;
        let (signature, htlc_signatures) = sign_commitment(signer, &parameters, &theirs.built)
            .trying("sign a commitment on a splice")?;
        let signed = Signed {
            commitment: theirs.commitment.clone(),
            signature,
            htlc_signatures,
            batch: Vec::new(),
        };
        let reply =
            Spliced { parameters: mirror(&parameters), transaction: transaction.clone(), signed };
        channel.splices.push(Splice {
            attempt,
            parameters,
            transaction,
            is_signed: false,
            own: Vec::new(),
            first,
            theirs: vec![theirs],
            reply: reply.clone(),
        });
        Ok(PeerReply::Spliced(Box::new(reply)))
    }

    /// Takes the node's signatures for a splice.
    pub(super) fn splice_signed(&mut self, signed: &SpliceSigned) -> Result<PeerReply, SimError> {
        let Self { channels, signer, .. } = self;
        let channel = channels.get_mut(&signed.channel).ok_or(unknown())?;
        let mut splices = channel.splices.iter_mut();
        let found = splices.find(|it| it.parameters.funding_outpoint.txid == signed.funding_txid);
        let splice = found.ok_or(unknown())?;
        if splice.is_signed {
            return Ok(PeerReply::Done);
        }
        splice.first.verify(&splice.parameters, &signed.signature, &signed.htlc_signatures)?;
        splice.own.push(OwnCommitment {
            held: splice.first.clone(),
            signature: signed.signature,
            htlc_signatures: signed.htlc_signatures.clone(),
        });
        // The wrong signature is found by the chain, as any other.
        let remote = &signed.funding_signature;
        sign_funding(signer, &channel.parameters, &mut splice.transaction, remote)?;
        splice.is_signed = true;
        Ok(PeerReply::Done)
    }

    /// Locks a splice: from here on commitments are signed for it alone.
    pub(super) fn splice_locked(&mut self, index: u16, txid: Txid) -> Result<PeerReply, SimError> {
        let channel = self.channel_mut(index)?;
        if channel.parameters.funding_outpoint.txid == txid {
            return Ok(PeerReply::Done);
        }
        let is_it = |it: &Splice| it.parameters.funding_outpoint.txid == txid;
        let place = channel.splices.iter().position(is_it).ok_or(unknown())?;
        let splice = channel.splices.remove(place);
        let PeerChannel { parameters, own, theirs, past, splices, .. } = channel;
        past.own.extend(put(own, splice.own));
        past.theirs.extend(put(theirs, splice.theirs));
        past.parameters.push(std::mem::replace(parameters, splice.parameters));
        past.count += 1;
        for other in std::mem::take(splices) {
            past.own.extend(other.own);
            past.theirs.extend(other.theirs);
            past.parameters.push(other.parameters);
        }
        Ok(PeerReply::Done)
    }

    /// Returns a try of a splice that both have signed.
    ///
    /// # Errors
    ///
    /// [`SimError`] if there is none.
    pub fn splice_transaction(&self, index: u16, attempt: u16) -> Result<&Transaction, SimError> {
        let mut splices = self.channel(index)?.splices.iter();
        let splice = splices.find(|splice| splice.attempt == attempt && splice.is_signed);
        Ok(&splice.ok_or(unknown())?.transaction)
    }

    /// Returns a channel as the node sees it on the funding that the best chain holds or held last.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the channel does not exist.
    pub fn parameters_in_chain(
        &self,
        index: u16,
        chain: &ChainIndex,
    ) -> Result<ChannelParameters, SimError> {
        Ok(mirror(self.channel(index)?.in_chain(chain)))
    }

    /// Returns what closed a channel in the best chain.
    pub(crate) fn closed<'c>(&self, index: u16, chain: &'c ChainIndex) -> Option<&'c Confirmed> {
        self.channels.get(&index)?.closed(chain)
    }

    /// Returns what in the best chain spends a channel's first funding output that is spent.
    pub(crate) fn first_spend<'c>(
        &self,
        index: u16,
        chain: &'c ChainIndex,
    ) -> Option<&'c Confirmed> {
        let mut fundings = self.channels.get(&index)?.fundings();
        fundings.find_map(|parameters| chain.spend(parameters.funding_outpoint))
    }
}

/// Puts the newest commitments in the place of as many others, which are returned.
fn put<T>(all: &mut Vec<T>, newest: Vec<T>) -> Vec<T> {
    let from = all.len().saturating_sub(newest.len());
    let old = all.split_off(from);
    all.extend(newest);
    old
}

/// The splice without signatures, and the channel after it.
fn draft(
    locked: &ChannelParameters,
    attempt: u16,
    (own_key, node_key): (PublicKey, PublicKey),
    destination: ScriptBuf,
) -> Result<(Transaction, ChannelParameters), SimError> {
    let (out, fee) = splice_out(attempt);
    let value = locked.funding_amount.checked_sub(out + fee).ok_or(unknown())?;
    let script_pubkey = funding_script(&own_key, &node_key).to_p2wsh();
    let outputs =
        vec![TxOut { value, script_pubkey }, TxOut { value: out, script_pubkey: destination }];
    let transaction = spend(&[locked.funding_outpoint], outputs);
    let mut parameters = locked.clone();
    parameters.funding_outpoint = OutPoint { txid: transaction.compute_txid(), vout: 0 };
    parameters.funding_amount = value;
    parameters.local.funding_pubkey = own_key;
    parameters.remote.funding_pubkey = node_key;
    Ok((transaction, parameters))
}
