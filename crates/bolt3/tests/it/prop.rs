//! What must hold for any input. Seeded: proptest's generator starts from a fixed seed, and a
//! failing case is written to `proptest-regressions`.

use bitcoin::consensus::serialize;
use bitcoin::{Amount, ScriptBuf, Witness};
use lastword_bolt3::{
    CommitmentTx, HtlcSpend, MAX_ACCEPTED_HTLCS, OutputKind, SecretStore, commitment_number,
    generate_from_seed, read_htlc_spend, scripts, sign_commitment, verify_commitment,
};
use lastword_types::{
    AmountMsat, CommitmentFormat, CommitmentNumber, FeeRatePerKw, Htlc, HtlcDirection, HtlcId,
    PaymentPreimage, Side, UnsignedCommitment,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, RngSeed};

use crate::support::{
    Channel, FORMATS, FUNDING_SAT, SIDES, build, htlc, mirrored, mirrored_htlc, number, signer,
};

proptest! {
    #![proptest_config(ProptestConfig {
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(3),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_order_of_the_htlcs_does_not_matter(
        case in case(),
        order in any::<prop::sample::Index>(),
    ) {
        let built = case.build(&case.htlcs);
        let mut moved = case.htlcs.clone();
        if !moved.is_empty() {
            moved.rotate_left(order.index(case.htlcs.len()));
            moved[order.index(case.htlcs.len())..].reverse();
        }
        prop_assert_eq!(built, case.build(&moved));
    }

    #[test]
    fn outputs_and_fee_are_the_funding_amount(case in case()) {
        let commitment = case.build(&case.htlcs);
        let outputs: Amount = commitment.transaction.output.iter().map(|it| it.value).sum();
        prop_assert_eq!(outputs + commitment.fee(), Amount::from_sat(FUNDING_SAT));
        prop_assert_eq!(commitment.outputs.len(), commitment.transaction.output.len());
        for (output, what) in commitment.transaction.output.iter().zip(&commitment.outputs) {
            prop_assert_eq!(output.value, what.amount);
            prop_assert_eq!(&output.script_pubkey, &scripts::script_pubkey(&what.script));
            let kind_has_dust_limit = !matches!(what.kind, OutputKind::Anchor(_) | OutputKind::SharedAnchor);
            prop_assert!(!kind_has_dust_limit || what.amount >= Amount::from_sat(546));
        }
        let pairs = commitment.transaction.output.iter();
        prop_assert!(pairs.map(|it| (it.value, &it.script_pubkey)).is_sorted());
    }

    #[test]
    fn every_htlc_is_an_output_or_trimmed(case in case()) {
        let commitment = case.build(&case.htlcs);
        let mut found = commitment.trimmed().to_vec();
        let mut signatures = 0;
        for (vout, output) in (0u32..).zip(&commitment.outputs) {
            let Some((id, at)) = htlc_of(output.kind) else { continue };
            prop_assert_eq!(at, signatures);
            prop_assert_eq!(commitment.htlc_vouts().nth(at), Some(vout));
            let htlc = commitment.htlc_transaction(vout).unwrap();
            prop_assert!(htlc.transaction.output[0].value >= Amount::from_sat(546));
            prop_assert_eq!(&htlc.script, &output.script);
            signatures += 1;
            found.push(id);
        }
        found.sort_unstable();
        let mut expected: Vec<_> =
            case.htlcs.iter().map(|htlc| (htlc.direction, htlc.htlc_id)).collect();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(commitment.htlc_vouts().len(), signatures);
    }

    #[test]
    fn both_sides_build_the_same_transactions_and_agree_on_signatures(case in case()) {
        let ours = case.build(&case.htlcs);
        let parameters = mirrored(&case.channel.parameters);
        let htlcs: Vec<_> = case.htlcs.iter().map(mirrored_htlc).collect();
        let theirs = build(&parameters, case.owner.other(), &case.unsigned, &htlcs).unwrap();
        prop_assert_eq!(&ours.transaction, &theirs.transaction);
        for vout in ours.htlc_vouts() {
            prop_assert_eq!(ours.htlc_transaction(vout), theirs.htlc_transaction(vout));
        }
        // Whoever does not own it signs; both sides find the signatures good.
        let own = &case.channel.parameters;
        let (signs, parameters, other) = match case.owner {
            Side::Remote => (&ours, own, (&theirs, &parameters)),
            Side::Local => (&theirs, &parameters, (&ours, own)),
        };
        let mut signer = signer(case.channel.keys(case.owner.other()));
        let (signature, signatures) = sign_commitment(&mut signer, parameters, signs).unwrap();
        prop_assert_eq!(verify_commitment(parameters, signs, &signature, &signatures), Ok(()));
        prop_assert_eq!(verify_commitment(other.1, other.0, &signature, &signatures), Ok(()));
    }

    #[test]
    fn a_commitment_number_comes_back(at in 0..1u64 << 48, case in case()) {
        let mut unsigned = case.unsigned.clone();
        unsigned.number = CommitmentNumber::new(at).unwrap();
        let parameters = &case.channel.parameters;
        let commitment = build(parameters, case.owner, &unsigned, &case.htlcs).unwrap();
        let read = commitment_number(parameters, &commitment.transaction);
        prop_assert_eq!(read, Some(unsigned.number));
        let read = commitment_number(&mirrored(parameters), &commitment.transaction);
        prop_assert_eq!(read, Some(unsigned.number), "the peer reads the same");
    }

    #[test]
    fn reading_garbage_never_panics_and_never_finds_a_preimage(
        elements in vec(vec(any::<u8>(), 0..40), 0..7),
        shown in vec(any::<u8>(), 0..160),
        hash in any::<[u8; 32]>(),
    ) {
        let script = ScriptBuf::from_bytes(shown);
        let hash = PaymentPreimage(hash).payment_hash();
        let mut witness = Witness::from_slice(&elements);
        prop_assert_eq!(read_htlc_spend(&witness, &script, &hash), HtlcSpend::Other);
        witness.push(script.as_bytes());
        prop_assert_eq!(read_htlc_spend(&witness, &script, &hash), HtlcSpend::Other);

        // The same garbage before a real script.
        let keys = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc)
            .commitment(Side::Local, 253, &[]).unwrap().keys;
        let format = CommitmentFormat::AnchorsZeroFeeHtlc;
        let script = scripts::offered_htlc(format, &keys, &hash);
        let mut witness = Witness::from_slice(&elements);
        witness.push(script.as_bytes());
        let read = read_htlc_spend(&witness, &script, &hash);
        prop_assert!(!matches!(read, HtlcSpend::Preimage(_) | HtlcSpend::Revocation));
    }

    #[test]
    fn secrets_come_back_after_any_number_of_revocations(
        seed in any::<[u8; 32]>(),
        count in 1..400u64,
    ) {
        let secret = |at: u64| generate_from_seed(&seed, number(at).secret_index());
        let mut store = SecretStore::new();
        for at in 0..count {
            prop_assert_eq!(store.insert(number(at).secret_index(), secret(at)), Ok(()));
        }
        for at in 0..count {
            prop_assert_eq!(store.get(number(at).secret_index()), Some(secret(at)));
        }
        prop_assert_eq!(store.get(number(count).secret_index()), None);
        prop_assert_eq!(store.expected(), Some(number(count).secret_index()));
        prop_assert_eq!(u64::try_from(store.slots().len()).unwrap(), u64::from(count.ilog2()) + 1);
        prop_assert_eq!(SecretStore::from_slots(&store.slots()), Ok(store));
    }

    /// Total on anything that a store can hold, and never accepts what it then cannot give.
    #[test]
    fn slots_of_any_kind_are_read_without_panic(
        slots in vec((any::<u8>(), 0..1u64 << 48, any::<[u8; 32]>()), 0..60),
    ) {
        let slots: Vec<_> = slots
            .into_iter()
            .map(|(slot, at, secret)| {
                let index = number(at).secret_index();
                (slot % 64, index, lastword_types::PerCommitmentSecret(secret))
            })
            .collect();
        if let Ok(store) = SecretStore::from_slots(&slots) {
            for (_, index, secret) in &slots {
                prop_assert_eq!(store.get(*index), Some(*secret));
            }
        }
    }
}

