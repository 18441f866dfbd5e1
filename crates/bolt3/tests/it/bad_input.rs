//! What is refused, and how.

use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn};
use lastword_bolt3::{
    Bolt3Error, InMemorySigner, MAX_ACCEPTED_HTLCS, SecretStore, commitment_number,
    generate_from_seed, point_of, sign_commitment, verify_commitment,
};
use lastword_ports::{ChannelSigner as _, SignerError, SigningRequest};
use lastword_types::{
    AmountMsat, BlockHeight, CommitmentFormat, FeeRatePerKw, Htlc, HtlcDirection, HtlcId,
    PerCommitmentSecret, SecretIndex, Side, SigningKey, UnsignedCommitment,
};

use crate::support::{
    CHANNEL, Channel, FORMATS, FUNDING_SAT, build, htlc, mirrored, number, signer,
};

const ANCHORS: CommitmentFormat = CommitmentFormat::AnchorsZeroFeeHtlc;
const OFFERED: HtlcDirection = HtlcDirection::Offered;
const RECEIVED: HtlcDirection = HtlcDirection::Received;

#[test]
fn amounts_that_are_not_worth_the_funding_output_are_refused() {
    let expected = AmountMsat(FUNDING_SAT * 1000);
    for (to_local, to_remote) in [(1, 0), (expected.0, 1), (expected.0 - 1, 0)] {
        let got = AmountMsat(to_local + to_remote);
        let error = Bolt3Error::AmountsDoNotSum { expected, got };
        assert_eq!(built(FUNDING_SAT, to_local, to_remote, &[]), Err(error));
    }
    let one = [htlc(OFFERED, 0, 1, 1, 500)];
    let error = Bolt3Error::AmountsDoNotSum { expected, got: AmountMsat(expected.0 + 1) };
    assert_eq!(built(FUNDING_SAT, expected.0, 0, &one), Err(error));
}

#[test]
fn amounts_that_do_not_fit_are_refused() {
    assert_eq!(built(FUNDING_SAT, u64::MAX, 1, &[]), Err(Bolt3Error::AmountOverflow));
    let most = [htlc(OFFERED, 0, u64::MAX, 1, 500)];
    assert_eq!(built(FUNDING_SAT, 1, 0, &most), Err(Bolt3Error::AmountOverflow));
    assert_eq!(built(u64::MAX, 0, 0, &[]), Err(Bolt3Error::AmountOverflow));
}

#[test]
fn an_opener_who_cannot_pay_for_the_anchors_is_refused() {
    // The opener has nothing, and an HTLC makes both anchors exist.
    let htlcs = [htlc(RECEIVED, 0, 1_000_000, 1, 500)];
    let funding = Amount::from_sat(FUNDING_SAT);
    let outputs = Amount::from_sat(FUNDING_SAT + 660);
    let got = built(FUNDING_SAT, 0, (FUNDING_SAT - 1000) * 1000, &htlcs);
    assert_eq!(got, Err(Bolt3Error::OutputsExceedFunding { funding, outputs }));
}

#[test]
fn a_commitment_without_outputs_is_refused() {
    assert_eq!(built(1000, 500_000, 500_000, &[]), Err(Bolt3Error::NoOutputs));
    assert_eq!(built(0, 0, 0, &[]), Err(Bolt3Error::NoOutputs));
}

#[test]
fn the_highest_fee_rate_only_takes_the_openers_balance() {
    for format in FORMATS {
        let commitment = Channel::new(format).commitment(Side::Local, u32::MAX, &[]).unwrap();
        let fee = match format {
            CommitmentFormat::StaticRemoteKey => FUNDING_SAT / 2,
            CommitmentFormat::AnchorsZeroFeeHtlc => FUNDING_SAT / 2 - 330,
            CommitmentFormat::ZeroFee => 0,
        };
        assert_eq!(commitment.fee().to_sat(), fee);
    }
}

#[test]
fn an_htlc_named_twice_is_refused() {
    let twice = [htlc(OFFERED, 3, 1, 1, 500), htlc(RECEIVED, 3, 1, 1, 500)];
    assert!(Channel::new(ANCHORS).commitment(Side::Local, 253, &twice).is_ok());
    let twice = [htlc(OFFERED, 3, 1, 1, 500), htlc(OFFERED, 3, 2, 2, 501)];
    let error = Bolt3Error::DuplicateHtlc { direction: OFFERED, htlc_id: HtlcId(3) };
    assert_eq!(Channel::new(ANCHORS).commitment(Side::Local, 253, &twice), Err(error));
}

