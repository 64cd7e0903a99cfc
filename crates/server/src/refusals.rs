//! Log of connections that this node's endpoint has refused, of those that it has closed for a fault, and of clients
//! that its doors have refused.
//!
//! Invariant: a peer that gives cause again and again gets one line when it begins, one a minute, and one at the end.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jedlik_door::{DoorName, Reason};
use jedlik_trouble::{Report, Troubles};
use tracing::{info, warn};

use crate::clock::Clock;

/// Address of a connection, and the reason against it.
type Against = (IpAddr, String);

/// Refused and closed connections, as they are logged.
pub(crate) struct Refusals {
    clock: Clock,
    refused: Mutex<Troubles<Against>>,
    closed: Mutex<Troubles<Against>>,
    at_doors: Mutex<Troubles<Against>>,
    refused_count: AtomicU64,
    closed_count: AtomicU64,
    /// Number of refusals by door and reason.
    door_counts: [[AtomicU64; Reason::ALL.len()]; DoorName::ALL.len()],
}

impl Refusals {
    /// Returns a log without refusals.
    pub(crate) fn new(clock: Clock) -> Self {
        let [refused, closed, at_doors] = [(); 3].map(|()| Mutex::default());
        let [refused_count, closed_count] = [const { AtomicU64::new(0) }; 2];
        let door_counts = Default::default();
        Self { clock, refused, closed, at_doors, refused_count, closed_count, door_counts }
    }

    /// Returns the number of connections that were refused, and of those that were closed for a fault.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.refused_count.load(Ordering::Relaxed), self.closed_count.load(Ordering::Relaxed))
    }

    /// Notes that a connection from `address` was refused.
    pub(crate) fn add(&self, address: SocketAddr, why: &str) {
        self.refused_count.fetch_add(1, Ordering::Relaxed);
        let key = (address.ip().to_canonical(), why.to_owned());
        let report = self.with(&self.refused, |troubles, now_us| troubles.happened(now_us, &key));
        if let Some((from, report)) = report {
            REFUSED.log(from, report);
        }
    }

    /// Notes that a connection with `address` was closed for a fault, of which `why` names who is to blame.
    pub(crate) fn add_closed(&self, address: SocketAddr, why: String) {
        self.closed_count.fetch_add(1, Ordering::Relaxed);
        let key = (address.ip().to_canonical(), why);
        let report = self.with(&self.closed, |troubles, now_us| troubles.happened(now_us, &key));
        if let Some((with, report)) = report {
            CLOSED.log(with, report);
        }
    }

    /// Notes that a door has refused a client, or a request of it.
    pub(crate) fn add_at_door(&self, door: DoorName, reason: Reason, from: SocketAddr) {
        self.door_counts[door as usize][reason as usize].fetch_add(1, Ordering::Relaxed);
        let key = (from.ip().to_canonical(), format!("{}: {}", door.name(), told(reason)));
        let report = self.with(&self.at_doors, |troubles, now_us| troubles.happened(now_us, &key));
        if let Some((from, report)) = report {
            AT_DOOR.log(from, report);
        }
    }

    /// Returns how often a door has refused something, by the reason, as metrics name it.
    pub(crate) fn of_door(&self, door: DoorName) -> Vec<(&'static str, u64)> {
        let counts = self.door_counts[door as usize].iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        Reason::ALL.iter().map(|reason| reason.name()).zip(counts).collect()
    }

    /// Logs which refusals have ended; to be called now and then.
    pub(crate) fn look(&self) {
        for (from, report) in self.with(&self.refused, Troubles::quiet) {
            REFUSED.log(from, report);
        }
        for (with, report) in self.with(&self.closed, Troubles::quiet) {
            CLOSED.log(with, report);
        }
        for (from, report) in self.with(&self.at_doors, Troubles::quiet) {
            AT_DOOR.log(from, report);
        }
    }

    fn with<T>(
        &self,
        troubles: &Mutex<Troubles<Against>>,
        look: impl FnOnce(&mut Troubles<Against>, u64) -> T,
    ) -> T {
        // A panic with the lock held leaves at worst a wrong count.
        let mut troubles = troubles.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut troubles, self.clock.now().mono_us)
    }
}

/// Lines of the log about one kind of refusals.
struct Lines {
    began: &'static str,
    continues: &'static str,
    over: &'static str,
}

const REFUSED: Lines = Lines {
    began: "a connection was refused",
    continues: "connections are still being refused",
    over: "no connection was refused for a minute",
};
const CLOSED: Lines = Lines {
    began: "a connection was closed",
    continues: "connections are still being closed",
    over: "no connection was closed for a minute",
};
const AT_DOOR: Lines = Lines {
    began: "a door refused a client",
    continues: "a door still refuses a client again and again",
    over: "a door has refused no client for a minute",
};

impl Lines {
    fn log(&self, against: Option<Against>, report: Report) {
        let Self { began, continues, over } = self;
        let (address, why) = shown(against);
        match report {
            Report::Began => warn!(%address, why, "{began}"),
            Report::Continues { times } => warn!(%address, why, times, "{continues}"),
            Report::Over { times: 1, .. } => {}
            Report::Over { times, lasted_s } => info!(%address, why, times, lasted_s, "{over}"),
        }
    }
}

fn shown(against: Option<Against>) -> (String, String) {
    let others = || (String::from("other addresses"), String::from("several reasons"));
    against.map_or_else(others, |(address, why)| (address.to_string(), why))
}

/// Returns a door's reason in words.
fn told(reason: Reason) -> &'static str {
    match reason {
        Reason::Handshake => "the TLS handshake failed",
        Reason::Plain => "the client did not speak TLS",
        Reason::Nothing => "neither a token nor a certificate was shown",
        Reason::Token => "a token was shown that is not in force",
        Reason::Forbidden => "the client has no right to what it asked for",
    }
}

#[cfg(test)]
mod tests {
    use jedlik_door::{DoorName, Reason};

    use super::Refusals;
    use crate::clock::Clock;
    use crate::lines::lines_of;

    #[test]
    fn connections_that_are_closed_again_and_again_have_one_line_whatever_their_port() {
        let refusals = Refusals::new(Clock::start());
        let lines = lines_of(|| {
            for port in 1000..1100 {
                let address = ([127, 0, 0, 1], port).into();
                refusals.add_closed(address, "client alice: a stream ended within a frame".into());
                refusals.look();
            }
            refusals.add(([127, 0, 0, 1], 1000).into(), "another cluster's");
        });
        assert_eq!(refusals.counts(), (1, 100));
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("a connection was closed address=127.0.0.1"), "{lines:#?}");
        assert!(lines[0].contains("client alice: a stream ended"), "{lines:#?}");
        assert!(lines[1].contains("a connection was refused"), "{lines:#?}");
    }

    #[test]
    fn what_a_door_refuses_is_counted_each_time_and_logged_once() {
        let refusals = Refusals::new(Clock::start());
        let lines = lines_of(|| {
            for port in 1000..1100 {
                let from = ([127, 0, 0, 1], port).into();
                refusals.add_at_door(DoorName::RiakPb, Reason::Token, from);
            }
            refusals.add_at_door(DoorName::Http, Reason::Token, ([127, 0, 0, 1], 1).into());
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("a door refused a client address=127.0.0.1"), "{lines:#?}");
        assert!(lines[0].contains("riak_pb: a token was shown"), "{lines:#?}");
        assert!(refusals.of_door(DoorName::RiakPb).contains(&("wrong_token", 100)));
        assert!(refusals.of_door(DoorName::Http).contains(&("wrong_token", 1)));
        assert_eq!(refusals.counts(), (0, 0));
    }
}
