//! What BOLT 3 demands of the transactions: T-1 to T-13 and T-16 of the requirements checklist,
//! and H-1. T-11 and T-13 have their vectors in `vectors`, T-7 its spends in `consensus`. T-14 and
//! T-15 speak of limits and closing transactions, which channels negotiate and this crate does not
//! build.

use bitcoin::hashes::{Hash as _, ripemd160};
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, Script, Transaction, Witness};
use lastword_bolt3::{
    CommitmentTx, OutputKind, commitment_number, delayed_witness, funding_script, htlc_witness,
    obscuring_factor, point_of, remote_htlc_sighash, rules, scripts,
};
use lastword_ports::ChannelSigner as _;
use lastword_types::{
    BlockHeight, CommitmentFormat, FeeRatePerKw, Htlc, HtlcDirection, HtlcId, PaymentPreimage,
    SecretIndex, Side, SigningKey, ToSelfDelay,
};

use crate::support::{CHANNEL, Channel, FORMATS, FUNDING_SAT, SIDES, htlc, number, signer};

const LEGACY: CommitmentFormat = CommitmentFormat::StaticRemoteKey;
const ANCHORS: CommitmentFormat = CommitmentFormat::AnchorsZeroFeeHtlc;
const ZERO_FEE: CommitmentFormat = CommitmentFormat::ZeroFee;
const OFFERED: HtlcDirection = HtlcDirection::Offered;
const RECEIVED: HtlcDirection = HtlcDirection::Received;
const LOCAL: Side = Side::Local;
const REMOTE: Side = Side::Remote;
/// The length of `OP_DUP OP_HASH160 OP_PUSHBYTES_20` and 40 digits, written out.
const OPENING: usize = 74;

#[test]
fn t_1_a_commitment_hides_its_number_in_sequence_and_lock_time() {
    let channel = Channel::new(LEGACY);
    let transaction = channel.commitment(LOCAL, 253, &[]).unwrap().transaction;
    let hidden = number(42).value() ^ obscuring_factor(&channel.parameters);

    assert_eq!(transaction.version, Version::TWO);
    assert_eq!(transaction.input.len(), 1);
    let lock_time = u64::from(transaction.lock_time.to_consensus_u32());
    let sequence = u64::from(transaction.input[0].sequence.0);
    assert_eq!(lock_time, 0x20 << 24 | (hidden & 0xff_ffff));
    assert_eq!(sequence, 0x80 << 24 | hidden >> 24);
    assert_eq!(commitment_number(&channel.parameters, &transaction), Some(number(42)));
}

#[test]
fn t_1_the_openers_basepoint_comes_first_in_the_obscuring_factor() {
    let mut channel = Channel::new(LEGACY);
    let factor = obscuring_factor(&channel.parameters);
    channel.parameters.opener = REMOTE;
    assert_ne!(obscuring_factor(&channel.parameters), factor);

    let parameters = crate::support::mirrored(&channel.parameters);
    assert_eq!(obscuring_factor(&parameters), obscuring_factor(&channel.parameters));
    assert_eq!(parameters.opener, LOCAL);
}

#[test]
fn t_2_outputs_are_sorted_by_value_then_script_then_expiry() {
    for (format, owner) in both() {
        let channel = Channel::new(format);
        // Equal values; equal scripts where the owner offered with one hash; ids against the order.
        let htlcs = [
            htlc(OFFERED, 9, 5_000_000, 1, 600),
            htlc(OFFERED, 8, 5_000_000, 1, 500),
            htlc(OFFERED, 7, 5_000_000, 2, 500),
            htlc(RECEIVED, 9, 5_000_000, 1, 600),
            htlc(RECEIVED, 8, 5_000_000, 1, 500),
            htlc(RECEIVED, 6, 4_000_999, 3, 500),
        ];
        let commitment = channel.commitment(owner, 253, &htlcs).unwrap();
        let keys: Vec<_> = commitment
            .transaction
            .output
            .iter()
            .zip(&commitment.outputs)
            .map(|(output, what)| (output.value, &output.script_pubkey, expiry(what.kind, &htlcs)))
            .collect();
        assert!(keys.is_sorted(), "{format:?} {owner:?}: {keys:?}");
        assert_eq!(commitment.htlc_vouts().len(), htlcs.len());
    }
}

