//! A channel and the records that it makes, for the reports on size and speed.
//!
//! Every record is one that a channel makes; only signatures are any numbers, because a monitor
//! verifies none.

use std::error::Error;

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, BlockHash, OutPoint, Transaction, Txid};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, CommitmentOutput, CommitmentTx, OutputKind, build_commitment,
    point_of,
};
use lastword_monitor::Monitor;
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, ChannelParameters, CommitmentFormat,
    CommitmentNumber, FeeRatePerKw, Generation, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcKey,
    HtlcOrigin, HtlcRemoved, Intent, IntentPart, LocalCommitment, Metadata, MonitorRecord,
    MonitorUpdate, NewChannel, Outcome, PartIndex, PaymentId, PaymentOrigin, PaymentPreimage,
    ReleasePaymentComplete, RemoteCommitment, RemovalReason, Side, Terms, ToSelfDelay, Told,
    UnsignedCommitment, UpdateId, UpdateStep,
};
use lastword_wire::encode_monitor_state;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FUNDING_SAT: u64 = 100_000_000;
const HTLC_MSAT: AmountMsat = AmountMsat(10_000_000);
/// Where every channel here is born.
pub(crate) const BIRTH: u32 = 800_000;

/// A channel and the records that it makes.
#[derive(Clone)]
pub(crate) struct Tape {
    pub(crate) monitor: Monitor,
    /// Every record, in its order.
    pub(crate) records: Vec<MonitorRecord>,
    /// Ours and the peer's.
    keys: [ChannelKeys; 2],
    numbers: [CommitmentNumber; 2],
    /// When HTLCs of each direction expire that are added from now on.
    pub(crate) expiries: [BlockHeight; 2],
    balances: [u64; 2],
    pending: usize,
    next_id: [u64; 2],
}

impl Tape {
    /// Opens a channel.
    pub(crate) fn new(channel_id: ChannelId) -> Result<Self> {
        let keys = [1, 2].map(|seed| ChannelKeys::derive(&[seed; 32], &channel_id.0));
        let [local, remote] =
            keys.each_ref().map(|keys| keys.side(Amount::from_sat(546), ToSelfDelay(144)));
        let half = FUNDING_SAT * 1000 / 2;
        let zero = CommitmentNumber::ZERO;
        let new = NewChannel {
            parameters: ChannelParameters {
                channel_id,
                funding_outpoint: funding_outpoint(channel_id),
                funding_amount: Amount::from_sat(FUNDING_SAT),
                format: CommitmentFormat::AnchorsZeroFeeHtlc,
                opener: Side::Local,
                local,
                remote,
            },
            local: local_commitment(zero, point(&keys[0], zero)?, [half, half]),
            remote: remote_commitment(zero, point(&keys[1], zero)?, [half, half]),
            birth: BlockRef { height: BlockHeight(800_000), hash: BlockHash::all_zeros() },
        };
        Ok(Self {
            monitor: Monitor::create(new.clone())?,
            records: vec![MonitorRecord::Created(Box::new(new))],
            keys,
            numbers: [zero; 2],
            expiries: [BlockHeight(BIRTH + 144); 2],
            balances: [half, half],
            pending: 0,
            next_id: [0, 0],
        })
    }

    /// Returns the bytes of a snapshot.
    #[expect(clippy::cast_precision_loss, reason = "a snapshot has less than 2^52 bytes")]
    pub(crate) fn bytes(&self) -> f64 {
        encode_monitor_state(self.monitor.state()).len() as f64
    }

    /// Adds an HTLC until it is irrevocably committed.
    pub(crate) fn add(&mut self, direction: HtlcDirection) -> Result<HtlcId> {
        let htlc_id = HtlcId(self.next_id[place(direction)]);
        self.next_id[place(direction)] += 1;
        self.balances[place(direction)] -= HTLC_MSAT.0;
        self.pending += 1;
        let expiry = self.expiries[place(direction)];
        let new = vec![HtlcAdded::New(htlc(self.channel_id(), direction, htlc_id, expiry))];
        let known = vec![HtlcAdded::Known { direction, htlc_id }];
        match direction {
            HtlcDirection::Offered => {
                self.remote(new, vec![])?;
                self.local(known, vec![])?;
            }
            HtlcDirection::Received => {
                self.local(new, vec![])?;
                self.remote(known, vec![])?;
            }
        }
        Ok(htlc_id)
    }

    /// Returns the same channel under another name, with the same keys.
    pub(crate) fn like(&self, channel_id: ChannelId) -> Result<Self> {
        let mut state = self.monitor.state().clone();
        state.parameters.channel_id = channel_id;
        state.parameters.funding_outpoint = funding_outpoint(channel_id);
        Ok(Self { monitor: Monitor::restore(state)?, records: Vec::new(), ..self.clone() })
    }

