//! The writes of clients, the dots of their versions, and what each version has seen.
//!
//! Invariant: what a version has seen is known from the answers to clients, never from a clock: a clock that covers
//! versions its holder never saw is the very fault to be found.

mod checks;
mod latest;
mod outside;
mod scanned;

use std::collections::{BTreeMap, HashSet};

use jedlik_protocol::client::{GetAnswer, Version as Shown};
use jedlik_protocol::limits::CLOCK_ENTRIES_LIMIT;
use jedlik_protocol::{Blob, ClusterId, Context, Digest, EncodedRecord, Key, Record};
use jedlik_replica::version_tag;
use jedlik_vclock::{ActorId, Content, Dot, WriteId};

use crate::bits::Bits;
use crate::breach::{Breach, Promise};

/// Versions and writes of a key that a client or a version has seen, with everything that those have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub(crate) versions: Bits,
    pub(crate) writes: Bits,
}

impl Seen {
    pub(crate) fn extend(&mut self, other: &Self) {
        self.versions.extend(&other.versions);
        self.writes.extend(&other.writes);
    }
}

/// Put or delete of a client, retries included.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) tombstone: bool,
    /// Time from which the version may have expired, by some node's clock; `None` if it never does.
    expires_us: Option<u64>,
    pub(crate) seen: Seen,
}

/// Strength of an acknowledgement, which decides what must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Whether at least two primaries store the write themselves, so that the very next get of two of them shows it.
    pub by_primaries: bool,
    /// Whether only copies were acknowledged that the victim has or will have: they may be destroyed.
    pub frail: bool,
}

/// Acknowledged writes of one key.
#[derive(Debug, Clone, Default)]
struct Told {
    all: Bits,
    by_primaries: Bits,
    not_frail: Bits,
}

/// Version that was minted for a write; a retry may mint a second one.
#[derive(Debug)]
struct Version {
    write: usize,
    /// Node at which the version was first met; `None` for a cluster that is seen from outside.
    node: Option<u8>,
    /// Place of the version among those of its key; `None` for a client outside the cluster.
    order: Order,
}

/// Time of a version by its coordinator's clock, and its dot: the greatest is the latest.
type Order = Option<(u64, Dot)>;

/// History of one run, as its clients and nodes make it.
#[derive(Debug)]
pub struct History {
    cluster: ClusterId,
    keys: Vec<Key>,
    writes: Vec<Write>,
    versions: Vec<Version>,
    by_dot: BTreeMap<(u8, Dot), usize>,
    by_tag: BTreeMap<(u8, u64), usize>,
    /// Keys and digests of the records that were observed.
    observed: HashSet<(u8, Digest)>,
    /// Versions that the holder of a context has seen, by key and token.
    tokens: BTreeMap<(u8, Blob), Seen>,
    /// Whether overwritten versions of each key may come back, since a clock was as long as it may get.
    truncated: Vec<bool>,
    /// Acknowledged writes of each key.
    told: Vec<Told>,
    tombstones: Vec<Vec<usize>>,
    /// Writes that the collected records of each key had seen; they may be absent from then on.
    collected: Vec<Bits>,
    /// Latest version that was collected, for each key in a bucket where the last write wins.
    latest: BTreeMap<u8, Order>,
}

impl History {
    /// Makes an empty history. From here on keys are numbered by their places in `keys`.
    #[must_use]
    pub fn new(cluster: ClusterId, keys: Vec<Key>) -> Self {
        let count = keys.len();
        Self {
            cluster,
            keys,
            writes: Vec::new(),
            versions: Vec::new(),
            by_dot: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            observed: HashSet::new(),
            tokens: BTreeMap::new(),
            truncated: vec![false; count],
            told: vec![Told::default(); count],
            tombstones: vec![Vec::new(); count],
            collected: vec![Bits::default(); count],
            latest: BTreeMap::new(),
        }
    }

    pub(crate) fn key(&self, key: u8) -> &Key {
        &self.keys[usize::from(key)]
    }

    /// Notes the beginning of a client's write, with what the client has seen; returns the write's number.
    pub fn begin(&mut self, tombstone: bool, seen: Seen, expires_us: Option<u64>) -> usize {
        self.writes.push(Write { tombstone, expires_us, seen });
        self.writes.len() - 1
    }

