//! A channel between two nodes, each with keys, a signer and a monitor, and every commitment that
//! either of them ever had.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, BlockHash, EcdsaSighashType, OutPoint, Transaction, Txid};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, CommitmentTx, InMemorySigner, OutputKind, build_commitment,
    funding_script, funding_witness, point_of, sign_commitment,
};
use lastword_monitor::Monitor;
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, ChannelParameters, CommitmentFormat,
    CommitmentNumber, Effect, FeeRatePerKw, ForwardOrigin, Generation, Htlc, HtlcAdded,
    HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, HtlcRemoved, LocalCommitment, LocalCommitmentOn,
    Metadata, MonitorRecord, MonitorUpdate, NewChannel, PartIndex, PaymentId, PaymentOrigin,
    PaymentPreimage, RemoteCommitment, RemoteCommitmentOn, RemovalReason, Side, SigningKey, Terms,
    ToSelfDelay, UnsignedCommitment, UpdateId, UpdateStep,
};

pub(crate) const CHANNEL: ChannelId = ChannelId([7; 32]);
pub(crate) const BIRTH: u32 = 100;
/// All HTLCs of a test expire at or after this height.
pub(crate) const EXPIRY: u32 = 500;
/// The delay on our outputs, and on the peer's.
pub(crate) const DELAYS: [u16; 2] = [144, 100];

/// The inbound half of every forward of a test.
const INBOUND: HtlcKey = HtlcKey {
    channel_id: ChannelId([3; 32]),
    direction: HtlcDirection::Received,
    htlc_id: HtlcId(9),
};

/// One of the two nodes: 0 is the one under test, 1 is the peer.
pub(crate) type Node = usize;
pub(crate) const US: Node = 0;
pub(crate) const PEER: Node = 1;

/// An HTLC by who offered it and its id.
pub(crate) type Name = (Node, u64);

/// An HTLC before anybody looks at it.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) preimage: PaymentPreimage,
    pub(crate) amount_msat: u64,
    pub(crate) expiry: u32,
}

/// One commitment of one node.
#[derive(Debug, Clone)]
pub(crate) struct Commitment {
    pub(crate) unsigned: UnsignedCommitment,
    pub(crate) htlcs: Vec<Name>,
    pub(crate) transaction: Transaction,
}

pub(crate) struct Member {
    pub(crate) monitor: Monitor,
    pub(crate) signer: InMemorySigner,
    pub(crate) keys: ChannelKeys,
    pub(crate) parameters: ChannelParameters,
    /// Every commitment that it ever had, fully signed.
    pub(crate) commitments: Vec<Commitment>,
}

pub(crate) struct Channel {
    pub(crate) nodes: [Member; 2],
    pub(crate) offers: BTreeMap<Name, Offer>,
    next_id: [u64; 2],
    /// The HTLCs of the node under test that are outbound halves, by the expiry of the inbound one.
    pub(crate) forwards: BTreeMap<Name, u32>,
    /// Every record that the monitor under test took.
    pub(crate) records: Vec<MonitorRecord>,
    /// The fundings besides the locked one, in the order of their making.
    pub(crate) beside: Vec<Beside>,
}

/// A funding besides the locked one.
pub(crate) struct Beside {
    /// The channel on it, as each node sees it.
    pub(crate) parameters: [ChannelParameters; 2],
    /// Every commitment on it, of each node, fully signed.
    pub(crate) commitments: [Vec<Commitment>; 2],
    /// Its funding transaction.
    pub(crate) transaction: Transaction,
    pub(crate) is_retired: bool,
}

fn keys_of(node: Node) -> ChannelKeys {
    let seed = [1 + u8::try_from(node).unwrap(); 32];
    ChannelKeys::derive(&seed, &[9; 32])
}

fn signer_of(node: Node) -> InMemorySigner {
    let mut signer = InMemorySigner::new();
    signer.insert(CHANNEL, keys_of(node));
    signer
}

fn point(node: Node, number: CommitmentNumber) -> PublicKey {
    point_of(&keys_of(node).per_commitment_secret(number)).unwrap()
}

/// The channel as a node sees it.
fn parameters(node: Node, format: CommitmentFormat) -> ChannelParameters {
    let side = |node: Node| keys_of(node).side(Amount::from_sat(546), ToSelfDelay(DELAYS[node]));
    ChannelParameters {
        channel_id: CHANNEL,
        funding_outpoint: OutPoint { txid: Txid::from_byte_array([5; 32]), vout: 1 },
        funding_amount: Amount::from_sat(1_000_000),
        format,
        opener: if node == US { Side::Local } else { Side::Remote },
        local: side(node),
        remote: side(1 - node),
    }
}

