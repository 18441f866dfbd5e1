//! What holds of a case after every record, and what holds at its end.

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_bolt3::{OutputKind, script_pubkey};
use lastword_monitor::Monitor;
use lastword_ports::Ledger as _;
use lastword_types::{
    AmountMsat, ChainDelta, Close, Generation, HtlcFailure, HtlcOrigin, MonitorRecord, Outcome,
    ReleasePaymentComplete, Side, Told, Verdict,
};

use super::case::{Kind, Known, Reorg, Stand, is_failed, output_in};
use super::play::Play;
use crate::channel::{PEER, US};

impl Play {
    /// What holds after every record.
    pub(super) fn look(&mut self) {
        self.steps += 1;
        if self.dies {
            let state = self.built.channel.monitor().state().clone();
            self.built.channel.nodes[US].monitor = Monitor::restore(state).unwrap();
            same(self.built.channel.monitor(), &self.twin);
        }
        self.one_verdict();
        self.claims_are_valid();
        let monitor = self.built.channel.monitor();
        let value = AmountMsat::from_sat(monitor.state().parameters.funding_amount).unwrap();
        assert_eq!(monitor.balances().total_msat(), value, "{:?}", self.case);
        let mut owed = Vec::new();
        monitor.for_each_undelivered(&mut |entry| owed.push((entry.key.htlc_id.0, entry.verdict)));
        let is_owed = self.case.kind != Kind::Received
            && monitor.state().htlcs.values().any(|htlc| htlc.delivered.is_none());
        let verdict = self.built.channel.verdict(self.built.name);
        let expected = is_owed.then_some((self.built.name.1, verdict));
        assert_eq!(owed, Vec::from_iter(expected), "{:?}", self.case);
    }

    /// M1 to M3: one final verdict, no failure of what can still be paid, no preimage lost.
    fn one_verdict(&mut self) {
        let verdict = self.built.channel.verdict(self.built.name);
        match self.known {
            Some(known) => assert_eq!(known, verdict, "{:?}", self.case),
            None if verdict.is_final() => {
                self.known = Some(verdict);
                if let Verdict::Failed { reason } = verdict {
                    let is_back = reason == HtlcFailure::FailedBack;
                    let is_forward = self.case.kind == Kind::Forward;
                    assert!(is_back && is_forward || !self.may_be_paid(), "{:?}", self.case);
                }
            }
            None => {}
        }
        let (_, htlc) = self.built.channel.monitor().state().htlcs.first_key_value().unwrap();
        let name = self.built.name;
        let shown = self.chain.iter().any(|(_, it)| {
            let preimage = self.built.channel.offers[&name].preimage.0;
            name.0 == US && it.input[0].witness.iter().any(|element| element == preimage)
        });
        let is_kept = htlc.fulfilled.is_some() || htlc.late_preimage.is_some();
        assert!(!shown || is_kept, "{:?}", self.case);
    }

    /// Says whether a transaction that may confirm, or one that may still leave the chain, decides
    /// about the HTLC.
    fn may_be_paid(&self) -> bool {
        let (channel, name) = (&self.built.channel, self.built.name);
        let is_deep = |height: u32| self.tip >= height + 5;
        let closing = self.chain.iter().find(|(_, it)| *it == self.closing.transaction);
        match closing {
            Some((height, _)) if is_deep(*height) => {
                let commitment = self.closing.commitment;
                commitment.and_then(|it| output_in(channel, it, name)).is_some_and(|output| {
                    let spend = self.chain.iter().find(|(_, it)| spends(it, output));
                    spend.is_none_or(|(height, _)| !is_deep(*height))
                })
            }
            _ => self.built.valid.iter().any(|it| output_in(channel, *it, name).is_some()),
        }
    }

    /// M4: what is to be spent is on the best chain, as it is said to be, and unspent.
    fn claims_are_valid(&self) {
        let channel = &self.built.channel;
        let funding = channel.nodes[US].parameters.funding_outpoint;
        for request in channel.monitor().claim_requests() {
            let outpoint = request.outpoint;
            assert!(!self.chain.iter().any(|(_, it)| spends(it, outpoint)), "{:?}", self.case);
            if outpoint == funding {
                continue;
            }
            let source = self.chain.iter().find(|(_, it)| it.compute_txid() == outpoint.txid);
            let (_, source) = source.expect("it is on the best chain");
            let output = &source.output[usize::try_from(outpoint.vout).unwrap()];
            assert_eq!(output.value, request.amount, "{:?}", self.case);
            assert_eq!(output.script_pubkey, script_pubkey(&request.script), "{:?}", self.case);
        }
    }

    /// What holds at the end: all is final, claimed, told, and what a node makes of the chain that
    /// never saw the blocks that left it.
    pub(super) fn finish(mut self) -> (usize, String) {
        let monitor = self.built.channel.monitor();
        assert!(monitor.claim_requests().is_empty(), "{:?}", self.case);
        let close = monitor.state().funding_spend.as_ref().unwrap().close;
        let is_blind = matches!(close, Close::Unknown | Close::Future { .. });
        let verdict = self.built.channel.verdict(self.built.name);
        self.check_outcome(verdict, is_blind);
        self.check_spent(is_blind);
        let totals = monitor.balances().totals();
        let shape = match verdict {
            Verdict::Live => "live".to_owned(),
            Verdict::Failing { reason, .. } => format!("failing {reason:?}"),
            Verdict::Fulfilled { how, .. } => {
                format!("{how:?}").chars().take_while(|it| *it != ' ').collect()
            }
            Verdict::Failed { reason } => format!("{reason:?}"),
        };
        let shape = format!("{:?} {close:?} {shape} {totals:?}", self.case.format);
        self.replay();
        self.release(verdict);
        (self.steps, shape)
    }