#[test]
fn a_full_commitment_is_built_alike_whatever_the_order() {
    let channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let mut htlcs: Vec<Htlc> = (0..MAX_ACCEPTED_HTLCS)
        .flat_map(|id| {
            let id = u64::try_from(id).unwrap();
            let preimage = u8::try_from(id % 3).unwrap();
            [HtlcDirection::Offered, HtlcDirection::Received].map(|direction| {
                htlc(direction, id, 1_000_000, preimage, 500 + u32::from(preimage))
            })
        })
        .collect();
    let first = channel.commitment(Side::Remote, 253, &htlcs).unwrap();
    htlcs.reverse();
    let second = channel.commitment(Side::Remote, 253, &htlcs).unwrap();
    assert_eq!(serialize(&first.transaction), serialize(&second.transaction));
    assert_eq!(first, second, "HTLCs with equal outputs stand in the order of their ids");
    let ids = |commitment: &CommitmentTx| -> Vec<_> {
        commitment.outputs.iter().filter_map(|output| htlc_of(output.kind)).collect()
    };
    assert_eq!(ids(&first).len(), 966);
}

/// A commitment that can be built.
#[derive(Debug)]
struct Case {
    channel: Channel,
    owner: Side,
    unsigned: UnsignedCommitment,
    htlcs: Vec<Htlc>,
}

