//! Seeds of a node: what their names stand for now, and what is logged of those that don't answer.
//!
//! Invariant: a name is looked up again as long as the node runs; one that can't be looked up keeps the addresses that
//! it had, and holds no other one up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jedlik_net::{ConnectError, PeerState};
use jedlik_trouble::{Report, Trouble, Troubles};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Place;
use crate::membership_task::Event;
use crate::peers::Peers;

/// Time that a name may take to be looked up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// Time between two looks at which seeds answer.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Number of looks for each of which names are looked up once.
const LOOKS_PER_LOOKUP: u32 = 5;

/// Looks up the addresses that a place stands for now; more than one where its host has several.
pub(crate) async fn look_up(place: &Place) -> Result<Vec<SocketAddr>, String> {
    if let Some(address) = place.address() {
        return Ok(vec![address]);
    }
    match timeout(LOOKUP_LIMIT, lookup_host(place.as_str())).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() { Err("its host has no address".into()) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(format!("its host can't be looked up: {error}")),
        Err(_) => Err(format!("its host was not looked up within {} ms", LOOKUP_LIMIT.as_millis())),
    }
}

/// Seed of a node, with the addresses that it stands for.
#[derive(Debug)]
struct Seed {
    place: Place,
    addresses: Vec<SocketAddr>,
    /// Reason why the seed could not be looked up the last time; `None` if it was.
    unknown: Option<String>,
}

/// Seeds of a node, all of them.
#[derive(Debug)]
pub(crate) struct Seeds {
    all: Vec<Seed>,
}

impl Seeds {
    /// Looks up all places, side by side.
    pub(crate) async fn of(places: &[Place]) -> Self {
        let new = |place: &Place| {
            let (place, addresses, unknown) = (place.clone(), Vec::new(), None);
            Seed { place, addresses, unknown }
        };
        let mut seeds = Self { all: places.iter().map(new).collect() };
        seeds.look_up_again().await;
        seeds
    }

    /// Returns every address of every seed.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.all.iter().flat_map(|seed| seed.addresses.iter().copied()).collect()
    }

    async fn look_up_again(&mut self) {
        let mut lookups = JoinSet::new();
        for (index, seed) in self.all.iter().enumerate() {
            let place = seed.place.clone();
            lookups.spawn(async move { (index, look_up(&place).await) });
        }
        while let Some(done) = lookups.join_next().await {
            let Ok((index, found)) = done else { continue };
            let seed = &mut self.all[index];
            match found {
                Ok(addresses) => (seed.addresses, seed.unknown) = (addresses, None),
                Err(why) => seed.unknown = Some(why),
            }
        }
    }

    /// Returns why each seed does not answer; a seed that does, or was not tried yet, is left out.
    fn failures(&self, states: &BTreeMap<SocketAddr, PeerState>) -> Vec<Failure> {
        self.all.iter().filter_map(|seed| seed.failure(states)).collect()
    }
}

impl Seed {
    fn failure(&self, states: &BTreeMap<SocketAddr, PeerState>) -> Option<Failure> {
        if self.addresses.is_empty() {
            let why = self.unknown.clone()?;
            return Some(Failure { seed: self.place.to_string(), why, unusable: true });
        }
        let mut errors = Vec::new();
        for address in &self.addresses {
            match states.get(address)? {
                PeerState::Down { error } => errors.push(error),
                PeerState::Connecting | PeerState::Up | PeerState::Closed => return None,
            }
        }
        let foreign = errors.iter().find(|error| is_foreign(error));
        let error = foreign.or(errors.last())?;
        let seed = self.place.to_string();
        Some(Failure { seed, why: error.to_string(), unusable: foreign.is_some() })
    }
}

/// Failure of a seed that does not answer, or is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Failure {
    seed: String,
    why: String,
    /// Whether the seed's host can't be looked up, or somebody answers there who is no node of this cluster. Waiting
    /// mends neither, so it is logged though others answer.
    unusable: bool,
}

/// Whether somebody answers who will not become a node of this cluster by waiting.
fn is_foreign(error: &ConnectError) -> bool {
    match error {
        ConnectError::UnknownAuthority
        | ConnectError::AuthorityRefused
        | ConnectError::NotValidNow { .. }
        | ConnectError::NotValidThere
        | ConnectError::CertificateRequired
        | ConnectError::WrongCluster { .. }
        | ConnectError::NotANode { .. }
        | ConnectError::WrongNode { .. }
        | ConnectError::Protocol { .. } => true,
        ConnectError::Timeout { .. }
        | ConnectError::BadAddress { .. }
        | ConnectError::Refused { .. }
        | ConnectError::Closed
        | ConnectError::Broken { .. } => false,
    }
}