#[test]
fn t_2_a_shorter_script_comes_before_a_longer_one_of_equal_value() {
    let channel = Channel::new(LEGACY);
    let half = FUNDING_SAT / 2;
    // The opener pays the fee, so its balance is given that much more.
    let fee = rules(LEGACY).commitment_fee(FeeRatePerKw(253), 0).to_sat();
    let commitment = channel.commitment_of(REMOTE, 253, &[], (half - fee / 2) * 1000).unwrap();
    let remote_first = commitment.transaction.output[0].script_pubkey.is_p2wpkh();
    let values: Vec<_> = commitment.outputs.iter().map(|output| output.amount.to_sat()).collect();
    assert_eq!(values[0] + values[1], FUNDING_SAT - fee);
    assert!(remote_first, "{values:?}");
}

/// T-3 and T-9, at the limit: the last satoshi decides whether an HTLC has an output.
#[test]
fn t_3_an_htlc_below_the_dust_limit_after_its_fee_is_trimmed() {
    let feerate = 1000;
    for (format, owner) in both() {
        let channel = Channel::new(format);
        let dust = channel.parameters.side(owner).dust_limit.to_sat();
        for direction in [OFFERED, RECEIVED] {
            let is_success = (owner == LOCAL) == (direction == RECEIVED);
            let fee = rules(format).htlc_fee(FeeRatePerKw(feerate), is_success).to_sat();
            let expected = match (format, is_success) {
                (CommitmentFormat::StaticRemoteKey, true) => 703,
                (CommitmentFormat::StaticRemoteKey, false) => 663,
                (CommitmentFormat::AnchorsZeroFeeHtlc | CommitmentFormat::ZeroFee, _) => 0,
            };
            assert_eq!(fee, expected, "{format:?}");
            let least_msat = (dust + fee) * 1000;
            let (big, small) = (least_msat, least_msat - 1);
            let htlcs = [htlc(direction, 0, big, 1, 500), htlc(direction, 1, small, 2, 500)];
            let commitment = channel.commitment(owner, feerate, &htlcs).unwrap();
            assert_eq!(commitment.trimmed(), [(direction, HtlcId(1))]);
            let vouts: Vec<_> = commitment.htlc_vouts().collect();
            assert_eq!(vouts.len(), 1, "{format:?} {owner:?} {direction:?}");
            let htlc = commitment.htlc_transaction(vouts[0]).unwrap();
            assert_eq!(htlc.amount.to_sat(), dust + fee);
            assert_eq!(htlc.transaction.output[0].value.to_sat(), dust);
        }
    }
}

#[test]
fn t_3_each_amount_is_rounded_down_by_itself() {
    let channel = Channel::new(ANCHORS);
    let htlcs = [htlc(OFFERED, 0, 1_000_999, 1, 500), htlc(RECEIVED, 0, 2_000_999, 2, 500)];
    let commitment = channel.commitment_of(LOCAL, 0, &htlcs, 5_000_000_501).unwrap();
    let anchors = 2 * 330;
    let mut values: Vec<_> = commitment.outputs.iter().map(|it| it.amount.to_sat()).collect();
    let to_remote = FUNDING_SAT - 5_000_000 - 1000 - 2000 - 3;
    assert_eq!(values.split_off(2), [1000, 2000, to_remote, 5_000_000 - anchors]);
    assert_eq!(commitment.fee(), Amount::from_sat(3), "three fractions are lost to the fee");
}

/// T-4: the owner's dust limit decides, after the opener has paid.
#[test]
fn t_4_a_main_output_below_the_owners_dust_limit_does_not_exist() {
    for (format, owner) in both() {
        for opener in SIDES {
            let mut channel = Channel::new(format);
            channel.parameters.opener = opener;
            channel.parameters.local.dust_limit = Amount::from_sat(600);
            channel.parameters.remote.dust_limit = Amount::from_sat(700);
            let dust = channel.parameters.side(owner).dust_limit.to_sat();
            let anchors = if format == ANCHORS { 660 } else { 0 };
            let fee = rules(format).commitment_fee(FeeRatePerKw(253), 0).to_sat() + anchors;
            for poor in [OutputKind::ToLocal, OutputKind::ToRemote] {
                let payer =
                    if opener == owner { OutputKind::ToLocal } else { OutputKind::ToRemote };
                let least = if payer == poor { dust + fee } else { dust };
                for (balance, is_there) in [(least * 1000, true), (least * 1000 - 1, false)] {
                    let to_local = if poor == OutputKind::ToLocal {
                        balance
                    } else {
                        FUNDING_SAT * 1000 - balance
                    };
                    let commitment = channel.commitment_of(owner, 253, &[], to_local).unwrap();
                    let found = kinds(&commitment).contains(&poor);
                    assert_eq!(found, is_there, "{format:?} {owner:?} {opener:?} {poor:?}");
                }
            }
        }
    }
}

