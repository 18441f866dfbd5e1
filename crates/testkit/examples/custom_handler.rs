//! An event handler of your own, proved by one line: a shop that books payments in a table.
//!
//! Prints nothing if it is correct. What makes it so: the key of an event is the key of its row, so
//! an event that comes again finds itself; and `Ok` is returned only once the row is written.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use lastword_ports::{EventHandler, HandlerError};
use lastword_testkit::conformance::{check_event_handler, handler_harness};
use lastword_types::{Event, EventKey};

/// What outlives a crash: the shop's database.
type Table = Arc<Mutex<BTreeMap<EventKey, String>>>;

struct Shop {
    table: Table,
}

impl EventHandler for Shop {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        // An alarm has no key: whoever shows it to a person shows it once more.
        if let Some(key) = event.key() {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.entry(key).or_insert_with(|| format!("{event:?}"));
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let open = || Shop { table: Table::default() };
    let reopen = |shop: Shop| Shop { table: shop.table };
    let effects = |shop: &Shop| shop.table.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check_event_handler(&mut handler_harness(open, reopen, effects))?;
    Ok(())
}
