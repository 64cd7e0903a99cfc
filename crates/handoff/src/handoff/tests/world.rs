//! Storage and targets that do what they are asked when the test says so.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{ClusterId, Digest, EncodedRecord, Key, PlacedKey, Record, StoredRecord};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use jedlik_storage_port::{Hint, HintMark, HintPage, HintTotals};

use crate::{Delivery, Handoff, HandoffOutput};

pub(crate) fn placed(number: u32) -> PlacedKey {
    let key = Key::new("words", number.to_string().as_str()).expect("a short name");
    PlacedKey::new(ClusterId(7), PartitionCount::new(1).expect("a power of two"), key)
}

/// Returns the record of a key after so many writes to it.
pub(crate) fn record(version: u64, value_bytes: usize) -> EncodedRecord {
    let mut record = Record::new();
    let content = Content::Value(alloc::vec![7_u8; value_bytes].into());
    let write = Write {
        write_id: WriteId(u128::from(version)),
        written_at_ms: version,
        expires_at_ms: None,
        content,
    };
    record.put(&VectorClock::default(), ActorId(version), write);
    EncodedRecord::encode(&record)
}

/// Machine under test, with storage, targets and time.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) now_us: u64,
    pub(crate) handoff: Handoff,
    pub(crate) held: BTreeMap<NodeId, BTreeMap<PlacedKey, Hint>>,
    pub(crate) outputs: Vec<HandoffOutput>,
    pub(crate) underway: Vec<Delivery>,
    pub(crate) synced: BTreeSet<(NodeId, PlacedKey, Digest)>,
    writes: u64,
}

impl World {
    /// Stores a hint, or lets it grow.
    pub(crate) fn hint(&mut self, target: NodeId, key: u32, value_bytes: usize) {
        self.writes += 1;
        let (key, since_ms) = (placed(key), self.writes);
        let hints = self.held.entry(target).or_default();
        let record = StoredRecord { local: None, record: record(since_ms, value_bytes) };
        let hint = Hint { target, since_ms, key: key.clone(), record };
        hints.entry(key).and_modify(|held| held.record = hint.record.clone()).or_insert(hint);
        self.tell_totals(target);
    }

    pub(crate) fn tell_totals(&mut self, target: NodeId) {
        let hints = self.held.entry(target).or_default();
        let totals = HintTotals {
            count: hints.len() as u64,
            bytes: hints.values().map(|hint| hint.record.record.bytes().len() as u64).sum(),
            oldest_ms: hints.values().map(|hint| hint.since_ms).min(),
        };
        self.handoff.handle_totals(self.now_us, target, totals);
        self.collect();
    }

    pub(crate) fn up(&mut self, target: NodeId) {
        self.handoff.handle_up(self.now_us, target);
        self.collect();
    }

    pub(crate) fn down(&mut self, target: NodeId) {
        self.handoff.handle_down(self.now_us, target);
        self.collect();
    }

    /// Lets time pass, to the machine's next wake at most.
    pub(crate) fn pass(&mut self, us: u64) {
        let until_us = self.now_us + us;
        self.now_us = self.handoff.poll_timeout().map_or(until_us, |at| at.min(until_us));
        self.handoff.handle_timeout(self.now_us);
        self.collect();
    }

    /// Takes one delivery, as the budget would allow it.
    pub(crate) fn send(&mut self) -> Option<(NodeId, PlacedKey)> {
        let waits = self.handoff.has_delivery();
        let delivery = self.handoff.poll_delivery(self.now_us);
        assert_eq!(waits, delivery.is_some(), "what it says it has, it has");
        self.collect();
        let delivery = delivery?;
        let (target, key) = (delivery.target, delivery.key.clone());
        let twice = self.underway.iter().any(|other| (other.target, &other.key) == (target, &key));
        assert!(!twice, "{key:?} is under way to {target} already");
        self.underway.push(delivery);
        Some((target, key))
    }

    pub(crate) fn send_all(&mut self) -> Vec<(NodeId, PlacedKey)> {
        core::iter::from_fn(|| self.send()).collect()
    }

