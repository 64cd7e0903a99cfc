//! `jedlik-admin engine`: the engine that keeps a node's records.
//!
//! Invariant: these commands work on the data directory of a node that does not run, and ask no member.

mod mysql;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, stderr};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jedlik_amounts::{bytes, count};
use jedlik_storage::{MigrateError, Migrated, Migration, MigrationProgress, OpenError};
use serde_json::{Value, json};

use crate::exit::Usage;
use crate::output::{self, Output};
use crate::table::{Align, Table};

use mysql::MysqlFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Copy a stopped node's records into another engine, and make that the node's
    ///
    /// Records, hints and all else are copied shard by shard, and both engines are read once more and compared, before
    /// the data directory names the new engine and the old one is removed. Meanwhile both take room on the disk. A
    /// command that was interrupted goes on where it stopped, unless the node was started in between.
    #[command(after_help = "\
The nodes of one cluster may have different engines, so they can be migrated one after the other.
The exit code is 2 if there is nothing to migrate or the node runs, and 3 if something fails: the
node's engine is the old one then.

Example:
  systemctl stop jedlik-node
  jedlik-admin engine migrate --data-dir /var/lib/jedlik --to lsm
  # set engine = \"lsm\" in the node's configuration
  systemctl start jedlik-node")]
    Migrate {
        /// The node's data directory, as in its configuration
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The engine to copy into: redb, lsm or mysql
        #[arg(long, value_name = "ENGINE")]
        to: String,
        #[command(flatten)]
        mysql: MysqlFlags,
    },
}

pub(crate) fn run(command: EngineCommand, output: Output) -> anyhow::Result<ExitCode> {
    let EngineCommand::Migrate { data_dir, to, mysql } = command;
    let opened = match to.as_str() {
        "mysql" => mysql.open(&data_dir)?,
        _ => Migration::open(&data_dir, &to),
    };
    let migration = opened.map_err(explained)?;
    let bar = bar();
    let migrated = migration.run(&mut |progress| {
        show(&bar, progress);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let migrated = migrated.map_err(explained)?;
    output.print(&to_json(&migrated), || to_text(&migrated))?;
    for left in &migrated.left {
        let left = left.display();
        output::say(&format_args!(
            "jedlik-admin: {left} could not be removed; the node does so when it starts"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells mistakes of the user from other failures.
fn explained(error: MigrateError) -> anyhow::Error {
    match &error {
        MigrateError::NoEngine { .. }
        | MigrateError::NothingKept { .. }
        | MigrateError::Already { .. } => Usage(error.to_string()).into(),
        MigrateError::Open(OpenError::InUse { path }) => {
            Usage(format!("the data directory {} is in use: stop its node first", path.display()))
                .into()
        }
        MigrateError::Open(OpenError::NotADataDir { path }) => {
            Usage(format!("{} is not a data directory: it has no node.toml", path.display())).into()
        }
        _ => error.into(),
    }
}

/// Returns the bar of the whole command; hidden unless standard error is a terminal.
fn bar() -> ProgressBar {
    let target = match stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(1), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}%  {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: MigrationProgress) {
    let MigrationProgress { shard, shards, comparing, records, of_records } = progress;
    let doing = if comparing { "comparing" } else { "copying" };
    bar.set_message(format!(
        "{doing} shard {} of {shards}: {records} of {of_records} records",
        shard + 1
    ));
    bar.set_length(of_records.max(1));
    bar.set_position(records);
}

fn to_json(migrated: &Migrated) -> Value {
    let shards = migrated.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard,
            "records": shard.digest.records,
            "hints": shard.digest.hints,
            "digest": shard.digest.to_string(),
            "before_bytes": shard.before_bytes,
            "after_bytes": shard.after_bytes,
        })
    });
    json!({
        "from": migrated.from,
        "to": migrated.to,
        "shards": shards.collect::<Vec<_>>(),
        "left": migrated.left,
    })
}

fn to_text(migrated: &Migrated) -> String {
    let Migrated { from, to, shards, .. } = migrated;
    let mut table = Table::new([
        ("SHARD", Align::Right),
        ("RECORDS", Align::Right),
        ("HINTS", Align::Right),
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
        ("DIGEST", Align::Left),
    ]);
    for shard in shards {
        table.row([
            shard.shard.to_string(),
            shard.digest.records.to_string(),
            shard.digest.hints.to_string(),
            bytes(shard.before_bytes),
            bytes(shard.after_bytes),
            shard.digest.to_string(),
        ]);
    }
    let records = shards.iter().map(|shard| shard.digest.records).sum();
    format!(
        "{table}\nThe node's engine is {to} now, not {from}: {} were copied and compared.\n\
         Next: set engine = \"{to}\" in the node's configuration, and start it.\n",
        count(records, "record")
    )
}
