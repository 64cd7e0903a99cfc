//! One real node: its files, its process, and its readiness.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_engines::Engine;
use jedlik_ports::free_address;
use rustix::process::{Pid, Signal, kill_process};

use crate::clocks;
use crate::engines;
use crate::tools::{program, tool};

/// Limit on every wait: long enough for a debug build on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Size of a node's journal: small, so that a load fills it many times.
const JOURNAL_BYTES: u32 = 4 << 20;
/// Shell script that mounts a small disk which only the program after it sees, with the folder's former contents, fills
/// it if it is to be `full`, and becomes that program.
const ON_SMALL_DISK: &str = "mkdir -p \"$2.disk\" && mount -t tmpfs -o size=\"$1\"m tmpfs \"$2.disk\" \
    && cp -a \"$2/.\" \"$2.disk/\" || exit 1; \
    if [ \"$3\" = full ]; then head -c 1000M /dev/zero >\"$2.disk/filler\" 2>/dev/null; fi; \
    mount --bind \"$2.disk\" \"$2\" || exit 1; shift 3; exec \"$@\"";

/// A node that may be running. Dropping it kills the process.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Address of the node, chosen at the first start; a restart listens there again.
    pub(crate) address: Option<SocketAddr>,
    /// Size in MiB of a file system for the data directory alone, which ends with the process; `None` for the usual
    /// disk.
    pub(crate) disk_mb: Option<u32>,
    /// Whether the small disk is full when the process starts, by a file called `filler` in the data directory.
    pub(crate) disk_full: bool,
    /// Process whose mount namespace the node's process runs in; `None` for this one's.
    pub(crate) mounts_of: Option<u32>,
    /// Seeds in addition to those that a start names, such as `n1.example:7400`.
    pub(crate) more_seeds: Vec<String>,
    /// Options on the command line, such as `--limits-queue-inputs=64`.
    pub(crate) options: Vec<String>,
    /// Options that name a database of the node's own; none before it needs one.
    database: Vec<String>,
    /// Path of another build of the program; `None` for the tools' own.
    pub(crate) build: Option<PathBuf>,
    /// Words of a program, with its options, that starts the node's and keeps its process id; none for the node's alone.
    pub(crate) started_by: Vec<OsString>,
    /// Destination of standard error; `None` for the file `log`.
    pub(crate) stderr: Option<File>,
    /// Whether the calendar clock can be set.
    has_own_clock: bool,
    child: Option<Child>,
}

impl Node {
    /// Makes a node with a folder that holds its certificate in `tls`; starts nothing.
    pub(crate) fn new(folder: PathBuf, name: &str) -> Self {
        let (address, disk_mb, mounts_of, options) = (None, None, None, Vec::new());
        let (build, stderr, child) = (None, None, None);
        let (name, more_seeds, started_by) = (name.into(), Vec::new(), Vec::new());
        let (disk_full, has_own_clock, database) = (false, false, Vec::new());
        Self {
            name,
            folder,
            address,
            disk_mb,
            disk_full,
            mounts_of,
            more_seeds,
            options,
            database,
            build,
            started_by,
            stderr,
            has_own_clock,
            child,
        }
    }

    /// Starts the node and waits until it serves.
    pub(crate) fn start(&mut self, seeds: &[SocketAddr]) {
        let address = self.try_start(seeds);
        let address =
            address.unwrap_or_else(|| panic!("{} isn't ready:\n{}", self.name, self.log()));
        self.address = Some(address);
    }

    /// Starts the node and returns its address; `None` if it ends before it serves.
    pub(crate) fn try_start(&mut self, seeds: &[SocketAddr]) -> Option<SocketAddr> {
        let hears = self.launch(seeds);
        while let Ok(line) = hears.recv_timeout(LIMIT) {
            if let Some(address) = ready_address(&line) {
                return Some(address);
            }
        }
        self.kill();
        None
    }

    /// Starts the node and waits until it ends by itself, which it must do without ever serving.
    pub(crate) fn start_in_vain(&mut self, seeds: &[SocketAddr]) -> ExitStatus {
        let hears = self.launch(seeds);
        let status = self.wait_for_end();
        assert_eq!(
            hears.iter().find_map(|line| ready_address(&line)),
            None,
            "{} served",
            self.name
        );
        status
    }

