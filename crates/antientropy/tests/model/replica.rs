//! A replica of one partition: records in the order of the store, and the tree that goes with them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::LazyLock;

use jedlik_hashing::PartitionCount;
use jedlik_merkle::{LEAF_BITS, LEAVES, Tree, item};
use jedlik_protocol::client::ScanMark;
use jedlik_protocol::peer::{DigestEntry, DigestPage, Page};
use jedlik_protocol::{ClusterId, Digest, EncodedRecord, Key, PlacedKey, Record};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

const CLUSTER: ClusterId = ClusterId(7);

fn one_partition() -> PartitionCount {
    PartitionCount::new(1).expect("1 is a power of two")
}

/// Returns the key of this number.
pub(crate) fn key(number: u32) -> Key {
    Key::new("bucket", &number.to_be_bytes()[..]).expect("it is within the limits")
}

/// Returns the leaf in which `key` lies.
pub(crate) fn leaf(key: &Key) -> u16 {
    one_partition().leaf(key.position(CLUSTER), LEAF_BITS) as u16
}

/// Returns numbers of keys: some that crowd two leaves, and as many from anywhere.
pub(crate) fn crowded() -> &'static [u32] {
    static NUMBERS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let crowd = (16..).filter(|number| [3, LEAVES as u16 - 1].contains(&leaf(&key(*number))));
        crowd.take(16).chain(0..16).collect()
    });
    &NUMBERS
}

/// Returns a record of one version by `actor`, beside those of `record` or in place of them.
pub(crate) fn put(record: Option<&EncodedRecord>, actor: u64, replaces: bool) -> EncodedRecord {
    let mut record = record.map_or_else(Record::new, decoded);
    let context = if replaces { record.clock().clone() } else { VectorClock::new() };
    let write = Write {
        write_id: WriteId(actor.into()),
        written_at_ms: actor,
        expires_at_ms: None,
        content: Content::Value((&actor.to_le_bytes()[..]).into()),
    };
    record.put(&context, ActorId(actor), write);
    EncodedRecord::encode(&record)
}

/// Replica of the partition: its records and its tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Replica {
    records: BTreeMap<PlacedKey, EncodedRecord>,
    tree: Tree,
}

impl Replica {
    /// Creates a replica with a record for each of so many keys.
    pub(crate) fn of(keys: u32) -> Self {
        let mut replica = Self::default();
        for number in 0..keys {
            replica.merge(&key(number), &put(None, number.into(), true));
        }
        replica
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&EncodedRecord> {
        self.records.get(&placed(key))
    }

    pub(crate) fn digest(&self, key: &Key) -> Option<Digest> {
        self.get(key).map(EncodedRecord::digest)
    }

    /// Merges a record into what is held, and its change into the tree.
    pub(crate) fn merge(&mut self, key: &Key, record: &EncodedRecord) {
        let mut merged = decoded(record);
        if let Some(held) = self.get(key) {
            merged.merge(&decoded(held));
        }
        self.set(key, Some(EncodedRecord::encode(&merged)));
    }

    /// Merges all that another one holds.
    pub(crate) fn merge_all(&mut self, other: &Self) {
        for (placed, record) in &other.records {
            self.merge(&placed.key, record);
        }
    }

    /// Puts a record in place of what is held, or removes it.
    pub(crate) fn set(&mut self, key: &Key, record: Option<EncodedRecord>) {
        let placed = placed(key);
        let stands = |digest: Digest| item(placed.position.0, digest.0);
        let before = self.digest(key).map(stands);
        let after = record.as_ref().map(EncodedRecord::digest).map(stands);
        self.tree.change(leaf(key), before, after);
        match record {
            Some(record) => self.records.insert(placed, record),
            None => self.records.remove(&placed),
        };
    }

    /// Returns whether the replica holds nothing in the leaf of `key`.
    pub(crate) fn lacks_leaf_of(&self, key: &Key) -> bool {
        self.tree.leaf_is_empty(leaf(key))
    }

    /// Returns whether the replica has merged all that another one holds.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let mut merged = self.clone();
        merged.merge_all(other);
        merged == *self
    }

    /// Returns how many records of another replica this one has not seen all of.
    pub(crate) fn lacking(&self, other: &Self) -> usize {
        let has_seen = |placed: &PlacedKey, record: &EncodedRecord| {
            let held = self.records.get(placed).map(decoded).unwrap_or_default();
            held.clock().descends(decoded(record).clock())
        };
        other.records.iter().filter(|(placed, record)| !has_seen(placed, record)).count()
    }

    /// Returns a replica with the first so many of the records: what a stream that broke off has brought.
    pub(crate) fn begun(&self, records: usize) -> Self {
        let mut begun = Self::default();
        for (placed, record) in self.records.iter().take(records) {
            begun.merge(&placed.key, record);
        }
        begun
    }

    /// Returns a page of the digests in these leaves, with clocks if wanted; all of them if `limit` allows.
    pub(crate) fn digests(
        &self,
        leaves: (u16, u16),
        after: Option<ScanMark>,
        limit: usize,
        clocks: bool,
    ) -> DigestPage {
        let Page { records, until } = self.page(leaves, after, limit);
        let entry = |record: &EncodedRecord| DigestEntry {
            digest: record.digest(),
            clock: clocks.then(|| decoded(record).clock().clone()),
        };
        let digests = records.into_iter().map(|(key, record)| (key, entry(&record))).collect();
        DigestPage { digests, until }
    }

    /// Returns a page of the records in these leaves; all of them if `limit` allows.
    pub(crate) fn page(&self, leaves: (u16, u16), after: Option<ScanMark>, limit: usize) -> Page {
        let partitions = one_partition();
        let partition = partitions.partitions().next().expect("there is one");
        let range = |leaf: u16| partitions.leaf_range(partition, leaf.into(), LEAF_BITS);
        let (first, last) = (range(leaves.0).0, range(leaves.1).1);
        let start = after.map_or(Bound::Unbounded, |mark| {
            Bound::Excluded(PlacedKey { partition, position: mark.position, key: mark.key })
        });
        let mut in_leaves = self
            .records
            .range((start, Bound::Unbounded))
            .filter(|(placed, _)| (first..=last).contains(&placed.position));
        let page: Vec<_> = in_leaves.by_ref().take(limit).collect();
        let until = in_leaves
            .next()
            .and(page.last())
            .map(|(placed, _)| ScanMark { position: placed.position, key: placed.key.clone() });
        let records = page.iter().map(|(placed, record)| (placed.key.clone(), (*record).clone()));
        Page { records: records.collect(), until }
    }
}

fn placed(key: &Key) -> PlacedKey {
    PlacedKey::new(CLUSTER, one_partition(), key.clone())
}

fn decoded(record: &EncodedRecord) -> Record {
    record.decode().expect("the model encoded it")
}
