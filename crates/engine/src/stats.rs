//! [`Stats`]: what a running engine holds in memory, by kind.

use lastword_wire as wire;

use crate::driver::Driver;
use crate::quiet::footprint;
use crate::survey::Amount;

/// What an entry of a map takes: its key, its value and room that nothing fills yet.
const ENTRY_BYTES: usize = 128;

/// What a running driver holds in memory, by kind; the bytes are counted from what is held, to within
/// a fifth or so of what the allocator hands out.
///
/// [`survey`](crate::survey) says the same of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Channels in the index of watched outpoints and deadlines.
    pub index: Amount,
    /// Channels in the map of channels, without monitors.
    pub channels: Amount,
    /// Monitors in memory.
    pub monitors: Amount,
    /// Outputs to claim, with the transactions made for them.
    pub claims: Amount,
    /// Payments in the book.
    pub book: Amount,
    /// HTLCs of which something is owed: to the user, to a peer, upstream.
    pub pending: Amount,
}

impl Stats {
    /// Returns each kind with its name.
    pub fn kinds(&self) -> [(&'static str, Amount); 6] {
        let Self { index, channels, monitors, claims, book, pending } = *self;
        [
            ("index", index),
            ("channels", channels),
            ("monitors", monitors),
            ("claims", claims),
            ("book", book),
            ("pending", pending),
        ]
    }
}

impl Driver {
    /// Returns what is held in memory, by kind.
    ///
    /// # Shape
    ///
    /// Costs a look at each channel and each payment of the book.
    pub fn stats(&self) -> Stats {
        let channels = self.channels.count();
        let monitors = self.channels.warm_monitors().map(footprint);
        let (count, bytes) =
            monitors.fold((0, 0), |(count, bytes), monitor| (count + 1, bytes + monitor));
        let pending = self.channels.pending_count();
        let book = self.payments.state();
        Stats {
            index: amount(self.channels.index.len(), self.channels.index.heap_bytes()),
            channels: amount(channels, self.channels.map_bytes()),
            monitors: amount(count, bytes),
            claims: amount(self.claims.len(), self.claims.heap_bytes()),
            book: amount(book.payments.len(), wire::encode_book_state(book).len()),
            pending: amount(pending, pending * 2 * ENTRY_BYTES),
        }
    }
}

fn amount(count: usize, bytes: usize) -> Amount {
    let [count, bytes] = [count, bytes].map(|it| u64::try_from(it).unwrap_or(u64::MAX));
    Amount { count, bytes }
}
