//! [`CommitmentTx`] and [`HtlcTx`]: the transactions of one commitment.

use alloc::vec;
use alloc::vec::Vec;

use bitcoin::absolute::{Height, LockTime};
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelParameters, CommitmentFormat, CommitmentNumber, FeeRatePerKw,
    Htlc, HtlcDirection, HtlcId, Side, UnsignedCommitment,
};

use crate::error::Bolt3Error;
use crate::format::{Anchors, FormatRules, rules};
use crate::keys::CommitmentKeys;
use crate::scripts::{self, HtlcScripts};

/// The most HTLCs that one side may have offered in one commitment; a format may allow fewer
/// ([`FormatRules::max_accepted_htlcs`]).
///
/// Source: BOLT 2, `max_accepted_htlcs`.
pub const MAX_ACCEPTED_HTLCS: usize = 483;

/// What a commitment transaction is made of.
///
/// # Shape
///
/// `htlcs` are all HTLCs of this commitment, in any order.
///
/// Source: BOLT 3, "Commitment Transaction Construction".
#[derive(Debug, Clone, Copy)]
pub struct CommitmentInput<'a> {
    /// The channel.
    pub parameters: &'a ChannelParameters,
    /// Whose commitment it is.
    pub owner: Side,
    /// Its number, point, fee rate and balances.
    pub commitment: &'a UnsignedCommitment,
    /// Its HTLCs; their direction is seen from the local node, whoever owns the commitment.
    pub htlcs: &'a [&'a Htlc],
}

impl CommitmentInput<'_> {
    /// Says whether an HTLC is too small for an output of its own in this commitment.
    ///
    /// Source: BOLT 3, "Trimmed Outputs".
    pub fn is_trimmed(&self, htlc: &Htlc) -> bool {
        let is_success = !is_offered_by(self.owner, htlc.direction);
        let fee =
            rules(self.parameters.format).htlc_fee(self.commitment.feerate_per_kw, is_success);
        let left = htlc.amount_msat.to_sat_floor().checked_sub(fee);
        let dust_limit = self.parameters.side(self.owner).dust_limit;
        !left.is_some_and(|left| exists(left, dust_limit))
    }
}

/// A commitment transaction, and what each of its outputs is for.
///
/// # Shape
///
/// `outputs[n]` describes `transaction.output[n]`.
///
/// Source: BOLT 3, "Commitment Transaction".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentTx {
    /// The transaction, without witness.
    pub transaction: Transaction,
    /// What its outputs are for.
    pub outputs: Vec<CommitmentOutput>,
    /// The keys that they pay.
    pub keys: CommitmentKeys,
    owner: Side,
    format: CommitmentFormat,
    number: CommitmentNumber,
    feerate_per_kw: FeeRatePerKw,
    txid: Txid,
    fee: Amount,
    /// The script of `to_local` and of every HTLC transaction's output.
    delayed_script: ScriptBuf,
    /// The HTLC outputs by signature index.
    untrimmed: Vec<Untrimmed>,
    trimmed: Vec<(HtlcDirection, HtlcId)>,
}

/// Where an HTLC output is and when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Untrimmed {
    vout: u32,
    cltv_expiry: BlockHeight,
}

/// What one output of a commitment transaction is for.
///
/// Source: BOLT 3, "Commitment Transaction Outputs".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentOutput {
    /// Its kind.
    pub kind: OutputKind,
    /// Its witness script, or for a P2WPKH or P2A output its script pubkey.
    pub script: ScriptBuf,
    /// Its value.
    pub amount: Amount,
}

/// The kinds of outputs that a commitment transaction may have.
///
/// Source: BOLT 3, "Commitment Transaction Outputs".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// The owner's balance, delayed and revocable.
    ToLocal,
    /// The other side's balance.
    ToRemote,
    /// The anchor of this side of the channel.
    Anchor(Side),
    /// The anchor that is nobody's: a child of anybody may spend it, and what it holds is part of
    /// the fee.
    SharedAnchor,
    /// An HTLC.
    Htlc {
        /// Who offered it, seen from the local node.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
        /// The place of the signature on its HTLC transaction.
        signature_index: usize,
    },
}

