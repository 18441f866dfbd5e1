//! A payment that the node receives in several parts: claimed in all of them or in none.

use std::collections::BTreeSet;

use lastword_ports::Ledger as _;
use lastword_reload::{Action, Planned};
use lastword_types::{
    AmountMsat, EntryState, Event, EventKey, HtlcKey, MonitorUpdate, PaymentPreimage,
};

use crate::living::{Error, Living};

/// A received payment, and how the node gives its peers the preimage once it is told to.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) preimage: PaymentPreimage,
    pub(crate) parts: BTreeSet<HtlcKey>,
    pub(crate) amount_msat: AmountMsat,
    /// The place of the input with which the node claims it.
    pub(crate) claimed_at: usize,
    /// The updates that take a part out of its channel, where that is open.
    pub(crate) answers: Vec<(HtlcKey, Vec<MonitorUpdate>)>,
}

impl Receipt {
    pub(crate) fn key(&self) -> EventKey {
        EventKey::of_received(self.preimage.payment_hash(), &self.parts)
    }
}

/// What the ledgers say of a part.
enum Standing {
    /// It is not there yet, or any more.
    Absent,
    Unclaimed,
    Claimed {
        is_told: bool,
    },
}

impl Living<'_> {
    /// The node claims the payment; after a crash it does not know whether it had, and does so again.
    pub(crate) fn claim(&mut self) -> Result<(), Error> {
        let Some(receipt) = &self.life.receipt else { return Ok(()) };
        self.steps += 1;
        Ok(self.driver.claim_payment(receipt.preimage, receipt.parts.clone())?)
    }

    /// The node gives its peers the preimage where it is advised to.
    pub(crate) fn give_preimages(&mut self) -> Result<(), Error> {
        let Some(receipt) = &self.life.receipt else { return Ok(()) };
        let mut due = BTreeSet::new();
        for Planned { action, .. } in self.driver.take_advice() {
            if let Action::FulfillHtlc { htlc, preimage } = action {
                if preimage != receipt.preimage || self.case.position < receipt.claimed_at {
                    return Err(Error("a preimage is given away that nobody claimed with".into()));
                }
                due.insert(htlc);
            }
        }
        for (part, answers) in &receipt.answers {
            let Some(first) = answers.first() else { continue };
            // What was begun before a crash goes on: the peer asks for it.
            let latest = self.driver.monitor(part.channel_id)?.state().latest_update;
            if !due.contains(part) && latest < first.update_id {
                continue;
            }
            for answer in answers {
                self.update(core::slice::from_ref(answer))?;
            }
        }
        Ok(())
    }

    /// Once a start is over, all parts are claimed or none.
    pub(crate) fn check_receipt(&mut self) -> Result<(), Error> {
        let (mut claimed, mut unclaimed) = (0, 0);
        for standing in self.standings()? {
            match standing {
                Standing::Absent => {}
                Standing::Unclaimed => unclaimed += 1,
                Standing::Claimed { .. } => claimed += 1,
            }
        }
        if claimed > 0 && unclaimed > 0 {
            return Err(Error(format!("{claimed} parts are claimed and {unclaimed} are not")));
        }
        Ok(())
    }

    /// What is told of it is what was claimed, and not before.
    pub(crate) fn check_claimed(&self, event: &Event) -> Result<(), Error> {
        let Event::PaymentClaimed { preimage, amount_msat, lost_msat, parts, .. } = event else {
            return Ok(());
        };
        let is_right = self.life.receipt.as_ref().is_some_and(|receipt| {
            self.case.position >= receipt.claimed_at
                && *preimage == receipt.preimage
                && *amount_msat == receipt.amount_msat
                && *lost_msat == AmountMsat(0)
                && *parts == receipt.parts
        });
        if is_right { Ok(()) } else { Err(Error(format!("this was not received: {event:?}"))) }
    }

    /// At the end every part is claimed and told of.
    pub(crate) fn judge_receipt(&mut self) -> Result<(), Error> {
        for standing in self.standings()? {
            match standing {
                Standing::Absent | Standing::Claimed { is_told: true } => {}
                Standing::Claimed { is_told: false } => {
                    return Err(Error("a part that was told of is not released".into()));
                }
                Standing::Unclaimed => return Err(Error("a part was never claimed".into())),
            }
        }
        Ok(())
    }

    fn standings(&mut self) -> Result<Vec<Standing>, Error> {
        let parts = self.life.receipt.iter().flat_map(|receipt| &receipt.parts);
        let mut standings = Vec::new();
        for part in parts {
            let monitor = self.driver.monitor(part.channel_id)?;
            standings.push(match monitor.entry(part.direction, part.htlc_id) {
                EntryState::Unknown | EntryState::Forgotten => Standing::Absent,
                EntryState::Entry(entry) if entry.claim.is_some() => {
                    Standing::Claimed { is_told: entry.delivered.is_some() }
                }
                EntryState::Entry(_) => Standing::Unclaimed,
            });
        }
        Ok(standings)
    }
}