/// T-4: both anchors are paid for by the opener, also when only one is there.
#[test]
fn t_4_the_opener_pays_the_fee_and_both_anchors() {
    let channel = Channel::new(ANCHORS);
    let all = FUNDING_SAT * 1000;
    let commitment = channel.commitment_of(LOCAL, 15_000, &[], all).unwrap();
    assert_eq!(kinds(&commitment), [OutputKind::Anchor(LOCAL), OutputKind::ToLocal]);
    assert_eq!(commitment.outputs[1].amount.to_sat(), FUNDING_SAT - 16_860 - 660);
    assert_eq!(commitment.fee().to_sat(), 16_860 + 330);
}

/// T-4: an opener who cannot pay pays with all it has, and the rest of the fee is not paid.
#[test]
fn t_4_an_opener_who_cannot_pay_the_fee_pays_with_all_it_has() {
    let channel = Channel::new(LEGACY);
    let commitment = channel.commitment_of(LOCAL, 1_000_000, &[], 700_000_000).unwrap();
    assert_eq!(kinds(&commitment), [OutputKind::ToRemote]);
    assert_eq!(commitment.fee().to_sat(), 700_000);
}

#[test]
fn t_5_an_anchor_is_there_when_its_owner_has_something_or_an_htlc_has_an_output() {
    let dust_msat = 545_000;
    for owner in SIDES {
        let mut channel = Channel::new(ANCHORS);
        channel.parameters.opener = owner.other();
        let half = FUNDING_SAT * 500;
        let anchors = |htlcs: &[Htlc], to_local_msat| {
            let commitment = channel.commitment_of(owner, 0, htlcs, to_local_msat).unwrap();
            SIDES.map(|side| kinds(&commitment).contains(&OutputKind::Anchor(side)))
        };
        let of_owner = SIDES.map(|side| side == owner);
        let of_other = SIDES.map(|side| side != owner);
        assert_eq!(anchors(&[], half), [true, true]);
        assert_eq!(anchors(&[], FUNDING_SAT * 1000 - dust_msat), of_owner);
        assert_eq!(anchors(&[], dust_msat), of_other);
        let trimmed = htlc(OFFERED, 0, 545_999, 1, 500);
        assert_eq!(anchors(&[trimmed], dust_msat), of_other);
        let untrimmed = htlc(OFFERED, 0, 546_000, 1, 500);
        assert_eq!(anchors(&[untrimmed], dust_msat), [true, true]);
    }
    let legacy = Channel::new(LEGACY).commitment(LOCAL, 253, &[]).unwrap();
    assert_eq!(legacy.outputs.len(), 2, "no anchors before anchors");
}

#[test]
fn t_5_an_anchor_is_worth_330_and_pays_the_funding_key_of_its_side() {
    let channel = Channel::new(ANCHORS);
    for owner in SIDES {
        let commitment = channel.commitment(owner, 253, &[]).unwrap();
        for output in &commitment.outputs {
            if let OutputKind::Anchor(side) = output.kind {
                let key = channel.parameters.side(side).funding_pubkey;
                assert_eq!(output.script, scripts::anchor(&key));
                assert_eq!(output.amount.to_sat(), 330);
            }
        }
    }
}

#[test]
fn t_6_to_remote_pays_the_payment_basepoint_of_the_other_side() {
    for (format, owner) in both() {
        let channel = Channel::new(format);
        let commitment = channel.commitment(owner, 253, &[]).unwrap();
        let key = channel.parameters.side(owner.other()).payment_basepoint;
        assert_eq!(commitment.keys.to_remote_pubkey, key);
        let (output, pubkey) = commitment
            .outputs
            .iter()
            .zip(&commitment.transaction.output)
            .find(|(output, _)| output.kind == OutputKind::ToRemote)
            .unwrap();
        assert_eq!(output.script, scripts::to_remote(format, &key));
        match format {
            CommitmentFormat::StaticRemoteKey | CommitmentFormat::ZeroFee => {
                assert_eq!(pubkey.script_pubkey, output.script);
                assert!(output.script.is_p2wpkh());
            }
            CommitmentFormat::AnchorsZeroFeeHtlc => {
                assert_eq!(pubkey.script_pubkey, output.script.to_p2wsh());
                assert!(asm(&output.script).ends_with(" OP_CHECKSIGVERIFY OP_PUSHNUM_1 OP_CSV"));
            }
        }
    }
}

