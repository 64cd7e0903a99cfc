//! Configuration of TLS and QUIC: how the two ends prove their identities, and the transport beneath.
//!
//! Invariant: no check of a chain, a signature or a date is left out or replaced. Only the check of a host name,
//! which says nothing about a cluster, is replaced by the check of the identity.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jedlik_hashing::NodeId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionId, ConnectionIdGenerator};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use crate::credentials::provider;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, IDLE_TIMEOUT, KEEP_ALIVE, LARGE_STREAMS, STREAM_WINDOW_BYTES,
};
use crate::version::{Spoken, offers};
use crate::{ConnectError, Credentials, Identity, Role};

const CONNECTION_ID_BYTES: usize = 8;

/// Cause for which the verifier refused the other side, left for the dialing task.
pub(crate) type Refusal = Arc<OnceLock<ConnectError>>;

/// Makes the configuration of a node's socket, which also answers packets of unknown connections.
///
/// The key of these answers is derived from the node's own. A node that was killed and is back thus tells its peers
/// with its first answer that their connections are gone; otherwise they would wait for [`IDLE_TIMEOUT`].
pub(crate) fn endpoint_config(credentials: &Credentials) -> quinn::EndpointConfig {
    let mut config = quinn::EndpointConfig::new(Arc::new(credentials.derive(b"stateless reset")));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Generator that accepts every connection id as one that an earlier life of the node may have given out. The default
/// one would drop packets that carry such an id without an answer.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        getrandom::fill(&mut id).expect("a system that has made TLS keys has randomness");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Makes the configuration with which a node accepts connections: a client certificate is mandatory.
pub(crate) fn server_config(credentials: &Credentials, spoken: Spoken) -> quinn::ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites for TLS 1.3")
        .with_client_cert_verifier(credentials.verifier().clone())
        .with_cert_resolver(credentials.key().clone());
    tls.alpn_protocols = offers(spoken);
    // A resumed session would not check the certificate's dates again.
    tls.send_tls13_tickets = 0;
    let crypto =
        QuicServerConfig::try_from(tls).expect("ring has the suite of QUIC's first packets");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    config
}

/// Makes the configuration for dialing a node: its certificate must be of the cluster, and `expected`'s if given.
pub(crate) fn client_config(
    credentials: &Credentials,
    spoken: Spoken,
    expected: Option<NodeId>,
    refusal: &Refusal,
) -> quinn::ClientConfig {
    let provider = provider();
    let verifier = NodeVerifier {
        credentials: credentials.clone(),
        algorithms: provider.signature_verification_algorithms,
        expected,
        refusal: refusal.clone(),
    };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites for TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(credentials.key().clone());
    tls.alpn_protocols = offers(spoken);
    tls.resumption = Resumption::disabled();
    let crypto =
        QuicClientConfig::try_from(tls).expect("ring has the suite of QUIC's first packets");
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    config
}

/// Makes the transport's configuration for one data centre: round trips are well under a millisecond, so losses are
/// probed for soon.
///
/// Datagrams stay at what Ethernet carries: with jumbo frames on loopback a default socket buffer holds so few of
/// them that bursts are lost, and exchanges fell to a fifteenth at 64 in flight.
fn transport() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(0_u32.into())
        .max_concurrent_uni_streams((LARGE_STREAMS + 1).into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into())
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("a few seconds fit")))
        .initial_rtt(Duration::from_millis(10));
    transport
}

/// Verifier that the dialed side is a node of this cluster, and the expected one.
#[derive(Debug)]
struct NodeVerifier {
    credentials: Credentials,
    algorithms: WebPkiSupportedAlgorithms,
    expected: Option<NodeId>,
    refusal: Refusal,
}

impl NodeVerifier {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let presented = Identity::of(certificate);
        let (roots, algorithms) = (self.credentials.roots(), self.algorithms.all);
        ParsedCertificate::try_from(certificate)
            .and_then(|parsed| {
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    roots,
                    intermediates,
                    now,
                    algorithms,
                )
            })
            .inspect_err(|error| {
                self.refuse(ConnectError::from_verification(error, presented.clone()));
            })?;
        self.check_identity(presented).map_err(|refusal| {
            self.refuse(refusal);
            CertificateError::ApplicationVerificationFailure.into()
        })
    }

    /// Keeps the first refusal; a handshake has one certificate.
    fn refuse(&self, refusal: ConnectError) {
        let _ = self.refusal.set(refusal);
    }

    fn check_identity(&self, presented: Option<Identity>) -> Result<(), ConnectError> {
        let (found, node) = match presented {
            Some(Identity { cluster, role: Role::Node, node: Some(node), .. }) => (cluster, node),
            found => return Err(ConnectError::NotANode { found }),
        };
        let expected = self.credentials.identity().cluster;
        if found != expected {
            return Err(ConnectError::WrongCluster { expected, found });
        }
        match self.expected {
            Some(expected) if expected != node => {
                Err(ConnectError::WrongNode { expected, found: node })
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
