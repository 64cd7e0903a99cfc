//! Where the workspace and what cargo builds from it lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::ci::is_error;
use crate::step;

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

    /// What a build for one target may use, with every feature.
    ///
    /// # Errors
    /// `cargo metadata` fails.
    pub(crate) fn whole_graph(&self, target: &str) -> anyhow::Result<Metadata> {
        let mut command = MetadataCommand::new();
        command.manifest_path(self.root().join("Cargo.toml"));
        command.features(CargoOpt::AllFeatures);
        let options = ["--locked", "--filter-platform", target];
        command.other_options(options.map(str::to_owned).to_vec());
        command.exec().context("`cargo metadata` fails")
    }

    /// The command that builds, released, all programs that CI runs: in one go, since cargo gives a shared crate
    /// other features, and builds it anew, for each set of packages that it is asked for.
    pub(crate) fn release_build(&self) -> Command {
        let mut command = self.cargo(&["build", "--release", "--locked"]);
        command.args(["-p", "jedlik-node", "-p", "jedlik-admin", "-p", "jedlik-cli"]);
        command.args(["-p", "jedlik-sim", "-p", "jedlik-chaos"]);
        command
    }

    /// Where the node that speaks the next protocol is.
    pub(crate) fn next_node(&self) -> PathBuf {
        self.binaries(Profile::Release).join("next-protocol/jedlik-node")
    }

    /// Builds the node that speaks the next protocol, from the same crates as the others where they are the same. It
    /// has the node's name, so it is moved aside; the node's own build comes after it.
    ///
    /// # Errors
    /// The build fails, and notes why.
    pub(crate) fn build_next(&self, notes: &mut Vec<String>) -> anyhow::Result<()> {
        let mut command = self.release_build();
        command.args(["--features", "jedlik-node/next-protocol", "--bin", "jedlik-node"]);
        step::noted(&mut command, notes, is_error)?;
        let to = self.next_node();
        fs::create_dir_all(to.parent().context("a path without a folder")?)?;
        fs::rename(self.binaries(Profile::Release).join("jedlik-node"), to)?;
        Ok(())
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
        step::run(&mut command)
    }
}

/// How binaries are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
