//! The exit code of an error, and its causes in one line.

use std::error::Error;

use jedlik_client::ErrorKind;

/// Returns the exit code for an error of the client: 2 if the user can correct it, otherwise 3.
#[must_use]
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid | ErrorKind::Forbidden => 2,
        _ => 3,
    }
}

/// Formats an error and its causes in one line. Causes that an error's message already contains are not repeated.
#[must_use]
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::in_one_line;
    use crate::profile::ProfileError;

    #[test]
    fn a_cause_that_an_error_says_itself_is_not_said_again() {
        let path = "p.toml".into();
        let source = std::io::Error::other("too dark to read");
        let line = in_one_line(&ProfileError::Unreadable { path, source });
        assert_eq!(line.matches("too dark to read").count(), 1, "{line}");
    }
}
