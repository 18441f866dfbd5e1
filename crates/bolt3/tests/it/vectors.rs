//! The appendices of BOLT 3, case by case.

use std::fs;
use std::path::Path;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use bitcoin::{Amount, OutPoint, Transaction};
use hex::{DisplayHex as _, FromHex as _};
use lastword_bolt3::{
    Bolt3Error, ChannelKeys, CommitmentKeys, CommitmentTx, HtlcTx, OutputKind, SecretStore,
    commitment_number, derive_private_key, derive_public_key, derive_revocation_private_key,
    derive_revocation_public_key, funding_script, funding_witness, generate_from_seed,
    htlc_witness, obscuring_factor, point_of, remote_htlc_sighash, rules, sign_commitment,
    verify_commitment,
};
use lastword_types::{
    AmountMsat, ChannelParameters, CommitmentFormat, FeeRatePerKw, Htlc, HtlcDirection,
    PaymentPreimage, PerCommitmentSecret, SecretIndex, Side, SigningKey, ToSelfDelay,
    UnsignedCommitment,
};
use serde_json::Value;

use crate::support::{
    CHANNEL, Channel, build, htlc, mirrored, mirrored_htlc, number, signer, vectors,
};

#[test]
fn appendix_c_static_remote_key_commitments() {
    let Some(folder) = vectors("appendix_c_static_remote_key_commitments") else { return };
    let file = read(&folder, "bolt3-appendix-c.json");
    let common = Common::of(&file["common"]);
    let (mut cases, mut htlc_transactions) = (0, 0);
    for case in file["cases"].as_array().unwrap() {
        let name = text(&case["name"]);
        let htlcs = case["htlc_transactions"].as_array().unwrap();
        let vector = Vector {
            name,
            format: CommitmentFormat::StaticRemoteKey,
            dust_limit_sat: int(&file["common"]["local_dust_limit_satoshi"]),
            feerate_per_kw: int(&case["local_feerate_per_kw"]),
            to_local_msat: int(&case["to_local_msat"]),
            to_remote_msat: int(&case["to_remote_msat"]),
            htlcs: common.htlcs_of(htlc_ids(name)),
            transaction: text(&case["commit_tx"]),
            remote_signature: der(text(&case["remote_signature"])),
            seconds: seconds(htlcs, "remote_htlc_signature", "tx"),
        };
        let commitment = check_vector(&common, &vector);
        assert_eq!(htlcs.len(), int::<usize>(&case["num_htlcs"]), "{name}");
        check_fees(case, &vector, &commitment);
        check_signature(name, &case["local_signature"], &common, &commitment);
        for (vout, expected) in commitment.htlc_vouts().zip(htlcs) {
            let is_success = commitment.htlc_transaction(vout).unwrap().is_success;
            assert_eq!(is_success, expected["kind"] == "success", "{name}");
            let OutputKind::Htlc { htlc_id, .. } =
                commitment.outputs[usize::try_from(vout).unwrap()].kind
            else {
                panic!("{name}: output {vout} is no HTLC");
            };
            assert_eq!(htlc_id.0, int::<u64>(&expected["htlc"]), "{name}");
        }
        cases += 1;
        htlc_transactions += htlcs.len();
    }
    println!(
        "figure: BOLT 3 appendix C: {cases} commitments, {htlc_transactions} HTLC transactions"
    );
    assert_eq!((cases, htlc_transactions), (16, 33));
}

