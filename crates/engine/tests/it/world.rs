//! Everything that is not the node: the chain, the peer's half of every channel, and payments as
//! the test knows them.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use lastword_regtest::{Chain, SharedChain};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, CommitmentFormat, Event, Generation, HtlcFailure, HtlcId,
    HtlcKey, Intent, IntentPart, Metadata, MonitorUpdate, NewChannel, Outcome, PartIndex,
    PaymentId, PaymentPreimage, Terms,
};

use crate::channel::{Channel, FUNDING, funding_script};
use crate::peer::{anybody, anybodys_script};
use crate::wallet::{COIN, Wallet};

pub(crate) const STATIC: CommitmentFormat = CommitmentFormat::StaticRemoteKey;
pub(crate) const ANCHORS: CommitmentFormat = CommitmentFormat::AnchorsZeroFeeHtlc;

/// The most channels that a world has coins for.
const CHANNELS_MAX: u32 = 3;
/// Coins of the node's wallet.
const COINS: usize = 6;
const COINBASE_MATURITY: u32 = 100;
/// The fee of a payment, all of it in its first part.
pub(crate) const FEE_MSAT: u64 = 1_000;

/// The chain, and the other half of every channel.
pub(crate) struct World {
    pub(crate) chain: SharedChain,
    pub(crate) channels: Vec<Channel>,
}

/// A part of a payment: which channel, how many satoshi, and how many blocks until it expires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part(pub(crate) usize, pub(crate) u64, pub(crate) u32);

/// A payment as the test knows it.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) intent: Intent,
    pub(crate) preimage: PaymentPreimage,
    /// The updates that bring its HTLCs.
    pub(crate) updates: Vec<MonitorUpdate>,
    /// The updates of the peer's answers: from then on both commitments hold the HTLCs.
    pub(crate) answers: Vec<MonitorUpdate>,
}

/// Returns the id of the n-th channel.
pub(crate) fn channel_id(index: usize) -> ChannelId {
    ChannelId([0xc0 + u8::try_from(index).unwrap(); 32])
}

impl World {
    /// Mines what the channels and the node's wallet need, and lets it mature.
    pub(crate) fn new() -> Self {
        let chain = SharedChain::new(Chain::new());
        for _ in 0..=CHANNELS_MAX {
            chain.lock().mine(&anybody());
        }
        let world = Self { chain, channels: Vec::new() };
        world.mine(COINBASE_MATURITY);
        let coin = TxOut { value: COIN, script_pubkey: world.wallet().script() };
        let coins = world.pay_from_coinbase(1, vec![coin; COINS]);
        world.confirm(&coins);
        world
    }

    /// Makes a world with one open channel for each format, and a first record for each.
    pub(crate) fn with_channels(formats: &[CommitmentFormat]) -> (Self, Vec<NewChannel>) {
        let mut world = Self::new();
        let born = formats.iter().map(|format| world.open(*format)).collect();
        (world, born)
    }

    /// Makes one more channel, born at the present tip, its funding in the next block.
    fn open(&mut self, format: CommitmentFormat) -> NewChannel {
        let index = self.channels.len();
        let id = channel_id(index);
        let output = TxOut { value: FUNDING, script_pubkey: funding_script(id).to_p2wsh() };
        let funding = self.pay_from_coinbase(u32::try_from(index).unwrap() + 2, vec![output]);
        let outpoint = OutPoint { txid: funding.compute_txid(), vout: 0 };
        let mut channel = Channel::new(id, format, outpoint);
        let born = channel.born_at(self.chain.lock().tip());
        self.submit(&funding);
        self.channels.push(channel);
        born
    }

