//! The oracle: compares what the user was told with the truth, and counts what does not fit.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use lastword_types::{Alarm, Event, PaymentPreimage};

use crate::error::SimError;
use crate::outside::Outside;
use crate::peer::shows_preimage;
use crate::record::Story;
use crate::run::{OfferEnd, Outcome, ReceivedEnd, Try};

/// One line of the final table: one incarnation of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which payment of the scenario.
    pub payment: u16,
    /// Which try.
    pub round: u16,
    /// What the node was told to do.
    pub order: crate::messages::PayOrder,
    /// What became of each part on chain or by message.
    pub parts: Vec<PartEnd>,
    /// Whether the user was told that it was sent; `None` if nothing was told.
    pub is_sent: Option<bool>,
    /// The preimage that the user was told.
    pub preimage: Option<PaymentPreimage>,
    /// The fee that the user was told.
    pub fee_msat: Option<u64>,
    /// How often a terminal event came.
    pub terminal_events: usize,
    /// How many different ones.
    pub distinct_terminal_events: usize,
    /// Whether the consumer's durable word is in every ledger that holds a part.
    pub is_released: bool,
    /// The transactions that ended its HTLCs.
    pub txids: Vec<Txid>,
}

/// What became of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartEnd {
    /// Nothing left the node.
    NeverSent,
    /// The peer fulfilled it by message.
    FulfilledByMessage,
    /// The peer failed it by message.
    FailedByMessage,
    /// The peer claimed it on chain.
    Claimed,
    /// The node took it back on chain.
    TimedOut,
    /// The confirmed closing has no output for it.
    Absent,
    /// The confirmed closing was revoked, and the node took its output as a penalty.
    Punished,
    /// Nothing yet.
    Open,
}

impl PartEnd {
    /// Says whether the recipient was paid.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::FulfilledByMessage | Self::Claimed)
    }
}

/// What the oracle found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Every incarnation of every payment.
    pub lines: Vec<Line>,
    /// What does not fit, in words.
    pub violations: Vec<String>,
}

impl Judgement {
    /// Says whether some payment failed.
    pub fn has_failed_payment(&self) -> bool {
        self.lines.iter().any(|line| line.is_sent == Some(false))
    }

    /// Says whether some payment's parts ended differently.
    pub fn has_divided_payment(&self) -> bool {
        self.lines.iter().any(|line| {
            line.parts.iter().any(|end| end.is_paid())
                && line.parts.iter().any(|end| !end.is_paid())
        })
    }

    /// Returns how many terminal events came again, the same.
    pub fn told_again(&self) -> usize {
        self.lines.iter().map(|line| line.terminal_events.saturating_sub(1)).sum()
    }
}

/// Judges a run.
///
/// # Errors
///
/// [`SimError`] if the truth cannot be found.
pub fn judge(outside: &Outside, outcome: &Outcome) -> Result<Judgement, SimError> {
    let mut violations = Vec::new();
    let stories = outside.told.stories();
    let mut lines = Vec::new();
    for one in &outcome.tries {
        let key = (one.order.payment_id, one.order.generation);
        let story = stories.get(&key).cloned().unwrap_or_default();
        let line = line(outside, outcome, one, &story)?;
        check_line(outside, one, &line, &story, &mut violations);
        lines.push(line);
    }
    let known: BTreeSet<_> =
        lines.iter().map(|line| (line.order.payment_id, line.order.generation)).collect();
    for (payment_id, generation) in stories.keys().filter(|key| !known.contains(key)) {
        violations.push(format!("events of an unknown payment {payment_id} ({generation})"));
    }
    check_alarms(outside, &mut violations)?;
    for account in outcome.accounts.iter().filter(|account| !account.is_settled()) {
        violations.push(format!("the value of a channel is not accounted for: {account:?}"));
    }
    check_offers(outside, &outcome.offers, &mut violations)?;
    check_received(outside, &outcome.received, &mut violations);
    Ok(Judgement { lines, violations })
}