#[test]
fn appendix_f_anchor_commitments() {
    let Some(folder) = vectors("appendix_f_anchor_commitments") else { return };
    let common = Common::of(&read(&folder, "bolt3-appendix-c.json")["common"]);
    let (mut cases, mut htlc_transactions) = (0, 0);
    for case in read(&folder, "bolt3-appendix-f-anchors.json").as_array().unwrap() {
        let name = text(&case["Name"]);
        let htlcs = case["HtlcDescs"].as_array().unwrap();
        let ids = if case["UseTestHtlcs"] == true { htlc_ids(name) } else { &[] };
        let vector = Vector {
            name,
            format: CommitmentFormat::AnchorsZeroFeeHtlc,
            dust_limit_sat: int(&case["DustLimitSatoshis"]),
            feerate_per_kw: int(&case["FeePerKw"]),
            to_local_msat: int(&case["LocalBalance"]),
            to_remote_msat: int(&case["RemoteBalance"]),
            htlcs: common.htlcs_of(ids),
            transaction: text(&case["ExpectedCommitmentTxHex"]),
            remote_signature: der(text(&case["RemoteSigHex"])),
            seconds: seconds(htlcs, "RemoteSigHex", "ResolutionTxHex"),
        };
        check_vector(&common, &vector);
        cases += 1;
        htlc_transactions += htlcs.len();
    }
    println!(
        "figure: BOLT 3 appendix F: {cases} commitments, {htlc_transactions} HTLC transactions"
    );
    assert_eq!((cases, htlc_transactions), (9, 15));
}

#[test]
fn appendix_d_secrets_are_generated_and_stored() {
    let Some(folder) = vectors("appendix_d_secrets_are_generated_and_stored") else { return };
    let file = read(&folder, "bolt3-appendix-d-secrets.json");
    let generation = file["generation"].as_array().unwrap();
    for case in generation {
        let secret = generate_from_seed(&bytes32(&case["seed"]), index(&case["I"]));
        assert_eq!(secret.0, bytes32(&case["output"]), "{}", case["name"]);
    }
    let storage = file["storage"].as_array().unwrap();
    for case in storage {
        check_storage(case);
    }
    println!("figure: BOLT 3 appendix D: {} generated, {} stored", generation.len(), storage.len());
    assert_eq!((generation.len(), storage.len()), (5, 9));
}

/// T-13: each inserted secret must give the ones before it.
fn check_storage(case: &Value) {
    let mut store = SecretStore::new();
    let steps = case["I"].as_array().unwrap().iter().zip(case["secret"].as_array().unwrap());
    for ((at, secret), output) in steps.zip(case["output"].as_array().unwrap()) {
        let (at, secret) = (index(at), PerCommitmentSecret(bytes32(secret)));
        let before = store.clone();
        let got = store.insert(at, secret);
        if output == "OK" {
            assert_eq!(got, Ok(()), "{}", case["name"]);
            assert_eq!(store.get(at), Some(secret), "{}", case["name"]);
        } else {
            assert_eq!(got, Err(Bolt3Error::SecretMismatch { index: at }), "{}", case["name"]);
            assert_eq!(store, before, "a refusal changes nothing");
        }
        assert_eq!(SecretStore::from_slots(&store.slots()), Ok(store.clone()));
    }
}

/// T-11: the two-sided formulas of BOLT 3.
#[test]
fn appendix_e_keys_are_derived() {
    let Some(folder) = vectors("appendix_e_keys_are_derived") else { return };
    let file = read(&folder, "bolt3-appendix-e-key-derivation.json");
    let base_point = public(&file["base_point"]);
    let (base, secret) = (private(&file["base_secret"]), private(&file["per_commitment_secret"]));
    let point = public(&file["per_commitment_point"]);
    assert_eq!(point_of(&PerCommitmentSecret(secret.secret_bytes())), Ok(point));

    let derived = [
        derive_public_key(&base_point, &point) == Ok(public(&file["localpubkey"])),
        derive_private_key(&base, &point) == Ok(private(&file["localprivkey"])),
        derive_revocation_public_key(&base_point, &point) == Ok(public(&file["revocationpubkey"])),
        derive_revocation_private_key(&base, &secret) == Ok(private(&file["revocationprivkey"])),
    ];
    println!("figure: BOLT 3 appendix E: {} derivations", derived.len());
    assert_eq!(derived, [true; 4], "public, private, revocation public, revocation private");
}

/// The keys, HTLCs and parameters that all commitments of the appendices share.
pub(crate) struct Common {
    pub(crate) channel: Channel,
    pub(crate) point: PublicKey,
    pub(crate) htlcs: Vec<Htlc>,
}

