//! `cargo xtask chaos`: real nodes under load and real faults, judged by the simulator's promises.
//!
//! Invariant: it ends only processes that it started, and leaves nothing behind, however it ends.

mod chance;
mod changes;
mod chronicle;
mod clock;
mod cluster;
mod command;
mod databases;
mod engines;
mod faults;
mod judge;
mod load;
mod network;
mod node;
mod plan;
mod record;
mod report;
mod rest;
mod run;
mod trace;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::chronicle::print;
use crate::cluster::Cluster;
use crate::engines::Engines;
use crate::network::Network;
use crate::report::Report;

/// Exit code if the run could not be made, or did not come to its end.
const FAILED: u8 = 2;
const INTERRUPTED: u8 = 130;
/// Lines of a trace that are printed, from its end; the file has all.
const TRACE_LINES: usize = 120;

/// Runs real nodes with load and faults, and checks that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How many minutes clients run; the checks come after that
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Seed that determines the faults, their times and their nodes [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Members at the start
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=9))]
    nodes: u16,
    /// Engine of every node: redb, lsm or mysql; or mixed, for nodes that have different ones
    #[arg(long, default_value = "redb")]
    engine: Engines,
    /// Folder for everything while it runs [default: the folder for temporary files]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Sessions that write [default: 16, or 6 in runs under two minutes]
    #[arg(long)]
    writers: Option<u16>,
    /// Sessions that only read [default: as many]
    #[arg(long)]
    readers: Option<u16>,
    /// How many keys the sessions share
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..))]
    keys: u16,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of jedlik-node and jedlik-admin [default: beside this program]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Don't use network namespaces
    #[arg(long)]
    processes_only: bool,
    /// Make faults only: no node joins, leaves or is replaced
    #[arg(long)]
    no_changes: bool,
    /// Destroy N disks at once in the middle: a breach that must be found
    #[arg(long)]
    sabotage: bool,
    /// Keep logs and data
    #[arg(long)]
    keep: bool,
    /// Show the plan, and do nothing
    #[arg(long)]
    dry_run: bool,
}

const AFTER_HELP: &str = "\
As root each node has a network namespace of its own, and can be cut off and held up; otherwise nodes
are processes that are killed and stopped. Nodes on mysql have a MariaDB of the run's own, which is killed and
stopped too.
Exit codes: 0 nothing is lost, 1 a promise is broken, 2 the run failed, 130 interrupted.

Examples:
  cargo xtask chaos --minutes 3 --seed 7
  cargo xtask chaos --minutes 3 --engine mixed
  cargo xtask chaos --minutes 30 --json chaos.json
  cargo xtask chaos --minutes 1 --processes-only";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(guarded(arguments)));
    done.unwrap_or_else(|error| {
        eprintln!("chaos: {error:#}");
        ExitCode::from(FAILED)
    })
}

/// Makes a run, and removes everything again, however the run ends.
async fn guarded(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let plan = run::Planned::new(&arguments)?;
    print(&plan.to_string());
    if arguments.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let binaries = match &arguments.binaries {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?.parent().context("a program in no folder")?.into(),
    };
    for binary in ["jedlik-node", "jedlik-admin"] {
        ensure!(binaries.join(binary).exists(), "{binary} isn't in {}", binaries.display());
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let prefix = format!("jc{}", std::process::id());
    let folder = arguments.dir.clone().unwrap_or_else(std::env::temp_dir).join(&prefix);
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let network = Network::new(&prefix, !arguments.processes_only).await;
    let network = network.inspect_err(|_| drop(fs::remove_dir(&folder)))?;
    let cluster = Arc::new(Cluster::new(folder, binaries, network, arguments.engine));
    let done = tokio::select! {
        done = run::run(&cluster, &plan) => done.map(Some),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
        _ = hang_up.recv() => Ok(None),
    };
    for left in cluster.tear_down(arguments.keep).await {
        eprintln!("chaos: left behind: {left}");
    }
    match done? {
        Some(report) => tell(&report, &arguments),
        None => {
            eprintln!("chaos: interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

fn tell(report: &Report, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    for broken in &report.broken {
        print(&format!("\nBROKEN {}{}", broken.key.as_deref().unwrap_or_default(), broken.what));
        let first = broken.trace.len().saturating_sub(TRACE_LINES);
        if first > 0 {
            print(&format!("  ({first} earlier lines are in the file of --json)"));
        }
        broken.trace[first..].iter().for_each(|line| print(&format!("  {line}")));
    }
    print(&format!("\n{report}"));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(report)?;
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
