//! A client's identity: the certificates that it shows to nodes and checks nodes by.

use std::io;
use std::path::{Path, PathBuf};

use jedlik_net::{Credentials, CredentialsError};
use thiserror::Error;

/// A client's certificate and key, and the certificate of the cluster's authority; clones share them.
///
/// `jedlik-admin cert issue --role client` makes the three files.
#[derive(Debug, Clone)]
pub struct Identity(pub(crate) Credentials);

/// Certificates that can't be used. Nothing was changed, and nobody was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file can't be read: correct the path, or issue the file.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file that can't be read.
        path: PathBuf,
        /// The reason that the system gives.
        source: io::Error,
    },
    /// A certificate has expired, or is not valid yet: issue another, or set this machine's clock.
    #[error("{message}")]
    NotValidNow {
        /// The file, the times and the remedy, for people.
        message: String,
    },
    /// A file is not what it should be, or the three don't belong together: issue them again.
    #[error("{message}")]
    Unusable {
        /// The file, what is wrong with it and the remedy, for people.
        message: String,
    },
}

impl Identity {
    /// Reads the authority's certificate, the client's own and its key, and checks that they belong together.
    ///
    /// # Errors
    /// A file can't be read, isn't what it should be, or they don't belong together; the error names the file
    /// and the remedy.
    pub fn from_pem_files(
        ca: impl AsRef<Path>,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, IdentityError> {
        Ok(Self(Credentials::load(ca, cert, key)?))
    }

    /// Takes the three from texts in memory.
    ///
    /// # Errors
    /// As for [`Self::from_pem_files`].
    pub fn from_pem(ca: &str, cert: &str, key: &str) -> Result<Self, IdentityError> {
        Ok(Self(Credentials::from_pem(ca, cert, key)?))
    }
}

#[doc(hidden)]
impl From<CredentialsError> for IdentityError {
    fn from(error: CredentialsError) -> Self {
        let message = error.to_string();
        match error {
            CredentialsError::Read { path, source } => Self::Unreadable { path, source },
            CredentialsError::NotValidNow { .. } => Self::NotValidNow { message },
            _ => Self::Unusable { message },
        }
    }
}
