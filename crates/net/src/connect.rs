//! What can be wrong when a connection is made, in words for people.
//!
//! TLS says little on the wire: an alert's number. Here each gets its likely cause and remedy.

use std::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;
use quinn::ConnectionError;
use rustls::{AlertDescription, CertificateError};
use thiserror::Error;

use crate::credentials::is_about_time;
use crate::limits::CONNECT_TIMEOUT;
use crate::version::{Spoken, listed};
use crate::{CloseCode, CloseReason, Identity};

/// A connection that was not made. Both sides have forgotten it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// Nobody answered: see that the node runs and that UDP reaches it.
    #[error("{address} did not answer within {} ms; is the node up, and does UDP reach it?", CONNECT_TIMEOUT.as_millis())]
    Timeout {
        /// Whom.
        address: SocketAddr,
    },
    /// Not an address that this socket can reach, such as port 0 or the other IP version.
    #[error("{address} can't be dialed from this socket: {reason}")]
    BadAddress {
        /// Whom.
        address: SocketAddr,
        /// For people.
        reason: String,
    },
    /// Its certificate is of another authority: another cluster's node, or an old certificate.
    #[error(
        "the other side's certificate was not signed by this cluster's authority; is it another cluster's node?"
    )]
    UnknownAuthority,
    /// Ours is of another authority than its.
    #[error(
        "the other side does not know the authority of this side's certificate; is it another cluster's node? issue the certificate with its authority"
    )]
    AuthorityRefused,
    /// Issue it another, unless a clock is wrong.
    #[error(
        "the other side's certificate has expired or is not valid yet ({reason}); issue another, or set the clocks of both machines"
    )]
    NotValidNow {
        /// With the times.
        reason: String,
    },
    /// Issue another for this side, unless a clock is wrong.
    #[error(
        "the other side takes this side's certificate to have expired or not to be valid yet; issue another, or set the clocks of both machines"
    )]
    NotValidThere,
    /// This side presented none, which this program never does.
    #[error("the other side asks for a certificate; issue one with jedlik-admin cert issue")]
    CertificateRequired,
    /// The same authority's key was used for two clusters.
    #[error("the other side is of cluster {found}, not of {expected}; dial a node of this cluster")]
    WrongCluster {
        /// This side's.
        expected: ClusterId,
        /// The other's.
        found: ClusterId,
    },
    /// It answers, but may not: only a node's certificate may.
    #[error("the other side is {}, not a node; issue it a node's certificate", found.as_ref().map_or_else(|| "nobody known".into(), ToString::to_string))]
    NotANode {
        /// As far as its certificate says.
        found: Option<Identity>,
    },
    /// Another node has the address: correct the address.
    #[error("the node there is {found}, not {expected}; has the address changed hands?")]
    WrongNode {
        /// Who was meant.
        expected: NodeId,
        /// Who is there.
        found: NodeId,
    },
    /// The builds are too far apart: upgrade the older one, through a build that both can talk to.
    #[error(
        "no version of the protocol in common: this side speaks {ours}, the other {}; upgrade the older of the two",
        theirs.as_deref().unwrap_or("none of these and does not say which")
    )]
    Protocol {
        /// By name, the newest first.
        ours: String,
        /// As the other side says; `None` if it is not of a build that says it.
        theirs: Option<String>,
    },
    /// It knows us, and does not want us.
    #[error("the other side refused: {reason}")]
    Refused {
        /// As it said.
        code: CloseCode,
        /// As it said.
        reason: String,
    },
    /// This endpoint was closed.
    #[error("this endpoint is closed")]
    Closed,
    /// Anything else.
    #[error("the connection failed: {reason}")]
    Broken {
        /// For people.
        reason: String,
    },
}

impl ConnectError {
    /// What the transport says, in our words.
    pub(crate) fn from_transport(
        error: &ConnectionError,
        address: SocketAddr,
        spoken: Spoken,
    ) -> Self {
        match error {
            ConnectionError::ConnectionClosed(close) => told(close.error_code, error, spoken),
            ConnectionError::TransportError(fault) => found(fault.code, error, spoken),
            ConnectionError::VersionMismatch => Self::no_common_version(spoken, None),
            ConnectionError::TimedOut => Self::Timeout { address },
            ConnectionError::LocallyClosed => Self::Closed,
            ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::CidsExhausted => match CloseReason::from_transport(error) {
                CloseReason::There { code: CloseCode::NoCommonVersion, reason } => {
                    Self::no_common_version(spoken, Some(reason))
                }
                CloseReason::There { code, reason } => Self::Refused { code, reason },
                _ => Self::Broken { reason: error.to_string() },
            },
        }
    }

    pub(crate) fn no_common_version(spoken: Spoken, theirs: Option<String>) -> Self {
        Self::Protocol { ours: listed(spoken), theirs }
    }

    /// What this side's check of the other's chain found.
    pub(crate) fn from_verification(error: &rustls::Error, presented: Option<Identity>) -> Self {
        let rustls::Error::InvalidCertificate(fault) = error else {
            return Self::Broken { reason: error.to_string() };
        };
        match fault {
            fault if is_about_time(fault) => Self::NotValidNow { reason: error.to_string() },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotANode { found: presented }
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            _ => Self::Broken { reason: error.to_string() },
        }
    }
}

/// The alert in a QUIC error code, if it is one (RFC 9001, 4.8).
fn alert(code: quinn::TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code);
    let number = u8::try_from(code.checked_sub(0x100)?).ok()?;
    Some(AlertDescription::from(number))
}

/// What the other side says.
fn told(code: quinn::TransportErrorCode, error: &ConnectionError, spoken: Spoken) -> ConnectError {
    match alert(code) {
        Some(AlertDescription::NoApplicationProtocol) => {
            ConnectError::no_common_version(spoken, None)
        }
        Some(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            ConnectError::AuthorityRefused
        }
        Some(AlertDescription::CertificateExpired) => ConnectError::NotValidThere,
        Some(AlertDescription::CertificateRequired) => ConnectError::CertificateRequired,
        _ => ConnectError::Broken { reason: error.to_string() },
    }
}

/// What this side has found; the verifier has told more where it was a certificate.
fn found(code: quinn::TransportErrorCode, error: &ConnectionError, spoken: Spoken) -> ConnectError {
    match alert(code) {
        Some(AlertDescription::NoApplicationProtocol) => {
            ConnectError::no_common_version(spoken, None)
        }
        _ => ConnectError::Broken { reason: error.to_string() },
    }
}
