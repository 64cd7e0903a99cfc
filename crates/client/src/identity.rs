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

/// Certificates that can't be used. Nothing was changed and nothing was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file can't be read: correct the path, or issue the file.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// Path of the file that can't be read.
        path: PathBuf,
        /// Reason that the operating system gives.
        source: io::Error,
    },
    /// A certificate has expired, or is not valid yet: issue another, or set this machine's clock.
    #[error("{message}")]
    NotValidNow {
        /// Message for people: the file, the times and the remedy.
        message: String,
    },
    /// A file has the wrong contents, or the three don't belong together: issue them again.
    #[error("{message}")]
    Unusable {
        /// Message for people: the file, what is wrong with it and the remedy.
        message: String,
    },
}

impl Identity {
    /// Reads the authority's certificate, the client's own and its key, and checks that they belong together.
    ///
    /// # Errors
    /// A file can't be read or has the wrong contents, or the three don't belong together; the error names the file and
    /// the remedy.
    pub fn from_pem_files(
        ca: impl AsRef<Path>,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, IdentityError> {
        Ok(Self(Credentials::load(ca, cert, key)?))
    }

    /// Reads the same three from PEM texts in memory.
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
