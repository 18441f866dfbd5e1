//! [`Channel`]: both sides of one channel of the matrix, and every commitment that either had.
//!
//! It is seen from the node: its side is the local one. Everything that the node would hear of is
//! returned as the update that its monitor takes.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, Transaction};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, CommitmentTx, InMemorySigner, OutputKind, build_commitment,
    funding_script, funding_witness, point_of, sign_commitment,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, ChannelParameters, CommitmentFormat,
    CommitmentNumber, FeeRatePerKw, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcOrigin,
    HtlcRemoved, Intent, LocalCommitment, MonitorUpdate, NewChannel, PartIndex, PaymentPreimage,
    RemoteCommitment, RemovalReason, Side, SigningKey, ToSelfDelay, UnsignedCommitment, UpdateId,
    UpdateStep,
};

use crate::channel::mirror;
use crate::error::{SimError, Trying as _};

/// What every channel of the matrix is worth.
pub(super) const FUNDING: Amount = Amount::from_sat(1_000_000);
/// Outputs below it do not exist.
const DUST_LIMIT: Amount = Amount::from_sat(354);
/// The delay on the node's outputs, and on the peer's.
const DELAYS: [u16; 2] = [6, 8];
const FEERATE: FeeRatePerKw = FeeRatePerKw(1_000);

/// An HTLC by who offered it, and its id.
pub(super) type Name = (Side, u64);

/// An HTLC before anybody looks at it.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) preimage: PaymentPreimage,
    pub(super) amount: Amount,
    pub(super) expiry: u32,
    /// The payment that it carries, if the node offers it.
    pub(super) intent: Option<Intent>,
}

/// One commitment of one side.
#[derive(Debug, Clone)]
pub(super) struct Commitment {
    unsigned: UnsignedCommitment,
    htlcs: Vec<Name>,
    /// Signed by both.
    pub(super) transaction: Transaction,
    /// What its outputs are, seen from the node.
    pub(super) built: CommitmentTx,
    /// The other side's signature.
    signature: Signature,
    /// The other side's signatures on its HTLC transactions, in their order.
    pub(super) htlc_signatures: Vec<Signature>,
}

/// One of a channel's commitments: whose, and its number.
pub(super) type Which = (Side, usize);

/// The channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) parameters: ChannelParameters,
    signers: [InMemorySigner; 2],
    keys: [ChannelKeys; 2],
    commitments: [Vec<Commitment>; 2],
    pub(super) offers: BTreeMap<Name, Offer>,
    next_id: [u64; 2],
    /// The HTLCs of which the node has heard.
    known: BTreeSet<Name>,
    latest: UpdateId,
}

/// Returns the place of a side in a pair.
const fn at(side: Side) -> usize {
    match side {
        Side::Local => 0,
        Side::Remote => 1,
    }
}

/// Returns the keys of one side of a channel.
pub(super) fn keys_of(side: Side, channel_id: ChannelId) -> ChannelKeys {
    let seed = match side {
        Side::Local => [0x51; 32],
        Side::Remote => [0x52; 32],
    };
    ChannelKeys::derive(&seed, &channel_id.0)
}

fn signers_of(channel_id: ChannelId) -> [InMemorySigner; 2] {
    [Side::Local, Side::Remote].map(|side| {
        let mut signer = InMemorySigner::new();
        signer.insert(channel_id, keys_of(side, channel_id));
        signer
    })
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        Self {
            parameters: self.parameters.clone(),
            signers: signers_of(self.parameters.channel_id),
            keys: self.keys.clone(),
            commitments: self.commitments.clone(),
            offers: self.offers.clone(),
            next_id: self.next_id,
            known: self.known.clone(),
            latest: self.latest,
        }
    }
}

/// Returns the script of a channel's funding output.
pub(super) fn script_of(channel_id: ChannelId) -> bitcoin::ScriptBuf {
    let [ours, theirs] =
        [Side::Local, Side::Remote].map(|side| side_of(side, channel_id).funding_pubkey);
    funding_script(&ours, &theirs).to_p2wsh()
}

fn side_of(side: Side, channel_id: ChannelId) -> lastword_types::ChannelSide {
    keys_of(side, channel_id).side(DUST_LIMIT, ToSelfDelay(DELAYS[at(side)]))
}

