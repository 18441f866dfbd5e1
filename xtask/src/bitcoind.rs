//! `cargo xtask bitcoind`: finds a bitcoind or brings one, and prints its path.
//!
//! `BITCOIND` goes first, then `PATH`, then one that was brought before. Debian has packages of
//! Bitcoin Knots, a derivative of Bitcoin Core with the same RPC, in `sid` only: they are downloaded
//! with the machine's own mirror and keys into a private apt root under `target`, unpacked there,
//! and run with the C++ libraries that come with them. Nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{check, output, root};

/// Runs it.
pub(crate) fn run() -> Result<(), String> {
    println!("{}", find_or_bring()?.display());
    Ok(())
}

/// Returns the path of a bitcoind that starts.
pub(crate) fn find_or_bring() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("BITCOIND") {
        let named = PathBuf::from(named);
        return starts(&named).map(|()| named);
    }
    let on_path = PathBuf::from("bitcoind");
    if starts(&on_path).is_ok() {
        return Ok(on_path);
    }
    let folder = root().join("target").join("bitcoind");
    let wrapper = folder.join("bitcoind");
    if starts(&wrapper).is_err() {
        bring(&folder, &wrapper)?;
        starts(&wrapper)?;
    }
    Ok(wrapper)
}

fn starts(path: &Path) -> Result<(), String> {
    output(Command::new(path).arg("-version")).map(|_| ())
}

fn bring(folder: &Path, wrapper: &Path) -> Result<(), String> {
    eprintln!("bitcoind: bringing Debian's package bitcoin-knots into {}", folder.display());
    let apt = folder.join("apt");
    let failed = |what: &str, error: std::io::Error| format!("bitcoind: {what}: {error}");
    for part in ["lists/partial", "cache/archives/partial", "parts", "empty"] {
        fs::create_dir_all(apt.join(part)).map_err(|error| failed(part, error))?;
    }
    fs::write(apt.join("status"), "").map_err(|error| failed("status", error))?;
    let source = debian_source()?;
    fs::write(apt.join("parts/sid.sources"), source).map_err(|error| failed("sources", error))?;

    apt_get(&apt, &["update"])?;
    let install = ["--download-only", "--no-install-recommends", "install", "bitcoin-knots"];
    apt_get(&apt, &install)?;
    let files = folder.join("files");
    let archives = apt.join("cache/archives");
    for entry in fs::read_dir(&archives).map_err(|error| failed("archives", error))? {
        let path = entry.map_err(|error| failed("archives", error))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            check(Command::new("dpkg").arg("-x").arg(&path).arg(&files))?;
        }
    }
    write_wrapper(&files, wrapper)
}

/// Writes a script that starts the binary with the libraries beside it.
fn write_wrapper(files: &Path, wrapper: &Path) -> Result<(), String> {
    let text = "#!/bin/sh\n\
        here=$(dirname \"$0\")/files/usr\n\
        lib=\"$here/lib/x86_64-linux-gnu\"\n\
        exec \"$lib/ld-linux-x86-64.so.2\" --library-path \"$lib\" \"$here/bin/bitcoind\" \"$@\"\n";
    if !files.join("usr/bin/bitcoind").exists() {
        return Err("bitcoind: the package holds no bitcoind".to_owned());
    }
    fs::write(wrapper, text).map_err(|error| format!("bitcoind: the wrapper: {error}"))?;
    check(Command::new("chmod").arg("+x").arg(wrapper))
}

fn apt_get(apt: &Path, arguments: &[&str]) -> Result<(), String> {
    let option = |name: &str, path: PathBuf| format!("-o{name}={}", path.display());
    let mut command = Command::new("apt-get");
    command.args([
        "-y".to_owned(),
        "-qq".to_owned(),
        option("Dir::State::Lists", apt.join("lists")),
        option("Dir::State::status", apt.join("status")),
        option("Dir::Cache", apt.join("cache")),
        option("Dir::Etc::SourceParts", apt.join("parts")),
        option("Dir::Etc::SourceList", apt.join("empty/none")),
        "-oAPT::Sandbox::User=root".to_owned(),
    ]);
    check(command.args(arguments))
}

/// Returns a source entry for `sid` with the mirror and the key of this machine's own Debian.
fn debian_source() -> Result<String, String> {
    let none = "bitcoind: this machine has no Debian source to take the mirror from";
    let folder = fs::read_dir("/etc/apt/sources.list.d").map_err(|_| none.to_owned())?;
    for entry in folder.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for stanza in text.split("\n\n") {
            if let Some(source) = sid_from(stanza) {
                return Ok(source);
            }
        }
    }
    Err(none.to_owned())
}

/// Turns a stanza of Debian's main archive into one for `sid`.
fn sid_from(stanza: &str) -> Option<String> {
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (uris, key) = (field("URIs:")?, field("Signed-By:")?);
    let is_debian = uris.trim_end_matches('/').ends_with("/debian")
        && field("Components:")?.split_whitespace().any(|part| part == "main");
    is_debian.then(|| {
        format!("Types: deb\nURIs: {uris}\nSuites: sid\nComponents: main\nSigned-By: {key}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stanza_of_the_main_archive_is_turned_into_one_for_sid() {
        let main = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n\
            Components: main\nSigned-By: /k.gpg";
        let security = main.replace("/debian", "/debian-security");

        assert!(sid_from(main).is_some_and(|source| source.contains("Suites: sid")));
        assert_eq!(sid_from(&security), None);
    }
}
