//! Packages against a real bitcoind: zero-fee commitments, whose children pay for them.
//!
//! Z-2, Z-3, Z-5 and Z-8 of the requirements checklist, as a node sees them.

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::{
    ChannelKeys, CommitmentInput, OutputKind, build_commitment, funding_script, funding_witness,
    generate_from_seed, point_of,
};
use lastword_chain::RpcRefusal;
use lastword_ports::{Broadcaster, ChainError, ChainErrorKind};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, ChannelParameters, CommitmentFormat, CommitmentNumber,
    FeeRatePerKw, Htlc, HtlcDirection, HtlcId, HtlcOrigin, PaymentHash, Side, ToSelfDelay,
    UnsignedCommitment,
};

use crate::bitcoind::{Node, kind};
use crate::support::pay;

const FUNDING_SAT: u64 = 1_000_000;
const COIN_SAT: u64 = 50_000;

#[test]
fn z_5_a_real_node_takes_a_zero_fee_commitment_with_its_child() {
    let name = "z_5_a_real_node_takes_a_zero_fee_commitment_with_its_child";
    let Some((node, mut source)) = Node::start(name) else { return };
    let mined = node.mine(101);
    let reward = lastword_ports::BlockSource::block(&mut source, mined[0]).expect("it has it");
    let reward = OutPoint::new(reward.txdata[0].compute_txid(), 0);
    // What is trimmed of each commitment, which is what its anchor holds, up to 240.
    let trimmed = [0, 1, 200, 240, 353];
    let channels: Vec<Channel> = (0..5).map(Channel::new).collect();
    let mut funding = pay(&[reward], &[COIN_SAT; 10]);
    funding.output.extend(channels.iter().map(Channel::funding_output));
    node.call("sendrawtransaction", &[hex(&funding), 0.into(), 21_000_000.into()]);
    node.mine(1);
    let txid = funding.compute_txid();
    let output = |vout: usize| OutPoint::new(txid, u32::try_from(vout).unwrap());

    for (at, (channel, trimmed)) in channels.into_iter().zip(trimmed).enumerate() {
        let (commitment, anchor) = channel.commitment(output(10 + at), trimmed);
        let coin = output(2 * at);
        let spent = COIN_SAT + trimmed.min(240);
        let child = |fee: u64| child_of(&commitment, anchor, coin, &[spent - fee]);
        let alone = source.broadcast(&commitment).expect_err("it pays nothing");
        assert_eq!(alone.kind, ChainErrorKind::FeeTooLow, "{trimmed}");
        let cheap = [commitment.clone(), child(10)];
        assert_eq!(kind(source.broadcast_package(&cheap)), Err(ChainErrorKind::FeeTooLow));
        // That the commitment alone is too cheap does not make a missing coin a matter of fees.
        let gone = OutPoint { txid: commitment.compute_txid(), vout: 1_000 };
        let gone = child_of(&commitment, anchor, gone, &[spent - 2_000]);
        let refused = source.broadcast_package(&[commitment.clone(), gone]);
        assert_eq!(kind(refused), Err(ChainErrorKind::Rejected));
        let large = child_of(&commitment, anchor, coin, &[1_000; 30]);
        assert!(large.vsize() > 1_000);
        let refused = source.broadcast_package(&[commitment.clone(), large]);
        let why_refused = why(refused);
        assert!(why_refused.contains("> 1000 virtual bytes"), "{trimmed}: {why_refused}");

        let good = [commitment.clone(), child(2_000)];
        taken(source.broadcast_package(&good));
        taken(source.broadcast_package(&good));
        // Ten satoshi more do not pay for the relay of a replacement.
        let twitch = child_of(&commitment, anchor, output(2 * at + 1), &[spent - 2_010]);
        let refused = source.broadcast_package(&[commitment.clone(), twitch]);
        assert_eq!(kind(refused), Err(ChainErrorKind::FeeTooLow));
        // Anybody may replace the child, for more: nobody pins the commitment.
        let dearer =
            [commitment.clone(), child_of(&commitment, anchor, output(2 * at + 1), &[40_000])];
        taken(source.broadcast_package(&dearer));
        let waiting = node.call("getrawmempool", &[]).to_string();
        assert!(waiting.contains(&dearer[1].compute_txid().to_string()), "{waiting}");
        assert!(!waiting.contains(&good[1].compute_txid().to_string()), "{waiting}");
        node.mine(1);
        assert_eq!(node.call("getrawmempool", &[]).as_array().map(Vec::len), Some(0));
        taken(source.broadcast_package(&dearer));
        assert_eq!(kind(source.broadcast_package(&good)), Err(ChainErrorKind::Rejected));
    }
}

