//! [`Engine`]: the embedded database, closed without a panic.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;

/// A database that may be dropped whatever its file holds.
///
/// Closing writes the list of free pages. On a file whose bytes were damaged that may panic, and a
/// panic in a destructor is nobody's to handle. Nothing durable depends on closing: after any other
/// end the list is rebuilt when the file is opened.
pub(crate) struct Engine(Option<Database>);

impl Engine {
    /// Takes a database over.
    pub(crate) fn new(database: Database) -> Self {
        Self(Some(database))
    }
}

impl Deref for Engine {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("it is there until the drop")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let database = self.0.take();
        // Unwind safe: nobody sees the database after its destructor.
        drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
    }
}