/// T-7: BOLT 3, Appendix A gives these sizes for expiries of three bytes.
#[test]
fn t_7_htlc_scripts_have_the_two_forms_of_each_format() {
    for format in FORMATS {
        let channel = Channel::new(format);
        let keys = channel.commitment(LOCAL, 253, &[]).unwrap().keys;
        let hash = PaymentPreimage([1; 32]).payment_hash();
        let offered = scripts::offered_htlc(format, &keys, &hash);
        let received = scripts::received_htlc(format, &keys, &hash, BlockHeight(700_000));
        let (wait, lengths) = match format {
            CommitmentFormat::StaticRemoteKey | CommitmentFormat::ZeroFee => ("", (133, 139)),
            CommitmentFormat::AnchorsZeroFeeHtlc => (" OP_PUSHNUM_1 OP_CSV OP_DROP", (136, 142)),
        };
        assert_eq!((offered.len(), received.len()), lengths);
        let (other, own) = (keys.other_htlc_pubkey, keys.owner_htlc_pubkey);
        let revocation = &asm(&offered)[..OPENING];
        let begin = format!(
            "{revocation} OP_EQUAL OP_IF OP_CHECKSIG OP_ELSE OP_PUSHBYTES_33 {other} OP_SWAP \
             OP_SIZE OP_PUSHBYTES_1 20 OP_EQUAL"
        );
        let hash = ripemd160::Hash::hash(&hash.0);
        assert_eq!(
            asm(&offered),
            format!(
                "{begin} OP_NOTIF OP_DROP OP_PUSHNUM_2 OP_SWAP OP_PUSHBYTES_33 {own} \
                 OP_PUSHNUM_2 OP_CHECKMULTISIG OP_ELSE OP_HASH160 OP_PUSHBYTES_20 {hash} \
                 OP_EQUALVERIFY OP_CHECKSIG OP_ENDIF{wait} OP_ENDIF"
            )
        );
        assert_eq!(
            asm(&received),
            format!(
                "{begin} OP_IF OP_HASH160 OP_PUSHBYTES_20 {hash} OP_EQUALVERIFY OP_PUSHNUM_2 \
                 OP_SWAP OP_PUSHBYTES_33 {own} OP_PUSHNUM_2 OP_CHECKMULTISIG OP_ELSE OP_DROP \
                 OP_PUSHBYTES_3 60ae0a OP_CLTV OP_DROP OP_CHECKSIG OP_ENDIF{wait} OP_ENDIF"
            )
        );
    }
}

#[test]
fn t_8_htlc_transactions_wait_for_the_expiry_or_show_the_preimage() {
    for (format, owner) in both() {
        let channel = Channel::new(format);
        let htlcs = [htlc(OFFERED, 0, 5_000_000, 1, 501), htlc(RECEIVED, 0, 6_000_000, 2, 502)];
        let commitment = channel.commitment(owner, 253, &htlcs).unwrap();
        for (vout, direction) in commitment.htlc_vouts().zip([OFFERED, RECEIVED]) {
            let htlc = commitment.htlc_transaction(vout).unwrap();
            let is_success = (owner == LOCAL) == (direction == RECEIVED);
            assert_eq!(htlc.is_success, is_success, "{owner:?} {direction:?}");
            let expiry = if direction == OFFERED { 501 } else { 502 };
            let lock_time = if is_success { 0 } else { expiry };
            assert_eq!(htlc.transaction.version, commitment.transaction.version);
            let version = if format == ZERO_FEE { Version(3) } else { Version::TWO };
            assert_eq!(htlc.transaction.version, version);
            assert_eq!(htlc.transaction.lock_time.to_consensus_u32(), lock_time);
            let sequence = u32::from(format == ANCHORS);
            assert_eq!(htlc.transaction.input[0].sequence.0, sequence);
            let spent = htlc.transaction.input[0].previous_output;
            assert_eq!((spent.txid, spent.vout), (commitment.txid(), vout));
        }
        assert_eq!(commitment.txid(), commitment.transaction.compute_txid());
    }
}

