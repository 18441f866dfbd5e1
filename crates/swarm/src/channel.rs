//! [`Channel`]: both ends of a channel, every commitment that either ever had, and the dance that
//! leads from one to the next.
//!
//! ```text
//! stage   who        what its monitor takes               what the other end then knows
//!   0     proposer   the other end's next commitment      its signatures
//!   1     other      that commitment, as its own          the secret of the one before
//!   2     other      the proposer's next commitment       its signatures
//!   3     proposer   the other end's secret
//!   4     proposer   its own next commitment              the secret of the one before
//!   5     other      the proposer's secret
//! ```
//!
//! Nothing is said before the update that says it is durable. An end that is not ours has no
//! monitor, and its stages are only said.

use std::collections::BTreeMap;

use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{EcdsaSighashType, OutPoint, Transaction, Txid};
use lastword_bolt3::{
    CommitmentInput, CommitmentTx, InMemorySigner, OutputKind, build_commitment, funding_script,
    funding_witness, sign_commitment,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelParameters, CommitmentFormat, CommitmentNumber,
    FeeRatePerKw, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, HtlcRemoved,
    LocalCommitment, MonitorUpdate, NewChannel, RemoteCommitment, RemovalReason, Side, SigningKey,
    UnsignedCommitment, UpdateId, UpdateStep,
};

use crate::ground::{self, FUNDING, channel_id, secret_and_point, side};
use crate::htlc::{Fact, Name};

const FEERATE: FeeRatePerKw = FeeRatePerKw(1_000);
/// What an end keeps for itself: fees of the opener, and a reserve.
const RESERVE_MSAT: u64 = 60_000_000;
/// HTLCs that stand in a channel at most, so that a step stays short.
const HTLCS_MAX: usize = 12;

/// One commitment of one end.
#[derive(Debug, Clone)]
pub(crate) struct Commitment {
    unsigned: UnsignedCommitment,
    pub(crate) names: Vec<Name>,
    /// Built by the other end, in whose view the owner is the remote side.
    pub(crate) built: CommitmentTx,
    signature: Signature,
    pub(crate) htlc_signatures: Vec<Signature>,
}

/// A change under way.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) proposer: usize,
    pub(crate) added: Vec<Name>,
    pub(crate) removed: Vec<(Name, RemovalReason)>,
    pub(crate) stage: u8,
    /// Stages 1 and 2, and 3 and 4, go in one update each.
    is_merged: [bool; 2],
    /// How far the commitments are made: the one of stage 0, and the one of stage 2.
    made: [bool; 2],
}

impl Change {
    /// What leads to the first commitments.
    fn none() -> Self {
        let (added, removed) = (Vec::new(), Vec::new());
        Self { proposer: 0, added, removed, stage: 0, is_merged: [false; 2], made: [false; 2] }
    }
}

/// The channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) index: usize,
    /// The nodes at its ends.
    pub(crate) ends: [usize; 2],
    pub(crate) format: CommitmentFormat,
    pub(crate) parameters: [ChannelParameters; 2],
    signers: [InMemorySigner; 2],
    pub(crate) commitments: [Vec<Commitment>; 2],
    by_txid: BTreeMap<Txid, (usize, usize)>,
    /// Commitments of each end that it has revoked: those below.
    pub(crate) revoked: [u64; 2],
    pub(crate) htlcs: BTreeMap<Name, Fact>,
    next_id: [u64; 2],
    pub(crate) latest: [UpdateId; 2],
    pub(crate) change: Option<Change>,
    /// Nothing more is agreed.
    pub(crate) is_frozen: bool,
    /// The closing transaction that both have signed.
    pub(crate) mutual: Option<Transaction>,
    /// Which ends durably know it.
    pub(crate) knows_mutual: [bool; 2],
}