    /// Takes the updates out that were made since the last time.
    pub(crate) fn take_updates(&mut self) -> Vec<MonitorUpdate> {
        let updates = self.records.drain(..).filter_map(|record| match record {
            MonitorRecord::Update(update) => Some(update),
            MonitorRecord::Created(_)
            | MonitorRecord::Release(_)
            | MonitorRecord::Chain(_)
            | MonitorRecord::GivenUp(_)
            | MonitorRecord::Mempool(_)
            | MonitorRecord::PruneTombstones { .. }
            | MonitorRecord::Archive
            | MonitorRecord::InboundOnChain { .. }
            | MonitorRecord::Claim(_)
            | MonitorRecord::ToldUnknown { .. } => None,
        });
        updates.collect()
    }

    /// Returns the intent of the payment that an HTLC of ours is for.
    pub(crate) fn intent(&self, htlc_id: HtlcId) -> Option<Intent> {
        let held = self.monitor.state().htlcs.get(&(HtlcDirection::Offered, htlc_id))?;
        let Htlc { amount_msat, payment_hash, cltv_expiry, .. } = held.htlc;
        let HtlcOrigin::Payment(origin) = &held.htlc.origin else { return None };
        let part_amount_msat = origin.part_amount_msat;
        let channel_id = self.channel_id();
        Some(Intent {
            payment_id: origin.payment_id,
            generation: origin.generation,
            attempt: origin.attempt,
            payment_hash,
            total_msat: origin.total_msat,
            fee_msat: origin.fee_msat,
            parts: vec![IntentPart {
                channel_id,
                htlc_id,
                amount_msat,
                part_amount_msat,
                cltv_expiry,
            }],
            metadata: origin.metadata.clone(),
            terms: origin.terms.clone(),
        })
    }

    /// The peer fulfils an HTLC of ours by message, until no commitment holds it.
    pub(crate) fn fulfil_and_remove(&mut self, htlc_id: HtlcId) -> Result<()> {
        let direction = HtlcDirection::Offered;
        let preimage = self.preimage_of(htlc_id);
        let reason = RemovalReason::Fulfilled { preimage };
        let removed = || vec![HtlcRemoved { direction, htlc_id, reason }];
        self.pending -= 1;
        self.balances[1] += HTLC_MSAT.0;
        self.update(vec![UpdateStep::Fulfill { htlc_id, preimage }])?;
        self.local(vec![], removed())?;
        self.remote(vec![], removed())
    }

    /// Returns the preimage of an HTLC of ours.
    pub(crate) fn preimage_of(&self, htlc_id: HtlcId) -> PaymentPreimage {
        preimage(self.channel_id(), HtlcDirection::Offered, htlc_id)
    }

    /// We fail the channel.
    pub(crate) fn fail(&mut self) -> Result<()> {
        self.update(vec![UpdateStep::FailChannel])
    }

    /// Returns the output of an HTLC of ours in our newest commitment.
    pub(crate) fn our_output(&self, htlc_id: HtlcId) -> Result<(OutPoint, CommitmentOutput)> {
        let built = self.built(Side::Local, &self.monitor.state().parameters)?;
        let txid = built.txid();
        let mut outputs = (0..).zip(built.outputs);
        let found = outputs.find(|(_, output)| match output.kind {
            OutputKind::Htlc { htlc_id: id, direction, .. } => {
                (direction, id) == (HtlcDirection::Offered, htlc_id)
            }
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => false,
        });
        let (vout, output) = found.ok_or("the HTLC has an output")?;
        Ok((OutPoint { txid, vout }, output))
    }

    /// Fulfils an HTLC by message, and tells the consumer.
    pub(crate) fn settle(&mut self, direction: HtlcDirection, htlc_id: HtlcId) -> Result<()> {
        let channel_id = self.channel_id();
        let preimage = preimage(channel_id, direction, htlc_id);
        let reason = RemovalReason::Fulfilled { preimage };
        let removed = || vec![HtlcRemoved { direction, htlc_id, reason }];
        match direction {
            HtlcDirection::Offered => {
                self.fulfil_and_remove(htlc_id)?;
                let outcome =
                    Outcome::Sent { preimage, amount_msat: HTLC_MSAT, fee_msat: AmountMsat::ZERO };
                let told = Told::Payment { generation: generation(channel_id, htlc_id), outcome };
                let htlc = HtlcKey { channel_id, direction, htlc_id };
                let release = ReleasePaymentComplete { htlc, told };
                self.apply(MonitorRecord::Release(release))?;
            }
            HtlcDirection::Received => {
                self.pending -= 1;
                self.balances[0] += HTLC_MSAT.0;
                self.update(vec![UpdateStep::Preimage { preimage }])?;
                self.remote(vec![], removed())?;
                self.local(vec![], removed())?;
            }
        }
        Ok(())
    }

