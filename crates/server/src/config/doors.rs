//! Settings of the doors: where programs that don't speak Jedlik's own protocol come in, and who does.
//!
//! Invariant: beyond this machine nothing is sent in plaintext and nobody comes in unknown, unless the operator has said
//! so in as many words.

use jedlik_door::Access;
use jedlik_net::{ClientCertificates, DoorFiles};

use super::Place;
use super::check::Check;
use super::error::Mistake;

/// Settings of a node's doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// Door for HTTP; `None` if there is none.
    pub http: Option<Door>,
    /// Door for Riak's Protocol Buffers clients; `None` if there is none.
    pub riak_pb: Option<Door>,
}

/// Settings of one door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Place at which the door listens.
    pub listen: Place,
    /// Clients that are let in without a certificate.
    pub access: Access,
    /// Files of the door's certificate; `None` if clients speak in plaintext.
    pub tls: Option<DoorFiles>,
    /// Certificates that clients are asked for.
    pub clients: ClientCertificates,
    /// Whether the door is open to other machines without what that takes, because the operator wants it so.
    pub insecure: bool,
}

/// Names of a door's options.
struct Names {
    listen: &'static str,
    access: &'static str,
    tls_cert: &'static str,
    tls_key: &'static str,
    tls_clients: &'static str,
    insecure: &'static str,
}

const HTTP: Names = Names {
    listen: "http.listen",
    access: "http.access",
    tls_cert: "http.tls_cert",
    tls_key: "http.tls_key",
    tls_clients: "http.tls_clients",
    insecure: "http.insecure_beyond_loopback",
};
const RIAK_PB: Names = Names {
    listen: "riak_pb.listen",
    access: "riak_pb.access",
    tls_cert: "riak_pb.tls_cert",
    tls_key: "riak_pb.tls_key",
    tls_clients: "riak_pb.tls_clients",
    insecure: "riak_pb.insecure_beyond_loopback",
};

impl Check {
    /// Returns the doors' settings; `None` only together with a mistake.
    pub(super) fn doors(&mut self) -> Option<Doors> {
        let (http, riak_pb) = (self.door(&HTTP), self.door(&RIAK_PB));
        Some(Doors { http: http?, riak_pb: riak_pb? })
    }

    /// Returns the settings of one door; `Some(None)` if it is not to be opened.
    fn door(&mut self, names: &Names) -> Option<Option<Door>> {
        let access =
            self.choice(names.access, &[("open", Access::Open), ("tokens", Access::Tokens)]);
        let clients = [
            ("none", ClientCertificates::None),
            ("accepted", ClientCertificates::Accepted),
            ("required", ClientCertificates::Required),
        ];
        let clients = self.choice(names.tls_clients, &clients);
        let may_be_insecure = self.choice(names.insecure, &[("false", false), ("true", true)]);
        let tls = self.door_tls(names, clients?);
        if !self.is_set(names.listen) {
            return Some(None);
        }
        let listen = self.required(names.listen, Self::parsed::<Place>)?;
        let (access, tls, clients) = (access?, tls?, clients?);
        let asks = access == Access::Tokens || clients == ClientCertificates::Required;
        let guarded = tls.is_some() && asks;
        let insecure = !guarded && !listen.is_of_this_machine();
        if insecure && !may_be_insecure? {
            let why = format!(
                "other machines reach it, so it takes a certificate ({} and {}) and clients that show who they are \
                 ({} = \"tokens\" or {} = \"required\"); or listen at 127.0.0.1, ::1 or localhost. Where the network \
                 itself keeps everybody else away, {} = true does without",
                names.tls_cert, names.tls_key, names.access, names.tls_clients, names.insecure
            );
            self.mistaken(names.listen, why);
            return None;
        }
        Some(Some(Door { listen, access, tls, clients, insecure }))
    }

    /// Returns the files of a door's certificate; `Some(None)` if it has none.
    fn door_tls(
        &mut self,
        names: &Names,
        clients: ClientCertificates,
    ) -> Option<Option<DoorFiles>> {
        let (cert, key) = (self.door_file(names.tls_cert), self.door_file(names.tls_key));
        match (self.is_set(names.tls_cert), self.is_set(names.tls_key)) {
            (true, true) => Some(Some(DoorFiles { cert: cert??, key: key?? })),
            (false, false) if clients == ClientCertificates::None => Some(None),
            (false, false) => {
                let why = format!("only TLS shows certificates, which takes {}", names.tls_cert);
                self.mistaken(names.tls_clients, why);
                None
            }
            (has_cert, _) => {
                let (given, missing) = match has_cert {
                    true => (names.tls_cert, names.tls_key),
                    false => (names.tls_key, names.tls_cert),
                };
                self.mistaken(given, format!("it is of no use without {missing}"));
                None
            }
        }
    }

    /// Returns the path of a file that is there; `Some(None)` if none is set.
    fn door_file(&mut self, name: &'static str) -> Option<Option<std::path::PathBuf>> {
        if !self.is_set(name) {
            return Some(None);
        }
        let path = self.required(name, Self::path)?;
        match std::fs::File::open(&path) {
            Ok(_) => Some(Some(path)),
            Err(error) => {
                let why =
                    format!("{error}; `jedlik-admin cert door` makes a certificate and its key");
                self.mistaken(name, why);
                None
            }
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.settings.by_name.contains_key(name)
    }

    /// Notes that a value of the right kind can't be used.
    fn mistaken(&mut self, name: &'static str, why: String) {
        let setting = &self.settings.by_name[name];
        let mistake = Mistake::unusable(name, &setting.values.join(", "), &setting.source, why);
        self.settings.mistakes.push(mistake);
    }
}

#[cfg(test)]
mod tests;
