//! [`Row`]: one figure of ours, the peer's, and the bar.

use serde_json::{Value, json};

/// What has to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    /// Ours is at least so many times the peer's.
    TimesAtLeast(f64),
    /// Ours is at most so many times the peer's.
    TimesAtMost(f64),
    /// Ours is at most this, whatever the peer's.
    AtMost(f64),
    /// Nothing; the figure is for the reader.
    None,
}

/// One line of the comparison.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// The figure that ours is held against, and whose it is.
    pub(crate) peer: Option<(f64, &'static str)>,
    pub(crate) bar: Bar,
}

impl Row {
    /// Returns ours divided by the peer's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.peer.map(|(peer, _)| self.ours / peer)
    }

    /// Says whether the bar holds; a row without one holds.
    pub(crate) fn holds(&self) -> bool {
        match self.bar {
            Bar::TimesAtLeast(bar) => self.ratio().is_some_and(|ratio| ratio >= bar),
            Bar::TimesAtMost(bar) => self.ratio().is_some_and(|ratio| ratio <= bar),
            Bar::AtMost(bar) => self.ours <= bar,
            Bar::None => true,
        }
    }

    /// Returns the row as a line of text.
    pub(crate) fn text(&self) -> String {
        let bar = match self.bar {
            Bar::TimesAtLeast(bar) => format!("ratio ≥ {bar}"),
            Bar::TimesAtMost(bar) => format!("ratio ≤ {bar}"),
            Bar::AtMost(bar) => format!("ours ≤ {bar}"),
            Bar::None => String::new(),
        };
        let holds = match (self.bar, self.holds()) {
            (Bar::None, _) => "",
            (_, true) => "holds",
            (_, false) => "DOES NOT HOLD",
        };
        let Self { id, what, unit, .. } = self;
        let ours = short(self.ours);
        let (peer, whose) =
            self.peer.map_or((String::new(), ""), |(peer, whose)| (short(peer), whose));
        let ratio = self.ratio().map_or(String::new(), short);
        format!(
            "{id:<22} {what:<62} {ours:>9} {peer:>9} {unit:<12} {whose:<9} {ratio:>9}  {bar:<14} {holds}"
        )
    }

    /// Returns the heads of what [`text`](Self::text) returns.
    pub(crate) fn heads() -> String {
        format!(
            "{:<22} {:<62} {:>9} {:>9} {:<12} {:<9} {:>9}  bar",
            "", "", "ours", "peer", "", "which is", "ratio"
        )
    }

    /// Returns the row for a program.
    pub(crate) fn json(&self) -> Value {
        let (bar, bar_is) = match self.bar {
            Bar::TimesAtLeast(bar) => (json!(bar), json!("the least ratio")),
            Bar::TimesAtMost(bar) => (json!(bar), json!("the greatest ratio")),
            Bar::AtMost(bar) => (json!(bar), json!("the greatest figure of ours")),
            Bar::None => (Value::Null, Value::Null),
        };
        json!({
            "id": self.id,
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer.map(|(peer, _)| peer),
            "peer_is": self.peer.map(|(_, whose)| whose),
            "ratio": self.ratio(),
            "bar": bar,
            "bar_is": bar_is,
            "holds": self.holds(),
        })
    }
}

/// Returns a number with three digits that count, whatever its size.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let mut digits = 2;
    let mut bound = 10.0;
    while value.abs() >= bound && digits > 0 {
        (digits, bound) = (digits - 1, bound * 10.0);
    }
    let mut bound = 1.0;
    while value.abs() < bound && digits < 8 {
        (digits, bound) = (digits + 1, bound / 10.0);
    }
    format!("{value:.digits$}")
}
