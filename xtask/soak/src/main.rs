//! Gives engines one random history, and compares what they hold with one another and with a model, all along.
//!
//! Invariant: a run with the same seed, keys and steps gives every engine the same history.

mod compare;
mod engines;
mod history;
mod model;
mod names;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

use crate::compare::Compared;
use crate::engines::{Engine, Kind};
use crate::history::History;
use crate::model::Model;
use crate::names::Names;

/// Interval between two lines of progress.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Give engines the same random history and compare them all along
///
/// The history has batches of new and overwritten records, deletes, dropped partitions and their sweeps, hints, metadata
/// and reopenings. Records, pages, hints and totals are compared after random steps, and everything at the end.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask soak",
    after_help = "Examples:\n  cargo xtask soak --engines redb,lsm --minutes 1\n  \
                  cargo xtask soak --engines redb,lsm,memory --seed 7 --steps 20000 --keys 1000000"
)]
struct Arguments {
    /// Engines that are compared, two or more.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "redb,lsm")]
    engines: Vec<Kind>,
    /// Time after which the run ends.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Number of steps after which the run ends; by default only the time ends it.
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of the history. A run is repeated by its seed, its number of keys and its number of steps.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of keys that the history is about.
    #[arg(long, default_value_t = 100_000)]
    keys: u32,
    /// Empty folder for the engines' files [default: a temporary one].
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(arguments.engines.len() > 1, "--engines takes two or more, such as redb,lsm");
    anyhow::ensure!(arguments.keys >= 1_000, "--keys takes at least 1000");
    let temporary = tempfile::tempdir().context("can't make a folder for the engines' files")?;
    let dir = arguments.dir.as_deref().unwrap_or(temporary.path());
    let engines: anyhow::Result<Vec<Engine>> = arguments
        .engines
        .iter()
        .enumerate()
        .map(|(place, kind)| Engine::open(*kind, place, dir))
        .collect();
    let mut engines = engines?;
    let names = Names::new(arguments.keys);
    let mut history = History::new(arguments.seed, arguments.keys);
    let mut model = Model::default();
    let mut compared = Compared::default();
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(arguments.minutes * 60.0));
    let (mut reported, mut steps) = (start, 0);
    let again = |steps: u64| {
        format!(
            "again: cargo xtask soak --engines {} --seed {} --keys {} --steps {steps} --minutes 600",
            arguments.engines.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","),
            arguments.seed,
            arguments.keys,
        )
    };
    while start.elapsed() < limit && arguments.steps.is_none_or(|most| steps < most) {
        steps += 1;
        let step = history.next(&model);
        let taken = compare::take(&step, &names, &mut engines, &mut model, &mut compared);
        taken.with_context(|| format!("step {steps}, {}; {}", step.name(), again(steps)))?;
        if reported.elapsed() >= REPORT_INTERVAL {
            reported = Instant::now();
            println!("soak: {steps} steps, {compared}; {}", sizes(&engines)?);
        }
    }
    compare::all(&names, &mut engines, &model, &mut compared)
        .with_context(|| format!("at the end, after {steps} steps; {}", again(steps)))?;
    println!(
        "soak: {steps} steps in {:.0} s, no difference: {compared}",
        start.elapsed().as_secs_f64()
    );
    println!("soak: {}", sizes(&engines)?);
    println!("soak: {}", again(steps));
    Ok(())
}

fn sizes(engines: &[Engine]) -> anyhow::Result<String> {
    let sizes: anyhow::Result<Vec<String>> = engines.iter().map(Engine::size).collect();
    Ok(sizes?.join(", "))
}
