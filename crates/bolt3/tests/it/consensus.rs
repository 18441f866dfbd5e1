//! Every spend of every output, judged by Bitcoin Core's own interpreter.

use bitcoin::consensus::serialize;
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Transaction, Witness};
use lastword_bolt3::{
    ChannelKeys, CommitmentTx, HtlcSpend, HtlcTx, InMemorySigner, OutputKind, anchor_witness,
    delayed_witness, derive_revocation_private_key, funding_script, funding_witness,
    generate_from_seed, htlc_preimage_witness, htlc_revocation_witness, htlc_timeout_witness,
    htlc_witness, payment_key_hash_witness, payment_key_witness, read_htlc_spend,
    remote_htlc_sighash, revocation_witness, rules, script_pubkey, sign_commitment,
};
use lastword_ports::{ChannelSigner as _, SignerError, SigningRequest};
use lastword_types::{
    ChannelId, CommitmentFormat, Htlc, HtlcDirection, PaymentHash, PaymentPreimage, Side,
    SigningKey,
};

use crate::support::{
    Channel, FORMATS, SIDES, build, htlc, mirrored, mirrored_htlc, number, signer, spend,
};

const EXPIRY: u32 = 700_000;
const PREIMAGES: [PaymentPreimage; 2] = [PaymentPreimage([1; 32]), PaymentPreimage([2; 32])];

#[test]
fn the_funding_output_takes_both_signatures() {
    for (channel, commitment) in scenes() {
        let parameters = &channel.parameters;
        let (local, remote) = (parameters.local.funding_pubkey, parameters.remote.funding_pubkey);
        let script = funding_script(&local, &remote);
        let output = (&script, parameters.funding_amount);
        let mut transaction = commitment.transaction.clone();
        let [ours, theirs] =
            SIDES.map(|side| channel.sign(side, SigningKey::Funding, &transaction, output));
        let witness = funding_witness(&script, &ours, &local, &theirs, &remote);
        check(&mut transaction, output, &witness, true);
        // The order of the keys, not of the sides, decides; a wrong order is refused.
        let same = funding_witness(&script, &theirs, &remote, &ours, &local);
        assert_eq!(same, witness);
        let wrong = funding_witness(&script, &theirs, &local, &ours, &remote);
        check(&mut transaction, output, &wrong, false);
    }
}

#[test]
fn a_spliced_funding_is_signed_with_the_key_that_its_script_names() {
    let secp = Secp256k1::signing_only();
    let keys = [1, 2].map(|n| ChannelKeys::derive(&[n; 32], &[9; 32]));
    for (mut channel, commitment) in scenes() {
        let mut signers = keys.clone().map(|keys| {
            let mut signer = InMemorySigner::new();
            signer.insert(channel.parameters.channel_id, keys);
            signer
        });
        let spliced = keys.clone().map(|keys| keys.spliced_funding(1));
        let [local, remote] = spliced.map(|key| key.public_key(&secp));
        assert_ne!(local, keys[0].funding.public_key(&secp));
        assert_ne!(local, keys[0].spliced_funding(2).public_key(&secp));
        channel.parameters.local.funding_pubkey = local;
        channel.parameters.remote.funding_pubkey = remote;
        let script = funding_script(&local, &remote);
        let amount = channel.parameters.funding_amount;
        let mut transaction = commitment.transaction.clone();
        for is_known in [false, true] {
            let [ours, theirs] = [0, 1].map(|node: usize| {
                if is_known {
                    let channel_id = channel.parameters.channel_id;
                    signers[node].insert_funding(channel_id, spliced[node]).unwrap();
                }
                signers[node]
                    .sign(&SigningRequest {
                        channel_id: channel.parameters.channel_id,
                        key: SigningKey::Funding,
                        transaction: &transaction,
                        input: 0,
                        amount,
                        script: &script,
                        sighash: EcdsaSighashType::All,
                    })
                    .unwrap()
            });
            let witness = funding_witness(&script, &ours, &local, &theirs, &remote);
            check(&mut transaction, (&script, amount), &witness, is_known);
        }
    }
    let (unknown, key) = (ChannelId([0x55; 32]), keys[0].funding);
    let refused = InMemorySigner::new().insert_funding(unknown, key);
    assert_eq!(refused, Err(SignerError::UnknownChannel(unknown)));
}