/// Checks that the user was told of every revoked commitment, and of nothing else.
fn check_alarms(outside: &Outside, violations: &mut Vec<String>) -> Result<(), SimError> {
    let mut due = BTreeMap::new();
    for channel in outside.peer.channels() {
        if outside.peer.is_breached(channel, &outside.index)? {
            let txid = outside.peer.close_txid(channel, &outside.index);
            due.insert(outside.seed.channel_id(channel), (channel, txid));
        }
    }
    let mut told = BTreeSet::new();
    for event in outside.told.events() {
        let Event::Alarm(alarm) = event else { continue };
        if let Alarm::RevokedCommitment { channel_id, txid, .. } = alarm
            && due.get(channel_id).is_some_and(|(_, due)| *due == Some(*txid))
        {
            told.insert(*channel_id);
        } else {
            violations.push(format!("an alarm in a run without cause for one: {alarm:?}"));
        }
    }
    for (_, (channel, _)) in due.iter().filter(|(channel_id, _)| !told.contains(*channel_id)) {
        violations.push(format!("nobody was told of the revoked commitment of channel {channel}"));
    }
    Ok(())
}

/// Checks that an HTLC of the peer which the node could claim on chain was claimed, and that no
/// other was.
fn check_offers(
    outside: &Outside,
    offers: &[OfferEnd],
    violations: &mut Vec<String>,
) -> Result<(), SimError> {
    for OfferEnd { offer, channel, payment_hash, is_learned } in offers {
        let output = outside.peer.offer_output(*channel, *payment_hash, &outside.index)?;
        let Some(spend) = output.and_then(|output| outside.index.spend(output)) else { continue };
        if shows_preimage(&spend.transaction, *payment_hash) != *is_learned {
            let wrong = if *is_learned { "not claimed" } else { "claimed" };
            violations.push(format!("offer {offer} of the peer was {wrong}"));
        }
    }
    Ok(())
}

/// Checks that the user was told of every payment that was to be claimed, whole and always the same,
/// and of no other.
fn check_received(outside: &Outside, received: &[ReceivedEnd], violations: &mut Vec<String>) {
    let mut due = received.to_vec();
    for (_, told) in outside.told.received() {
        let [(Event::PaymentClaimed { preimage, amount_msat, lost_msat, parts, .. }, _)] =
            &told[..]
        else {
            violations.push(format!("a received payment is told in several ways: {told:?}"));
            continue;
        };
        let one = ReceivedEnd {
            preimage: *preimage,
            amount_msat: *amount_msat,
            channels: parts.iter().map(|part| part.channel_id).collect(),
        };
        let place = due.iter().position(|due| *due == one).filter(|_| lost_msat.0 == 0);
        match place {
            Some(place) => drop(due.swap_remove(place)),
            None => violations.push(format!("told of a payment that nobody claimed: {told:?}")),
        }
    }
    for one in due {
        violations.push(format!("nobody was told that a payment is claimed: {one:?}"));
    }
}

fn line(outside: &Outside, outcome: &Outcome, one: &Try, story: &Story) -> Result<Line, SimError> {
    let key = (one.order.payment_id, one.order.generation);
    let mut parts = Vec::new();
    let mut txids = Vec::new();
    for part in &one.order.parts {
        let (end, seen) = part_end(outside, one, part.channel)?;
        parts.push(end);
        txids.extend(seen);
    }
    let is_released = outcome
        .ledger
        .iter()
        .filter(|line| (line.payment_id, line.generation) == key)
        .all(|line| line.is_released);
    let (is_sent, preimage, fee_msat) = match story.distinct_terminal.first() {
        Some(Event::PaymentSent { preimage, fee_msat, .. }) => {
            (Some(true), Some(*preimage), Some(fee_msat.0))
        }
        Some(Event::PaymentFailed { .. }) => (Some(false), None, None),
        Some(
            Event::PaymentPathSuccessful { .. }
            | Event::PaymentPathFailed { .. }
            | Event::Probed { .. }
            | Event::PaymentUnknown { .. }
            | Event::PaymentClaimed { .. }
            | Event::Alarm(_),
        )
        | None => (None, None, None),
    };
    Ok(Line {
        payment: one.payment,
        round: one.round,
        order: one.order.clone(),
        parts,
        is_sent,
        preimage,
        fee_msat,
        terminal_events: story.terminal_count,
        distinct_terminal_events: story.distinct_terminal.len(),
        is_released,
        txids,
    })
}

