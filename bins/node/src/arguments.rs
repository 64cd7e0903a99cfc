//! The command line, built from the table of options.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jedlik_server::config::{CONFIG_VARIABLE, ConfigOption, OPTIONS, Settings};

const RUN_EXAMPLES: &str = "\
Examples:
  jedlik-node run --config /etc/jedlik/node.toml
  jedlik-node run --config node.toml --listen 127.0.0.1:7401 --log-filter debug
  JEDLIK_DATA_DIR=/srv/jedlik jedlik-node run --config node.toml
  jedlik-node run --config node.toml --new        # its disk was replaced by an empty one

Every option may stand in the file (with the dot of a section: log.filter is `filter` under [log]),
in the environment, or here; what stands later in this list wins. The node prints a line that
begins with `ready` when it serves, logs to standard error, and stops cleanly on SIGTERM or SIGINT.
SIGHUP has it read its configuration and certificates anew: it takes over log.filter, limits.stop_ms,
background.limit_per_s, background.slowdown_percent and tls.*, and says what else needs a restart.
Exit codes: 0 stopped cleanly, 1 failed, 2 mistaken configuration.";

const CHECK_EXAMPLES: &str = "\
Examples:
  jedlik-node check-config --config /etc/jedlik/node.toml
  jedlik-node check-config --config node.toml --shards 4

Prints what the node would run with, each option with the place that set it, as a file that could
be used again. Exit codes: 0 sound, 2 mistaken, with every mistake on standard error.";

const BELIEVE_ABOUT: &str = "\
Have the node use its data directory as it is, though the cluster remembers more

For a whole cluster that is put back from copies taken at different moments. Run it for each node, while no node runs and
with all copies in their places, then start all nodes. Without it a node takes its copy for an earlier one wherever another
node's copy remembers a later start, and sets it aside. It is said at each node since a node that has started without it has
set its copy aside already.

What this gives up: everything that was acknowledged after this copy was taken, unless another copy has it; and what was
deleted after it may be back. The copies' data is merged: versions that were written side by side become siblings. Until
`jedlik-admin repair` has ended, a get may miss what one copy alone has. The rule ends by itself once all members have been up
together for a minute; then a copy of one node alone is set aside again.";

const BELIEVE_EXAMPLES: &str = "\
Examples:
  jedlik-node believe-copy --config /etc/jedlik/node.toml --accept-loss
  jedlik-node believe-copy --config /etc/jedlik/node.toml --accept-loss --json

Exit codes: 0 done, 1 failed, 2 mistaken configuration or no --accept-loss.";

const INSPECT_ABOUT: &str = "\
List what is in a folder of shards that were set aside

Shows every key that can be read in the folder, with its versions (write and time) and with what was kept for other nodes. DIR is
a folder below the data directory's set-aside/, or a shard's folder in it; the node may run. The folder stays as it is, and
what can't be read ends nothing: how much that is goes to standard error.

Nothing of it is given to the cluster: it may be what was deleted since, or deleted and written anew. With --dump the values come
as `jedlik load` reads them, so that what is missed can be picked out and put again.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  jedlik-node inspect-set-aside /srv/jedlik/set-aside/2026-11-28-generation-7
  jedlik-node inspect-set-aside /srv/jedlik/set-aside/shard-3-1764288000 --bucket carts --json
  jedlik-node inspect-set-aside /srv/jedlik/set-aside/2026-11-28-generation-7 --dump > missed.ndjson
  jedlik load --all missed.ndjson            # after a look into it

Exit codes: 0 shown, 1 failed, 2 mistaken arguments.";

/// Returns the parser of the whole command line.
pub(crate) fn command() -> Command {
    Command::new("jedlik-node")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One node of a Jedlik cluster")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_options(Command::new("run").about("Runs the node until it is told to stop"))
                .arg(Arg::new("new").long("new").action(ArgAction::SetTrue).help(
                    "Start with an empty data directory though the cluster remembers this node: \
                         the others refill it. Has no effect on a directory that is not empty",
                ))
                .after_help(RUN_EXAMPLES),
        )
        .subcommand(
            with_options(
                Command::new("check-config").about("Checks the configuration and shows it"),
            )
            .after_help(CHECK_EXAMPLES),
        )
        .subcommand(
            with_options(Command::new("believe-copy").about(BELIEVE_ABOUT))
                .arg(Arg::new("accept-loss").long("accept-loss").action(ArgAction::SetTrue).help(
                    "Give up what was acknowledged after the copy was taken and no other copy has",
                ))
                .arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .help("Print one line of JSON"),
                )
                .after_help(BELIEVE_EXAMPLES),
        )
        .subcommand(inspect_set_aside())
}

fn inspect_set_aside() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let path = |name: &'static str| Arg::new(name).value_parser(value_parser!(PathBuf));
    Command::new("inspect-set-aside")
        .about(INSPECT_ABOUT)
        .arg(path("dir").value_name("DIR").required(true).help("The folder"))
        .arg(Arg::new("bucket").long("bucket").value_name("BUCKET").help("Only keys of this bucket"))
        .arg(flag("json", "A line of JSON for each key"))
        .arg(flag("dump", "The values, as `jedlik dump --all` writes them").conflicts_with("json"))
        .arg(path("scratch").long("scratch").value_name("DIR").help(
            "Where a copy of what can be read is made meanwhile, as large as the shard [default: the system's folder for \
             temporary files]",
        ))
        .after_help(INSPECT_EXAMPLES)
}

fn with_options(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .env(CONFIG_VARIABLE)
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file (TOML); relative paths in it start at its own folder");
    OPTIONS.iter().fold(command.arg(config), |command, option| command.arg(flag(option)))
}

fn flag(option: &'static ConfigOption) -> Arg {
    let default = option.default.filter(|default| !default.is_empty());
    let mut help = format!("{}. Takes {}", option.about, option.takes);
    if let Some(default) = default {
        help += &format!(" [default: {default}]");
    }
    let arg = Arg::new(option.name).long(option.flag()).value_name("VALUE").help(help);
    if option.list { arg.action(ArgAction::Append).value_delimiter(',') } else { arg }
}

/// Layers the settings: defaults, then the file, the environment and the flags.
pub(crate) fn settings(matches: &ArgMatches) -> Settings {
    let mut settings = Settings::defaults();
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        settings.add_file(path);
    }
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    settings.add_environment(variables);
    for option in &OPTIONS {
        if let Some(values) = matches.get_many::<String>(option.name) {
            settings.add_flag(option.name, values.cloned().collect());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::{command, settings};

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_reaches_its_option() {
        let arguments =
            ["jedlik-node", "run", "--tls-ca", "a.pem", "--seeds", "1.1.1.1:1,2.2.2.2:2"];
        let matches = command().get_matches_from(arguments);
        let shown = settings(matches.subcommand().unwrap().1).to_toml();
        assert!(shown.contains("tls.ca = \"a.pem\""), "{shown}");
        assert!(shown.contains("seeds = [\"1.1.1.1:1\", \"2.2.2.2:2\"]"), "{shown}");
        assert!(shown.contains("# --tls-ca"), "{shown}");
    }
}
