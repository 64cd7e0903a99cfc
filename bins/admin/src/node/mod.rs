//! `jedlik-admin node`: single nodes: their counters, and maintenance.

mod believe;
mod drain;
mod keep;
mod stats;

use std::process::ExitCode;

use clap::Subcommand;

use crate::connection::ConnectionArgs;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show the counters of every node
    Stats,
    Drain(drain::DrainArgs),
    Believe(believe::BelieveArgs),
    Keep(keep::KeepArgs),
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    command: NodeCommand,
    output: Output,
) -> anyhow::Result<ExitCode> {
    match command {
        NodeCommand::Stats => stats::run(connection, output).await,
        NodeCommand::Keep(args) => keep::run(connection, args, output).await,
        NodeCommand::Drain(args) => drain::run(connection, args, output).await,
        NodeCommand::Believe(args) => believe::run(connection, args, output).await,
    }
}
