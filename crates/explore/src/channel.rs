//! One channel of tokens: the keys and transactions are real, the signatures are not.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, CommitmentTx, OutputKind, build_commitment, funding_script,
    funding_witness, htlc_preimage_witness, htlc_revocation_witness, htlc_timeout_witness,
    htlc_witness, point_of, remote_htlc_sighash,
};
use lastword_ports::{ChannelSigner, SignerError, SigningRequest};
use lastword_types::{
    AmountMsat, BlockRef, ChannelId, ChannelParameters, CommitmentFormat, CommitmentNumber,
    FeeRatePerKw, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcRemoved, LocalCommitment,
    MonitorUpdate, NewChannel, PaymentPreimage, PerCommitmentSecret, RemoteCommitment,
    RemovalReason, Side, ToSelfDelay, UnsignedCommitment, UpdateId, UpdateStep,
};

const FUNDING: Amount = Amount::from_sat(1_000_000);
const FEERATE: FeeRatePerKw = FeeRatePerKw(1_000);
const DUST_LIMIT: Amount = Amount::from_sat(546);
const DELAY: ToSelfDelay = ToSelfDelay(6);
const OUR_SEED: [u8; 32] = [1; 32];
const PEERS_SEED: [u8; 32] = [2; 32];

/// The signature under everything: nobody verifies it.
fn signature() -> Signature {
    Signature::from_compact(&[1; 64]).expect("both numbers are in range")
}

/// Signs with a token, and knows the real points and secrets.
#[derive(Debug)]
pub(crate) struct TokenSigner;

impl ChannelSigner for TokenSigner {
    fn sign(&mut self, _request: &SigningRequest<'_>) -> Result<Signature, SignerError> {
        Ok(signature())
    }

    fn per_commitment_point(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PublicKey, SignerError> {
        let secret = keys(OUR_SEED, channel_id).per_commitment_secret(number);
        point_of(&secret).map_err(|_| SignerError::Invalid("the secret is no key"))
    }

    fn revoke(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PerCommitmentSecret, SignerError> {
        Ok(keys(OUR_SEED, channel_id).per_commitment_secret(number))
    }
}

fn keys(seed: [u8; 32], channel_id: ChannelId) -> ChannelKeys {
    ChannelKeys::derive(&seed, &channel_id.0)
}

/// A commitment with its HTLCs.
#[derive(Debug, Clone)]
struct Held {
    unsigned: UnsignedCommitment,
    htlcs: Vec<Htlc>,
}

/// One channel with every commitment that there ever was.
#[derive(Debug)]
pub(crate) struct Channel {
    id: ChannelId,
    parameters: ChannelParameters,
    /// Our commitments, by number.
    local: Vec<Held>,
    /// The peer's, by number.
    remote: Vec<Held>,
    next_update: UpdateId,
    next_htlc: u64,
}

/// Which commitment of a channel, counted from the newest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which {
    pub(crate) owner: Side,
    pub(crate) behind_newest: usize,
}

impl Channel {
    pub(crate) fn new(id: ChannelId, format: CommitmentFormat) -> Self {
        let side = |seed| keys(seed, id).side(DUST_LIMIT, DELAY);
        let parameters = ChannelParameters {
            channel_id: id,
            funding_outpoint: OutPoint { txid: Txid::from_byte_array(id.0), vout: 0 },
            funding_amount: FUNDING,
            format,
            opener: Side::Local,
            local: side(OUR_SEED),
            remote: side(PEERS_SEED),
        };
        let held = |owner, to_local, to_remote| Held {
            unsigned: UnsignedCommitment {
                number: CommitmentNumber::ZERO,
                per_commitment_point: point(id, owner, CommitmentNumber::ZERO),
                feerate_per_kw: FEERATE,
                to_local_msat: AmountMsat(to_local),
                to_remote_msat: AmountMsat(to_remote),
            },
            htlcs: Vec::new(),
        };
        Self {
            id,
            parameters,
            local: vec![held(Side::Local, 600_000_000, 400_000_000)],
            remote: vec![held(Side::Remote, 400_000_000, 600_000_000)],
            next_update: UpdateId(1),
            next_htlc: 0,
        }
    }

    pub(crate) fn id(&self) -> ChannelId {
        self.id
    }

    pub(crate) fn born_at(&self, birth: BlockRef) -> NewChannel {
        NewChannel {
            parameters: self.parameters.clone(),
            local: self.local_commitment(Vec::new(), Vec::new()),
            remote: remote_commitment(&self.remote[0].unsigned, Vec::new(), Vec::new()),
            birth,
        }
    }

    pub(crate) fn take_htlc_id(&mut self) -> HtlcId {
        self.next_htlc += 1;
        HtlcId(self.next_htlc - 1)
    }