impl Channel {
    /// Makes a channel on a funding output, half of it on each side, and what the node begins with.
    pub(super) fn new(
        channel_id: ChannelId,
        format: CommitmentFormat,
        funding_outpoint: OutPoint,
        birth: BlockRef,
    ) -> Result<(Self, NewChannel), SimError> {
        let sides = [Side::Local, Side::Remote];
        let parameters = ChannelParameters {
            channel_id,
            funding_outpoint,
            funding_amount: FUNDING,
            format,
            opener: Side::Local,
            local: side_of(Side::Local, channel_id),
            remote: side_of(Side::Remote, channel_id),
        };
        let mut channel = Self {
            parameters: parameters.clone(),
            signers: signers_of(channel_id),
            keys: sides.map(|side| keys_of(side, channel_id)),
            commitments: [Vec::new(), Vec::new()],
            offers: BTreeMap::new(),
            next_id: [0, 0],
            known: BTreeSet::new(),
            latest: UpdateId::ZERO,
        };
        let half = AmountMsat(FUNDING.to_sat() * 500);
        for owner in sides {
            let unsigned = UnsignedCommitment {
                number: CommitmentNumber::ZERO,
                per_commitment_point: channel.point(owner, CommitmentNumber::ZERO)?,
                feerate_per_kw: FEERATE,
                to_local_msat: half,
                to_remote_msat: half,
            };
            channel.keep(owner, unsigned, Vec::new())?;
        }
        let new = NewChannel {
            parameters,
            local: channel.local_commitment(&[], &[])?,
            remote: channel.remote_commitment(&[], &[])?,
            birth,
        };
        Ok((channel, new))
    }

    /// Names an HTLC that stands nowhere yet.
    pub(super) fn draft(&mut self, offerer: Side, offer: Offer) -> Name {
        let name = (offerer, self.next_id[at(offerer)]);
        self.next_id[at(offerer)] += 1;
        self.offers.insert(name, offer);
        name
    }

    /// Returns the id that the next HTLC of a side gets.
    pub(super) fn next_id(&self, offerer: Side) -> HtlcId {
        HtlcId(self.next_id[at(offerer)])
    }

    /// Has the other side sign the next commitment of `owner`.
    pub(super) fn sign(
        &mut self,
        owner: Side,
        added: &[Name],
        removed: &[(Name, RemovalReason)],
    ) -> Result<MonitorUpdate, SimError> {
        let newest = self.newest(owner)?;
        let mut htlcs = newest.htlcs.clone();
        let mut unsigned = newest.unsigned.clone();
        let msat = |name: &Name| self.offers.get(name).map_or(0, |it| it.amount.to_sat() * 1_000);
        let (mine, others) = (&mut unsigned.to_local_msat.0, &mut unsigned.to_remote_msat.0);
        for (name, reason) in removed {
            htlcs.retain(|it| it != name);
            let goes_back = matches!(reason, RemovalReason::Failed { .. });
            *if (name.0 == owner) == goes_back { &mut *mine } else { &mut *others } += msat(name);
        }
        for name in added {
            htlcs.push(*name);
            *if name.0 == owner { &mut *mine } else { &mut *others } -= msat(name);
        }
        unsigned.number = unsigned.number.next().ok_or(unknown())?;
        unsigned.per_commitment_point = self.point(owner, unsigned.number)?;
        self.keep(owner, unsigned, htlcs)?;
        let step = match owner {
            Side::Local => UpdateStep::LocalCommitment(self.local_commitment(added, removed)?),
            Side::Remote => UpdateStep::RemoteCommitment(self.remote_commitment(added, removed)?),
        };
        self.known.extend(added);
        self.update(step)
    }

    /// Has the peer revoke its previous commitment. What the node revokes is nobody's update.
    pub(super) fn revoke(&mut self) -> Result<MonitorUpdate, SimError> {
        let newest = self.newest(Side::Remote)?.unsigned.number;
        let number = newest.previous().ok_or(unknown())?;
        let secret = self.keys[at(Side::Remote)].per_commitment_secret(number);
        self.update(UpdateStep::RemoteRevocation { number, secret })
    }

    /// Numbers the node's next update.
    pub(super) fn update(&mut self, step: UpdateStep) -> Result<MonitorUpdate, SimError> {
        self.latest = self.latest.next().ok_or(unknown())?;
        let channel_id = self.parameters.channel_id;
        Ok(MonitorUpdate { channel_id, update_id: self.latest, steps: vec![step] })
    }

