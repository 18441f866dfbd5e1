//! Zero-fee commitments: the vectors of the extension, and Z-1 to Z-4 and Z-7 of the requirements
//! checklist. Z-5, Z-6 and Z-8 speak of who broadcasts, and are tested with `claims`.

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Transaction, Witness, ecdsa};
use lastword_bolt3::{
    Anchors, Bolt3Error, ChannelKeys, OutputKind, TRUC_PARENT_MAX_VSIZE, rules, scripts,
};
use lastword_types::{
    ChannelParameters, CommitmentFormat, FeeRatePerKw, Htlc, HtlcDirection, Side, ToSelfDelay,
};
use serde_json::Value;

use crate::consensus::accepts;
use crate::support::{CHANNEL, Channel, FUNDING_SAT, SIDES, htlc, spend, vectors};
use crate::vectors::{Common, Vector, bytes32, check_vector, int, private, public, read, text};

const ZERO_FEE: CommitmentFormat = CommitmentFormat::ZeroFee;
const OFFERED: HtlcDirection = HtlcDirection::Offered;
const RECEIVED: HtlcDirection = HtlcDirection::Received;

#[test]
fn zero_fee_commitment_vectors() {
    let Some(folder) = vectors("zero_fee_commitment_vectors") else { return };
    let file = read(&folder, "bolt3-zero-fee-commitments.json");
    let common = common(&file);
    let (mut cases, mut htlc_transactions) = (0, 0);
    for case in file["tests"].as_array().unwrap() {
        let name = text(&case["name"]);
        let seconds = seconds(case);
        htlc_transactions += seconds.len();
        let vector = Vector {
            name,
            format: ZERO_FEE,
            dust_limit_sat: int(&case["dust_limit_satoshis"]),
            feerate_per_kw: 0,
            to_local_msat: int(&case["to_local_msat"]),
            to_remote_msat: int(&case["to_remote_msat"]),
            htlcs: htlcs(case),
            transaction: text(&case["signed_commit_tx"]),
            remote_signature: remote_signature(&common, text(&case["signed_commit_tx"])),
            seconds,
        };
        check_vector(&common, &vector);
        check_preimages(&file, &vector);
        cases += 1;
    }
    println!(
        "figure: zero-fee commitments: {cases} commitments, {htlc_transactions} HTLC transactions"
    );
    assert_eq!((cases, htlc_transactions), (11, HTLC_TRANSACTIONS));
}

/// The HTLC transactions of the file, counted by hand: 6, 4, 3, 0, 0, 0, 0 and 3.
const HTLC_TRANSACTIONS: usize = 16;

#[test]
fn z_1_a_commitment_has_version_3_and_pays_no_fee_at_any_rate() {
    for owner in SIDES {
        let channel = Channel::new(ZERO_FEE);
        let htlcs = [htlc(OFFERED, 0, 5_000_000, 1, 500), htlc(RECEIVED, 0, 6_000_000, 2, 500)];
        let quiet = channel.commitment(owner, 0, &htlcs).unwrap();
        assert_eq!(quiet.transaction.version, Version(3));
        assert_eq!(quiet.fee(), Amount::ZERO);
        // A rate in a record would be a mistake of the peer's that changes nothing.
        let loud = channel.commitment(owner, 5_000, &htlcs).unwrap();
        assert_eq!(loud.transaction, quiet.transaction);
        assert_eq!(rules(ZERO_FEE).commitment_fee(FeeRatePerKw(u32::MAX), 114), Amount::ZERO);
    }
}

#[test]
fn z_2_the_shared_anchor_takes_what_is_left_up_to_240() {
    let dust = 546;
    // What is trimmed, what the anchor holds, what is left for the fee.
    let cases =
        [(0, 0, 0), (1, 1, 0), (239, 239, 0), (240, 240, 0), (241, 240, 1), (545, 240, 305)];
    for owner in SIDES {
        for (trimmed, anchor, fee) in cases {
            assert!(trimmed < dust);
            let channel = Channel::new(ZERO_FEE);
            let htlcs = [htlc(OFFERED, 0, trimmed * 1000, 1, 500)];
            let htlcs = if trimmed == 0 { &[][..] } else { &htlcs };
            let commitment = channel.commitment(owner, 0, htlcs).unwrap();
            let anchors: Vec<_> = commitment
                .outputs
                .iter()
                .zip(&commitment.transaction.output)
                .filter(|(output, _)| output.kind == OutputKind::SharedAnchor)
                .collect();
            let [(output, on_chain)] = anchors.as_slice() else { panic!("{anchors:?}") };
            assert_eq!(on_chain.script_pubkey.to_hex_string(), "51024e73");
            assert_eq!(output.script, on_chain.script_pubkey);
            assert_eq!(on_chain.value, Amount::from_sat(anchor));
            assert_eq!(commitment.fee(), Amount::from_sat(fee));
        }
    }
}

