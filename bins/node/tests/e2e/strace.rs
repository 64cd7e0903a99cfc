//! Errors of system calls in a node's process: Debian's `strace` injects them, and writes down the calls.
//!
//! `cargo xtask test` installs it as root. A user may attach to a process of its own if `kernel.yama.ptrace_scope` is 0;
//! starting a node in this way needs nothing.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::wait_for;
use crate::node::Node;

/// Options for every use: all threads, and the paths behind descriptors.
const ALWAYS: [&str; 3] = ["-f", "-y", "-o"];

/// Calls of a process in which the kernel reports errors.
pub(crate) struct Fault<'a> {
    /// Calls that are written down, such as `fdatasync,write`.
    pub(crate) seen: &'a str,
    /// Calls that fail, the error, and when, such as `fdatasync:error=EIO:when=1`.
    pub(crate) injected: &'a str,
    /// Files in whose calls it happens. They are known by these paths alone, also after they were moved.
    pub(crate) files: &'a [PathBuf],
}

impl Fault<'_> {
    fn words(&self, record: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = ALWAYS.iter().map(OsString::from).collect();
        words.push(record.into());
        words.extend(["-e".into(), format!("trace={}", self.seen).into()]);
        words.extend(["-e".into(), format!("inject={}", self.injected).into()]);
        for file in self.files {
            // The kernel names a descriptor by the path without links.
            words.extend(["-P".into(), fs::canonicalize(file).unwrap().into()]);
        }
        words
    }

    /// Returns the words that start a node's program with this fault, for `Node::started_by`.
    pub(crate) fn starting(&self, record: &Path) -> Vec<OsString> {
        // A tracer of a program that it starts blocks signals unless told otherwise.
        let mut words: Vec<OsString> = ["strace", "-D", "-I2"].map(Into::into).into();
        words.extend(self.words(record));
        words
    }

    /// Injects the fault into a running node from now on; `None`, with a note, where processes can't be traced.
    pub(crate) fn attach(&self, node: &Node, record: PathBuf) -> Option<Tracer> {
        // It also tells of each new thread there, and a pipe that nobody reads any more would end it.
        let said = record.with_extension("said");
        let mut process = Command::new("strace")
            .args(self.words(&record))
            .args(["-p", &node.pid().to_string()])
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let said = wait_for("a tracer says whether it is attached", || {
            let said = fs::read_to_string(&said).unwrap();
            if said.contains('\n') { Ok(said) } else { Err(said) }
        });
        if said.contains("attached") {
            return Some(Tracer { process, record });
        }
        process.wait().unwrap();
        skip(&format!("strace can't attach to a node: {said}"));
        None
    }
}

/// Tracer of a running node. Dropping it lets the node go on without it.
pub(crate) struct Tracer {
    process: Child,
    record: PathBuf,
}

impl Tracer {
    /// Returns the calls so far, one a line.
    pub(crate) fn calls(&self) -> Vec<String> {
        calls(&self.record)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may have ended with the node.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Waits until a fault has come to a node that was started with it, and lets the node go on without it.
pub(crate) fn end_at_first(record: &Path) {
    let thread = wait_for("a fault has come to the node", || {
        let calls = calls(record);
        let fault = calls.iter().find(|call| is_injected(call));
        let thread = fault.and_then(|call| call.split(' ').next().map(str::to_owned));
        thread.ok_or_else(|| format!("; {calls:?}"))
    });
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    if let Some(tracer) = tracer.and_then(|pid| Pid::from_raw(pid.trim().parse().unwrap())) {
        // It may have ended with the node.
        let _ = kill_process(tracer, Signal::TERM);
    }
}

/// Returns the calls that were written down at a path, one a line.
pub(crate) fn calls(record: &Path) -> Vec<String> {
    let text = fs::read(record).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // Ends of threads are told too.
    text.lines().filter(|line| !line.contains("+++ ")).map(str::to_owned).collect()
}

/// Whether a line is a call in which an error was injected.
pub(crate) fn is_injected(call: &str) -> bool {
    call.contains("(INJECTED)")
}

/// Whether processes can be started with faults here; if not, says so.
pub(crate) fn is_here() -> bool {
    let here = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !here {
        skip("`sudo apt-get install strace` brings what injects errors into system calls");
    }
    here
}

/// Notes that a test is left out. In CI it must not be.
fn skip(why: &str) {
    assert!(env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
}
