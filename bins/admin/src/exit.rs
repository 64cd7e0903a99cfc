//! The exit codes, and the mapping of errors to them.
//!
//! Invariant: the codes are those of `--help`; scripts depend on them.

use std::process::ExitCode;

use jedlik_client::ClientError;
use jedlik_console::profile::ProfileError;
use jedlik_console::{exit_code, in_one_line};

use crate::output;

/// Exit code for what is unavailable, timed out, or failed in part.
pub(crate) const UNAVAILABLE: u8 = 3;
/// Exit code of `doctor` if something is wrong with the cluster.
pub(crate) const FOUND: u8 = 1;
const USAGE: u8 = 2;

/// Mistake that the user of the command can correct.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns the exit code for an error, by its kind in the client library or in this tool.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<ClientError>() {
        Some(error) => exit_code(error.kind()),
        None if error.is::<Usage>() || error.is::<ProfileError>() => USAGE,
        None => UNAVAILABLE,
    }
}

/// Prints an error and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    output::say(&format_args!("jedlik-admin: {}", in_one_line(error.as_ref())));
    code(error).into()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use jedlik_client::{ClientError, ErrorCode, Refusal};

    use super::{Usage, code};

    #[test]
    fn every_error_has_the_code_that_help_promises() {
        let refusal = |code| Refusal::new(code, "no");
        let cases: [(anyhow::Error, u8); 5] = [
            (ClientError::Forbidden(refusal(ErrorCode::Forbidden)).into(), 2),
            (ClientError::Refused(refusal(ErrorCode::PlanChanged)).into(), 2),
            (anyhow::Error::from(ClientError::NoLayout).context("while planning"), 3),
            (anyhow!("no such file").context(Usage("bad".into())), 2),
            (anyhow!("disk full"), 3),
        ];
        for (error, expected) in cases {
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }
}
