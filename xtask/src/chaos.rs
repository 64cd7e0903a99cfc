//! Chaos: real nodes under load with real faults, run by a separate program.
//!
//! Invariant: that program replaces this one, so that a Ctrl-C reaches the process that has to tidy up.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, ensure};
use jedlik_engines::Engine;

use crate::workspace::{Profile, Workspace};
use crate::{packages, step};

const NAME: &str = "jedlik-chaos";
/// Seed of the run in CI on the default engine: kills, stops, cuts and delays, while a member leaves and one is replaced.
const FIRST_SEED: &str = "5";
/// Seed of those on the other engines: bits flip in what a member's engine keeps, amid kills, stops, cuts and wrong
/// clocks.
const OTHER_SEED: &str = "1";

/// Arguments of a run of real nodes with faults.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Chaos {
    /// For the program itself: --minutes M, --seed S, --nodes N, --engine E, --json FILE; --help has all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds what the run needs, and becomes the program.
///
/// # Errors
/// A build fails, or the program can't be started.
pub(crate) fn run(workspace: &Workspace, chaos: &Chaos) -> anyhow::Result<()> {
    packages::have_clocks()?;
    let mut command = program(workspace)?;
    Err(command.args(&chaos.rest).exec()).context("can't start the chaos")
}

/// Makes a short run on each engine for CI, which has built everything.
///
/// # Errors
/// A promise is broken, or a run fails; the error names the engines.
pub(crate) fn ci(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    packages::have_clocks()?;
    packages::have_databases()?;
    let program = workspace.binaries(Profile::Release).join(NAME);
    let mut failures = Vec::new();
    for engine in Engine::ALL {
        let mut command = Command::new(&program);
        let seed = if engine == Engine::ALL[0] { FIRST_SEED } else { OTHER_SEED };
        command.args(["--minutes", "1", "--seed", seed, "--engine", engine.name()]);
        let done = step::noted(&mut command, notes, |line| line.starts_with("chaos:"));
        failures.extend(done.err().map(|error| format!("{error:#}")));
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn program(workspace: &Workspace) -> anyhow::Result<Command> {
    workspace.build(Profile::Release)?;
    step::run(&mut workspace.cargo(&["build", "--release", "--locked", "--quiet", "-p", NAME]))?;
    Ok(Command::new(workspace.binaries(Profile::Release).join(NAME)))
}