/// One commitment of the appendices.
pub(crate) struct Vector<'a> {
    pub(crate) name: &'a str,
    pub(crate) format: CommitmentFormat,
    pub(crate) dust_limit_sat: u64,
    pub(crate) feerate_per_kw: u32,
    pub(crate) to_local_msat: u64,
    pub(crate) to_remote_msat: u64,
    /// What stands in it.
    pub(crate) htlcs: Vec<Htlc>,
    pub(crate) transaction: &'a str,
    pub(crate) remote_signature: Signature,
    /// The peer's signature and the signed transaction of each HTLC output, in their order.
    pub(crate) seconds: Vec<(Signature, &'a str)>,
}

impl Common {
    fn of(common: &Value) -> Self {
        let key = |name: &str| private(&common[name]);
        // The files leave out keys that stand in no commitment of theirs.
        let unused = ChannelKeys::derive(&[0; 32], &[0; 32]);
        let local = ChannelKeys {
            funding: key("local_funding_privkey"),
            payment_base: key("local_payment_basepoint_secret"),
            delayed_payment_base: key("local_delayed_payment_basepoint_secret"),
            htlc_base: key("local_payment_basepoint_secret"),
            ..unused.clone()
        };
        let remote = ChannelKeys {
            funding: key("remote_funding_privkey"),
            revocation_base: key("remote_revocation_basepoint_secret"),
            payment_base: key("remote_payment_basepoint_secret"),
            htlc_base: key("remote_payment_basepoint_secret"),
            ..unused
        };
        let dust_limit = Amount::from_sat(int(&common["local_dust_limit_satoshi"]));
        let delay = ToSelfDelay(int(&common["local_delay"]));
        let parameters = ChannelParameters {
            channel_id: CHANNEL,
            funding_outpoint: OutPoint {
                txid: text(&common["funding_tx_id"]).parse().unwrap(),
                vout: int(&common["funding_output_index"]),
            },
            funding_amount: Amount::from_sat(int(&common["funding_amount_satoshi"])),
            format: CommitmentFormat::StaticRemoteKey,
            opener: Side::Local,
            local: local.side(dust_limit, delay),
            remote: remote.side(dust_limit, delay),
        };
        let this = Self {
            channel: Channel { parameters, keys: [local, remote] },
            point: public(&common["local_per_commitment_point"]),
            htlcs: (0..7).map(|id| common_htlc(common, id)).collect(),
        };
        this.check_keys(common);
        this
    }

    fn htlcs_of(&self, ids: &[usize]) -> Vec<Htlc> {
        ids.iter().map(|id| self.htlcs[*id].clone()).collect()
    }

    /// The file names derived keys too; they must be what the basepoints give.
    fn check_keys(&self, common: &Value) {
        let ChannelParameters { local, remote, .. } = &self.channel.parameters;
        let [local_keys, remote_keys] = &self.channel.keys;
        assert_eq!(local.payment_basepoint, public(&common["local_payment_basepoint"]));
        assert_eq!(local.htlc_basepoint, public(&common["local_htlc_basepoint"]));
        assert_eq!(local.funding_pubkey, public(&common["local_funding_pubkey"]));
        let delayed = public(&common["local_delayed_payment_basepoint"]);
        assert_eq!(local.delayed_payment_basepoint, delayed);
        assert_eq!(remote.payment_basepoint, public(&common["remote_payment_basepoint"]));
        assert_eq!(remote.htlc_basepoint, public(&common["remote_htlc_basepoint"]));
        assert_eq!(remote.funding_pubkey, public(&common["remote_funding_pubkey"]));
        assert_eq!(remote.revocation_basepoint, public(&common["remote_revocation_basepoint"]));

        let secret = private(&common["x_local_per_commitment_secret"]);
        assert_eq!(point_of(&PerCommitmentSecret(secret.secret_bytes())), Ok(self.point));
        let derived = |base: &SecretKey| derive_private_key(base, &self.point).unwrap();
        assert_eq!(derived(&local_keys.htlc_base), private(&common["local_privkey"]));
        assert_eq!(derived(&remote_keys.htlc_base), private(&common["remote_privkey"]));
        let delayed = private(&common["local_delayed_privkey"]);
        assert_eq!(derived(&local_keys.delayed_payment_base), delayed);

        let keys = CommitmentKeys::derive(&self.channel.parameters, Side::Local, &self.point);
        let keys = keys.unwrap();
        assert_eq!(keys.owner_htlc_pubkey, public(&common["local_htlcpubkey"]));
        assert_eq!(keys.other_htlc_pubkey, public(&common["remote_htlcpubkey"]));
        assert_eq!(keys.delayed_pubkey, public(&common["local_delayedpubkey"]));
        assert_eq!(keys.revocation_pubkey, public(&common["local_revocation_pubkey"]));
        let revocation =
            derive_revocation_private_key(&remote_keys.revocation_base, &secret).unwrap();
        assert_eq!(revocation.public_key(&Secp256k1::new()), keys.revocation_pubkey);

        let script = funding_script(&local.funding_pubkey, &remote.funding_pubkey);
        assert_eq!(script.to_hex_string(), text(&common["funding wscript"]));
        let factor = obscuring_factor(&self.channel.parameters);
        let obscured = text(&common["obscured commitment number"]);
        assert_eq!(format!("{factor:#x} ^ 42"), obscured);
    }
}

