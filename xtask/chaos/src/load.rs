//! The clients: sessions that read and write the same few hundred keys, and record the answers.
//!
//! Invariant: every value names the write that made it, so that an answer tells which writes it shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jedlik_client::{Client, ClientError, Context as Seen, Found, Sibling};
use jedlik_protocol::limits::CLOCK_ENTRIES_LIMIT;
use jedlik_protocol::{Blob, ClusterId, Context, Key};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::chance::{Chance, Concern};
use crate::changes::Rests;
use crate::chronicle::Chronicle;
use crate::record::{Asked, Event, Held, Outcome, Shown};

/// Bucket of all keys, with the default properties.
const BUCKET: &str = "chaos";
/// Range of a session's pause between requests.
const PAUSE_MS: (u64, u64) = (10, 70);
const VALUE_BYTES: (u64, u64) = (32, 1_500);
/// Deletes among a hundred writes.
const DELETES: u64 = 10;
const BLIND: u64 = 7;

/// Numbers of sessions and keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) writers: u16,
    pub(crate) readers: u16,
    pub(crate) keys: u16,
}

/// State that all sessions share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) rests: Arc<Rests>,
    pub(crate) over: AtomicBool,
    writes: AtomicU64,
}

impl Common {
    pub(crate) fn new(chronicle: Arc<Chronicle>, rests: Arc<Rests>) -> Self {
        Self { chronicle, rests, over: AtomicBool::new(false), writes: AtomicU64::new(1) }
    }
}

/// Returns the key with this number.
pub(crate) fn key(number: u16) -> anyhow::Result<Key> {
    Ok(Key::new(BUCKET, format!("k{number}").as_str())?)
}

/// Whether a session writes; the others only read.
pub(crate) fn writes(session: u16, sizes: Sizes) -> bool {
    session < sizes.writers
}

/// Starts all sessions, spread over the clients; each returns its events once the load is over.
///
/// # Errors
/// The keys' names are invalid.
pub(crate) fn start(
    clients: &[Client],
    common: &Arc<Common>,
    seed: u64,
    sizes: Sizes,
) -> anyhow::Result<JoinSet<Vec<Event>>> {
    let keys: Arc<[Key]> = (0..sizes.keys).map(key).collect::<anyhow::Result<Vec<_>>>()?.into();
    let mut sessions = JoinSet::new();
    for (number, client) in (0..sizes.writers + sizes.readers).zip(clients.iter().cycle()) {
        let session = Session {
            number,
            writer: writes(number, sizes),
            cluster: client.admin().topology().cluster,
            client: client.clone(),
            keys: keys.clone(),
            common: common.clone(),
            chance: Chance::new(seed, Concern::Session(number)),
            events: Vec::new(),
        };
        sessions.spawn(session.run());
    }
    Ok(sessions)
}

struct Session {
    number: u16,
    writer: bool,
    cluster: ClusterId,
    client: Client,
    keys: Arc<[Key]>,
    common: Arc<Common>,
    chance: Chance,
    events: Vec<Event>,
}

impl Session {
    async fn run(mut self) -> Vec<Event> {
        while !self.common.over.load(Ordering::Relaxed) {
            let pause_ms = self.chance.between(PAUSE_MS.0, PAUSE_MS.1);
            sleep(Duration::from_millis(pause_ms)).await;
            // Keys with low numbers are in greater demand.
            let limit = self.chance.below(self.keys.len() as u64) + 1;
            let key = self.chance.below(limit) as u16;
            if self.writer { self.write(key).await } else { drop(self.get(key).await) }
        }
        self.events
    }

    async fn write(&mut self, key: u16) {
        let kind = self.chance.below(100);
        let write = self.common.writes.fetch_add(1, Ordering::Relaxed);
        if kind < BLIND {
            return self.put(key, Asked::Put { write, follows: false }, None).await;
        }
        let Some(found) = self.get(key).await else { return };
        let deletes = !found.is_absent() && kind < BLIND + DELETES;
        let put = Asked::Put { write, follows: true };
        let asked = if deletes { Asked::Delete { write } } else { put };
        self.put(key, asked, found.context()).await;
    }

    async fn get(&mut self, key: u16) -> Option<Found> {
        let place = self.keys[usize::from(key)].clone();
        let (start_us, spell) = self.begin();
        let answer = self.client.bucket(place.bucket()).get(place.key()).await;
        let outcome = match &answer {
            Ok(answer) => Outcome::Got(shown(answer, self.cluster, &place)),
            Err(error) => failed(error),
        };
        self.end(key, Asked::Get, outcome, (start_us, spell));
        answer.ok()
    }

    async fn put(&mut self, key: u16, asked: Asked, context: Option<Seen>) {
        let place = self.keys[usize::from(key)].clone();
        let bucket = self.client.bucket(place.bucket());
        let bytes = self.chance.between(VALUE_BYTES.0, VALUE_BYTES.1) as usize;
        let begun = self.begin();
        let answer = match asked {
            Asked::Put { write, .. } => {
                let value = format!("{:<bytes$}", format!("write {write} "));
                bucket.put(place.key(), value).context(context).await
            }
            Asked::Delete { .. } | Asked::Get => bucket.delete(place.key()).context(context).await,
        };
        let outcome = match answer {
            Ok(answer) => {
                let own = answer
                    .acknowledgements()
                    .iter()
                    .filter(|by| by.stands_in_for.is_none())
                    .count();
                Outcome::Stored { primaries: own as u8 }
            }
            Err(error) => failed(&error),
        };
        self.end(key, asked, outcome, begun);
    }

    fn begin(&self) -> (u64, Option<u64>) {
        (self.common.chronicle.now_us(), self.common.rests.spell())
    }

    fn end(&mut self, key: u16, asked: Asked, outcome: Outcome, begun: (u64, Option<u64>)) {
        let (start_us, spell) = begun;
        let at_rest = spell.is_some() && self.common.rests.spell() == spell;
        let end_us = self.common.chronicle.now_us();
        let session = self.number;
        self.events.push(Event { session, key, start_us, end_us, asked, outcome, at_rest });
    }
}

fn failed(error: &ClientError) -> Outcome {
    Outcome::Failed { kind: error.name(), maybe_applied: error.maybe_applied() }
}

/// Converts an answer to the form in which it is judged.
pub(crate) fn shown(answer: &Found, cluster: ClusterId, key: &Key) -> Shown {
    let held = |sibling: &Sibling| held(sibling.value().map(|value| &value[..]));
    let versions = answer.siblings().iter();
    let versions = versions.map(|sibling| (sibling.tag().to_u64(), held(sibling)));
    let token = answer.context().map(|context| Blob::from(context.as_bytes().clone()));
    let clock = token.map(|token| Context::decode(&token, cluster, key));
    let truncated = match clock {
        None => false,
        Some(Ok(context)) => context.0.len() >= CLOCK_ENTRIES_LIMIT,
        // A context that can't be read may be any.
        Some(Err(_)) => true,
    };
    Shown { versions: versions.collect(), primaries: answer.primaries(), truncated }
}

/// Returns what a sibling holds: the write that its value names, a tombstone, or a foreign value.
fn held(value: Option<&[u8]>) -> Held {
    let Some(value) = value else { return Held::Tombstone };
    let write = || std::str::from_utf8(value).ok()?.strip_prefix("write ")?.trim().parse().ok();
    write().map_or(Held::Foreign, Held::Write)
}

#[cfg(test)]
mod tests;
