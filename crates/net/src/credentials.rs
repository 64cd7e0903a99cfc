//! What an endpoint proves itself with: the authority's certificate, its own chain and key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::Identity;

/// The authority's certificate, one's own chain and key, checked to belong together.
#[derive(Debug, Clone)]
pub struct Credentials {
    identity: Arc<Identity>,
}

/// Credentials that can't be used. Nothing was changed.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// Correct the path, or issue the file.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// As the system says.
        source: std::io::Error,
    },
}

impl Credentials {
    /// Reads the three PEM files and checks them.
    ///
    /// # Errors
    /// One can't be read, isn't what it should be, or they don't belong together; the error names
    /// the file and the remedy.
    pub fn load(
        authority: impl AsRef<Path>,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, CredentialsError> {
        let _ = (authority.as_ref(), certificate.as_ref(), key.as_ref());
        unimplemented!("skeleton")
    }

    /// The same from texts in memory.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn from_pem(
        authority: &str,
        certificate: &str,
        key: &str,
    ) -> Result<Self, CredentialsError> {
        let _ = (authority, certificate, key);
        unimplemented!("skeleton")
    }

    /// Whose they are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