    /// Notes that a client's write was acknowledged.
    pub fn acknowledge(&mut self, key: u8, write: usize, how: Acknowledged) {
        let told = &mut self.told[usize::from(key)];
        told.all.insert(write);
        if how.by_primaries {
            told.by_primaries.insert(write);
        }
        if !how.frail {
            told.not_frail.insert(write);
        }
        if self.writes[write].tombstone {
            self.tombstones[usize::from(key)].push(write);
        }
    }

    /// Returns the acknowledged writes that must survive; if copies on the victim were `destroyed`, without the frail
    /// ones.
    #[must_use]
    pub fn acknowledged(&self, key: u8, destroyed: bool) -> Bits {
        let Told { all, not_frail, .. } = &self.told[usize::from(key)];
        if destroyed { not_frail.clone() } else { all.clone() }
    }

    /// Returns the writes that the very next get must show, or a version that has seen them.
    #[must_use]
    pub fn acknowledged_by_primaries(&self, key: u8) -> Bits {
        self.told[usize::from(key)].by_primaries.clone()
    }

    /// Returns the number of writes begun so far, which is the number of the next one.
    pub(crate) fn writes_begun(&self) -> usize {
        self.writes.len()
    }

    pub(crate) fn was_truncated(&self, key: u8) -> bool {
        self.truncated[usize::from(key)]
    }

    /// Notes that a node forgets a dead record, which it may do if all others do.
    pub(crate) fn collect(&mut self, key: u8, record: &Record) {
        let seen = self.seen_in(key, record);
        self.collected[usize::from(key)].extend(&seen.writes);
        self.collect_latest(key, record);
    }

    /// Whether a version is in a collected record, or was seen by one.
    pub(crate) fn was_collected(&self, key: u8, dot: Dot) -> bool {
        let version = self.by_dot.get(&(key, dot));
        version.is_some_and(|version| {
            self.collected[usize::from(key)].contains(self.versions[*version].write)
        })
    }

    /// Whether no node was about to store this record of the key before; notes it.
    pub(crate) fn is_new(&mut self, key: u8, record: &EncodedRecord) -> bool {
        self.observed.insert((key, record.digest()))
    }

    /// Observes a record that a node is about to store: notes new dots, and the context that the record gives out.
    pub(crate) fn observe(&mut self, key: u8, node: u8, record: &Record) -> Result<(), Breach> {
        self.truncated[usize::from(key)] |= record.clock().len() >= CLOCK_ENTRIES_LIMIT;
        for sibling in record.siblings() {
            let write = write_of(sibling.write_id);
            match self.by_dot.get(&(key, sibling.dot)) {
                None => {
                    let order = Some((sibling.written_at_ms, sibling.dot));
                    self.check_later(key, write, order)?;
                    self.note(key, sibling.dot, Version { write, node: Some(node), order });
                }
                Some(held) if self.versions[*held].write == write => {}
                Some(held) => {
                    let Version { write: first, node: by, .. } = &self.versions[*held];
                    let (dot, by) = (dot_name(sibling.dot), by.map_or(0, |by| by + 1));
                    let what = format!(
                        "dot {dot} names both w{first}, minted by n{by}, and w{write}, on n{}",
                        node + 1
                    );
                    return Err(Breach::new(Promise::OneDotOneWrite, key, what));
                }
            }
        }
        let token = Context(record.clock().clone()).encode(self.cluster, self.key(key));
        if !self.tokens.contains_key(&(key, token.clone())) {
            let seen = self.seen_in(key, record);
            self.tokens.insert((key, token), seen);
        }
        Ok(())
    }

    fn note(&mut self, key: u8, dot: Dot, version: Version) {
        let index = self.versions.len();
        self.versions.push(version);
        self.by_dot.insert((key, dot), index);
        self.by_tag.insert((key, version_tag(dot)), index);
    }