    /// We sign the peer's next commitment, which brings HTLCs.
    pub(crate) fn add(&mut self, htlcs: &[Htlc]) -> MonitorUpdate {
        let mut next = self.newest(Side::Remote).clone();
        for htlc in htlcs {
            let have = next.unsigned.to_remote_msat.checked_sub(htlc.amount_msat);
            next.unsigned.to_remote_msat = have.expect("the channel has enough");
            next.htlcs.push(htlc.clone());
        }
        let added = htlcs.iter().cloned().map(HtlcAdded::New).collect();
        let step = self.next_remote(next, added, Vec::new());
        self.update(vec![step])
    }

    /// The peer revokes its commitment before, and signs ours with the same HTLCs.
    pub(crate) fn answer(&mut self) -> MonitorUpdate {
        let revocation = self.revocation();
        let want = self.newest(Side::Remote).clone();
        let have = self.newest(Side::Local).clone();
        let is_new = |htlc: &&Htlc| !have.htlcs.contains(htlc);
        let known =
            |htlc: &Htlc| HtlcAdded::Known { direction: htlc.direction, htlc_id: htlc.htlc_id };
        let added = want.htlcs.iter().filter(is_new).map(known).collect();
        let unsigned = mirrored(&want.unsigned, &have.unsigned);
        let next = Held { unsigned, htlcs: want.htlcs.clone() };
        let step = self.next_local(next, added, Vec::new());
        self.update(vec![revocation, step])
    }

    /// The peer fulfils or fails an HTLC of ours off chain: its signature on our next commitment,
    /// then ours on its next one, then its revocation.
    pub(crate) fn remove(&mut self, htlc_id: HtlcId, reason: RemovalReason) -> [MonitorUpdate; 3] {
        let removed = || vec![HtlcRemoved { direction: HtlcDirection::Offered, htlc_id, reason }];
        let mut local = self.newest(Side::Local).clone();
        let at = local.htlcs.iter().position(|htlc| htlc.htlc_id == htlc_id);
        let amount = local.htlcs.remove(at.expect("it stands there")).amount_msat;
        let (winner, mut steps) = match reason {
            RemovalReason::Fulfilled { preimage } => {
                let step = UpdateStep::Fulfill { htlc_id, preimage };
                (&mut local.unsigned.to_remote_msat, vec![step])
            }
            RemovalReason::Failed { .. } => (&mut local.unsigned.to_local_msat, Vec::new()),
        };
        *winner = winner.checked_add(amount).expect("less than the channel is worth");
        let unsigned = mirrored(&local.unsigned, &self.newest(Side::Remote).unsigned);
        let remote = Held { unsigned, htlcs: local.htlcs.clone() };
        steps.push(self.next_local(local, Vec::new(), removed()));
        let theirs = self.update(steps);
        let step = self.next_remote(remote, Vec::new(), removed());
        let ours = self.update(vec![step]);
        let step = self.revocation();
        [theirs, ours, self.update(vec![step])]
    }

    /// The peer offers an HTLC: its signature on our next commitment, ours on its next one, its
    /// revocation.
    pub(crate) fn receive(&mut self, htlc: Htlc) -> [MonitorUpdate; 3] {
        let mut local = self.newest(Side::Local).clone();
        let have = local.unsigned.to_remote_msat.checked_sub(htlc.amount_msat);
        local.unsigned.to_remote_msat = have.expect("the peer has enough");
        let (direction, htlc_id) = (htlc.direction, htlc.htlc_id);
        local.htlcs.push(htlc.clone());
        let unsigned = mirrored(&local.unsigned, &self.newest(Side::Remote).unsigned);
        let remote = Held { unsigned, htlcs: local.htlcs.clone() };
        let step = self.next_local(local, vec![HtlcAdded::New(htlc)], Vec::new());
        let theirs = self.update(vec![step]);
        let known = HtlcAdded::Known { direction, htlc_id };
        let step = self.next_remote(remote, vec![known], Vec::new());
        let ours = self.update(vec![step]);
        let step = self.revocation();
        [theirs, ours, self.update(vec![step])]
    }

    /// We fulfil or fail an HTLC of the peer's: our signature on its next commitment, its revocation,
    /// and its signature on our next one.
    pub(crate) fn remove_received(
        &mut self,
        htlc_id: HtlcId,
        reason: RemovalReason,
    ) -> [MonitorUpdate; 3] {
        let removed = || vec![HtlcRemoved { direction: HtlcDirection::Received, htlc_id, reason }];
        let mut remote = self.newest(Side::Remote).clone();
        let at = remote.htlcs.iter().position(|htlc| htlc.htlc_id == htlc_id);
        let amount = remote.htlcs.remove(at.expect("it stands there")).amount_msat;
        // In the peer's commitment we are the remote side.
        let winner = match reason {
            RemovalReason::Fulfilled { .. } => &mut remote.unsigned.to_remote_msat,
            RemovalReason::Failed { .. } => &mut remote.unsigned.to_local_msat,
        };
        *winner = winner.checked_add(amount).expect("less than the channel is worth");
        let unsigned = mirrored(&remote.unsigned, &self.newest(Side::Local).unsigned);
        let local = Held { unsigned, htlcs: remote.htlcs.clone() };
        let step = self.next_remote(remote, Vec::new(), removed());
        let ours = self.update(vec![step]);
        let step = self.revocation();
        let revoked = self.update(vec![step]);
        let step = self.next_local(local, Vec::new(), removed());
        [ours, revoked, self.update(vec![step])]
    }

