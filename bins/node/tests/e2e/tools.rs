//! The programs of the workspace, run as people run them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a command has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Its standard output, which has to be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Demands success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Demands this exit code, and a message that says all of `words`.
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:?}");
        }
        self
    }
}

/// One of the workspace's programs: where `cargo xtask test` has built them, or beside this one.
pub(crate) fn tool(name: &str) -> Command {
    let beside = || Path::new(env!("CARGO_BIN_EXE_jedlik-node")).parent().unwrap().to_path_buf();
    let folder = env::var_os("JEDLIK_TEST_BINARIES").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing; run `cargo xtask test`", path.display());
    program(&path)
}

/// The program behind `cargo xtask`: the one that runs these tests, or beside this one.
pub(crate) fn xtask() -> Command {
    env::var_os("JEDLIK_TEST_XTASK")
        .map_or_else(|| tool("jedlik-xtask"), |path| program(Path::new(&path)))
}

/// A program; what the environment says of other clusters is kept from it.
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

/// What `jedlik get --json` has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Sorted.
    pub(crate) values: Vec<String>,
    pub(crate) context: Option<String>,
}

impl Found {
    /// Reads it.
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
