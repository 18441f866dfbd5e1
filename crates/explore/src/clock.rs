//! How long a thread ran: on a busy machine much less than the time that went by.

use std::time::{Duration, Instant};

/// A moment of the thread that it was taken on.
pub(crate) struct Moment {
    by_wall: Instant,
    on_core: Option<Duration>,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { by_wall: Instant::now(), on_core: on_core() }
    }

    /// Returns how long the thread ran since; how long ago it is where the system does not say.
    pub(crate) fn elapsed(&self) -> Duration {
        let ran = self.on_core.and_then(|then| Some(on_core()?.saturating_sub(then)));
        ran.unwrap_or_else(|| self.by_wall.elapsed())
    }
}

/// Returns how long this thread ran since it began (Linux: `proc(5)`, `schedstat`).
fn on_core() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
