//! A constant load while a node is killed, frozen, and comes back: no request fails, and none waits long.
//!
//! The time that a request waits depends on the machine, so the bound is checked only if `JEDLIK_WAIT_LIMIT_MS` gives
//! it.

use std::env;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jedlik_client::{Client, PutOptions};
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::observer::{Observer, key};
use crate::requests::{ByKey, size};
use crate::tools::run;

const WRITERS: usize = 16;

#[test]
fn nothing_fails_or_waits_long_while_a_node_is_killed_and_started_again() {
    under_load(|cluster| cluster.kill(2), |cluster| cluster.restart(2));
}

#[test]
fn nothing_fails_or_waits_long_while_a_node_is_frozen_and_goes_on() {
    under_load(|cluster| cluster.nodes[2].freeze(), |cluster| cluster.nodes[2].thaw());
}

/// Runs a load before, while and after a node is away.
fn under_load(leave: impl Fn(&mut Cluster), come_back: impl Fn(&mut Cluster)) {
    let mut cluster = Cluster::start_alone(5, |_| {});
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let load = Load::start(&observer, &client);
    let phase = size("JEDLIK_PHASE_REQUESTS", 800);
    for name in ["before", "away", "back"] {
        match name {
            "away" => leave(&mut cluster),
            "back" => come_back(&mut cluster),
            _ => {}
        }
        wait_until("the load goes on", || load.shared.tally().requests >= phase);
        load.end_phase().demand(name);
    }
    let acknowledged = load.end(&observer);
    cluster.wait_until_all_are_up(0);
    run(cluster.admin(0).args(["hints", "--wait", "--timeout", "120"])).ok();
    observer.wait_until_settled(&acknowledged);
}

/// Counts of the requests, the longest wait and the failures.
#[derive(Debug, Clone, Default)]
struct Tally {
    requests: usize,
    longest: Duration,
    failures: Vec<String>,
}

impl Tally {
    /// Asserts what every client may expect, and prints the counts.
    fn demand(&self, phase: &str) {
        println!("{phase:>6}: {self}");
        assert_eq!(self.failures, [""; 0], "{phase}: {self}");
        if let Ok(limit_ms) = env::var("JEDLIK_WAIT_LIMIT_MS") {
            let limit = Duration::from_millis(limit_ms.parse().unwrap());
            assert!(self.longest < limit, "{phase}: {self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, longest, failures } = self;
        let failed = failures.len();
        write!(f, "{requests} requests, {failed} failed, the longest waited {longest:?}")
    }
}

/// Writers that put and get, each with fresh keys, until they are told to stop.
struct Load {
    shared: Arc<Shared>,
    writers: Vec<tokio::task::JoinHandle<Vec<Key>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap()
    }
}

impl Load {
    fn start(observer: &Observer, client: &Client) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = |number| {
            let writer = write(client.clone(), Arc::clone(&shared), number);
            observer.runtime.spawn(writer)
        };
        let writers = (0..WRITERS).map(writer).collect();
        Self { shared, writers }
    }

    /// Returns the counts of the phase that ends now, and starts counting from zero.
    fn end_phase(&self) -> Tally {
        mem::take(&mut self.shared.tally())
    }

    /// Waits for the requests under way, and returns the keys whose puts were acknowledged.
    fn end(self, observer: &Observer) -> Vec<Key> {
        let Self { shared, writers } = self;
        shared.stop.store(true, Ordering::Relaxed);
        let writers = writers.into_iter();
        let keys = writers.flat_map(|writer| observer.runtime.block_on(writer).unwrap()).collect();
        shared.tally().demand("end");
        keys
    }
}

/// Repeats, as one writer: a put, a get that must find the value, and a pause.
async fn write(client: Client, shared: Arc<Shared>, number: usize) -> Vec<Key> {
    let pause = Duration::from_millis(size("JEDLIK_PAUSE_MS", 50) as u64);
    let mut acknowledged = Vec::new();
    for count in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let key = key(&format!("writer-{number}"), count);
        let (begun, options) = (Instant::now(), PutOptions::default());
        let put = client.put(&key, vec![b'x'; 100]).options(&options).await;
        note(&shared, "put", begun, put.as_ref().err().map(ToString::to_string));
        if put.is_ok() {
            acknowledged.push(key.clone());
            let begun = Instant::now();
            let got = client.get(&key).await;
            let failure = match &got {
                Ok(found) if found.siblings().is_empty() => Some("it is not there".into()),
                found => found.as_ref().err().map(ToString::to_string),
            };
            note(&shared, "get", begun, failure);
        }
        tokio::time::sleep(pause).await;
    }
    acknowledged
}

fn note(shared: &Shared, what: &str, begun: Instant, failure: Option<String>) {
    let took = begun.elapsed();
    let mut tally = shared.tally();
    tally.requests += 1;
    tally.longest = tally.longest.max(took);
    tally.failures.extend(failure.map(|failure| format!("{what} after {took:?}: {failure}")));
}
