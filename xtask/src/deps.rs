//! `cargo xtask deps`: the workspace's edges against the table of layers.
//!
//! The table is the law of `docs/ARCHITECTURE.md`: the machines and the plan never name each other,
//! `wire` is named by no machine, `testkit` is nobody's normal dependency, and only `engine` and
//! its users name more than one of the layers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::run::{cargo, output};

/// What each crate may name in its normal dependencies, without the prefix `lastword-`.
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("ports", &["types"]),
    ("bolt3", &["types", "ports"]),
    ("wire", &["types"]),
    ("monitor", &["types", "ports", "bolt3"]),
    ("claims", &["types", "ports", "bolt3"]),
    ("payments", &["types", "ports"]),
    ("reload", &["types", "ports"]),
    ("store", &["types", "ports"]),
    ("chain", &["types", "ports"]),
    ("engine", &["types", "ports", "wire", "monitor", "claims", "payments", "reload", "chain"]),
    ("regtest", &["types", "ports"]),
    ("testkit", &["types", "ports"]),
    // A test with a command line: what dies is the store whose crashes can be chosen.
    ("explore", &["types", "ports", "bolt3", "reload", "engine", "testkit"]),
    ("swarm", &["types", "ports", "bolt3", "engine", "reload", "regtest", "testkit"]),
    ("model", &[]),
    ("sim", &["types", "ports", "bolt3", "chain", "engine", "regtest", "store"]),
    ("cli", &["types", "ports", "bolt3", "chain", "engine", "regtest", "sim", "store"]),
];

/// What any crate may name in its dev-dependencies besides: tests stand on real parts.
const DEV: &[&str] = &["types", "ports", "bolt3", "regtest", "store", "testkit", "wire"];

/// Crates whose tests may name every layer, because they test the layers together.
const DEV_ANY: &[&str] = &["engine", "sim", "cli"];

/// A dependency between two crates of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    is_dev: bool,
}

/// Runs it.
pub(crate) fn run() -> Result<(), String> {
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let edges = edges(&metadata);
    if edges.is_empty() {
        return Err("deps: cargo metadata names no edge, so nothing was checked".to_owned());
    }
    let refused = refused(&edges);
    for edge in &refused {
        let kind = if edge.is_dev { "dev-dependency" } else { "dependency" };
        eprintln!("deps: {} may not name {} ({kind})", edge.from, edge.to);
    }
    if !refused.is_empty() {
        return Err(format!("deps: {} of {} edges are forbidden", refused.len(), edges.len()));
    }
    println!("deps: {} edges, all allowed", edges.len());
    Ok(())
}

fn edges(metadata: &Value) -> Vec<Edge> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let short = |name: &Value| name.as_str()?.strip_prefix("lastword-").map(str::to_owned);
    let mut edges = Vec::new();
    for package in packages {
        let Some(from) = short(&package["name"]) else { continue };
        for dependency in package["dependencies"].as_array().map_or(&[][..], Vec::as_slice) {
            let Some(to) = short(&dependency["name"]) else { continue };
            let is_dev = dependency["kind"].as_str() == Some("dev");
            edges.push(Edge { from: from.clone(), to, is_dev });
        }
    }
    edges
}

fn refused(edges: &[Edge]) -> Vec<Edge> {
    let table: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let is_allowed = |edge: &&Edge| {
        let normal = table.get(edge.from.as_str()).is_some_and(|to| to.contains(&&*edge.to));
        let dev = DEV.contains(&&*edge.to) || DEV_ANY.contains(&&*edge.from);
        normal || edge.is_dev && dev
    };
    edges.iter().filter(|edge| !is_allowed(edge)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, is_dev: bool) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), is_dev }
    }

    #[test]
    fn a_forbidden_edge_added_to_the_real_ones_is_refused() {
        let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]));
        let metadata: Value = serde_json::from_str(&metadata.unwrap()).unwrap();
        let mut edges = edges(&metadata);
        assert_eq!(refused(&edges), []);

        let bad = [
            edge("monitor", "payments", false),
            edge("reload", "wire", false),
            edge("store", "testkit", false),
            edge("types", "ports", false),
            edge("engine", "regtest", false),
            edge("monitor", "reload", true),
            edge("ldk", "types", false),
        ];
        edges.extend(bad.clone());

        assert_eq!(refused(&edges), bad);
    }
}
