//! Writers and readers that go on while a cluster changes: their answers, their waits, and a check that every
//! acknowledged version is there.
//!
//! Each key has one writer, which numbers its versions; a version replaces the one before. With R + W > N a get finds
//! the newest one that was acknowledged before it began, unless a stand-in keeps it for an owner that was slow or away:
//! then it must be found soon.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jedlik_client::{Client, Context, Found};
use jedlik_protocol::Key;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, wait_until};
use crate::node::LIMIT;
use crate::observer::{Observer, key};
use crate::requests::{ByKey, r, shown, size};

/// Keys that are checked at the same time.
const AT_ONCE: usize = 32;
/// Distance between the keys that a reader gets in turn: a prime, so that it visits all.
const STRIDE: usize = 7_919;

/// Amount of traffic; see `main.rs` for the variables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) records: usize,
    value_bytes: usize,
    writers: usize,
    readers: usize,
    pause: Duration,
}

impl Size {
    /// Returns the usual size with this many records, unless the environment says otherwise.
    pub(crate) fn of(usual_records: usize) -> Self {
        Self {
            records: size("JEDLIK_MOVED_RECORDS", usual_records),
            value_bytes: size("JEDLIK_RECORD_BYTES", 1_024),
            writers: size("JEDLIK_WRITERS", 4),
            readers: size("JEDLIK_READERS", 4),
            pause: Duration::from_millis(size("JEDLIK_TRAFFIC_PAUSE_MS", 20) as u64),
        }
    }
}

/// Waits, stale gets and failures of the requests in a phase.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Waits of all requests, sorted once the phase has ended.
    waits: Vec<Duration>,
    stale: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Asserts that no request failed, prints the counts, and returns the 99th percentile of the waits.
    pub(crate) fn demand(&self, phase: &str) -> Duration {
        println!("{phase:>20}: {self}");
        assert_eq!(self.failures, [""; 0], "{phase}: {self}");
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, failed, stale) = (self.waits.len(), self.failures.len(), self.stale);
        let (p50, p99) = (self.percentile(50), self.percentile(99));
        let longest = self.waits.last().copied().unwrap_or_default();
        write!(
            f,
            "{requests} requests, {failed} failed, {stale} gets came before a stand-in had delivered; \
             p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}"
        )
    }
}

/// Writers and readers that go on until they are told to stop.
pub(crate) struct Traffic<'a> {
    observer: &'a Observer,
    client: Client,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    size: Size,
    keys: Vec<Key>,
    /// Number of the newest acknowledged version of each key.
    acknowledged: Vec<AtomicU32>,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