impl Channel {
    /// Makes a channel on a funding output, half of it at each end.
    pub(crate) fn new(
        index: usize,
        ends: [usize; 2],
        format: CommitmentFormat,
        funding_outpoint: OutPoint,
    ) -> Self {
        let parameters = [0, 1].map(|end| ChannelParameters {
            channel_id: channel_id(index),
            funding_outpoint,
            funding_amount: FUNDING,
            format,
            opener: if end == 0 { Side::Local } else { Side::Remote },
            local: side(index, end),
            remote: side(index, 1 - end),
        });
        let mut channel = Self {
            index,
            ends,
            format,
            parameters,
            signers: [0, 1].map(|end| ground::signer(index, end)),
            commitments: [Vec::new(), Vec::new()],
            by_txid: BTreeMap::new(),
            revoked: [0, 0],
            htlcs: BTreeMap::new(),
            next_id: [0, 0],
            latest: [UpdateId::ZERO; 2],
            change: None,
            is_frozen: false,
            mutual: None,
            knows_mutual: [false, false],
        };
        let half = AmountMsat(FUNDING.to_sat() * 500);
        for owner in [0, 1] {
            let unsigned = UnsignedCommitment {
                number: CommitmentNumber::ZERO,
                per_commitment_point: secret_and_point(index, owner, CommitmentNumber::ZERO).1,
                feerate_per_kw: FEERATE,
                to_local_msat: half,
                to_remote_msat: half,
            };
            channel.keep(owner, unsigned, Vec::new());
        }
        channel
    }

    /// Returns what the monitor of an end begins with.
    pub(crate) fn born(&self, end: usize, birth: BlockRef) -> NewChannel {
        NewChannel {
            parameters: self.parameters[end].clone(),
            local: self.local_commitment(end, &Change::none()),
            remote: self.remote_commitment(end, &Change::none()),
            birth,
        }
    }

    /// Returns which end a node is at.
    pub(crate) fn end_of(&self, node: usize) -> Option<usize> {
        self.ends.iter().position(|at| *at == node)
    }

    /// Returns how an end names an HTLC.
    pub(crate) fn key(&self, name: Name, end: usize) -> HtlcKey {
        let (direction, htlc_id) = name.seen_by(end);
        HtlcKey { channel_id: channel_id(self.index), direction, htlc_id }
    }

    /// Returns the name of an HTLC that an end calls so.
    pub(crate) fn name(key: &HtlcKey, end: usize) -> Name {
        let offerer = match key.direction {
            HtlcDirection::Offered => end,
            HtlcDirection::Received => 1 - end,
        };
        Name { offerer, id: key.htlc_id.0 }
    }

    /// Returns the id of the next HTLC of an end.
    pub(crate) fn next_id(&self, end: usize) -> u64 {
        self.next_id[end]
    }

    /// Says whether a change may begin.
    pub(crate) fn is_idle(&self) -> bool {
        self.change.is_none() && !self.is_frozen
    }

    /// Says whether an end can offer so much more in so many HTLCs.
    pub(crate) fn has_room(&self, end: usize, amount_msat: u64, count: usize) -> bool {
        let own = self.newest(end);
        let other = self.newest(1 - end);
        own.names.len().max(other.names.len()) + count <= HTLCS_MAX
            && own.unsigned.to_local_msat.0.min(other.unsigned.to_remote_msat.0)
                >= amount_msat + RESERVE_MSAT
    }

    /// Names HTLCs that stand nowhere yet, and begins the change that adds them.
    pub(crate) fn begin_add(&mut self, offerer: usize, facts: Vec<Fact>, is_merged: [bool; 2]) {
        let facts = facts.into_iter().map(|fact| (self.reserve(offerer), fact)).collect();
        self.begin_add_as(facts, is_merged);
    }

    /// The same, of HTLCs of one end that have names.
    pub(crate) fn begin_add_as(&mut self, facts: Vec<(Name, Fact)>, is_merged: [bool; 2]) {
        let added: Vec<Name> = facts.iter().map(|(name, _)| *name).collect();
        let Some(offerer) = added.first().map(|name| name.offerer) else { return };
        self.htlcs.extend(facts);
        self.begin(offerer, added, Vec::new(), is_merged);
    }

