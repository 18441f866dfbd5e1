//! Scripts run in Bitcoin Core's interpreter, with every rule on.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::{OP_CHECKMULTISIG, OP_CLTV, OP_CSV, OP_DROP};
use bitcoin::script::Builder;
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, CompressedPublicKey, OutPoint, ScriptBuf, Sequence, Transaction, WPubkeyHash, Witness,
};
use lastword_regtest::{Chain, Reject};

use crate::support::{COIN, anybody, funded, output, pay};

fn key(byte: u8) -> (SecretKey, PublicKey) {
    let secret = SecretKey::from_slice(&[byte; 32]).expect("in range");
    (secret, secret.public_key(&Secp256k1::new()))
}

/// Confirms an output with this script and returns its outpoint.
fn confirm(script: ScriptBuf) -> (Chain, OutPoint) {
    let (mut chain, coins) = funded(1);
    let mut parent = pay(&coins, &[COIN.to_sat()]);
    parent.output[0].script_pubkey = script;
    chain.submit(parent.clone()).expect("valid");
    chain.mine(&anybody());
    (chain, output(&parent, 0))
}

fn sign_digest(digest: [u8; 32], secret: &SecretKey) -> Vec<u8> {
    let message = Message::from_digest(digest);
    let signature = Secp256k1::new().sign_ecdsa(&message, secret);
    [&signature.serialize_der()[..], &[EcdsaSighashType::All as u8]].concat()
}

#[test]
fn a_signature_must_sign_what_is_spent() {
    let (secret, public) = key(7);
    let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&public.serialize()));
    let (mut chain, coin) = confirm(script.clone());
    let signed = |value: Amount, secret: &SecretKey| {
        let mut spend = pay(&[coin], &[1_000]);
        let digest = SighashCache::new(&spend)
            .p2wpkh_signature_hash(0, &script, value, EcdsaSighashType::All)
            .expect("the script is P2WPKH");
        let signature = sign_digest(digest.to_byte_array(), secret);
        let public = CompressedPublicKey(public).to_bytes();
        spend.input[0].witness = Witness::from_slice(&[signature, public.to_vec()]);
        spend
    };
    let fails = Err(Reject::Script { input: 0, outpoint: coin });
    assert_eq!(chain.submit(signed(COIN - Amount::ONE_SAT, &secret)), fails);
    assert_eq!(chain.submit(signed(COIN, &key(8).0)), fails);
    let mut changed = signed(COIN, &secret);
    changed.output[0].value = Amount::from_sat(1_001);
    assert_eq!(chain.submit(changed), fails);
    assert_eq!(chain.submit(signed(COIN, &secret)), Ok(()));
}

#[test]
fn a_multisignature_begins_with_an_empty_item() {
    let (secrets, publics): (Vec<_>, Vec<_>) = [key(1), key(2)].into_iter().unzip();
    let script = Builder::new()
        .push_int(2)
        .push_key(&publics[0].into())
        .push_key(&publics[1].into())
        .push_int(2)
        .push_opcode(OP_CHECKMULTISIG)
        .into_script();
    let (mut chain, coin) = confirm(script.to_p2wsh());
    let signed = |dummy: Vec<u8>| {
        let mut spend = pay(&[coin], &[1_000]);
        let digest = SighashCache::new(&spend)
            .p2wsh_signature_hash(0, &script, COIN, EcdsaSighashType::All)
            .expect("there is such an input")
            .to_byte_array();
        let [first, second] = [0, 1].map(|at| sign_digest(digest, &secrets[at]));
        spend.input[0].witness =
            Witness::from_slice(&[dummy, first, second, script.clone().into_bytes()]);
        spend
    };
    // BIP 147.
    let fails = Err(Reject::Script { input: 0, outpoint: coin });
    assert_eq!(chain.submit(signed(vec![1])), fails);
    assert_eq!(chain.submit(signed(vec![])), Ok(()));
}

/// Spends an output of `script` with nothing but the script.
fn reveal(coin: OutPoint, script: &ScriptBuf) -> Transaction {
    let mut spend = pay(&[coin], &[1_000]);
    spend.input[0].witness = Witness::from_slice(&[script.as_bytes()]);
    spend
}

#[test]
fn a_script_may_demand_an_absolute_lock() {
    let script = Builder::new()
        .push_int(50)
        .push_opcode(OP_CLTV)
        .push_opcode(OP_DROP)
        .push_int(1)
        .into_script();
    let (mut chain, coin) = confirm(script.to_p2wsh());
    let locked = |height| {
        let mut spend = reveal(coin, &script);
        spend.lock_time = LockTime::from_consensus(height);
        spend
    };
    let fails = Err(Reject::Script { input: 0, outpoint: coin });
    assert_eq!(chain.submit(locked(49)), fails);
    assert_eq!(chain.submit(locked(50)), Ok(()));
}

#[test]
fn a_script_may_demand_a_relative_lock() {
    let script = Builder::new()
        .push_int(3)
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_int(1)
        .into_script();
    let (mut chain, coin) = confirm(script.to_p2wsh());
    let locked = |blocks| {
        let mut spend = reveal(coin, &script);
        spend.input[0].sequence = Sequence::from_height(blocks);
        spend
    };
    let from = chain.height().plus(3);
    chain.mine_empty();
    let fails = Err(Reject::Script { input: 0, outpoint: coin });
    assert_eq!(chain.submit(locked(2)), fails);
    assert_eq!(chain.submit(locked(3)), Err(Reject::LockedToHeight { input: 0, from }));
    chain.mine_empty();
    assert_eq!(chain.submit(locked(3)), Ok(()));
}

#[test]
fn taproot_is_enforced_and_a_pay_to_anchor_is_free() {
    let (_, public) = key(9);
    let output_key = public.x_only_public_key().0;
    let taproot = Builder::new().push_int(1).push_slice(output_key.serialize()).into_script();
    let (mut chain, coin) = confirm(taproot);
    let mut spend = pay(&[coin], &[1_000]);
    spend.input[0].witness = Witness::from_slice(&[[0; 64]]);
    let fails = Err(Reject::Script { input: 0, outpoint: coin });
    assert_eq!(chain.submit(spend), fails);

    let anchor = ScriptBuf::from_bytes(vec![0x51, 0x02, 0x4e, 0x73]);
    let (mut chain, coin) = confirm(anchor);
    let mut spend = pay(&[coin], &[1_000]);
    spend.input[0].witness = Witness::new();
    assert_eq!(chain.submit(spend), Ok(()));
}

#[test]
fn a_refusal_names_the_input_that_fails() {
    let (mut chain, coins) = funded(3);
    let mut spend = pay(&coins, &[1]);
    spend.input[1].witness = Witness::from_slice(&[[0x00]]);
    let fails = Err(Reject::Script { input: 1, outpoint: coins[1] });
    assert_eq!(chain.submit(spend), fails);
}
