//! The row that a shard writes down of its votes.
//!
//! Invariant: bytes that can't be read as a whole count for nothing; then all that flipped to this shard is refilled.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::Partition;
use jedlik_protocol::{LayoutId, PartitionSet};

use crate::keyset::Keyset;

use super::layouts::{Followed, Layouts};
use super::{Basis, Entry, Votes};

pub(super) const VERSION: u8 = 4;

impl Votes {
    /// Encodes the row, version 4: whether a lost past is not refilled yet (1 byte), and if so the number of active
    /// layouts (1), and for each its version and digest (8 each), whether it was learned of since (1), and the number
    /// (4) and the names (4 each) of the partitions that have flipped under it; the number of entries (4); for each its
    /// partition (4), N (1), whether something is lost (1), the number of its bases (1) and for each its N and quorum
    /// (1 each); then for each bucket the length of its name (2), the name, and N (1). Version 3 does not say whether
    /// something is lost, version 2 lacks the layouts too, and version 1 the first byte as well.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = [VERSION, u8::from(self.catching_up)].to_vec();
        if self.catching_up {
            let layouts = self.layouts.iter().flatten();
            out.push(layouts.clone().count() as u8);
            for (id, followed) in layouts {
                out.extend_from_slice(&id.version.to_le_bytes());
                out.extend_from_slice(&id.digest.to_le_bytes());
                out.push(u8::from(followed.learned));
                out.extend_from_slice(&followed.flipped.len().to_le_bytes());
                out.extend(followed.flipped.iter().flat_map(|partition| partition.0.to_le_bytes()));
            }
        }
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for (keys, entry) in &self.entries {
            out.extend_from_slice(&keys.partition.0.to_le_bytes());
            out.extend_from_slice(&[keys.n, u8::from(entry.lost), entry.bases.len() as u8]);
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

/// Row that a shard has written down of its votes.
pub(super) struct Kept {
    pub(super) entries: BTreeMap<Keyset, Entry>,
    pub(super) counts: BTreeMap<Vec<u8>, u8>,
    pub(super) catching_up: bool,
    /// Active layouts as of the last view; `None` where they were not written down.
    pub(super) layouts: Option<Layouts>,
}

/// Decodes a row; `None` if these bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Kept> {
    let (catching_up, layouts, rest) = match bytes {
        [1, rest @ ..] => (false, None, rest),
        [2, catching_up @ (0 | 1), rest @ ..] => (*catching_up == 1, None, rest),
        [3 | VERSION, 0, rest @ ..] => (false, None, rest),
        [3 | VERSION, 1, rest @ ..] => {
            let (layouts, rest) = decode_layouts(rest)?;
            (true, layouts, rest)
        }
        _ => return None,
    };
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut entries = BTreeMap::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (partition, after) = rest.split_first_chunk::<4>()?;
        let (n, after) = after.split_first()?;
        // Where it was not written down, something may be lost.
        let (lost, after) = match (bytes[0], after) {
            (VERSION, [lost @ (0 | 1), after @ ..]) => (*lost == 1, after),
            (VERSION, _) => return None,
            (_, after) => (true, after),
        };
        let (bases, after) = after.split_first()?;
        let (bases, after) = after.split_at_checked(2 * usize::from(*bases))?;
        let bases = bases.as_chunks::<2>().0.iter();
        let bases = bases.map(|[n, least_w]| Basis { n: *n, least_w: *least_w });
        let entry = Entry { bases: bases.collect(), lost, ..Entry::default() };
        let partition = Partition(u32::from_le_bytes(*partition));
        entries.insert(Keyset::new(partition, *n), entry);
        rest = after;
    }
    let mut counts = BTreeMap::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (bucket, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (n, after) = after.split_first()?;
        counts.insert(bucket.to_vec(), *n);
        rest = after;
    }
    rest.is_empty().then_some(Kept { entries, counts, catching_up, layouts })
}

/// Decodes the layouts and returns the bytes after them. There is always an active layout: none says that
/// they were not known.
fn decode_layouts(bytes: &[u8]) -> Option<(Option<Layouts>, &[u8])> {
    let (count, mut rest) = bytes.split_first()?;
    let mut layouts = Layouts::new();
    for _ in 0..*count {
        let (version, after) = rest.split_first_chunk::<8>()?;
        let (digest, after) = after.split_first_chunk::<8>()?;
        let ([learned @ (0 | 1)], after) = after.split_first_chunk::<1>()? else { return None };
        let (flipped, after) = after.split_first_chunk::<4>()?;
        let flipped_bytes = (u32::from_le_bytes(*flipped) as usize).checked_mul(4)?;
        let (flipped, after) = after.split_at_checked(flipped_bytes)?;
        let flipped = flipped.as_chunks::<4>().0.iter();
        let flipped: PartitionSet =
            flipped.map(|partition| Partition(u32::from_le_bytes(*partition))).collect();
        let (version, digest) = (u64::from_le_bytes(*version), u64::from_le_bytes(*digest));
        layouts.insert(LayoutId { version, digest }, Followed { learned: *learned == 1, flipped });
        rest = after;
    }
    Some(((!layouts.is_empty()).then_some(layouts), rest))
}
