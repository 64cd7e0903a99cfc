//! The one way in which commands print: an answer as text or JSON on standard output, remarks on standard error.
//!
//! Invariants: printing never panics. A reader that has closed standard output is no error; any other failure is
//! one, and names its cause. What standard error can't take is lost, since nobody is left to be told. Text and
//! remarks carry no control characters of what others have named or said; JSON keeps them.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write as _};

use jedlik_protocol::escape::Printable;
use serde_json::Value;

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

/// Standard output that takes no more.
#[derive(Debug)]
pub(crate) struct OutputError(io::Error);

impl Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what was asked is done, but standard output can't be written: {}", self.0)
    }
}

impl std::error::Error for OutputError {}

impl Output {
    /// Prints one of the two forms of an answer.
    ///
    /// # Errors
    /// Standard output can't be written, other than by a reader that has closed it.
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

/// Says a remark of one or more lines on standard error.
pub(crate) fn say(remark: &impl Display) {
    let text = remark.to_string();
    // Nobody is left to be told.
    let _ = writeln!(io::stderr(), "{}", Printable(text.trim_end_matches('\n')));
}
