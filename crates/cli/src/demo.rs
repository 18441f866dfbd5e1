//! `lastword demo`: chain and peer live here, the node is a child process.

use std::io::IsTerminal as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lastword_regtest::{Server, serve};
use lastword_sim::oracle::{Judgement, judge};
use lastword_sim::outside::{Outside, SharedOutside};
use lastword_sim::run::Run;
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;
use lastword_sim::world::World;
use lastword_sim::world::bitcoind::MempoolCounts;
use lastword_sim::world::inprocess::InProcess;
use lastword_sim::{SimError, Trying as _};

use crate::DemoArgs;
use crate::child::{Child, Ground, Harm};
use crate::real::RealNode;
use crate::report::{self, Facts};

/// A run with fewer kills shows too little.
const KILLS_MIN: u32 = 20;

/// The chain that a run stands on; what serves it lives as long as this.
struct Stage {
    world: Option<Box<dyn World>>,
    ground: Ground,
    counts: Option<MempoolCounts>,
    _server: Option<Server>,
    _real: Option<RealNode>,
}

/// Runs the demo and says whether all is well.
pub(crate) fn run(arguments: &DemoArgs) -> Result<bool, SimError> {
    let seed = match arguments.seed {
        Some(seed) => Seed(seed),
        None => draw_seed()?,
    };
    let temporary = tempfile::tempdir().trying("make a folder for the run")?;
    let folder = match &arguments.keep {
        Some(folder) => new_folder(folder)?,
        None => temporary.path(),
    };
    let mut stage = stage(arguments, temporary.path())?;
    let scenario = Scenario::demo(seed);
    let channels = u16::try_from(scenario.channels.len()).trying("count channels")?;
    let world = stage.world.take().ok_or(SimError::new("the stage is empty"))?;
    let outside = SharedOutside::new(Outside::new(seed, world, channels)?);
    let ground = stage.ground.clone();
    let mut child = Child::new(seed, outside.clone(), ground, folder.to_owned())?;
    let bar = progress(&scenario, seed)?;
    let told = bar.clone();
    child.on_kill(Box::new(move |words| {
        told.set_message(words.to_owned());
        told.tick();
    }));
    let outcome = Run::new(&scenario, outside.clone(), &mut child).run(&mut |place, step| {
        bar.set_position(u64::try_from(place).unwrap_or(u64::MAX));
        bar.set_prefix(step.to_string());
    });
    let outcome = outcome.map_err(|error| with_seed(&error, seed))?;
    let mut judgement = judge(&outside.lock(), &outcome)?;
    // What is released is never told again, whatever the book has forgotten.
    let told = outside.lock().told.words();
    child.rise_without_book().map_err(|error| with_seed(&error, seed))?;
    if outside.lock().told.words() != told {
        judgement.violations.push("something was told again after it was released".to_owned());
    }
    let harm = child.harm;
    let held = if arguments.stats { child.stats()? } else { Vec::new() };
    child.dismiss()?;
    bar.finish_and_clear();

    check_enough(harm, outcome.reorgs, outcome.breaches(), &mut judgement);
    let outside = outside.lock();
    let facts = Facts {
        seed,
        harm,
        scenario: &scenario,
        outside: &outside,
        outcome: &outcome,
        judgement: &judgement,
        counts: stage.counts.as_ref(),
        held: &held,
    };
    if arguments.json {
        report::json(&facts)?;
    } else {
        report::table(&facts)?;
    }
    Ok(judgement.violations.is_empty())
}

/// Makes a folder, or takes an empty one: the stores of another run would be gone on with.
fn new_folder(folder: &Path) -> Result<&Path, SimError> {
    std::fs::create_dir_all(folder).trying("make the folder to keep")?;
    let mut found = std::fs::read_dir(folder).trying("read the folder to keep")?;
    if found.next().is_some() {
        return Err(SimError::with(
            "the folder to keep is not empty",
            folder.display().to_string(),
        ));
    }
    Ok(folder)
}

/// Adds what a run must have shown and did not.
fn check_enough(harm: Harm, reorgs: u32, breaches: usize, judgement: &mut Judgement) {
    for (holds, what) in [
        (harm.kills >= KILLS_MIN, "the run had too few kills"),
        (harm.restored_none > 0, "the node never came back without its book"),
        (harm.restored_older > 0, "the node never came back with an older book"),
        (reorgs > 0, "no block was reorganised away"),
        (breaches > 0, "the peer never broadcast a revoked commitment"),
        (judgement.has_failed_payment(), "no payment failed"),
        (judgement.has_divided_payment(), "no payment had parts that ended differently"),
    ] {
        if !holds {
            judgement.violations.push(what.to_owned());
        }
    }
}

fn stage(arguments: &DemoArgs, folder: &Path) -> Result<Stage, SimError> {
    if let Some(program) = &arguments.bitcoind {
        let mut real = RealNode::start(program, &folder.join("bitcoind"))?;
        let world = real.connect()?;
        return Ok(Stage {
            counts: Some(world.counts()),
            world: Some(Box::new(world)),
            ground: Ground::Real { url: real.url.clone(), cookie: real.cookie.clone() },
            _server: None,
            _real: Some(real),
        });
    }
    let world = InProcess::new();
    let listener = TcpListener::bind("127.0.0.1:0").trying("listen for the chain")?;
    let server = serve(listener, world.chain()).trying("serve the chain")?;
    Ok(Stage {
        world: Some(Box::new(world)),
        ground: Ground::InProcess(server.address()),
        counts: None,
        _server: Some(server),
        _real: None,
    })
}

/// A bar on a terminal, and nothing elsewhere.
fn progress(scenario: &Scenario, seed: Seed) -> Result<ProgressBar, SimError> {
    let length = u64::try_from(scenario.steps.len()).trying("count steps")?;
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let template = format!("seed {} {{bar:30}} {{pos}}/{{len}} {{prefix}}\n{{msg}}", seed.0);
    bar.set_style(ProgressStyle::with_template(&template).trying("make a progress bar")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// Draws a seed that is short enough to be typed again.
fn draw_seed() -> Result<Seed, SimError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| SimError::with("draw a seed", error.to_string()))?;
    Ok(Seed(u64::from(u32::from_be_bytes(bytes))))
}

fn with_seed(error: &SimError, seed: Seed) -> SimError {
    SimError::with("the run broke off", format!("seed {}: {}", seed.0, error.chain()))
}
