//! The trace of a run: one line an event.
//!
//! Invariant: telling it changes nothing of what happens.

use core::fmt;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Virtual time.
    pub at_us: u64,
    /// Where; from 0.
    pub node: Option<u8>,
    /// About which key.
    pub key: Option<u8>,
    /// What.
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

/// The lines, or none where nobody wants to read them.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Option<Vec<Line>>,
}

impl Log {
    pub(crate) fn new(told: bool) -> Self {
        Self { lines: told.then(Vec::new) }
    }

    /// Whether somebody wants to read it.
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
