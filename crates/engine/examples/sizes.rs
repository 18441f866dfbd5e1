//! Measures how many bytes a monitor needs, and how it grows, next to what was measured of LDK:
//!
//! ```text
//! a new channel                 639.0 bytes   LDK     4893   7.7 times fewer   bar   1500   holds
//! ```
//!
//! `cargo run --release -p lastword-engine --example sizes [-- --json]`
//!
//! The tape is LDK's: payments of one hop without metadata, in a channel with anchors. Every record
//! is one that a channel makes; only signatures are any numbers, because a monitor verifies none.
#![expect(clippy::print_stdout, reason = "a report is printed")]

#[expect(dead_code, reason = "another report uses the rest")]
mod tape;

use std::error::Error;

use lastword_types::{BookEpoch, ChannelId, HtlcDirection, MonitorRecord};

use tape::Tape;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CHANNEL: ChannelId = ChannelId([7; 32]);
/// Enough that the few slots of revoked secrets that are added at powers of two are all there.
const WARM_UP: u64 = 1_100;
const TURNS: u64 = 400;

/// One line of the report.
struct Line {
    id: &'static str,
    what: &'static str,
    unit: &'static str,
    ours: f64,
    /// LDK's figure, as measured for this project; the lowest where there is a range.
    peer: Option<f64>,
    bar: Option<f64>,
}

fn main() -> Result<()> {
    let lines = measure()?;
    if std::env::args().any(|argument| argument == "--json") {
        let json: Vec<String> = lines.iter().map(Line::json).collect();
        println!("[\n  {}\n]", json.join(",\n  "));
    } else {
        print(&lines);
    }
    let mut missed = lines.iter().filter(|line| line.holds() == Some(false));
    missed.next().map_or(Ok(()), |line| Err(format!("{} does not hold", line.id).into()))
}

fn print(lines: &[Line]) {
    for line in lines {
        println!("{}", line.text());
    }
}

fn measure() -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut add = |id, what, unit, ours, peer, bar| {
        lines.push(Line { id, what, unit, ours, peer, bar });
    };
    let fresh = Tape::new(CHANNEL)?.bytes();
    add("monitor.fresh", "a new channel", "bytes", fresh, Some(4_893.0), Some(1_500.0));
    let ten = pending(HtlcDirection::Offered, 10)?;
    add("monitor.pending_10", "10 pending payments", "bytes", ten, Some(19_499.0), None);
    let hundred = pending(HtlcDirection::Offered, 100)?;
    let bar = Some(40_000.0);
    add("monitor.pending_100", "100 pending payments", "bytes", hundred, Some(378_014.0), bar);
    let received = pending(HtlcDirection::Received, 100)?;
    add("monitor.pending_100_received", "100 pending, received", "bytes", received, None, bar);
    let idle = growth(Tape::turn)?;
    add("monitor.per_commitment", "per commitment, no new HTLC", "bytes", idle, None, Some(0.0));
    for (id, what, direction) in [
        ("monitor.per_settled", "per settled payment", HtlcDirection::Offered),
        ("monitor.per_settled_received", "per settled payment, received", HtlcDirection::Received),
    ] {
        let ours = growth(|tape| {
            let htlc_id = tape.add(direction)?;
            tape.settle(direction, htlc_id)?;
            // What a book of this epoch knows need not be said by a tombstone.
            let behind = BookEpoch(tape.monitor.state().pruned_behind.0 + 1);
            tape.monitor.apply(&MonitorRecord::PruneTombstones { behind })?;
            Ok(())
        })?;
        add(id, what, "bytes", ours, Some(130.0), Some(48.0));
    }
    let with_tombstone = growth(|tape| {
        let htlc_id = tape.add(HtlcDirection::Offered)?;
        tape.settle(HtlcDirection::Offered, htlc_id)
    })?;
    add(
        "monitor.per_tombstone",
        "the same with its tombstone",
        "bytes",
        with_tombstone,
        None,
        None,
    );
    Ok(lines)
}

/// The bytes of a monitor with so many HTLCs in every commitment.
fn pending(direction: HtlcDirection, count: u64) -> Result<f64> {
    let mut tape = Tape::new(CHANNEL)?;
    for _ in 0..count {
        tape.add(direction)?;
    }
    // Both commitments that are kept for each side hold them all.
    tape.turn()?;
    Ok(tape.bytes())
}

/// The bytes that one more turn leaves, in a channel that has seen many.
fn growth(turn: impl Fn(&mut Tape) -> Result<()>) -> Result<f64> {
    let mut tape = Tape::new(CHANNEL)?;
    for _ in 0..WARM_UP {
        turn(&mut tape)?;
    }
    let before = tape.bytes();
    for _ in 0..TURNS {
        turn(&mut tape)?;
    }
    Ok((tape.bytes() - before) / f64::from(u32::try_from(TURNS)?))
}

impl Line {
    fn holds(&self) -> Option<bool> {
        self.bar.map(|bar| self.ours <= bar)
    }

    /// How many times less than the peer's.
    fn ratio(&self) -> Option<f64> {
        self.peer.filter(|_| self.ours > 0.0).map(|peer| peer / self.ours)
    }

    fn text(&self) -> String {
        let Self { what, ours, unit, .. } = self;
        let peer = self.peer.map_or(String::new(), |peer| format!("LDK {peer:>8}"));
        let ratio = self.ratio().map_or(String::new(), |ratio| format!("{ratio:.1} times fewer"));
        let bar = self.bar.map_or(String::new(), |bar| format!("bar {bar:>6}"));
        let holds = self.holds().map_or("", |it| if it { "holds" } else { "DOES NOT HOLD" });
        format!("{what:<32} {ours:>9.1} {unit}   {peer:<12}   {ratio:<17} {bar:<10}   {holds}")
    }

    fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |it| format!("{it:.3}"));
        let holds = self.holds().map_or("null".to_owned(), |it| it.to_string());
        let [ours, peer, ratio, bar] =
            [Some(self.ours), self.peer, self.ratio(), self.bar].map(number);
        let Self { id, unit, .. } = self;
        let name = format!(r#""id": "{id}", "unit": "{unit}", "ours": {ours}"#);
        let against = format!(r#""peer": {peer}, "ratio": {ratio}, "bar": {bar}"#);
        format!(r#"{{{name}, {against}, "holds": {holds}}}"#)
    }
}