    /// Names the next HTLC of an end.
    pub(crate) fn reserve(&mut self, offerer: usize) -> Name {
        let id = self.next_id[offerer];
        self.next_id[offerer] += 1;
        Name { offerer, id }
    }

    /// Begins the change in which an end removes what it wants removed.
    pub(crate) fn begin_remove(&mut self, end: usize, is_merged: [bool; 2]) {
        let wanted = self.wanted(end);
        self.begin(end, Vec::new(), wanted, is_merged);
    }

    /// Returns what an end wants to remove and can.
    pub(crate) fn wanted(&self, end: usize) -> Vec<(Name, RemovalReason)> {
        let theirs = self.htlcs.iter().filter(|(name, fact)| {
            name.receiver() == end && fact.is_committed && fact.removal.is_none()
        });
        theirs.filter_map(|(name, fact)| Some((*name, fact.wanted?))).collect()
    }

    fn begin(
        &mut self,
        proposer: usize,
        added: Vec<Name>,
        removed: Vec<(Name, RemovalReason)>,
        is_merged: [bool; 2],
    ) {
        let made = [false, false];
        self.change = Some(Change { proposer, added, removed, stage: 0, is_merged, made });
    }

    /// Returns the end whose turn it is.
    pub(crate) fn turn(&self) -> Option<usize> {
        let change = self.change.as_ref()?;
        Some(match change.stage {
            0 | 3 | 4 => change.proposer,
            _ => 1 - change.proposer,
        })
    }

    /// Makes the update that the next stage needs.
    pub(crate) fn stage_update(&mut self) -> Option<MonitorUpdate> {
        let change = self.change.clone()?;
        let end = self.turn()?;
        let mut steps = Vec::new();
        match change.stage {
            0 => {
                for (name, reason) in &change.removed {
                    if let RemovalReason::Fulfilled { preimage } = reason {
                        let htlc_id = HtlcId(name.id);
                        steps.push(UpdateStep::ClaimHtlc { htlc_id, preimage: *preimage });
                    }
                }
                steps.push(self.next_remote(&change, 0));
            }
            1 => {
                for (name, reason) in &change.removed {
                    if let RemovalReason::Fulfilled { preimage } = reason {
                        let htlc_id = HtlcId(name.id);
                        steps.push(UpdateStep::Fulfill { htlc_id, preimage: *preimage });
                    }
                }
                steps.push(self.next_local(end, &change));
                if change.is_merged[0] {
                    steps.push(self.next_remote(&change, 1));
                }
            }
            2 => steps.push(self.next_remote(&change, 1)),
            3 => {
                steps.push(self.revocation(1 - end));
                if change.is_merged[1] {
                    steps.push(self.next_local(end, &change));
                }
            }
            4 => steps.push(self.next_local(end, &change)),
            _ => steps.push(self.revocation(1 - end)),
        }
        Some(self.update(end, steps))
    }

    /// Makes the commitments of a stage of which the end has no monitor.
    pub(crate) fn stage_said(&mut self) {
        drop(self.stage_update());
    }

    /// Numbers the next update of an end.
    pub(crate) fn update(&self, end: usize, steps: Vec<UpdateStep>) -> MonitorUpdate {
        let update_id = self.latest[end].next().expect("far from the last");
        MonitorUpdate { channel_id: channel_id(self.index), update_id, steps }
    }

    /// Takes note that a stage is done, and durable where there is a monitor. Returns the HTLCs to
    /// which both ends are bound now.
    pub(crate) fn stage_done(&mut self) -> Vec<Name> {
        let Some(mut change) = self.change.take() else { return Vec::new() };
        let other = 1 - change.proposer;
        match change.stage {
            0 => self.was_proposed(&change),
            1 => {
                for (name, reason) in &change.removed {
                    let fact = self.htlcs.get_mut(name);
                    if let (RemovalReason::Fulfilled { .. }, Some(fact)) = (reason, fact) {
                        fact.is_fulfilled = true;
                    }
                }
            }
            3 => self.revoked[other] = self.newest_number(other),
            5 => return self.was_finished(&change),
            _ => {}
        }
        let is_merged = match change.stage {
            1 => change.is_merged[0],
            3 => change.is_merged[1],
            _ => false,
        };
        change.stage += if is_merged { 2 } else { 1 };
        self.change = Some(change);
        Vec::new()
    }

