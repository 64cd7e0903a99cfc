//! Every test: units, properties, documentation, and end-to-end tests with real processes.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::workspace::{Profile, Workspace};
use crate::{step, words};

/// Where the end-to-end tests find the binaries and the word list.
const BINARIES: &str = "JEDLIK_TEST_BINARIES";
const WORDS: &str = "JEDLIK_TEST_WORDS";

/// What came of some tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Reads one of the summary lines that cargo's test harness writes.
    fn of_line(line: &str) -> Option<Self> {
        let rest = line.trim_start().strip_prefix("test result: ")?;
        let count = |name: &str| {
            let part = rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(name));
            part.and_then(|number| number.trim().parse().ok())
        };
        Some(Self { passed: count(" passed")?, failed: count(" failed")? })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the tests whose names contain `filter`, all without one, and prints the sum at the end.
///
/// # Errors
/// A test fails, or something doesn't build.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<()> {
    let (tally, result) = count(workspace, filter);
    println!("{tally}");
    result
}

/// The same, leaving the sum to the caller: it counts what ran also where something failed.
pub(crate) fn count(workspace: &Workspace, filter: Option<&str>) -> (Tally, anyhow::Result<()>) {
    let mut tally = Tally::default();
    let result = run_into(workspace, filter, &mut tally);
    (tally, result)
}

fn run_into(workspace: &Workspace, filter: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    workspace.build(Profile::Release)?;
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(filter);
    command.env(BINARIES, workspace.binaries(Profile::Release));
    if let Some(words) = words::find()? {
        command.env(WORDS, words);
    }
    stream(&mut command, tally)
}

/// Passes the command's output through, adding up what it says.
fn stream(command: &mut Command, tally: &mut Tally) -> anyhow::Result<()> {
    let shown = step::shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't start `{shown}`"))?;
    let output = child.stdout.take().context("standard output was asked for")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        *tally += Tally::of_line(&line).unwrap_or_default();
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{shown}` failed: {status}");
    Ok(())
}

#[cfg(test)]
mod tests;
