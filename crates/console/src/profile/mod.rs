//! The profile: seeds and certificates in a file, so that no command needs five flags.
//!
//! Invariant: a relative path in a profile is relative to the profile's own folder, never to the current directory.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jedlik_client::{Client, ClientBuilder, Identity, IdentityError};
use serde::Deserialize;
use thiserror::Error;

/// Name of the environment variable that holds a profile's path.
pub const PROFILE_VARIABLE: &str = "JEDLIK_PROFILE";
/// Path of a project's profile, relative to the current directory or one above it.
pub const PROJECT_PROFILE: &str = ".jedlik/profile.toml";

/// Seeds and certificates with which a client reaches a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Seeds of the client: any of the cluster's nodes, as `host:port`.
    pub seeds: Vec<String>,
    /// Path of the certificate of the cluster's authority.
    pub ca: PathBuf,
    /// Path of this client's certificate.
    pub cert: PathBuf,
    /// Path of the certificate's private key.
    pub key: PathBuf,
}

/// Settings of the command line, which override the profile's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Path of the profile to use; `None` to search for one.
    pub profile: Option<PathBuf>,
    /// Seeds that replace the profile's, unless empty.
    pub seeds: Vec<String>,
    /// Path that replaces the profile's `ca`.
    pub ca: Option<PathBuf>,
    /// Path that replaces the profile's `cert`.
    pub cert: Option<PathBuf>,
    /// Path that replaces the profile's `key`.
    pub key: Option<PathBuf>,
}

/// Places to search for a profile: a process's environment as a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Value of [`PROFILE_VARIABLE`], if it is set.
    pub variable: Option<OsString>,
    /// Current directory of the command.
    pub directory: PathBuf,
    /// Folder of the user's settings, if there is one.
    pub config_home: Option<PathBuf>,
}

/// Reason why no profile can be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// There is no profile. Make one, or give a seed, the certificates and the key as flags.
    #[error("{0}")]
    NotFound(NotFound),
    /// The profile can't be read.
    #[error("can't read the profile {path:?}: {source}")]
    Unreadable {
        /// Path of the profile, as found or given.
        path: PathBuf,
        /// Reason that the operating system gives.
        source: std::io::Error,
    },
    /// The profile is not TOML, lacks a key, or has an unknown one.
    #[error("the profile {path:?} is not valid: {source}")]
    Invalid {
        /// Path of the profile, as found or given.
        path: PathBuf,
        /// Place in the file, and the reason.
        source: toml::de::Error,
    },
    /// The profile has no seeds, and the command line gives none.
    #[error("the profile {path:?} names no seeds: add seeds = [\"host:port\"]")]
    NoSeeds {
        /// Path of the profile, as found or given.
        path: PathBuf,
    },
}

/// Places where a profile was looked for in vain. The message says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// Path of the project's profile in the current directory, where the search began. The folders above were searched
    /// for the same.
    pub project: PathBuf,
    /// Path of the user's own profile, if there is a folder for the user's settings.
    pub user: Option<PathBuf>,
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no profile says where the cluster is\nlooked for:\n")?;
        writeln!(f, "  {}, and in each folder above", self.project.display())?;
        if let Some(user) = &self.user {
            writeln!(f, "  {}", user.display())?;
        }
        f.write_str(
            "do one of these:\n  \
             go to the folder where `cargo xtask cluster up` started a cluster\n  \
             name a profile with --profile FILE, or with $JEDLIK_PROFILE\n  \
             give a seed and all three certificate files as flags: see --help\n  \
             make a profile of these four lines; its paths are relative to the file:\n    \
             seeds = [\"127.0.0.1:7101\"]\n    ca = \"ca.pem\"\n    cert = \"cert.pem\"\n    key = \"key.pem\"",
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seeds: Vec<String>,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Environment {
    /// Returns the environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let config_home = std::env::var_os("XDG_CONFIG_HOME")
            .filter(|home| !home.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        Self {
            variable: std::env::var_os(PROFILE_VARIABLE).filter(|value| !value.is_empty()),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            config_home,
        }
    }

    /// Finds the profile's path: the variable's value, otherwise the first that exists of `.jedlik/profile.toml` in the
    /// current directory and in every folder above it, then `jedlik/profile.toml` among the user's settings.
    ///
    /// # Errors
    /// No profile exists; the error names the places searched.
    pub fn find(&self) -> Result<PathBuf, NotFound> {
        if let Some(named) = &self.variable {
            return Ok(self.directory.join(named));
        }
        let project = self.directory.join(PROJECT_PROFILE);
        let user = self.config_home.as_ref().map(|home| home.join("jedlik/profile.toml"));
        let projects = self.directory.ancestors().map(|folder| folder.join(PROJECT_PROFILE));
        let found = projects.chain(user.clone()).find(|path| path.is_file());
        found.ok_or(NotFound { project, user })
    }
}

impl Profile {
    /// Returns the profile for a command: the settings in `overrides`, and a file for the rest.
    ///
    /// # Errors
    /// A file is needed, but it is missing, unreadable or invalid.
    pub fn load(overrides: Overrides, around: &Environment) -> Result<Self, ProfileError> {
        if let (None, false, Some(ca), Some(cert), Some(key)) = (
            &overrides.profile,
            overrides.seeds.is_empty(),
            &overrides.ca,
            &overrides.cert,
            &overrides.key,
        ) {
            let (ca, cert, key) = (ca.clone(), cert.clone(), key.clone());
            return Ok(Self { seeds: overrides.seeds, ca, cert, key });
        }
        let path = match overrides.profile {
            Some(path) => path,
            None => around.find().map_err(ProfileError::NotFound)?,
        };
        let mut profile = Self::read(&path)?;
        if !overrides.seeds.is_empty() {
            profile.seeds = overrides.seeds;
        }
        for (place, given) in [
            (&mut profile.ca, overrides.ca),
            (&mut profile.cert, overrides.cert),
            (&mut profile.key, overrides.key),
        ] {
            if let Some(given) = given {
                *place = given;
            }
        }
        if profile.seeds.is_empty() {
            return Err(ProfileError::NoSeeds { path });
        }
        Ok(profile)
    }

    /// Reads one profile file; its relative paths are joined to its folder.
    ///
    /// # Errors
    /// The file can't be read or is not a profile.
    pub fn read(path: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProfileError::Unreadable { path: path.into(), source })?;
        let file: File = toml::from_str(&text)
            .map_err(|source| ProfileError::Invalid { path: path.into(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Self {
            seeds: file.seeds,
            ca: folder.join(file.ca),
            cert: folder.join(file.cert),
            key: folder.join(file.key),
        })
    }

    /// Formats the profile as a file's text, with its paths as they are.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.into()).to_string();
        let seeds: Vec<String> = self.seeds.iter().map(|seed| quoted(seed)).collect();
        let mut text = format!("seeds = [{}]\n", seeds.join(", "));
        for (name, path) in [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)] {
            writeln!(text, "{name} = {}", quoted(&path.to_string_lossy()))
                .expect("writing into memory can't fail");
        }
        text
    }

    /// Returns a client's builder with the profile's seeds and certificates.
    ///
    /// # Errors
    /// A certificate can't be used; the error names its file.
    pub fn client(&self) -> Result<ClientBuilder, IdentityError> {
        let identity = Identity::from_pem_files(&self.ca, &self.cert, &self.key)?;
        Ok(Client::builder().seeds(&self.seeds).identity(identity))
    }
}