    fn pay_from_coinbase(&self, height: u32, output: Vec<TxOut>) -> Transaction {
        let chain = self.chain.lock();
        let coinbase = &chain.block_at(BlockHeight(height)).unwrap().txdata[0];
        let previous_output = OutPoint { txid: coinbase.compute_txid(), vout: 0 };
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&[anybodys_script().as_bytes()]),
            }],
            output,
        }
    }

    pub(crate) fn wallet(&self) -> Wallet {
        Wallet::new(self.chain.clone())
    }

    pub(crate) fn height(&self) -> u32 {
        self.chain.lock().height().0
    }

    /// Mines blocks with what waits.
    pub(crate) fn mine(&self, blocks: u32) {
        for _ in 0..blocks {
            self.chain.lock().mine(&anybody());
        }
    }

    /// Mines empty blocks.
    pub(crate) fn mine_empty(&self, blocks: u32) {
        for _ in 0..blocks {
            self.chain.lock().mine_empty();
        }
    }

    /// Mines blocks without the peer's claims of a payment, and calls `after` after each.
    pub(crate) fn mine_except_claims_of(
        &self,
        payment: &Payment,
        blocks: u32,
        after: &mut dyn FnMut(),
    ) {
        for _ in 0..blocks {
            let waiting = self.chain.lock().mempool();
            let claims: Vec<Txid> =
                waiting.into_iter().filter(|txid| self.shows_preimage(*txid, payment)).collect();
            self.chain.lock().mine_except(&anybody(), &claims);
            after();
        }
    }

    /// Says whether a transaction shows the preimage of a payment.
    pub(crate) fn shows_preimage(&self, txid: Txid, payment: &Payment) -> bool {
        let chain = self.chain.lock();
        let (transaction, _) = chain.transaction(txid).expect("it is there");
        let mut elements = transaction.input.iter().flat_map(|input| input.witness.iter());
        elements.any(|element| element == payment.preimage.0)
    }

    /// Offers a transaction to the mempool.
    pub(crate) fn submit(&self, transaction: &Transaction) {
        self.chain.lock().submit(transaction.clone()).expect("consensus takes it");
    }

    /// Offers a transaction and mines it.
    pub(crate) fn confirm(&self, transaction: &Transaction) {
        self.submit(transaction);
        self.mine(1);
        let height = self.chain.lock().transaction(transaction.compute_txid()).unwrap().1;
        assert!(height.is_some(), "it is in a block");
    }

    /// Takes blocks away, and what waited then too: nobody mines it again by accident.
    pub(crate) fn take_away(&self, blocks: usize) {
        self.chain.lock().reorg(blocks);
    }

    /// Returns the confirmed commitment of a channel.
    pub(crate) fn closing(&self, channel: usize) -> Txid {
        let funding = self.channels[channel].ours.funding_outpoint;
        self.chain.lock().spender(funding).expect("the channel is closed on chain").0
    }

    /// The peer puts its newest commitment of a channel into the next block.
    pub(crate) fn peer_closes(&mut self, channel: usize) {
        let commitment = self.channels[channel].peers_commitment();
        self.confirm(&commitment);
    }

    /// The peer claims a part of a payment with its preimage, in the next block.
    pub(crate) fn peer_claims(&mut self, payment: &Payment, part: usize) -> Transaction {
        let channel = self.index_of(payment.intent.parts[part].channel_id);
        let claim = self.peers_claim(channel, payment.htlc_id(part), payment.preimage);
        self.confirm(&claim);
        claim
    }

    /// Returns the peer's claim of an HTLC on the confirmed commitment.
    pub(crate) fn peers_claim(
        &mut self,
        channel: usize,
        htlc_id: HtlcId,
        preimage: PaymentPreimage,
    ) -> Transaction {
        let commitment = self.closing(channel);
        self.channels[channel].peers_claim(commitment, htlc_id, preimage)
    }

    /// Returns the channel of a part.
    pub(crate) fn channel_of(&self, payment: &Payment, part: usize) -> usize {
        self.index_of(payment.intent.parts[part].channel_id)
    }

    fn index_of(&self, id: ChannelId) -> usize {
        self.channels.iter().position(|channel| channel.id == id).unwrap()
    }

    /// Makes a payment; `n` names its id, generation and preimage.
    pub(crate) fn payment(&mut self, n: u8, parts: &[Part]) -> Payment {
        self.payment_of(PaymentId([n; 32]), n, parts)
    }

    /// Makes a payment with this id; `n` names its generation and preimage.
    pub(crate) fn payment_of(&mut self, id: PaymentId, n: u8, parts: &[Part]) -> Payment {
        self.payment_on(id, n, parts, Terms::default())
    }

    /// Makes a payment on these terms.
    pub(crate) fn payment_on(
        &mut self,
        id: PaymentId,
        n: u8,
        parts: &[Part],
        terms: Terms,
    ) -> Payment {
        let preimage = PaymentPreimage([n.wrapping_add(100); 32]);
        let total = parts.iter().map(|Part(_, sat, _)| sat * 1_000).sum();
        let intent = Intent {
            payment_id: id,
            generation: Generation([n; 16]),
            attempt: 0,
            payment_hash: preimage.payment_hash(),
            total_msat: AmountMsat(total),
            fee_msat: AmountMsat(FEE_MSAT),
            parts: self.parts(parts),
            metadata: Metadata::Here(vec![n; 3]),
            terms,
        };
        self.whole(intent, preimage)
    }

    /// Returns the parts of an intent, each with an HTLC id of its own.
    pub(crate) fn parts(&mut self, parts: &[Part]) -> Vec<IntentPart> {
        let height = self.height();
        let of_part = |index: usize, Part(channel, sat, blocks): Part, htlc_id| IntentPart {
            channel_id: channel_id(channel),
            htlc_id,
            amount_msat: AmountMsat(sat * 1_000 + if index == 0 { FEE_MSAT } else { 0 }),
            part_amount_msat: AmountMsat(sat * 1_000),
            cltv_expiry: BlockHeight(height + blocks),
        };
        parts
            .iter()
            .enumerate()
            .map(|(index, part)| of_part(index, *part, self.channels[part.0].take_htlc_id()))
            .collect()
    }

    /// Makes the updates of an intent, and the peer's answers.
    pub(crate) fn whole(&mut self, intent: Intent, preimage: PaymentPreimage) -> Payment {
        let index = |part: usize| PartIndex(u16::try_from(part).unwrap());
        let channels: Vec<usize> =
            intent.parts.iter().map(|part| self.index_of(part.channel_id)).collect();
        let updates = channels
            .iter()
            .enumerate()
            .map(|(at, channel)| self.channels[*channel].add(intent.htlc(index(at)).unwrap()))
            .collect();
        let answers = channels.iter().map(|channel| self.channels[*channel].answer()).collect();
        Payment { intent, preimage, updates, answers }
    }
}

