//! What the demo prints at the end: a table, or JSON.

use std::io::{self, Write};

use hex::DisplayHex as _;
use lastword_sim::SimError;
use lastword_sim::Trying as _;
use lastword_sim::oracle::{Judgement, Line, PartEnd};
use lastword_sim::outside::Outside;
use lastword_sim::run::Outcome;
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;
use lastword_sim::world::bitcoind::MempoolCounts;
use serde::Serialize;

use crate::child::Harm;
use crate::wire::Held;

/// Everything that is known at the end.
pub(crate) struct Facts<'a> {
    pub(crate) seed: Seed,
    pub(crate) harm: Harm,
    pub(crate) scenario: &'a Scenario,
    pub(crate) outside: &'a Outside,
    pub(crate) outcome: &'a Outcome,
    pub(crate) judgement: &'a Judgement,
    pub(crate) counts: Option<&'a MempoolCounts>,
    /// What the node holds in memory at the end, if that was asked for.
    pub(crate) held: &'a [Held],
}

/// One payment as a JSON object.
#[derive(Serialize)]
struct PaymentObject {
    payment_id: String,
    generation: String,
    parts: usize,
    outcome: Option<&'static str>,
    preimage: Option<String>,
    fee_msat: Option<u64>,
    terminal_events: usize,
    distinct_terminal_events: usize,
    released: bool,
    txids: Vec<String>,
}

/// The last JSON object.
#[derive(Serialize)]
struct SummaryObject {
    summary: bool,
    seed: u64,
    kills: u32,
    restored_none: u32,
    restored_older: u32,
    reorgs: u32,
    breaches: usize,
    blocks: u32,
    payments: usize,
    violations: usize,
    /// What the node holds in memory, if that was asked for.
    #[serde(skip_serializing_if = "<[Held]>::is_empty")]
    held: Vec<Held>,
}

/// Prints one object a payment and last the summary.
pub(crate) fn json(facts: &Facts<'_>) -> Result<(), SimError> {
    let mut out = io::stdout().lock();
    for line in &facts.judgement.lines {
        let object = PaymentObject {
            payment_id: line.order.payment_id.to_string(),
            generation: line.order.generation.to_string(),
            parts: line.parts.len(),
            outcome: outcome(line),
            preimage: line.preimage.map(|preimage| preimage.0.to_lower_hex_string()),
            fee_msat: line.fee_msat,
            terminal_events: line.terminal_events,
            distinct_terminal_events: line.distinct_terminal_events,
            released: line.is_released,
            txids: line.txids.iter().map(ToString::to_string).collect(),
        };
        print(&mut out, &object)?;
    }
    let Facts { harm, outcome, judgement, outside, .. } = facts;
    let summary = SummaryObject {
        summary: true,
        seed: facts.seed.0,
        kills: harm.kills,
        restored_none: harm.restored_none,
        restored_older: harm.restored_older,
        reorgs: outcome.reorgs,
        breaches: outcome.breaches(),
        blocks: outside.blocks_mined(),
        payments: judgement.lines.len(),
        violations: judgement.violations.len(),
        held: facts.held.to_vec(),
    };
    print(&mut out, &summary)?;
    let mut errors = io::stderr().lock();
    last_words(&mut errors, facts).trying("print")
}

fn print(out: &mut impl Write, object: &impl Serialize) -> Result<(), SimError> {
    let line = serde_json::to_string(object).trying("encode the result")?;
    writeln!(out, "{line}").trying("print")
}

/// Prints the tables.
pub(crate) fn table(facts: &Facts<'_>) -> Result<(), SimError> {
    let mut out = io::stdout().lock();
    payments(&mut out, facts).trying("print")?;
    channels(&mut out, facts).trying("print")?;
    summary(&mut out, facts).trying("print")?;
    held(&mut out, facts.held).trying("print")?;
    last_words(&mut out, facts).trying("print")
}