/// The HTLC-success or HTLC-timeout transaction of an HTLC output.
///
/// Source: BOLT 3, "HTLC-Timeout and HTLC-Success Transactions".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtlcTx {
    /// The transaction, without witness.
    pub transaction: Transaction,
    /// The witness script of the HTLC output that it spends.
    pub script: ScriptBuf,
    /// The value of that output.
    pub amount: Amount,
    /// The witness script of its own output.
    pub output_script: ScriptBuf,
    /// Whether it is the HTLC-success transaction, which needs the preimage.
    pub is_success: bool,
}

/// Builds a commitment transaction.
///
/// An opener whose balance does not pay the fee pays with all of it (BOLT 3, "Fee Payment").
///
/// # Errors
///
/// [`Bolt3Error`] if the amounts, ids or expiries cannot be those of a commitment: the balances and
/// HTLCs must be worth the funding output to the millisatoshi.
///
/// Source: BOLT 3, "Commitment Transaction Construction".
pub fn build_commitment(input: &CommitmentInput<'_>) -> Result<CommitmentTx, Bolt3Error> {
    check_htlcs(input)?;
    check_amounts(input)?;
    let point = &input.commitment.per_commitment_point;
    let keys = CommitmentKeys::derive(input.parameters, input.owner, point)?;
    let rules = rules(input.parameters.format);
    let own = input.parameters.side(input.owner);
    let delayed_script =
        scripts::to_local(&keys.revocation_pubkey, &keys.delayed_pubkey, own.to_self_delay);

    let (mut drafts, mut trimmed) = htlc_drafts(input, rules, &keys);
    add_main_drafts(&mut drafts, input, &keys, &delayed_script);
    if let Anchors::Shared(most) = rules.anchors {
        // It takes first what would be a fee, so that a commitment with dust in it pays none.
        let left = fee_left(input.parameters.funding_amount, &drafts)?;
        let script = scripts::shared_anchor();
        drafts.push(Draft::new(Purpose::SharedAnchor, script, left.min(most)));
    }
    drafts.sort_by(|left, right| left.key().cmp(&right.key()));
    trimmed.sort_unstable();
    if drafts.is_empty() {
        return Err(Bolt3Error::NoOutputs);
    }
    let fee = fee_left(input.parameters.funding_amount, &drafts)?;

    let (sequence, lock_time) = number_marks(input.parameters, input.commitment.number);
    let mut transaction = Transaction {
        version: rules.version,
        lock_time: LockTime::from_consensus(lock_time),
        input: vec![funding_input(input.parameters.funding_outpoint, sequence)],
        output: Vec::with_capacity(drafts.len()),
    };
    let mut outputs = Vec::with_capacity(drafts.len());
    let mut untrimmed = Vec::new();
    for (vout, draft) in (0u32..).zip(drafts) {
        let kind = draft.kind(untrimmed.len());
        if let Purpose::Htlc { cltv_expiry, .. } = draft.purpose {
            untrimmed.push(Untrimmed { vout, cltv_expiry });
        }
        let Draft { amount, script, script_pubkey, .. } = draft;
        transaction.output.push(TxOut { value: amount, script_pubkey });
        outputs.push(CommitmentOutput { kind, script, amount });
    }
    Ok(CommitmentTx {
        txid: transaction.compute_txid(),
        transaction,
        outputs,
        keys,
        owner: input.owner,
        format: input.parameters.format,
        number: input.commitment.number,
        feerate_per_kw: input.commitment.feerate_per_kw,
        fee,
        delayed_script,
        untrimmed,
        trimmed,
    })
}

impl CommitmentTx {
    /// Returns whose commitment it is.
    pub fn owner(&self) -> Side {
        self.owner
    }

    /// Returns its format.
    pub fn format(&self) -> CommitmentFormat {
        self.format
    }

    /// Returns its number.
    pub fn number(&self) -> CommitmentNumber {
        self.number
    }

    /// Returns its txid, computed once.
    pub fn txid(&self) -> Txid {
        self.txid
    }

    /// Returns the fee that it pays: what the funding output is worth more than the outputs.
    ///
    /// # Units
    ///
    /// With what rounding and trimming left over (BOLT 3, "Fees").
    pub fn fee(&self) -> Amount {
        self.fee
    }

    /// Returns the HTLCs that are too small to have an output, sorted.
    ///
    /// Source: BOLT 3, "Trimmed Outputs".
    pub fn trimmed(&self) -> &[(HtlcDirection, HtlcId)] {
        &self.trimmed
    }

