//! `jedlik`: the command-line client. Arguments are here; each command has a module.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "`output` prints, and never panics")]

mod acknowledged;
mod bench;
mod buckets;
mod connection;
mod delete;
mod dump;
mod entry;
mod exit;
mod get;
mod interrupt;
mod keys;
mod load;
mod names;
mod output;
mod parse;
mod progress;
mod put;
mod shown;
mod writer;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::connection::ConnectionArgs;
use crate::exit::Exit;

/// Command-line client of a Jedlik cluster.
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
    Buckets(buckets::BucketsArgs),
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
  130 and 143: load or bench was ended by SIGINT (Ctrl-C) or SIGTERM, and has said how far it came

The profile, a TOML file with seeds, ca, cert and key, is looked for in this order: --profile,
$JEDLIK_PROFILE, .jedlik/profile.toml here or in a folder above, ~/.config/jedlik/profile.toml.

Examples:
  jedlik put carts alice '{\"tea\":1}'
  jedlik get carts alice
  jedlik get --escapes carts 'two\\nlines'
  jedlik load words /usr/share/dict/words
  jedlik dump words --format lines --sort";

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()),
    };
    let done = runtime.block_on(run(args));
    // A thread may still wait for input that is no longer wanted.
    runtime.shutdown_background();
    match done {
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
        Command::Buckets(args) => buckets::run(&connection, args).await,
        Command::Keys(args) => keys::run(&connection, args).await,
        Command::Load(args) => load::run(&connection, args).await,
        Command::Dump(args) => dump::run(&connection, args).await,
        Command::Bench(args) => bench::run(&connection, args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Args, Command};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("jedlik").chain(line.split(' '));
        Args::try_parse_from(words).map(|args| args.command)
    }

    #[test]
    fn the_arguments_do_not_contradict_one_another() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_shows_escapes_and_quotes_as_they_are_typed() {
        let mut command = Args::command();
        let whole = command.render_long_help().to_string();
        assert!(whole.contains("get --escapes carts 'two\\nlines'\n"), "{whole}");
        for command in command.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(!help.contains("\\\""), "{help}");
            let lines = help.lines().filter(|line| line.contains("xargs"));
            lines.for_each(|line| assert!(line.ends_with(" --"), "a key may begin with a dash"));
        }
    }

    #[test]
    fn every_command_takes_its_arguments_beside_the_connections() {
        for line in [
            "put carts alice tea --w 3 --dw all --timeout 500ms --ttl 2m --json",
            "--key k.pem --cert c.pem put carts alice -",
            "put carts alice --file cat.jpg --context Yw== --context-out seen",
            "put carts alice -5",
            "get -e carts two\\nlines",
            "delete carts \\xff --escapes",
            "keys carts -0 --sort",
            "keys carts --null --escapes",
            "put carts alice tea --verbose --return-context",
            "get carts alice --r quorum --pr 1 --n 3 --key k.pem --seed a:1 --seed b:2",
            "delete carts alice --context-in seen",
            "delete carts alice --blind",
            "delete carts -- --blind",
            "keys carts --sort --json",
            "load words - --format lines --concurrency 1 --acked log --replace --fail-fast",
            "dump words --format lines --sort --output file",
            "dump --all --sort --output file",
            "load --all file --keep-properties",
            "buckets --json --r all",
            "bench --mix 20% --clients 256 --seconds 10s --warmup 0s --keys 5 --preload --json",
            "bench --read-modify-write --value-bytes 0",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn nonsense_exits_with_the_code_for_usage() {
        for line in [
            "put carts",
            "put carts alice tea --file x",
            "keys carts --null --json",
            "put carts alice tea --w many",
            "put carts alice tea --verbose --json",
            "put carts alice tea --context !",
            "put carts alice tea --timeout never",
            "put carts alice tea --context Yw== --context-in seen",
            "delete carts alice --blind --context Yw==",
            "load words file --concurrency 0",
            "load words",
            "load words file --all file",
            "load words file --keep-properties",
            "dump words --all",
            "dump --all --format lines",
            "dump",
            "bench --mix 101%",
            "bench --clients 0",
            "fly",
        ] {
            let refused = parse(line).map(|_| ()).err();
            assert_eq!(refused.map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