#[test]
fn t_8_an_htlc_witness_has_both_signatures_and_the_preimage_or_nothing() {
    let (signature, sighash, script) = htlc_parts();
    let preimage = PaymentPreimage([1; 32]);
    for (preimage, shown) in [(Some(preimage), &[1; 32][..]), (None, &[])] {
        let witness = htlc_witness(&signature, sighash, &signature, preimage, Script::new());
        let elements: Vec<_> = witness.iter().collect();
        let mut der = signature.serialize_der().to_vec();
        der.push(0x83);
        let remote = der.clone();
        *der.last_mut().unwrap() = 0x01;
        assert_eq!(elements, [&[], &remote[..], &der[..], shown, script.as_bytes()]);
    }
}

/// T-9 and BOLT 3, Appendix A: the fee's weights are those of the transactions themselves, with
/// signatures of 73 bytes, but for two constants of the BOLT: 8 too many for a commitment with
/// anchors and 2 too many for HTLC-success. Both sides compute the fee with the BOLT's.
#[test]
fn t_9_the_fee_is_that_of_the_signed_transactions() {
    for (format, owner) in both() {
        let channel = Channel::new(format);
        let htlcs =
            [htlc(OFFERED, 0, 5_000_000, 1, 700_000), htlc(RECEIVED, 0, 6_000_000, 2, 700_001)];
        let rules = rules(format);
        for count in 0..=2u64 {
            let held = &htlcs[..usize::try_from(count).unwrap()];
            let commitment = channel.commitment(owner, 253, held).unwrap();
            let (local, remote) = (&channel.parameters.local, &channel.parameters.remote);
            let script = funding_script(&local.funding_pubkey, &remote.funding_pubkey);
            let stack = [&[], &[0; 73][..], &[0; 73], script.as_bytes()];
            let weight = weight_with(&commitment.transaction, &stack);
            let surplus = if format == ANCHORS { 8 } else { 0 };
            let expected = rules.commitment_weight + count * rules.htlc_output_weight;
            assert_eq!(weight, expected - surplus, "{format:?}");
        }
        let commitment = channel.commitment(owner, 253, &htlcs).unwrap();
        for vout in commitment.htlc_vouts() {
            let htlc = commitment.htlc_transaction(vout).unwrap();
            let (shown, expected) = if htlc.is_success {
                (&[0; 32][..], rules.htlc_success_weight - 2)
            } else {
                (&[][..], rules.htlc_timeout_weight)
            };
            let stack = [&[], &[0; 73][..], &[0; 73], shown, htlc.script.as_bytes()];
            assert_eq!(weight_with(&htlc.transaction, &stack), expected, "{format:?}");
        }
    }
}

#[test]
fn t_10_an_htlc_transaction_pays_the_delayed_key_of_the_owner() {
    for (format, owner) in both() {
        let channel = Channel::new(format);
        let htlcs = [htlc(OFFERED, 0, 5_000_000, 1, 501), htlc(RECEIVED, 0, 6_000_000, 2, 502)];
        let commitment = channel.commitment(owner, 253, &htlcs).unwrap();
        let keys = &commitment.keys;
        let delay = match owner {
            Side::Local => ToSelfDelay(144),
            Side::Remote => ToSelfDelay(720),
        };
        let expected = scripts::to_local(&keys.revocation_pubkey, &keys.delayed_pubkey, delay);
        for vout in commitment.htlc_vouts() {
            let htlc = commitment.htlc_transaction(vout).unwrap();
            assert_eq!(htlc.output_script, expected);
            assert_eq!(htlc.transaction.output[0].script_pubkey, expected.to_p2wsh());
        }
        let to_local = commitment.outputs.iter().find(|it| it.kind == OutputKind::ToLocal);
        assert_eq!(to_local.unwrap().script, expected);
    }
}

/// T-11: what the other side can and cannot take changes with the point, except `to_remote`.
#[test]
fn t_11_only_the_payment_key_is_the_same_in_every_commitment() {
    let channel = Channel::new(ANCHORS);
    let keys = [1, 2].map(|at| {
        let point = channel.point(LOCAL, at);
        lastword_bolt3::CommitmentKeys::derive(&channel.parameters, LOCAL, &point).unwrap()
    });
    assert_eq!(keys[0].to_remote_pubkey, keys[1].to_remote_pubkey);
    assert_ne!(keys[0].delayed_pubkey, keys[1].delayed_pubkey);
    assert_ne!(keys[0].revocation_pubkey, keys[1].revocation_pubkey);
    assert_ne!(keys[0].owner_htlc_pubkey, keys[1].owner_htlc_pubkey);
    assert_ne!(keys[0].other_htlc_pubkey, keys[1].other_htlc_pubkey);
}

