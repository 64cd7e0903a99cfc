//! Credentials of an endpoint: the authority's certificate, its own chain and its own key.
//!
//! Invariant: the parts that [`Credentials::load`] returns belong together and are valid now. A mistake is found at
//! start, with the file's name, and not by a peer's refusal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jedlik_protocol::ClusterId;
use ring::hmac;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, InconsistentKeys, RootCertStore};
use thiserror::Error;

use crate::identity::authority_cluster;
use crate::{Identity, validity};

/// Credentials of an endpoint: the authority's certificate, a chain and its key, checked to belong together.
#[derive(Clone)]
pub struct Credentials {
    parts: Arc<Parts>,
}

struct Parts {
    identity: Identity,
    /// Cluster of the authority, which a peer's certificate must name.
    cluster: ClusterId,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<SingleCertAndKey>,
    /// Key made from the private key, from which others are derived.
    secret: hmac::Key,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Credentials that can't be used. Nothing was changed.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A file can't be read: correct the path, or issue the file.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause as the system reports it.
        source: std::io::Error,
    },
    /// A file does not hold what it should: another one was meant.
    #[error("{} holds no {what} in PEM form; is it another file?", path.display())]
    NotPem {
        /// Path of the file.
        path: PathBuf,
        /// Kind of PEM entry that was expected.
        what: &'static str,
    },
    /// The file is not an authority's certificate: another one was meant.
    #[error(
        "{} is not the certificate of a cluster's authority; give the ca.pem that jedlik-admin ca init wrote",
        path.display()
    )]
    NotAnAuthority {
        /// Path of the file.
        path: PathBuf,
    },
    /// The certificate was not made by `jedlik-admin cert issue`, or is damaged.
    #[error(
        "the certificate in {} names no node, admin or client; issue one with jedlik-admin cert issue",
        path.display()
    )]
    NoIdentity {
        /// Path of the certificate's file.
        path: PathBuf,
    },
    /// The key is of a kind that is not supported, or damaged.
    #[error("the key in {} can't be used: {reason}", path.display())]
    BadKey {
        /// Path of the key's file.
        path: PathBuf,
        /// Cause as the library describes it.
        reason: String,
    },
    /// The key is not the certificate's: files of two issues were mixed.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    KeyMismatch {
        /// Path of the key's file.
        key: PathBuf,
        /// Path of the certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is of another cluster than the authority: files of two clusters were mixed.
    #[error(
        "the certificate in {} is of cluster {found}, the authority in {} of cluster {expected}",
        certificate.display(), authority.display()
    )]
    WrongCluster {
        /// Path of the certificate's file.
        certificate: PathBuf,
        /// Cluster of the certificate.
        found: ClusterId,
        /// Path of the authority's file.
        authority: PathBuf,
        /// Cluster of the authority.
        expected: ClusterId,
    },
    /// Another authority signed the certificate: issue it again with this one.
    #[error(
        "the certificate in {} was not signed by the authority in {} ({reason}); issue it again with that authority",
        certificate.display(), authority.display()
    )]
    NotSigned {
        /// Path of the certificate's file.
        certificate: PathBuf,
        /// Path of the authority's file.
        authority: PathBuf,
        /// Cause as the library describes it.
        reason: String,
    },
    /// The certificate has expired or is not valid yet: issue another, unless this machine's clock is wrong.
    #[error(
        "the certificate in {} has expired or is not valid yet ({reason}); issue another, or set this machine's clock",
        path.display()
    )]
    NotValidNow {
        /// Path of the certificate's file.
        path: PathBuf,
        /// Description for people, with the times.
        reason: String,
    },
}

/// A PEM text and the path of its file.
pub(crate) struct Source {
    path: PathBuf,
    pem: Vec<u8>,
}

impl Credentials {
    /// Reads credentials from three PEM files and checks them.
    ///
    /// # Errors
    /// A file can't be read or isn't what it should be, or the files don't belong together; the error names the file
    /// and the remedy.
    pub fn load(
        authority: impl AsRef<Path>,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, CredentialsError> {
        Self::checked(
            &Source::read(authority.as_ref())?,
            &Source::read(certificate.as_ref())?,
            &Source::read(key.as_ref())?,
        )
    }

    /// Reads credentials from three PEM texts in memory and checks them.
    ///
    /// # Errors
    /// As for [`Self::load`]; the errors name the text in place of a file.
    pub fn from_pem(
        authority: &str,
        certificate: &str,
        key: &str,
    ) -> Result<Self, CredentialsError> {
        Self::checked(
            &Source::text("the authority's text", authority),
            &Source::text("the certificate's text", certificate),
            &Source::text("the key's text", key),
        )
    }

    /// Returns the identity in the own certificate.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.parts.identity
    }

    /// Returns the end of the own certificate in seconds since the Unix epoch; `None` if it can't be read.
    #[must_use]
    pub fn ends_s(&self) -> Option<u64> {
        validity::ends_s(self.parts.chain.first()?)
    }

    /// Whether these are the same credentials, from the same reading of their files.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// Returns the only trust anchor for other sides' chains: the authority's certificate.
    pub(crate) fn roots(&self) -> &Arc<RootCertStore> {
        &self.parts.roots
    }

