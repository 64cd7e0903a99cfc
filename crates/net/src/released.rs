//! The socket of an endpoint that was closed, until it is gone.
//!
//! Invariant: nobody is kept from listening by the wait itself for longer than it takes to look.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::limits::RELEASE_TIMEOUT;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the port is free again that an endpoint of this process listened at, or for [`RELEASE_TIMEOUT`].
///
/// A closed endpoint keeps its socket while its connections drain, for some round trips as each of them has
/// measured or guessed them: seconds where a peer does not answer or the machine is busy.
pub async fn released(address: SocketAddr) {
    let taken =
        || UdpSocket::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    let free = async {
        while taken() {
            sleep(LOOK).await;
        }
    };
    if timeout(RELEASE_TIMEOUT, free).await.is_err() {
        tracing::warn!(%address, "the port is still taken");
    }
}
