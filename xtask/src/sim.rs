//! The simulator: seeds spread over the processors, one seed's trace, and the table of planted bugs.
//!
//! Invariant: bugs are planted in a separate build, in its own target folder.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use crate::step;
use crate::workspace::{Profile, Workspace};

/// Page that holds the table of planted bugs.
const PAGE: &str = "docs/correctness.md";
const TABLE_BEGIN: &str = "<!-- planted: begin -->";
const TABLE_END: &str = "<!-- planted: end -->";
/// Limits of the run in CI, in seeds and seconds. Each run has another start, which it prints.
const CI: [&str; 4] = ["--seeds", "100", "--limit-s", "90"];

/// Planted bugs that CI looks for, each found within seconds: one that loses a write, undoes a deletion, acknowledges
/// early, drops a range early, and says "absent" without knowing.
const PLANTED_SAMPLE: &str =
    "OneActorPerNode,CollectedDespiteHint,AcknowledgedBeforeSync,DroppedBeforeAllKnow,VoteAtOnce";

/// Arguments of a simulation.
#[derive(Debug, clap::Args)]
pub(crate) struct Simulation {
    /// Look for every planted bug, and write how many seeds each took into docs/correctness.md. With a name: look for
    /// that one, and print the trace of the seed that shows it.
    #[arg(long, num_args = 0..=1, default_missing_value = "all")]
    planted: Option<String>,
    /// For the simulator itself: --seed S, --seeds N, --start K (drawn anew each time unless it is set),
    /// --nodes N, --threads N, --limit-s S, --through, --shrink.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the simulator on seeds, or the search for planted bugs.
///
/// # Errors
/// A promise is broken, a planted bug is not noticed, or a build fails.
pub(crate) fn run(workspace: &Workspace, simulation: &Simulation) -> anyhow::Result<()> {
    let rest = &simulation.rest;
    match simulation.planted.as_deref() {
        None => step::run(sound(workspace).args(rest)),
        Some("all") => write_table(workspace, &step::output(planted(workspace, "all").args(rest))?),
        Some(name) => step::run(planted(workspace, name).args(rest)),
    }
}

/// Simulates a bounded number of seeds for CI, which has built the simulator. Failures are noted, with the command that
/// repeats them.
///
/// # Errors
/// A promise is broken.
pub(crate) fn ci(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let program = workspace.binaries(Profile::Release).join("jedlik-sim");
    step::noted(Command::new(program).args(CI), notes, |line| {
        ["seed ", "the whole trace: ", "thread '"].iter().any(|begin| line.starts_with(begin))
    })
}

/// Looks for a sample of the planted bugs.
///
/// # Errors
/// One of them is not noticed, or a build fails.
pub(crate) fn planted_sample(workspace: &Workspace, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let mut command = planted(workspace, PLANTED_SAMPLE);
    step::noted(&mut command, notes, |line| line.contains("not within"))
}

/// Returns the simulator's command, built in its own profile: seeds take a fifth less time for a longer build.
fn sound(workspace: &Workspace) -> Command {
    workspace.cargo(&["run", "--profile", "sim", "--locked", "--quiet", "-p", "jedlik-sim", "--"])
}

fn planted(workspace: &Workspace, name: &str) -> Command {
    let mut command = sound(workspace);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} --cfg jedlik_planted"));
    command.env("CARGO_TARGET_DIR", workspace.tools().join("planted"));
    command.args(["--planted", name]);
    command
}

fn write_table(workspace: &Workspace, rows: &str) -> anyhow::Result<()> {
    let path = workspace.root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("can't read {PAGE}"))?;
    let Some((before, rest)) = page.split_once(TABLE_BEGIN) else {
        bail!("{PAGE} has no line {TABLE_BEGIN}");
    };
    let Some((_, after)) = rest.split_once(TABLE_END) else {
        bail!("{PAGE} has no line {TABLE_END}");
    };
    let head = "| bug | seeds until it was caught | what it broke | seconds |\n|---|---|---|---|";
    let page = format!("{before}{TABLE_BEGIN}\n{head}\n{}\n{TABLE_END}{after}", rows.trim());
    fs::write(&path, page).with_context(|| format!("can't write {PAGE}"))?;
    println!("{head}\n{}", rows.trim());
    Ok(())
}
