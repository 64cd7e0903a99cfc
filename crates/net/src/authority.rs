//! The cluster's certificate authority: makes it, keeps it in two files, issues certificates from it.
//!
//! Invariant: an authority is never overwritten, and a key's file is readable by its owner alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jedlik_atomicfile::{AtomicFile, Readers};
use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use crate::identity::{authority_cluster, authority_dns_name, check_name};
use crate::{Identity, InvalidName, Role};

/// The name of the authority's certificate within its folder.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// The name of the authority's key within its folder.
pub const KEY_FILE: &str = "ca.key";
/// How long an authority is valid.
pub const AUTHORITY_DAYS: u32 = 7300;
/// How long a certificate is valid, unless its subject says otherwise.
pub const CERTIFICATE_DAYS: u32 = 730;

/// Certificates are valid from so long before their issue, for machines whose clocks are behind.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority that can't be made, kept or used.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The name has characters that a certificate can't carry.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Give a node's certificate the node's identity, and no other role's.
    #[error("a certificate for the role {role} was asked for {} a node's identity", if *given { "with" } else { "without" })]
    Node {
        /// Which.
        role: Role,
        /// Whether there was one.
        given: bool,
    },
    /// A DNS name with characters outside ASCII, or a fault of the library.
    #[error("the certificate can't be made: {reason}")]
    Make {
        /// As the library says.
        reason: String,
    },
    /// Correct the path, or see to the folder's permissions.
    #[error("can't read or write {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// Replacing an authority would cut off every member: move the file away if that is meant.
    #[error("{} exists already; an authority is never overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Another file was meant, or it is damaged.
    #[error("{} is not {what}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
}

/// One cluster's authority, key included.
pub struct Authority {
    cluster: ClusterId,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
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
        let extra_names = Vec::new();
        Self { role, name: name.into(), node: None, extra_names, valid_days: CERTIFICATE_DAYS }
    }
}

impl Authority {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn create(cluster: ClusterId) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(make)?;
        let mut params = authority_params(cluster);
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(authority_dns_name(cluster).try_into().map_err(make)?)];
        set_validity(&mut params, SystemTime::now(), AUTHORITY_DAYS);
        let certificate_pem = params.self_signed(&key).map_err(make)?.pem();
        Ok(Self { cluster, certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// Reads [`CERTIFICATE_FILE`] and [`KEY_FILE`].
    ///
    /// # Errors
    /// A file can't be read or is not an authority's; the error names it.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        let (certificate_path, key_path) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        let certificate_pem = read(&certificate_path)?;
        let cluster = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .ok()
            .and_then(|certificate| authority_cluster(&certificate))
            .ok_or(AuthorityError::Unusable {
                path: certificate_path,
                what: "the certificate of a cluster's authority",
            })?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|_| AuthorityError::Unusable {
            path: key_path,
            what: "the key of a cluster's authority",
        })?;
        Ok(Self { cluster, certificate_pem, issuer: Issuer::new(authority_params(cluster), key) })
    }

    /// Writes [`CERTIFICATE_FILE`] and [`KEY_FILE`] (mode 0600), making the folder where needed.
    ///
    /// # Errors
    /// A file is there already: an authority is never overwritten. Or it can't be written.
    pub fn save(&self, folder: &Path) -> Result<(), AuthorityError> {
        let (certificate, key) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        if let Some(path) = [&certificate, &key].into_iter().find(|path| path.exists()) {
            return Err(AuthorityError::Exists { path: path.clone() });
        }
        fs::create_dir_all(folder)
            .map_err(|source| AuthorityError::File { path: folder.into(), source })?;
        let secret = self.issuer.key().serialize_pem();
        write(&[
            (&key, Readers::Owner, &secret),
            (&certificate, Readers::AsBefore, &self.certificate_pem),
        ])
    }

    /// Writes the authority's certificate, for a holder of one that it issued.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save_certificate(&self, path: &Path) -> Result<(), AuthorityError> {
        write(&[(path, Readers::AsBefore, &self.certificate_pem)])
    }

    /// Issues a certificate with a fresh key.
    ///
    /// # Errors
    /// A name in `subject` can't stand in a certificate.
    pub fn issue(&self, subject: &Subject) -> Result<IssuedCertificate, AuthorityError> {
        self.issue_at(subject, SystemTime::now())
    }

    /// Issues a certificate as at another time.
    pub(crate) fn issue_at(
        &self,
        subject: &Subject,
        now: SystemTime,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let Subject { role, name, node, extra_names, valid_days } = subject;
        check_name(name)?;
        if node.is_some() != (*role == Role::Node) {
            return Err(AuthorityError::Node { role: *role, given: node.is_some() });
        }
        let identity =
            Identity { cluster: self.cluster, role: *role, name: name.clone(), node: *node };
        let mut names = vec![identity.dns_name()];
        names.extend_from_slice(extra_names);

        let mut params = CertificateParams::new(names).map_err(make)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if *role == Role::Node {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, *valid_days);

        let key = KeyPair::generate().map_err(make)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?;
        Ok(IssuedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
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

    /// The same key under another cluster's name, as only a careless hand could make it.
    #[cfg(test)]
    pub(crate) fn pretending(&self, cluster: ClusterId) -> Self {
        let key = KeyPair::from_pem(&self.issuer.key().serialize_pem()).expect("its own form");
        let issuer = Issuer::new(authority_params(self.cluster), key);
        Self { cluster, certificate_pem: self.certificate_pem.clone(), issuer }
    }
}

impl IssuedCertificate {
    /// Writes the two files, the key with mode 0600; files that are there are replaced.
    ///
    /// # Errors
    /// A file can't be written; the error names it.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        write(&[
            (key, Readers::Owner, &self.key_pem),
            (certificate, Readers::AsBefore, &self.certificate_pem),
        ])
    }
}

/// What an issuer needs to know of the authority: a function of the cluster, so that two files do.
fn authority_params(cluster: ClusterId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("jedlik authority {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, days: u32) {
    params.not_before = (now - CLOCK_SLACK).into();
    params.not_after = (now + DAY * days).into();
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn make(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Make { reason: error.to_string() }
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|source| AuthorityError::File { path: path.into(), source })
}

/// Writes files one after the other, each whole or not at all; all of them are on disk before the first one
/// takes its place.
fn write(files: &[(&Path, Readers, &str)]) -> Result<(), AuthorityError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        |source| AuthorityError::File { path, source }
    };
    let mut written = Vec::new();
    for (path, readers, text) in files {
        let mut file = AtomicFile::create(path, *readers).map_err(error(path))?;
        file.write_all(text.as_bytes()).map_err(error(path))?;
        written.push((path, file));
    }
    written.into_iter().try_for_each(|(path, file)| file.commit().map_err(error(path)))
}

#[cfg(test)]
mod tests;