    /// Returns the node's last update.
    pub(super) fn latest(&self) -> UpdateId {
        self.latest
    }

    /// Makes the node one that has lost every update after this one.
    pub(super) fn forget_after(&mut self, latest: UpdateId) {
        self.latest = latest;
    }

    /// Returns the number of a side's newest commitment.
    pub(super) fn newest_number(&self, owner: Side) -> usize {
        self.commitments[at(owner)].len().saturating_sub(1)
    }

    /// Returns a side's balance in its newest commitment.
    pub(super) fn balance(&self, owner: Side) -> Result<AmountMsat, SimError> {
        Ok(self.newest(owner)?.unsigned.to_local_msat)
    }

    pub(super) fn commitment(&self, (owner, number): Which) -> Result<&Commitment, SimError> {
        self.commitments[at(owner)].get(number).ok_or(unknown())
    }

    /// Returns the output of an HTLC in a commitment.
    pub(super) fn output(&self, which: Which, name: Name) -> Option<OutPoint> {
        let built = &self.commitment(which).ok()?.built;
        let wanted = seen(name);
        let vout = built.outputs.iter().position(|output| match output.kind {
            OutputKind::Htlc { direction, htlc_id, .. } => (direction, htlc_id) == wanted,
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => false,
        })?;
        Some(OutPoint { txid: built.txid(), vout: u32::try_from(vout).ok()? })
    }

    /// Returns the commitment that a txid names.
    pub(super) fn find(&self, txid: bitcoin::Txid) -> Option<Which> {
        let numbers = |owner: Side| (0..self.commitments[at(owner)].len()).map(move |n| (owner, n));
        let all = numbers(Side::Local).chain(numbers(Side::Remote));
        all.into_iter().find(|it| self.commitment(*it).is_ok_and(|it| it.built.txid() == txid))
    }

    /// Signs with the keys of one side.
    pub(super) fn signature(
        &mut self,
        side: Side,
        request: &SigningRequest<'_>,
    ) -> Result<Signature, SimError> {
        self.signers[at(side)].sign(request).trying("sign for a channel of the matrix")
    }

    /// Fills in the witness of the funding input.
    pub(super) fn sign_funding(&mut self, transaction: &mut Transaction) -> Result<(), SimError> {
        let [ours, theirs] =
            [self.parameters.local.funding_pubkey, self.parameters.remote.funding_pubkey];
        let script = funding_script(&ours, &theirs);
        let channel_id = self.parameters.channel_id;
        let mut sign = |side: Side| {
            let request = SigningRequest {
                channel_id,
                key: SigningKey::Funding,
                transaction,
                input: 0,
                amount: FUNDING,
                script: &script,
                sighash: EcdsaSighashType::All,
            };
            self.signers[at(side)].sign(&request).trying("sign a spend of the funding output")
        };
        let (own, other) = (sign(Side::Local)?, sign(Side::Remote)?);
        let input = transaction.input.first_mut().ok_or(unknown())?;
        input.witness = funding_witness(&script, &own, &ours, &other, &theirs);
        Ok(())
    }

    fn newest(&self, owner: Side) -> Result<&Commitment, SimError> {
        self.commitments[at(owner)].last().ok_or(unknown())
    }

    fn point(&self, side: Side, number: CommitmentNumber) -> Result<PublicKey, SimError> {
        point_of(&self.keys[at(side)].per_commitment_secret(number)).trying("derive a point")
    }

    /// Builds and signs a commitment, and keeps it as the newest of its owner.
    fn keep(
        &mut self,
        owner: Side,
        unsigned: UnsignedCommitment,
        htlcs: Vec<Name>,
    ) -> Result<(), SimError> {
        let built = self.build(&self.parameters, owner, &unsigned, &htlcs)?;
        // Who signs sees the owner as the other side.
        let (signer, view) = match owner {
            Side::Local => (Side::Remote, mirror(&self.parameters)),
            Side::Remote => (Side::Local, self.parameters.clone()),
        };
        let other = self.build(&view, Side::Remote, &unsigned, &htlcs)?;
        let (signature, htlc_signatures) =
            sign_commitment(&mut self.signers[at(signer)], &view, &other)
                .trying("sign a commitment")?;
        let mut transaction = built.transaction.clone();
        self.sign_funding(&mut transaction)?;
        let kept = Commitment { unsigned, htlcs, transaction, built, signature, htlc_signatures };
        self.commitments[at(owner)].push(kept);
        Ok(())
    }

