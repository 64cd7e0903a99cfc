//! Digests of a node's knowledge, so that nodes that know the same find that out with a few bytes.
//!
//! Invariant: every field is hashed with its length before it, so different summaries hash differently.

use jedlik_protocol::access::Subject;
use jedlik_protocol::gossip::{MemberDigest, Summary};
use jedlik_protocol::{Digest, LayoutId, PartitionSet};
use xxhash_rust::xxh3::Xxh3;

/// Computes the digest of all that a summary says.
pub(crate) fn digest(summary: &Summary) -> Digest {
    let mut hasher = Xxh3::new();
    let mut number = |value: u64| hasher.update(&value.to_le_bytes());
    number(summary.members.len() as u64);
    for MemberDigest { node, generation, version, incarnation } in &summary.members {
        [node.0, *generation, *version, incarnation.0].into_iter().for_each(&mut number);
    }
    number(summary.layouts.len() as u64);
    for (id, flipped) in &summary.layouts {
        of_layout(*id).into_iter().chain([flipped.0]).for_each(&mut number);
    }
    number(u64::from(summary.staging.is_some()));
    if let Some((base, revision, digest)) = &summary.staging {
        of_layout(*base).into_iter().chain([*revision, digest.0]).for_each(&mut number);
    }
    hasher.update(&(summary.buckets.len() as u64).to_le_bytes());
    for (name, version, digest) in &summary.buckets {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&version.to_le_bytes());
        hasher.update(&digest.0.to_le_bytes());
    }
    for (subject, version, digest) in &summary.access {
        let kind: u8 = match subject {
            Subject::Token(_) => 1,
            Subject::Certificate(_) => 2,
        };
        hasher.update(&[kind]);
        hasher.update(&(subject.name().len() as u64).to_le_bytes());
        hasher.update(subject.name().as_bytes());
        hasher.update(&version.to_le_bytes());
        hasher.update(&digest.0.to_le_bytes());
    }
    Digest(hasher.digest())
}

/// Computes the digest of a set of partitions.
pub(crate) fn of_partitions(set: &PartitionSet) -> Digest {
    let mut hasher = Xxh3::new();
    set.iter().for_each(|partition| hasher.update(&partition.0.to_le_bytes()));
    Digest(hasher.digest())
}

fn of_layout(id: LayoutId) -> [u64; 2] {
    [id.version, id.digest]
}
