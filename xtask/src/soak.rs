//! Soak: engines under one random history, run by a separate program.
//!
//! Invariant: that program replaces this one, so that a Ctrl-C reaches the process that has to tidy up.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use jedlik_engines::Engine;

use crate::step;
use crate::workspace::{Profile, Workspace};

const NAME: &str = "jedlik-soak";
/// Arguments of the run in CI: the same history each time, of a few hundred thousand records.
const CI: [&str; 8] = ["--steps", "1500", "--seed", "14", "--keys", "50000", "--minutes", "10"];

/// Arguments of a run of engines under one random history.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Soak {
    /// For the program itself: --engines A,B, --minutes M, --seed S, --keys K; --help has all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the program, and becomes it.
///
/// # Errors
/// The build fails, or the program can't be started.
pub(crate) fn run(workspace: &Workspace, soak: &Soak) -> anyhow::Result<()> {
    step::run(&mut workspace.cargo(&["build", "--release", "--locked", "--quiet", "-p", NAME]))?;
    let mut command = program(workspace);
    Err(command.args(&soak.rest).exec()).context("can't start the soak")
}

/// Makes a short run for CI, which has built everything.
///
/// # Errors
/// Engines differ, or the run fails.
pub(crate) fn ci(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let engines = Engine::ALL.map(Engine::name).join(",");
    let mut command = program(workspace);
    command.args(CI).args(["--engines", &engines]);
    step::noted(&mut command, notes, |line| line.contains("no difference"))
}

fn program(workspace: &Workspace) -> Command {
    Command::new(workspace.binaries(Profile::Release).join(NAME))
}
