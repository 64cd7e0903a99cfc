//! A matrix of measurements: clusters of its own for each engine, `jedlik bench` in each, and results in a file.
//!
//! Invariant: everything that is compared was measured in turn, round after round, and is stored with the conditions.

mod machine;
mod matrix;
mod results;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::cluster::{self, Action};
use crate::step;
use crate::workspace::Workspace;

use self::machine::Conditions;
use self::matrix::{BUCKET, Matrix, Place, Row};
use self::results::{Other, Results, Run};

/// Folder of the clusters that are measured, relative to the workspace. One that a run has left behind is removed.
const FOLDER: &str = ".jedlik-bench";
/// Clients that write the records before anything is measured.
const PRELOADERS: &str = "64";

/// Arguments of a matrix of measurements, or of a comparison.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Results are written after each run, so that an interrupted one leaves what it has measured. Each engine, size and number
of records gets a cluster of three nodes on loopback in `.jedlik-bench`, which is removed afterwards.

Examples:
  cargo xtask bench --engines redb,lsm --clients 1,64 --rounds 5 --out before.json
  cargo xtask bench --records 10000,1000000 --mix put --durability written
  cargo xtask bench --rate 2000 --popularity zipf --mix 50%
  cargo xtask bench --clients 64 --beside etcd='pbench --proto etcd --op put --conc 64 --secs 10 --nodes ...'
  cargo xtask bench compare before.json after.json"
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    matrix: Matrix,
    /// How often everything is measured, in turn; medians are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement takes: 10s, 2m
    #[arg(long, default_value = "10s", value_name = "TIME")]
    seconds: String,
    /// Command of another system's measurement to run in each round; the last line that it prints is kept
    #[arg(long, value_name = "NAME=COMMAND")]
    beside: Vec<Other>,
    /// Build nothing, and use the programs in this folder [default: an optimised build, linked quickly]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "bench.json")]
    out: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Compare two files of results, row by row.
    Compare {
        /// Results from before a change
        before: PathBuf,
        /// Results from after it
        after: PathBuf,
    },
}

/// Measures the matrix, or compares two results.
///
/// # Errors
/// A cluster can't be started, a measurement fails, or a file can't be read or written.
pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> anyhow::Result<()> {
    if let Some(Task::Compare { before, after }) = &bench.task {
        print!("{}", table::comparison(&Results::read(before)?, &Results::read(after)?)?);
        return Ok(());
    }
    let places = bench.matrix.places();
    let mut results = Results::new(Conditions::now(workspace)?);
    let total = places.len() * bench.rounds as usize;
    for round in 0..bench.rounds {
        for (index, place) in places.iter().enumerate() {
            let number = round as usize * places.len() + index + 1;
            eprintln!("bench: cluster {number} of {total}: {place}");
            let cluster = Measured::begin(workspace, place, bench.binaries.as_deref())?;
            let measured = bench.matrix.rows(place).into_iter().try_for_each(|row| {
                let report = cluster.measure(&row, &bench.seconds)?;
                results.runs.push(Run { row, report });
                results.write(&bench.out)
            });
            cluster.end()?;
            measured?;
        }
        for other in &bench.beside {
            let said = step::output(Command::new("sh").args(["-c", &other.command]))
                .with_context(|| format!("measuring {}", other.name))?;
            results.beside.push(other.said(&said)?);
            results.write(&bench.out)?;
        }
    }
    print!("{}", table::medians(&results));
    println!("\nall of it is in {}", bench.out.display());
    Ok(())
}

/// Cluster that is measured, with its records in place.
struct Measured<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    programs: PathBuf,
}

impl<'a> Measured<'a> {
    fn begin(
        workspace: &'a Workspace,
        place: &Place,
        binaries: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let folder = workspace.root().join(FOLDER);
        if folder.exists() {
            eprintln!("bench: removing the cluster that an earlier run has left in {FOLDER}");
            down(workspace)?;
        }
        let programs = cluster::begin(workspace, Path::new(FOLDER), place.engine, binaries)?;
        let this = Self { workspace, folder, programs };
        let durability = format!("durability={}", place.durability.name());
        let set = ["bucket", "set", BUCKET, &durability];
        step::output(this.tool("jedlik-admin", "admin.toml").args(set))?;
        let mut preload = this.bench();
        preload.args(place.arguments()).args(["--preload", "--mix", "get"]);
        step::output(preload.args(["--clients", PRELOADERS, "--seconds", "1s"]))
            .context("writing the records")?;
        Ok(this)
    }

    /// Returns a tool's command, with one of the cluster's profiles.
    fn tool(&self, name: &str, profile: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("--profile").arg(self.folder.join(profile));
        command
    }

    fn bench(&self) -> Command {
        let mut command = self.tool("jedlik", "profile.toml");
        command.args(["bench", "--json"]);
        command
    }

    fn measure(&self, row: &Row, seconds: &str) -> anyhow::Result<serde_json::Value> {
        let mut command = self.bench();
        command.args(row.arguments()).args(["--seconds", seconds]);
        let report = step::output(&mut command).with_context(|| format!("measuring {row}"))?;
        serde_json::from_str(&report).with_context(|| format!("the report of {row}"))
    }

    fn end(self) -> anyhow::Result<()> {
        down(self.workspace)
    }
}

fn down(workspace: &Workspace) -> anyhow::Result<()> {
    cluster::run(workspace, Path::new(FOLDER), &Action::Down { wipe: true })
}
