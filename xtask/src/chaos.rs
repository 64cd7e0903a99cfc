//! Chaos: real nodes under load with real faults, run by a separate program.
//!
//! Invariant: that program replaces this one, so that a Ctrl-C reaches the process that has to tidy up.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

use crate::workspace::{Profile, Workspace};
use crate::{packages, step};

const NAME: &str = "jedlik-chaos";
/// Arguments of the run in CI: kills, stops, cuts and delays, while a member leaves and another one joins.
const CI: [&str; 4] = ["--minutes", "1", "--seed", "5"];

/// Arguments of a run of real nodes with faults.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Chaos {
    /// For the program itself: --minutes M, --seed S, --nodes N, --dir D, --json FILE; --help has all.
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

/// Makes a short run for CI, which has built everything.
///
/// # Errors
/// A promise is broken, or the run fails.
pub(crate) fn ci(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    packages::have_clocks()?;
    let program = workspace.binaries(Profile::Release).join(NAME);
    step::noted(Command::new(program).args(CI), notes, |line| line.starts_with("chaos:"))
}

fn program(workspace: &Workspace) -> anyhow::Result<Command> {
    workspace.build(Profile::Release)?;
    step::run(&mut workspace.cargo(&["build", "--release", "--locked", "--quiet", "-p", NAME]))?;
    Ok(Command::new(workspace.binaries(Profile::Release).join(NAME)))
}
