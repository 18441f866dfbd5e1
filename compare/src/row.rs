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
    pub(crate) peer: f64,
    pub(crate) bar: Bar,
}

impl Row {
    /// Returns ours divided by the peer's.
    pub(crate) fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    /// Says whether the bar holds; a row without one holds.
    pub(crate) fn holds(&self) -> bool {
        match self.bar {
            Bar::TimesAtLeast(bar) => self.ratio() >= bar,
            Bar::TimesAtMost(bar) => self.ratio() <= bar,
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
        let Self { what, unit, ours, peer, .. } = self;
        let ratio = self.ratio();
        format!("{what:<58} {ours:>10.2} {peer:>10.2} {unit:<14} {ratio:>8.3}  {bar:<13} {holds}")
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
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio(),
            "bar": bar,
            "bar_is": bar_is,
            "holds": self.holds(),
        })
    }
}
