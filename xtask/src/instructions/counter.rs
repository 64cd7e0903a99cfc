//! Programs that count another program's instructions: `perf`, where the processor lets it, or else `valgrind`.
//!
//! Invariant: a counter is used only after it has counted.

use std::fmt;
use std::process::Command;

use anyhow::{Context, bail};

use crate::step;

/// Program that counts instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// `perf stat`, which reads the processor's own count. Many virtual machines have none.
    Perf,
    /// `valgrind`, which runs the program some thirty times slower, and counts the same anywhere.
    Valgrind,
}

impl Counter {
    /// Returns the first counter that works on this machine.
    ///
    /// # Errors
    /// None works.
    pub(super) fn find() -> anyhow::Result<Self> {
        for counter in [Self::Perf, Self::Valgrind] {
            if counter.count(&mut Command::new("true")).is_ok() {
                return Ok(counter);
            }
        }
        bail!(
            "neither `perf` nor `valgrind` can count instructions here; install Debian's valgrind"
        )
    }

    /// Runs a command to its end, and returns how many instructions it took.
    ///
    /// # Errors
    /// The counter can't be started or has not counted, or the command fails.
    pub(super) fn count(self, command: &mut Command) -> anyhow::Result<u64> {
        let (name, arguments) = match self {
            Self::Perf => ("perf", &["stat", "-x,", "-e", "instructions:u", "--log-fd=1"][..]),
            Self::Valgrind => (
                "valgrind",
                &[
                    "--tool=cachegrind",
                    "--cache-sim=no",
                    "--cachegrind-out-file=/dev/null",
                    "--log-fd=1",
                ][..],
            ),
        };
        let mut counting = Command::new(name);
        counting.args(arguments).arg("--").arg(command.get_program()).args(command.get_args());
        let output = step::output(&mut counting)?;
        let count = output.lines().find_map(|line| self.counted(line));
        count.with_context(|| format!("`{}` has not counted", step::shown(&counting)))
    }

    /// Reads the count from a line of output; `None` if it has none.
    fn counted(self, line: &str) -> Option<u64> {
        let digits = match self {
            Self::Perf => line.split_once(",,instructions:u,")?.0,
            Self::Valgrind => {
                let (what, count) = line.split_once(':')?;
                let words: Vec<&str> = what.split_whitespace().collect();
                words.ends_with(&["I", "refs"]).then_some(count)?
            }
        };
        digits.trim().replace(',', "").parse().ok()
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Perf => "perf",
            Self::Valgrind => "valgrind",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Counter::{Perf, Valgrind};

    #[test]
    fn a_count_is_read_from_what_the_counter_prints() {
        for (counter, line, expected) in [
            (Perf, "92469212,,instructions:u,1002003,100.00,,", Some(92_469_212)),
            (Perf, "<not supported>,,instructions:u,0,100.00,,", None),
            (Perf, "merkle", None),
            (Valgrind, "==28782== I   refs:      92,469,212", Some(92_469_212)),
            (Valgrind, "==28782== I refs:        7", Some(7)),
            (Valgrind, "==28782== Command: true", None),
            (Valgrind, "==28782== ", None),
        ] {
            assert_eq!(counter.counted(line), expected, "{line}");
        }
    }
}
