//! Measures what a block, a start, a quiet channel and an update cost, as ratios and against bars:
//!
//! ```text
//! block-raw      a block that concerns nobody of 1,000,000    0.31 of decoding it   bar 1.30   holds
//! ```
//!
//! `cargo run --release -p lastword-engine --example scale [-- --json] [id…]`
//!
//! The block is `mainnet-block.raw` of the folder that `LASTWORD_VECTORS` names, and one of that
//! shape where there is none. Times are of the processor and the least of several rounds; only the
//! ratios travel from one machine to another. `docs/COST.md` says what each should be, and why.
#![expect(clippy::print_stdout, reason = "a report is printed")]

mod block;
mod growth;
mod instructions;
mod mass;
mod memory;
mod plan;
#[path = "../quiet/mod.rs"]
mod quiet;
mod restart;
mod soak;
#[path = "../tape/mod.rs"]
mod tape;
#[path = "../undelivered/mod.rs"]
mod undelivered;
mod update;

use std::error::Error;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One line of the report.
struct Line {
    id: &'static str,
    what: String,
    unit: &'static str,
    ours: f64,
    bar: Option<f64>,
}

/// What is known not to hold, and why; anything else that does not is a surprise.
const KNOWN: &[(&str, &str)] = &[(
    "plan",
    "of a payment that no book knows, each entry is read, its intent rebuilt and its story told, \
     with an allocation for each",
)];

/// Measures one part.
type Measure = fn() -> Result<Vec<Line>>;

/// What is measured, by the word that asks for it.
const PARTS: &[(&str, Measure)] = &[
    ("block", block::measure),
    ("block-peer", block::measure_parsed),
    ("update", update::measure),
    ("plan", plan::measure),
    ("growth", growth::measure),
    ("memory", memory::measure),
    ("restart", restart::measure),
    ("mass", mass::measure),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, count] = arguments.as_slice()
        && word == memory::CHILD
    {
        return memory::child(count.parse()?);
    }
    if let [word, store, channels, blocks] = arguments.as_slice()
        && word == mass::CHILD
    {
        return mass::child(store.as_ref(), channels.parse()?, blocks.parse()?);
    }
    if let Some((word, rest)) = arguments.split_first()
        && word == soak::SOAK
    {
        return soak::run(rest);
    }
    if let [word, part] = arguments.as_slice()
        && [instructions::PART, instructions::PLANTED].contains(&word.as_str())
    {
        return instructions::run(part, word == instructions::PLANTED);
    }
    if arguments == [block::WRITE] {
        return block::print();
    }
    let is_json = arguments.iter().any(|argument| argument == "--json");
    let is_wanted = |name: &str| {
        arguments.iter().all(|it| it == "--json") || arguments.iter().any(|it| it == name)
    };
    let mut lines = Vec::new();
    for (name, measure) in PARTS {
        if is_wanted(name) {
            let part = measure()?;
            if !is_json {
                for line in &part {
                    println!("{}", line.text());
                }
            }
            lines.extend(part);
        }
    }
    if is_json {
        let json: Vec<String> = lines.iter().map(Line::json).collect();
        println!("[\n  {}\n]", json.join(",\n  "));
    }
    let is_known = |line: &&Line| KNOWN.iter().any(|(id, _)| *id == line.id);
    let missed = || lines.iter().filter(|line| line.holds() == Some(false));
    for (id, note) in KNOWN.iter().filter(|(id, _)| missed().any(|line| line.id == *id)) {
        if !is_json {
            println!("{id}: {note}");
        }
    }
    let mut missed = missed().filter(|line| !is_known(line));
    missed.next().map_or(Ok(()), |line| Err(format!("{} does not hold", line.id).into()))
}

/// Returns the least time of several rounds; what `prepare` makes is not counted.
fn least<T, R>(
    rounds: u32,
    mut prepare: impl FnMut() -> T,
    mut work: impl FnMut(T) -> R,
) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..rounds {
        let input = prepare();
        let start = Instant::now();
        let result = std::hint::black_box(work(std::hint::black_box(input)));
        least = least.min(start.elapsed());
        drop(result);
    }
    least
}

/// Returns the processor time of this thread, or the time of the clock where nobody tells.
fn thread_time(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

impl Line {
    fn holds(&self) -> Option<bool> {
        self.bar.map(|bar| self.ours <= bar)
    }

    fn text(&self) -> String {
        let Self { id, what, ours, unit, .. } = self;
        let bar = self.bar.map_or(String::new(), |bar| format!("bar {bar:>9.2}"));
        let holds = self.holds().map_or("", |it| if it { "holds" } else { "DOES NOT HOLD" });
        format!("{id:<18} {what:<58} {ours:>12.3} {unit:<16} {bar:<14} {holds}")
    }

    fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |it| format!("{it:.4}"));
        let holds = self.holds().map_or("null".to_owned(), |it| it.to_string());
        let [ours, bar] = [Some(self.ours), self.bar].map(number);
        let Self { id, what, unit, .. } = self;
        let name = format!(r#""id": "{id}", "what": "{what}", "unit": "{unit}""#);
        format!(r#"{{{name}, "ours": {ours}, "bar": {bar}, "holds": {holds}}}"#)
    }
}