/// Finds out what became of a part: from the peer's memory and the best chain, never from the node.
fn part_end(outside: &Outside, one: &Try, channel: u16) -> Result<(PartEnd, Vec<Txid>), SimError> {
    let payment_hash = one.order.payment_hash;
    if !outside.peer.has_seen(channel, payment_hash) {
        return Ok((PartEnd::NeverSent, Vec::new()));
    }
    if let Some(is_fulfilled) = outside.peer.removed_by_message(channel, payment_hash) {
        let end = if is_fulfilled { PartEnd::FulfilledByMessage } else { PartEnd::FailedByMessage };
        return Ok((end, Vec::new()));
    }
    let Some(close) = outside.peer.close_txid(channel, &outside.index) else {
        return Ok((PartEnd::Open, Vec::new()));
    };
    let Some(outpoint) = outside.peer.htlc_output(channel, payment_hash, &outside.index)? else {
        return Ok((PartEnd::Absent, vec![close]));
    };
    let Some(spend) = outside.index.spend(outpoint) else {
        return Ok((PartEnd::Open, vec![close]));
    };
    let end = if shows_preimage(&spend.transaction, payment_hash) {
        PartEnd::Claimed
    } else if outside.peer.is_breached(channel, &outside.index)? {
        PartEnd::Punished
    } else {
        PartEnd::TimedOut
    };
    Ok((end, vec![close, spend.transaction.compute_txid()]))
}

fn check_line(
    outside: &Outside,
    one: &Try,
    line: &Line,
    story: &Story,
    violations: &mut Vec<String>,
) {
    let name = format!("payment {} round {}", line.payment, line.round);
    if line.distinct_terminal_events != 1 {
        let words = &story.distinct_terminal;
        violations.push(format!("{name}: not one last word but {words:?}"));
    }
    if story.contradictions > 0 {
        violations.push(format!("{name}: an event came again with other fields"));
    }
    if !line.is_released {
        violations.push(format!("{name}: not released"));
    }
    let Some(is_sent) = line.is_sent else { return };
    let was_shown = line.parts.iter().any(|end| end.is_paid());
    let was_ever_shown = was_shown
        || outside.index.ever_seen().any(|seen| shows_preimage(seen, one.order.payment_hash));
    let may_be_known = was_ever_shown || outside.peer.has_shown(one.order.payment_hash);
    if is_sent && !may_be_known {
        violations.push(format!("{name}: sent, and nobody showed the preimage"));
    }
    if !is_sent && was_shown {
        violations.push(format!("{name}: failed, and the recipient was paid"));
    }
    if is_sent
        && line.preimage.map(|preimage| preimage.payment_hash()) != Some(one.order.payment_hash)
    {
        violations.push(format!("{name}: sent, with a wrong preimage"));
    }
    if is_sent && line.fee_msat != Some(one.order.fee_msat.0) {
        violations.push(format!("{name}: sent, with a wrong fee"));
    }
    // A claim that races a penalty may win or lose; then the chain alone says what is true, and of one
    // that was never in a block whether the node looked into the mempool in time.
    let is_right = if !one.has_left {
        !is_sent
    } else if one.is_contested {
        if was_ever_shown { is_sent } else { !is_sent || may_be_known }
    } else {
        is_sent == one.is_to_be_paid
    };
    if !is_right {
        violations.push(format!("{name}: not what the scenario is made for"));
    }
    if line.parts.contains(&PartEnd::Open) {
        violations.push(format!("{name}: a part is still open"));
    }
}
