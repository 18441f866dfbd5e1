//! What LDK asks of the world around it, answered with as little as it accepts.

use bitcoin::secp256k1::{PublicKey, Secp256k1, Signing, Verification};
use bitcoin::{Script, Transaction, Txid};
use lightning::blinded_path::message::{BlindedMessagePath, MessageContext, MessageForwardNode};
use lightning::blinded_path::payment::{BlindedPaymentPath, ReceiveTlvs};
use lightning::chain::chaininterface::{BroadcasterInterface, ConfirmationTarget, FeeEstimator};
use lightning::chain::{Filter, WatchedOutput};
use lightning::ln::channel_state::ChannelDetails;
use lightning::onion_message::messenger::{Destination, MessageRouter, OnionMessagePath};
use lightning::routing::router::{InFlightHtlcs, Route, RouteParameters, Router};
use lightning::sign::ReceiveAuthKey;
use lightning::util::logger::{Logger, Record};

/// Logs nothing.
pub struct NoLog;

impl Logger for NoLog {
    fn log(&self, _record: Record<'_>) {}
}

/// Says the least fee always.
pub struct LeastFee;

impl FeeEstimator for LeastFee {
    fn get_est_sat_per_1000_weight(&self, _target: ConfirmationTarget) -> u32 {
        253
    }
}

/// Broadcasts nothing.
pub struct NoBroadcast;

impl BroadcasterInterface for NoBroadcast {
    fn broadcast_transactions(&self, _transactions: &[&Transaction]) {}
}

/// Never used: blocks are handed over whole.
pub struct NoFilter;

impl Filter for NoFilter {
    fn register_tx(&self, _txid: &Txid, _script: &Script) {}
    fn register_output(&self, _output: WatchedOutput) {}
}

/// Finds no route: every payment here brings its own.
pub struct NoRouter;

impl Router for NoRouter {
    fn find_route(
        &self,
        _payer: &PublicKey,
        _parameters: &RouteParameters,
        _first_hops: Option<&[&ChannelDetails]>,
        _in_flight: InFlightHtlcs,
    ) -> Result<Route, &'static str> {
        Err("routes are given")
    }

    fn create_blinded_payment_paths<T: Signing + Verification>(
        &self,
        _recipient: PublicKey,
        _first_hops: Vec<ChannelDetails>,
        _tlvs: ReceiveTlvs,
        _amount_msat: Option<u64>,
        _secp: &Secp256k1<T>,
    ) -> Result<Vec<BlindedPaymentPath>, ()> {
        Err(())
    }
}

/// Sends no onion message.
pub struct NoMessages;

impl MessageRouter for NoMessages {
    fn find_path(
        &self,
        _sender: PublicKey,
        _peers: Vec<PublicKey>,
        _destination: Destination,
    ) -> Result<OnionMessagePath, ()> {
        Err(())
    }

    fn create_blinded_paths<T: Signing + Verification>(
        &self,
        _recipient: PublicKey,
        _key: ReceiveAuthKey,
        _context: MessageContext,
        _peers: Vec<MessageForwardNode>,
        _secp: &Secp256k1<T>,
    ) -> Result<Vec<BlindedMessagePath>, ()> {
        Err(())
    }
}
