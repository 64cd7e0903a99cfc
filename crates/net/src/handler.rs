//! What an endpoint's owner does with connections, and what each role may say to it.

use std::net::SocketAddr;

use jedlik_protocol::codec::Frame;

use crate::{CloseReason, Connection, Role};

/// The owner of an endpoint. Called on the runtime's tasks: it must not block.
///
/// For one connection the calls come in the order `connected`, any number of `received`, `closed`;
/// `received` may come from two tasks at a time, since large frames travel apart from small ones.
pub trait Handler: Send + Sync + 'static {
    /// A connection is ready, made by either side.
    fn connected(&self, connection: &Connection) {
        let _ = connection;
    }

    /// Frames have arrived: all that one read completed, in the order in which they were sent.
    /// What is left in `frames` is dropped.
    ///
    /// Keys, values and records in them are slices of the receive buffer: who keeps one for long
    /// copies it, or keeps its neighbours in memory too.
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>);

    /// A connection from `address` was not let in, which is the endpoint's own decision. May be called as often
    /// as others dial: whoever logs it bounds that.
    fn refused(&self, address: SocketAddr, why: &str) {
        let _ = (address, why);
    }

    /// The connection is over; nothing more comes from it.
    fn closed(&self, connection: &Connection, why: &CloseReason) {
        let _ = (connection, why);
    }
}

/// Whether a peer of this role may send this frame at all. A frame it may not send ends its connection;
/// a request it may send but that asks for more than its role allows is refused with an answer.
#[must_use]
pub fn may_send(role: Role, frame: &Frame) -> bool {
    match role {
        Role::Node => true,
        Role::Admin | Role::Client => {
            matches!(frame, Frame::ClientRequest { .. } | Frame::Withdraw { .. })
        }
    }
}