    /// Returns the output index of each HTLC output, in the order of the HTLC signatures.
    ///
    /// Source: BOLT 2, `commitment_signed`.
    pub fn htlc_vouts(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.untrimmed.iter().map(|htlc| htlc.vout)
    }

    /// Builds the HTLC transaction that spends an output.
    ///
    /// # Errors
    ///
    /// [`Bolt3Error::NoSuchOutput`] or [`Bolt3Error::NotAnHtlc`]
    ///
    /// Source: BOLT 3, "HTLC-Timeout and HTLC-Success Transactions".
    pub fn htlc_transaction(&self, vout: u32) -> Result<HtlcTx, Bolt3Error> {
        let output = usize::try_from(vout)
            .ok()
            .and_then(|vout| self.outputs.get(vout))
            .ok_or(Bolt3Error::NoSuchOutput { vout })?;
        let OutputKind::Htlc { direction, signature_index, .. } = output.kind else {
            return Err(Bolt3Error::NotAnHtlc { vout });
        };
        let htlc = self.untrimmed.get(signature_index).ok_or(Bolt3Error::NotAnHtlc { vout })?;
        let is_success = !is_offered_by(self.owner, direction);
        let rules = rules(self.format);
        let fee = rules.htlc_fee(self.feerate_per_kw, is_success);
        let value = output.amount.checked_sub(fee).ok_or(Bolt3Error::AmountOverflow)?;
        let lock_time = if is_success { 0 } else { htlc.cltv_expiry.0 };
        let transaction = Transaction {
            version: rules.version,
            lock_time: LockTime::from_consensus(lock_time),
            input: vec![TxIn {
                previous_output: OutPoint { txid: self.txid, vout },
                script_sig: ScriptBuf::new(),
                sequence: Sequence(u32::from(rules.csv_blocks)),
                witness: Witness::new(),
            }],
            output: vec![TxOut { value, script_pubkey: self.delayed_script.to_p2wsh() }],
        };
        Ok(HtlcTx {
            transaction,
            script: output.script.clone(),
            amount: output.amount,
            output_script: self.delayed_script.clone(),
            is_success,
        })
    }
}

/// Reads the number of a commitment transaction, or `None` if it is not one: another input than the
/// funding output, or other marks in lock time and sequence.
///
/// A closing transaction never has these marks. The number does not say whose commitment it is.
///
/// Source: BOLT 3, "Commitment Transaction".
pub fn commitment_number(
    parameters: &ChannelParameters,
    transaction: &Transaction,
) -> Option<CommitmentNumber> {
    let [input] = transaction.input.as_slice() else { return None };
    let (sequence, lock_time) = (input.sequence.0, transaction.lock_time.to_consensus_u32());
    if input.previous_output != parameters.funding_outpoint
        || sequence >> 24 != SEQUENCE_MARK
        || lock_time >> 24 != LOCK_TIME_MARK
    {
        return None;
    }
    let obscured = u64::from(sequence & LOW_24_BITS) << 24 | u64::from(lock_time & LOW_24_BITS);
    CommitmentNumber::new(obscured ^ obscuring_factor(parameters))
}

/// Returns the 48 bits that hide the number of every commitment of a channel.
///
/// Source: BOLT 3, "Commitment Transaction".
pub fn obscuring_factor(parameters: &ChannelParameters) -> u64 {
    let opener = parameters.side(parameters.opener);
    let accepter = parameters.side(parameters.opener.other());
    let mut engine = sha256::Hash::engine();
    engine.input(&opener.payment_basepoint.serialize());
    engine.input(&accepter.payment_basepoint.serialize());
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    hash[26..].iter().fold(0, |factor, byte| factor << 8 | u64::from(*byte))
}

/// Says whether the owner of a commitment offered the HTLC, whose direction is the local node's.
pub(crate) fn is_offered_by(owner: Side, direction: HtlcDirection) -> bool {
    match owner {
        Side::Local => direction == HtlcDirection::Offered,
        Side::Remote => direction == HtlcDirection::Received,
    }
}

const SEQUENCE_MARK: u32 = 0x80;
const LOCK_TIME_MARK: u32 = 0x20;
const LOW_24_BITS: u32 = 0x00ff_ffff;

