//! What has to hold before a change goes in. CI runs this and nothing else.
//!
//! Invariant: every check runs, whatever the others say; one that fails makes the whole fail, and what failed is
//! said again at the very end, since logs are cut in the middle.

mod report;

use crate::chaos;
use crate::licences;
use crate::sim;
use crate::step;
use crate::test;
use crate::tidy;
use crate::workspace::Workspace;

use report::Report;

/// What goes wrong is noted into the strings, a line each.
type Check = fn(&Workspace, &mut Vec<String>) -> anyhow::Result<()>;

/// The quick ones first.
const CHECKS: [(&str, Check); 6] = [
    ("format", format),
    ("tidy", |workspace, _| tidy::run(workspace)),
    ("clippy", clippy),
    ("docs", docs),
    ("licences, bans and sources", |workspace, _| licences::check(workspace)),
    ("release builds", builds),
];

/// What is run of the release builds.
const RUNS: [(&str, Check); 2] = [("simulation", sim::ci), ("chaos", chaos::ci)];

/// Runs everything; the last lines say what failed, and how many tests passed.
///
/// # Errors
/// Names the checks that failed.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut report = Report::default();
    for (name, check) in CHECKS {
        report.judge(name, |notes| check(workspace, notes));
    }
    let mut tally = test::Tally::default();
    report.judge("tests", |notes| {
        let (counted, result) = test::ci(workspace);
        tally = counted;
        notes.extend(tally.failures().iter().cloned());
        result
    });
    for (name, check) in RUNS {
        report.judge(name, |notes| check(workspace, notes));
    }
    report.end(&tally)
}

fn format(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&["fmt", "--all", "--check"]);
    step::noted(&mut command, notes, |line| line.starts_with("Diff in "))
}

fn clippy(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step::noted(&mut workspace.cargo(&arguments), notes, is_error)
}

fn docs(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"];
    let mut command = workspace.cargo(&arguments);
    step::noted(command.env("RUSTDOCFLAGS", "-D warnings"), notes, is_error)
}

/// Everything that the checks after it run, built at once: what they share is built once.
fn builds(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    workspace.build_next(notes)?;
    step::noted(workspace.release_build().arg("--bins"), notes, is_error)
}

/// Whether a line of cargo's tells an error, or where it is.
pub(crate) fn is_error(line: &str) -> bool {
    line.starts_with("error") || line.trim_start().starts_with("--> ")
}
