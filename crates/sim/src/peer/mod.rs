//! [`Peer`]: the other half of every channel. It knows the protocol's transactions and is not
//! limited to honest behaviour.
//!
//! It holds its own keys, its own per-commitment secrets and its own copy of both commitments, and
//! looks at each channel from its own end: in its parameters it is the local side. It never
//! crashes, so what it remembers is the truth that the node is measured by.

mod chain;
mod dance;
mod splice;
mod truth;

pub(crate) use chain::Place;
pub(crate) use truth::shows_preimage;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use lastword_bolt3::{
    ChannelKeys, CommitmentTx, InMemorySigner, funding_script, funding_witness, sign_commitment,
    verify_commitment,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelParameters, ChannelSide, CommitmentNumber, Htlc, HtlcDirection,
    HtlcId, PaymentHash, PaymentPreimage, Side, SigningKey, ToSelfDelay, UnsignedCommitment,
};

use crate::channel::{COMMITMENT_FEERATE, PEER_DUST_LIMIT, Whole, closing, mirror};
use crate::error::{SimError, Trying as _};
use crate::messages::{ChannelSpec, PeerReply, PeerRequest, Proposal, Revoked, WireHtlc, WireSide};
use crate::seed::{Seed, Wallet};

/// What the peer does with an HTLC that the node offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It sends the preimage (BOLT 2, `update_fulfill_htlc`).
    FulfillByMessage,
    /// It sends a failure (BOLT 2, `update_fail_htlc`).
    FailByMessage {
        /// The failure code.
        code: u16,
    },
    /// It claims on chain, once the channel is closed and the tip is at least this high.
    ClaimOnChain {
        /// From this tip on.
        from: BlockHeight,
    },
    /// It does nothing.
    Ignore,
}

/// Which of its commitments the peer broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest that the node signed.
    Current,
    /// The one before, which it has not revoked.
    Previous,
    /// One that it has revoked: so many before the newest.
    Revoked {
        /// How many came after it.
        newer: u16,
    },
}

/// A commitment with its HTLCs, from the peer's view.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    commitment: UnsignedCommitment,
    htlcs: Vec<Htlc>,
    /// The transaction of both, built once.
    built: CommitmentTx,
}

impl Held {
    fn new(
        parameters: &ChannelParameters,
        owner: Side,
        commitment: UnsignedCommitment,
        htlcs: Vec<Htlc>,
    ) -> Result<Self, SimError> {
        let whole: Vec<&Htlc> = htlcs.iter().collect();
        let whole = Whole { parameters, owner, commitment: &commitment, htlcs: &whole };
        let built = whole.build()?;
        Ok(Self { commitment, htlcs, built })
    }

    fn verify(
        &self,
        parameters: &ChannelParameters,
        signature: &Signature,
        htlc_signatures: &[Signature],
    ) -> Result<(), SimError> {
        verify_commitment(parameters, &self.built, signature, htlc_signatures)
            .trying("verify a commitment")
    }
}

/// A commitment of the peer, signed by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OwnCommitment {
    held: Held,
    signature: Signature,
    htlc_signatures: Vec<Signature>,
}

/// One channel, from the peer's view.
#[derive(Debug)]
struct PeerChannel {
    parameters: ChannelParameters,
    /// The peer's commitments, by number; the first one waits for the node's signature.
    own: Vec<OwnCommitment>,
    first: Held,
    opened: PeerReply,
    /// The node's commitments, by number.
    theirs: Vec<Held>,
    /// The answers to the node's commits, by the number of the peer's commitment.
    answers: BTreeMap<u64, Revoked>,
    /// How many of the peer's commitments are revoked.
    revoked_count: u64,
    /// How many of the node's commitments are revoked.
    node_revoked_count: u64,
    /// What was proposed for the node's commitment of this number.
    proposal: Option<(u64, Option<Proposal>)>,
    /// HTLCs that the peer is about to offer.
    offers: Vec<WireHtlc>,
    next_offer_id: u64,
    /// Whether the peer keeps its next revocation for itself.
    withholds: bool,
    closing: Option<Transaction>,
    /// Fundings that are not locked.
    splices: Vec<splice::Splice>,
    /// What there was on others.
    past: splice::Past,
}