    /// Starts the process; the channel receives the lines that it prints.
    pub(crate) fn launch(&mut self, seeds: &[SocketAddr]) -> mpsc::Receiver<String> {
        assert!(self.child.is_none(), "{} is running", self.name);
        let listen = *self.address.get_or_insert_with(|| free_address().unwrap());
        let seeds = seeds.iter().map(ToString::to_string).chain(self.more_seeds.iter().cloned());
        let seeds: Vec<String> = seeds.map(|seed| format!("\"{seed}\"")).collect();
        let (name, seeds, engine) = (&self.name, seeds.join(", "), engines::usual());
        let config = format!(
            "data_dir = \"data\"\nlisten = \"{listen}\"\nseeds = [{seeds}]\nzone = \"{name}\"\nengine = \"{engine}\"\n\n\
             [storage]\njournal_bytes = {JOURNAL_BYTES}\n\n\
             [tls]\nca = \"tls/ca.pem\"\ncert = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n"
        );
        fs::write(self.folder.join("node.toml"), config).unwrap();
        let database = match self.engine() {
            Engine::Mysql if !self.names_server() => self.database().to_vec(),
            _ => Vec::new(),
        };
        let log = || File::options().create(true).append(true).open(self.folder.join("log"));
        let stderr = self.stderr.as_ref().map_or_else(log, File::try_clone).unwrap();
        let mut child = self
            .program()
            .arg("run")
            .arg("--config")
            .arg(self.folder.join("node.toml"))
            .args(&self.options)
            .args(database)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let (said, hears) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once the node is ready.
                let _ = said.send(line);
            }
        });
        self.child = Some(child);
        hears
    }

    /// Sets the node's calendar clock this many seconds ahead of the machine's; works on a running node if it was
    /// started with a clock of its own.
    pub(crate) fn set_clock(&mut self, ahead_s: i64) {
        assert!(
            self.has_own_clock || self.child.is_none(),
            "{} has the machine's clock",
            self.name
        );
        self.has_own_clock = true;
        let new = self.folder.join("clock.new");
        fs::write(&new, format!("{ahead_s:+}\n")).unwrap();
        fs::rename(new, self.folder.join("clock")).unwrap();
    }

    fn program(&self) -> Command {
        let mut node = self.build.as_deref().map_or_else(|| tool("jedlik-node"), program);
        if self.has_own_clock {
            node.env("LD_PRELOAD", clocks::library())
                .env("FAKETIME_TIMESTAMP_FILE", self.folder.join("clock"))
                .env("FAKETIME_CACHE_DURATION", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        if let [starter, options @ ..] = &self.started_by[..] {
            let mut command = Command::new(starter);
            command.args(options).arg(node.get_program());
            return command;
        }
        if let Some(process) = self.mounts_of {
            let mut command = Command::new("nsenter");
            let users = |of: &str| fs::read_link(format!("/proc/{of}/ns/user")).unwrap();
            if users("self") != users(&process.to_string()) {
                command.args(["--user", "--preserve-credentials"]);
            }
            command.args(["--mount", "--target"]);
            command.arg(process.to_string()).arg(node.get_program());
            return command;
        }
        let Some(disk_mb) = self.disk_mb else { return node };
        let data = self.folder.join("data");
        fs::create_dir_all(&data).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK, "sh"]);
        command.arg(disk_mb.to_string()).arg(data);
        command.arg(if self.disk_full { "full" } else { "free" }).arg(node.get_program());
        command
    }

    /// Kills the node with SIGKILL: data that was not on disk is lost. A node that has ended already is fine.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            clocks::forget(child.id());
        }
    }

    /// Stops the node with SIGTERM and waits for its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("a running node");
        let status = child.wait().unwrap();
        clocks::forget(child.id());
        status
    }

    /// Freezes the process with SIGSTOP: it is still there, and does nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process with SIGCONT, as if no time had passed.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Returns the id of the running process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running node").id()
    }

    /// Sends a signal to the running process.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().expect("a running node"));
        kill_process(pid, signal).unwrap();
    }

    /// Deletes the data directory, as the loss of a disk does. The certificate stays. From now on the node may be
    /// started with an empty directory.
    pub(crate) fn lose_disk(&mut self) {
        assert!(self.child.is_none(), "{} is running", self.name);
        fs::remove_dir_all(self.folder.join("data")).unwrap();
        self.options.push("--new".into());
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Whether the node was started, and not ended by the test.
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Waits until the process ends by itself.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running node");
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > LIMIT {
                self.child = Some(child);
                panic!("{} hasn't ended by itself within {LIMIT:?}", self.name);
            }
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Returns everything that the node has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// Returns the engine that the node's options choose, or else the usual one.
    pub(crate) fn engine(&self) -> Engine {
        let chosen = self.options.iter().rev().find_map(|option| option.strip_prefix("--engine="));
        chosen.map_or_else(engines::usual, |name| name.parse().unwrap())
    }

    fn names_server(&self) -> bool {
        self.options.iter().any(|option| option.starts_with("--mysql-socket="))
    }

    /// Returns the options that name the node's own database, which is made the first time. The admin tool has the same.
    pub(crate) fn database(&mut self) -> &[String] {
        if self.database.is_empty() {
            self.database = engines::database().into();
        }
        &self.database
    }

    /// Returns the folders of the shards, in the order of their numbers.
    pub(crate) fn shards(&self) -> Vec<PathBuf> {
        let shards = (0..).map(|number| self.folder.join(format!("data/shard-{number}")));
        shards.take_while(|shard| shard.exists()).collect()
    }

    /// Returns the engine's file, or its folder, in the folder of one shard.
    pub(crate) fn engine_path(&self, shard: u16) -> PathBuf {
        self.folder.join(format!("data/shard-{shard}")).join(self.engine().file_name())
    }

    /// Returns the files of one shard's engine.
    pub(crate) fn engine_files(&self, shard: u16) -> Vec<PathBuf> {
        let folder = self.folder.join(format!("data/shard-{shard}"));
        self.engine().files(&folder).unwrap()
    }

    /// Returns the files in the data directory and its folders for which `wanted` holds.
    pub(crate) fn data_files(&self, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let mut open = vec![self.folder.join("data")];
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if wanted(&path) {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(20)..];
            eprintln!("--- the end of {}'s log ---\n{}", self.name, tail.join("\n"));
        }
    }
}

/// Parses the address in the line `ready node=… name=… address=…`.
fn ready_address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("ready node=")?;
    rest.split(' ').find_map(|word| word.strip_prefix("address="))?.parse().ok()
}