#[test]
fn more_htlcs_than_a_side_may_offer_are_refused() {
    let channel = Channel::new(ANCHORS);
    let many = |direction, count: usize| {
        (0..count).map(move |id| htlc(direction, u64::try_from(id).unwrap(), 600_000, 1, 500))
    };
    let mut htlcs: Vec<Htlc> = many(OFFERED, MAX_ACCEPTED_HTLCS).collect();
    htlcs.extend(many(RECEIVED, MAX_ACCEPTED_HTLCS));
    let full = channel.commitment(Side::Local, 253, &htlcs).unwrap();
    assert_eq!(full.htlc_vouts().len(), 966);
    assert!(full.transaction.weight().to_wu() < 400_000, "Bitcoin Core relays it");

    for direction in [OFFERED, RECEIVED] {
        let count = MAX_ACCEPTED_HTLCS + 1;
        let htlcs: Vec<Htlc> = many(direction, count).collect();
        let got = channel.commitment(Side::Local, 253, &htlcs);
        assert_eq!(got, Err(Bolt3Error::TooManyHtlcs { count }));
    }
}

#[test]
fn an_expiry_that_is_a_time_is_refused() {
    let channel = Channel::new(ANCHORS);
    let last = [htlc(OFFERED, 0, 5_000_000, 1, 499_999_999)];
    assert!(channel.commitment(Side::Local, 253, &last).is_ok());
    for expiry in [500_000_000, u32::MAX] {
        let error = Bolt3Error::ExpiryOutOfRange {
            direction: RECEIVED,
            htlc_id: HtlcId(4),
            cltv_expiry: BlockHeight(expiry),
        };
        let htlcs = [htlc(RECEIVED, 4, 5_000_000, 1, expiry)];
        assert_eq!(channel.commitment(Side::Local, 253, &htlcs), Err(error));
    }
}

#[test]
fn htlc_transactions_exist_for_htlc_outputs_only() {
    let htlcs = [htlc(OFFERED, 0, 5_000_000, 1, 500)];
    let commitment = Channel::new(ANCHORS).commitment(Side::Local, 253, &htlcs).unwrap();
    let vouts: Vec<_> = commitment.htlc_vouts().collect();
    assert_eq!(vouts, [2], "after the two anchors");
    for vout in [0, 1, 3, 4] {
        assert_eq!(commitment.htlc_transaction(vout), Err(Bolt3Error::NotAnHtlc { vout }));
    }
    for vout in [5, u32::MAX] {
        assert_eq!(commitment.htlc_transaction(vout), Err(Bolt3Error::NoSuchOutput { vout }));
    }
}

#[test]
fn a_transaction_of_another_shape_has_no_commitment_number() {
    let channel = Channel::new(ANCHORS);
    let parameters = &channel.parameters;
    let good = channel.commitment(Side::Local, 253, &[]).unwrap().transaction;
    let read = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = good.clone();
        change(&mut transaction);
        commitment_number(parameters, &transaction)
    };
    assert_eq!(read(&|_| ()), Some(number(42)));
    assert_eq!(read(&|it| it.input.clear()), None);
    assert_eq!(read(&|it| it.input.push(TxIn::default())), None);
    assert_eq!(read(&|it| it.input[0].previous_output = OutPoint::null()), None);
    assert_eq!(read(&|it| it.input[0].sequence = Sequence::MAX), None);
    assert_eq!(read(&|it| it.input[0].sequence.0 ^= 1 << 24), None);
    assert_eq!(read(&|it| it.lock_time = bitcoin::absolute::LockTime::ZERO), None);
}

