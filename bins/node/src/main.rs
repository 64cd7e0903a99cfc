//! `jedlik-node`: runs one node, or checks its configuration.

mod arguments;
mod inspect;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use jedlik_server::config::Config;
use jedlik_server::{EmptyDirectory, logging, process};
use serde_json::json;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code for a mistake in the configuration or the arguments.
const EXIT_USAGE: u8 = 2;

/// Exit code for any other failure.
const EXIT_FAILED: u8 = 1;

fn main() -> ExitCode {
    let code = run();
    logging::finish();
    ExitCode::from(code)
}

fn run() -> u8 {
    let matches = arguments::command().get_matches();
    let (name, matches) = matches.subcommand().expect("clap demands a subcommand");
    if name == "inspect-set-aside" {
        return if inspect::run(matches) { 0 } else { EXIT_FAILED };
    }
    let settings = arguments::settings(matches);
    let (shown, running) = (settings.to_toml(), settings.snapshot());
    let config = match settings.check() {
        Ok(config) => config,
        Err(mistakes) => {
            logging::say(&mistakes.to_string());
            return EXIT_USAGE;
        }
    };
    if name == "check-config" {
        if let Err(error) = jedlik_server::check_certificates(&config) {
            logging::say(&format!("jedlik-node: {error}"));
            return EXIT_USAGE;
        }
        return show(&shown);
    }
    if name == "believe-copy" {
        return believe(&config, matches.get_flag("accept-loss"), matches.get_flag("json"));
    }
    logging::start(&config.telemetry.log);
    let empty =
        if matches.get_flag("new") { EmptyDirectory::Refilled } else { EmptyDirectory::Refused };
    let matches = matches.clone();
    let load = Arc::new(move || arguments::settings(&matches));
    match process::run(&config, empty, running, load) {
        Ok(()) => 0,
        Err(error) => {
            logging::say(&format!("jedlik-node: {error}"));
            EXIT_FAILED
        }
    }
}

/// Makes the next start use the data directory as it is, and returns the exit code.
fn believe(config: &Config, accepts_loss: bool, json: bool) -> u8 {
    let path = config.data_dir.display();
    if !accepts_loss {
        logging::say(&format!(
            "jedlik-node: {path} is as it was. If it is believed, everything that was acknowledged after this copy was \
             taken is given up, unless another copy has it, and what was deleted after it may be back; say \
             --accept-loss if that is meant"
        ));
        return EXIT_USAGE;
    }
    match jedlik_server::believe_copy(config) {
        Ok(aside) => {
            let aside = aside.map(|aside| aside.display().to_string());
            let shown = match json {
                true => json!({ "believed": path.to_string(), "set_aside": aside }).to_string(),
                false => format!("the next start uses {path} as it is"),
            };
            if let Some(aside) = aside {
                logging::say(&format!(
                    "jedlik-node: {aside} holds shards that were set aside: if the node has started since the copy \
                     was put there, put it there again"
                ));
            }
            show(&(shown + "\n"))
        }
        Err(error) => {
            logging::say(&format!("jedlik-node: {error}"));
            EXIT_FAILED
        }
    }
}

/// Prints to standard output and returns the exit code; a reader that has closed it is no error.
fn show(text: &str) -> u8 {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            logging::say(&format!("jedlik-node: can't write to standard output: {error}"));
            EXIT_FAILED
        }
        Ok(()) | Err(_) => 0,
    }
}
