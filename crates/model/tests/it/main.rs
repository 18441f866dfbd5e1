//! The worlds are searched: with every rule they hold, and without any one of them they break.
#![cfg(test)]

mod rules;
mod traces;
mod worlds;

use lastword_model::{Extent, Found, Mode, Name, Rule, Rules, run};

/// Steps after which a search of a test is given up.
const LIMIT: usize = 5_000_000;

/// A world with a clause dropped, and the promise that must break.
struct Dropped {
    clause: Rule,
    name: Name,
    mode: Mode,
    extent: Extent,
}

/// The small bounds do for most clauses.
fn dropped(clause: Rule, name: Name, mode: Mode) -> Dropped {
    Dropped { clause, name, mode, extent: Extent::Small }
}

impl Dropped {
    /// Uses the bounds of the report: the trace needs two crashes or a longer tail.
    fn full(self) -> Self {
        Self { extent: Extent::Full, ..self }
    }

    fn search(&self, rules: Rules) -> Found {
        run(self.name, self.mode, self.extent, rules, LIMIT)
    }

    /// Drops the clause and returns the steps of the shortest trace that breaks `promise`.
    fn breaks(&self, promise: &str) -> usize {
        let clause = self.clause;
        let found = self.search(Rules::all().without(clause));
        let Some((broken, trace)) = found.violation else {
            panic!("nothing breaks without {clause:?}: {} states", found.unique_states)
        };
        assert_eq!(broken, promise, "without {clause:?}: {trace:#?}");
        println!("figure: without {clause:?} `{promise}` breaks in {} steps", trace.len());
        trace.len()
    }
}

const TOLD_ONCE: &str = "what is durably released is not told again";
const ONE_OUTCOME: &str = "one outcome for each generation";
const PAST: &str = "a reused id does not meet its past";
const SENT: &str = "sent means taken";
const FAILED: &str = "failed means that nobody can be paid";
const VERDICT: &str = "fulfilled means evidence";
const UNKNOWN_ONCE: &str = "unknown is told once";
const NO_RETRY: &str = "no retry after sent";
const ENDS: &str = "every payment ends";
const BACK: &str = "no failure goes back while the next peer can be paid";
const FORWARD_ONCE: &str = "nothing is forwarded twice";
const REPORT_ONCE: &str = "unknown is reported once";
const FORWARD_ENDS: &str = "every forward ends, and rightly";
