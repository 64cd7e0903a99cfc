//! Span of the keys that a query asks for, told by their bytes.
//!
//! Invariant: the bytes are those of `format.rs`, which sort as keys do.

use jedlik_protocol::PlacedKey;

use crate::RangeQuery;
use crate::format::{key_bytes, parse_key};
use crate::store::PageBuilder;

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

/// Step of a page at a key that it has come to.
pub(crate) enum PageStep {
    /// The key is not asked for; the page goes on.
    Pass,
    /// The page ends before this key.
    End,
    /// The key is asked for.
    Take(PlacedKey),
    /// The key's bytes are none of a key.
    Damaged,
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

    /// Returns the step of `page` at a key, whose row counts as `length_bytes` if its bucket is not wanted.
    pub(crate) fn step(
        &self,
        page: &mut PageBuilder<'_>,
        key: &[u8],
        length_bytes: usize,
        is_wanted: bool,
    ) -> PageStep {
        match self.place(key) {
            Place::Before => PageStep::Pass,
            Place::Past => PageStep::End,
            Place::Within if !is_wanted => match page.skip(length_bytes, || parse_key(key)) {
                true => PageStep::Pass,
                false => PageStep::End,
            },
            Place::Within => parse_key(key).map_or(PageStep::Damaged, PageStep::Take),
        }
    }
}
