//! TLS for a door: its own certificate, which is read anew when its files change, and its clients' certificates.
//!
//! Invariant: a handshake uses a certificate and a key that belong together. Files that can't be used change nothing.
//! A client's certificate counts only if the cluster's own authority has signed it, since it may make an admin of its
//! holder.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::credentials::{Source, provider};
use crate::{Credentials, CredentialsError, Identity, validity};

/// Files of a door's own certificate, which is any that its clients trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorFiles {
    /// Path of the certificate, with those that signed it behind it.
    pub cert: PathBuf,
    /// Path of the certificate's private key.
    pub key: PathBuf,
}

/// Certificates that a door asks its clients for. They are of the cluster's own authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// Clients are asked for none.
    #[default]
    None,
    /// Clients may show one.
    Accepted,
    /// Clients without one are not let in.
    Required,
}

/// Settings of a door's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorSettings {
    /// Files of the door's own certificate.
    pub files: DoorFiles,
    /// Certificates that clients are asked for.
    pub clients: ClientCertificates,
    /// Protocols that are offered within TLS, the best one first; none if there is but one.
    pub protocols: &'static [&'static [u8]],
}

/// TLS of a door.
pub struct DoorTls {
    settings: DoorSettings,
    state: Mutex<State>,
}

/// Configuration of handshakes, and what it was made of.
struct State {
    config: Arc<ServerConfig>,
    key: Arc<SingleCertAndKey>,
    ends_s: Option<u64>,
    credentials: Credentials,
    /// State of the files when they were last read, well or not.
    read: Stamps,
    /// State of the files when they were last looked at.
    seen: Stamps,
}

/// Marks by which a file that was written again is told: time, length and number.
type Stamp = Option<(SystemTime, u64, u64)>;
type Stamps = [Stamp; 2];

/// Certificate and key, as they were read.
struct Own {
    key: Arc<SingleCertAndKey>,
    ends_s: Option<u64>,
}

impl DoorTls {
    /// Reads a door's certificate. Clients' certificates are checked with the authority of the node's credentials.
    ///
    /// # Errors
    /// A file can't be read or isn't what it should be, or the two don't belong together, or the certificate has ended.
    pub fn load(
        settings: DoorSettings,
        credentials: &Credentials,
    ) -> Result<Self, CredentialsError> {
        let read = settings.files.stamps();
        let Own { key, ends_s } = settings.files.read()?;
        let config = settings.config(&key, credentials);
        let credentials = credentials.clone();
        let state = State { config, key, ends_s, credentials, read, seen: read };
        Ok(Self { settings, state: Mutex::new(state) })
    }

    /// Takes over what has changed: the door's own files, and the node's credentials with its authority. Returns whether
    /// a certificate was read. Files are read once they have stayed as they are from one call to the next, so that
    /// certificate and key are both there; this may wait for the disk.
    ///
    /// # Errors
    /// The files can't be used, as for [`Self::load`]; this is told once, and the certificate before stays.
    pub fn renew(&self, credentials: &Credentials) -> Result<bool, CredentialsError> {
        let stamps = self.settings.files.stamps();
        let changed = self.state().looked(stamps);
        let own = if changed { Some(self.settings.files.read()?) } else { None };
        let mut state = self.state();
        if own.is_none() && state.credentials.is(credentials) {
            return Ok(false);
        }
        if let Some(Own { key, ends_s }) = own {
            (state.key, state.ends_s) = (key, ends_s);
        }
        state.config = self.settings.config(&state.key, credentials);
        state.credentials = credentials.clone();
        Ok(changed)
    }

    /// Returns the end of the door's certificate in seconds since the Unix epoch; `None` if it can't be read.
    #[must_use]
    pub fn ends_s(&self) -> Option<u64> {
        self.state().ends_s
    }

    /// Does the handshake with a client, and returns the stream and the holder of the certificate that it has shown.
    ///
    /// # Errors
    /// The client does not speak TLS, or has no certificate where one is required, or one that names nobody.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, Option<Identity>)> {
        let (config, cluster) = {
            let state = self.state();
            (Arc::clone(&state.config), state.credentials.identity().cluster)
        };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let Some([certificate, ..]) = stream.get_ref().1.peer_certificates() else {
            return Ok((stream, None));
        };
        match Identity::of(certificate) {
            Some(identity) if identity.cluster == cluster => Ok((stream, Some(identity))),
            _ => Err(io::Error::other("the client's certificate names nobody of this cluster")),
        }
    }

    // Nothing panics with the lock held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes how the files are now, and returns whether they are to be read.
    fn looked(&mut self, stamps: Stamps) -> bool {
        let settled = std::mem::replace(&mut self.seen, stamps) == stamps;
        settled && std::mem::replace(&mut self.read, stamps) != stamps
    }
}

impl DoorSettings {
    fn config(&self, key: &Arc<SingleCertAndKey>, credentials: &Credentials) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("ring has suites for both");
        let mut config = self.verified(builder, credentials, key);
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        // A resumed session would not check the certificates' dates again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    fn verified(
        &self,
        builder: ConfigBuilder<ServerConfig, WantsVerifier>,
        credentials: &Credentials,
        key: &Arc<SingleCertAndKey>,
    ) -> ServerConfig {
        let key = Arc::clone(key);
        let roots = Arc::clone(credentials.roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let verifier = match self.clients {
            ClientCertificates::None => {
                return builder.with_no_client_auth().with_cert_resolver(key);
            }
            ClientCertificates::Accepted => verifier.allow_unauthenticated(),
            ClientCertificates::Required => verifier,
        };
        let verifier = verifier.build().expect("the credentials have an authority");
        builder.with_client_cert_verifier(verifier).with_cert_resolver(key)
    }
}

impl DoorFiles {
    fn read(&self) -> Result<Own, CredentialsError> {
        let (certificate, key) = (Source::read(&self.cert)?, Source::read(&self.key)?);
        let chain = certificate.certificates()?;
        let (own, now_s) = (chain.first(), UnixTime::now().as_secs());
        let ends_s = own.and_then(|own| validity::ends_s(own));
        let is_early = own.and_then(|own| validity::begins_s(own)).is_some_and(|s| s > now_s);
        let is_late = ends_s.is_some_and(|ends_s| ends_s <= now_s);
        if is_early || is_late {
            let reason = if is_late { "its time is over" } else { "its time has not come" }.into();
            return Err(CredentialsError::NotValidNow { path: self.cert.clone(), reason });
        }
        let (key, _) = key.key_for(&certificate, chain)?;
        Ok(Own { key, ends_s })
    }

    fn stamps(&self) -> Stamps {
        [&self.cert, &self.key].map(|path| {
            let data = fs::metadata(path).ok()?;
            #[cfg(unix)]
            let number = std::os::unix::fs::MetadataExt::ino(&data);
            #[cfg(not(unix))]
            let number = 0;
            Some((data.modified().ok()?, data.len(), number))
        })
    }
}

#[cfg(test)]
mod tests;
