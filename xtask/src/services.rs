//! The MariaDB server of development clusters: in the background, on a socket in its own folder.
//!
//! Invariant: every command can be repeated, and ends only the server that the folder's file records.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Subcommand;
use jedlik_services::Database;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::cluster::process::Recorded;
use crate::workspace::Workspace;

/// Folder of the server for which no other is given, relative to the workspace: the one in the usual cluster's folder.
pub(crate) const USUAL_FOLDER: &str = ".jedlik/services";
const STATE: &str = "services.toml";
/// Time in which a server must stop: it writes what is still in memory.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Action on the server.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Action {
    /// Install MariaDB if it is missing, and start a server that listens on a socket in the folder.
    Up,
    /// Stop the server cleanly. Its databases stay.
    Down,
    /// Show whether the server runs.
    Status,
}

/// Server that was started, as the folder's file keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    socket: PathBuf,
    process: Recorded,
}

/// Performs the action in the folder.
///
/// # Errors
/// MariaDB is missing and can't be installed, or its server refuses.
pub(crate) fn run(workspace: &Workspace, folder: &Path, action: Action) -> anyhow::Result<()> {
    let folder = workspace.root().join(folder);
    match action {
        Action::Up => {
            let (database, started) = up(&folder)?;
            let socket = database.socket();
            let state = if started { "listens" } else { "listens already" };
            println!("MariaDB {state} at {}.\n\nNext:", socket.display());
            println!("  mariadb --no-defaults --user=root --socket={}", socket.display());
        }
        Action::Down if down(&folder)? => println!("MariaDB has stopped; its databases stay."),
        Action::Down => println!("MariaDB was not running."),
        Action::Status => match running(&folder)? {
            Some(State { socket, process }) => {
                println!("MariaDB  up, pid {}  {}", process.pid(), socket.display());
            }
            None => println!("MariaDB  down"),
        },
    }
    Ok(())
}

/// Starts the server of a folder, unless it runs. Returns its database, and whether it was started.
pub(crate) fn up(folder: &Path) -> anyhow::Result<(Database, bool)> {
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("can't lock the folder of the server")?;
    let database = Database::prepare(&folder).context("can't make a database")?;
    if running(&folder)?.is_some() {
        return Ok((database, false));
    }
    let server = database.start(&[]).context("can't start MariaDB")?;
    let process = Recorded::of(server.id())?;
    let state = State { socket: database.socket(), process };
    let fresh = folder.join("services.toml.new");
    fs::write(&fresh, toml::to_string(&state)?)?;
    fs::rename(fresh, folder.join(STATE))?;
    let has_ended = || !process.is_running().unwrap_or(true);
    database.await_ready(has_ended).context("MariaDB can't be used")?;
    Ok((database, true))
}

/// Stops the server of a folder cleanly. Returns whether it ran.
pub(crate) fn down(folder: &Path) -> anyhow::Result<bool> {
    let Some(State { process, .. }) = running(folder)? else { return Ok(false) };
    let ended = process.end(Signal::TERM, STOP_LIMIT)?;
    ensure!(ended, "MariaDB (pid {}) hasn't stopped within {STOP_LIMIT:?}", process.pid());
    Ok(true)
}

fn running(folder: &Path) -> anyhow::Result<Option<State>> {
    let path = folder.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    let state: State = toml::from_str(&fs::read_to_string(&path)?)
        .with_context(|| format!("{} is damaged", path.display()))?;
    Ok(state.process.is_running()?.then_some(state))
}

#[cfg(test)]
mod tests {
    use super::{down, running, up};

    #[test]
    fn a_server_is_started_once_and_stopped_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!down(folder.path()).unwrap());
        let (database, started) = up(folder.path()).unwrap();
        assert!(started && database.greets());
        assert!(!up(folder.path()).unwrap().1);
        assert!(running(folder.path()).unwrap().is_some());
        assert!(down(folder.path()).unwrap());
        assert!(!down(folder.path()).unwrap() && !database.greets());
    }
}
