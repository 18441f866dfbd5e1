//! `lastword demo`: real processes, real kills, real files.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;

fn lastword(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lastword")).args(arguments).output().unwrap()
}

/// Runs the demo and returns its JSON objects.
fn demo(arguments: &[&str]) -> Vec<Value> {
    let output = lastword(&[&["demo", "--json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(object: &Value, field: &str) -> u64 {
    object[field].as_u64().unwrap_or_else(|| panic!("{field} of {object}"))
}

/// Checks one run and returns how many last words came again.
fn check(objects: &[Value], seed: u64) -> u64 {
    let (summary, payments) = objects.split_last().unwrap();
    assert_eq!(summary["summary"], true);
    assert_eq!(number(summary, "seed"), seed);
    assert_eq!(number(summary, "violations"), 0);
    assert!(number(summary, "kills") >= 20);
    assert!(number(summary, "restored_none") >= 1);
    assert!(number(summary, "restored_older") >= 1);
    assert!(number(summary, "reorgs") >= 1);
    assert!(number(summary, "breaches") >= 1);
    assert!(number(summary, "blocks") > 100);
    assert_eq!(number(summary, "payments"), u64::try_from(payments.len()).unwrap());

    assert!(payments.len() >= 12);
    let mut again = 0;
    let mut names = BTreeSet::new();
    for payment in payments {
        assert_eq!(number(payment, "distinct_terminal_events"), 1, "{payment}");
        assert_eq!(payment["released"], true, "{payment}");
        assert!((1..=2).contains(&number(payment, "parts")));
        let is_sent = payment["outcome"] == "sent";
        assert!(is_sent || payment["outcome"] == "failed", "{payment}");
        assert_eq!(payment["preimage"].is_string(), is_sent, "{payment}");
        assert_eq!(payment["fee_msat"].is_u64(), is_sent, "{payment}");
        let key = (payment["payment_id"].to_string(), payment["generation"].to_string());
        assert!(names.insert(key), "the same payment twice: {payment}");
        again += number(payment, "terminal_events") - 1;
    }
    let ids: BTreeSet<_> = names.iter().map(|(payment_id, _)| payment_id).collect();
    assert!(ids.len() < names.len(), "no payment id was used again");
    assert!(payments.iter().any(|payment| payment["outcome"] == "failed"));
    assert!(payments.iter().any(|payment| !payment["txids"].as_array().unwrap().is_empty()));
    again
}

#[test]
fn every_payment_has_one_last_word_though_the_node_is_killed() {
    let again: u64 = (1..=3).map(|seed| check(&demo(&["--seed", &seed.to_string()]), seed)).sum();

    assert!(again > 0, "in three runs nothing was told twice: the kills missed the window");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let output = lastword(&["demo", "--json", "--stats", "--seed", "11"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };

    let bytes = run();
    assert_eq!(bytes, run());
    let last = String::from_utf8(bytes).unwrap();
    let summary: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    let held = summary["held"].as_array().unwrap();
    let kinds: Vec<&str> = held.iter().map(|held| held["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["index", "channels", "monitors", "claims", "book", "pending"]);
    assert!(number(&held[1], "count") >= 11 && number(&held[1], "bytes") > 0, "{summary}");
}

#[test]
fn without_a_seed_one_is_drawn_and_named() {
    let objects = demo(&[]);

    let seed = number(objects.last().unwrap(), "seed");
    check(&objects, seed);
}

#[test]
fn the_table_names_every_channel_and_the_seed() {
    let output = lastword(&["demo", "--seed", "4"]);

    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "claimed on chain",
        "timed out on chain",
        "not in the closing",
        "revoked, punished",
        "seed 4:",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_bitcoind_that_is_not_there_is_an_error_and_not_a_hang() {
    let output = lastword(&["demo", "--json", "--bitcoind", "/nonexistent/bitcoind"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("start bitcoind"), "{errors}");
}

#[test]
fn a_demo_on_a_real_bitcoind_ends_the_same_way() {
    let Some(program) = std::env::var_os("BITCOIND") else {
        let name = "a_demo_on_a_real_bitcoind_ends_the_same_way";
        eprintln!("skipped: {name}: BITCOIND is not set");
        return;
    };
    let output = Command::new(env!("CARGO_BIN_EXE_lastword"))
        .args(["demo", "--json", "--seed", "5", "--bitcoind"])
        .arg(program)
        .output()
        .unwrap();

    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    check(&objects, 5);
    assert!(errors.contains("nothing was skipped"), "{errors}");
}