#[test]
fn htlc_transactions_take_the_htlc_outputs_of_their_owner() {
    let mut successes = 0;
    for (channel, commitment) in scenes() {
        let signatures = others_signatures(&channel, &commitment);
        for (vout, theirs) in commitment.htlc_vouts().zip(&signatures) {
            let HtlcTx { transaction, script, amount, is_success, .. } =
                commitment.htlc_transaction(vout).unwrap();
            let output = (&script, amount);
            let key = htlc_key(&commitment);
            let ours = channel.sign(commitment.owner(), key, &transaction, output);
            let (hash, preimage) = hash_of(&commitment, vout);
            let shown = is_success.then_some(preimage);
            let sighash = remote_htlc_sighash(commitment.format());
            let witness = htlc_witness(theirs, sighash, &ours, shown, &script);
            check(&mut transaction.clone(), output, &witness, true);
            let expected = shown.map_or(HtlcSpend::Timeout, HtlcSpend::Preimage);
            assert_eq!(read_htlc_spend(&witness, &script, &hash), expected);
            successes += usize::from(is_success);

            // The other branch, another preimage, another lock: all refused.
            let other = if is_success { None } else { Some(preimage) };
            let wrong = htlc_witness(theirs, sighash, &ours, other, &script);
            check(&mut transaction.clone(), output, &wrong, false);
            let wrong = Some(PaymentPreimage([0x55; 32]));
            let wrong = htlc_witness(theirs, sighash, &ours, wrong, &script);
            check(&mut transaction.clone(), output, &wrong, false);
        }
    }
    assert_eq!(successes, 6, "one of two in each format and for each owner");
}

#[test]
fn an_htlc_transaction_takes_a_fee_input_where_it_pays_no_fee_and_nowhere_else() {
    for (channel, commitment) in scenes() {
        let signatures = others_signatures(&channel, &commitment);
        let vout = commitment.htlc_vouts().next().unwrap();
        let HtlcTx { mut transaction, script, amount, is_success, .. } =
            commitment.htlc_transaction(vout).unwrap();
        let paid = spend(OutPoint::null(), Amount::from_sat(1000), 0, 0);
        transaction.input.extend(paid.input);
        transaction.output.extend(paid.output);
        let output = (&script, amount);
        let key = htlc_key(&commitment);
        let ours = channel.sign(commitment.owner(), key, &transaction, output);
        let shown = is_success.then_some(hash_of(&commitment, vout).1);
        let sighash = remote_htlc_sighash(commitment.format());
        let witness = htlc_witness(&signatures[0], sighash, &ours, shown, &script);
        let takes_more = commitment.format() != CommitmentFormat::StaticRemoteKey;
        check(&mut transaction, output, &witness, takes_more);
    }
}

#[test]
fn delayed_outputs_wait_for_the_delay_and_fall_to_the_revocation_key() {
    for (channel, commitment) in scenes() {
        let owner = commitment.owner();
        let delay = u32::from(channel.parameters.side(owner).to_self_delay.0);
        let point = commitment.keys.per_commitment_point;
        let vout = commitment.htlc_vouts().next().unwrap();
        let second = commitment.htlc_transaction(vout).unwrap();
        let second_output = (
            OutPoint { txid: second.transaction.compute_txid(), vout: 0 },
            &second.output_script,
            second.transaction.output[0].value,
        );
        for (outpoint, script, amount) in [output(&commitment, OutputKind::ToLocal), second_output]
        {
            let key = SigningKey::DelayedPayment { per_commitment_point: point };
            for (wait, is_good) in [(delay, true), (delay - 1, false)] {
                let mut transaction = spend(outpoint, amount, wait, 0);
                let signature = channel.sign(owner, key, &transaction, (script, amount));
                let witness = delayed_witness(&signature, script);
                check(&mut transaction, (script, amount), &witness, is_good);
            }
            let mut transaction = spend(outpoint, amount, u32::MAX, 0);
            let secret = revocation_secret(&channel, &commitment);
            let signature = sign_with(&secret, &transaction, (script, amount));
            let witness = revocation_witness(&signature, script);
            check(&mut transaction, (script, amount), &witness, true);
            let wrong = delayed_witness(&signature, script);
            check(&mut transaction, (script, amount), &wrong, false);
        }
    }
}

/// T-6: the other side takes `to_remote`, with anchors one block later.
#[test]
fn to_remote_falls_to_the_payment_key() {
    for (channel, commitment) in scenes() {
        let other = commitment.owner().other();
        let (outpoint, script, amount) = output(&commitment, OutputKind::ToRemote);
        let is_anchors = commitment.format() == CommitmentFormat::AnchorsZeroFeeHtlc;
        for wait in [1, 0] {
            let mut transaction = spend(outpoint, amount, wait, 0);
            let payment = SigningKey::Payment;
            let signature = channel.sign(other, payment, &transaction, (script, amount));
            let pubkey = channel.parameters.side(other).payment_basepoint;
            let witness = if is_anchors {
                payment_key_witness(&signature, script)
            } else {
                payment_key_hash_witness(&signature, &pubkey)
            };
            check(&mut transaction, (script, amount), &witness, wait == 1 || !is_anchors);
        }
    }
}

