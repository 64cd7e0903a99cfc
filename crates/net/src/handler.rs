//! Callbacks to the owner of an endpoint, and the frames that each role may send to it.

use std::net::SocketAddr;

use jedlik_protocol::codec::Frame;

use crate::{CloseReason, Connection, Role};

/// Owner of an endpoint. Its methods are called on the runtime's tasks and must not block.
///
/// For one connection the calls come in the order `connected`, any number of `received`, `closed`. Two tasks may call
/// `received` at a time, since large frames travel apart from small ones.
pub trait Handler: Send + Sync + 'static {
    /// Called when a connection is ready, made by either side.
    fn connected(&self, connection: &Connection) {
        let _ = connection;
    }

    /// Called when frames have arrived: all that one read completed, in the order in which they were sent. Frames
    /// that are left in `frames` are dropped.
    ///
    /// Keys, values and records in them are slices of the receive buffer. Copy one that is kept for long, since it
    /// keeps its neighbours in memory too.
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>);

    /// Called when the endpoint has refused a connection from `address`. Others decide how often that happens, so a
    /// log of it has to be bounded.
    fn refused(&self, address: SocketAddr, why: &str) {
        let _ = (address, why);
    }

    /// Called when the connection has ended; nothing more comes from it. Others decide how often that happens for a
    /// fault ([`CloseReason::fault`]), so a log of it has to be bounded.
    fn closed(&self, connection: &Connection, why: &CloseReason) {
        let _ = (connection, why);
    }
}

/// Whether a peer of this role may send this frame at all. A frame that it may not send ends its connection; a
/// request that it may send but that asks for more than its role allows is refused with an answer.
#[must_use]
pub fn may_send(role: Role, frame: &Frame) -> bool {
    match role {
        Role::Node => true,
        Role::Admin | Role::Client => {
            matches!(frame, Frame::ClientRequest { .. } | Frame::Withdraw { .. })
        }
    }
}
