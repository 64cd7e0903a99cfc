//! The workspace's folders, and the programs that cargo builds from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::ci::is_error;
use crate::step;

/// Workspace as cargo describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Finds the workspace that this program was built from.
    ///
    /// # Errors
    /// `cargo metadata` fails.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec();
        Ok(Self { metadata: metadata.context("`cargo metadata` fails")? })
    }

    /// Returns cargo's metadata of the workspace.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the folder of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Returns the folder of a profile's binaries.
    pub(crate) fn binaries(&self, profile: Profile) -> PathBuf {
        self.metadata.target_directory.as_std_path().join(profile.folder())
    }

    /// Returns the folder for tools that a fresh machine lacks.
    pub(crate) fn tools(&self) -> PathBuf {
        self.metadata.target_directory.as_std_path().join("tools")
    }

    /// Returns a cargo command that runs at the root, as from a shell.
    ///
    /// The outer cargo sets variables about this program's package. Build scripts would see them, and those that depend
    /// on them would run again whenever xtask and a shell take turns.
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

    /// Returns the metadata of everything that a build for one target may use, with every feature.
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

    /// Returns the command that builds, optimised, all programs that CI runs. It builds them in one go, since cargo
    /// gives a shared crate other features, and builds it anew, for each set of packages.
    pub(crate) fn release_build(&self) -> Command {
        let mut command = self.cargo(&["build", "--release", "--locked"]);
        command.args(["-p", "jedlik-node", "-p", "jedlik-admin", "-p", "jedlik-cli"]);
        command.args(["-p", "jedlik-sim", "-p", "jedlik-chaos", "-p", "jedlik-soak"]);
        command.args(["--features", "jedlik-node/jemalloc"]);
        quick_to_link(&mut command);
        command
    }

    /// Returns the path of the node that speaks the next protocol.
    pub(crate) fn next_node(&self) -> PathBuf {
        self.binaries(Profile::Release).join("next-protocol/jedlik-node")
    }

    /// Builds the node that speaks the next protocol. Crates without the feature are shared with the usual build. The
    /// binary has the node's name, so it is moved aside; the usual node must be built after it.
    ///
    /// # Errors
    /// The build fails, and leaves notes about why.
    pub(crate) fn build_next(&self, notes: &mut Vec<String>) -> anyhow::Result<()> {
        let mut command = self.release_build();
        command.args(["--features", "jedlik-node/next-protocol", "--bin", "jedlik-node"]);
        step::noted(&mut command, notes, is_error)?;
        let to = self.next_node();
        fs::create_dir_all(to.parent().context("a path without a folder")?)?;
        fs::rename(self.binaries(Profile::Release).join("jedlik-node"), to)?;
        Ok(())
    }

    /// Builds the binaries of the node and of both tools.
    ///
    /// # Errors
    /// The build fails; cargo has printed why.
    pub(crate) fn build(&self, profile: Profile) -> anyhow::Result<()> {
        let mut command = self.cargo(&["build", "--locked"]);
        command.args(["-p", "jedlik-node", "-p", "jedlik-admin", "-p", "jedlik-cli", "--bins"]);
        match profile {
            Profile::Release => {
                eprintln!(
                    "Building the programs: some minutes the first time. (For use in earnest: `cargo build \
                     --profile dist`, which is slower to build.)"
                );
                quick_to_link(command.arg("--release"));
            }
            Profile::Debug => eprintln!("Building the programs, unoptimised."),
        }
        step::run(&mut command)
    }
}

/// Turns link-time optimisation off, unless the environment says otherwise: a first build waits for it, and it gives a
/// tenth of the nodes' processor time.
fn quick_to_link(command: &mut Command) {
    for (name, value) in
        [("CARGO_PROFILE_RELEASE_LTO", "false"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")]
    {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
}

/// Profile in which binaries are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Optimised build, which is slow to make.
    Release,
    /// Debug build, which is quick to make and has more checks.
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