#[test]
fn an_anchor_falls_to_its_owner_at_once_and_to_anybody_after_sixteen_blocks() {
    let mut anchors = 0;
    for (channel, commitment) in scenes() {
        for side in SIDES {
            let kind = OutputKind::Anchor(side);
            if !commitment.outputs.iter().any(|output| output.kind == kind) {
                continue;
            }
            let (outpoint, script, amount) = output(&commitment, kind);
            let mut transaction = spend(outpoint, amount, 0, 0);
            let key = SigningKey::Funding;
            let signature = channel.sign(side, key, &transaction, (script, amount));
            check(&mut transaction, (script, amount), &anchor_witness(&signature, script), true);
            let anybody = Witness::from_slice(&[&[], script.as_bytes()]);
            for (wait, is_good) in [(16, true), (15, false)] {
                let mut transaction = spend(outpoint, amount, wait, 0);
                check(&mut transaction, (script, amount), &anybody, is_good);
            }
            anchors += 1;
        }
    }
    assert_eq!(anchors, 4, "two in each commitment with anchors");
}

/// T-7: what the side that does not own the commitment does with its HTLC outputs.
#[test]
fn the_other_side_takes_htlc_outputs_with_the_preimage_or_after_the_expiry() {
    let mut timeouts = 0;
    for (channel, commitment) in scenes() {
        let other = commitment.owner().other();
        let wait = u32::from(rules(commitment.format()).csv_blocks);
        for vout in commitment.htlc_vouts() {
            // What the owner takes by HTLC-success, the other side takes back after the expiry.
            let is_timeout = commitment.htlc_transaction(vout).unwrap().is_success;
            let HtlcTx { script, amount, .. } = commitment.htlc_transaction(vout).unwrap();
            let (hash, preimage) = hash_of(&commitment, vout);
            let outpoint = OutPoint { txid: commitment.txid(), vout };
            let witness_at = |sequence, lock_time| {
                let transaction = spend(outpoint, amount, sequence, lock_time);
                let key = htlc_key(&commitment);
                let signature = channel.sign(other, key, &transaction, (&script, amount));
                let witness = if is_timeout {
                    htlc_timeout_witness(&signature, &script)
                } else {
                    htlc_preimage_witness(&signature, &preimage, &script)
                };
                (transaction, witness)
            };
            let lock_time = if is_timeout { EXPIRY } else { 0 };
            let (mut transaction, witness) = witness_at(wait, lock_time);
            check(&mut transaction, (&script, amount), &witness, true);
            let expected =
                if is_timeout { HtlcSpend::Timeout } else { HtlcSpend::Preimage(preimage) };
            assert_eq!(read_htlc_spend(&witness, &script, &hash), expected);

            let (mut early, witness) = witness_at(wait, EXPIRY - 1);
            check(&mut early, (&script, amount), &witness, !is_timeout);
            if let Some(shorter) = wait.checked_sub(1) {
                let (mut early, witness) = witness_at(shorter, lock_time);
                check(&mut early, (&script, amount), &witness, false);
            }
            timeouts += usize::from(is_timeout);
        }
    }
    assert_eq!(timeouts, 6, "one of two in each format and for each owner");
}

#[test]
fn the_revocation_key_takes_htlc_outputs() {
    for (channel, commitment) in scenes() {
        let secret = revocation_secret(&channel, &commitment);
        for vout in commitment.htlc_vouts() {
            let HtlcTx { script, amount, .. } = commitment.htlc_transaction(vout).unwrap();
            let outpoint = OutPoint { txid: commitment.txid(), vout };
            let wait = u32::from(rules(commitment.format()).csv_blocks);
            let mut transaction = spend(outpoint, amount, wait, 0);
            let signature = sign_with(&secret, &transaction, (&script, amount));
            let pubkey = commitment.keys.revocation_pubkey;
            let witness = htlc_revocation_witness(&signature, &pubkey, &script);
            check(&mut transaction, (&script, amount), &witness, true);
            let hash = hash_of(&commitment, vout).0;
            assert_eq!(read_htlc_spend(&witness, &script, &hash), HtlcSpend::Revocation);
        }
    }
}

/// A commitment of each format and owner, with an offered and a received HTLC.
pub(crate) fn scenes() -> impl Iterator<Item = (Channel, CommitmentTx)> {
    FORMATS.into_iter().flat_map(|format| SIDES.map(|owner| (format, owner))).map(
        |(format, owner)| {
            let channel = Channel::new(format);
            let commitment = channel.commitment(owner, 253, &htlcs()).unwrap();
            (channel, commitment)
        },
    )
}

