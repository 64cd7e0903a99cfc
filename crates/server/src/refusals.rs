//! Log of connections that this node's endpoint has refused.
//!
//! Invariant: a peer that dials again and again gets one line when it begins, one a minute, and one at the end.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use jedlik_trouble::{Report, Troubles};
use tracing::{info, warn};

use crate::clock::Clock;

/// Address that was refused, and the reason.
type Refused = (IpAddr, String);

/// Refused connections, as they are logged.
pub(crate) struct Refusals {
    clock: Clock,
    troubles: Mutex<Troubles<Refused>>,
}

impl Refusals {
    /// Returns a log without refusals.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, troubles: Mutex::default() }
    }

    /// Notes that a connection from `address` was refused.
    pub(crate) fn add(&self, address: SocketAddr, why: &str) {
        let key = (address.ip().to_canonical(), why.to_owned());
        let report = self.with(|troubles, now_us| troubles.happened(now_us, &key));
        if let Some((from, report)) = report {
            log(from, report);
        }
    }

    /// Logs which refusals have ended; to be called now and then.
    pub(crate) fn look(&self) {
        for (from, report) in self.with(Troubles::quiet) {
            log(from, report);
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Troubles<Refused>, u64) -> T) -> T {
        // A panic with the lock held leaves at worst a wrong count.
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut troubles, self.clock.now().mono_us)
    }
}

fn log(from: Option<Refused>, report: Report) {
    let others = || (String::from("other addresses"), String::from("several reasons"));
    let (address, why) = from.map_or_else(others, |(address, why)| (address.to_string(), why));
    match report {
        Report::Began => warn!(%address, why, "a connection was refused"),
        Report::Continues { times } => {
            warn!(%address, why, times, "connections are still being refused");
        }
        Report::Over { times: 1, .. } => {}
        Report::Over { times, lasted_s } => {
            info!(%address, why, times, lasted_s, "no connection was refused for a minute");
        }
    }
}
