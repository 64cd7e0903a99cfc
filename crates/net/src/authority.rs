//! The cluster's certificate authority: makes it, keeps it in two files, issues certificates from it.
//!
//! Invariant: an authority is never overwritten, and a key's file is readable by its owner alone.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jedlik_atomicfile::{AtomicFile, Readers};
use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName};
use thiserror::Error;

use crate::identity::{authority_cluster, authority_dns_name, check_name};
use crate::{Identity, InvalidName, Role};

/// Name of the file with the authority's certificate, within its folder.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// Name of the file with the authority's key, within its folder.
pub const KEY_FILE: &str = "ca.key";
/// Days for which an authority is valid.
pub const AUTHORITY_DAYS: u32 = 7300;
/// Days for which a certificate is valid, unless its subject says otherwise.
pub const CERTIFICATE_DAYS: u32 = 730;

/// Time by which certificates are valid before their issue, for machines whose clocks are behind.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority that can't be made, kept or used.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The name has characters that a certificate can't carry.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A node's identity was missing for the role of a node, or was given for another role.
    #[error("a certificate for the role {role} was asked for {} a node's identity", if *given { "with" } else { "without" })]
    Node {
        /// Role that the certificate was asked for.
        role: Role,
        /// Whether a node's identity was given.
        given: bool,
    },
    /// A DNS name has characters outside ASCII, or the library failed.
    #[error("the certificate can't be made: {reason}")]
    Make {
        /// Cause as the library describes it.
        reason: String,
    },
    /// A file or folder can't be read or written: correct the path, or the folder's permissions.
    #[error("can't read or write {}: {source}", path.display())]
    File {
        /// Path of the file or folder.
        path: PathBuf,
        /// Cause as the system reports it.
        source: io::Error,
    },
    /// The file exists. Replacing an authority would cut off every member: move the file away if that is meant.
    #[error("{} exists already; an authority is never overwritten", path.display())]
    Exists {
        /// Path of the existing file.
        path: PathBuf,
    },
    /// The file is another one than was meant, or damaged.
    #[error("{} is not {what}", path.display())]
    Unusable {
        /// Path of the file.
        path: PathBuf,
        /// Kind of content that was expected in the file.
        what: &'static str,
    },
}

/// Authority of one cluster, with its private key.
pub struct Authority {
    cluster: ClusterId,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Holder that a certificate is issued for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Role that the holder has.
    pub role: Role,
    /// Name for people: a-z, 0-9 and inner hyphens.
    pub name: String,
    /// Identity of the node; `Some` exactly for [`Role::Node`].
    pub node: Option<NodeId>,
    /// Further DNS names and IP addresses for the certificate, such as a browser or a load balancer checks.
    pub extra_names: Vec<String>,
    /// Days for which the certificate is valid.
    pub valid_days: u32,
}

/// A certificate and its private key, in PEM.
pub struct IssuedCertificate {
    /// Certificate in PEM; it is public.
    pub certificate_pem: String,
    /// Private key in PEM; it is secret.
    pub key_pem: String,
}

impl Subject {
    /// Makes the subject of a node that may be a member.
    #[must_use]
    pub fn node(node: NodeId, name: impl Into<String>) -> Self {
        Self { node: Some(node), ..Self::of(Role::Node, name) }
    }

    /// Makes the subject of an admin, who may change the cluster.
    #[must_use]
    pub fn admin(name: impl Into<String>) -> Self {
        Self::of(Role::Admin, name)
    }

    /// Makes the subject of a client, which may use the data.
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

    /// Reads the authority from [`CERTIFICATE_FILE`] and [`KEY_FILE`] in `folder`.
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

    /// Writes [`CERTIFICATE_FILE`] and [`KEY_FILE`] (mode 0600), and makes the folder if needed.
    ///
    /// # Errors
    /// A file exists already, since an authority is never overwritten; or a file can't be written.
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

    /// Writes the authority's certificate alone, for the holder of a certificate that it issued.
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

    /// Issues a certificate with a fresh key, as if it were `now`.
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
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if *role == Role::Node {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        self.sign(params, now, *valid_days)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        now: SystemTime,
        days: u32,
    ) -> Result<IssuedCertificate, AuthorityError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, days);
        let key = KeyPair::generate().map_err(make)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?;
        Ok(IssuedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Issues a certificate with a fresh key for a door, by names that its clients check: DNS names and IP addresses. It
    /// opens no door itself, since it names no holder and is good for servers alone.
    ///
    /// # Errors
    /// A name can't stand in a certificate, or there is none.
    pub fn issue_for_door(
        &self,
        names: &[String],
        valid_days: u32,
    ) -> Result<IssuedCertificate, AuthorityError> {
        self.issue_for_door_at(names, valid_days, SystemTime::now())
    }

    /// Issues a door's certificate, as if it were `now`.
    pub(crate) fn issue_for_door_at(
        &self,
        names: &[String],
        valid_days: u32,
        now: SystemTime,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let Some(first) = names.first() else {
            return Err(AuthorityError::Make {
                reason: "a door's certificate needs a name".into(),
            });
        };
        if let Some(name) = names.iter().find(|name| !may_be_a_host(name)) {
            let reason = format!(
                "{name:?} is no name of a host: it is what clients connect to, such as db1.example.org or 10.0.0.5, without \
                 a port or a scheme; `*.example.org` stands for any name before the dot"
            );
            return Err(AuthorityError::Make { reason });
        }
        if let Some(name) = names.iter().find(|name| Identity::from_dns_name(name).is_some()) {
            let reason = format!("{name} is the name of a node, an admin or a client");
            return Err(AuthorityError::Make { reason });
        }
        let mut params = CertificateParams::new(names).map_err(make)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, first.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, now, valid_days)
    }

    /// Returns the cluster whose authority this is.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the authority's certificate in PEM, by which members check one another.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the same key under another cluster's name, as only a mistake could make it.
    #[cfg(test)]
    pub(crate) fn pretending(&self, cluster: ClusterId) -> Self {
        let key = KeyPair::from_pem(&self.issuer.key().serialize_pem()).expect("its own form");
        let issuer = Issuer::new(authority_params(self.cluster), key);
        Self { cluster, certificate_pem: self.certificate_pem.clone(), issuer }
    }
}

impl IssuedCertificate {
    /// Writes the two files, the key with mode 0600. Existing files are replaced.
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

/// Returns the parameters of the authority's certificate. They follow from the cluster, so that certificate and key
/// are all that is stored.
/// Whether clients may connect to such a name or address, and look for it in a certificate.
fn may_be_a_host(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    let digits =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    !digits && DnsName::try_from(host).is_ok()
}

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

/// Writes files in order, each whole or not at all. All are on disk before the first one takes its place.
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
