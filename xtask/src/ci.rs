//! The checks that every change must pass. CI runs this and nothing else.
//!
//! Invariant: every check runs, whatever the others find; one that fails makes the whole fail, and failures are
//! repeated at the very end, since logs are cut in the middle.

mod report;

use std::process::Command;

use crate::chaos;
use crate::licences;
use crate::packages;
use crate::sim;
use crate::soak;
use crate::step;
use crate::test;
use crate::tidy;
use crate::workspace::Workspace;

use report::Report;

/// Check of the workspace, which notes failures as lines of text.
type Check = fn(&Workspace, &mut Vec<String>) -> anyhow::Result<()>;

/// Part of the checks, for machines that share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Format, house rules, clippy, documentation, licences: under five minutes.
    Quick,
    /// Every test, real processes among them, and every microbenchmark once.
    Tests,
    /// Simulated clusters, from a start that no run has used.
    Simulation,
    /// A sample of the planted bugs, each of which the simulator must catch.
    Planted,
    /// A minute of real nodes under load and faults, on each engine.
    Chaos,
}

/// Checks that read the code, the quick ones first.
const QUICK: [(&str, Check); 7] = [
    ("format", format),
    ("tidy", |workspace, _| tidy::run(workspace)),
    ("clippy", clippy),
    ("clippy without optional engines", clippy_without_engines),
    ("docs", docs),
    ("licences, bans and sources", |workspace, _| licences::check(workspace)),
    ("alert rules", alerts),
];

/// Runs one part, or all but the planted bugs; the last lines name the failures, and how many tests passed.
///
/// # Errors
/// One or more checks failed; the error names them.
pub(crate) fn run(workspace: &Workspace, only: Option<Part>) -> anyhow::Result<()> {
    let mut report = Report::default();
    let mut tally = test::Tally::default();
    let has = |part: Part| only.map_or(part != Part::Planted, |only| only == part);
    if has(Part::Quick) {
        for (name, check) in QUICK {
            report.judge(name, |notes| check(workspace, notes));
        }
    }
    if has(Part::Tests) || has(Part::Simulation) || has(Part::Chaos) {
        report.judge("release builds", |notes| builds(workspace, notes));
    }
    if has(Part::Tests) {
        report.judge("tests", |notes| {
            let (counted, result) = test::ci(workspace);
            tally = counted;
            notes.extend(tally.failures().iter().cloned());
            result
        });
        report.judge("benchmarks, once each", |notes| benchmarks(workspace, notes));
    }
    if has(Part::Simulation) {
        report.judge("simulation", |notes| sim::ci(workspace, notes));
    }
    if has(Part::Planted) {
        report.judge("planted bugs", |notes| sim::planted_sample(workspace, notes));
    }
    if has(Part::Chaos) {
        report.judge("chaos", |notes| chaos::ci(workspace, notes));
        report.judge("soak", |notes| soak::ci(workspace, notes));
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

/// Checks the programs in a build that every optional engine is kept out of.
fn clippy_without_engines(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let programs = ["-p", "jedlik-node", "-p", "jedlik-admin", "--no-default-features"];
    let mut command = workspace.cargo(&["clippy", "--locked"]);
    step::noted(command.args(programs).args(["--", "-D", "warnings"]), notes, is_error)
}

fn docs(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"];
    let mut command = workspace.cargo(&arguments);
    step::noted(command.env("RUSTDOCFLAGS", "-D warnings"), notes, is_error)
}

/// Checks the alert rules of docs/metrics, and what they say of made-up figures.
fn alerts(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    if !packages::have_promtool()? {
        return Ok(());
    }
    for (what, file) in [("check", "alerts.yaml"), ("test", "alerts-test.yaml")] {
        let mut command = Command::new("promtool");
        command.current_dir(workspace.root().join("docs/metrics"));
        step::noted(command.args([what, "rules", file]), notes, |line| line.contains("FAILED"))?;
    }
    Ok(())
}

/// Runs each microbenchmark once, without measuring: it must build, and what it asserts must hold.
fn benchmarks(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&["test", "--locked", "--no-fail-fast", "--bench", "*"]);
    step::noted(&mut command, notes, |line| is_error(line) || line.contains(" panicked at "))
}

/// Builds everything that later checks run, all at once: what they share is built once.
fn builds(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    packages::have_make()?;
    workspace.build_next(notes)?;
    step::noted(workspace.release_build().arg("--bins"), notes, is_error)
}

/// Whether a line of cargo's output reports an error, or its place.
pub(crate) fn is_error(line: &str) -> bool {
    line.starts_with("error") || line.trim_start().starts_with("--> ")
}
