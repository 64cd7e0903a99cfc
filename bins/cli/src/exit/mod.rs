//! The exit codes, and the mapping of errors to them.
//!
//! Invariant: the codes are those of `--help`; scripts depend on them.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use jedlik_client::ClientError;
use jedlik_console::profile::ProfileError;
use jedlik_console::{exit_code, in_one_line};

use crate::output::{self, OutputError};

/// Outcome of a command, which decides its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The key was found, or the work is done.
    Done,
    /// The key is absent.
    Absent,
    /// An argument, the profile, a certificate or the input is wrong.
    Usage,
    /// The cluster is unavailable, the time is up, or a part of the work failed.
    Unavailable,
    /// Ctrl-C, or SIGINT in another way, ended the command.
    Interrupted,
    /// SIGTERM ended the command.
    Terminated,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Absent => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            // As shells count: 128 and the signal's number.
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Returns the outcome for an error, by its kind in the client library or in this tool.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let usage = match error.downcast_ref::<ClientError>() {
            Some(error) => exit_code(error.kind()) == Self::Usage.code(),
            None => error.is::<Usage>() || error.is::<ProfileError>(),
        };
        if usage { Self::Usage } else { Self::Unavailable }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Mistake that the user of the command can correct.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints an error and returns its exit code; a reader that closed standard output is no error.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let output = error.chain().find_map(|cause| cause.downcast_ref::<OutputError>());
    if output.is_some_and(OutputError::is_closed) {
        return Exit::Done.into();
    }
    output::say(&format_args!("jedlik: {}", in_one_line(error.as_ref())));
    Exit::of(error).into()
}
