//! The only way in which commands print: an answer as text or JSON on standard output, remarks on standard error.
//!
//! Invariants: printing never panics. A reader that has closed standard output is no error; any other failure is one,
//! and names its cause. A failure of standard error is ignored, since there is nobody left to tell. Text and remarks
//! carry no control characters from names and messages of others; JSON keeps them.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write as _};

use jedlik_protocol::escape::Printable;
use serde_json::Value;

/// Form of the output: text for people or JSON for programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

/// Failure to write to standard output.
#[derive(Debug)]
pub(crate) struct OutputError(io::Error);

impl Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what was asked is done, but standard output can't be written: {}", self.0)
    }
}

impl std::error::Error for OutputError {}

impl Output {
    /// Prints an answer in one of its two forms.
    ///
    /// # Errors
    /// Standard output can't be written for any reason but that its reader has closed it.
    pub(crate) fn print(
        self,
        json: &Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), OutputError> {
        let shown = if self.json { format!("{json}\n") } else { Printable(&text()).to_string() };
        let mut out = io::stdout().lock();
        let printed = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
        printed.or_else(|error| match error.kind() {
            ErrorKind::BrokenPipe => Ok(()),
            _ => Err(OutputError(error)),
        })
    }
}

/// Prints a remark of one or more lines on standard error.
pub(crate) fn say(remark: &impl Display) {
    let text = remark.to_string();
    // A failure of standard error is ignored, since there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}", Printable(text.trim_end_matches('\n')));
}