fn common_htlc(common: &Value, id: u64) -> Htlc {
    let fact = |name: &str| &common[format!("htlc {id} {name}")];
    let direction = match text(fact("direction")) {
        "local->remote" => HtlcDirection::Offered,
        "remote->local" => HtlcDirection::Received,
        other => panic!("direction {other}"),
    };
    let preimage = PaymentPreimage(bytes32(fact("payment_preimage")));
    let (amount_msat, expiry) = (int(fact("amount_msat")), int(fact("expiry")));
    Htlc { payment_hash: preimage.payment_hash(), ..htlc(direction, id, amount_msat, 0, expiry) }
}

fn seconds<'a>(htlcs: &'a [Value], signature: &str, signed: &str) -> Vec<(Signature, &'a str)> {
    htlcs.iter().map(|it| (der(text(&it[signature])), text(&it[signed]))).collect()
}

/// Which of the common HTLCs a case holds is said by its name only.
fn htlc_ids(name: &str) -> &'static [usize] {
    if name.contains("3 htlc outputs") {
        &[1, 5, 6]
    } else if name.contains("no HTLCs") {
        &[]
    } else {
        &[0, 1, 2, 3, 4]
    }
}

/// Builds, signs and verifies one commitment as both sides, and compares every byte.
pub(crate) fn check_vector(common: &Common, vector: &Vector<'_>) -> CommitmentTx {
    let name = vector.name;
    let mut parameters = common.channel.parameters.clone();
    parameters.format = vector.format;
    parameters.local.dust_limit = Amount::from_sat(vector.dust_limit_sat);
    let unsigned = UnsignedCommitment {
        number: number(42),
        per_commitment_point: common.point,
        feerate_per_kw: FeeRatePerKw(vector.feerate_per_kw),
        to_local_msat: AmountMsat(vector.to_local_msat),
        to_remote_msat: AmountMsat(vector.to_remote_msat),
    };
    let htlcs = &vector.htlcs;
    let commitment = build(&parameters, Side::Local, &unsigned, htlcs).expect(name);
    assert_eq!(commitment_number(&parameters, &commitment.transaction), Some(number(42)));

    // The peer builds the same transaction and signs it.
    let peer_parameters = mirrored(&parameters);
    let peer_htlcs: Vec<_> = htlcs.iter().map(mirrored_htlc).collect();
    let peers = build(&peer_parameters, Side::Remote, &unsigned, &peer_htlcs).expect(name);
    assert_eq!(peers.transaction, commitment.transaction, "{name}");
    let mut peer = signer(common.channel.keys(Side::Remote));
    let (signature, htlc_signatures) =
        sign_commitment(&mut peer, &peer_parameters, &peers).expect(name);
    assert_eq!(signature, vector.remote_signature, "{name}");
    let expected: Vec<_> = vector.seconds.iter().map(|(signature, _)| *signature).collect();
    assert_eq!(htlc_signatures, expected, "{name}");
    assert_eq!(verify_commitment(&parameters, &commitment, &signature, &expected), Ok(()));

    let signed = signed_commitment(common, &parameters, &commitment, &signature);
    assert_eq!(serialize_hex(&signed), vector.transaction, "{name}");
    for ((vout, signature), (_, expected)) in
        commitment.htlc_vouts().zip(&htlc_signatures).zip(&vector.seconds)
    {
        let htlc = commitment.htlc_transaction(vout).expect(name);
        let signed = signed_htlc(common, &commitment, htlc, signature, expected);
        assert_eq!(serialize_hex(&signed), *expected, "{name}, output {vout}");
    }
    commitment
}

