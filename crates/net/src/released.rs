//! Wait for the socket of a closed endpoint to be gone.
//!
//! Invariant: each look frees the port at once, so the wait itself hardly keeps anybody from listening.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::limits::RELEASE_TIMEOUT;

/// Interval between two looks at the port.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the port on which an endpoint of this process listened is free again, or for [`RELEASE_TIMEOUT`].
///
/// A closed endpoint keeps its socket while its connections drain, for some round trips as each has measured or
/// guessed them: seconds where a peer does not answer or the machine is busy.
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