/// The peer.
#[derive(Debug)]
pub struct Peer {
    seed: Seed,
    signer: InMemorySigner,
    channels: BTreeMap<u16, PeerChannel>,
    fates: BTreeMap<(u16, PaymentHash), Fate>,
    preimages: BTreeMap<PaymentHash, PaymentPreimage>,
    /// What it opened in a transaction that it offered to the network, confirmed or not.
    shown: BTreeSet<PaymentHash>,
    /// Added to the fee of claims, so that the same claim can be made by another transaction.
    fee_bump: u64,
}

impl Peer {
    /// Makes the peer of a run.
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            signer: InMemorySigner::new(),
            channels: BTreeMap::new(),
            fates: BTreeMap::new(),
            preimages: BTreeMap::new(),
            shown: BTreeSet::new(),
            fee_bump: 0,
        }
    }

    /// Tells the peer a preimage; knowing it, it may claim what its script lets it claim.
    pub fn learn(&mut self, preimage: PaymentPreimage) {
        self.preimages.insert(preimage.payment_hash(), preimage);
    }

    /// Decides what the peer does with the HTLC of this hash in a channel.
    pub fn decide(&mut self, channel: u16, payment_hash: PaymentHash, fate: Fate) {
        self.fates.insert((channel, payment_hash), fate);
    }

    /// Makes the peer offer an HTLC the next time it is asked for a proposal.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the channel does not exist.
    pub fn offer(
        &mut self,
        channel: u16,
        amount_msat: AmountMsat,
        payment_hash: PaymentHash,
        cltv_expiry: BlockHeight,
    ) -> Result<(), SimError> {
        let channel = self.channel_mut(channel)?;
        let htlc_id = HtlcId(channel.next_offer_id);
        channel.next_offer_id += 1;
        channel.offers.push(WireHtlc {
            offered_by: WireSide::Peer,
            htlc_id,
            amount_msat,
            payment_hash,
            cltv_expiry,
        });
        Ok(())
    }

    /// Makes the peer keep its revocations in a channel for itself from now on: the node's last
    /// signature is taken and nothing is answered.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the channel does not exist.
    pub fn withhold(&mut self, channel: u16) -> Result<(), SimError> {
        self.channel_mut(channel)?.withholds = true;
        Ok(())
    }

    /// Makes the peer build its claims differently from now on, with another fee.
    pub fn bump(&mut self) {
        self.fee_bump += 1;
    }

    /// Returns a channel as the node sees it.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the channel does not exist.
    pub fn parameters(&self, channel: u16) -> Result<ChannelParameters, SimError> {
        Ok(mirror(&self.channel(channel)?.parameters))
    }

    /// Returns the channels, by number.
    pub fn channels(&self) -> impl Iterator<Item = u16> + '_ {
        self.channels.keys().copied()
    }

    /// Returns the peer's signed commitment transaction, ready to be broadcast.
    ///
    /// # Errors
    ///
    /// [`SimError`] if there is no such commitment.
    pub fn commitment(&mut self, channel: u16, which: Which) -> Result<Transaction, SimError> {
        let Self { channels, signer, .. } = self;
        let channel = channels.get(&channel).ok_or(unknown())?;
        let newest = channel.own.len().checked_sub(1).ok_or(unknown())?;
        let index = match which {
            Which::Current => newest,
            Which::Previous => newest.checked_sub(1).ok_or(unknown())?,
            Which::Revoked { newer } => {
                let index = newest.checked_sub(usize::from(newer)).ok_or(unknown())?;
                if u64::try_from(index).trying("count commitments")? >= channel.revoked_count {
                    return Err(SimError::new("the peer has not revoked this commitment"));
                }
                index
            }
        };
        let own = &channel.own[index];
        let mut transaction = own.held.built.transaction.clone();
        let parameters = channel.spent_by(&transaction).ok_or(unknown())?;
        sign_funding(signer, parameters, &mut transaction, &own.signature)?;
        Ok(transaction)
    }

    /// Answers the node.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the request makes no sense; nothing changed.
    pub fn answer(&mut self, request: &PeerRequest) -> Result<PeerReply, SimError> {
        match request {
            // The funding must exist before the peer can answer; see `open`.
            PeerRequest::Open { channel, .. } => Ok(self.channel(*channel)?.opened.clone()),
            PeerRequest::Funded { channel, signature } => self.funded(*channel, signature),
            PeerRequest::Status { channel } => self.status(*channel),
            PeerRequest::Commit(commit) => self.commit(commit),
            PeerRequest::Propose { channel, number, point } => {
                self.propose(*channel, *number, point)
            }
            PeerRequest::Revoke { channel, number, secret } => {
                self.revoke(*channel, *number, secret)
            }
            PeerRequest::Close { channel, destination, signature } => {
                self.close(*channel, destination, signature)
            }
            PeerRequest::Splice { channel, attempt, funding_pubkey } => {
                self.splice(*channel, *attempt, *funding_pubkey)
            }
            PeerRequest::SpliceSigned(signed) => self.splice_signed(signed),
            PeerRequest::SpliceLocked { channel, funding_txid } => {
                self.splice_locked(*channel, *funding_txid)
            }
        }
    }

    /// Returns the funding script of a channel that the node wants to open, or `None` if it is
    /// open already.
    pub(crate) fn funding_script(&self, channel: u16, node: &ChannelSide) -> Option<ScriptBuf> {
        (!self.channels.contains_key(&channel)).then(|| {
            let own = self.keys(channel).side(PEER_DUST_LIMIT, ToSelfDelay(0));
            funding_script(&own.funding_pubkey, &node.funding_pubkey).to_p2wsh()
        })
    }

    /// Opens a channel on a funding output (BOLT 2, `accept_channel` and `funding_signed`).
    pub(crate) fn open(&mut self, channel: u16, opening: &Opening<'_>) -> Result<(), SimError> {
        let Opening { spec, node, first_point, funding_outpoint } = *opening;
        let channel_id = self.seed.channel_id(channel);
        let keys = self.keys(channel);
        let total = spec.local_msat.checked_add(spec.remote_msat).ok_or(unknown())?;
        let parameters = ChannelParameters {
            channel_id,
            funding_outpoint,
            funding_amount: total.to_sat_floor(),
            format: spec.format,
            opener: spec.opener.other(),
            local: keys.side(PEER_DUST_LIMIT, ToSelfDelay(spec.to_self_delay)),
            remote: node.clone(),
        };
        self.signer.insert(channel_id, keys);
        let own_point = self.point(channel_id, 0)?;
        let first = |owner, point, to_local_msat, to_remote_msat| {
            let commitment = UnsignedCommitment {
                number: CommitmentNumber::ZERO,
                per_commitment_point: point,
                feerate_per_kw: COMMITMENT_FEERATE,
                to_local_msat,
                to_remote_msat,
            };
            Held::new(&parameters, owner, commitment, Vec::new())
        };
        let own = first(Side::Local, own_point, spec.remote_msat, spec.local_msat)?;
        let theirs = first(Side::Remote, first_point, spec.local_msat, spec.remote_msat)?;
        let (signature, _) = sign_commitment(&mut self.signer, &parameters, &theirs.built)
            .trying("sign a commitment")?;
        let opened = PeerReply::Opened {
            parameters: Box::new(mirror(&parameters)),
            first_point: own_point,
            signature,
        };
        let opened = PeerChannel {
            parameters,
            own: Vec::new(),
            first: own,
            opened,
            theirs: vec![theirs],
            answers: BTreeMap::new(),
            revoked_count: 0,
            node_revoked_count: 0,
            proposal: None,
            offers: Vec::new(),
            next_offer_id: 0,
            withholds: false,
            closing: None,
            splices: Vec::new(),
            past: splice::Past::default(),
        };
        self.channels.insert(channel, opened);
        Ok(())
    }

    fn funded(&mut self, channel: u16, signature: &Signature) -> Result<PeerReply, SimError> {
        let channel = self.channel_mut(channel)?;
        channel.verify(&channel.first, signature, &[])?;
        if channel.own.is_empty() {
            channel.own.push(OwnCommitment {
                held: channel.first.clone(),
                signature: *signature,
                htlc_signatures: Vec::new(),
            });
        }
        Ok(PeerReply::Done)
    }

    fn status(&mut self, index: u16) -> Result<PeerReply, SimError> {
        let channel = self.channel(index)?;
        let number = u64::try_from(channel.own.len()).trying("count commitments")?;
        // Ids rise with every HTLC that a commitment ever held.
        let next_htlc_id = channel
            .own
            .iter()
            .flat_map(|own| &own.held.htlcs)
            .filter(|htlc| htlc.direction == HtlcDirection::Received)
            .map(|htlc| htlc.htlc_id.0 + 1)
            .max()
            .unwrap_or(0);
        let channel_id = channel.parameters.channel_id;
        Ok(PeerReply::Status {
            next_point: self.point(channel_id, number)?,
            next_htlc_id: HtlcId(next_htlc_id),
            destination: self.destination(),
        })
    }

    fn close(
        &mut self,
        channel: u16,
        destination: &ScriptBuf,
        signature: &Signature,
    ) -> Result<PeerReply, SimError> {
        let own_destination = self.destination();
        let Self { channels, signer, .. } = self;
        let channel = channels.get_mut(&channel).ok_or(unknown())?;
        let newest = channel.newest_own().ok_or(unknown())?;
        if !newest.held.htlcs.is_empty() {
            return Err(SimError::new("a channel with HTLCs cannot be closed together"));
        }
        let Held { commitment, .. } = &newest.held;
        let mut transaction = closing(
            &channel.parameters,
            (commitment.to_local_msat, own_destination),
            (commitment.to_remote_msat, destination.clone()),
        )?;
        // The wrong signature is found by the chain, as any other.
        sign_funding(signer, &channel.parameters, &mut transaction, signature)?;
        channel.closing = Some(transaction);
        Ok(PeerReply::Done)
    }

    /// Returns the closing transaction that both have signed.
    pub fn closing_transaction(&self, channel: u16) -> Option<&Transaction> {
        self.channels.get(&channel)?.closing.as_ref()
    }

    fn destination(&self) -> ScriptBuf {
        self.seed.wallet(Wallet::Peer).script
    }

    fn keys(&self, channel: u16) -> ChannelKeys {
        ChannelKeys::derive(&self.seed.bytes("peer", 0), &self.seed.channel_id(channel).0)
    }

    fn point(
        &mut self,
        channel_id: lastword_types::ChannelId,
        number: u64,
    ) -> Result<PublicKey, SimError> {
        let number = CommitmentNumber::new(number).ok_or(unknown())?;
        self.signer.per_commitment_point(channel_id, number).trying("derive a point")
    }

    fn channel(&self, channel: u16) -> Result<&PeerChannel, SimError> {
        self.channels.get(&channel).ok_or(unknown())
    }

    fn channel_mut(&mut self, channel: u16) -> Result<&mut PeerChannel, SimError> {
        self.channels.get_mut(&channel).ok_or(unknown())
    }
}