    fn check_outcome(&self, verdict: Verdict, is_blind: bool) {
        let case = self.case;
        let is_fulfilled = matches!(verdict, Verdict::Fulfilled { .. });
        if is_blind && !verdict.is_final() {
            // What such a closing holds for an HTLC cannot be known.
            return;
        }
        assert!(verdict.is_final(), "{case:?}: {verdict:?}");
        if case.kind != Kind::Received {
            assert_eq!(is_fulfilled, case.known != Known::Never && !self.was_failed, "{case:?}");
            return;
        }
        let output = self.closing.commitment;
        let output = output.and_then(|it| output_in(&self.built.channel, it, self.built.name));
        let is_penalty = case.is_revoked() && case.reorg != Reorg::Another;
        let can_claim = case.known != Known::Never && !is_failed(case);
        if output.is_some() && !is_penalty && case.stand != Stand::Gone && !self.was_failed {
            assert_eq!(is_fulfilled, can_claim, "{case:?}");
        }
    }

    /// On the chain itself: no output is left that is ours, nor one of an HTLC.
    fn check_spent(&self, is_blind: bool) {
        let is_spent = |outpoint| self.chain.iter().any(|(_, it)| spends(it, outpoint));
        let Some((owner, number)) = self.closing.commitment else { return };
        let is_revoked =
            self.case.is_revoked() && self.closing.commitment == self.built.closing.commitment;
        let takes_second = owner == US || is_revoked;
        let built = self.built.channel.built(owner, number);
        for (vout, output) in (0u32..).zip(&built.outputs) {
            let is_ours = match output.kind {
                OutputKind::ToLocal => takes_second,
                OutputKind::ToRemote => owner == PEER,
                OutputKind::Htlc { .. } => !is_blind,
                OutputKind::Anchor(side) => side == Side::Local && !is_blind,
                OutputKind::SharedAnchor => false,
            };
            let outpoint = OutPoint { txid: built.txid(), vout };
            assert!(!is_ours || is_spent(outpoint), "{:?}: {output:?}", self.case);
        }
        // The fixture's sweeps keep one satoshi; more is the output of an HTLC transaction.
        for (_, transaction) in self.chain.iter().filter(|_| takes_second) {
            let txid = transaction.compute_txid();
            let is_second = txid != built.txid() && transaction.output[0].value > Amount::ONE_SAT;
            assert!(!is_second || is_spent(OutPoint { txid, vout: 0 }), "{:?}", self.case);
        }
    }

    /// M5: the same updates and only the best chain lead to the same facts and claims.
    fn replay(&self) {
        let [MonitorRecord::Created(new), records @ ..] = &self.built.channel.records[..] else {
            panic!("a channel begins with its creation");
        };
        let mut fresh = Monitor::create((**new).clone()).unwrap();
        for record in records {
            let is_shared = match record {
                MonitorRecord::Chain(ChainDelta::Connected { block, .. }) => {
                    *block == self.block_at(block.height.0)
                }
                MonitorRecord::Chain(ChainDelta::Disconnected { .. })
                | MonitorRecord::Created(_)
                | MonitorRecord::Release(_)
                | MonitorRecord::GivenUp(_)
                | MonitorRecord::InboundOnChain { .. }
                | MonitorRecord::Claim(_)
                | MonitorRecord::ToldUnknown { .. }
                | MonitorRecord::PruneTombstones { .. }
                | MonitorRecord::Archive => false,
                MonitorRecord::Update(_) | MonitorRecord::Mempool(_) => true,
            };
            if is_shared {
                fresh.apply(record).unwrap();
            }
        }
        let live = self.built.channel.monitor();
        let [left, right] = [&fresh, live].map(Monitor::state);
        assert_eq!(left.funding_spend, right.funding_spend, "{:?}", self.case);
        assert_eq!(left.output_spends, right.output_spends, "{:?}", self.case);
        assert_eq!(left.best, right.best, "{:?}", self.case);
        assert_eq!(fresh.claim_requests(), live.claim_requests(), "{:?}", self.case);
    }

    fn release(&mut self, verdict: Verdict) {
        let mut releases = Vec::new();
        self.built.channel.monitor().for_each_undelivered(&mut |entry| {
            let outcome = match verdict {
                Verdict::Live | Verdict::Failing { .. } => return,
                Verdict::Fulfilled { preimage, .. } => {
                    let [amount_msat, fee_msat] = [entry.htlc.amount_msat; 2];
                    Outcome::Sent { preimage, amount_msat, fee_msat }
                }
                Verdict::Failed { reason } => Outcome::Failed { reason },
            };
            let told = match entry.htlc.origin {
                HtlcOrigin::Forward(_) => Told::Forward,
                HtlcOrigin::Payment(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => {
                    Told::Payment { generation: Generation([0; 16]), outcome }
                }
            };
            releases.push(ReleasePaymentComplete { htlc: entry.key, told });
        });
        for release in releases {
            self.record(MonitorRecord::Release(release));
        }
    }
}

pub(super) fn spends(transaction: &Transaction, outpoint: OutPoint) -> bool {
    transaction.input.iter().any(|input| input.previous_output == outpoint)
}

/// Compares everything that a monitor can be asked for.
pub(super) fn same(left: &Monitor, right: &Monitor) {
    assert_eq!(left.state(), right.state());
    assert_eq!(left.card(), right.card());
    assert_eq!(left.claim_requests(), right.claim_requests());
    assert_eq!(left.alarms(), right.alarms());
    assert_eq!(left.balances(), right.balances());
    let verdicts = |monitor: &Monitor| -> Vec<_> {
        monitor.state().htlcs.keys().map(|key| monitor.verdict(key.0, key.1)).collect()
    };
    assert_eq!(verdicts(left), verdicts(right));
}
