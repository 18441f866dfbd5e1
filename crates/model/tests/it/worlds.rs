//! With every rule, every small world closes and holds, in each mode.

use lastword_model::{Extent, Mode, Name, Rules, run};

use crate::LIMIT;

fn every_world_holds(mode: Mode) {
    let mut unique_states = 0;
    for name in Name::ALL {
        let found = run(name, mode, Extent::Small, Rules::all(), LIMIT);
        assert!(found.is_good(), "{}: {found:#?}", name.word());
        unique_states += found.unique_states;
    }
    println!("figure: {} unique states with {}", unique_states, mode.name());
}

#[test]
fn with_one_log_every_small_world_closes_and_holds() {
    every_world_holds(Mode::OneLog);
}

#[test]
fn with_separate_stores_every_small_world_closes_and_holds() {
    every_world_holds(Mode::SeparateStores);
}

#[test]
fn with_any_old_book_every_small_world_closes_and_holds() {
    every_world_holds(Mode::AnyBook);
}

#[test]
fn a_search_that_is_cut_short_is_not_called_closed() {
    let found = run(Name::Neighbours, Mode::OneLog, Extent::Small, Rules::all(), 1_000);

    assert!(!found.is_closed && !found.is_good() && found.has_circle.is_none());
}
