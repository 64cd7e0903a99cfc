//! Server of one test process, which stops, is killed, stalls and is started again as its tests want.
//!
//! Invariant: the server and its folder go when the value is dropped, and when the process ends in whatever way: a shell
//! waits for the end of a pipe that only this process holds open.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::database::{Database, sql};

/// Script that ends a process and removes a folder, once nobody is left who could have told it not to.
const WATCH: &str = r#"
read -r word
[ -n "$word" ] && exit
kill -KILL "$1"
for turn in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" && sleep 0.1; done 2>/dev/null
rm -rf "$2"
"#;

/// MariaDB server for tests, in a temporary folder.
#[derive(Debug)]
pub struct PrivateServer {
    folder: TempDir,
    database: Database,
    settings: Vec<String>,
    running: Mutex<Option<Running>>,
}

/// Running server, and the shell that watches over its end.
#[derive(Debug)]
struct Running {
    server: Child,
    watch: Child,
}

impl PrivateServer {
    /// Makes a server and starts it, with `settings` such as `--innodb-buffer-pool-size=64M`. Its folder is in memory
    /// where that can be: syncs of a real disk would take most of the tests' time.
    ///
    /// # Errors
    /// MariaDB's programs are missing and can't be installed, or refuse.
    pub fn start(settings: &[&str]) -> io::Result<Self> {
        let folder =
            named(|builder| builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()))?;
        Self::start_in(folder, settings)
    }

    /// Makes a server as [`Self::start`] does, on the disk of temporary files: for what depends on the disk.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_on_disk(settings: &[&str]) -> io::Result<Self> {
        Self::start_in(named(|builder| builder.tempdir())?, settings)
    }

    fn start_in(folder: TempDir, settings: &[&str]) -> io::Result<Self> {
        let database = Database::prepare(folder.path())?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Self { folder, database, settings, running: Mutex::default() };
        server.start_again(&[])?;
        Ok(server)
    }

    /// Returns the path of the socket on which the server listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.database.socket()
    }

    /// Returns the id of the server's process; `None` while it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(|running| running.server.id())
    }

    /// Runs statements as root, and returns what they print.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        sql(&self.database.socket(), statements)
    }

    /// Starts the server that was stopped or killed, with more `settings`, and waits until it answers.
    ///
    /// # Errors
    /// The server ends at once, or does not answer.
    pub fn start_again(&self, settings: &[&str]) -> io::Result<()> {
        let mut running = self.running();
        if running.is_some() {
            return Err(io::Error::other("the server is running"));
        }
        let usual = self.settings.iter().map(String::as_str);
        let mut server =
            self.database.start(&usual.chain(settings.iter().copied()).collect::<Vec<_>>())?;
        let watch = watch(&server, self.folder.path());
        let ready =
            self.database.await_ready(|| server.try_wait().is_ok_and(|ended| ended.is_some()));
        match (watch, ready) {
            (Ok(watch), Ok(())) => {
                *running = Some(Running { server, watch });
                Ok(())
            }
            (watch, ready) => {
                // It may have ended by itself.
                let _ = server.kill();
                server.wait()?;
                watch.and_then(dismiss).and(ready)
            }
        }
    }

    /// Stops the server cleanly, and waits until it has ended.
    ///
    /// # Errors
    /// The server is not running.
    pub fn stop(&self) -> io::Result<()> {
        self.end(Signal::TERM)
    }

    /// Ends the server at once, as a crash does.
    ///
    /// # Errors
    /// The server is not running.
    pub fn kill(&self) -> io::Result<()> {
        self.end(Signal::KILL)
    }

    /// Lets the server do nothing until [`Self::resume`], though connections stay open.
    ///
    /// # Errors
    /// The server is not running.
    pub fn pause(&self) -> io::Result<()> {
        signal(&self.running(), Signal::STOP)
    }

    /// Lets a server that was paused go on.
    ///
    /// # Errors
    /// The server is not running.
    pub fn resume(&self) -> io::Result<()> {
        signal(&self.running(), Signal::CONT)
    }

    fn end(&self, how: Signal) -> io::Result<()> {
        let mut running = self.running();
        signal(&running, how)?;
        let Some(Running { mut server, watch }) = running.take() else { return Ok(()) };
        server.wait()?;
        dismiss(watch)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // One that was stopped is not running.
        let _ = self.end(Signal::KILL);
    }
}

/// Makes a folder whose name says what it is for.
fn named(
    make: impl FnOnce(&mut tempfile::Builder<'_, '_>) -> io::Result<TempDir>,
) -> io::Result<TempDir> {
    make(tempfile::Builder::new().prefix("jedlik-sql-"))
}

fn signal(running: &Option<Running>, signal: Signal) -> io::Result<()> {
    let pid = running.as_ref().map(|running| running.server.id());
    let pid = pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    let pid = pid.ok_or_else(|| io::Error::other("the server is not running"))?;
    Ok(kill_process(pid, signal)?)
}

/// Starts the shell that watches over the end of `server`.
fn watch(server: &Child, folder: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCH, "watch", &server.id().to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Ends a watch whose server has ended.
fn dismiss(mut watch: Child) -> io::Result<()> {
    if let Some(mut told) = watch.stdin.take() {
        told.write_all(b"over\n")?;
    }
    watch.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::PrivateServer;

    const CHILD: &str = "JEDLIK_SERVICES_CHILD";

    #[test]
    fn a_server_keeps_its_tables_over_a_kill_and_goes_when_it_is_dropped() {
        let server = PrivateServer::start(&[]).unwrap();
        server
            .sql("CREATE DATABASE d; CREATE TABLE d.t (n INT); INSERT INTO d.t VALUES (7)")
            .unwrap();
        for _ in 0..2 {
            server.kill().unwrap();
            assert!(server.sql("SELECT 1").is_err());
            assert!(server.pause().is_err());
            server.start_again(&[]).unwrap();
            assert_eq!(server.sql("SELECT n FROM d.t").unwrap(), "7\n");
        }
        let many: String =
            (0..20_000).map(|n| format!("INSERT INTO d.t VALUES ({n});\n")).collect();
        server.sql(&format!("START TRANSACTION; {many} COMMIT")).unwrap();
        assert_eq!(server.sql("SELECT COUNT(*) FROM d.t").unwrap(), "20001\n");
        server.stop().unwrap();
        server.start_again(&["--read-only"]).unwrap();
        assert_eq!(server.sql("SELECT @@read_only").unwrap(), "1\n");
        let socket = server.socket();
        drop(server);
        assert!(!socket.parent().unwrap().exists());
    }

    #[test]
    fn a_server_ends_with_the_process_that_started_it() {
        if let Some(told) = env::var_os(CHILD) {
            let server = PrivateServer::start(&[]).unwrap();
            fs::write(told, server.socket().to_str().unwrap()).unwrap();
            std::process::abort();
        }
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("socket");
        let ended = Command::new(env::current_exe().unwrap())
            .args(["--exact", "private::tests::a_server_ends_with_the_process_that_started_it"])
            .arg("--nocapture")
            .env(CHILD, &told)
            .output()
            .unwrap();
        assert!(!ended.status.success());
        let socket = fs::read_to_string(told)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ended.stderr)));
        let socket = PathBuf::from(socket);
        let began = Instant::now();
        while socket.parent().unwrap().exists() {
            assert!(began.elapsed() < Duration::from_secs(30), "{} stays", socket.display());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}
