//! `jedlik`: the command-line client. Arguments here; a module for each command.

mod bench;
mod connection;
mod delete;
mod dump;
mod entry;
mod exit;
mod get;
mod keys;
mod load;
mod parse;
mod progress;
mod put;
mod shown;
mod stamp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::connection::ConnectionArgs;
use crate::exit::Exit;

/// A client of a Jedlik cluster.
#[derive(Debug, Parser)]
#[command(name = "jedlik", version, after_help = AFTER_HELP)]
struct Args {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(put::PutArgs),
    Get(get::GetArgs),
    Delete(delete::DeleteArgs),
    Keys(keys::KeysArgs),
    Load(load::LoadArgs),
    Dump(dump::DumpArgs),
    Bench(bench::BenchArgs),
}

const AFTER_HELP: &str = "\
Exit codes:
  0  found, or done
  1  the key is absent
  2  a wrong argument, profile, certificate or input
  3  unavailable, timed out, or failed in part

The profile, a TOML file with seeds, ca, cert and key, is looked for in this order: --profile,
$JEDLIK_PROFILE, .jedlik/profile.toml here or in a folder above, ~/.config/jedlik/profile.toml.

Examples:
  jedlik put carts alice '{\"tea\":1}'
  jedlik get carts alice
  jedlik load words /usr/share/dict/words
  jedlik dump words --format lines --sort";

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()),
    };
    match runtime.block_on(run(args)) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error),
    }
}

async fn run(args: Args) -> anyhow::Result<Exit> {
    let connection = args.connection;
    match args.command {
        Command::Put(args) => put::run(&connection, args).await,
        Command::Get(args) => get::run(&connection, args).await,
        Command::Delete(args) => delete::run(&connection, args).await,
        Command::Keys(args) => keys::run(&connection, args).await,
        Command::Load(args) => load::run(&connection, args).await,
        Command::Dump(args) => dump::run(&connection, args).await,
        Command::Bench(args) => bench::run(&connection, args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Args;

    #[test]
    fn the_arguments_do_not_contradict_one_another() {
        Args::command().debug_assert();
    }
}
