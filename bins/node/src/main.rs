//! `jedlik-node`: runs one node, or checks its configuration.

mod arguments;

use std::process::ExitCode;

use jedlik_server::{logging, process};

/// What a mistake in the configuration or the arguments ends with.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let matches = arguments::command().get_matches();
    let (name, matches) = matches.subcommand().expect("clap demands a subcommand");
    let settings = arguments::settings(matches);
    let shown = settings.to_toml();
    let config = match settings.check() {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if name == "check-config" {
        print!("{shown}");
        return ExitCode::SUCCESS;
    }
    logging::start(&config.log);
    match process::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jedlik-node: {error}");
            ExitCode::FAILURE
        }
    }
}
