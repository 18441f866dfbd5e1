//! Reading the spend of an HTLC: nothing that the chain can hold is misread.

use bitcoin::{OutPoint, Script, ScriptBuf, Transaction, Witness};
use lastword_bolt3::{
    CommitmentTx, HtlcSpend, HtlcTx, read_htlc_spend, rules, scripts::received_htlc,
};
use lastword_types::{BlockHeight, PaymentHash, PaymentPreimage};

use crate::consensus::{accepts, hash_of, htlc_key, revocation_secret, scenes, sign_with};
use crate::support::{Channel, spend};

/// Every stack of up to four elements, out of all that could matter to a script, is offered to
/// consensus. What it accepts is read as what it is; what is garbage is never a preimage.
#[test]
fn every_stack_that_consensus_accepts_is_read_as_what_it_is() {
    for (channel, commitment) in scenes() {
        for vout in commitment.htlc_vouts() {
            let HtlcTx { script, amount, is_success, .. } =
                commitment.htlc_transaction(vout).unwrap();
            let (hash, preimage) = hash_of(&commitment, vout);
            let wait = u32::from(rules(commitment.format()).csv_blocks);
            let outpoint = OutPoint { txid: commitment.txid(), vout };
            let mut transaction = spend(outpoint, amount, wait, 700_000);
            let elements =
                elements(&channel, &commitment, &transaction, (&script, amount), preimage);
            let mut seen = [0; 3];
            for_each_stack(&elements, &mut |stack| {
                transaction.input[0].witness = slices(stack, &script);
                let witness = &transaction.input[0].witness;
                let spend = read_htlc_spend(witness, &script, &hash);
                if accepts(&transaction, (&script, amount)) {
                    seen[place(spend, preimage)] += 1;
                } else if let HtlcSpend::Preimage(shown) = spend {
                    assert_eq!(shown, preimage, "a preimage counts only if it hashes right");
                }
            });
            // In place of the empty element of a timeout five others pass: three signatures, a key
            // that is not the revocation key, and `1`.
            let timeouts = 6;
            assert_eq!(seen, [1, timeouts, 1], "{:?} {is_success}", commitment.format());
        }
    }
}

#[test]
fn a_witness_of_another_script_is_other() {
    for (_, commitment) in scenes() {
        for vout in commitment.htlc_vouts() {
            let HtlcTx { script, .. } = commitment.htlc_transaction(vout).unwrap();
            let (hash, preimage) = hash_of(&commitment, vout);
            let stacks: [&[&[u8]]; 2] = [&[&[1], &preimage.0], &[&[], &[1], &[1], &preimage.0]];
            let found = stacks
                .map(|stack| read_htlc_spend(&slices(stack, &script), &script, &hash))
                .into_iter()
                .filter(|spend| *spend == HtlcSpend::Preimage(preimage))
                .count();
            assert_eq!(found, 1, "one of the two is the shape of this script");
            let expiry = BlockHeight(1);
            let other = received_htlc(commitment.format(), &commitment.keys, &hash, expiry);
            for stack in stacks {
                let read = |shown: &Script, script: &Script| {
                    read_htlc_spend(&slices(stack, shown), script, &hash)
                };
                assert_eq!(read(&other, &script), HtlcSpend::Other);
                assert_eq!(read(&script, &other), HtlcSpend::Other);
                for end in 0..script.len().min(67) {
                    let cut = ScriptBuf::from_bytes(script.as_bytes()[..end].to_vec());
                    assert_eq!(read(&cut, &cut), HtlcSpend::Other, "not an HTLC script");
                }
            }
        }
    }
}

/// Consensus takes neither an empty signature nor a first element of two signatures that is not
/// empty (BIP 147).
#[test]
fn a_stack_of_no_branch_is_other() {
    for (_, commitment) in scenes() {
        for vout in commitment.htlc_vouts() {
            let HtlcTx { script, .. } = commitment.htlc_transaction(vout).unwrap();
            let (hash, preimage) = hash_of(&commitment, vout);
            let revocation = commitment.keys.revocation_pubkey.serialize();
            for top in [&[][..], &[1], &preimage.0, &revocation] {
                let stacks: [&[&[u8]]; 8] = [
                    &[&[], top],
                    &[&[1], &[1], &[1], top],
                    &[&[], &[], &[1], top],
                    &[&[], &[1], &[], top],
                    &[&[], &[1], top],
                    &[&[], &[], &[1], &[1], top],
                    &[top],
                    &[],
                ];
                for stack in stacks {
                    let read = read_htlc_spend(&slices(stack, &script), &script, &hash);
                    assert_eq!(read, HtlcSpend::Other, "{stack:?}");
                }
            }
        }
    }
}

#[test]
fn a_preimage_of_another_hash_is_no_preimage() {
    for (_, commitment) in scenes() {
        for vout in commitment.htlc_vouts() {
            let HtlcTx { script, is_success, .. } = commitment.htlc_transaction(vout).unwrap();
            let (_, preimage) = hash_of(&commitment, vout);
            let stack: &[&[u8]] =
                if is_success { &[&[], &[1], &[1], &preimage.0] } else { &[&[1], &preimage.0] };
            let witness = slices(stack, &script);
            let read = |hash: &PaymentHash| read_htlc_spend(&witness, &script, hash);
            assert_eq!(read(&preimage.payment_hash()), HtlcSpend::Preimage(preimage));
            assert_eq!(read(&PaymentHash(preimage.0)), HtlcSpend::Other);
            assert_eq!(read(&PaymentHash([0; 32])), HtlcSpend::Other);
        }
    }
}

/// Everything that means something to one of the branches, and its nearest neighbours.
fn elements(
    channel: &Channel,
    commitment: &CommitmentTx,
    transaction: &Transaction,
    (script, amount): (&ScriptBuf, bitcoin::Amount),
    preimage: PaymentPreimage,
) -> Vec<Vec<u8>> {
    let der = |signature: bitcoin::secp256k1::ecdsa::Signature| {
        let mut bytes = signature.serialize_der().to_vec();
        bytes.push(0x01);
        bytes
    };
    let owner = commitment.owner();
    let key = htlc_key(commitment);
    let sign = |side| der(channel.sign(side, key, transaction, (script, amount)));
    let revocation = revocation_secret(channel, commitment);
    vec![
        vec![],
        vec![1],
        sign(owner),
        sign(owner.other()),
        der(sign_with(&revocation, transaction, (script, amount))),
        commitment.keys.revocation_pubkey.serialize().to_vec(),
        commitment.keys.other_htlc_pubkey.serialize().to_vec(),
        preimage.0.to_vec(),
        vec![0x55; 32],
    ]
}

fn for_each_stack(elements: &[Vec<u8>], visit: &mut dyn FnMut(&[&[u8]])) {
    for length in 0..=4u32 {
        for code in 0..elements.len().pow(length) {
            let stack: Vec<&[u8]> = (0..length)
                .map(|digit| code / elements.len().pow(digit) % elements.len())
                .map(|at| elements[at].as_slice())
                .collect();
            visit(&stack);
        }
    }
}

fn slices(stack: &[&[u8]], script: &Script) -> Witness {
    let mut witness = Witness::from_slice(stack);
    witness.push(script.as_bytes());
    witness
}

fn place(spend: HtlcSpend, expected: PaymentPreimage) -> usize {
    match spend {
        HtlcSpend::Preimage(preimage) => {
            assert_eq!(preimage, expected);
            0
        }
        HtlcSpend::Timeout => 1,
        HtlcSpend::Revocation => 2,
        HtlcSpend::Other => panic!("consensus accepts what was read as garbage"),
    }
}
