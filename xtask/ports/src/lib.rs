//! Loopback addresses for nodes that are killed and started again on the same address.
//!
//! A port that the system picks for a socket bound to port 0 may go to any other socket, such as a client's, while the
//! node is down. So these ports are below the range that the system picks from, and each process starts its search at a
//! random place.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Range of the ports: above those of well-known services, and below what any known system picks by itself.
const PORTS: Range<u16> = 10_000..32_000;

/// Offset of the port that was given out last; `None` before the first.
static LAST: Mutex<Option<u16>> = Mutex::new(None);

/// Finds a loopback address whose port is free for UDP and for TCP, and that this process has not given out before.
///
/// # Errors
/// All ports are taken, or the system opens no sockets.
pub fn free_address() -> Result<SocketAddr, Error> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut offset = last.unwrap_or_else(random_offset);
    for _ in PORTS {
        offset = (offset + 1) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        let bound = UdpSocket::bind(address).and_then(|_udp| TcpListener::bind(address));
        match bound {
            Ok(_) => {
                *last = Some(offset);
                return Ok(address);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::AddrInUse, format!("no port of {PORTS:?} is free")))
}

/// Returns a random offset, so that two processes that search at the same time rarely start at the same place.
fn random_offset() -> u16 {
    let drawn =
        RandomState::new().hash_one(std::process::id()) % u64::from(PORTS.end - PORTS.start);
    u16::try_from(drawn).expect("below the number of ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_out_twice_or_while_somebody_listens_there() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let address = free_address().unwrap();
            assert!(PORTS.contains(&address.port()) && seen.insert(address), "{address}");
            // The next port is taken by the test, and must be skipped.
            let next = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() + 1));
            if let Ok(_taken) = UdpSocket::bind(next) {
                assert_ne!(free_address().unwrap(), next);
            }
            let after = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() + 2));
            if let Ok(_taken) = TcpListener::bind(after) {
                assert_ne!(free_address().unwrap(), after);
            }
        }
    }
}