impl Case {
    fn build(&self, htlcs: &[Htlc]) -> CommitmentTx {
        build(&self.channel.parameters, self.owner, &self.unsigned, htlcs).unwrap()
    }
}

/// Amounts near the dust limit, few hashes and expiries, so that trimming and ties are common.
fn case() -> impl Strategy<Value = Case> {
    let htlcs = vec((any::<bool>(), 0..4u64, 0..3_000u64, 0..3u8, 500..503u32), 0..12);
    let parts = (
        select(&FORMATS[..]),
        select(&SIDES[..]),
        select(&SIDES[..]),
        0..3_000u32,
        1_000_000..9_000_000u64,
        htlcs,
    );
    parts.prop_map(|(format, owner, opener, feerate, to_local_sat, htlcs)| {
        let mut channel = Channel::new(format);
        channel.parameters.opener = opener;
        let htlcs: Vec<Htlc> = (0u64..)
            .zip(htlcs)
            .map(|(id, (is_offered, thousands, odd, preimage, expiry))| {
                let direction =
                    if is_offered { HtlcDirection::Offered } else { HtlcDirection::Received };
                htlc(direction, id, thousands * 1_000_000 + odd, preimage, expiry)
            })
            .collect();
        let in_htlcs: u64 = htlcs.iter().map(|htlc| htlc.amount_msat.0).sum();
        let to_local_msat = to_local_sat * 1000;
        let unsigned = UnsignedCommitment {
            number: number(42),
            per_commitment_point: channel.point(owner, 42),
            feerate_per_kw: FeeRatePerKw(feerate),
            to_local_msat: AmountMsat(to_local_msat),
            to_remote_msat: AmountMsat(FUNDING_SAT * 1000 - to_local_msat - in_htlcs),
        };
        Case { channel, owner, unsigned, htlcs }
    })
}

fn htlc_of(kind: OutputKind) -> Option<((HtlcDirection, HtlcId), usize)> {
    match kind {
        OutputKind::Htlc { direction, htlc_id, signature_index } => {
            Some(((direction, htlc_id), signature_index))
        }
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => None,
    }
}