fn htlcs() -> [Htlc; 2] {
    [
        htlc(HtlcDirection::Offered, 0, 20_000_000, 1, EXPIRY),
        htlc(HtlcDirection::Received, 0, 30_000_000, 2, EXPIRY),
    ]
}

pub(crate) fn hash_of(commitment: &CommitmentTx, vout: u32) -> (PaymentHash, PaymentPreimage) {
    let preimage = match commitment.outputs[usize::try_from(vout).unwrap()].kind {
        OutputKind::Htlc { direction: HtlcDirection::Offered, .. } => PREIMAGES[0],
        OutputKind::Htlc { direction: HtlcDirection::Received, .. } => PREIMAGES[1],
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => {
            panic!("output {vout} is no HTLC")
        }
    };
    (preimage.payment_hash(), preimage)
}

pub(crate) fn htlc_key(commitment: &CommitmentTx) -> SigningKey {
    SigningKey::Htlc { per_commitment_point: commitment.keys.per_commitment_point }
}

/// Returns what the other side signs of the owner's HTLC transactions.
fn others_signatures(
    channel: &Channel,
    commitment: &CommitmentTx,
) -> Vec<bitcoin::secp256k1::ecdsa::Signature> {
    let other = commitment.owner().other();
    let mut signer = signer(channel.keys(other));
    if other == Side::Local {
        return sign_commitment(&mut signer, &channel.parameters, commitment).unwrap().1;
    }
    // The peer signs what it sees as the peer's commitment.
    let parameters = mirrored(&channel.parameters);
    let sum: u64 = commitment.htlc_vouts().count() as u64 * 25_000_000;
    let half = parameters.funding_amount.to_sat() * 500;
    let unsigned = lastword_types::UnsignedCommitment {
        number: commitment.number(),
        per_commitment_point: commitment.keys.per_commitment_point,
        feerate_per_kw: lastword_types::FeeRatePerKw(253),
        to_local_msat: lastword_types::AmountMsat(half - sum),
        to_remote_msat: lastword_types::AmountMsat(half),
    };
    let theirs =
        build(&parameters, Side::Remote, &unsigned, &htlcs().map(|it| mirrored_htlc(&it))).unwrap();
    assert_eq!(theirs.transaction, commitment.transaction);
    sign_commitment(&mut signer, &parameters, &theirs).unwrap().1
}

pub(crate) fn revocation_secret(channel: &Channel, commitment: &CommitmentTx) -> SecretKey {
    let owner = commitment.owner();
    let index = number(42).secret_index();
    let secret = generate_from_seed(&channel.keys(owner).commitment_seed, index);
    let secret = SecretKey::from_slice(&secret.0).unwrap();
    let base = &channel.keys(owner.other()).revocation_base;
    let revocation = derive_revocation_private_key(base, &secret).unwrap();
    let public = PublicKey::from_secret_key(&Secp256k1::new(), &revocation);
    assert_eq!(public, commitment.keys.revocation_pubkey);
    revocation
}

pub(crate) fn sign_with(
    secret: &SecretKey,
    transaction: &Transaction,
    (script, amount): (&ScriptBuf, Amount),
) -> bitcoin::secp256k1::ecdsa::Signature {
    let sighash = bitcoin::sighash::SighashCache::new(transaction)
        .p2wsh_signature_hash(0, script, amount, EcdsaSighashType::All)
        .unwrap();
    Secp256k1::new().sign_ecdsa(&sighash.into(), secret)
}

fn output(commitment: &CommitmentTx, kind: OutputKind) -> (OutPoint, &ScriptBuf, Amount) {
    let at = commitment.outputs.iter().position(|output| output.kind == kind).unwrap();
    let output = &commitment.outputs[at];
    let vout = u32::try_from(at).unwrap();
    (OutPoint { txid: commitment.txid(), vout }, &output.script, output.amount)
}

fn check(
    transaction: &mut Transaction,
    output: (&ScriptBuf, Amount),
    witness: &Witness,
    is_good: bool,
) {
    transaction.input[0].witness = witness.clone();
    assert_eq!(accepts(transaction, output), is_good, "{witness:?}");
}

/// Asks Bitcoin Core whether the first input may spend the output.
pub(crate) fn accepts(transaction: &Transaction, (script, amount): (&ScriptBuf, Amount)) -> bool {
    let pubkey = script_pubkey(script);
    bitcoinconsensus::verify_with_flags(
        pubkey.as_bytes(),
        amount.to_sat(),
        &serialize(transaction),
        None,
        0,
        bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
    )
    .is_ok()
}
