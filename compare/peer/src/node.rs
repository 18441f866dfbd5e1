//! Two LDK nodes in one process that open channels and pay each other.

use std::sync::{Arc, Mutex};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Block, Header, Version as BlockVersion};
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::PublicKey;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, CompactTarget, Network, OutPoint, Transaction, TxIn, TxMerkleNode, TxOut,
    Txid, Witness,
};
use lightning::chain::chainmonitor::{ChainMonitor, Persist};
use lightning::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning::chain::{BestBlock, ChannelMonitorUpdateStatus, Listen as _};
use lightning::events::{Event, EventsProvider as _};
use lightning::ln::channelmanager::{
    ChainParameters, ChannelManager, PaymentId, RecipientOnionFields,
};
use lightning::ln::msgs::{
    BaseMessageHandler as _, ChannelMessageHandler as _, Init, MessageSendEvent,
};
use lightning::ln::types::ChannelId;
use lightning::routing::router::{Path, PaymentParameters, Route, RouteHop, RouteParameters};
use lightning::sign::{InMemorySigner, KeysManager, NodeSigner as _};
use lightning::types::payment::{PaymentHash, PaymentPreimage};
use lightning::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning::util::persist::MonitorName;
use lightning::util::ser::Writeable as _;

use crate::outside::{LeastFee, NoBroadcast, NoFilter, NoLog, NoMessages, NoRouter};

/// The height at which the nodes start: below it LDK's invented channel ids meet real ones.
pub const START_HEIGHT: u32 = 100_000;
const START_TIME: u32 = 1_700_000_000;

/// Keeps every update's bytes, and says that it is stored.
#[derive(Default)]
pub struct Recorder {
    updates: Mutex<Vec<(ChannelId, Vec<u8>)>>,
}

impl Persist<InMemorySigner> for Recorder {
    fn persist_new_channel(
        &self,
        _name: MonitorName,
        _monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        ChannelMonitorUpdateStatus::Completed
    }

    fn update_persisted_channel(
        &self,
        _name: MonitorName,
        update: Option<&ChannelMonitorUpdate>,
        monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        if let Some(update) = update {
            let mut updates = self.updates.lock().expect("nobody panics with the lock");
            updates.push((monitor.channel_id(), update.encode()));
        }
        ChannelMonitorUpdateStatus::Completed
    }

    fn archive_persisted_channel(&self, _name: MonitorName) {}
}

/// A chain monitor that keeps nothing but the bytes of updates.
pub type Watcher = ChainMonitor<
    InMemorySigner,
    Arc<NoFilter>,
    Arc<NoBroadcast>,
    Arc<LeastFee>,
    Arc<NoLog>,
    Arc<Recorder>,
    Arc<KeysManager>,
>;

/// The channels of a node.
pub type Manager = ChannelManager<
    Arc<Watcher>,
    Arc<NoBroadcast>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<LeastFee>,
    Arc<NoRouter>,
    Arc<NoMessages>,
    Arc<NoLog>,
>;

/// One node.
struct Node {
    manager: Manager,
    watcher: Arc<Watcher>,
    recorder: Arc<Recorder>,
    id: PublicKey,
    events: Mutex<Vec<Event>>,
}

/// Returns the keys of a node.
pub fn keys(seed: u8) -> Arc<KeysManager> {
    Arc::new(KeysManager::new(&[seed; 32], 1, 1, true))
}

/// Makes a chain monitor that watches nothing yet.
pub fn watcher(recorder: Arc<Recorder>, keys: &Arc<KeysManager>) -> Watcher {
    ChainMonitor::new(
        None,
        Arc::new(NoBroadcast),
        Arc::new(NoLog),
        Arc::new(LeastFee),
        recorder,
        keys.clone(),
        keys.get_peer_storage_key(),
    )
}

