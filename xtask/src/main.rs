//! Everything around the code: a development cluster and its services, the tests, the house rules, CI.
//!
//! Invariant: this program ends only processes that it started, identified by pid and start time together.

mod bench;
mod certs;
mod chaos;
mod ci;
mod cluster;
mod instructions;
mod licences;
mod packages;
mod services;
mod sim;
mod soak;
mod step;
mod test;
mod tidy;
mod wait;
mod words;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::chaos::Chaos;
use crate::cluster::Action;
use crate::sim::Simulation;
use crate::soak::Soak;
use crate::workspace::Workspace;

/// Development tasks around Jedlik's code.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// A cluster on this machine: up, down, status, kill, start.
    Cluster {
        /// Folder for everything of the cluster, relative to the workspace.
        #[arg(long, global = true, default_value = cluster::USUAL_FOLDER)]
        dir: PathBuf,
        #[command(subcommand)]
        action: Action,
    },
    /// A MariaDB server for clusters on the engine mysql: up, down, status. `cluster up --engine mysql` starts it too.
    Services {
        /// Folder for everything of the server, relative to the workspace.
        #[arg(long, global = true, default_value = services::USUAL_FOLDER)]
        dir: PathBuf,
        #[command(subcommand)]
        action: services::Action,
    },
    /// Run every test, or those whose names contain the filter.
    Test {
        /// Part of the tests' names.
        filter: Option<String>,
    },
    /// Run all checks that a change must pass, or one part of them.
    Ci {
        /// The part to run, where several machines share the work; all parts by default.
        #[arg(long, value_enum)]
        only: Option<ci::Part>,
    },
    /// Run simulated clusters with faults, from seeds: `--seeds 100`, or `--seed 7` for one with its trace.
    Sim(Simulation),
    /// Run real nodes with load, faults and changes of the membership: `--minutes 3 --seed 7`; --help says more.
    Chaos(Chaos),
    /// Give storage engines one random history and compare them: `--engines redb,lsm --minutes 1`; --help says more.
    Soak(Soak),
    /// Measure clusters of its own in a matrix of engines, durabilities, sizes and clients, and compare results.
    Bench(Box<Bench>),
    /// Count the instructions of each microbenchmark, or of those whose names match the filter: `instructions merkle`.
    Instructions {
        /// Part of the benchmarks' names.
        filter: Option<String>,
    },
    /// Check the house rules that neither the compiler nor clippy knows.
    Tidy,
    /// Make a development cluster's authority and certificates, and start nothing.
    Certs {
        /// Folder for everything of the cluster, relative to the workspace.
        #[arg(long, default_value = cluster::USUAL_FOLDER)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Cluster { dir, action } => cluster::run(&workspace, dir, action),
        Task::Services { dir, action } => services::run(&workspace, dir, *action),
        Task::Test { filter } => test::run(&workspace, filter.as_deref()),
        Task::Ci { only } => ci::run(&workspace, *only),
        Task::Sim(simulation) => sim::run(&workspace, simulation),
        Task::Chaos(chaos) => chaos::run(&workspace, chaos),
        Task::Soak(soak) => soak::run(&workspace, soak),
        Task::Bench(bench) => bench::run(&workspace, bench),
        Task::Instructions { filter } => instructions::run(&workspace, filter.as_deref()),
        Task::Tidy => tidy::run(&workspace),
        Task::Certs { dir } => cluster::run(&workspace, dir, &Action::Certs),
    }
}