impl Payment {
    pub(crate) fn id(&self) -> PaymentId {
        self.intent.payment_id
    }

    pub(crate) fn htlc_id(&self, part: usize) -> HtlcId {
        self.intent.parts[part].htlc_id
    }

    pub(crate) fn key(&self, part: usize) -> HtlcKey {
        self.intent.parts[part].key()
    }

    /// What the user must be told if a part is taken.
    pub(crate) fn sent(&self) -> Event {
        Event::PaymentSent {
            payment_id: self.id(),
            generation: self.intent.generation,
            payment_hash: self.intent.payment_hash,
            preimage: self.preimage,
            amount_msat: self.intent.total_msat,
            fee_msat: self.intent.fee_msat,
        }
    }

    /// What the user must be told of a part that was taken.
    pub(crate) fn path_taken(&self, part: usize) -> Event {
        Event::PaymentPathSuccessful {
            payment_id: self.id(),
            generation: self.intent.generation,
            attempt: self.intent.attempt,
            part: PartIndex(u16::try_from(part).unwrap()),
            htlc: self.key(part),
            amount_msat: self.intent.parts[part].part_amount_msat,
        }
    }

    /// What the user must be told of a part that failed.
    pub(crate) fn path_failed(&self, part: usize, reason: HtlcFailure) -> Event {
        Event::PaymentPathFailed {
            payment_id: self.id(),
            generation: self.intent.generation,
            attempt: self.intent.attempt,
            part: PartIndex(u16::try_from(part).unwrap()),
            htlc: self.key(part),
            reason,
        }
    }

    /// What the user must be told if nothing can be taken any more.
    pub(crate) fn failed(&self, reason: HtlcFailure) -> Event {
        Event::PaymentFailed {
            payment_id: self.id(),
            generation: self.intent.generation,
            payment_hash: self.intent.payment_hash,
            reason,
        }
    }

    /// The outcome if a part is taken.
    pub(crate) fn outcome_sent(&self) -> Outcome {
        Outcome::Sent {
            preimage: self.preimage,
            amount_msat: self.intent.total_msat,
            fee_msat: self.intent.fee_msat,
        }
    }
}