fn signed_commitment(
    common: &Common,
    parameters: &ChannelParameters,
    commitment: &CommitmentTx,
    remote_signature: &Signature,
) -> Transaction {
    let (local, remote) = (parameters.local.funding_pubkey, parameters.remote.funding_pubkey);
    let script = funding_script(&local, &remote);
    let signature = local_signature(common, commitment);
    let mut signed = commitment.transaction.clone();
    signed.input[0].witness =
        funding_witness(&script, &signature, &local, remote_signature, &remote);
    signed
}

fn local_signature(common: &Common, commitment: &CommitmentTx) -> Signature {
    let ChannelParameters { local, remote, funding_amount, .. } = &common.channel.parameters;
    let script = funding_script(&local.funding_pubkey, &remote.funding_pubkey);
    common.channel.sign(
        Side::Local,
        SigningKey::Funding,
        &commitment.transaction,
        (&script, *funding_amount),
    )
}

fn check_signature(name: &str, expected: &Value, common: &Common, commitment: &CommitmentTx) {
    assert_eq!(local_signature(common, commitment), der(text(expected)), "{name}");
}

fn signed_htlc(
    common: &Common,
    commitment: &CommitmentTx,
    htlc: HtlcTx,
    remote_signature: &Signature,
    expected: &str,
) -> Transaction {
    let key = SigningKey::Htlc { per_commitment_point: common.point };
    let local =
        common.channel.sign(Side::Local, key, &htlc.transaction, (&htlc.script, htlc.amount));
    // The preimage is the only thing that the commitment does not know.
    let expected: Transaction = deserialize_hex(expected).unwrap();
    let shown = expected.input[0].witness.nth(3).unwrap();
    let preimage = htlc.is_success.then(|| PaymentPreimage(shown.try_into().unwrap()));
    let sighash = remote_htlc_sighash(commitment.format());
    let mut signed = htlc.transaction;
    signed.input[0].witness =
        htlc_witness(remote_signature, sighash, &local, preimage, &htlc.script);
    signed
}

fn check_fees(case: &Value, vector: &Vector<'_>, commitment: &CommitmentTx) {
    let fee = |name: &str| case.get(name).map(|fee| Amount::from_sat(int(fee)));
    let base = rules(vector.format)
        .commitment_fee(FeeRatePerKw(vector.feerate_per_kw), commitment.htlc_vouts().len());
    // The last case of the appendix names no fees.
    assert!(fee("base commitment transaction fee").is_none_or(|expected| expected == base));
    let actual = fee("actual commitment transaction fee");
    assert!(actual.is_none_or(|expected| expected == commitment.fee()), "{}", vector.name);
}

pub(crate) fn read(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(name)).expect(name)).expect(name)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(crate) fn int<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    let number = value.as_u64().unwrap_or_else(|| text(value).parse().unwrap());
    T::try_from(number).unwrap()
}

fn index(value: &Value) -> SecretIndex {
    let number = match text(value).strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => int(value),
    };
    SecretIndex::new(number).unwrap()
}

/// Reads 32 bytes of hex; a mark for "compressed" may follow them, as in private keys.
pub(crate) fn bytes32(value: &Value) -> [u8; 32] {
    let bytes = Vec::<u8>::from_hex(text(value).trim_start_matches("0x")).unwrap();
    assert!(matches!(bytes[32..], [] | [1]), "{}", bytes.to_lower_hex_string());
    bytes[..32].try_into().unwrap()
}

pub(crate) fn private(value: &Value) -> SecretKey {
    SecretKey::from_slice(&bytes32(value)).unwrap()
}

pub(crate) fn public(value: &Value) -> PublicKey {
    text(value).parse().unwrap()
}

fn der(signature: &str) -> Signature {
    Signature::from_der(&Vec::<u8>::from_hex(signature).unwrap()).unwrap()
}
