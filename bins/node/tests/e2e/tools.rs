//! The programs of the workspace, run as people run them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Exit code and outputs of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Parses standard output, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that the command succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Asserts this exit code, and a message that contains all of `words`.
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:?}");
        }
        self
    }
}

/// Returns a command for one of the workspace's programs: as built by `cargo xtask test`, or beside this one.
pub(crate) fn tool(name: &str) -> Command {
    let beside = || Path::new(env!("CARGO_BIN_EXE_jedlik-node")).parent().unwrap().to_path_buf();
    let folder = env::var_os("JEDLIK_TEST_BINARIES").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing; run `cargo xtask test`", path.display());
    program(&path)
}

/// Returns a command for the program behind `cargo xtask`: the one that runs these tests, or the one beside this.
pub(crate) fn xtask() -> Command {
    env::var_os("JEDLIK_TEST_XTASK")
        .map_or_else(|| tool("jedlik-xtask"), |path| program(Path::new(&path)))
}

/// Notes that a test is left out since this system or this user lacks something. In CI it must not be if the tests run
/// as root, who lacks nothing.
pub(crate) fn leave_out(why: &str) {
    let must_run = env::var_os("CI").is_some() && rustix::process::geteuid().is_root();
    assert!(!must_run, "{why}");
    eprintln!("skipped: {why}");
}

/// Returns a command for a program, without the environment's variables about other clusters.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("JEDLIK_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Values and context in the output of `jedlik get --json`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Values of the siblings, sorted.
    pub(crate) values: Vec<String>,
    pub(crate) context: Option<String>,
}

impl Found {
    /// Parses the output of `jedlik get --json`.
    pub(crate) fn read(said: &Said) -> Self {
        let json = said.json();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let siblings = json["siblings"].as_array().unwrap_or_else(|| panic!("{said:?}"));
        let mut values: Vec<String> =
            siblings.iter().filter_map(|sibling| text(&sibling["value"])).collect();
        values.sort_unstable();
        Self { values, context: text(&json["context"]) }
    }
}
