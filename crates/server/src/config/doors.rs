//! Settings of the doors: where programs that don't speak Jedlik's own protocol come in.

use std::net::IpAddr;

use jedlik_http::Access;

use super::Place;
use super::check::Check;
use super::error::Mistake;

/// Places at which a node's doors listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// Place at which the node listens for HTTP; `None` if it doesn't.
    pub http: Option<Place>,
    /// Clients that come in by HTTP.
    pub http_access: Access,
    /// Place at which the node listens for Riak's Protocol Buffers clients; `None` if it doesn't.
    pub riak_pb: Option<Place>,
}

impl Check {
    /// Returns the doors' settings; `None` only together with a mistake.
    pub(super) fn doors(&mut self) -> Option<Doors> {
        let (http, riak_pb) = (self.door("http.listen"), self.door("riak_pb.listen"));
        let accesses = [("open", Access::Open), ("tokens", Access::Tokens)];
        let http_access = self.choice("http.access", &accesses);
        Some(Doors { http: http?, http_access: http_access?, riak_pb: riak_pb? })
    }

    /// Returns the place of one door, if it has one. What comes by a door is neither encrypted nor asked who it is, so
    /// it has to come from this machine.
    fn door(&mut self, name: &'static str) -> Option<Option<Place>> {
        if !self.settings.by_name.contains_key(name) {
            return Some(None);
        }
        let place = self.required(name, Self::parsed::<Place>)?;
        if is_of_this_machine(&place) {
            return Some(Some(place));
        }
        let source = self.settings.by_name[name].source.clone();
        let why = "what comes that way is neither encrypted nor asked who it is, so it has to come from this machine: \
                   127.0.0.1, ::1 or localhost"
            .into();
        self.settings.mistakes.push(Mistake::unusable(name, place.as_str(), &source, why));
        None
    }
}

fn is_of_this_machine(place: &Place) -> bool {
    match place.address() {
        Some(address) => IpAddr::is_loopback(&address.ip()),
        None => place.as_str().starts_with("localhost:"),
    }
}
