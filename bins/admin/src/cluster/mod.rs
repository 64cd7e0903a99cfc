//! `jedlik-admin cluster`: the members, and the layout that says which of them holds what. Changes to it are staged,
//! planned, committed and waited for.

mod commit;
mod own_words;
mod plan;
mod progress;
mod ring;
mod ring_map;
mod stage;
mod staged;
pub(crate) mod status;
#[cfg(test)]
pub(crate) mod tests;
mod via;
mod wait;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(crate) use self::via::Cluster;
use crate::connection::ConnectionArgs;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
A change is staged, then planned, then committed by the plan's hash; nothing moves before that.
NODE is a node's name, its identity, or the first digits of that.

Examples:
  jedlik-admin cluster join n4 n5 --zone b
  jedlik-admin cluster plan
  jedlik-admin cluster commit 0123456789abcdef --wait")]
pub(crate) struct ClusterArgs {
    /// The node to ask; by default the first seed that is up
    #[arg(long, global = true, value_name = "NODE")]
    via: Option<String>,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    Status(status::StatusArgs),
    Ring(ring::RingArgs),
    Join(stage::JoinArgs),
    Leave(stage::LeaveArgs),
    Remove(stage::RemoveArgs),
    Replace(stage::ReplaceArgs),
    Set(stage::SetArgs),
    Clear(stage::ClearArgs),
    Plan(plan::PlanArgs),
    Commit(commit::CommitArgs),
    Wait(wait::WaitArgs),
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    args: ClusterArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    // Mistakes in the arguments are reported before any node is asked.
    if let ClusterCommand::Commit(args) = &args.command {
        args.plan()?;
    }
    let cluster = Cluster::connect(connection, args.via.as_deref()).await?;
    match args.command {
        ClusterCommand::Status(args) => status::run(&cluster, args, output).await,
        ClusterCommand::Ring(args) => ring::run(&cluster, args, output).await,
        ClusterCommand::Join(args) => stage::join(&cluster, args, output).await,
        ClusterCommand::Leave(args) => stage::leave(&cluster, args, output).await,
        ClusterCommand::Remove(args) => stage::remove(&cluster, args, output).await,
        ClusterCommand::Replace(args) => stage::replace(&cluster, args, output).await,
        ClusterCommand::Set(args) => stage::set(&cluster, args, output).await,
        ClusterCommand::Clear(args) => stage::clear(&cluster, args, output).await,
        ClusterCommand::Plan(args) => plan::run(&cluster, args, output).await,
        ClusterCommand::Commit(args) => commit::run(&cluster, args, output).await,
        ClusterCommand::Wait(args) => wait::run(&cluster, args, output).await,
    }
}
