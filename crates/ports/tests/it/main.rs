//! What the proofs and gates of this crate let through.

use lastword_ports::{Durable, Gated, LogId, Lsn, Proofs};

const OURS: LogId = LogId([1; 16]);
const OTHER: LogId = LogId([2; 16]);

fn at(log: LogId, position: u64) -> Lsn {
    Lsn { log, position }
}

fn proofs(durable: &[Lsn]) -> Proofs {
    let mut proofs = Proofs::new();
    for lsn in durable {
        proofs.learn(Durable::attest(*lsn));
    }
    proofs
}

fn opens(after: &[Lsn], durable: &[Lsn]) -> bool {
    let (first, rest) = after.split_first().expect("a gate waits for something");
    let gated = rest.iter().fold(Gated::new((), *first), |gated, lsn| gated.and_after(*lsn));
    gated.release(&proofs(durable)).is_ok()
}

#[test]
fn a_gate_opens_at_its_place_and_not_before() {
    assert!(!opens(&[at(OURS, 7)], &[]));
    assert!(!opens(&[at(OURS, 7)], &[at(OURS, 6)]));
    assert!(opens(&[at(OURS, 7)], &[at(OURS, 7)]));
    assert!(opens(&[at(OURS, 7)], &[at(OURS, 8)]));
}

#[test]
fn a_proof_of_one_log_opens_nothing_that_waits_for_another() {
    assert!(!opens(&[at(OURS, 7)], &[at(OTHER, 9)]));
    assert!(!opens(&[at(OURS, 0)], &[at(OTHER, 9)]));
}

#[test]
fn what_two_logs_caused_waits_for_both() {
    let both = [at(OURS, 7), at(OTHER, 3)];

    assert!(!opens(&both, &[at(OURS, 7)]));
    assert!(!opens(&both, &[at(OTHER, 3)]));
    assert!(opens(&both, &[at(OTHER, 3), at(OURS, 7)]));
}

#[test]
fn an_older_proof_takes_nothing_back() {
    assert!(opens(&[at(OURS, 7)], &[at(OURS, 7), at(OURS, 2)]));
}

#[test]
fn a_gate_that_stays_shut_hands_its_value_back() {
    let gated = Gated::new("value", at(OURS, 1));

    let gated = gated.release(&Proofs::new()).expect_err("nothing is durable");

    assert_eq!(gated.release(&proofs(&[at(OURS, 1)])).expect("durable"), "value");
}