#[test]
fn z_3_anybody_spends_the_shared_anchor_with_an_empty_witness() {
    for owner in SIDES {
        let channel = Channel::new(ZERO_FEE);
        let htlcs = [htlc(OFFERED, 0, 200_000, 1, 500)];
        let commitment = channel.commitment(owner, 0, &htlcs).unwrap();
        let at = |kind| commitment.outputs.iter().position(|output| output.kind == kind).unwrap();
        let vout = at(OutputKind::SharedAnchor);
        let amount = Amount::from_sat(200);
        let outpoint = OutPoint { txid: commitment.txid(), vout: u32::try_from(vout).unwrap() };
        let output = (&scripts::shared_anchor(), amount);
        let mut transaction = spend(outpoint, amount, 0, 0);
        assert!(accepts(&transaction, output));
        // No other output of the commitment is so open.
        for kind in [OutputKind::ToLocal, OutputKind::ToRemote] {
            let other = &commitment.outputs[at(kind)];
            assert!(!accepts(&transaction, (&other.script, other.amount)), "{kind:?}");
        }
        // The signature operations of a version-1 program are taproot's: two bytes are no key, so
        // consensus leaves the output open, and only relay policy wants the witness empty.
        transaction.input[0].witness = Witness::from_slice(&[[1_u8; 3]]);
        assert!(accepts(&transaction, output));
    }
}

#[test]
fn z_4_nothing_but_our_own_balance_waits() {
    for owner in SIDES {
        let channel = Channel::new(ZERO_FEE);
        let htlcs = [htlc(OFFERED, 0, 5_000_000, 1, 501), htlc(RECEIVED, 0, 6_000_000, 2, 502)];
        let commitment = channel.commitment(owner, 0, &htlcs).unwrap();
        assert_eq!(rules(ZERO_FEE).csv_blocks, 0);
        for output in &commitment.outputs {
            match output.kind {
                OutputKind::ToRemote => assert!(output.script.is_p2wpkh()),
                OutputKind::Htlc { .. } => {
                    assert!(!output.script.to_asm_string().contains("OP_CSV"));
                }
                OutputKind::ToLocal => {
                    assert!(output.script.to_asm_string().contains("OP_CSV"));
                }
                OutputKind::SharedAnchor => assert_eq!(output.amount, Amount::ZERO),
                OutputKind::Anchor(side) => panic!("an anchor of {side:?}"),
            }
        }
        for vout in commitment.htlc_vouts() {
            let htlc = commitment.htlc_transaction(vout).unwrap();
            assert_eq!(htlc.transaction.version, Version(3));
            assert_eq!(htlc.transaction.input[0].sequence.0, 0);
            assert_eq!(htlc.transaction.output[0].value, htlc.amount, "no fee");
        }
    }
}

#[test]
fn z_7_at_most_114_htlcs_of_one_side_fit_into_what_is_relayed() {
    let channel = Channel::new(ZERO_FEE);
    let full = |count: u64, direction| -> Vec<Htlc> {
        (0..count).map(|id| htlc(direction, id, 1_000_000, 1, 500)).collect()
    };
    let mut htlcs = full(114, OFFERED);
    htlcs.extend(full(114, RECEIVED));
    let commitment = channel.commitment(Side::Local, 0, &htlcs).unwrap();
    // The witness: two signatures as long as they can be, the script, the empty element.
    let mut signed = commitment.transaction.clone();
    signed.input[0].witness = Witness::from_slice(&[vec![], vec![0; 72], vec![0; 72], vec![0; 71]]);
    assert!(signed.vsize() <= TRUC_PARENT_MAX_VSIZE, "{}", signed.vsize());

    for direction in [OFFERED, RECEIVED] {
        let refused = channel.commitment(Side::Local, 0, &full(115, direction));
        assert_eq!(refused, Err(Bolt3Error::TooManyHtlcs { count: 115 }));
    }
}

/// A commitment whose outputs are all trimmed has the anchor, and everything else is fee.
#[test]
fn a_commitment_of_dust_is_its_anchor() {
    let mut channel = Channel::new(ZERO_FEE);
    channel.parameters.local.dust_limit = Amount::from_sat(FUNDING_SAT);
    let commitment = channel.commitment(Side::Local, 0, &[]).unwrap();
    let kinds: Vec<_> = commitment.outputs.iter().map(|output| output.kind).collect();
    assert_eq!(kinds, [OutputKind::SharedAnchor]);
    let Anchors::Shared(most) = rules(ZERO_FEE).anchors else { panic!("no shared anchor") };
    assert_eq!(commitment.fee(), Amount::from_sat(FUNDING_SAT) - most);
}

