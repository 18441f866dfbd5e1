//! Every file that a crash may leave of a store, opened again.
//!
//! ```text
//! $ cargo run --release --example images -- --images 20000 --json
//! {"distinct":…,"images":20000,"lost":0,"second":…,"seeds":…,"syncs":…,"unopened":0}
//! ```
//!
//! A store runs on two disks that remember, in one order, every write, every change of length and every
//! sync. For each sync the images are made that a crash before its end may leave: any subset of what was
//! written to each file since its own last sync, all of them where there are few enough; every write
//! torn at the sectors of the disk. Each image is opened and read: it must say what some acknowledged or
//! attempted sync said, and nothing older than the last that was acknowledged. One in eight is
//! crashed once more in its opening.
//!
//! `--lying` takes the syncs away from the disks: then records must be found missing, or this program
//! is blind.

#[path = "../../tests/it/disk.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod disk;
mod explore;
mod pages;
mod recorder;
#[path = "../../tests/it/scenario.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod scenario;
mod workload;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use explore::Tally;

struct Options {
    images: u64,
    base: u64,
    is_lying: bool,
    is_json: bool,
}

fn main() -> ExitCode {
    let result = options().and_then(|options| {
        let tally = run(&options);
        report(&options, &tally).map_err(|error| error.to_string())?;
        let is_sound = tally.lost == 0 && tally.unopened == 0;
        match (is_sound, options.is_lying) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err(tally.first.unwrap_or_default()),
            (true, true) => Err("a disk that never syncs went unnoticed".to_owned()),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nothing is left to do if the reason cannot be shown.
            drop(writeln!(io::stderr(), "images: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { images: 20_000, base: 1, is_lying: false, is_json: false };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let next = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            next.parse().map_err(|error| format!("{argument} {next}: {error}"))
        };
        match argument.as_str() {
            "--images" => options.images = number()?,
            "--base" => options.base = number()?,
            "--lying" => options.is_lying = true,
            "--json" => options.is_json = true,
            _ => return Err("usage: images [--images N] [--base SEED] [--lying] [--json]".into()),
        }
    }
    Ok(options)
}

/// Takes seeds until there are enough images, on all processors.
fn run(options: &Options) -> Tally {
    let (next, images) = (AtomicU64::new(options.base), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut tally = Tally::default();
        while images.load(Ordering::Relaxed) < options.images && tally.first.is_none() {
            let before = tally.images;
            explore::seed(next.fetch_add(1, Ordering::Relaxed), options.is_lying, &mut tally);
            images.fetch_add(tally.images - before, Ordering::Relaxed);
        }
        tally
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().fold(Tally::default(), |mut all, worker| {
            all.add(worker.join().expect("a worker does not panic"));
            all
        })
    })
}

fn report(options: &Options, tally: &Tally) -> io::Result<()> {
    let Tally { seeds, syncs, images, second, distinct, lost, unopened, .. } = tally;
    let mut out = io::stdout().lock();
    if options.is_json {
        return writeln!(
            out,
            "{{\"distinct\":{distinct},\"images\":{images},\"lost\":{lost},\"second\":{second},\
             \"seeds\":{seeds},\"syncs\":{syncs},\"unopened\":{unopened}}}"
        );
    }
    writeln!(
        out,
        "images: {images} images of {syncs} syncs ({distinct} distinct, {second} crashed again in \
         opening) from {seeds} seeds; {lost} lost something acknowledged, {unopened} did not open"
    )
}