impl<'a> Traffic<'a> {
    /// Puts every key once, on all of its owners, and starts the writers and readers.
    pub(crate) fn start(cluster: &Cluster, observer: &'a Observer, size: Size) -> Self {
        let client = observer.runtime.block_on(cluster.client(0));
        let shared = Arc::new(Shared {
            size,
            keys: (0..size.records).map(|number| key("moved", number)).collect(),
            acknowledged: (0..size.records).map(|_| AtomicU32::new(0)).collect(),
            stop: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        let mut traffic = Self { observer, client, shared, tasks: Vec::new() };
        let contexts = traffic.fill();
        for (number, contexts) in contexts.into_iter().enumerate() {
            let shared = Arc::clone(&traffic.shared);
            let writer = write(traffic.client.clone(), shared, number, contexts);
            traffic.tasks.push(observer.runtime.spawn(writer));
        }
        for number in 0..size.readers {
            let reader = read(traffic.client.clone(), Arc::clone(&traffic.shared), number);
            traffic.tasks.push(observer.runtime.spawn(reader));
        }
        traffic
    }

    /// Puts the first version of every key and returns the contexts of each writer's keys.
    fn fill(&self) -> Vec<Vec<Option<Context>>> {
        let writers = self.shared.size.writers;
        let fillers = (0..writers).map(|number| {
            let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
            self.observer.runtime.spawn(async move {
                let mut contexts = Vec::new();
                for index in (number..shared.keys.len()).step_by(writers) {
                    contexts.push(shared.put(&client, index, 1, (3, None)).await);
                }
                contexts
            })
        });
        let fillers: Vec<_> = fillers.collect();
        let contexts =
            fillers.into_iter().map(|filler| self.observer.runtime.block_on(filler).unwrap());
        let contexts = contexts.collect();
        self.end_phase().demand("filling");
        contexts
    }

    /// Returns all keys of the traffic.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.shared.keys
    }

    /// Waits for this many requests in addition to those of this phase so far.
    pub(crate) fn wait_for(&self, requests: usize) {
        let wanted = self.shared.tally().waits.len() + requests;
        wait_until("the traffic goes on", || self.shared.tally().waits.len() >= wanted);
    }

    /// Returns the tally of the phase that ends now, and starts a new one.
    pub(crate) fn end_phase(&self) -> Tally {
        let mut tally = mem::take(&mut *self.shared.tally());
        tally.waits.sort_unstable();
        tally
    }

    /// Gets every key: each acknowledged version must be there, or one that replaced it.
    pub(crate) fn check_all(&self) {
        let checkers = (0..AT_ONCE).map(|first| {
            let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
            self.observer.runtime.spawn(async move {
                for index in (first..shared.keys.len()).step_by(AT_ONCE) {
                    shared.get(&client, index).await;
                }
            })
        });
        for checker in checkers.collect::<Vec<_>>() {
            self.observer.runtime.block_on(checker).unwrap();
        }
        let failures = self.shared.tally().failures.clone();
        assert_eq!(failures, [""; 0]);
    }

    /// Waits for the requests under way. Then a get must find every acknowledged version, every owner must hold it, and
    /// no node may have a hint of it.
    pub(crate) fn end(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in mem::take(&mut self.tasks) {
            self.observer.runtime.block_on(task).unwrap();
        }
        self.end_phase().demand("end");
        self.check_all();
        self.observer.wait_until_settled(&self.shared.keys);
        self.check_all();
        assert_eq!(self.end_phase().stale, 0, "every owner holds every version");
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap()
    }

    fn note(&self, begun: Instant, what: &str, failure: Option<String>) {
        let took = begun.elapsed();
        let mut tally = self.tally();
        tally.waits.push(took);
        tally.failures.extend(failure.map(|failure| format!("{what} after {took:?}: {failure}")));
    }

    /// Puts a version and returns the context for the next one; `None` if the put failed.
    async fn put(
        &self,
        client: &Client,
        index: usize,
        version: u32,
        (w, context): (u8, Option<Context>),
    ) -> Option<Context> {
        let key = &self.keys[index];
        let mut value = version.to_le_bytes().to_vec();
        value.resize(self.size.value_bytes.max(value.len()), b'x');
        let begun = Instant::now();
        let done = client.put(key, value).w(w).context(context).await;
        let failure = done.as_ref().err().map(ToString::to_string);
        self.note(begun, &format!("put of {}", shown(key)), failure);
        let answer = done.ok()?;
        self.acknowledged[index].store(version, Ordering::Release);
        Some(answer.context())
    }

    /// Gets a key, which must have at least the version acknowledged before; repeats the get while it is stale.
    async fn get(&self, client: &Client, index: usize) {
        let key = &self.keys[index];
        let least = self.acknowledged[index].load(Ordering::Acquire);
        let first = Instant::now();
        loop {
            let begun = Instant::now();
            let (found, failure) = match client.get(key).options(&r(2)).await {
                Ok(found) => (newest(&found), None),
                Err(error) => (least, Some(error.to_string())),
            };
            self.note(begun, &format!("get of {}", shown(key)), failure);
            if found >= least {
                return;
            }
            self.tally().stale += 1;
            if first.elapsed() > LIMIT {
                let lost = format!("version {least} was acknowledged, and {found} is found");
                return self.note(first, &format!("get of {}", shown(key)), Some(lost));
            }
            tokio::time::sleep(self.size.pause).await;
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Returns the newest version that a get has found; 0 if there is none.
fn newest(found: &Found) -> u32 {
    let versions = found.values().filter_map(|value| value.first_chunk());
    versions.copied().map(u32::from_le_bytes).max().unwrap_or(0)
}

/// Puts, as one writer, version after version of its keys.
async fn write(
    client: Client,
    shared: Arc<Shared>,
    number: usize,
    mut contexts: Vec<Option<Context>>,
) {
    for version in 2.. {
        for (place, context) in contexts.iter_mut().enumerate() {
            if !shared.goes_on() {
                return;
            }
            let index = number + place * shared.size.writers;
            let follows = (2, context.clone());
            let answered = shared.put(&client, index, version, follows).await;
            *context = answered.or(context.take());
            tokio::time::sleep(shared.size.pause).await;
        }
    }
}

/// Gets, as one reader, key after key.
async fn read(client: Client, shared: Arc<Shared>, number: usize) {
    let mut index = number * 31 % shared.keys.len();
    while shared.goes_on() {
        shared.get(&client, index).await;
        index = (index + STRIDE) % shared.keys.len();
        tokio::time::sleep(shared.size.pause).await;
    }
}
