//! Splices and replacements of the first funding: several fundings at once, until one is locked.

mod fund;
mod lives;
mod matrix;
mod refused;

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_monitor::Monitor;
use lastword_types::{AmountMsat, BalanceView, ClaimKind, Close};

use crate::channel::{Channel, Node, US};

/// The splice of most tests is in the block of this height.
const SPLICED: u32 = 105;

impl Channel {
    /// What holds after every record: the monitor is what its state says, its claims are what
    /// consensus accepts, and its balances are worth the funding that counts.
    fn look(&mut self, funding_sat: u64) {
        let restored = Monitor::restore(self.monitor().state().clone()).unwrap();
        let monitor = self.monitor();
        assert_eq!(restored.state(), monitor.state());
        assert_eq!(restored.card(), monitor.card());
        assert_eq!(restored.claim_requests(), monitor.claim_requests());
        assert_eq!(restored.alarms(), monitor.alarms());
        let requests = monitor.claim_requests();
        assert_eq!(monitor.card().has_claims, !requests.is_empty());
        let value = AmountMsat::from_sat(Amount::from_sat(funding_sat)).unwrap();
        assert_eq!(monitor.balances().total_msat(), value);
        for request in &requests {
            self.answer(US, request);
        }
    }

    /// The newest commitment of a node on a funding that is not locked.
    fn newest_on(&self, place: usize, owner: Node) -> Transaction {
        self.beside[place].commitments[owner].last().unwrap().transaction.clone()
    }

    fn locked(&self) -> OutPoint {
        self.nodes[US].parameters.funding_outpoint
    }

    fn outpoint(&self, place: usize) -> OutPoint {
        self.beside[place].parameters[US].funding_outpoint
    }

    fn close(&self) -> Option<Close> {
        self.monitor().state().funding_spend.as_ref().map(|spend| spend.close)
    }

    fn is_open(&self) -> bool {
        !self.monitor().card().is_closed
            && matches!(self.monitor().balances().view, BalanceView::Open { .. })
    }

    /// The funding outputs that our commitment is to spend.
    fn broadcast_on(&self) -> Vec<OutPoint> {
        let requests = self.monitor().claim_requests();
        let commitments = requests.into_iter().filter(|request| match request.kind {
            ClaimKind::Commitment { .. } => true,
            ClaimKind::SecondStage { .. } | ClaimKind::Sweep { .. } => false,
        });
        commitments.map(|request| request.outpoint).collect()
    }
}