    /// A new commitment for each side, with the HTLCs of the one before.
    pub(crate) fn turn(&mut self) -> Result<()> {
        self.remote(vec![], vec![])?;
        self.local(vec![], vec![])
    }

    fn local(&mut self, added: Vec<HtlcAdded>, removed: Vec<HtlcRemoved>) -> Result<()> {
        let number = self.numbers[0].next().ok_or("there is a next number")?;
        self.numbers[0] = number;
        let htlc_signatures = vec![signature()?; self.pending];
        let commitment = local_commitment(number, point(&self.keys[0], number)?, self.balances);
        let commitment = LocalCommitment { added, removed, htlc_signatures, ..commitment };
        self.update(vec![UpdateStep::LocalCommitment(commitment)])
    }

    /// The peer's next commitment, and its revocation of the one before.
    fn remote(&mut self, added: Vec<HtlcAdded>, removed: Vec<HtlcRemoved>) -> Result<()> {
        let revoked = self.numbers[1];
        let number = revoked.next().ok_or("there is a next number")?;
        self.numbers[1] = number;
        let [ours, theirs] = self.balances;
        let point = point(&self.keys[1], number)?;
        let commitment = remote_commitment(number, point, [theirs, ours]);
        let commitment = RemoteCommitment { added, removed, ..commitment };
        let secret = self.keys[1].per_commitment_secret(revoked);
        self.update(vec![UpdateStep::RemoteCommitment(commitment)])?;
        self.update(vec![UpdateStep::RemoteRevocation { number: revoked, secret }])
    }

    fn update(&mut self, steps: Vec<UpdateStep>) -> Result<()> {
        let channel_id = self.channel_id();
        let update_id = UpdateId(self.monitor.state().latest_update.0 + 1);
        self.apply(MonitorRecord::Update(MonitorUpdate { channel_id, update_id, steps }))
    }

    /// Applies a record and keeps it.
    pub(crate) fn apply(&mut self, record: MonitorRecord) -> Result<()> {
        self.monitor.apply(&record)?;
        self.records.push(record);
        Ok(())
    }

    fn channel_id(&self) -> ChannelId {
        self.monitor.state().parameters.channel_id
    }

    /// The peer fulfils an HTLC by message; it still stands in both commitments.
    pub(crate) fn fulfil(&mut self, htlc_id: HtlcId) -> Result<()> {
        let preimage = preimage(self.channel_id(), HtlcDirection::Offered, htlc_id);
        self.update(vec![UpdateStep::Fulfill { htlc_id, preimage }])
    }

    /// Returns the update that makes the next commitment of both sides, with the peer's revocation.
    pub(crate) fn whole_turn(&mut self) -> Result<MonitorRecord> {
        let revoked = self.numbers[1];
        let [number, theirs] = self.numbers.map(CommitmentNumber::next);
        let [number, theirs] = [number, theirs].map(|it| it.ok_or("there is a next number"));
        let (number, theirs) = (number?, theirs?);
        self.numbers = [number, theirs];
        let local = local_commitment(number, point(&self.keys[0], number)?, self.balances);
        let [our_msat, their_msat] = self.balances;
        let remote = point(&self.keys[1], theirs)?;
        let secret = self.keys[1].per_commitment_secret(revoked);
        let steps = vec![
            UpdateStep::LocalCommitment(LocalCommitment {
                htlc_signatures: vec![signature()?; self.pending],
                ..local
            }),
            UpdateStep::RemoteCommitment(remote_commitment(theirs, remote, [their_msat, our_msat])),
            UpdateStep::RemoteRevocation { number: revoked, secret },
        ];
        self.update(steps)?;
        self.records.last().cloned().ok_or_else(|| "an update was applied".into())
    }

    /// Returns the peer's newest commitment as a transaction; nobody has signed it.
    pub(crate) fn peers_commitment(&self) -> Result<Transaction> {
        self.commitment(Side::Remote, &self.monitor.state().parameters)
    }

    /// Returns our newest commitment as a transaction that nobody has signed, as it would be if the
    /// funding output were this one.
    pub(crate) fn our_commitment(&self, funding_outpoint: OutPoint) -> Result<Transaction> {
        let parameters = self.monitor.state().parameters.clone();
        self.commitment(Side::Local, &ChannelParameters { funding_outpoint, ..parameters })
    }

    fn commitment(&self, owner: Side, parameters: &ChannelParameters) -> Result<Transaction> {
        Ok(self.built(owner, parameters)?.transaction)
    }