    pub(crate) fn fail(&mut self) -> MonitorUpdate {
        self.update(vec![UpdateStep::FailChannel])
    }

    /// Returns a commitment as it stands on chain.
    pub(crate) fn closing(&self, which: Which) -> Transaction {
        let mut transaction = self.built(which).transaction;
        let (ours, theirs) =
            (self.parameters.local.funding_pubkey, self.parameters.remote.funding_pubkey);
        let script = funding_script(&ours, &theirs);
        transaction.input[0].witness =
            funding_witness(&script, &signature(), &ours, &signature(), &theirs);
        transaction
    }

    /// Returns the peer's claim of an HTLC of ours, with its preimage.
    pub(crate) fn peers_claim(
        &self,
        which: Which,
        htlc_id: HtlcId,
        preimage: PaymentPreimage,
    ) -> Transaction {
        let built = self.built(which);
        let vout = vout_of(&built, htlc_id);
        match which.owner {
            Side::Local => {
                let script = &built.outputs[index(vout)].script;
                let witness = htlc_preimage_witness(&signature(), &preimage, script);
                spend(OutPoint { txid: built.txid(), vout }, witness)
            }
            Side::Remote => self.second_stage(&built, vout, Some(preimage)),
        }
    }

    /// Returns how we take an HTLC back: after its expiry, or as a penalty.
    pub(crate) fn our_claim(&self, which: Which, htlc_id: HtlcId, is_penalty: bool) -> Transaction {
        let built = self.built(which);
        let vout = vout_of(&built, htlc_id);
        let outpoint = OutPoint { txid: built.txid(), vout };
        let script = &built.outputs[index(vout)].script;
        match which.owner {
            Side::Local => self.second_stage(&built, vout, None),
            Side::Remote if is_penalty => {
                let key = built.keys.revocation_pubkey;
                spend(outpoint, htlc_revocation_witness(&signature(), &key, script))
            }
            Side::Remote => spend(outpoint, htlc_timeout_witness(&signature(), script)),
        }
    }

    /// Returns how we take an HTLC of the peer's, with its preimage.
    pub(crate) fn our_success(
        &self,
        which: Which,
        htlc_id: HtlcId,
        preimage: PaymentPreimage,
    ) -> Transaction {
        let built = self.built(which);
        let vout = vout_of(&built, htlc_id);
        match which.owner {
            Side::Local => self.second_stage(&built, vout, Some(preimage)),
            Side::Remote => {
                let script = &built.outputs[index(vout)].script;
                let witness = htlc_preimage_witness(&signature(), &preimage, script);
                spend(OutPoint { txid: built.txid(), vout }, witness)
            }
        }
    }

    /// Returns how the peer takes an HTLC of its own back from our newest commitment.
    pub(crate) fn peers_timeout(&self, htlc_id: HtlcId) -> Transaction {
        let built = self.built(Which { owner: Side::Local, behind_newest: 0 });
        let vout = vout_of(&built, htlc_id);
        let script = &built.outputs[index(vout)].script;
        let outpoint = OutPoint { txid: built.txid(), vout };
        spend(outpoint, htlc_timeout_witness(&signature(), script))
    }

    /// Says whether an HTLC has an output there.
    pub(crate) fn has_output(&self, which: Which, htlc_id: HtlcId) -> bool {
        find_vout(&self.built(which), htlc_id).is_some()
    }

    fn second_stage(
        &self,
        built: &CommitmentTx,
        vout: u32,
        preimage: Option<PaymentPreimage>,
    ) -> Transaction {
        let second = built.htlc_transaction(vout).expect("the output is an HTLC's");
        let mut transaction = second.transaction;
        let sighash = remote_htlc_sighash(self.parameters.format);
        transaction.input[0].witness =
            htlc_witness(&signature(), sighash, &signature(), preimage, &second.script);
        transaction
    }

    fn held(&self, which: Which) -> &Held {
        let all = match which.owner {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
        };
        &all[all.len() - 1 - which.behind_newest]
    }

    fn newest(&self, owner: Side) -> &Held {
        self.held(Which { owner, behind_newest: 0 })
    }