#[test]
fn wrong_signatures_are_refused_by_their_place() {
    let channel = Channel::new(ANCHORS);
    let htlcs = [htlc(OFFERED, 0, 5_000_000, 1, 500), htlc(RECEIVED, 0, 6_000_000, 1, 500)];
    let theirs = channel.commitment(Side::Remote, 253, &htlcs).unwrap();
    let parameters = &channel.parameters;
    let mut signer = signer(channel.keys(Side::Local));
    let (signature, signatures) = sign_commitment(&mut signer, parameters, &theirs).unwrap();
    let verify =
        |signature, signatures: &[_]| verify_commitment(parameters, &theirs, signature, signatures);
    assert_eq!(verify(&signature, &signatures), Ok(()));
    assert_eq!(verify(&signatures[0], &signatures), Err(Bolt3Error::InvalidSignature));
    let swapped = [signatures[1], signatures[0]];
    let error = Bolt3Error::InvalidHtlcSignature { signature_index: 0 };
    assert_eq!(verify(&signature, &swapped), Err(error));
    let error = Bolt3Error::InvalidHtlcSignature { signature_index: 1 };
    assert_eq!(verify(&signature, &[signatures[0], signature]), Err(error));
    for got in [0, 1, 3] {
        let wrong = vec![signature; got];
        let error = Bolt3Error::SignatureCount { expected: 2, got };
        assert_eq!(verify(&signature, &wrong), Err(error));
    }

    let ours = channel.commitment(Side::Local, 253, &htlcs).unwrap();
    let got = verify_commitment(parameters, &ours, &signature, &signatures);
    assert_eq!(got, Err(Bolt3Error::InvalidSignature), "another owner's commitment");
}

#[test]
fn our_own_commitment_is_never_signed_for_the_peer() {
    let channel = Channel::new(ANCHORS);
    let ours = channel.commitment(Side::Local, 253, &[]).unwrap();
    let mut signer = signer(channel.keys(Side::Local));
    let got = sign_commitment(&mut signer, &channel.parameters, &ours);
    assert_eq!(got, Err(Bolt3Error::OwnCommitment));
}

#[test]
fn a_signer_without_the_channel_refuses() {
    let channel = Channel::new(ANCHORS);
    let error = SignerError::UnknownChannel(CHANNEL);
    let mut signer = InMemorySigner::default();
    let theirs = channel.commitment(Side::Remote, 253, &[]).unwrap();
    let got = sign_commitment(&mut signer, &channel.parameters, &theirs);
    assert_eq!(got, Err(Bolt3Error::Signer(error.clone())));
    assert_eq!(signer.revoke(CHANNEL, number(0)), Err(error.clone()));
    assert_eq!(signer.per_commitment_point(CHANNEL, number(0)), Err(error));
}

#[test]
fn a_request_for_an_input_that_is_not_there_is_refused() {
    let channel = Channel::new(ANCHORS);
    let transaction = channel.commitment(Side::Local, 253, &[]).unwrap().transaction;
    let mut signer = signer(channel.keys(Side::Local));
    let hash = ScriptBuf::from_bytes([&[0, 20][..], &[3; 20]].concat());
    for script in [ScriptBuf::new(), hash] {
        for input in [1, usize::MAX] {
            let got = signer.sign(&SigningRequest {
                channel_id: CHANNEL,
                key: SigningKey::Payment,
                transaction: &transaction,
                input,
                amount: Amount::from_sat(1),
                script: &script,
                sighash: bitcoin::EcdsaSighashType::All,
            });
            let error = SignerError::Invalid("the transaction has no such input");
            assert_eq!(got, Err(error));
        }
    }
}

#[test]
fn a_secret_that_is_no_private_key_gives_no_point() {
    for secret in [[0; 32], [0xff; 32]] {
        assert_eq!(point_of(&PerCommitmentSecret(secret)), Err(Bolt3Error::NotASecretKey));
    }
}

#[test]
fn secrets_must_come_one_by_one() {
    let secret = |at: u64| generate_from_seed(&[5; 32], number(at).secret_index());
    let insert =
        |store: &mut SecretStore, at: u64| store.insert(number(at).secret_index(), secret(at));
    let mut store = SecretStore::new();
    let refused = |expected: u64, got: u64| {
        let expected = Some(number(expected).secret_index());
        Err(Bolt3Error::SecretOutOfOrder { expected, got: number(got).secret_index() })
    };
    assert_eq!(insert(&mut store, 1), refused(0, 1));
    assert_eq!(insert(&mut store, 0), Ok(()));
    assert_eq!(insert(&mut store, 2), refused(1, 2));
    assert_eq!(insert(&mut store, 1), Ok(()));
    assert_eq!(insert(&mut store, 0), Ok(()), "a repetition is harmless");
    let index = number(0).secret_index();
    let got = store.insert(index, secret(1));
    assert_eq!(got, Err(Bolt3Error::SecretMismatch { index }), "another secret is not");
    assert_eq!(store.get(number(2).secret_index()), None);
}

