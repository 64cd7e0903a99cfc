//! The only way in which commands print: answers on standard output, remarks on standard error.
//!
//! Invariants: printing never panics. A reader that has closed standard output ends the printing and is no error; any
//! other failure is one, and names its cause. A failure of standard error is ignored, since there is nobody left to
//! tell. Remarks never carry control characters to a terminal.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write};

use jedlik_protocol::escape::Printable;

use crate::writer::Sink;

/// Failure to write to standard output.
#[derive(Debug)]
pub(crate) struct OutputError(io::Error);

impl OutputError {
    /// Whether the reader has closed its end, as `head` does.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

impl Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output can't be written: {}", self.0)
    }
}

impl std::error::Error for OutputError {}

/// Standard output with a buffer, for answers of any length. [`Self::finish`] must be called at the end.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(1 << 16, io::stdout().lock()))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.0.get_ref().is_terminal()
    }

    /// # Errors
    /// Standard output can't be written.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.0.write_all(bytes).map_err(OutputError)
    }

    /// Writes out the bytes that are still in the buffer.
    ///
    /// # Errors
    /// Standard output can't be written.
    pub(crate) fn finish(mut self) -> Result<(), OutputError> {
        self.0.flush().map_err(OutputError)
    }
}

impl Sink for Output {
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(Self::write(self, bytes)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok((*self).finish()?)
    }
}

/// Prints a whole answer, followed by a line end.
///
/// # Errors
/// Standard output can't be written for any reason but that its reader has closed it.
pub(crate) fn line(answer: &impl Display) -> Result<(), OutputError> {
    let mut output = Output::new();
    let printed = output.write(format!("{answer}\n").as_bytes()).and_then(|()| output.finish());
    printed.or_else(|error| if error.is_closed() { Ok(()) } else { Err(error) })
}

/// Prints a remark of one or more lines on standard error.
pub(crate) fn say(remark: &impl Display) {
    let text = remark.to_string();
    // A failure of standard error is ignored, since there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}", Printable(text.trim_end_matches('\n')));
}
