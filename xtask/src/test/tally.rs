//! The results of tests, read from the output of cargo and the test harness.
//!
//! Invariant: a failed test is named with the message of its panic, whatever was printed between.

use std::fmt;

/// Number of lines with cargo's own errors that are kept.
const ERRORS: usize = 8;

/// Counts and failures of tests, collected from their output.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    /// Name of each failed test, with the lines of its panic below.
    failures: Vec<String>,
    errors: usize,
    /// Number of lines of a panic that are still to come.
    panicking: u8,
    seconds: Vec<(f64, String)>,
}

impl Tally {
    /// Reads one line of output.
    pub(crate) fn hear(&mut self, line: &str) {
        if let Some((passed, failed)) = summary(line) {
            self.passed += passed;
            self.failed += failed;
        }
        let begun = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = begun {
            self.failures.push(name.into());
            self.panicking = 0;
        } else if !self.failures.is_empty() && line.contains(" panicked at ") {
            self.panicking = 2;
        } else if line.starts_with("error") && self.errors < ERRORS {
            self.errors += 1;
            self.failures.push(line.into());
        }
        if self.panicking > 0 {
            self.panicking -= 1;
            self.failures.push(format!("    {}", line.trim()));
        }
    }

    /// Reads lines of `seconds name`.
    pub(crate) fn read_times(&mut self, text: &str) {
        let read = |line: &str| {
            let (seconds, name) = line.split_once(' ')?;
            Some((seconds.parse().ok()?, name.to_owned()))
        };
        self.seconds.extend(text.lines().filter_map(read));
    }

    /// Returns the number of tests that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns the names of the failed tests with their panics, and cargo's errors, a line each.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Returns the `count` slowest tests with their seconds, the slowest first.
    pub(crate) fn slowest(&self, count: usize) -> Vec<(f64, String)> {
        let mut all = self.seconds.clone();
        all.sort_by(|one, other| other.0.total_cmp(&one.0));
        all.truncate(count);
        all
    }
}

/// Parses a summary line of cargo's test harness into the numbers of tests that passed and failed.
fn summary(line: &str) -> Option<(u64, u64)> {
    let rest = line.trim_start().strip_prefix("test result: ")?;
    let count = |name: &str| {
        let part = rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(name));
        part.and_then(|number| number.trim().parse().ok())
    };
    Some((count(" passed")?, count(" failed")?))
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Tally, summary};
    use crate::step;

    #[test]
    fn a_summary_line_is_read() {
        let line = "test result: FAILED. 21 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(summary(line), Some((21, 2)));
        for line in ["", "test a ... ok", "running 21 tests", "test result: unknown"] {
            assert_eq!(summary(line), None, "{line}");
        }
    }

    #[test]
    fn several_summaries_add_up_also_when_the_command_fails() {
        let script = "echo 'test result: ok. 2 passed; 0 failed;'; \
                      echo 'test result: FAILED. 3 passed; 1 failed;'; \
                      echo 'error: test failed, to rerun pass `-p x --lib`' >&2; exit 101";
        let mut tally = Tally::default();
        let mut command = Command::new("sh");
        step::heard(command.args(["-c", script]), |line| tally.hear(line)).unwrap_err();
        assert_eq!(tally.to_string(), "5 passed, 1 failed");
        assert_eq!(tally.failures(), ["error: test failed, to rerun pass `-p x --lib`"]);
    }

    #[test]
    fn a_failed_test_is_named_with_its_panic() {
        let mut tally = Tally::default();
        let output = "test a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\nsome words\n\n\
                      thread 'a::b' (7) panicked at src/a.rs:1:2:\nassertion failed: x\n  left: 1\n\n\
                      failures:\n    a::b\n";
        output.lines().for_each(|line| tally.hear(line));
        let expected =
            ["a::b", "    thread 'a::b' (7) panicked at src/a.rs:1:2:", "    assertion failed: x"];
        assert_eq!(tally.failures(), expected);
    }

    #[test]
    fn the_slowest_come_first_and_lines_that_are_cut_short_don_t_count() {
        let mut tally = Tally::default();
        tally.read_times("1.5 a::b\n20.0 c\nx y\n\n3.0");
        assert_eq!(tally.slowest(1), [(20.0, "c".into())]);
        assert_eq!(tally.slowest(9).len(), 2);
    }
}