/// Troubles with seeds, as they are logged.
#[derive(Default)]
struct Watch {
    /// Trouble that no seed and no member answers.
    alone: Trouble,
    /// Troubles with seeds that can't be looked up or are another cluster's, by their text and what is wrong.
    single: Troubles<(String, String)>,
}

impl Watch {
    fn look(&mut self, now_us: u64, failures: &[Failure], seeds: usize, is_connected: bool) {
        if !is_connected && seeds > 0 && failures.len() == seeds {
            let whole: Vec<String> =
                failures.iter().map(|failed| format!("{}: {}", failed.seed, failed.why)).collect();
            match self.alone.happened(now_us) {
                Some(Report::Began) => warn!(
                    seeds = whole.join("; "),
                    "no seed answers: this node has not found its cluster, and goes on asking"
                ),
                Some(Report::Continues { .. }) => {
                    warn!(seeds = whole.join("; "), "still no seed answers");
                }
                Some(Report::Over { .. }) | None => {}
            }
            return;
        }
        if is_connected && let Some(Report::Over { lasted_s, .. }) = self.alone.over() {
            info!(lasted_s, "a node of the cluster answers");
        }
        for Failure { seed, why, .. } in failures.iter().filter(|failure| failure.unusable) {
            match self.single.happened(now_us, &(seed.clone(), why.clone())) {
                Some((_, Report::Began)) => warn!(%seed, why, "a seed can't be used"),
                Some((_, Report::Continues { .. })) => {
                    warn!(%seed, why, "a seed still can't be used");
                }
                Some((_, Report::Over { .. })) | None => {}
            }
        }
        for (seed, report) in self.single.quiet(now_us) {
            if let (Some((seed, why)), Report::Over { lasted_s, .. }) = (seed, report) {
                info!(%seed, why, lasted_s, "this is no longer wrong with a seed");
            }
        }
    }
}

/// Spawns a task that looks after the seeds until membership has gone, or it is aborted.
pub(crate) fn spawn(
    mut seeds: Seeds,
    peers: Arc<Peers>,
    membership: mpsc::Sender<Event>,
    clock: Clock,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut watch = Watch::default();
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let names = seeds.all.iter().any(|seed| seed.place.address().is_none());
        for look in 0_u32.. {
            ticks.tick().await;
            if names && look % LOOKS_PER_LOOKUP == LOOKS_PER_LOOKUP - 1 {
                let before = seeds.addresses();
                seeds.look_up_again().await;
                let now = seeds.addresses();
                if now != before {
                    peers.retain_seeds(&now);
                    if membership.send(Event::Seeds(now)).await.is_err() {
                        return;
                    }
                }
            }
            let states = peers.seed_states();
            let up = states.values().any(|state| matches!(state, PeerState::Up));
            let failures = seeds.failures(&states);
            let is_connected = up || peers.connected() > 0;
            watch.look(clock.now().mono_us, &failures, seeds.all.len(), is_connected);
            if is_connected {
                // A silent seed may be the address of a node that is gone for good.
                peers.rest_silent_seeds();
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use jedlik_net::{ConnectError, PeerState};

    use super::{Failure, Seeds};
    use crate::config::Place;

    fn places(texts: &[&str]) -> Vec<Place> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_seed_that_can_not_be_looked_up_leaves_the_others_usable_and_says_why() {
        let seeds = Seeds::of(&places(&["no-such-host.invalid:7400", "127.0.0.1:7401"])).await;
        assert_eq!(seeds.addresses(), ["127.0.0.1:7401".parse::<SocketAddr>().unwrap()]);
        let failures = seeds.failures(&BTreeMap::new());
        assert_eq!(failures.len(), 1, "who was not tried is not complained of: {failures:?}");
        assert_eq!(failures[0].seed, "no-such-host.invalid:7400");
        assert!(failures[0].why.starts_with("its host"), "{failures:?}");
    }

    #[tokio::test]
    async fn what_another_cluster_says_is_told_before_a_mere_silence() {
        let seeds = Seeds::of(&places(&["127.0.0.1:7401", "127.0.0.1:7402"])).await;
        let [first, second] = seeds.addresses()[..] else { panic!("two addresses") };
        let down = |error| PeerState::Down { error };
        let states = BTreeMap::from([
            (first, down(ConnectError::UnknownAuthority)),
            (second, down(ConnectError::Timeout { address: second })),
        ]);
        let unusable: Vec<bool> =
            seeds.failures(&states).iter().map(|failure: &Failure| failure.unusable).collect();
        assert_eq!(unusable, [true, false]);
        let states = BTreeMap::from([(first, PeerState::Up), (second, PeerState::Connecting)]);
        assert_eq!(seeds.failures(&states), []);
    }
}