/// An output before its place is known.
struct Draft {
    purpose: Purpose,
    script: ScriptBuf,
    script_pubkey: ScriptBuf,
    amount: Amount,
}

#[derive(Clone, Copy)]
enum Purpose {
    ToLocal,
    ToRemote,
    Anchor(Side),
    SharedAnchor,
    Htlc { direction: HtlcDirection, htlc_id: HtlcId, cltv_expiry: BlockHeight },
}

impl Draft {
    fn new(purpose: Purpose, script: ScriptBuf, amount: Amount) -> Self {
        let script_pubkey = scripts::script_pubkey(&script);
        Self { purpose, script, script_pubkey, amount }
    }

    /// BOLT 3, "Transaction Output Ordering": value, script, expiry. The id comes last, so that
    /// HTLCs with equal outputs have one order too.
    fn key(&self) -> (Amount, &[u8], BlockHeight, HtlcId) {
        let (cltv_expiry, htlc_id) = match self.purpose {
            Purpose::Htlc { cltv_expiry, htlc_id, .. } => (cltv_expiry, htlc_id),
            Purpose::ToLocal | Purpose::ToRemote | Purpose::Anchor(_) | Purpose::SharedAnchor => {
                (BlockHeight(0), HtlcId(0))
            }
        };
        (self.amount, self.script_pubkey.as_bytes(), cltv_expiry, htlc_id)
    }

    fn kind(&self, signature_index: usize) -> OutputKind {
        match self.purpose {
            Purpose::ToLocal => OutputKind::ToLocal,
            Purpose::ToRemote => OutputKind::ToRemote,
            Purpose::Anchor(side) => OutputKind::Anchor(side),
            Purpose::SharedAnchor => OutputKind::SharedAnchor,
            Purpose::Htlc { direction, htlc_id, .. } => {
                OutputKind::Htlc { direction, htlc_id, signature_index }
            }
        }
    }
}

fn check_htlcs(input: &CommitmentInput<'_>) -> Result<(), Bolt3Error> {
    let CommitmentInput { parameters, htlcs, .. } = *input;
    let mut ids: Vec<_> = htlcs.iter().map(|htlc| (htlc.direction, htlc.htlc_id)).collect();
    ids.sort_unstable();
    if let Some([(direction, htlc_id), _]) = ids.array_windows().find(|[left, right]| left == right)
    {
        return Err(Bolt3Error::DuplicateHtlc { direction: *direction, htlc_id: *htlc_id });
    }
    let offered = ids.partition_point(|(direction, _)| *direction == HtlcDirection::Offered);
    let count = offered.max(ids.len() - offered);
    if count > rules(parameters.format).max_accepted_htlcs {
        return Err(Bolt3Error::TooManyHtlcs { count });
    }
    match htlcs.iter().find(|htlc| Height::from_consensus(htlc.cltv_expiry.0).is_err()) {
        None => Ok(()),
        Some(htlc) => Err(Bolt3Error::ExpiryOutOfRange {
            direction: htlc.direction,
            htlc_id: htlc.htlc_id,
            cltv_expiry: htlc.cltv_expiry,
        }),
    }
}

fn check_amounts(input: &CommitmentInput<'_>) -> Result<(), Bolt3Error> {
    let balances = [input.commitment.to_local_msat, input.commitment.to_remote_msat];
    let got = balances
        .into_iter()
        .chain(input.htlcs.iter().map(|htlc| htlc.amount_msat))
        .try_fold(AmountMsat::ZERO, AmountMsat::checked_add)
        .ok_or(Bolt3Error::AmountOverflow)?;
    let expected =
        AmountMsat::from_sat(input.parameters.funding_amount).ok_or(Bolt3Error::AmountOverflow)?;
    if got == expected { Ok(()) } else { Err(Bolt3Error::AmountsDoNotSum { expected, got }) }
}