    /// Returns the own chain and key, which this side presents in handshakes.
    pub(crate) fn key(&self) -> &Arc<SingleCertAndKey> {
        &self.parts.key
    }

    /// Returns the verifier of those who connect: they must present a certificate.
    pub(crate) fn verifier(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.parts.verifier
    }

    /// Derives a key for another purpose. It is the same as long as the private key is.
    pub(crate) fn derive(&self, purpose: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.parts.secret, purpose).as_ref())
    }

    fn checked(
        authority: &Source,
        certificate: &Source,
        key: &Source,
    ) -> Result<Self, CredentialsError> {
        let credentials = Self::assemble(authority, certificate, key)?;
        credentials.check(authority, certificate)?;
        Ok(credentials)
    }

    fn assemble(
        authority: &Source,
        certificate: &Source,
        key: &Source,
    ) -> Result<Self, CredentialsError> {
        let anchor = authority
            .certificates()?
            .into_iter()
            .next()
            .ok_or_else(|| authority.not_pem("certificate"))?;
        let not_an_authority = || CredentialsError::NotAnAuthority { path: authority.path.clone() };
        let cluster = authority_cluster(&anchor).ok_or_else(not_an_authority)?;
        let mut roots = RootCertStore::empty();
        roots.add(anchor).map_err(|_| not_an_authority())?;
        let roots = Arc::new(roots);

        let chain = certificate.certificates()?;
        let identity = chain
            .first()
            .and_then(Identity::of)
            .ok_or_else(|| CredentialsError::NoIdentity { path: certificate.path.clone() })?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|_| not_an_authority())?;
        let (key, secret) = key.key_for(certificate, chain.clone())?;
        let parts = Parts { identity, cluster, roots, chain, key, secret, verifier };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Checks that a peer would accept the own certificate now.
    fn check(&self, authority: &Source, certificate: &Source) -> Result<(), CredentialsError> {
        let Parts { identity, cluster, chain, verifier, .. } = &*self.parts;
        if identity.cluster != *cluster {
            return Err(CredentialsError::WrongCluster {
                certificate: certificate.path.clone(),
                found: identity.cluster,
                authority: authority.path.clone(),
                expected: *cluster,
            });
        }
        let (own, intermediates) =
            chain.split_first().expect("a chain without certificates has no identity");
        let Err(error) = verifier.verify_client_cert(own, intermediates, UnixTime::now()) else {
            return Ok(());
        };
        let reason = error.to_string();
        Err(match error {
            rustls::Error::InvalidCertificate(fault) if is_about_time(&fault) => {
                CredentialsError::NotValidNow { path: certificate.path.clone(), reason }
            }
            _ => CredentialsError::NotSigned {
                certificate: certificate.path.clone(),
                authority: authority.path.clone(),
                reason,
            },
        })
    }

    /// Makes credentials that [`Self::load`] refuses, as a hostile or mistaken peer would present them.
    #[cfg(test)]
    pub(crate) fn unchecked(authority: &str, certificate: &str, key: &str) -> Self {
        Self::assemble(
            &Source::text("authority", authority),
            &Source::text("certificate", certificate),
            &Source::text("key", key),
        )
        .expect("the test's files are what they should be")
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credentials").field("identity", self.identity()).finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self, CredentialsError> {
        let pem = std::fs::read(path)
            .map_err(|source| CredentialsError::Read { path: path.into(), source })?;
        Ok(Self { path: path.into(), pem })
    }

    fn text(name: &str, pem: &str) -> Self {
        Self { path: name.into(), pem: pem.into() }
    }

    fn not_pem(&self, what: &'static str) -> CredentialsError {
        CredentialsError::NotPem { path: self.path.clone(), what }
    }

    /// Returns all certificates in the text, at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
        let what = "certificate";
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.pem)
            .collect::<Result<_, _>>()
            .map_err(|_| self.not_pem(what))?;
        if certificates.is_empty() { Err(self.not_pem(what)) } else { Ok(certificates) }
    }

    /// Returns the key in the text if it is that of the chain's first certificate.
    pub(crate) fn key_for(
        &self,
        certificate: &Self,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<(Arc<SingleCertAndKey>, hmac::Key), CredentialsError> {
        let key =
            PrivateKeyDer::from_pem_slice(&self.pem).map_err(|_| self.not_pem("private key"))?;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.secret_der());
        let certified = CertifiedKey::from_der(chain, key, &provider());
        certified.map(|key| (Arc::new(key.into()), secret)).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CredentialsError::KeyMismatch {
                    key: self.path.clone(),
                    certificate: certificate.path.clone(),
                }
            }
            // What is between the lines of its PEM is no certificate.
            rustls::Error::InvalidCertificate(_) => certificate.not_pem("certificate"),
            other => {
                CredentialsError::BadKey { path: self.path.clone(), reason: other.to_string() }
            }
        })
    }
}

/// Returns the only cryptography provider that this crate uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Whether a certificate's fault is one of its dates, which a right clock or a new certificate would cure.
pub(crate) fn is_about_time(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

#[cfg(test)]
mod tests;
