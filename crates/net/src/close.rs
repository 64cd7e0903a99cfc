//! Ends of connections: the codes that travel with a close, and the reason that a handler is given.

use core::fmt;

use quinn::{ConnectionError, VarInt};

/// Code that a side sends when it closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The closing side is done, or stopping; nothing is wrong.
    Done,
    /// The other side's certificate is of another cluster.
    WrongCluster,
    /// The other side's certificate names no node, admin or client.
    NoIdentity,
    /// The other side sent a frame that its role may not send.
    ForbiddenFrame,
    /// The other side sent bytes that are not a frame.
    MalformedFrame,
    /// The other side sent a frame whose length is over the limit.
    FrameTooLong,
    /// The other side used streams otherwise than the protocol says.
    BadStream,
    /// The closing side serves as many connections as it may.
    TooManyConnections,
    /// The program on the closing side has a fault.
    Failed,
    /// The two sides have no version of the protocol in common; the reason lists the closing side's.
    NoCommonVersion,
    /// The other side's certificate names a node that was removed from the cluster, or has left it.
    NotAMember,
    /// A frame did not arrive in time, or the other side did not take frames in time.
    TooSlow,
    /// Code that only a newer version knows.
    Unknown(u32),
}

const KNOWN: [(u32, CloseCode); 12] = [
    (0, CloseCode::Done),
    (1, CloseCode::WrongCluster),
    (2, CloseCode::NoIdentity),
    (3, CloseCode::ForbiddenFrame),
    (4, CloseCode::MalformedFrame),
    (5, CloseCode::FrameTooLong),
    (6, CloseCode::BadStream),
    (7, CloseCode::TooManyConnections),
    (8, CloseCode::Failed),
    (9, CloseCode::NoCommonVersion),
    (10, CloseCode::NotAMember),
    (11, CloseCode::TooSlow),
];

impl CloseCode {
    pub(crate) fn number(self) -> VarInt {
        let number = match self {
            Self::Unknown(number) => Some(number),
            known => KNOWN.iter().find(|(_, code)| *code == known).map(|(number, _)| *number),
        };
        VarInt::from_u32(number.expect("every known code is in the table"))
    }

    pub(crate) fn from_number(number: VarInt) -> Self {
        let number = u32::try_from(number.into_inner()).unwrap_or(u32::MAX);
        KNOWN
            .iter()
            .find(|(known, _)| *known == number)
            .map_or(Self::Unknown(number), |(_, code)| *code)
    }
}

/// Reason for which a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// This side closed the connection, for what the other did or because it is done.
    Here {
        /// Code that was sent to the other side.
        code: CloseCode,
        /// Text that was sent to the other side.
        reason: String,
    },
    /// The other side closed the connection.
    There {
        /// Code that the other side sent.
        code: CloseCode,
        /// Text that the other side sent.
        reason: String,
    },
    /// Nothing was heard from the other side for [`crate::limits::IDLE_TIMEOUT`].
    Silent,
    /// The transport failed: the other side was restarted, or broke the QUIC protocol.
    Broken {
        /// Description for people, from the transport.
        reason: String,
    },
}

impl CloseReason {
    /// Returns what the other side, or a fault of this program, has made this side close the connection for; `None` if
    /// it has ended otherwise.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        let Self::Here { code, reason } = self else { return None };
        let is_fault = matches!(
            code,
            CloseCode::ForbiddenFrame
                | CloseCode::MalformedFrame
                | CloseCode::FrameTooLong
                | CloseCode::BadStream
                | CloseCode::Failed
                | CloseCode::TooSlow
        );
        is_fault.then_some(reason.as_str())
    }

    /// Translates the transport's error, for a connection that this side has not closed.
    pub(crate) fn from_transport(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::There {
                code: CloseCode::from_number(close.error_code),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::LocallyClosed => Self::Here {
                code: CloseCode::Done,
                reason: String::from("the endpoint was closed"),
            },
            other => Self::Broken { reason: other.to_string() },
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here { reason, .. } => write!(f, "closed by this side: {reason}"),
            Self::There { reason, .. } => write!(f, "closed by the other side: {reason}"),
            Self::Silent => write!(f, "nothing was heard for {:?}", crate::limits::IDLE_TIMEOUT),
            Self::Broken { reason } => write!(f, "the transport failed: {reason}"),
        }
    }
}