/// Returns the outputs of the untrimmed HTLCs, and the others.
fn htlc_drafts(
    input: &CommitmentInput<'_>,
    rules: &FormatRules,
    keys: &CommitmentKeys,
) -> (Vec<Draft>, Vec<(HtlcDirection, HtlcId)>) {
    let scripts = HtlcScripts::new(rules, keys);
    // Two main outputs and two anchors may follow.
    let mut drafts = Vec::with_capacity(input.htlcs.len() + 4);
    let mut trimmed = Vec::new();
    for htlc in input.htlcs {
        let is_offered = is_offered_by(input.owner, htlc.direction);
        let amount = htlc.amount_msat.to_sat_floor();
        if input.is_trimmed(htlc) {
            trimmed.push((htlc.direction, htlc.htlc_id));
            continue;
        }
        let script = if is_offered {
            scripts.offered(htlc.payment_hash.hash160())
        } else {
            scripts.received(htlc.payment_hash.hash160(), htlc.cltv_expiry)
        };
        let Htlc { direction, htlc_id, cltv_expiry, .. } = **htlc;
        drafts.push(Draft::new(Purpose::Htlc { direction, htlc_id, cltv_expiry }, script, amount));
    }
    (drafts, trimmed)
}

/// Adds the balances and the anchors, which depend on whether there is an HTLC output.
fn add_main_drafts(
    drafts: &mut Vec<Draft>,
    input: &CommitmentInput<'_>,
    keys: &CommitmentKeys,
    delayed_script: &ScriptBuf,
) {
    let CommitmentInput { parameters, owner, commitment, .. } = *input;
    let rules = rules(parameters.format);
    let dust_limit = parameters.side(owner).dust_limit;
    let anchor_amount = match rules.anchors {
        Anchors::None | Anchors::Shared(_) => Amount::ZERO,
        Anchors::OneForEachSide(amount) => amount,
    };
    let cost = rules
        .commitment_fee(commitment.feerate_per_kw, drafts.len())
        .checked_add(anchor_amount * 2)
        .unwrap_or(Amount::MAX);
    // The opener pays for the fee and for both anchors, with all it has if that is not enough.
    let balance = |side: Side, balance_msat: AmountMsat| {
        let balance = balance_msat.to_sat_floor();
        let cost = if side == parameters.opener { cost } else { Amount::ZERO };
        let left = balance.checked_sub(cost).unwrap_or(Amount::ZERO);
        exists(left, dust_limit).then_some(left)
    };
    let to_local = balance(owner, commitment.to_local_msat);
    let to_remote = balance(owner.other(), commitment.to_remote_msat);

    let has_htlcs = !drafts.is_empty();
    if let Anchors::OneForEachSide(amount) = rules.anchors {
        let anchors = [(owner, to_local), (owner.other(), to_remote)];
        for (side, _) in anchors.into_iter().filter(|(_, main)| has_htlcs || main.is_some()) {
            let script = scripts::anchor(&parameters.side(side).funding_pubkey);
            drafts.push(Draft::new(Purpose::Anchor(side), script, amount));
        }
    }
    if let Some(amount) = to_local {
        drafts.push(Draft::new(Purpose::ToLocal, delayed_script.clone(), amount));
    }
    if let Some(amount) = to_remote {
        let script = (rules.to_remote)(&keys.to_remote_pubkey);
        drafts.push(Draft::new(Purpose::ToRemote, script, amount));
    }
}

/// Says whether an output of this value may be there. A dust limit of nothing, which BOLT 2 forbids,
/// still gives no output of nothing.
fn exists(amount: Amount, dust_limit: Amount) -> bool {
    amount > Amount::ZERO && amount >= dust_limit
}

fn fee_left(funding: Amount, drafts: &[Draft]) -> Result<Amount, Bolt3Error> {
    let outputs = drafts
        .iter()
        .try_fold(Amount::ZERO, |sum, draft| sum.checked_add(draft.amount))
        .ok_or(Bolt3Error::AmountOverflow)?;
    funding.checked_sub(outputs).ok_or(Bolt3Error::OutputsExceedFunding { funding, outputs })
}

fn funding_input(funding_outpoint: OutPoint, sequence: u32) -> TxIn {
    TxIn {
        previous_output: funding_outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence(sequence),
        witness: Witness::new(),
    }
}

/// Hides a commitment number in a sequence and a lock time.
fn number_marks(parameters: &ChannelParameters, number: CommitmentNumber) -> (u32, u32) {
    let obscured = number.value() ^ obscuring_factor(parameters);
    let low_24 = |bits: u64| u32::try_from(bits & u64::from(LOW_24_BITS)).unwrap_or(LOW_24_BITS);
    (SEQUENCE_MARK << 24 | low_24(obscured >> 24), LOCK_TIME_MARK << 24 | low_24(obscured))
}
