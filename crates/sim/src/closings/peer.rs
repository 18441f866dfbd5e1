//! What the peer takes once the channel of a scene is closed, honestly or not.
//!
//! Nothing is remembered: each time it looks at the best chain, and offers what its scripts and the
//! locks allow.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::{
    HtlcTx, htlc_preimage_witness, htlc_timeout_witness, htlc_witness, remote_htlc_sighash, rules,
};
use lastword_ports::{ChainErrorKind, SigningRequest};
use lastword_types::{PaymentPreimage, Side, SigningKey};

use super::case::{Closing, Known};
use super::channel::{Name, Which};
use super::scene::{Role, Scene};
use super::stage::Stage;
use crate::error::{SimError, Trying as _};
use crate::world::bank::sign_p2wpkh;

/// The peer shows a preimage in this block after the closing, where another failure is nearly final.
const PATIENCE: u32 = 4;

/// What the peer pays for a transaction of its own.
const FEE: Amount = Amount::from_sat(1_500);

/// An HTLC output that the peer may take in the next block.
struct Prey {
    which: Which,
    name: Name,
    outpoint: OutPoint,
    /// `None`: it takes its own HTLC back.
    preimage: Option<PaymentPreimage>,
}

/// Offers everything that the peer wants and may have in the next block.
pub(super) fn act(stage: &mut Stage, scene: &mut Scene) -> Result<(), SimError> {
    let funding = scene.channel.parameters.funding_outpoint;
    let Some(spend) = stage.index.spend(funding) else { return Ok(()) };
    let (closed, txid) = (spend.height, spend.transaction.compute_txid());
    let Some(which) = scene.channel.find(txid) else { return Ok(()) };
    for prey in prey(stage, scene, which, closed) {
        if !stage.world.is_unspent(prey.outpoint)? {
            continue;
        }
        let transaction = match which.0 {
            Side::Local => sweep(stage, scene, &prey)?,
            Side::Remote => second_stage(stage, scene, &prey)?,
        };
        match stage.world.broadcast(&transaction) {
            Ok(()) => {}
            Err(error) if error.kind == ChainErrorKind::Retry => {
                return Err(error).trying("offer a claim of the peer");
            }
            Err(error) => return Err(error).trying("make a claim of the peer"),
        }
    }
    Ok(())
}

fn prey(stage: &Stage, scene: &Scene, which: Which, closed: u32) -> Vec<Prey> {
    let next = stage.height() + 1;
    let csv_blocks = match which.0 {
        Side::Local => u32::from(rules(scene.case.format).csv_blocks),
        Side::Remote => 0,
    };
    if closed + csv_blocks > next {
        return Vec::new();
    }
    let shows_now = scene.case.closing == Closing::LongRevoked || closed + PATIENCE <= next;
    let wanted = scene.deals.iter().filter_map(|deal| {
        let offer = scene.channel.offers.get(&deal.name)?;
        let outpoint = scene.channel.output(which, deal.name)?;
        let preimage = match deal.name.0 {
            Side::Local if shows_now && is_willing(scene, deal.role) => Some(offer.preimage),
            Side::Remote if offer.expiry < next => None,
            Side::Local | Side::Remote => return None,
        };
        let is_there = stage.index.spend(outpoint).is_none();
        is_there.then_some(Prey { which, name: deal.name, outpoint, preimage })
    });
    wanted.collect()
}

/// Says whether the peer shows the preimage of an HTLC, whatever it has said of it before.
fn is_willing(scene: &Scene, role: Role) -> bool {
    match role {
        Role::Main | Role::Entering | Role::Leaving | Role::Failed | Role::Fulfilled => {
            scene.case.known == Known::OnChain
        }
        Role::Twin | Role::Mirror | Role::Trimmed => false,
    }
}

/// The peer's HTLC transaction on its own commitment.
fn second_stage(
    stage: &mut Stage,
    scene: &mut Scene,
    prey: &Prey,
) -> Result<Transaction, SimError> {
    let format = scene.case.format;
    let commitment = scene.channel.commitment(prey.which)?;
    let HtlcTx { mut transaction, amount, script, .. } = commitment
        .built
        .htlc_transaction(prey.outpoint.vout)
        .trying("build an HTLC transaction")?;
    let place = commitment.built.htlc_vouts().position(|vout| vout == prey.outpoint.vout);
    let ours = place.and_then(|place| commitment.htlc_signatures.get(place)).copied();
    let ours = ours.ok_or(SimError::new("an HTLC of the matrix has no signature"))?;
    let per_commitment_point = commitment.built.keys.per_commitment_point;
    if !rules(format).htlc_pays_fee {
        let (coin, value) = stage.peers_coin()?;
        transaction.input.push(input(coin, Sequence::MAX));
        let script_pubkey = stage.script(Side::Remote).clone();
        transaction.output.push(TxOut { value: value - FEE, script_pubkey });
        sign_p2wpkh(&mut transaction, 1, stage.wallet(Side::Remote), value)?;
    }
    let request = SigningRequest {
        channel_id: scene.channel.parameters.channel_id,
        key: SigningKey::Htlc { per_commitment_point },
        transaction: &transaction,
        input: 0,
        amount,
        script: &script,
        sighash: EcdsaSighashType::All,
    };
    let theirs = scene.channel.signature(Side::Remote, &request)?;
    let sighash = remote_htlc_sighash(format);
    let witness = htlc_witness(&ours, sighash, &theirs, prey.preimage, &script);
    transaction.input[0].witness = witness;
    Ok(transaction)
}

/// The peer's claim on the node's commitment.
fn sweep(stage: &Stage, scene: &mut Scene, prey: &Prey) -> Result<Transaction, SimError> {
    let commitment = scene.channel.commitment(prey.which)?;
    let vout = usize::try_from(prey.outpoint.vout).trying("count outputs")?;
    let output = commitment.built.outputs.get(vout).cloned();
    let output = output.ok_or(SimError::new("an HTLC of the matrix has no output"))?;
    let per_commitment_point = commitment.built.keys.per_commitment_point;
    let expiry = scene.channel.offers.get(&prey.name).map_or(0, |offer| offer.expiry);
    let lock_time = if prey.preimage.is_some() { 0 } else { expiry };
    let sequence = match rules(scene.case.format).csv_blocks {
        0 => Sequence::ENABLE_LOCKTIME_NO_RBF,
        blocks => Sequence::from_height(blocks),
    };
    let script_pubkey = stage.script(Side::Remote).clone();
    let mut transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(lock_time),
        input: vec![input(prey.outpoint, sequence)],
        output: vec![TxOut { value: output.amount - FEE, script_pubkey }],
    };
    let request = SigningRequest {
        channel_id: scene.channel.parameters.channel_id,
        key: SigningKey::Htlc { per_commitment_point },
        transaction: &transaction,
        input: 0,
        amount: output.amount,
        script: &output.script,
        sighash: EcdsaSighashType::All,
    };
    let signature = scene.channel.signature(Side::Remote, &request)?;
    transaction.input[0].witness = match &prey.preimage {
        Some(preimage) => htlc_preimage_witness(&signature, preimage, &output.script),
        None => htlc_timeout_witness(&signature, &output.script),
    };
    Ok(transaction)
}

fn input(previous_output: OutPoint, sequence: Sequence) -> TxIn {
    TxIn {
        previous_output,
        script_sig: bitcoin::ScriptBuf::new(),
        sequence,
        witness: Witness::new(),
    }
}