    fn build(
        &self,
        parameters: &ChannelParameters,
        owner: Side,
        commitment: &UnsignedCommitment,
        htlcs: &[Name],
    ) -> Result<CommitmentTx, SimError> {
        let is_node = parameters.local.funding_pubkey == self.parameters.local.funding_pubkey;
        let htlcs: Vec<Htlc> = htlcs.iter().filter_map(|name| self.htlc(*name)).collect();
        let seen = htlcs.into_iter().map(|mut htlc| {
            if !is_node {
                htlc.direction = match htlc.direction {
                    HtlcDirection::Offered => HtlcDirection::Received,
                    HtlcDirection::Received => HtlcDirection::Offered,
                };
            }
            htlc
        });
        let seen: Vec<Htlc> = seen.collect();
        let htlcs: Vec<&Htlc> = seen.iter().collect();
        build_commitment(&CommitmentInput { parameters, owner, commitment, htlcs: &htlcs })
            .trying("build a commitment")
    }

    /// Returns the HTLC as the node sees it.
    fn htlc(&self, name: Name) -> Option<Htlc> {
        let offer = self.offers.get(&name)?;
        let (direction, htlc_id) = seen(name);
        let origin = offer.intent.as_ref().and_then(|intent| intent.origin(PartIndex(0)));
        Some(Htlc {
            direction,
            htlc_id,
            amount_msat: AmountMsat(offer.amount.to_sat() * 1_000),
            payment_hash: offer.preimage.payment_hash(),
            cltv_expiry: BlockHeight(offer.expiry),
            origin: origin.unwrap_or(HtlcOrigin::Ours),
        })
    }

    fn added(&self, names: &[Name]) -> Vec<HtlcAdded> {
        let added = names.iter().filter_map(|name| {
            if self.known.contains(name) {
                let (direction, htlc_id) = seen(*name);
                return Some(HtlcAdded::Known { direction, htlc_id });
            }
            self.htlc(*name).map(HtlcAdded::New)
        });
        added.collect()
    }

    fn local_commitment(
        &self,
        added: &[Name],
        removed: &[(Name, RemovalReason)],
    ) -> Result<LocalCommitment, SimError> {
        let Commitment { unsigned, signature, htlc_signatures, .. } = self.newest(Side::Local)?;
        Ok(LocalCommitment {
            number: unsigned.number,
            per_commitment_point: unsigned.per_commitment_point,
            feerate_per_kw: unsigned.feerate_per_kw,
            to_local_msat: unsigned.to_local_msat,
            to_remote_msat: unsigned.to_remote_msat,
            added: self.added(added),
            removed: removed.iter().map(removal).collect(),
            signature: *signature,
            htlc_signatures: htlc_signatures.clone(),
        })
    }

    fn remote_commitment(
        &self,
        added: &[Name],
        removed: &[(Name, RemovalReason)],
    ) -> Result<RemoteCommitment, SimError> {
        let unsigned = &self.newest(Side::Remote)?.unsigned;
        Ok(RemoteCommitment {
            number: unsigned.number,
            per_commitment_point: unsigned.per_commitment_point,
            feerate_per_kw: unsigned.feerate_per_kw,
            to_local_msat: unsigned.to_local_msat,
            to_remote_msat: unsigned.to_remote_msat,
            added: self.added(added),
            removed: removed.iter().map(removal).collect(),
        })
    }
}

/// Returns how the node names an HTLC.
pub(super) fn seen((offerer, id): Name) -> (HtlcDirection, HtlcId) {
    let direction = match offerer {
        Side::Local => HtlcDirection::Offered,
        Side::Remote => HtlcDirection::Received,
    };
    (direction, HtlcId(id))
}

fn removal((name, reason): &(Name, RemovalReason)) -> HtlcRemoved {
    let (direction, htlc_id) = seen(*name);
    HtlcRemoved { direction, htlc_id, reason: *reason }
}

fn unknown() -> SimError {
    SimError::new("the channel of the matrix has no such commitment")
}
