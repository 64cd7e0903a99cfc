//! Folder of one MariaDB server: how it is made, how its server is started, and when that answers.
//!
//! Invariant: a server has nothing outside of its folder, its temporary tables included: one that starts removes all that
//! it finds where it keeps them, those of running servers too.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use crate::packages;

/// Program of the server, which makes the folder's first files with the one after it; the last one is the client.
const SERVER: &str = "mariadbd";
const BOOTSTRAP: &str = "mariadb-install-db";
const CLIENT: &str = "mariadb";
/// Debian's packages that have these programs.
const PACKAGES: [&str; 2] = ["mariadb-server-core", "mariadb-client-core"];
/// Folders in which the programs are looked for.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
/// Time in which a server must answer after its start.
const READY_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// Longest path of a Unix socket that Linux takes, in bytes.
const SOCKET_LIMIT_BYTES: usize = 107;

/// Settings that every server here has, for the sake of little memory and a quick start. What a node asks for is among
/// them, since the defaults are too small for the largest record.
const SETTINGS: [&str; 9] = [
    "--skip-networking",
    "--skip-name-resolve",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=32M",
    "--innodb-flush-method=fsync",
    "--aria-pagecache-buffer-size=1M",
    "--key-buffer-size=1M",
    "--max-allowed-packet=80M",
];

/// Folder of a MariaDB server.
#[derive(Debug, Clone)]
pub struct Database {
    folder: PathBuf,
}

impl Database {
    /// Makes the first files of a server in `folder`, unless they are there.
    ///
    /// # Errors
    /// MariaDB's programs are missing and can't be installed, or refuse.
    pub fn prepare(folder: &Path) -> io::Result<Self> {
        let database = Self { folder: folder.into() };
        let data = database.folder.join("data");
        if data.join("mysql").exists() {
            return Ok(database);
        }
        if database.socket().as_os_str().len() > SOCKET_LIMIT_BYTES {
            let shown = database.socket().display().to_string();
            return Err(io::Error::other(format!("the path of the socket is too long: {shown}")));
        }
        let bootstrap = find(BOOTSTRAP)?;
        find(SERVER)?;
        find(CLIENT)?;
        let tmp = database.folder.join("tmp");
        fs::create_dir_all(&tmp)?;
        // What an attempt that was cut short has left would be in the way.
        let unfinished = database.folder.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let mut command = Command::new(bootstrap);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", unfinished.display()))
            .arg(format!("--tmpdir={}", tmp.display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--innodb-log-file-size=32M", "--innodb-flush-method=fsync"]);
        output(command.args(as_root()).stdin(Stdio::null()))?;
        fs::rename(&unfinished, &data)?;
        Ok(database)
    }

    /// Returns the path of the socket on which the server listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("mysql.sock")
    }

    /// Returns the path of the server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts the server, with `settings` beside the usual ones, in a process group of its own, so that a Ctrl-C here
    /// doesn't reach it. It may not answer yet.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn start(&self, settings: &[&str]) -> io::Result<Child> {
        let shown = |name: &str| self.folder.join(name).display().to_string();
        fs::create_dir_all(self.folder.join("tmp"))?;
        let log = File::options().create(true).append(true).open(self.log())?;
        Command::new(find(SERVER)?)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", shown("data")))
            .arg(format!("--tmpdir={}", shown("tmp")))
            .arg(format!("--socket={}", shown("mysql.sock")))
            .arg(format!("--pid-file={}", shown("pid")))
            .args(SETTINGS)
            .args(settings)
            .args(as_root())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
    }

    /// Waits until the server greets whoever connects. `has_ended` says whether there is nothing to wait for.
    ///
    /// # Errors
    /// The server has ended or takes too long; the message names its log.
    pub fn await_ready(&self, mut has_ended: impl FnMut() -> bool) -> io::Result<()> {
        let began = Instant::now();
        while !self.greets() {
            let what = match (has_ended(), began.elapsed() > READY_LIMIT) {
                (true, _) => "the server has ended",
                (_, true) => "the server does not answer",
                _ => {
                    thread::park_timeout(PAUSE);
                    continue;
                }
            };
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            let path = self.log();
            return Err(io::Error::other(format!(
                "{what}; the end of {}:\n{last}",
                path.display()
            )));
        }
        Ok(())
    }

    /// Whether a server listens and says so.
    #[must_use]
    pub fn greets(&self) -> bool {
        let greeting = || {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes)?;
            // The version of the protocol; an error has 255 in its place.
            io::Result::Ok(bytes[4] == 10)
        };
        greeting().unwrap_or(false)
    }
}

/// Runs statements as the server's root, and returns what they print.
///
/// # Errors
/// The client is missing, the server does not answer, or it refuses a statement.
pub fn sql(socket: &Path, statements: &str) -> io::Result<String> {
    let mut command = Command::new(find(CLIENT)?);
    command
        .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"])
        .arg(format!("--socket={}", socket.display()));
    // An argument takes no more than 128 KiB.
    let mut input = tempfile::tempfile()?;
    input.write_all(statements.as_bytes())?;
    input.rewind()?;
    output(command.stdin(input))
}

/// Makes sure that MariaDB's programs are there.
///
/// # Errors
/// One is missing and can't be installed; the message names the packages that have it.
pub fn have_programs() -> io::Result<()> {
    [SERVER, BOOTSTRAP, CLIENT].into_iter().try_for_each(|name| find(name).map(drop))
}

/// Returns the path of a program, whose packages are installed if that takes no more than being root.
fn find(name: &str) -> io::Result<PathBuf> {
    let look = || FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|at| at.exists());
    if let Some(found) = look() {
        return Ok(found);
    }
    // Several threads may come by here at once, and one attempt says all there is to know.
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| packages::install(&PACKAGES));
    look().ok_or_else(|| {
        let packages = PACKAGES.join(" ");
        io::Error::other(format!("{name} is missing; `sudo apt-get install {packages}` brings it"))
    })
}

/// Returns the argument that a server of root's asks for.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    let program = command.get_program().to_string_lossy().into_owned();
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        return Err(io::Error::other(format!("{program} failed: {}", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