pub(crate) const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];

pub(crate) fn preimage(n: u8) -> PaymentPreimage {
    PaymentPreimage([n; 32])
}

pub(crate) fn offer(n: u8, amount_sat: u64) -> Offer {
    Offer { preimage: preimage(n), amount_msat: amount_sat * 1000, expiry: EXPIRY }
}

pub(crate) fn block(height: u32, branch: u8) -> BlockRef {
    let mut hash = [branch; 32];
    hash[..4].copy_from_slice(&height.to_le_bytes());
    BlockRef { height: BlockHeight(height), hash: BlockHash::from_byte_array(hash) }
}

pub(crate) fn fulfilled(n: u8) -> RemovalReason {
    RemovalReason::Fulfilled { preimage: preimage(n) }
}

pub(crate) const FAILED: RemovalReason = RemovalReason::Failed { code: 0x400f };

impl Channel {
    pub(crate) fn new(format: CommitmentFormat) -> Self {
        let first = [US, PEER].map(|owner| UnsignedCommitment {
            number: CommitmentNumber::ZERO,
            per_commitment_point: point(owner, CommitmentNumber::ZERO),
            feerate_per_kw: FeeRatePerKw(1000),
            to_local_msat: AmountMsat(500_000_000),
            to_remote_msat: AmountMsat(500_000_000),
        });
        let signed = [US, PEER].map(|owner| {
            let parameters = parameters(1 - owner, format);
            let built = build(&parameters, Side::Remote, &first[owner], &[]);
            let mut signer = signer_of(1 - owner);
            let (signature, _) = sign_commitment(&mut signer, &parameters, &built).unwrap();
            (signature, built.transaction)
        });
        let new = [US, PEER].map(|node| NewChannel {
            parameters: parameters(node, format),
            local: local_commitment(&first[node], signed[node].0),
            remote: remote_commitment(&first[1 - node]),
            birth: block(BIRTH, 0),
        });
        let records = vec![MonitorRecord::Created(Box::new(new[US].clone()))];
        let nodes = [US, PEER].map(|node| Member {
            monitor: Monitor::create(new[node].clone()).unwrap(),
            signer: signer_of(node),
            keys: keys_of(node),
            parameters: parameters(node, format),
            commitments: Vec::new(),
        });
        let (offers, forwards) = (BTreeMap::new(), BTreeMap::new());
        let beside = Vec::new();
        let mut channel = Self { nodes, offers, next_id: [0, 0], forwards, records, beside };
        for ((owner, unsigned), (signature, transaction)) in
            [US, PEER].into_iter().zip(first).zip(signed)
        {
            let commitment = Commitment { unsigned, htlcs: Vec::new(), transaction };
            let parameters = channel.nodes[owner].parameters.clone();
            let commitment = channel.witnessed(owner, &parameters, commitment, signature);
            channel.nodes[owner].commitments.push(commitment);
        }
        channel
    }

    pub(crate) fn monitor(&self) -> &Monitor {
        &self.nodes[US].monitor
    }

    /// Adds an HTLC that stands nowhere yet.
    pub(crate) fn draft(&mut self, offerer: Node, offer: Offer) -> Name {
        let name = (offerer, self.next_id[offerer]);
        self.next_id[offerer] += 1;
        self.offers.insert(name, offer);
        name
    }

    /// Adds the outbound half of a forward, irrevocably committed.
    pub(crate) fn forward(&mut self, offer: Offer, inbound_expiry: u32) -> Name {
        self.forwards.insert((US, self.next_id[US]), inbound_expiry);
        self.add(US, offer)
    }

    /// Adds an HTLC to both sides until it is irrevocably committed.
    pub(crate) fn add(&mut self, offerer: Node, offer: Offer) -> Name {
        let name = self.draft(offerer, offer);
        let receiver = 1 - offerer;
        self.sign(receiver, &[name], &[]);
        self.revoke(receiver);
        self.sign(offerer, &[name], &[]);
        self.revoke(offerer);
        name
    }

