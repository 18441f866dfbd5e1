//! [`Tally`]: what the node's confirmed transactions spent, by kind.

use std::collections::BTreeMap;

use bitcoin::OutPoint;
use lastword_bolt3::OutputKind;
use lastword_types::{HtlcDirection, Side};

use super::channel::Which;
use super::scene::Scene;
use super::stage::Stage;
use super::truth::is_punished;

/// How many outputs of each kind were spent by confirmed transactions of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<&'static str, usize>);

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Counts what the node spent of one channel.
    pub(super) fn count(&mut self, stage: &Stage, scene: &Scene, which: Option<Which>) {
        let Some(which) = which else { return };
        let funding = scene.channel.parameters.funding_outpoint;
        self.count_one(stage, funding, "commitment");
        let Ok(commitment) = scene.channel.commitment(which) else { return };
        let is_punished = is_punished(stage, scene);
        let built = &commitment.built;
        for (output, vout) in built.outputs.iter().zip(0..) {
            let outpoint = OutPoint { txid: built.txid(), vout };
            let kind = match (output.kind, which.0, is_punished) {
                (OutputKind::Anchor(_) | OutputKind::SharedAnchor, _, _) => "anchor",
                (OutputKind::ToLocal, Side::Local, _) => "sweep of to_local",
                (OutputKind::ToLocal, Side::Remote, _) => "penalty on to_local",
                (OutputKind::ToRemote, _, _) => "sweep of to_remote",
                (OutputKind::Htlc { .. }, Side::Remote, true) => "penalty on an HTLC",
                (OutputKind::Htlc { direction, .. }, owner, _) => htlc(owner, direction),
            };
            self.count_one(stage, outpoint, kind);
            if !matches!(output.kind, OutputKind::Htlc { .. }) {
                continue;
            }
            let Some(spend) = stage.index.spend(outpoint) else { continue };
            let kind = match which.0 {
                Side::Local => "sweep of an HTLC transaction",
                Side::Remote => "penalty on a stolen HTLC",
            };
            let txid = spend.transaction.compute_txid();
            for (index, input) in (0..).zip(&spend.transaction.input) {
                if input.previous_output == outpoint {
                    self.count_one(stage, OutPoint { txid, vout: index }, kind);
                }
            }
        }
    }

    fn count_one(&mut self, stage: &Stage, outpoint: OutPoint, kind: &'static str) {
        let Some(spend) = stage.index.spend(outpoint) else { return };
        if stage.books.lock().accepted.contains_key(&spend.transaction.compute_txid()) {
            *self.0.entry(kind).or_default() += 1;
        }
    }
}

fn htlc(owner: Side, direction: HtlcDirection) -> &'static str {
    match (owner, direction) {
        (Side::Local, HtlcDirection::Offered) => "HTLC-timeout transaction",
        (Side::Local, HtlcDirection::Received) => "HTLC-success transaction",
        (Side::Remote, HtlcDirection::Offered) => "claim of an expired HTLC",
        (Side::Remote, HtlcDirection::Received) => "claim with a preimage",
    }
}