    fn built(&self, which: Which) -> CommitmentTx {
        self.build(which.owner, self.held(which))
    }

    fn build(&self, owner: Side, held: &Held) -> CommitmentTx {
        let htlcs: Vec<&Htlc> = held.htlcs.iter().collect();
        let (parameters, commitment) = (&self.parameters, &held.unsigned);
        build_commitment(&CommitmentInput { parameters, owner, commitment, htlcs: &htlcs })
            .expect("the amounts add up")
    }

    fn revocation(&mut self) -> UpdateStep {
        let number = self.held(Which { owner: Side::Remote, behind_newest: 1 }).unsigned.number;
        let secret = keys(PEERS_SEED, self.id).per_commitment_secret(number);
        UpdateStep::RemoteRevocation { number, secret }
    }

    fn next_remote(
        &mut self,
        mut next: Held,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> UpdateStep {
        self.renumber(Side::Remote, &mut next);
        let step = remote_commitment(&next.unsigned, added, removed);
        self.remote.push(next);
        UpdateStep::RemoteCommitment(step)
    }

    fn next_local(
        &mut self,
        mut next: Held,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> UpdateStep {
        self.renumber(Side::Local, &mut next);
        self.local.push(next);
        UpdateStep::LocalCommitment(self.local_commitment(added, removed))
    }

    fn renumber(&self, owner: Side, next: &mut Held) {
        let number = self.newest(owner).unsigned.number.next().expect("far from 2^48");
        next.unsigned.number = number;
        next.unsigned.per_commitment_point = point(self.id, owner, number);
    }

    fn local_commitment(
        &self,
        added: Vec<HtlcAdded>,
        removed: Vec<HtlcRemoved>,
    ) -> LocalCommitment {
        let held = self.newest(Side::Local);
        let outputs = self.build(Side::Local, held).outputs;
        let htlcs = outputs.iter().filter(|output| matches!(output.kind, OutputKind::Htlc { .. }));
        let unsigned = &held.unsigned;
        LocalCommitment {
            number: unsigned.number,
            per_commitment_point: unsigned.per_commitment_point,
            feerate_per_kw: unsigned.feerate_per_kw,
            to_local_msat: unsigned.to_local_msat,
            to_remote_msat: unsigned.to_remote_msat,
            added,
            removed,
            signature: signature(),
            htlc_signatures: htlcs.map(|_| signature()).collect(),
        }
    }

    fn update(&mut self, steps: Vec<UpdateStep>) -> MonitorUpdate {
        let update_id = self.next_update;
        self.next_update = update_id.next().expect("far from the last");
        MonitorUpdate { channel_id: self.id, update_id, steps }
    }
}

/// The balances of one side's commitment as the other side's has them.
fn mirrored(of: &UnsignedCommitment, onto: &UnsignedCommitment) -> UnsignedCommitment {
    UnsignedCommitment {
        to_local_msat: of.to_remote_msat,
        to_remote_msat: of.to_local_msat,
        ..onto.clone()
    }
}

fn point(id: ChannelId, owner: Side, number: CommitmentNumber) -> PublicKey {
    let seed = match owner {
        Side::Local => OUR_SEED,
        Side::Remote => PEERS_SEED,
    };
    point_of(&keys(seed, id).per_commitment_secret(number)).expect("a hash is a key")
}

fn remote_commitment(
    unsigned: &UnsignedCommitment,
    added: Vec<HtlcAdded>,
    removed: Vec<HtlcRemoved>,
) -> RemoteCommitment {
    RemoteCommitment {
        number: unsigned.number,
        per_commitment_point: unsigned.per_commitment_point,
        feerate_per_kw: unsigned.feerate_per_kw,
        to_local_msat: unsigned.to_local_msat,
        to_remote_msat: unsigned.to_remote_msat,
        added,
        removed,
    }
}

fn find_vout(built: &CommitmentTx, wanted: HtlcId) -> Option<u32> {
    let is_it = |output: &lastword_bolt3::CommitmentOutput| match output.kind {
        OutputKind::Htlc { htlc_id, .. } => htlc_id == wanted,
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => false,
    };
    let at = built.outputs.iter().position(is_it)?;
    u32::try_from(at).ok()
}

fn vout_of(built: &CommitmentTx, wanted: HtlcId) -> u32 {
    find_vout(built, wanted).expect("the scenario claims only what has an output")
}

fn index(vout: u32) -> usize {
    usize::try_from(vout).expect("it fits")
}

fn spend(previous_output: OutPoint, witness: Witness) -> Transaction {
    let input =
        TxIn { previous_output, script_sig: ScriptBuf::new(), sequence: Sequence::ZERO, witness };
    let output = TxOut { value: Amount::from_sat(1_000), script_pubkey: ScriptBuf::new() };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    }
}
