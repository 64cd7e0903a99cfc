//! Loopback addresses for nodes that are killed and started again on the address that they had.
//!
//! A port that the system picks for a socket bound to port 0 may go to any other socket, such as a client's, while
//! the node is down. So these lie below the range that the system picks from, and each process starts its search
//! at a place of its own.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Above the ports of well-known services and below what any system that we know picks by itself.
const PORTS: Range<u16> = 10_000..32_000;

/// The offset of the port that was given out last; none yet.
static LAST: Mutex<Option<u16>> = Mutex::new(None);

/// Finds a loopback address whose UDP port nobody has now, and that this process has not given out before.
///
/// # Errors
/// All ports are taken, or the system opens no sockets.
pub fn free_udp_address() -> Result<SocketAddr, Error> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut offset = last.unwrap_or_else(random_offset);
    for _ in PORTS {
        offset = (offset + 1) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        match UdpSocket::bind(address) {
            Ok(_) => {
                *last = Some(offset);
                return Ok(address);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::AddrInUse, format!("no UDP port of {PORTS:?} is free")))
}

/// Two processes that look at the same time rarely begin at the same place.
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
            let address = free_udp_address().unwrap();
            assert!(PORTS.contains(&address.port()) && seen.insert(address), "{address}");
            // The next one is taken, so that it is passed over.
            let next = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() + 1));
            if let Ok(_taken) = UdpSocket::bind(next) {
                assert_ne!(free_udp_address().unwrap(), next);
            }
        }
    }
}
