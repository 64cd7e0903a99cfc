//! Version of the protocol on a connection: offered and agreed on in the TLS handshake (ALPN).
//!
//! Invariant: it is the newest that both sides speak. Without a common version the handshake still succeeds, on a
//! name of no version that both offer last, so that each side can be told what the other speaks: TLS itself would
//! only say that nothing fits.

use jedlik_protocol::ProtocolVersion;
use quinn::crypto::rustls::HandshakeData;

/// The versions that an endpoint speaks, the newest first.
pub(crate) type Spoken = &'static [ProtocolVersion];

const NO_VERSION: &[u8] = b"jedlik";

/// Returns the names that an endpoint offers and accepts in handshakes, in the order of its preference.
pub(crate) fn offers(spoken: Spoken) -> Vec<Vec<u8>> {
    let names = spoken.iter().map(|version| version.name().as_bytes());
    names.chain([NO_VERSION]).map(<[u8]>::to_vec).collect()
}

/// Returns the version that the two sides have agreed on; `None` if they have none in common.
pub(crate) fn agreed(quic: &quinn::Connection) -> Option<ProtocolVersion> {
    let handshake = quic.handshake_data()?.downcast::<HandshakeData>().ok()?;
    ProtocolVersion::from_name(&handshake.protocol?)
}

/// Lists versions for people, and for the other side when it has to be told.
pub(crate) fn listed(spoken: Spoken) -> String {
    spoken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
