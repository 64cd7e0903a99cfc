//! Identities of certificate holders: cluster, role, name and node, in a DNS name of the certificate.
//!
//! Invariant: an identity is read only from a certificate that the cluster's authority has signed.
//! It is a DNS name so that every X.509 tool shows it:
//! `<node>.<name>.node.<cluster>.jedlik`, `<name>.admin.<cluster>.jedlik`, `<name>.client.<cluster>.jedlik`,
//! and `authority.<cluster>.jedlik` for the authority itself; numbers are 16 hex digits.

use core::fmt;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use rustls::pki_types::CertificateDer;
use thiserror::Error;

const SUFFIX: &str = "jedlik";
const AUTHORITY: &str = "authority";
/// Longest label that DNS allows.
const NAME_LIMIT_BYTES: usize = 63;

/// Role of a certificate's holder, which decides what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A node, which serves and may send every frame.
    Node,
    /// An admin, which may use the data and change the cluster.
    Admin,
    /// A client, which may use the data.
    Client,
}

impl Role {
    /// Returns the name of the role in certificates and commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Admin => "admin",
            Self::Client => "client",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Node, Self::Admin, Self::Client].into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The holder of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Cluster whose authority has signed the certificate.
    pub cluster: ClusterId,
    /// Role of the holder.
    pub role: Role,
    /// Name of the holder for people.
    pub name: String,
    /// Identity of the node; `Some` exactly for [`Role::Node`].
    pub node: Option<NodeId>,
}

/// A name that can't stand in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the name {name:?} can't be used: it takes 1 to {NAME_LIMIT_BYTES} of a-z, 0-9 and inner hyphens"
)]
pub struct InvalidName {
    /// Name as it was given.
    pub name: String,
}

impl Identity {
    /// Returns the DNS name that a certificate carries for this identity.
    pub(crate) fn dns_name(&self) -> String {
        let Self { cluster, role, name, node } = self;
        let node = node.map(|node| format!("{node}.")).unwrap_or_default();
        format!("{node}{name}.{role}.{cluster}.{SUFFIX}")
    }

    /// Parses the output of [`Self::dns_name`]; `None` for any other name.
    pub(crate) fn from_dns_name(dns_name: &str) -> Option<Self> {
        let labels: Vec<&str> = dns_name.split('.').collect();
        let (node, rest) = match labels.as_slice() {
            [node, rest @ ..] if rest.len() == 4 => (Some(NodeId(parse_hex(node)?)), rest),
            rest => (None, rest),
        };
        let [name, role, cluster, SUFFIX] = *rest else { return None };
        let role = Role::from_name(role)?;
        check_name(name).ok()?;
        let fits = node.is_some() == (role == Role::Node);
        fits.then_some(Self {
            cluster: ClusterId(parse_hex(cluster)?),
            role,
            name: name.into(),
            node,
        })
    }

    /// Reads the identity in a certificate; `None` if it has none, or several.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        only(certificate, Self::from_dns_name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, name, node, .. } = self;
        match node {
            Some(node) => write!(f, "{role} {name} ({node})"),
            None => write!(f, "{role} {name}"),
        }
    }
}

/// Returns the DNS name by which an authority's own certificate names its cluster.
pub(crate) fn authority_dns_name(cluster: ClusterId) -> String {
    format!("{AUTHORITY}.{cluster}.{SUFFIX}")
}

/// Reads the cluster in an authority's own certificate; `None` if it names none, or several.
pub(crate) fn authority_cluster(certificate: &CertificateDer<'_>) -> Option<ClusterId> {
    only(certificate, |name| {
        let labels: Vec<&str> = name.split('.').collect();
        let [AUTHORITY, cluster, SUFFIX] = *labels else { return None };
        parse_hex(cluster).map(ClusterId)
    })
}

/// Checks that `name` fits one DNS label.
pub(crate) fn check_name(name: &str) -> Result<(), InvalidName> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=NAME_LIMIT_BYTES).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits { Ok(()) } else { Err(InvalidName { name: name.into() }) }
}

/// Returns the one DNS name of the certificate that `parse` accepts; `None` if there are none or several.
fn only<T>(certificate: &CertificateDer<'_>, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut found = certificate.valid_dns_names().filter_map(parse);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Parses exactly 16 lowercase hex digits, so that each number has one spelling.
fn parse_hex(digits: &str) -> Option<u64> {
    let lowercase = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let canonical = digits.len() == 16 && digits.bytes().all(lowercase);
    canonical.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