    fn built(&self, owner: Side, parameters: &ChannelParameters) -> Result<CommitmentTx> {
        let place = match owner {
            Side::Local => 0,
            Side::Remote => 1,
        };
        let number = self.numbers[place];
        let commitment = UnsignedCommitment {
            number,
            per_commitment_point: point(&self.keys[place], number)?,
            feerate_per_kw: FeeRatePerKw(1_000),
            to_local_msat: AmountMsat(self.balances[place]),
            to_remote_msat: AmountMsat(self.balances[1 - place]),
        };
        let htlcs = self.monitor.htlcs_in(owner, number);
        let input = CommitmentInput { parameters, owner, commitment: &commitment, htlcs: &htlcs };
        Ok(build_commitment(&input)?)
    }

    /// Our keys.
    pub(crate) fn keys(&self) -> ChannelKeys {
        self.keys[0].clone()
    }

    /// We learn the preimage of a received HTLC; it still stands in both commitments.
    pub(crate) fn know(&mut self, htlc_id: HtlcId) -> Result<()> {
        let preimage = preimage(self.channel_id(), HtlcDirection::Received, htlc_id);
        self.update(vec![UpdateStep::Preimage { preimage }])
    }
}

/// Whose balance an HTLC comes from: ours or the peer's.
fn place(direction: HtlcDirection) -> usize {
    match direction {
        HtlcDirection::Offered => 0,
        HtlcDirection::Received => 1,
    }
}

fn point(keys: &ChannelKeys, number: CommitmentNumber) -> Result<PublicKey> {
    Ok(point_of(&keys.per_commitment_secret(number))?)
}

/// Whoever took it has verified it; the monitor does not.
fn signature() -> Result<Signature> {
    Ok(Signature::from_compact(&[1; 64])?)
}

fn local_commitment(
    number: CommitmentNumber,
    per_commitment_point: PublicKey,
    [ours, theirs]: [u64; 2],
) -> LocalCommitment {
    LocalCommitment {
        number,
        per_commitment_point,
        feerate_per_kw: FeeRatePerKw(1_000),
        to_local_msat: AmountMsat(ours),
        to_remote_msat: AmountMsat(theirs),
        added: vec![],
        removed: vec![],
        signature: Signature::from_compact(&[1; 64]).expect("any numbers will do here"),
        htlc_signatures: vec![],
    }
}

fn remote_commitment(
    number: CommitmentNumber,
    per_commitment_point: PublicKey,
    [theirs, ours]: [u64; 2],
) -> RemoteCommitment {
    RemoteCommitment {
        number,
        per_commitment_point,
        feerate_per_kw: FeeRatePerKw(1_000),
        to_local_msat: AmountMsat(theirs),
        to_remote_msat: AmountMsat(ours),
        added: vec![],
        removed: vec![],
    }
}

/// Bytes that differ for each HTLC, as random ones would.
fn bytes(purpose: u8, channel_id: ChannelId, htlc_id: HtlcId) -> [u8; 32] {
    let mut preimage = vec![purpose];
    preimage.extend(channel_id.0);
    preimage.extend(htlc_id.0.to_be_bytes());
    bitcoin::hashes::sha256::Hash::hash(&preimage).to_byte_array()
}

fn preimage(channel_id: ChannelId, direction: HtlcDirection, htlc_id: HtlcId) -> PaymentPreimage {
    PaymentPreimage(bytes(
        if direction == HtlcDirection::Offered { 1 } else { 2 },
        channel_id,
        htlc_id,
    ))
}

fn generation(channel_id: ChannelId, htlc_id: HtlcId) -> Generation {
    let mut generation = [0; 16];
    generation.copy_from_slice(&bytes(3, channel_id, htlc_id)[..16]);
    Generation(generation)
}

fn htlc(
    channel_id: ChannelId,
    direction: HtlcDirection,
    htlc_id: HtlcId,
    cltv_expiry: BlockHeight,
) -> Htlc {
    let origin = match direction {
        HtlcDirection::Offered => HtlcOrigin::Payment(PaymentOrigin {
            payment_id: PaymentId(bytes(4, channel_id, htlc_id)),
            generation: generation(channel_id, htlc_id),
            attempt: 0,
            part: PartIndex(0),
            part_channels: vec![channel_id],
            part_amount_msat: HTLC_MSAT,
            total_msat: HTLC_MSAT,
            fee_msat: AmountMsat::ZERO,
            metadata: Metadata::Here(vec![]),
            terms: Terms::default(),
        }),
        HtlcDirection::Received => HtlcOrigin::Ours,
    };
    Htlc {
        direction,
        htlc_id,
        amount_msat: HTLC_MSAT,
        payment_hash: preimage(channel_id, direction, htlc_id).payment_hash(),
        cltv_expiry,
        origin,
    }
}

/// The funding output of a channel, as good as a random one.
pub(crate) fn funding_outpoint(channel_id: ChannelId) -> OutPoint {
    let txid = bitcoin::hashes::sha256::Hash::hash(&channel_id.0).to_byte_array();
    OutPoint { txid: Txid::from_byte_array(txid), vout: 1 }
}
