//! QUIC between nodes, admins and clients: endpoints, mutual TLS, framing, kept connections. TLS for doors.
//!
//! Invariants: nothing is sent or accepted in plaintext; both ends of every QUIC connection hold certificates of the same
//! cluster's authority; a hostile or corrupt message ends its connection and nothing else; sending never blocks and
//! every queue has a limit ([`limits`]). No other crate knows quinn or rustls.

pub mod authority;
mod close;
mod connect;
mod connection;
mod credentials;
mod door_tls;
mod endpoint;
mod handler;
mod identity;
pub mod limits;
mod outbox;
mod peer;
mod receive;
mod released;
mod tls;
mod transmit;
mod validity;
mod version;

pub use close::{CloseCode, CloseReason};
pub use connect::ConnectError;
pub use connection::{Connection, SendError};
pub use credentials::{Credentials, CredentialsError};
pub use door_tls::{ClientCertificates, DoorFiles, DoorSettings, DoorTls};
pub use endpoint::{Endpoint, NetError};
pub use handler::{Handler, may_send};
pub use identity::{Identity, InvalidName, Role};
pub use peer::{Peer, PeerState};
pub use released::released;
