//! The cluster's certificate authority: makes it, keeps it in two files, issues certificates from it.

use std::path::Path;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use thiserror::Error;

use crate::Role;

/// The name of the authority's certificate within its folder.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// The name of the authority's key within its folder.
pub const KEY_FILE: &str = "ca.key";

/// An authority that can't be made, kept or used.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The name has characters that a certificate can't carry.
    #[error(transparent)]
    Name(#[from] crate::InvalidName),
}

/// One cluster's authority, key included.
pub struct Authority {
    cluster: ClusterId,
    certificate_pem: String,
}

/// Whom a certificate is for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it may do.
    pub role: Role,
    /// For people: a-z, 0-9 and hyphens.
    pub name: String,
    /// Which node; needed for [`Role::Node`] and for no other.
    pub node: Option<NodeId>,
    /// Further DNS names and IP addresses, such as a browser or a load balancer checks.
    pub extra_names: Vec<String>,
    /// How long it is valid.
    pub valid_days: u32,
}

/// A certificate and its key, in PEM.
pub struct IssuedCertificate {
    /// Public.
    pub certificate_pem: String,
    /// Secret.
    pub key_pem: String,
}

impl Subject {
    /// A member.
    #[must_use]
    pub fn node(node: NodeId, name: impl Into<String>) -> Self {
        Self { node: Some(node), ..Self::of(Role::Node, name) }
    }

    /// One who may change the cluster.
    #[must_use]
    pub fn admin(name: impl Into<String>) -> Self {
        Self::of(Role::Admin, name)
    }

    /// One who may use the data.
    #[must_use]
    pub fn client(name: impl Into<String>) -> Self {
        Self::of(Role::Client, name)
    }

    fn of(role: Role, name: impl Into<String>) -> Self {
        Self { role, name: name.into(), node: None, extra_names: Vec::new(), valid_days: 730 }
    }
}

impl Authority {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn create(cluster: ClusterId) -> Result<Self, AuthorityError> {
        Ok(Self { cluster, certificate_pem: String::new() })
    }

    /// Reads [`CERTIFICATE_FILE`] and [`KEY_FILE`].
    ///
    /// # Errors
    /// A file can't be read or is not an authority's; the error names it.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        let _ = folder;
        unimplemented!("skeleton")
    }

    /// Writes [`CERTIFICATE_FILE`] and [`KEY_FILE`] (mode 0600), making the folder where needed.
    ///
    /// # Errors
    /// A file is there already: an authority is never overwritten. Or it can't be written.
    pub fn save(&self, folder: &Path) -> Result<(), AuthorityError> {
        let _ = folder;
        unimplemented!("skeleton")
    }

    /// Issues a certificate with a fresh key.
    ///
    /// # Errors
    /// A name in `subject` can't stand in a certificate.
    pub fn issue(&self, subject: &Subject) -> Result<IssuedCertificate, AuthorityError> {
        let _ = subject;
        unimplemented!("skeleton")
    }

    /// Whose authority.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What every member needs to know it by.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

impl IssuedCertificate {
    /// Writes the two files, the key with mode 0600; files that are there are replaced.
    ///
    /// # Errors
    /// A file can't be written; the error names it.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        let _ = (certificate, key);
        unimplemented!("skeleton")
    }
}
