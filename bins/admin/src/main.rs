//! `jedlik-admin`: the admin tool. Arguments are here; each subject has a module.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "`output` prints, and never panics")]

mod background;
mod bucket;
mod ca;
mod cert;
mod clock;
mod cluster;
mod connection;
mod doctor;
mod engine;
mod exit;
mod explain;
mod hints;
mod members;
mod node;
mod output;
mod repair;
mod table;
mod task;
mod token;
mod transfer_progress;
mod transfers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::connection::ConnectionArgs;
use crate::output::Output;

/// Administers a Jedlik cluster.
#[derive(Debug, Parser)]
#[command(name = "jedlik-admin", version, after_help = AFTER_HELP)]
struct Args {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// The cluster's certificate authority
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Certificates for nodes, admins and clients
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Members and the layout, and changes to them
    Cluster(cluster::ClusterArgs),
    Transfers(transfers::TransfersArgs),
    /// Long-running work: list it, pause it, resume it
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Properties of the cluster's buckets
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    /// Tokens for clients, and limits on clients' certificates
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Maintenance of single nodes
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// The engine that keeps a stopped node's records
    #[command(subcommand)]
    Engine(engine::EngineCommand),
    Explain(explain::ExplainArgs),
    Hints(hints::HintsArgs),
    Repair(repair::RepairArgs),
    /// Hints, anti-entropy, tombstone collection and transfers: their pace, and pauses
    #[command(subcommand)]
    Background(background::BackgroundCommand),
    Doctor(doctor::DoctorArgs),
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done; for doctor: nothing is wrong
  1  for doctor: something is wrong
  2  a wrong argument, profile, certificate or role
  3  unavailable, timed out, or failed in part

The profile, a TOML file with seeds, ca, cert and key, is looked for in this order: --profile,
$JEDLIK_PROFILE, .jedlik/profile.toml here or in a folder above, ~/.config/jedlik/profile.toml.
What changes the cluster needs a certificate of the role admin.

Examples:
  jedlik-admin ca init --dir ca
  jedlik-admin cert issue --ca ca --role node --name n1 --out n1/tls
  jedlik-admin cluster join n4
  jedlik-admin cluster plan
  jedlik-admin cluster commit 0123456789abcdef --wait
  jedlik-admin bucket set carts r=3 durability=written
  jedlik-admin token make shop --write carts --expires 90d
  jedlik-admin explain carts alice
  jedlik-admin doctor";

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()),
    };
    match runtime.block_on(run(args)) {
        Ok(exit) => exit,
        Err(error) => exit::report(&error),
    }
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (connection, output) = (args.connection, Output { json: args.json });
    match args.subject {
        Subject::Ca(command) => ca::run(command, output),
        Subject::Cert(command) => cert::run(command, output),
        Subject::Cluster(args) => cluster::run(&connection, args, output).await,
        Subject::Transfers(args) => transfers::run(&connection, args, output).await,
        Subject::Task(command) => task::run(&connection, command, output).await,
        Subject::Bucket(command) => bucket::run(&connection, command, output).await,
        Subject::Token(command) => token::run(&connection, command, output).await,
        Subject::Node(command) => node::run(&connection, command, output).await,
        Subject::Engine(command) => engine::run(command, output),
        Subject::Explain(args) => explain::run(&connection, args, output).await,
        Subject::Hints(args) => hints::run(&connection, args, output).await,
        Subject::Repair(args) => repair::run(&connection, args, output).await,
        Subject::Background(command) => background::run(&connection, command, output).await,
        Subject::Doctor(args) => doctor::run(&connection, args, output).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Args;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("jedlik-admin").chain(line.split(' ')))
    }

    #[test]
    fn the_arguments_do_not_contradict_one_another() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_takes_its_arguments_beside_the_connections() {
        for line in [
            "ca init --dir ca",
            "cert issue --ca ca --role node --name n1 --out tls --alt-name n1.example --days 30",
            "cert issue --ca ca --role node --name n1 --out tls --node 0123456789abcdef --force",
            "--json --ca-cert ca.pem --cert c.pem --key k.pem --seed a:1 cluster status",
            "cluster plan --json",
            "cluster commit 0123456789abcdef --no-wait",
            "cluster commit 0123456789abcdef --accept-loss 3 --wait --timeout 60 --stall 5",
            "cluster commit 0123456789abcdef --dry-run --via n2",
            "cluster --via n2 status",
            "cluster ring --partition 17",
            "cluster ring --node n3 --json",
            "cluster join n4 n5 --zone b --weight 2 --dry-run",
            "cluster leave n2 n3",
            "cluster remove n3 --dry-run",
            "cluster replace n3 n7 --zone b",
            "cluster set n3 --weight 2",
            "cluster set n3 --zone b",
            "cluster clear",
            "cluster clear n4 n5 --dry-run",
            "cluster wait --timeout 60 --stall 5 --json",
            "cluster wait --timeout 5s --stall 500ms",
            "transfers --watch",
            "node drain n2 --wait --timeout 60",
            "node drain n2 --wait --timeout 2h",
            "node drain n2 --undo",
            "task list --json",
            "task pause",
            "task pause hints:n1",
            "task resume transfers",
            "bucket list",
            "bucket show carts --profile p.toml",
            "bucket set carts r=3 ttl_ms=none",
            "node stats",
            "engine migrate --data-dir data --to lsm --json",
            "explain carts alice --json",
            "explain --escapes carts two\\nlines",
            "hints --watch",
            "hints --wait --timeout 1m --json",
            "repair",
            "repair --partition 17 --node n3 --no-wait",
            "background show --node n1",
            "background pause",
            "background resume",
            "background set --limit 2000 --slowdown 150",
            "doctor --json",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn nonsense_exits_with_the_code_for_usage() {
        for line in [
            "ca init",
            "cert issue --ca ca --role king --name n1 --out tls",
            "cert issue --ca ca --role node --name n1 --out tls --node 7",
            "cluster commit",
            "cluster commit 0123456789abcdef --accept-loss -1",
            "cluster commit 0123456789abcdef --wait --dry-run",
            "cluster commit 0123456789abcdef --wait --no-wait",
            "cluster ring --partition 1 --node n1",
            "cluster join",
            "cluster join n4 --weight 0",
            "cluster leave",
            "cluster remove n1 n2",
            "cluster replace n3",
            "cluster set n3",
            "cluster wait --stall 0",
            "node drain",
            "node drain n2 --undo --wait",
            "task pause tea",
            "task pause hints:",
            "bucket set carts",
            "bucket set carts r",
            "node",
            "engine migrate --to lsm",
            "explain carts",
            "hints --watch --wait",
            "hints --timeout 5",
            "repair --partition many",
            "background",
            "background set",
            "background set --slowdown 100",
            "background set --limit 0",
        ] {
            assert_eq!(parse(line).map(|_| ()).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