fn taken(result: Result<(), ChainError>) {
    if let Err(error) = result {
        panic!("{}", why(Err(error)));
    }
}

fn why(result: Result<(), ChainError>) -> String {
    let error = result.expect_err("it is refused");
    let source = error.source.as_deref().and_then(|source| source.downcast_ref::<RpcRefusal>());
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

fn hex(transaction: &Transaction) -> serde_json::Value {
    bitcoin::consensus::encode::serialize_hex(transaction).into()
}

/// Spends the anchor, with an empty witness, and a coin that anybody may spend.
fn child_of(
    commitment: &Transaction,
    anchor: OutPoint,
    coin: OutPoint,
    amounts: &[u64],
) -> Transaction {
    let mut child = pay(&[coin], amounts);
    child.version = commitment.version;
    child.input.push(TxIn { previous_output: anchor, ..TxIn::default() });
    child
}

/// A channel and both sides' keys.
struct Channel {
    keys: [ChannelKeys; 2],
    parameters: ChannelParameters,
}

impl Channel {
    fn new(number: u8) -> Self {
        let channel_id = ChannelId([number; 32]);
        let keys = [1, 2].map(|node| ChannelKeys::derive(&[node; 32], &channel_id.0));
        let dust_limit = Amount::from_sat(354);
        let [local, remote] = [0, 1].map(|at: usize| keys[at].side(dust_limit, ToSelfDelay(144)));
        let parameters = ChannelParameters {
            channel_id,
            funding_outpoint: OutPoint::null(),
            funding_amount: Amount::from_sat(FUNDING_SAT),
            format: CommitmentFormat::ZeroFee,
            opener: Side::Local,
            local,
            remote,
        };
        Self { keys, parameters }
    }

    fn funding_script(&self) -> ScriptBuf {
        let ChannelParameters { local, remote, .. } = &self.parameters;
        funding_script(&local.funding_pubkey, &remote.funding_pubkey)
    }

    fn funding_output(&self) -> TxOut {
        let script_pubkey = self.funding_script().to_p2wsh();
        TxOut { value: self.parameters.funding_amount, script_pubkey }
    }

    /// Our commitment, signed by both, with an HTLC of that many satoshi, and where its anchor is.
    fn commitment(mut self, funding: OutPoint, trimmed_sat: u64) -> (Transaction, OutPoint) {
        self.parameters.funding_outpoint = funding;
        let number = CommitmentNumber::new(3).unwrap();
        let secret = generate_from_seed(&self.keys[0].commitment_seed, number.secret_index());
        let half = FUNDING_SAT * 500;
        let unsigned = UnsignedCommitment {
            number,
            per_commitment_point: point_of(&secret).unwrap(),
            feerate_per_kw: FeeRatePerKw(0),
            to_local_msat: AmountMsat(half - trimmed_sat * 1_000),
            to_remote_msat: AmountMsat(half),
        };
        let htlc = Htlc {
            direction: HtlcDirection::Offered,
            htlc_id: HtlcId(0),
            amount_msat: AmountMsat(trimmed_sat * 1_000),
            payment_hash: PaymentHash([7; 32]),
            cltv_expiry: BlockHeight(500),
            origin: HtlcOrigin::Ours,
        };
        let htlcs: &[&Htlc] = if trimmed_sat == 0 { &[] } else { &[&htlc] };
        let built = build_commitment(&CommitmentInput {
            parameters: &self.parameters,
            owner: Side::Local,
            commitment: &unsigned,
            htlcs,
        })
        .unwrap();
        let kinds = built.outputs.iter().map(|output| output.kind);
        let vout = kinds.zip(0..).find(|(kind, _)| *kind == OutputKind::SharedAnchor).unwrap().1;
        let anchor = OutPoint { txid: built.txid(), vout };
        assert_eq!(built.outputs[vout as usize].amount.to_sat(), trimmed_sat.min(240));
        let mut transaction = built.transaction;
        assert_eq!(transaction.version, Version(3));
        transaction.input[0].witness = self.witness(&transaction);
        (transaction, anchor)
    }

    fn witness(&self, transaction: &Transaction) -> Witness {
        let ChannelParameters { local, remote, funding_amount, .. } = &self.parameters;
        let script = self.funding_script();
        let sighash = SighashCache::new(transaction)
            .p2wsh_signature_hash(0, &script, *funding_amount, EcdsaSighashType::All)
            .unwrap();
        let message = Message::from_digest(sighash.to_byte_array());
        let [ours, theirs] = [0, 1].map(|at: usize| {
            Secp256k1::signing_only().sign_ecdsa(&message, &self.keys[at].funding)
        });
        funding_witness(&script, &ours, &local.funding_pubkey, &theirs, &remote.funding_pubkey)
    }
}