    /// Removes an HTLC from both sides until that is irrevocable.
    pub(crate) fn remove(&mut self, name: Name, reason: RemovalReason) {
        let offerer = name.0;
        self.sign(offerer, &[], &[(name, reason)]);
        self.revoke(offerer);
        self.sign(1 - offerer, &[], &[(name, reason)]);
        self.revoke(1 - offerer);
    }

    /// Has the other node sign the next commitment of `owner`, on every funding that has it.
    pub(crate) fn sign(&mut self, owner: Node, added: &[Name], removed: &[(Name, RemovalReason)]) {
        let other = 1 - owner;
        let parameters = [0, 1].map(|node: Node| self.nodes[node].parameters.clone());
        let newest = self.newest(owner).clone();
        let (commitment, signed) = self.signed(owner, &parameters, &newest, (added, removed));
        let unsigned = &commitment.unsigned;
        let (signature, htlc_signatures) = signed;
        let remote = RemoteCommitment {
            added: added.iter().map(|name| self.added(other, *name)).collect(),
            removed: removed.iter().map(|it| removal(other, it)).collect(),
            ..remote_commitment(unsigned)
        };
        let local = LocalCommitment {
            added: added.iter().map(|name| self.added(owner, *name)).collect(),
            removed: removed.iter().map(|it| removal(owner, it)).collect(),
            htlc_signatures,
            ..local_commitment(unsigned, signature)
        };
        let mut theirs = vec![UpdateStep::RemoteCommitment(remote)];
        let mut ours = vec![UpdateStep::LocalCommitment(local)];
        self.nodes[owner].commitments.push(commitment);
        for place in 0..self.beside.len() {
            let beside = &self.beside[place];
            if beside.is_retired {
                continue;
            }
            let funding_txid = beside.transaction.compute_txid();
            let parameters = beside.parameters.clone();
            let newest = beside.commitments[owner].last().unwrap().clone();
            let (commitment, signed) = self.signed(owner, &parameters, &newest, (added, removed));
            theirs.push(UpdateStep::RemoteCommitmentOn {
                funding_txid,
                commitment: remote_on(&commitment.unsigned),
            });
            ours.push(UpdateStep::LocalCommitmentOn {
                funding_txid,
                commitment: local_on(&commitment.unsigned, signed),
            });
            self.beside[place].commitments[owner].push(commitment);
        }
        self.update(other, theirs);
        self.update(owner, ours);
    }

    /// Makes and signs the commitment of `owner` that follows another on one funding.
    pub(crate) fn signed(
        &mut self,
        owner: Node,
        parameters: &[ChannelParameters; 2],
        newest: &Commitment,
        (added, removed): (&[Name], &[(Name, RemovalReason)]),
    ) -> (Commitment, (Signature, Vec<Signature>)) {
        let mut htlcs = newest.htlcs.clone();
        let [mut mine, mut others] =
            [newest.unsigned.to_local_msat.0, newest.unsigned.to_remote_msat.0];
        for (name, reason) in removed {
            htlcs.retain(|it| it != name);
            let to_offerer = matches!(reason, RemovalReason::Failed { .. });
            let to_owner = (name.0 == owner) == to_offerer;
            *if to_owner { &mut mine } else { &mut others } += self.offers[name].amount_msat;
        }
        for name in added {
            htlcs.push(*name);
            *if name.0 == owner { &mut mine } else { &mut others } -= self.offers[name].amount_msat;
        }
        let number = newest.unsigned.number.next().unwrap();
        let unsigned = UnsignedCommitment {
            number,
            per_commitment_point: point(owner, number),
            feerate_per_kw: newest.unsigned.feerate_per_kw,
            to_local_msat: AmountMsat(mine),
            to_remote_msat: AmountMsat(others),
        };
        self.signed_as(owner, parameters, unsigned, htlcs)
    }

    /// Signs a commitment of `owner` on one funding, both nodes.
    pub(crate) fn signed_as(
        &mut self,
        owner: Node,
        parameters: &[ChannelParameters; 2],
        unsigned: UnsignedCommitment,
        htlcs: Vec<Name>,
    ) -> (Commitment, (Signature, Vec<Signature>)) {
        let other = 1 - owner;
        let seen: Vec<_> = htlcs.iter().map(|name| self.htlc(other, *name)).collect();
        let seen: Vec<_> = seen.iter().collect();
        let built = build(&parameters[other], Side::Remote, &unsigned, &seen);
        let keys = &mut self.nodes[other].signer;
        let signed = sign_commitment(keys, &parameters[other], &built).unwrap();
        let commitment = Commitment { unsigned, htlcs, transaction: built.transaction };
        let commitment = self.witnessed(owner, &parameters[owner], commitment, signed.0);
        (commitment, signed)
    }