/// Returns how every node here is configured.
pub fn config() -> UserConfig {
    let mut config = UserConfig::default();
    config.channel_handshake_config.our_max_accepted_htlcs = 483;
    config.channel_handshake_config.max_inbound_htlc_value_in_flight_percent_of_channel = 100;
    config.channel_handshake_config.announce_for_forwarding = false;
    config.channel_handshake_config.minimum_depth = 1;
    config.channel_config.max_dust_htlc_exposure =
        MaxDustHTLCExposure::FixedLimitMsat(5_000_000_000);
    config.manually_accept_inbound_channels = true;
    config.channel_handshake_limits.trust_own_funding_0conf = true;
    config
}

impl Node {
    fn new(seed: u8) -> Self {
        let keys = keys(seed);
        let recorder = Arc::new(Recorder::default());
        let watcher = Arc::new(watcher(recorder.clone(), &keys));
        let genesis = bitcoin::constants::genesis_block(Network::Regtest).block_hash();
        let manager = ChannelManager::new(
            Arc::new(LeastFee),
            watcher.clone(),
            Arc::new(NoBroadcast),
            Arc::new(NoRouter),
            Arc::new(NoMessages),
            Arc::new(NoLog),
            keys.clone(),
            keys.clone(),
            keys,
            config(),
            ChainParameters {
                network: Network::Regtest,
                best_block: BestBlock::new(genesis, START_HEIGHT),
            },
            START_TIME,
        );
        let id = manager.get_our_node_id();
        Self { manager, watcher, recorder, id, events: Mutex::default() }
    }

    fn hello(&self, peer: &Self) -> Init {
        Init {
            features: self.manager.provided_init_features(peer.id),
            networks: None,
            remote_network_address: None,
        }
    }

    fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().expect("nobody panics with the lock"))
    }

    /// Collects what the node wants to tell its user; says whether there was anything.
    fn collect_events(&self) -> bool {
        let before = self.events.lock().expect("nobody panics with the lock").len();
        let keep = |event: Event| {
            self.events.lock().expect("nobody panics with the lock").push(event);
            Ok(())
        };
        self.manager.process_pending_events(&keep);
        self.watcher.process_pending_events(&keep);
        self.events.lock().expect("nobody panics with the lock").len() > before
    }

    /// Hands the node's messages over; says whether there were any.
    fn deliver_to(&self, peer: &Self) -> bool {
        let messages = self.manager.get_and_clear_pending_msg_events();
        let any = !messages.is_empty();
        for message in messages {
            self.deliver(message, &peer.manager);
        }
        any
    }

    fn deliver(&self, message: MessageSendEvent, peer: &Manager) {
        use MessageSendEvent as M;

        let from = self.id;
        match message {
            M::SendOpenChannel { msg, .. } => peer.handle_open_channel(from, &msg),
            M::SendAcceptChannel { msg, .. } => peer.handle_accept_channel(from, &msg),
            M::SendFundingCreated { msg, .. } => peer.handle_funding_created(from, &msg),
            M::SendFundingSigned { msg, .. } => peer.handle_funding_signed(from, &msg),
            M::SendChannelReady { msg, .. } => peer.handle_channel_ready(from, &msg),
            M::SendRevokeAndACK { msg, .. } => peer.handle_revoke_and_ack(from, &msg),
            M::UpdateHTLCs { updates, .. } => {
                for add in &updates.update_add_htlcs {
                    peer.handle_update_add_htlc(from, add);
                }
                for fulfill in updates.update_fulfill_htlcs {
                    peer.handle_update_fulfill_htlc(from, fulfill);
                }
                for signed in &updates.commitment_signed {
                    peer.handle_commitment_signed(from, signed);
                }
            }
            M::SendChannelUpdate { .. } | M::BroadcastChannelUpdate { .. } => {}
            other => panic!("nothing here makes a node send {other:?}"),
        }
    }
}

/// One of the two nodes.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// The one that offers every HTLC.
    Payer,
    /// The other.
    Payee,
}

impl Who {
    /// Returns what the node's keys are made of.
    pub fn seed(self) -> u8 {
        match self {
            Self::Payer => 1,
            Self::Payee => 2,
        }
    }
}

