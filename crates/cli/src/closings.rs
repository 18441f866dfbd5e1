//! `lastword closings`: the matrix of closings, all channels of a format at once.

use std::io::{self, Write as _};

use lastword_sim::closings::{Place, Round, all_at_once};
use lastword_sim::world::inprocess::InProcess;
use lastword_sim::{SimError, Trying as _};
use serde::Serialize;

use crate::ClosingsArgs;
use crate::real::RealNode;

/// One format as a JSON object.
#[derive(Serialize)]
struct RoundObject<'a> {
    format: String,
    channels: usize,
    accepted: usize,
    mined: usize,
    spent: &'a std::collections::BTreeMap<&'static str, usize>,
}

/// Plays every closing that needs no reorg.
pub(crate) fn run(arguments: &ClosingsArgs) -> Result<(), SimError> {
    let folder = tempfile::tempdir().trying("make a folder for the run")?;
    let mut real = match &arguments.bitcoind {
        Some(program) => Some(RealNode::start(program, &folder.path().join("bitcoind"))?),
        None => None,
    };
    let place = match &mut real {
        Some(real) => {
            real.connect()?;
            Place::Bitcoind { url: real.url.clone(), cookie: real.cookie.clone() }
        }
        None => Place::InProcess(InProcess::new()),
    };
    let mut told = Ok(());
    all_at_once(place, &mut |round| {
        if told.is_ok() {
            told = tell(round, arguments.json);
        }
    })?;
    told
}

fn tell(round: &Round, is_json: bool) -> Result<(), SimError> {
    let Round { format, cases, accepted, mined, tally } = round;
    let mut out = io::stdout().lock();
    if is_json {
        let object = RoundObject {
            format: format!("{format:?}"),
            channels: *cases,
            accepted: *accepted,
            mined: *mined,
            spent: &tally.0,
        };
        let line = serde_json::to_string(&object).trying("write JSON")?;
        return writeln!(out, "{line}").trying("print");
    }
    writeln!(
        out,
        "{format:?}: {cases} channels closed; of the node\'s transactions {accepted} were accepted \
         and {mined} confirmed"
    )
    .trying("print")?;
    for (kind, count) in &tally.0 {
        writeln!(out, "  {count:5}  {kind}").trying("print")?;
    }
    Ok(())
}