    /// Has `owner` revoke its previous commitment.
    pub(crate) fn revoke(&mut self, owner: Node) {
        let newest = self.nodes[owner].commitments.last().unwrap().unsigned.number;
        let number = newest.previous().unwrap();
        let secret = self.nodes[owner].keys.per_commitment_secret(number);
        self.update(1 - owner, vec![UpdateStep::RemoteRevocation { number, secret }]);
    }

    /// Gives a node's monitor its next update.
    pub(crate) fn update(&mut self, node: Node, steps: Vec<UpdateStep>) -> Vec<Effect> {
        let update_id = UpdateId(self.nodes[node].monitor.state().latest_update.0 + 1);
        self.apply(
            node,
            MonitorRecord::Update(MonitorUpdate { channel_id: CHANNEL, update_id, steps }),
        )
    }

    pub(crate) fn apply(&mut self, node: Node, record: MonitorRecord) -> Vec<Effect> {
        let effects = self.nodes[node].monitor.apply(&record).unwrap();
        if node == US {
            self.records.push(record);
        }
        effects
    }

    /// Makes a node fail the channel.
    pub(crate) fn fail(&mut self, node: Node) {
        self.update(node, vec![UpdateStep::FailChannel]);
    }

    /// The HTLC as a node sees it.
    pub(crate) fn htlc(&self, node: Node, name: Name) -> Htlc {
        let offer = &self.offers[&name];
        let (direction, htlc_id) = seen(node, name);
        let inbound = self.forwards.get(&name).filter(|_| node == US);
        let origin = match (direction, inbound) {
            (HtlcDirection::Offered, Some(inbound_expiry)) => HtlcOrigin::Forward(ForwardOrigin {
                inbound: INBOUND,
                inbound_amount_msat: AmountMsat(offer.amount_msat + 1_000),
                inbound_cltv_expiry: BlockHeight(*inbound_expiry),
            }),
            (HtlcDirection::Offered, None) => {
                HtlcOrigin::Payment(origin(name.1, offer.amount_msat))
            }
            (HtlcDirection::Received, _) => HtlcOrigin::Ours,
        };
        Htlc {
            direction,
            htlc_id,
            amount_msat: AmountMsat(offer.amount_msat),
            payment_hash: offer.preimage.payment_hash(),
            cltv_expiry: BlockHeight(offer.expiry),
            origin,
        }
    }

    /// The newest commitment transaction of a node, fully signed.
    pub(crate) fn newest(&self, owner: Node) -> &Commitment {
        self.nodes[owner].commitments.last().unwrap()
    }

    /// The commitment of a node as bolt3 builds it, seen from us.
    pub(crate) fn built(&self, owner: Node, number: usize) -> CommitmentTx {
        let commitment = &self.nodes[owner].commitments[number];
        let htlcs: Vec<_> = commitment.htlcs.iter().map(|name| self.htlc(US, *name)).collect();
        let htlcs: Vec<_> = htlcs.iter().collect();
        let side = if owner == US { Side::Local } else { Side::Remote };
        build(&self.nodes[US].parameters, side, &commitment.unsigned, &htlcs)
    }

    /// The output of an HTLC in the newest commitment of a node.
    pub(crate) fn output_of(&self, owner: Node, name: Name) -> Option<OutPoint> {
        let built = self.built(owner, self.nodes[owner].commitments.len() - 1);
        let wanted = seen(US, name);
        let vout = built.outputs.iter().position(|output| match output.kind {
            OutputKind::Htlc { direction, htlc_id, .. } => (direction, htlc_id) == wanted,
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => false,
        })?;
        Some(OutPoint { txid: built.txid(), vout: u32::try_from(vout).unwrap() })
    }

    fn added(&self, node: Node, name: Name) -> HtlcAdded {
        let (direction, htlc_id) = seen(node, name);
        if self.nodes[node].monitor.state().htlcs.contains_key(&(direction, htlc_id)) {
            HtlcAdded::Known { direction, htlc_id }
        } else {
            HtlcAdded::New(self.htlc(node, name))
        }
    }