/// What the peer needs to know to open a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) spec: &'a ChannelSpec,
    pub(crate) node: &'a ChannelSide,
    pub(crate) first_point: PublicKey,
    pub(crate) funding_outpoint: OutPoint,
}

impl PeerChannel {
    fn newest_own(&self) -> Option<&OwnCommitment> {
        self.own.last()
    }

    fn verify(
        &self,
        held: &Held,
        signature: &Signature,
        htlc_signatures: &[Signature],
    ) -> Result<(), SimError> {
        held.verify(&self.parameters, signature, htlc_signatures)
    }
}

/// Adds our signature to the other side's and completes the witness of the funding input.
fn sign_funding(
    signer: &mut InMemorySigner,
    parameters: &ChannelParameters,
    transaction: &mut Transaction,
    remote_signature: &Signature,
) -> Result<(), SimError> {
    let (local, remote) = (&parameters.local.funding_pubkey, &parameters.remote.funding_pubkey);
    let script = funding_script(local, remote);
    let signature = signer
        .sign(&SigningRequest {
            channel_id: parameters.channel_id,
            key: SigningKey::Funding,
            transaction,
            input: 0,
            amount: parameters.funding_amount,
            script: &script,
            sighash: bitcoin::EcdsaSighashType::All,
        })
        .trying("sign the spend of a funding output")?;
    transaction.input[0].witness =
        funding_witness(&script, &signature, local, remote_signature, remote);
    Ok(())
}

fn unknown() -> SimError {
    SimError::new("the peer has no such channel or commitment")
}
