//! Text for people or JSON for programs, as the flag says.

use std::io::{self, Write as _};

use serde_json::Value;

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints one of the two forms of an answer.
    pub(crate) fn print(self, json: &Value, text: impl FnOnce() -> String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json { writeln!(out, "{json}") } else { out.write_all(text().as_bytes()) }
    }
}
