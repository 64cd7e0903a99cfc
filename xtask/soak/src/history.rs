//! The random history: which step comes next.
//!
//! Invariant: the next step follows from the seed, the steps before and the model alone.

use jedlik_hashing::{NodeId, Partition};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::model::Model;
use crate::names::{BUCKETS, PARTITIONS};

/// Most records in one batch.
const BATCH_RECORDS: u32 = 400;
/// Most hints in one batch.
const BATCH_HINTS: u32 = 40;
/// Number of nodes that hints are for.
pub(crate) const TARGETS: u32 = 4;
/// Number of keys that have hints.
const HINTED_KEYS: u32 = 5_000;

/// One step of a history. Keys are numbers.
#[derive(Debug)]
pub(crate) enum Step {
    /// A batch of records and hints, each with its new version; `None` removes what is there.
    Write {
        records: Vec<(u32, Option<u64>)>,
        hints: Vec<(NodeId, u32, Option<u64>)>,
        metadata: Option<(String, Option<Vec<u8>>)>,
    },
    /// The drop of partitions.
    Drop(Vec<Partition>),
    /// One step of a sweep with this limit of records.
    Sweep(usize),
    /// Loads of keys, present and absent ones.
    Load(Vec<u32>),
    /// All pages of a partition, or of one bucket in it.
    Range {
        partition: Partition,
        bucket: Option<u32>,
        values: bool,
        page: usize,
        after: Option<u32>,
    },
    /// All pages of the hints for a target.
    Hints { target: NodeId, page: usize },
    /// Totals of all hints, and metadata.
    Totals,
    /// Every engine is closed and opened.
    OpenAgain,
}

impl Step {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Write { .. } => "a batch",
            Self::Drop(_) => "a drop of partitions",
            Self::Sweep(_) => "a sweep",
            Self::Load(_) => "loads",
            Self::Range { .. } => "pages of a partition",
            Self::Hints { .. } => "pages of hints",
            Self::Totals => "totals and metadata",
            Self::OpenAgain => "a reopening",
        }
    }
}

/// Source of a history's steps.
pub(crate) struct History {
    random: ChaCha8Rng,
    keys: u32,
    version: u64,
}

impl History {
    pub(crate) fn new(seed: u64, keys: u32) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), keys, version: 0 }
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.random.next_u32() % limit.max(1)
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    /// Returns the next step.
    pub(crate) fn next(&mut self, model: &Model) -> Step {
        match self.below(200) {
            0..=99 => self.write(model),
            100..=101 => {
                let count = 1 + self.below(3);
                Step::Drop((0..count).map(|_| self.partition()).collect())
            }
            102..=119 => Step::Sweep(1 + self.below(2_000) as usize),
            120..=159 => {
                let count = 1 + self.below(100);
                Step::Load((0..count).map(|_| self.key()).collect())
            }
            160..=179 => self.range(),
            180..=189 => Step::Hints { target: self.target(), page: 1 + self.below(100) as usize },
            190..=197 => Step::Totals,
            _ => Step::OpenAgain,
        }
    }

    fn partition(&mut self) -> Partition {
        Partition(self.below(PARTITIONS))
    }

    fn target(&mut self) -> NodeId {
        NodeId(1 + u64::from(self.below(TARGETS)))
    }

    /// Returns a key: one in ten is one of a few hot ones.
    fn key(&mut self) -> u32 {
        let keys = self.keys;
        if self.one_in(10) { self.below(keys.min(500)) } else { self.below(keys) }
    }

    fn write(&mut self, model: &Model) -> Step {
        let (records, hints) = match self.below(8) {
            0 => (0, 1 + self.below(BATCH_HINTS)),
            1 => (1 + self.below(20), 1 + self.below(5)),
            _ => (1 + self.below(BATCH_RECORDS), 0),
        };
        // A history that only grows would be over too soon, one that only deletes would have nothing to lose.
        let delete_one_in = if model.records.len() as u32 > self.keys / 2 { 2 } else { 6 };
        let records = (0..records).map(|_| (self.key(), self.next_version(delete_one_in)));
        let records = records.collect();
        let hints = (0..hints)
            .map(|_| (self.target(), self.below(HINTED_KEYS.min(self.keys)), self.next_version(3)));
        let hints = hints.collect();
        let metadata = self.one_in(4).then(|| {
            let name = format!("name {}", self.below(6));
            let value = (!self.one_in(5)).then(|| self.version.to_le_bytes().to_vec());
            (name, value)
        });
        Step::Write { records, hints, metadata }
    }

    fn next_version(&mut self, delete_one_in: u32) -> Option<u64> {
        self.version += 1;
        (!self.one_in(delete_one_in)).then_some(self.version)
    }

    fn range(&mut self) -> Step {
        let partition = self.partition();
        let bucket = self.one_in(2).then(|| self.below(BUCKETS));
        let (values, page) = (!self.one_in(3), 1 + self.below(300) as usize);
        let after = self.one_in(3).then(|| self.key());
        Step::Range { partition, bucket, values, page, after }
    }
}