    fn was_proposed(&mut self, change: &Change) {
        for (name, reason) in &change.removed {
            let Some(fact) = self.htlcs.get_mut(name) else { continue };
            fact.removal = Some(*reason);
            if let RemovalReason::Fulfilled { .. } = reason {
                fact.is_shown = true;
                fact.is_claimed = true;
            }
        }
    }

    fn was_finished(&mut self, change: &Change) -> Vec<Name> {
        self.revoked[change.proposer] = self.newest_number(change.proposer);
        for (name, reason) in &change.removed {
            let fact = self.htlcs.get_mut(name);
            if let (RemovalReason::Failed { .. }, Some(fact)) = (reason, fact) {
                fact.is_failed = true;
            }
        }
        for name in &change.added {
            if let Some(fact) = self.htlcs.get_mut(name) {
                fact.is_committed = true;
            }
        }
        change.added.clone()
    }

    /// Takes a change back of which nothing was said.
    pub(crate) fn cancel(&mut self) {
        let Some(change) = self.change.take() else { return };
        if change.made[0] {
            let gone = self.commitments[1 - change.proposer].pop();
            if let Some(gone) = gone {
                self.by_txid.remove(&gone.built.txid());
            }
        }
        for name in change.added.iter().rev() {
            let fact = self.htlcs.remove(name);
            // A name that somebody was told of stays taken.
            let is_reserved = fact.is_some_and(|fact| fact.leg.is_reserved());
            if !is_reserved && self.next_id[name.offerer] == name.id + 1 {
                self.next_id[name.offerer] -= 1;
            }
        }
    }

    /// Returns the number of the newest commitment of an end that the other has given to it.
    pub(crate) fn newest_given(&self, owner: usize) -> usize {
        let newest = self.commitments[owner].len() - 1;
        let is_held_back = self.change.as_ref().is_some_and(|change| {
            let is_proposer = owner == change.proposer;
            if is_proposer {
                change.made[1] && change.stage < 3
            } else {
                change.made[0] && change.stage < 1
            }
        });
        newest - usize::from(is_held_back)
    }

    /// Returns which commitment a txid names: its owner and its number.
    pub(crate) fn find(&self, txid: Txid) -> Option<(usize, usize)> {
        self.by_txid.get(&txid).copied()
    }

    /// Returns the output of an HTLC in a commitment.
    pub(crate) fn output(&self, (owner, number): (usize, usize), name: Name) -> Option<OutPoint> {
        let built = &self.commitments[owner].get(number)?.built;
        let wanted = name.seen_by(1 - owner);
        let vout = built.outputs.iter().position(|output| match output.kind {
            OutputKind::Htlc { direction, htlc_id, .. } => (direction, htlc_id) == wanted,
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => false,
        })?;
        Some(OutPoint { txid: built.txid(), vout: u32::try_from(vout).ok()? })
    }

    /// Returns a commitment as its owner may confirm it.
    pub(crate) fn signed(&mut self, owner: usize, number: usize) -> Option<Transaction> {
        let commitment = self.commitments[owner].get(number)?;
        let mut transaction = commitment.built.transaction.clone();
        let theirs = commitment.signature;
        let own = self.sign_funding(owner, &transaction);
        self.complete(owner, &mut transaction, &own, &theirs);
        Some(transaction)
    }

    /// Signs a spend of the funding output for both.
    pub(crate) fn sign_closing(&mut self, transaction: &mut Transaction) {
        let [one, other] = [0, 1].map(|end| self.sign_funding(end, transaction));
        self.complete(0, transaction, &one, &other);
    }