#[test]
fn the_last_secret_fills_the_last_slot() {
    // The store one step before its end: every slot but the last, each with the lowest index.
    let secret = |index| generate_from_seed(&[5; 32], index);
    let slots: Vec<_> = (0..48u8)
        .map(|slot| (slot, SecretIndex::new(1 << slot).unwrap()))
        .map(|(slot, index)| (slot, index, secret(index)))
        .collect();
    let mut store = SecretStore::from_slots(&slots).unwrap();
    let last = SecretIndex::new(0).unwrap();
    assert_eq!(store.expected(), Some(last));
    assert_eq!(store.insert(last, secret(last)), Ok(()));
    assert_eq!((store.expected(), store.slots().len()), (None, 49));
    for index in [0, 1, 77, (1 << 48) - 1].map(|it| SecretIndex::new(it).unwrap()) {
        assert_eq!(store.get(index), Some(secret(index)));
    }
    assert_eq!(SecretStore::from_slots(&store.slots()), Ok(store));
}

#[test]
fn slots_that_no_insertion_leaves_behind_are_refused() {
    let mut store = SecretStore::new();
    for at in 0..11 {
        let index = number(at).secret_index();
        store.insert(index, generate_from_seed(&[5; 32], index)).unwrap();
    }
    let good = store.slots();
    assert_eq!(good.len(), 4);
    let mut shuffled = good.clone();
    shuffled.reverse();
    assert_eq!(SecretStore::from_slots(&shuffled), Ok(store));
    for at in 0..good.len() {
        let mut lost = good.clone();
        lost.remove(at);
        assert!(SecretStore::from_slots(&lost).is_err(), "slot {at} lost");
        let mut doubled = good.clone();
        doubled.push(good[at]);
        assert!(SecretStore::from_slots(&doubled).is_err(), "slot {at} doubled");
        let mut moved = good.clone();
        moved[at].0 = 60;
        assert!(SecretStore::from_slots(&moved).is_err(), "slot {at} moved");
        let mut other = good.clone();
        other[at].1 = SecretIndex::new(good[at].1.value() ^ 1 << 20).unwrap();
        assert!(SecretStore::from_slots(&other).is_err(), "slot {at} of another index");
    }
    let mut wrong = good.clone();
    wrong[3].2.0[0] ^= 1;
    let index = good[3].1;
    assert_eq!(SecretStore::from_slots(&wrong), Err(Bolt3Error::SecretMismatch { index }));
    assert_eq!(SecretStore::from_slots(&[]), Ok(SecretStore::new()));
}

#[test]
fn the_peer_sees_the_same_commitment() {
    let channel = Channel::new(ANCHORS);
    let parameters = mirrored(&channel.parameters);
    let ours = channel.commitment(Side::Local, 253, &[]).unwrap();
    let unsigned = unsigned(FUNDING_SAT * 500, FUNDING_SAT * 500, channel.point(Side::Local, 42));
    let theirs = build(&parameters, Side::Remote, &unsigned, &[]).unwrap();
    assert_eq!(theirs.transaction, ours.transaction);
    assert_eq!((ours.owner(), theirs.owner()), (Side::Local, Side::Remote));
    assert_eq!((ours.number(), ours.format()), (number(42), ANCHORS));
}

fn built(
    funding_sat: u64,
    to_local_msat: u64,
    to_remote_msat: u64,
    htlcs: &[Htlc],
) -> Result<Amount, Bolt3Error> {
    let mut channel = Channel::new(ANCHORS);
    channel.parameters.funding_amount = Amount::from_sat(funding_sat);
    let unsigned = unsigned(to_local_msat, to_remote_msat, channel.point(Side::Local, 42));
    build(&channel.parameters, Side::Local, &unsigned, htlcs).map(|it| it.fee())
}

fn unsigned(
    to_local_msat: u64,
    to_remote_msat: u64,
    per_commitment_point: bitcoin::secp256k1::PublicKey,
) -> UnsignedCommitment {
    UnsignedCommitment {
        number: number(42),
        per_commitment_point,
        feerate_per_kw: FeeRatePerKw(253),
        to_local_msat: AmountMsat(to_local_msat),
        to_remote_msat: AmountMsat(to_remote_msat),
    }
}