fn common(file: &Value) -> Common {
    let key = |name: &str| private(&file[name]);
    // The file leaves out keys that stand in no commitment of its own.
    let unused = ChannelKeys::derive(&[0; 32], &[0; 32]);
    let keys = ["local", "remote"].map(|side| ChannelKeys {
        funding: key(&format!("{side}_funding_priv")),
        payment_base: key(&format!("{side}_payment_basepoint_secret")),
        htlc_base: key(&format!("{side}_htlc_basepoint_secret")),
        delayed_payment_base: key("local_delayed_payment_basepoint_secret"),
        ..unused.clone()
    });
    let delay = ToSelfDelay(int(&file["to_self_delay"]));
    let [local, remote] = [0, 1].map(|at: usize| keys[at].side(Amount::ZERO, delay));
    let mut parameters = ChannelParameters {
        channel_id: CHANNEL,
        funding_outpoint: OutPoint {
            txid: text(&file["funding_txid"]).parse().unwrap(),
            vout: int(&file["funding_index"]),
        },
        funding_amount: Amount::from_sat(int(&file["funding_amount_satoshis"])),
        format: ZERO_FEE,
        opener: Side::Local,
        local,
        remote,
    };
    parameters.remote.revocation_basepoint = public(&file["revocation_basepoint"]);
    assert_eq!(int::<u64>(&file["commitment_number"]), 42);
    let point = public(&file["per_commitment_point"]);
    Common { channel: Channel { parameters, keys }, point, htlcs: Vec::new() }
}

fn htlcs(case: &Value) -> Vec<Htlc> {
    let listed = [("incoming_htlcs", RECEIVED), ("outgoing_htlcs", OFFERED)];
    let of = |name: &str| case[name].as_array().cloned().unwrap_or_default();
    listed
        .into_iter()
        .flat_map(|(name, direction)| of(name).into_iter().map(move |it| (direction, it)))
        .map(|(direction, it)| {
            let (id, expiry) = (int(&it["id"]), int(&it["cltv_expiry"]));
            let hash = lastword_types::PaymentHash(bytes32(&it["payment_hash"]));
            let made = htlc(direction, id, int(&it["amount_msat"]), 0, expiry);
            Htlc { payment_hash: hash, ..made }
        })
        .collect()
}

/// The signed HTLC transactions in the order of the outputs that they spend, each with the peer's
/// signature, which is the second element of its witness.
fn seconds(case: &Value) -> Vec<(Signature, &str)> {
    let lists = ["signed_htlc_success_txs", "signed_htlc_timeout_txs"];
    let of = |name: &str| case[name].as_array().map_or(&[][..], Vec::as_slice);
    let mut seconds: Vec<_> = lists
        .into_iter()
        .flat_map(of)
        .map(|signed| (signed, deserialize_hex::<Transaction>(text(signed)).unwrap()))
        .collect();
    seconds.sort_by_key(|(_, transaction)| transaction.input[0].previous_output.vout);
    seconds
        .into_iter()
        .map(|(signed, transaction)| (element(&transaction, 1, 0x83), text(signed)))
        .collect()
}

fn remote_signature(common: &Common, signed: &str) -> Signature {
    let ChannelParameters { local, remote, .. } = &common.channel.parameters;
    let is_local_first = local.funding_pubkey.serialize() < remote.funding_pubkey.serialize();
    let at = if is_local_first { 2 } else { 1 };
    element(&deserialize_hex(signed).unwrap(), at, 0x01)
}

fn element(transaction: &Transaction, at: usize, sighash: u8) -> Signature {
    let element = transaction.input[0].witness.nth(at).unwrap();
    assert_eq!(element.last(), Some(&sighash));
    ecdsa::Signature::from_slice(element).unwrap().signature
}

/// Every preimage that an HTLC transaction shows is the file's for the hash of an HTLC here.
fn check_preimages(file: &Value, vector: &Vector<'_>) {
    for (_, signed) in &vector.seconds {
        let transaction: Transaction = deserialize_hex(signed).unwrap();
        let shown = transaction.input[0].witness.nth(3).unwrap();
        let is_known = shown.is_empty()
            || vector.htlcs.iter().any(|htlc| {
                let hash = htlc.payment_hash.0.iter().map(|byte| format!("{byte:02x}"));
                let preimage = &file["payment_hash_to_preimage"][hash.collect::<String>()];
                preimage.is_string() && bytes32(preimage) == shown
            });
        assert!(is_known, "{}", vector.name);
    }
}
