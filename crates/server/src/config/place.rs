//! Place to dial or to listen at: a host, by name or by address, and a port.
//!
//! Invariant: a place that exists can be looked up; whether it stands for an address now is known only by doing so.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Host and port, as `HOST:PORT` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(String);

/// Error for a text that is not `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPlace;

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let place = Self(text.to_owned());
        if place.address().is_some() {
            return Ok(place);
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAPlace)?;
        let is_name = (1..=253).contains(&host.len())
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
            // An address with a mistake in it is not a name.
            && !host.chars().all(|c| c.is_ascii_digit() || c == '.');
        (is_name && port.parse::<u16>().is_ok()).then_some(place).ok_or(NotAPlace)
    }
}

impl Place {
    /// Returns the place as it was configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address; `None` where the host is a name.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.parse().ok()
    }

    /// Whether the place stands for every interface.
    #[must_use]
    pub fn is_every_interface(&self) -> bool {
        self.address().is_some_and(|address| IpAddr::is_unspecified(&address.ip()))
    }

    /// Whether only programs of this machine reach the place.
    #[must_use]
    pub fn is_of_this_machine(&self) -> bool {
        match self.address() {
            Some(address) => IpAddr::is_loopback(&address.ip()),
            None => self.0.starts_with("localhost:"),
        }
    }

    /// Returns the port; 0 takes any free one.
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("a place has a port: it was parsed")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn names_and_addresses_with_ports_are_places_and_nothing_else_is() {
        for text in ["10.0.0.6:7400", "[::1]:7400", "node-1.example.org:7400", "n1:0", "db_1:1"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in
            ["", "n1", ":7400", "n1:", "n1:70000", "10.0.0.256:1", "a b:1", "::1:7400", "n1:x"]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert!("0.0.0.0:7400".parse::<Place>().unwrap().is_every_interface());
        assert_eq!("n1:7400".parse::<Place>().unwrap().port(), 7400);
    }
}
