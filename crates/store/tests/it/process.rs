//! Two processes and one file; and a process that is killed while it writes.
//!
//! The second process is this test binary, told by an environment variable which part to play.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lastword_ports::StoreErrorKind;
use lastword_store::RedbStore;

use crate::scenario::{CHANNEL, append, bodies, sync};

const STORE: &str = "LASTWORD_STORE_OF_THE_PARENT";

/// How often the writer is killed; a longer run asks for more.
fn kills() -> usize {
    let asked = std::env::var("LASTWORD_KILLS").ok();
    asked.map_or(5, |kills| kills.parse().expect("LASTWORD_KILLS is a number"))
}

/// The file that a parent wants this process to work on.
fn given_path() -> Option<PathBuf> {
    std::env::var_os(STORE).map(PathBuf::from)
}

fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", test, "--nocapture", "--quiet"]).env(STORE, path);
    command.stdout(Stdio::piped());
    command
}

#[test]
fn another_process_is_fenced() {
    if let Some(path) = given_path() {
        let error = RedbStore::open(&path).expect_err("the parent has it");
        println!("answer {:?}", error.kind);
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.redb");
    let _store = RedbStore::open(&path).expect("it opens");

    let output = child("process::another_process_is_fenced", &path).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("answer {:?}", StoreErrorKind::Fenced)), "{said}");
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there() {
    if let Some(path) = given_path() {
        let mut store = RedbStore::open(&path).expect("it opens");
        for number in bodies(&store, CHANNEL).len().. {
            append(&mut store, CHANNEL, &number.to_be_bytes());
            sync(&mut store);
            println!("acknowledged {number}");
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.redb");
    let mut expected = 0;
    for kill in 1..=kills() {
        let mut child = child("process::what_was_acknowledged_before_a_kill_is_there", &path)
            .spawn()
            .expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let numbers = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
        let acknowledged = numbers.take(1 + kill * 7 % 40).last().expect("it writes");
        child.kill().expect("it runs");
        child.wait().expect("it was killed");

        let store = RedbStore::open(&path).expect("it opens");
        let left = bodies(&store, CHANNEL);
        let whole: Vec<Vec<u8>> =
            (0..left.len()).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(left, whole);
        assert!(left.len() > acknowledged && acknowledged >= expected, "kill {kill}");
        expected = left.len();
    }
}