    /// Returns what the siblings of a record have seen, themselves included.
    pub(crate) fn seen_in(&self, key: u8, record: &Record) -> Seen {
        let mut seen = Seen::default();
        for sibling in record.siblings() {
            if let Some(version) = self.by_dot.get(&(key, sibling.dot)) {
                self.see(&mut seen, *version);
            }
        }
        seen
    }

    /// Returns what a client that puts with the context of a put's answer has seen, which is everything that the
    /// coordinator held. If puts were minted on one another, only the last one's record is stored; the context of an
    /// earlier one stands for the versions that it covers.
    pub(crate) fn seen_by_token(&self, key: u8, token: &Blob) -> Seen {
        if let Some(seen) = self.tokens.get(&(key, token.clone())) {
            return seen.clone();
        }
        let context = Context::decode(token, self.cluster, self.key(key)).unwrap_or_default();
        let mut seen = Seen::default();
        for (dot, version) in self.dots_of(key) {
            if context.0.covers(dot) {
                self.see(&mut seen, version);
            }
        }
        seen
    }

    fn see(&self, seen: &mut Seen, version: usize) {
        let write = self.versions[version].write;
        seen.versions.insert(version);
        seen.writes.insert(write);
        seen.extend(&self.writes[write].seen);
    }

    /// Returns what a client has seen with a get's answer at this time.
    pub(crate) fn seen_in_answer(
        &self,
        key: u8,
        answer: &GetAnswer,
        now_us: u64,
    ) -> Result<Seen, Breach> {
        let shown = self.shown(key, &answer.versions)?;
        let mut seen = Seen::default();
        for version in shown.into_iter().chain(self.hidden(key, answer, now_us)) {
            self.see(&mut seen, version);
        }
        Ok(seen)
    }

    /// Returns the versions that an answer's context covers although the answer does not show them.
    fn hidden(&self, key: u8, answer: &GetAnswer, now_us: u64) -> Vec<usize> {
        let mut hidden = Vec::new();
        // Of several tombstones the answer shows one, which stands for the others. Expired versions are not shown at
        // all.
        let deleted = answer.versions.iter().all(|version| version.content == Content::Tombstone);
        if let Some(token) = answer.context.as_ref() {
            let context = Context::decode(token, self.cluster, self.key(key)).unwrap_or_default();
            for (dot, version) in self.dots_of(key) {
                let write = &self.writes[self.versions[version].write];
                let expired = write.expires_us.is_some_and(|at_us| at_us <= now_us);
                if (expired || (deleted && write.tombstone)) && context.0.covers(dot) {
                    hidden.push(version);
                }
            }
        }
        hidden
    }

    fn dots_of(&self, key: u8) -> impl Iterator<Item = (Dot, usize)> {
        let first = (key, Dot { actor: ActorId(0), counter: 0 });
        let of_key = move |((of, _), _): &(&(u8, Dot), &usize)| *of == key;
        self.by_dot.range(first..).take_while(of_key).map(|((_, dot), version)| (*dot, *version))
    }

    fn shown(&self, key: u8, versions: &[Shown]) -> Result<Vec<usize>, Breach> {
        let version = |tag: u64| {
            self.by_tag.get(&(key, tag)).copied().ok_or_else(|| {
                let what = "a get returned a version that nobody wrote".into();
                Breach::new(Promise::OnlyWhatWasWritten, key, what)
            })
        };
        versions.iter().map(|shown| version(shown.tag)).collect()
    }
}

/// Returns the id by which a client's request names a write.
pub(crate) fn write_id(write: usize) -> WriteId {
    WriteId(write as u128)
}

fn write_of(id: WriteId) -> usize {
    id.0 as usize
}

/// Formats a dot for people.
pub(crate) fn dot_name(dot: Dot) -> String {
    format!("{:04x}:{}", dot.actor.0 >> 48, dot.counter)
}

/// Formats a record for people: each sibling's write and dot.
pub(crate) fn record_name(record: &Record) -> String {
    let names = record.siblings().iter().map(|sibling| {
        let kind = if sibling.content == Content::Tombstone { "-" } else { "" };
        format!("{kind}w{}@{}", write_of(sibling.write_id), dot_name(sibling.dot))
    });
    format!("{{{}}}", names.collect::<Vec<_>>().join(" "))
}
