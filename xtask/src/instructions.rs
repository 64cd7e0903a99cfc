//! The instructions of each microbenchmark: unlike its time, a count that a busy machine does not change.
//!
//! Invariant: a figure is the difference between two runs that differ in iterations alone, so whatever a run does only
//! once is not in it.

mod counter;
mod listing;

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use cargo_metadata::{Message, TargetKind};

use crate::step;
use crate::workspace::Workspace;

use counter::Counter;

/// Iterations by which the two runs of a benchmark differ.
const ITERATIONS: u64 = 1_000;

/// Counts and prints the instructions of one iteration of every benchmark, or of those whose names match `filter`.
///
/// # Errors
/// This machine can't count instructions, a build or a benchmark fails, or no benchmark has such a name.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<()> {
    let counter = Counter::find()?;
    println!("instructions of one iteration, its input's making included, by {counter}:");
    let mut counted = 0;
    for program in programs(workspace)? {
        let tree = step::output(Command::new(&program).arg("--test").args(filter))?;
        for name in listing::benchmarks(&tree) {
            let few = counter.count(&mut once(&program, &name, 1))?;
            let many = counter.count(&mut once(&program, &name, 1 + ITERATIONS))?;
            println!("{:>10}  {name}", many.saturating_sub(few) / ITERATIONS);
            counted += 1;
        }
    }
    ensure!(
        counted > 0,
        "no benchmark's name matches; `cargo bench --bench '*' -- --list` has all"
    );
    Ok(())
}

/// Returns the command that runs one benchmark in one sample of so many iterations.
fn once(program: &PathBuf, name: &str, iterations: u64) -> Command {
    let mut command = Command::new(program);
    command.args(["--bench", "--sample-count", "1", "--sample-size", &iterations.to_string()]);
    command.args(["--exact", name]);
    command
}

/// Builds all benchmarks, and returns their programs.
fn programs(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let build = ["bench", "--locked", "--bench", "*", "--no-run"];
    step::run(&mut workspace.cargo(&build))?;
    let messages = step::output(workspace.cargo(&build).arg("--message-format=json"))?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(messages.as_bytes()) {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        if artifact.target.kind.contains(&TargetKind::Bench) {
            programs.extend(artifact.executable.map(PathBuf::from));
        }
    }
    programs.sort();
    Ok(programs)
}
