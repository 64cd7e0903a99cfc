//! Errors of making a connection, each with its cause and remedy for people.
//!
//! TLS sends little more than an alert's number; this module gives each its likely cause and remedy.

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

/// A connection that was not made. Neither side keeps anything of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// Nothing answered: check that the node runs and that UDP reaches it.
    #[error("{address} did not answer within {} ms; is the node up, and does UDP reach it?", CONNECT_TIMEOUT.as_millis())]
    Timeout {
        /// Address that was dialed.
        address: SocketAddr,
    },
    /// This socket can't reach such an address: port 0, for instance, or the other IP version.
    #[error("{address} can't be dialed from this socket: {reason}")]
    BadAddress {
        /// Address that was dialed.
        address: SocketAddr,
        /// Description for people, from the transport.
        reason: String,
    },
    /// The other side's certificate is of another authority: it is another cluster's node, or the certificate is old.
    #[error(
        "the other side's certificate was not signed by this cluster's authority; is it another cluster's node?"
    )]
    UnknownAuthority,
    /// The other side does not know the authority of this side's certificate.
    #[error(
        "the other side does not know the authority of this side's certificate; is it another cluster's node? issue the certificate with its authority"
    )]
    AuthorityRefused,
    /// The other side's certificate has expired or is not valid yet: issue another, unless a clock is wrong.
    #[error(
        "the other side's certificate has expired or is not valid yet ({reason}); issue another, or set the clocks of both machines"
    )]
    NotValidNow {
        /// Description for people, with the times.
        reason: String,
    },
    /// The other side takes this side's certificate to be expired or not valid yet: issue another, unless a clock is
    /// wrong.
    #[error(
        "the other side takes this side's certificate to have expired or not to be valid yet; issue another, or set the clocks of both machines"
    )]
    NotValidThere,
    /// The other side has seen no certificate of this side, although this program always presents one.
    #[error("the other side asks for a certificate; issue one with jedlik-admin cert issue")]
    CertificateRequired,
    /// The other side is of another cluster: the key of one authority was used for two.
    #[error("the other side is of cluster {found}, not of {expected}; dial a node of this cluster")]
    WrongCluster {
        /// Cluster of this side.
        expected: ClusterId,
        /// Cluster of the other side.
        found: ClusterId,
    },
    /// The other side's certificate is not a node's, and only a node may answer.
    #[error("the other side is {}, not a node; issue it a node's certificate", found.as_ref().map_or_else(|| "nobody known".into(), ToString::to_string))]
    NotANode {
        /// Identity in the other side's certificate; `None` if it has none.
        found: Option<Identity>,
    },
    /// Another node has the address: correct the address.
    #[error("the node there is {found}, not {expected}; has the address changed hands?")]
    WrongNode {
        /// Node that was meant.
        expected: NodeId,
        /// Node that answered instead.
        found: NodeId,
    },
    /// The two builds are too far apart: upgrade the older one, through a build that speaks with both.
    #[error(
        "no version of the protocol in common: this side speaks {ours}, the other {}; upgrade the older of the two",
        theirs.as_deref().unwrap_or("none of these and does not say which")
    )]
    Protocol {
        /// Names of the versions that this side speaks, the newest first.
        ours: String,
        /// Names of the versions that the other side speaks; `None` if its build does not say.
        theirs: Option<String>,
    },
    /// The other side knows this one and refuses the connection.
    #[error("the other side refused: {reason}")]
    Refused {
        /// Code that the other side sent.
        code: CloseCode,
        /// Text that the other side sent.
        reason: String,
    },
    /// The endpoint that dialed was closed.
    #[error("this endpoint is closed")]
    Closed,
    /// The connection failed for any other reason.
    #[error("the connection failed: {reason}")]
    Broken {
        /// Description for people, from the transport.
        reason: String,
    },
}

impl ConnectError {
    /// Translates the transport's error on a connection that was being made to `address`.
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

    /// Translates what this side's check of the other's certificate chain found.
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

/// Returns the alert in a QUIC error code, if it is one (RFC 9001, 4.8).
fn alert(code: quinn::TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code);
    let number = u8::try_from(code.checked_sub(0x100)?).ok()?;
    Some(AlertDescription::from(number))
}

/// Translates the error with which the other side ended the handshake.
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

/// Translates the error that this side found in the handshake. About a certificate the verifier has told more.
fn found(code: quinn::TransportErrorCode, error: &ConnectionError, spoken: Spoken) -> ConnectError {
    match alert(code) {
        Some(AlertDescription::NoApplicationProtocol) => {
            ConnectError::no_common_version(spoken, None)
        }
        _ => ConnectError::Broken { reason: error.to_string() },
    }
}