    fn complete(
        &self,
        end: usize,
        transaction: &mut Transaction,
        own: &Signature,
        theirs: &Signature,
    ) {
        let ChannelParameters { local, remote, .. } = &self.parameters[end];
        let script = funding_script(&local.funding_pubkey, &remote.funding_pubkey);
        transaction.input[0].witness =
            funding_witness(&script, own, &local.funding_pubkey, theirs, &remote.funding_pubkey);
    }

    fn sign_funding(&mut self, end: usize, transaction: &Transaction) -> Signature {
        let ChannelParameters { local, remote, .. } = &self.parameters[end];
        let script = funding_script(&local.funding_pubkey, &remote.funding_pubkey);
        self.sign(
            end,
            &SigningRequest {
                channel_id: channel_id(self.index),
                key: SigningKey::Funding,
                transaction,
                input: 0,
                amount: FUNDING,
                script: &script,
                sighash: EcdsaSighashType::All,
            },
        )
    }

    /// Signs with the keys of an end.
    pub(crate) fn sign(&mut self, end: usize, request: &SigningRequest<'_>) -> Signature {
        self.signers[end].sign(request).expect("the keys of both ends are here")
    }

    /// Returns the balances of an end and of the other in its newest commitment.
    pub(crate) fn balances(&self, end: usize) -> [AmountMsat; 2] {
        let unsigned = &self.newest(end).unsigned;
        [unsigned.to_local_msat, unsigned.to_remote_msat]
    }

    fn newest(&self, owner: usize) -> &Commitment {
        self.commitments[owner].last().expect("a channel begins with one commitment at each end")
    }

    fn newest_number(&self, owner: usize) -> u64 {
        self.newest(owner).unsigned.number.value()
    }

    /// The step that gives the next commitment of the other end: once made, it stays.
    fn next_remote(&mut self, change: &Change, which: usize) -> UpdateStep {
        let viewer = if which == 0 { change.proposer } else { 1 - change.proposer };
        if !change.made[which] {
            self.draft(1 - viewer, change);
            if let Some(change) = &mut self.change {
                change.made[which] = true;
            }
        }
        UpdateStep::RemoteCommitment(self.remote_commitment(viewer, change))
    }

    fn next_local(&self, end: usize, change: &Change) -> UpdateStep {
        UpdateStep::LocalCommitment(self.local_commitment(end, change))
    }

    fn revocation(&self, of: usize) -> UpdateStep {
        let number = CommitmentNumber::new(self.newest_number(of).saturating_sub(1));
        let number = number.unwrap_or(CommitmentNumber::ZERO);
        let (secret, _) = secret_and_point(self.index, of, number);
        UpdateStep::RemoteRevocation { number, secret }
    }

    /// Makes the next commitment of an end.
    fn draft(&mut self, owner: usize, change: &Change) {
        let newest = self.newest(owner);
        let (mut names, mut unsigned) = (newest.names.clone(), newest.unsigned.clone());
        let (own, others) = (&mut unsigned.to_local_msat.0, &mut unsigned.to_remote_msat.0);
        for (name, reason) in &change.removed {
            names.retain(|held| held != name);
            let goes_back = matches!(reason, RemovalReason::Failed { .. });
            let is_own = (name.offerer == owner) == goes_back;
            *if is_own { &mut *own } else { &mut *others } += self.htlcs[name].amount_msat;
        }
        for name in &change.added {
            names.push(*name);
            let is_own = name.offerer == owner;
            *if is_own { &mut *own } else { &mut *others } -= self.htlcs[name].amount_msat;
        }
        unsigned.number = unsigned.number.next().expect("far from the last");
        unsigned.per_commitment_point = secret_and_point(self.index, owner, unsigned.number).1;
        self.keep(owner, unsigned, names);
    }