    /// Has the target sync a delivery under way and answer.
    pub(crate) fn deliver(&mut self, index: usize, window: u16) {
        let Delivery { target, key, record } = self.underway.remove(index);
        self.synced.insert((target, key.clone(), record.digest()));
        self.handoff.handle_delivered(self.now_us, target, &key, window);
        self.collect();
    }

    /// Fails a delivery under way; the target may have synced it all the same.
    pub(crate) fn lose(&mut self, index: usize, synced: bool) {
        let Delivery { target, key, record } = self.underway.remove(index);
        if synced {
            self.synced.insert((target, key.clone(), record.digest()));
        }
        self.handoff.handle_delivery_failed(self.now_us, target, &key, "no answer".into());
        self.collect();
    }

    /// Has storage carry out one effect, or fail.
    pub(crate) fn store(&mut self, index: usize, ok: bool) {
        match self.outputs.remove(index) {
            HandoffOutput::LoadPage { target, .. } if !ok => {
                self.handoff.handle_page_failed(self.now_us, target);
            }
            HandoffOutput::Release { target, key, .. } if !ok => {
                let why = "the disk is full".into();
                self.handoff.handle_release_failed(self.now_us, target, &key, why);
            }
            HandoffOutput::LoadPage { target, after, limit_records, limit_bytes } => {
                let page = self.page(target, after.as_ref(), limit_records, limit_bytes);
                self.handoff.handle_page(self.now_us, target, page);
            }
            HandoffOutput::Release { target, key, digest } => {
                let hints = self.held.entry(target).or_default();
                if hints.get(&key).is_some_and(|held| held.record.record.digest() == digest) {
                    let known = self.synced.contains(&(target, key.clone(), digest));
                    assert!(known, "{key:?} is dropped before {target} has synced it");
                    hints.remove(&key);
                }
                self.tell_totals(target);
                self.handoff.handle_released(self.now_us, target, &key);
            }
        }
        self.collect();
    }

    pub(crate) fn store_all(&mut self) {
        while !self.outputs.is_empty() {
            self.store(0, true);
        }
    }

    /// Starts the process anew: only storage is left.
    pub(crate) fn restart(&mut self) {
        self.handoff = Handoff::new();
        self.outputs.clear();
        self.underway.clear();
        for target in self.held.keys().copied().collect::<Vec<_>>() {
            self.tell_totals(target);
        }
    }

    /// Lets everything work from now on, until no hint is left.
    pub(crate) fn drain(&mut self) {
        let limit = 10_000;
        for _ in 0..limit {
            self.store_all();
            self.send_all();
            while !self.underway.is_empty() {
                self.deliver(0, 8);
            }
            if self.outputs.is_empty() && self.held.values().all(BTreeMap::is_empty) {
                return;
            }
            self.pass(10_000_000);
        }
        panic!("after {limit} rounds hints are left: {:?}", self.handoff);
    }

    pub(crate) fn left(&self, target: NodeId) -> usize {
        self.held.get(&target).map_or(0, BTreeMap::len)
    }

    fn page(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_records: u32,
        limit_bytes: u32,
    ) -> HintPage {
        let hints = self.held.get(&target).into_iter().flat_map(BTreeMap::values);
        let past = hints.filter(|hint| after.is_none_or(|after| hint.mark() > *after));
        let mut past: Vec<Hint> = past.cloned().collect();
        past.sort_by_key(Hint::mark);
        let (mut bytes, found) = (0, past.len());
        let fits = |hint: &Hint| {
            let room = bytes <= limit_bytes as usize;
            bytes += hint.record.record.bytes().len();
            room
        };
        let hints: Vec<Hint> =
            past.into_iter().take(limit_records as usize).take_while(fits).collect();
        let until = hints.last().filter(|_| hints.len() < found).map(Hint::mark);
        HintPage { hints, until, damaged: Vec::new() }
    }

    fn collect(&mut self) {
        while let Some(output) = self.handoff.poll_output() {
            self.outputs.push(output);
        }
    }
}