    /// Signs a commitment of `owner`, to whose transaction the other side gave its signature.
    fn witnessed(
        &mut self,
        owner: Node,
        parameters: &ChannelParameters,
        mut commitment: Commitment,
        signature: Signature,
    ) -> Commitment {
        let [ours, theirs] = [parameters.local.funding_pubkey, parameters.remote.funding_pubkey];
        let script = funding_script(&ours, &theirs);
        let own = self.sign_funding(owner, parameters, &commitment.transaction);
        commitment.transaction.input[0].witness =
            funding_witness(&script, &own, &ours, &signature, &theirs);
        commitment
    }

    /// A node's signature on the first input of a transaction that spends a funding output.
    pub(crate) fn sign_funding(
        &mut self,
        node: Node,
        parameters: &ChannelParameters,
        transaction: &Transaction,
    ) -> Signature {
        let [ours, theirs] = [parameters.local.funding_pubkey, parameters.remote.funding_pubkey];
        let request = SigningRequest {
            channel_id: CHANNEL,
            key: SigningKey::Funding,
            transaction,
            input: 0,
            amount: parameters.funding_amount,
            script: &funding_script(&ours, &theirs),
            sighash: EcdsaSighashType::All,
        };
        self.nodes[node].signer.sign(&request).unwrap()
    }
}

/// How a node names an HTLC.
pub(crate) fn seen(node: Node, (offerer, id): Name) -> (HtlcDirection, HtlcId) {
    let direction = if offerer == node { HtlcDirection::Offered } else { HtlcDirection::Received };
    (direction, HtlcId(id))
}

pub(crate) fn origin(n: u64, amount_msat: u64) -> PaymentOrigin {
    PaymentOrigin {
        payment_id: PaymentId([u8::try_from(n % 256).unwrap(); 32]),
        generation: Generation([u8::try_from(n % 256).unwrap(); 16]),
        attempt: 0,
        part: PartIndex(0),
        part_channels: vec![CHANNEL],
        part_amount_msat: AmountMsat(amount_msat),
        total_msat: AmountMsat(amount_msat),
        fee_msat: AmountMsat(0),
        metadata: Metadata::Here(Vec::new()),
        terms: Terms::default(),
    }
}

fn build(
    parameters: &ChannelParameters,
    owner: Side,
    commitment: &UnsignedCommitment,
    htlcs: &[&Htlc],
) -> CommitmentTx {
    build_commitment(&CommitmentInput { parameters, owner, commitment, htlcs }).unwrap()
}

fn removal(node: Node, (name, reason): &(Name, RemovalReason)) -> HtlcRemoved {
    let (direction, htlc_id) = seen(node, *name);
    HtlcRemoved { direction, htlc_id, reason: *reason }
}

fn remote_commitment(unsigned: &UnsignedCommitment) -> RemoteCommitment {
    RemoteCommitment {
        number: unsigned.number,
        per_commitment_point: unsigned.per_commitment_point,
        feerate_per_kw: unsigned.feerate_per_kw,
        to_local_msat: unsigned.to_local_msat,
        to_remote_msat: unsigned.to_remote_msat,
        added: Vec::new(),
        removed: Vec::new(),
    }
}

pub(crate) fn remote_on(unsigned: &UnsignedCommitment) -> RemoteCommitmentOn {
    RemoteCommitmentOn {
        number: unsigned.number,
        to_local_msat: unsigned.to_local_msat,
        to_remote_msat: unsigned.to_remote_msat,
    }
}

pub(crate) fn local_on(
    unsigned: &UnsignedCommitment,
    (signature, htlc_signatures): (Signature, Vec<Signature>),
) -> LocalCommitmentOn {
    LocalCommitmentOn {
        number: unsigned.number,
        to_local_msat: unsigned.to_local_msat,
        to_remote_msat: unsigned.to_remote_msat,
        signature,
        htlc_signatures,
    }
}

fn local_commitment(unsigned: &UnsignedCommitment, signature: Signature) -> LocalCommitment {
    LocalCommitment {
        number: unsigned.number,
        per_commitment_point: unsigned.per_commitment_point,
        feerate_per_kw: unsigned.feerate_per_kw,
        to_local_msat: unsigned.to_local_msat,
        to_remote_msat: unsigned.to_remote_msat,
        added: Vec::new(),
        removed: Vec::new(),
        signature,
        htlc_signatures: Vec::new(),
    }
}
