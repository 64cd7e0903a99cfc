//! Results in a file: the conditions, every run, and what other systems said beside them.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::machine::Conditions;
use super::matrix::Row;

/// Everything that was measured in one go.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) conditions: Conditions,
    pub(super) runs: Vec<Run>,
    pub(super) beside: Vec<Said>,
}

/// One measurement and its report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) row: Row,
    /// Report as `jedlik bench --json` has printed it.
    pub(super) report: serde_json::Value,
}

/// Another system's measurement, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) name: String,
    pub(super) line: String,
}

/// Another system and the command that measures it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) name: String,
    pub(super) command: String,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
                Ok(Self { name: name.into(), command: command.into() })
            }
            _ => Err("give a name and a command, such as etcd='pbench --proto etcd'".into()),
        }
    }
}

impl Other {
    /// Returns what is kept of the command's output: its last line.
    ///
    /// # Errors
    /// The command has printed nothing.
    pub(super) fn said(&self, output: &str) -> anyhow::Result<Said> {
        let line = output.lines().rfind(|line| !line.trim().is_empty());
        let line = line.with_context(|| format!("`{}` has printed nothing", self.command))?;
        Ok(Said { name: self.name.clone(), line: line.into() })
    }
}

impl Results {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self { conditions, runs: Vec::new(), beside: Vec::new() }
    }

    /// Reads results from a file.
    ///
    /// # Errors
    /// The file can't be read, or holds something else.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read(path).with_context(|| format!("can't read {shown}"))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{shown} holds no results of `cargo xtask bench`"))
    }

    /// Writes the results in place of those that the file has.
    ///
    /// # Errors
    /// The disk refuses the write.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_string_pretty(self)?)
            .and_then(|()| fs::rename(&fresh, path))
            .with_context(|| format!("can't write the results to {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::Other;

    #[test]
    fn another_system_has_a_name_and_a_command_whose_last_line_counts() {
        let other: Other = "etcd=pbench --op=put".parse().unwrap();
        assert_eq!((&*other.name, &*other.command), ("etcd", "pbench --op=put"));
        assert_eq!(other.said("warming up\n12 puts\n\n").unwrap().line, "12 puts");
        assert!(other.said(" \n").is_err());
        for wrong in ["", "etcd", "etcd=", "=command"] {
            assert!(wrong.parse::<Other>().is_err(), "{wrong}");
        }
    }
}
