//! The profile: seeds and certificates in a file, so that no command needs five flags.
//!
//! Invariant: a relative path in a profile is relative to the profile's own folder, never to where
//! the command runs.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jedlik_client::{Client, ClientBuilder, Identity, IdentityError};
use serde::Deserialize;
use thiserror::Error;

/// The environment variable that names a profile.
pub const PROFILE_VARIABLE: &str = "JEDLIK_PROFILE";
/// Where a project keeps its profile, in the current directory or one above it.
pub const PROJECT_PROFILE: &str = ".jedlik/profile.toml";

/// How to reach a cluster, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Any of the cluster's nodes, as `host:port`.
    pub seeds: Vec<String>,
    /// The certificate of the cluster's authority.
    pub ca: PathBuf,
    /// The certificate of this client.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// Settings of the command line that go before the profile's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The profile to use, instead of looking for one.
    pub profile: Option<PathBuf>,
    /// Instead of the profile's seeds, if not empty.
    pub seeds: Vec<String>,
    /// Instead of the profile's.
    pub ca: Option<PathBuf>,
    /// Instead of the profile's.
    pub cert: Option<PathBuf>,
    /// Instead of the profile's.
    pub key: Option<PathBuf>,
}

/// Where to look for a profile: a process's environment as a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The value of [`PROFILE_VARIABLE`].
    pub variable: Option<OsString>,
    /// Where the command runs.
    pub directory: PathBuf,
    /// The user's folder for settings.
    pub config_home: Option<PathBuf>,
}

/// Why no profile can be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// There is none. Make one, or give all of `--seed --ca --cert --key`.
    #[error("{0}")]
    NotFound(NotFound),
    /// It can't be read.
    #[error("can't read the profile {path:?}: {source}")]
    Unreadable {
        /// The profile's path as found or given.
        path: PathBuf,
        /// The reason that the system gives.
        source: std::io::Error,
    },
    /// It is not TOML, lacks a key, or has one that is not known.
    #[error("the profile {path:?} is not valid: {source}")]
    Invalid {
        /// The profile's path as found or given.
        path: PathBuf,
        /// The place in the file, and the reason.
        source: toml::de::Error,
    },
    /// There is nobody to talk to.
    #[error("the profile {path:?} names no seeds: add seeds = [\"host:port\"]")]
    NoSeeds {
        /// The profile's path as found or given.
        path: PathBuf,
    },
}

/// Where a profile was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// In the order of the search.
    pub looked_at: Vec<PathBuf>,
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no profile found; looked at:\n")?;
        for path in &self.looked_at {
            writeln!(f, "  {}", path.display())?;
        }
        f.write_str(
            "make one of these four lines (paths are relative to the file):\n  \
             seeds = [\"127.0.0.1:7101\"]\n  ca = \"ca.pem\"\n  cert = \"client.pem\"\n  \
             key = \"client.key\"\nor name one with --profile or $JEDLIK_PROFILE, or give --seed, \
             --ca, --cert and --key; `cargo xtask cluster up` makes one for its own cluster",
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
    /// Those of this process.
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

    /// The profile's path: the variable's, else the first that exists of `.jedlik/profile.toml` here
    /// and in every folder above, then `jedlik/profile.toml` among the user's settings.
    ///
    /// # Errors
    /// None exists; the error lists where it looked.
    pub fn find(&self) -> Result<PathBuf, NotFound> {
        if let Some(named) = &self.variable {
            return Ok(self.directory.join(named));
        }
        let mut looked_at: Vec<PathBuf> =
            self.directory.ancestors().map(|folder| folder.join(PROJECT_PROFILE)).collect();
        looked_at.extend(self.config_home.iter().map(|home| home.join("jedlik/profile.toml")));
        match looked_at.iter().position(|path| path.is_file()) {
            Some(index) => Ok(looked_at.swap_remove(index)),
            None => Err(NotFound { looked_at }),
        }
    }
}

impl Profile {
    /// The profile that a command should use: what `overrides` says, and a file for the rest.
    ///
    /// # Errors
    /// A file is needed but is missing, unreadable or wrong.
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

    /// Reads one file; its relative paths are joined to its folder.
    ///
    /// # Errors
    /// It can't be read or is not a profile.
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

    /// The profile as a file's text, with its paths as they stand.
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

    /// A client's builder with the profile's seeds and certificates.
    ///
    /// # Errors
    /// A certificate can't be used; the error names its file.
    pub fn client(&self) -> Result<ClientBuilder, IdentityError> {
        let identity = Identity::from_pem_files(&self.ca, &self.cert, &self.key)?;
        Ok(Client::builder().seeds(&self.seeds).identity(identity))
    }
}