#[test]
fn t_12_secrets_count_down_and_do_not_show_themselves() {
    let channel = Channel::new(ANCHORS);
    let keys = channel.keys(LOCAL);
    assert_eq!(number(0).secret_index(), SecretIndex::FIRST);
    assert_eq!(number(1).secret_index().value(), SecretIndex::FIRST.value() - 1);
    assert_eq!(format!("{keys:?}"), "ChannelKeys(..)");

    let mut signer = signer(keys);
    assert!(!format!("{signer:?}").contains("commitment_seed"));
    let mut store = lastword_bolt3::SecretStore::new();
    for at in 0..20 {
        let point = signer.per_commitment_point(CHANNEL, number(at)).unwrap();
        let secret = signer.revoke(CHANNEL, number(at)).unwrap();
        assert_eq!(point_of(&secret), Ok(point));
        assert_eq!(store.insert(number(at).secret_index(), secret), Ok(()));
    }
}

#[test]
fn t_16_htlcs_of_equal_amount_and_hash_differ_by_expiry_only() {
    for (format, owner) in both() {
        let (own, other) = if owner == LOCAL { (OFFERED, RECEIVED) } else { (RECEIVED, OFFERED) };
        let channel = Channel::new(format);
        let twins = |direction| {
            let htlcs =
                [htlc(direction, 0, 5_000_000, 1, 502), htlc(direction, 1, 5_000_000, 1, 501)];
            channel.commitment(owner, 253, &htlcs).unwrap()
        };
        let offered = twins(own);
        let vouts: Vec<_> = offered.htlc_vouts().collect();
        let [first, second] = [0, 1].map(|at| offered.htlc_transaction(vouts[at]).unwrap());
        assert_eq!(first.script, second.script, "the offered form does not hold the expiry");
        let lock_times = [&first, &second].map(|it| it.transaction.lock_time.to_consensus_u32());
        assert_eq!(lock_times, [501, 502], "the signatures follow the expiry");

        let received = twins(other);
        let scripts: Vec<_> = received
            .htlc_vouts()
            .map(|vout| received.htlc_transaction(vout).unwrap().script)
            .collect();
        assert_ne!(scripts[0], scripts[1], "the received form holds the expiry");
    }
}

#[test]
fn h_1_only_the_peers_htlc_signature_leaves_room_for_a_fee() {
    assert_eq!(remote_htlc_sighash(LEGACY), EcdsaSighashType::All);
    assert_eq!(remote_htlc_sighash(ANCHORS), EcdsaSighashType::SinglePlusAnyoneCanPay);
    let (signature, _, script) = htlc_parts();
    let witness = delayed_witness(&signature, &script);
    assert_eq!(witness.nth(0).and_then(<[u8]>::last), Some(&0x01), "our own covers all");
}

fn both() -> impl Iterator<Item = (CommitmentFormat, Side)> {
    FORMATS.into_iter().flat_map(|format| SIDES.map(|owner| (format, owner)))
}

fn kinds(commitment: &CommitmentTx) -> Vec<OutputKind> {
    commitment.outputs.iter().map(|output| output.kind).collect()
}

fn expiry(kind: OutputKind, htlcs: &[Htlc]) -> u32 {
    match kind {
        OutputKind::Htlc { direction, htlc_id, .. } => {
            let is = |it: &&Htlc| (it.direction, it.htlc_id) == (direction, htlc_id);
            htlcs.iter().find(is).unwrap().cltv_expiry.0
        }
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => 0,
    }
}

fn asm(script: &Script) -> String {
    script.to_asm_string()
}

fn weight_with(transaction: &Transaction, stack: &[&[u8]]) -> u64 {
    let mut signed = transaction.clone();
    signed.input[0].witness = Witness::from_slice(stack);
    signed.weight().to_wu()
}

fn htlc_parts() -> (bitcoin::secp256k1::ecdsa::Signature, EcdsaSighashType, bitcoin::ScriptBuf) {
    let channel = Channel::new(ANCHORS);
    let transaction = channel.commitment(LOCAL, 253, &[]).unwrap().transaction;
    let script = bitcoin::ScriptBuf::new();
    let sighash = EcdsaSighashType::SinglePlusAnyoneCanPay;
    let amount = Amount::from_sat(1);
    let key = SigningKey::Payment;
    let signature = channel.sign(LOCAL, key, &transaction, (&script, amount));
    (signature, sighash, script)
}