    /// Has the other end build and sign a commitment, and keeps it as the newest of its owner.
    fn keep(&mut self, owner: usize, unsigned: UnsignedCommitment, names: Vec<Name>) {
        let viewer = 1 - owner;
        let htlcs: Vec<Htlc> = names.iter().map(|name| self.htlc(*name, viewer)).collect();
        let htlcs: Vec<&Htlc> = htlcs.iter().collect();
        let parameters = &self.parameters[viewer];
        let input = CommitmentInput {
            parameters,
            owner: Side::Remote,
            commitment: &unsigned,
            htlcs: &htlcs,
        };
        let built = build_commitment(&input).expect("the amounts add up");
        let (signature, htlc_signatures) =
            sign_commitment(&mut self.signers[viewer], parameters, &built)
                .expect("the keys of both ends are here");
        self.by_txid.insert(built.txid(), (owner, self.commitments[owner].len()));
        self.commitments[owner].push(Commitment {
            unsigned,
            names,
            built,
            signature,
            htlc_signatures,
        });
    }

    /// Returns an HTLC as an end has it.
    fn htlc(&self, name: Name, end: usize) -> Htlc {
        let fact = &self.htlcs[&name];
        let (direction, htlc_id) = name.seen_by(end);
        Htlc {
            direction,
            htlc_id,
            amount_msat: AmountMsat(fact.amount_msat),
            payment_hash: fact.preimage.payment_hash(),
            cltv_expiry: BlockHeight(fact.expiry),
            origin: if name.offerer == end { fact.origin.clone() } else { received_as(fact) },
        }
    }

    /// The HTLCs of a change as a monitor hears of them: new when it hears of them first.
    fn added(&self, change: &Change, viewer: usize, is_first: bool) -> Vec<HtlcAdded> {
        let added = change.added.iter().map(|name| {
            if is_first {
                return HtlcAdded::New(self.htlc(*name, viewer));
            }
            let (direction, htlc_id) = name.seen_by(viewer);
            HtlcAdded::Known { direction, htlc_id }
        });
        added.collect()
    }

    fn local_commitment(&self, owner: usize, change: &Change) -> LocalCommitment {
        let Commitment { unsigned, signature, htlc_signatures, .. } = self.newest(owner);
        LocalCommitment {
            number: unsigned.number,
            per_commitment_point: unsigned.per_commitment_point,
            feerate_per_kw: unsigned.feerate_per_kw,
            to_local_msat: unsigned.to_local_msat,
            to_remote_msat: unsigned.to_remote_msat,
            // Who proposes hears of them with the other end's commitment, who does not with its own.
            added: self.added(change, owner, owner != change.proposer),
            removed: removals(&change.removed, owner),
            signature: *signature,
            htlc_signatures: htlc_signatures.clone(),
        }
    }

    fn remote_commitment(&self, viewer: usize, change: &Change) -> RemoteCommitment {
        let unsigned = &self.newest(1 - viewer).unsigned;
        RemoteCommitment {
            number: unsigned.number,
            per_commitment_point: unsigned.per_commitment_point,
            feerate_per_kw: unsigned.feerate_per_kw,
            to_local_msat: unsigned.to_local_msat,
            to_remote_msat: unsigned.to_remote_msat,
            added: self.added(change, viewer, viewer == change.proposer),
            removed: removals(&change.removed, viewer),
        }
    }
}

fn removals(removed: &[(Name, RemovalReason)], viewer: usize) -> Vec<HtlcRemoved> {
    let removal = |(name, reason): &(Name, RemovalReason)| {
        let (direction, htlc_id) = name.seen_by(viewer);
        HtlcRemoved { direction, htlc_id, reason: *reason }
    };
    removed.iter().map(removal).collect()
}

/// Returns whom an HTLC is for, as its receiver's monitor has it.
fn received_as(fact: &Fact) -> HtlcOrigin {
    let Some((channel, name)) = fact.leg.reserved else { return HtlcOrigin::Ours };
    let (direction, htlc_id) = (HtlcDirection::Offered, HtlcId(name.id));
    let outbound = HtlcKey { channel_id: channel_id(channel), direction, htlc_id };
    HtlcOrigin::Forwarded { outbound }
}
