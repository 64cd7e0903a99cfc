//! What a shard writes down of its votes.
//!
//! Invariant: bytes that can't be read as a whole count for nothing; then all that flipped to this shard is refilled.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::Partition;

use super::{Basis, Entry, Votes};

pub(super) const VERSION: u8 = 2;

impl Votes {
    /// Version 2: whether a lost past is not refilled yet (1 byte); the number of entries (4); for each its partition (4),
    /// N (1), the number of its bases (1) and for each its N and quorum (1 each); then for each bucket the length of its
    /// name (2), the name, and N (1). Version 1 lacks the first byte.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = [VERSION, u8::from(self.catching_up)].to_vec();
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for ((partition, n), entry) in &self.entries {
            out.extend_from_slice(&partition.0.to_le_bytes());
            out.extend_from_slice(&[*n, entry.bases.len() as u8]);
            out.extend(entry.bases.iter().flat_map(|basis| [basis.n, basis.least_w]));
        }
        for (bucket, n) in self.counts.iter().flatten() {
            out.extend_from_slice(&(bucket.len() as u16).to_le_bytes());
            out.extend_from_slice(bucket);
            out.push(*n);
        }
        out
    }
}

/// What a shard has written down of its votes.
pub(super) struct Kept {
    pub(super) entries: BTreeMap<(Partition, u8), Entry>,
    pub(super) counts: BTreeMap<Vec<u8>, u8>,
    pub(super) catching_up: bool,
}

/// What was kept; `None` if these bytes are nothing of the kind.
pub(super) fn decode(bytes: &[u8]) -> Option<Kept> {
    let (catching_up, rest) = match bytes {
        [1, rest @ ..] => (false, rest),
        [VERSION, catching_up @ (0 | 1), rest @ ..] => (*catching_up == 1, rest),
        _ => return None,
    };
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut entries = BTreeMap::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (partition, after) = rest.split_first_chunk::<4>()?;
        let ([n, bases], after) = after.split_first_chunk::<2>()?;
        let (bases, after) = after.split_at_checked(2 * usize::from(*bases))?;
        let bases = bases.as_chunks::<2>().0.iter();
        let bases = bases.map(|[n, least_w]| Basis { n: *n, least_w: *least_w });
        let entry = Entry { bases: bases.collect(), ..Entry::default() };
        entries.insert((Partition(u32::from_le_bytes(*partition)), *n), entry);
        rest = after;
    }
    let mut counts = BTreeMap::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (bucket, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (n, after) = after.split_first()?;
        counts.insert(bucket.to_vec(), *n);
        rest = after;
    }
    rest.is_empty().then_some(Kept { entries, counts, catching_up })
}
