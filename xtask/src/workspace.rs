//! Where the workspace and what cargo builds from it lie.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace as cargo describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// The one that this program was built from.
    ///
    /// # Errors
    /// `cargo metadata` fails.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec();
        Ok(Self { metadata: metadata.context("`cargo metadata` fails")? })
    }

    /// What cargo says.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The folder of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where the binaries of a profile are put.
    pub(crate) fn binaries(&self, profile: Profile) -> PathBuf {
        self.metadata.target_directory.as_std_path().join(profile.folder())
    }

    /// Where tools are installed that a fresh machine lacks.
    pub(crate) fn tools(&self) -> PathBuf {
        self.metadata.target_directory.as_std_path().join("tools")
    }

    /// Cargo, run at the root as from a shell.
    ///
    /// What the outer cargo tells this program of its own package would reach build scripts, and
    /// those that look at it would run again whenever xtask and a shell take turns.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(self.root()).args(arguments);
        let ours =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(ours) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Builds the three binaries.
    ///
    /// # Errors
    /// The build fails; cargo has said why.
    pub(crate) fn build(&self, profile: Profile) -> anyhow::Result<()> {
        let mut command = self.cargo(&["build", "--locked"]);
        command.args(["-p", "jedlik-node", "-p", "jedlik-admin", "-p", "jedlik-cli", "--bins"]);
        if profile == Profile::Release {
            command.arg("--release");
        }
        crate::step::run(&mut command)
    }
}

/// How binaries are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// Optimised.
    Release,
    /// Quick to build, with checks.
    Debug,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
        }
    }
}
