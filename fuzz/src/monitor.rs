//! A monitor that begins with a state that nobody lived through, and sees transactions that nobody
//! made.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::deserialize_partial;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_monitor::Monitor;
use lastword_ports::Ledger as _;
use lastword_types::{BlockRef, ChainDelta, ClaimKind, MonitorRecord};
use lastword_wire::{decode_monitor_state, encode_monitor_state};

use crate::canary;
use crate::input::Input;

/// The most blocks in one run.
const BLOCKS_MAX: usize = 16;

/// Believes that a state which decodes is refused or lives on: whatever blocks it sees, it refuses
/// them or takes them in, answers every question, and comes back from its own bytes the same.
///
/// # Panics
///
/// If not.
pub fn monitor(bytes: &[u8]) {
    let mut input = Input(bytes);
    let length = input.short();
    let Ok(state) = decode_monitor_state(input.take(length)) else { return };
    let Ok(mut monitor) = Monitor::restore(state) else { return };
    ask(&monitor);
    let was_open = monitor.state().funding_spend.is_none();
    let mut made: Vec<Transaction> = Vec::new();
    for _ in 0..BLOCKS_MAX {
        if input.is_empty() {
            break;
        }
        let record = MonitorRecord::Chain(delta(&monitor, &mut made, &mut input));
        if monitor.apply(&record).is_ok() {
            ask(&monitor);
        }
    }
    let encoded = encode_monitor_state(monitor.state());
    let again = decode_monitor_state(&encoded).expect("what is written can be read");
    let again = Monitor::restore(again).expect("what lived can live on");
    assert_eq!(again.state(), monitor.state());
    // It was open, and a block spends its funding.
    canary(was_open && monitor.state().funding_spend.is_some());
}

/// Asks everything that a driver asks.
fn ask(monitor: &Monitor) {
    let card = monitor.card();
    assert!(card.watched.is_sorted(), "a card is sorted");
    drop((monitor.claim_requests(), monitor.alarms()));
    monitor.for_each_undelivered(&mut |_| {});
}

/// Makes a block, or takes some away.
fn delta(monitor: &Monitor, made: &mut Vec<Transaction>, input: &mut Input<'_>) -> ChainDelta {
    let best = monitor.state().best;
    let shape = input.byte();
    let hash = BlockHash::from_byte_array([input.byte(); 32]);
    if shape & 0x80 != 0 {
        let height = best.height.minus(u32::from(shape & 0x7F));
        return ChainDelta::Disconnected { fork: BlockRef { height, hash } };
    }
    let block = BlockRef { height: best.height.plus(u32::from(shape >> 3 & 0x0F)), hash };
    let transactions = (0..shape & 7).map(|_| transaction(monitor, made, input)).collect();
    ChainDelta::Connected { block, transactions }
}

/// Makes a transaction of the input, or one that the monitor knows: its own closing, or one that
/// spends what is watched or what was made before.
fn transaction(
    monitor: &Monitor,
    made: &mut Vec<Transaction>,
    input: &mut Input<'_>,
) -> Transaction {
    let shape = input.byte();
    let transaction = match shape >> 6 {
        0 => {
            let length = usize::from(input.byte()) << 2;
            let decoded = deserialize_partial(input.take(length));
            decoded
                .map_or_else(|_| spend(Vec::new(), 1), |(transaction, _): (_, usize)| transaction)
        }
        1 => {
            let requests = monitor.claim_requests();
            let known = requests.into_iter().find_map(|request| match request.kind {
                ClaimKind::Commitment { transaction, .. } => Some(transaction),
                _ => None,
            });
            known.unwrap_or_else(|| spend(Vec::new(), 2))
        }
        _ => {
            let watched = monitor.card().watched;
            let coins = (0..=shape & 3).filter_map(|_| {
                let at = usize::from(input.byte());
                let children = made.iter().flat_map(|parent| {
                    let txid = parent.compute_txid();
                    (0..).take(parent.output.len()).map(move |vout| OutPoint { txid, vout })
                });
                let coins: Vec<OutPoint> = watched.iter().copied().chain(children).collect();
                coins.get(at.checked_rem(coins.len())?).copied()
            });
            let coins: Vec<OutPoint> = coins.collect();
            let mut transaction = spend(coins, usize::from(shape >> 2 & 3) + 1);
            for place in &mut transaction.input {
                let elements = input.byte() % 6;
                let elements = (0..elements).map(|_| {
                    let length = usize::from(input.byte());
                    input.take(length).to_vec()
                });
                place.witness = Witness::from_slice(&elements.collect::<Vec<_>>());
            }
            transaction
        }
    };
    made.push(transaction.clone());
    transaction
}

fn spend(coins: Vec<OutPoint>, outputs: usize) -> Transaction {
    let input = coins.into_iter().map(|previous_output| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ZERO,
        witness: Witness::new(),
    });
    let output = TxOut { value: bitcoin::Amount::from_sat(1_000), script_pubkey: ScriptBuf::new() };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output: vec![output; outputs],
    }
}