fn payments(out: &mut impl Write, facts: &Facts<'_>) -> io::Result<()> {
    writeln!(
        out,
        "{:<8} {:>5}  {:<58} {:<7} {:>10} {:>5}  released",
        "payment", "parts", "what happened", "outcome", "fee msat", "told"
    )?;
    for line in &facts.judgement.lines {
        let happened: Vec<String> = line
            .order
            .parts
            .iter()
            .zip(&line.parts)
            .map(|(part, end)| format!("channel {} {}", part.channel, words(*end)))
            .collect();
        let fee = line.fee_msat.map_or_else(|| "-".to_owned(), |fee| fee.to_string());
        writeln!(
            out,
            "{:<8} {:>5}  {:<58} {:<7} {:>10} {:>5}  {}",
            format!("{}.{}", line.payment, line.round),
            line.parts.len(),
            happened.join(", "),
            outcome(line).unwrap_or("-"),
            fee,
            line.terminal_events,
            if line.is_released { "yes" } else { "no" },
        )?;
    }
    writeln!(out)
}

fn channels(out: &mut impl Write, facts: &Facts<'_>) -> io::Result<()> {
    writeln!(
        out,
        "{:<8} {:<18} {:>10} {:>10} {:>10} {:>7} {:>8}",
        "channel", "format", "worth sat", "ours", "theirs", "fees", "anchors"
    )?;
    for account in &facts.outcome.accounts {
        let format = facts
            .scenario
            .channels
            .get(usize::from(account.channel))
            .map(|spec| format!("{:?}", spec.format))
            .unwrap_or_default();
        writeln!(
            out,
            "{:<8} {:<18} {:>10} {:>10} {:>10} {:>7} {:>8}{}",
            account.channel,
            format,
            account.funding_sat,
            account.ours_sat,
            account.theirs_sat,
            account.fees_sat,
            account.anchors_sat,
            if account.is_breached { "  revoked, punished" } else { "" },
        )?;
    }
    writeln!(out)
}

fn summary(out: &mut impl Write, facts: &Facts<'_>) -> io::Result<()> {
    let Facts { seed, harm, outcome, judgement, outside, .. } = facts;
    writeln!(
        out,
        "seed {}: {} payments, {} blocks, {} reorgs, {} breaches, {} kills, {} times without the payment book, \
         {} times with an older one; {} last words came again, the same.",
        seed.0,
        judgement.lines.len(),
        outside.blocks_mined(),
        outcome.reorgs,
        outcome.breaches(),
        harm.kills,
        harm.restored_none,
        harm.restored_older,
        judgement.told_again(),
    )
}

/// Prints what the node holds in memory.
fn held(out: &mut impl Write, held: &[Held]) -> io::Result<()> {
    if !held.is_empty() {
        writeln!(out, "the node holds in memory:")?;
    }
    for Held { kind, count, bytes } in held {
        writeln!(out, "  {kind:<28} {count:>8} {bytes:>12} bytes")?;
    }
    Ok(())
}

/// Prints what went through a real mempool, and what does not fit.
fn last_words(out: &mut impl Write, facts: &Facts<'_>) -> io::Result<()> {
    if let Some(counts) = facts.counts {
        writeln!(
            out,
            "bitcoind: its mempool accepted {} transactions, it mined {}, nothing was skipped.",
            counts.accepted(),
            counts.mined(),
        )?;
    }
    for violation in &facts.judgement.violations {
        writeln!(out, "violation: {violation}")?;
    }
    Ok(())
}

/// Prints an error.
pub(crate) fn complain(error: &str) {
    // Without a place to complain to, the exit status says it.
    drop(writeln!(io::stderr(), "lastword: {error}"));
}

fn outcome(line: &Line) -> Option<&'static str> {
    line.is_sent.map(|is_sent| if is_sent { "sent" } else { "failed" })
}

fn words(end: PartEnd) -> &'static str {
    match end {
        PartEnd::NeverSent => "never sent",
        PartEnd::FulfilledByMessage => "fulfilled by message",
        PartEnd::FailedByMessage => "failed by message",
        PartEnd::Claimed => "claimed on chain",
        PartEnd::TimedOut => "timed out on chain",
        PartEnd::Absent => "not in the closing",
        PartEnd::Punished => "revoked, punished",
        PartEnd::Open => "open",
    }
}
