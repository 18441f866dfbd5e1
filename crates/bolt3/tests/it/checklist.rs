//! Two more rows: T-13 without the vectors, and a failure that others had (`docs/FAILURES.md`).

use bitcoin::secp256k1::SecretKey;
use bitcoin::secp256k1::ecdsa::Signature;
use lastword_bolt3::{
    Bolt3Error, SecretStore, generate_from_seed, sign_commitment, verify_commitment,
};
use lastword_types::{CommitmentFormat, HtlcDirection, Side};

use crate::support::{Channel, htlc, number, signer};

#[test]
fn t_13_few_slots_hold_every_secret_and_one_that_does_not_fit_is_refused() {
    let secret = |seed: u8, at: u64| generate_from_seed(&[seed; 32], number(at).secret_index());
    let mut store = SecretStore::new();
    for at in 0..1000 {
        let index = number(at).secret_index();
        // Every other secret derives the one before it, so a stranger's is found out.
        if at % 2 == 1 {
            let before = store.clone();
            let stranger = store.insert(index, secret(9, at));
            assert_eq!(stranger, Err(Bolt3Error::SecretMismatch { index }));
            assert_eq!(store, before);
        }
        assert_eq!(store.insert(index, secret(5, at)), Ok(()));
    }

    assert_eq!(store.slots().len(), 10, "one for each binary digit");
    for at in 0..1000 {
        assert_eq!(store.get(number(at).secret_index()), Some(secret(5, at)));
    }
}

/// The same signature with the other root: as true as the first one, and not relayed by anybody.
fn high_s(signature: &Signature) -> Signature {
    let mut compact = signature.serialize_compact();
    let s = SecretKey::from_slice(&compact[32..]).expect("s is below the order").negate();
    compact[32..].copy_from_slice(&s.secret_bytes());
    Signature::from_compact(&compact).expect("both numbers are below the order")
}

/// The peer's signatures on HTLC transactions were true and of a form that no node relays, so the
/// transactions never reached a miner.
#[test]
fn museum_b033_a_signature_that_nobody_relays_is_refused() {
    let channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let offered = HtlcDirection::Offered;
    let htlcs = [0, 1].map(|id| htlc(offered, id, 5_000_000 + id, 1, 500));
    let commitment = channel.commitment(Side::Remote, 253, &htlcs).unwrap();
    let parameters = &channel.parameters;
    let mut signer = signer(channel.keys(Side::Local));
    let (signature, signatures) = sign_commitment(&mut signer, parameters, &commitment).unwrap();
    let verify = |signature, signatures: &[_]| {
        verify_commitment(parameters, &commitment, signature, signatures)
    };

    assert_eq!(verify(&signature, &signatures), Ok(()));
    let forged = high_s(&signature);
    assert_eq!(verify(&forged, &signatures), Err(Bolt3Error::InvalidSignature));
    for signature_index in [0, 1] {
        let mut forged = signatures.clone();
        forged[signature_index] = high_s(&forged[signature_index]);
        let error = Bolt3Error::InvalidHtlcSignature { signature_index };
        assert_eq!(verify(&signature, &forged), Err(error));
    }
}
