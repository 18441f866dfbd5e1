//! Input that is valid and odd, or made to hurt.

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{OutPoint, Transaction, Witness};
use lastword_types::{ChainDelta, MonitorRecord, Verdict};

use super::{CLOSED, by_chain, closed, closings, learn, restart};
use crate::channel::{Channel, EXPIRY, PEER, US, block, offer, preimage};
use crate::spend::spend;

/// A witness as long as one of an HTLC and without a preimage of the right length ended the
/// program, again at each start.
#[test]
fn museum_b115_no_witness_stops_the_monitor_and_garbage_proves_nothing() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        let built = channel.built(owner, channel.nodes[owner].commitments.len() - 1);
        let vout = usize::try_from(output.vout).unwrap();
        let script = built.outputs[vout].script.to_bytes();
        let outputs = channel.monitor().card().watched;
        let before = channel.monitor().clone();
        for stack in stacks(&script) {
            let mut odd = spend(OutPoint::null(), 0, 0);
            odd.input.clear();
            for outpoint in outputs.iter().filter(|outpoint| outpoint.txid == output.txid) {
                let mut input = spend(*outpoint, 0, 0).input.remove(0);
                input.witness = Witness::from_slice(&stack);
                odd.input.push(input);
            }
            assert!(odd.input.iter().any(|input| input.previous_output == output));
            let block = block(CLOSED + 1, 0);
            let delta = ChainDelta::Connected { block, transactions: vec![odd] };
            channel.nodes[US].monitor = before.clone();
            channel.apply(US, MonitorRecord::Chain(delta));
            restart(&mut channel);
            let verdict = channel.verdict(name);
            assert!(!matches!(verdict, Verdict::Fulfilled { .. }), "{stack:?}");
        }
    }
}

/// Stacks of 0 to 6 elements of odd lengths, with the script of the output behind them or not.
fn stacks(script: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut stacks = Vec::new();
    for length in [0, 1, 31, 32, 33, 72, 520, 70_000] {
        for count in 0..=6 {
            let stack = vec![vec![7; length]; count];
            stacks.push(stack.clone());
            let mut with_script = stack.clone();
            with_script.push(script.to_vec());
            stacks.push(with_script.clone());
            // An annex behind it, as taproot has it.
            with_script.push(vec![0x50; 3]);
            stacks.push(with_script);
        }
    }
    // The right preimage where nothing opens anything.
    stacks.push(vec![preimage(1).0.to_vec()]);
    stacks.push(vec![vec![], preimage(1).0.to_vec(), vec![0x51]]);
    stacks
}

/// A block that consensus accepts held a witness beyond what a parser had thought of, and the node
/// stood still without a word while thieves had their way.
#[test]
fn museum_b028_a_giant_witness_is_read_like_any_other() {
    for (format, owner) in closings() {
        for stack in [vec![vec![7; 3_999_000]], vec![vec![]; 600_000], vec![vec![1; 400]; 9_000]] {
            let (mut channel, name, output) = closed(format, owner, US);
            learn(&mut channel, PEER, 1);
            let claim = channel.claim(PEER, output);
            let mut giant = spend(OutPoint::null(), 0, 0);
            giant.input[0].witness = Witness::from_slice(&stack);
            giant.input.extend(claim.input);
            let read: Transaction = deserialize(&serialize(&giant)).unwrap();
            assert_eq!(read, giant);
            channel.connect(CLOSED + 1, &[&read]);

            assert_eq!(channel.verdict(name), by_chain(1, &giant));
        }
    }
}

/// As many HTLCs as a channel holds, all of one hash and amount: each has its own end.
#[test]
fn museum_b093_of_many_htlcs_with_one_hash_each_has_its_own_end() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let names: Vec<_> = (0..100).map(|_| channel.draft(US, offer(1, 3_000))).collect();
        channel.sign(PEER, &names, &[]);
        channel.revoke(PEER);
        channel.sign(US, &names, &[]);
        channel.revoke(US);
        learn(&mut channel, PEER, 1);
        let closing = channel.newest(owner).transaction.clone();
        channel.connect(CLOSED, &[&closing]);
        let outputs: Vec<_> =
            names.iter().map(|name| channel.output_of(owner, *name).unwrap()).collect();
        // One transaction of a hostile peer takes every third of them.
        let mut taken = spend(OutPoint::null(), 0, 0);
        for output in outputs.iter().step_by(3) {
            taken.input.extend(channel.claim(PEER, *output).input);
        }
        channel.connect(EXPIRY, &[&taken]);

        for (index, name) in names.into_iter().enumerate() {
            let expected = if index % 3 == 0 { by_chain(1, &taken) } else { Verdict::Live };
            assert_eq!(channel.verdict(name), expected);
            assert_eq!(channel.request(US, outputs[index]).is_some(), index % 3 != 0);
        }
    }
}
