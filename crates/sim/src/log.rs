//! The trace of a run: one line per event.
//!
//! Invariant: tracing changes nothing in the run.

use core::fmt;

/// Line of the trace, about one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Virtual time of the event, in microseconds.
    pub at_us: u64,
    /// Node at which it happened, from 0; `None` if at no node.
    pub node: Option<u8>,
    /// Key that the event is about, if it is about one.
    pub key: Option<u8>,
    /// Description of the event.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.map_or_else(String::new, |node| format!("n{}", node + 1));
        let key = self.key.map_or_else(String::new, |key| format!("k{key}"));
        let (seconds, micros) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        write!(f, "{seconds:>4}.{micros:06} {node:>3} {key:>3}  {}", self.text)
    }
}

/// Lines of the trace; none if the trace is not wanted.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Option<Vec<Line>>,
}

impl Log {
    pub(crate) fn new(told: bool) -> Self {
        Self { lines: told.then(Vec::new) }
    }

    /// Whether the trace is wanted.
    pub(crate) fn is_told(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn say(
        &mut self,
        at_us: u64,
        node: Option<u8>,
        key: Option<u8>,
        text: impl FnOnce() -> String,
    ) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at_us, node, key, text: text() });
        }
    }

    pub(crate) fn into_lines(self) -> Vec<Line> {
        self.lines.unwrap_or_default()
    }
}