/// Two nodes, the first of which offers every HTLC.
pub struct Pair {
    payer: Node,
    payee: Node,
    opened: u32,
    payments: u64,
}

impl Pair {
    /// Makes two nodes that know each other.
    pub fn new() -> Self {
        let [payer, payee] = [Who::Payer, Who::Payee].map(|who| Node::new(who.seed()));
        let connected = payer.manager.peer_connected(payee.id, &payee.hello(&payer), false);
        connected.expect("the nodes are compatible");
        let connected = payee.manager.peer_connected(payer.id, &payer.hello(&payee), true);
        connected.expect("the nodes are compatible");
        Self { payer, payee, opened: 0, payments: 0 }
    }

    /// Opens channels, puts their funding transactions in a block, and buries it.
    pub fn open(&mut self, count: u32, value_sat: u64, push_msat: u64) -> Vec<ChannelId> {
        let (mut ids, mut funding) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (channel_id, transaction) = self.open_one(value_sat, push_msat);
            ids.push(channel_id);
            funding.push(transaction);
        }
        self.mine(funding);
        for _ in 0..6 {
            self.mine(Vec::new());
        }
        self.talk();
        self.payer.take_events();
        self.payee.take_events();
        ids
    }

    fn open_one(&mut self, value_sat: u64, push_msat: u64) -> (ChannelId, Transaction) {
        self.opened += 1;
        let user_id = u128::from(self.opened);
        let manager = &self.payer.manager;
        manager
            .create_channel(self.payee.id, value_sat, push_msat, user_id, None, None)
            .expect("a channel can be proposed");
        self.payer.deliver_to(&self.payee);
        self.payee.collect_events();
        for event in self.payee.take_events() {
            if let Event::OpenChannelRequest {
                temporary_channel_id, counterparty_node_id, ..
            } = event
            {
                self.payee
                    .manager
                    .accept_inbound_channel_from_trusted_peer_0conf(
                        &temporary_channel_id,
                        &counterparty_node_id,
                        user_id,
                        None,
                    )
                    .expect("a channel can be accepted");
            }
        }
        self.payee.deliver_to(&self.payer);
        self.payer.collect_events();
        let transaction = self.fund();
        self.talk();
        let ready = self.payer.take_events().into_iter().find_map(|event| match event {
            Event::ChannelReady { channel_id, .. } => Some(channel_id),
            _ => None,
        });
        self.payee.take_events();
        (ready.expect("the channel is ready"), transaction)
    }

    fn fund(&self) -> Transaction {
        let ready = self.payer.take_events().into_iter().find_map(|event| match event {
            Event::FundingGenerationReady {
                temporary_channel_id,
                channel_value_satoshis,
                output_script,
                ..
            } => Some((temporary_channel_id, channel_value_satoshis, output_script)),
            _ => None,
        });
        let (temporary_id, value, script_pubkey) = ready.expect("the channel waits for funds");
        let coin = sha256::Hash::hash(&self.opened.to_be_bytes()).to_byte_array();
        let transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint { txid: Txid::from_byte_array(coin), vout: 0 },
                witness: Witness::from_slice(&[vec![0; 71], vec![2; 33]]),
                ..TxIn::default()
            }],
            output: vec![TxOut { value: Amount::from_sat(value), script_pubkey }],
        };
        self.payer
            .manager
            .funding_transaction_generated(temporary_id, self.payee.id, transaction.clone())
            .expect("the funding transaction is what was asked for");
        transaction
    }

    fn mine(&self, txdata: Vec<Transaction>) {
        let best = self.payer.manager.current_best_block();
        let height = best.height + 1;
        let block = Block { header: header(best.block_hash, START_TIME + height), txdata };
        for node in [&self.payer, &self.payee] {
            node.watcher.block_connected(&block, height);
            node.manager.block_connected(&block, height);
        }
    }

    /// Lets the nodes talk until neither has anything to say.
    fn talk(&self) {
        let (payer, payee) = (&self.payer, &self.payee);
        let exchange = || {
            // Every call has an effect, so none may be skipped.
            let said = [payer.deliver_to(payee), payee.deliver_to(payer)];
            let told = [payer.collect_events(), payee.collect_events()];
            said.into_iter().chain(told).any(|any| any)
        };
        loop {
            if exchange() {
                continue;
            }
            payer.manager.process_pending_htlc_forwards();
            payee.manager.process_pending_htlc_forwards();
            if !exchange() {
                return;
            }
        }
    }

    /// Sends a payment over one hop without metadata, until the payee could claim it.
    pub fn send(&mut self, channel_id: ChannelId, amount_msat: u64) -> PaymentPreimage {
        self.payments += 1;
        let mut preimage = [7; 32];
        preimage[..8].copy_from_slice(&self.payments.to_be_bytes());
        let hash = PaymentHash(sha256::Hash::hash(&preimage).to_byte_array());
        let payee = &self.payee.manager;
        let secret = payee
            .create_inbound_payment_for_hash(hash, None, 7_200, None)
            .expect("an invoice can be made");
        let hop = RouteHop {
            pubkey: self.payee.id,
            node_features: payee.node_features(),
            short_channel_id: self.short_id(channel_id),
            channel_features: payee.channel_features(),
            fee_msat: amount_msat,
            cltv_expiry_delta: 144,
            maybe_announced_channel: false,
        };
        let route = Route {
            paths: vec![Path { hops: vec![hop], blinded_tail: None }],
            route_params: Some(RouteParameters::from_payment_params_and_value(
                PaymentParameters::from_node_id(self.payee.id, 144),
                amount_msat,
            )),
        };
        let onion = RecipientOnionFields::secret_only(secret);
        self.payer
            .manager
            .send_payment_with_route(route, hash, onion, PaymentId(hash.0))
            .expect("the payment can be sent");
        self.talk();
        PaymentPreimage(preimage)
    }

    /// Claims a payment.
    pub fn claim(&self, preimage: PaymentPreimage) {
        self.payee.manager.claim_funds(preimage);
        self.talk();
        self.payer.take_events();
        self.payee.take_events();
    }

    /// Lets time pass, so that what is finished is forgotten.
    pub fn tick(&self) {
        for _ in 0..3 {
            self.payer.manager.timer_tick_occurred();
            self.payee.manager.timer_tick_occurred();
        }
        self.talk();
    }

    fn short_id(&self, channel_id: ChannelId) -> u64 {
        let channels = self.payer.manager.list_channels();
        let channel = channels.iter().find(|channel| channel.channel_id == channel_id);
        let short_id = channel.and_then(|channel| channel.get_outbound_payment_scid());
        short_id.expect("the channel is there")
    }

    /// Returns the bytes of a monitor of a channel.
    pub fn monitor(&self, who: Who, channel_id: ChannelId) -> Vec<u8> {
        let monitor = self.node(who).watcher.get_monitor(channel_id);
        monitor.expect("the channel is watched").encode()
    }

    /// Returns the bytes of what a node knows of its channels beside their monitors.
    pub fn manager(&self, who: Who) -> Vec<u8> {
        self.node(who).manager.encode()
    }

    /// Takes out the updates of a node's monitors, in their order.
    pub fn take_updates(&self, who: Who) -> Vec<(ChannelId, Vec<u8>)> {
        let updates = &self.node(who).recorder.updates;
        std::mem::take(&mut *updates.lock().expect("nobody panics with the lock"))
    }

    fn node(&self, who: Who) -> &Node {
        match who {
            Who::Payer => &self.payer,
            Who::Payee => &self.payee,
        }
    }
}

/// Returns a header that nobody worked for.
pub fn header(prev_blockhash: BlockHash, time: u32) -> Header {
    Header {
        version: BlockVersion::NO_SOFT_FORK_SIGNALLING,
        prev_blockhash,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    }
}
