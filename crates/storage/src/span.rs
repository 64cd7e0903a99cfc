//! Span of the keys that a query asks for, told by their bytes.
//!
//! Invariant: the bytes are those of `format.rs`, which sort as keys do.

use crate::RangeQuery;
use crate::format::key_bytes;

/// Span of the keys that a query asks for, of whatever bucket.
pub(crate) struct Span {
    /// First bytes of the span; nothing before them is asked for.
    pub(crate) first: Vec<u8>,
    after: Option<Vec<u8>>,
    partition: [u8; 4],
    last_position: Option<[u8; 16]>,
}

/// Place of a key before, within or past a span.
pub(crate) enum Place {
    Before,
    Within,
    Past,
}

impl Span {
    pub(crate) fn of(query: &RangeQuery) -> Self {
        let partition = query.partition.0.to_be_bytes();
        let position = query.first_position().0.to_be_bytes();
        let first = [&partition[..], &position[..]].concat();
        let after = query.after.as_ref().map(key_bytes);
        let first = after.clone().map_or(first.clone(), |after| first.max(after));
        let last_position = query.to.map(|to| to.0.to_be_bytes());
        Self { first, after, partition, last_position }
    }

    pub(crate) fn place(&self, key: &[u8]) -> Place {
        if self.after.as_deref() == Some(key) {
            return Place::Before;
        }
        let Some(rest) = key.strip_prefix(&self.partition[..]) else { return Place::Past };
        let position = &rest[..rest.len().min(16)];
        match &self.last_position {
            Some(last) if position > &last[..] => Place::Past,
            _ => Place::Within,
        }
    }
}
