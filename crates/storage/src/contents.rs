//! Reading of all that an engine holds, in an order that all engines share: records by key, hints by target and age,
//! metadata by name.
//!
//! Invariant: what is read is whole. A record or hint that fails its checksum ends the reading with an error.
//!
//! ```text
//! place  1 byte, then
//!        0  partition, 4 bytes, big endian: records from there on
//!        1  key bytes: records past this key
//!        2  target, 8 bytes, big endian: hints from there on
//!        3  row by age, as in `hint_rows.rs`: hints past this one
//!        4  metadata
//!        5  the end
//! ```

use std::fmt;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark};
use xxhash_rust::xxh3::Xxh3;

use crate::format::{key_bytes, parse_key, value_bytes};
use crate::hint::HintRow;
use crate::hint_rows::{bytes_by_age, parse_by_age};
use crate::{HintWrite, RangeQuery, Store, StoreError, Writes};

/// Size at which a page ends unless it is said otherwise, in bytes of records or hints.
pub(crate) const PAGE_BYTES: usize = 4 << 20;
/// Largest number of records or hints in a page, about.
const PAGE_ROWS: usize = 8192;

/// Place in the order of all contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Records of this partition and those past it.
    Partition(Partition),
    /// Records past this key.
    Record(PlacedKey),
    /// Hints of this target and those past it.
    Target(NodeId),
    /// Hints past this one of a target.
    Hint(NodeId, HintMark),
    Metadata,
    End,
}

impl Place {
    /// Place before everything that an engine holds.
    pub(crate) const START: Self = Self::Partition(Partition(0));

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (tag, rest) = match self {
            Self::Partition(partition) => (0, partition.0.to_be_bytes().to_vec()),
            Self::Record(key) => (1, key_bytes(key)),
            Self::Target(target) => (2, target.0.to_be_bytes().to_vec()),
            Self::Hint(target, mark) => (3, bytes_by_age(*target, mark)),
            Self::Metadata => (4, Vec::new()),
            Self::End => (5, Vec::new()),
        };
        [&[tag], rest.as_slice()].concat()
    }

    /// Returns the place that the bytes name; `None` if they name none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let target = || rest.first_chunk().map(|target| NodeId(u64::from_be_bytes(*target)));
        Some(match tag {
            0 => Self::Partition(Partition(u32::from_be_bytes(rest.try_into().ok()?))),
            1 => Self::Record(parse_key(rest)?),
            2 => Self::Target(target()?),
            3 => Self::Hint(target()?, parse_by_age(rest)?),
            4 if rest.is_empty() => Self::Metadata,
            5 if rest.is_empty() => Self::End,
            _ => return None,
        })
    }
}

/// Part of an engine's contents.
#[derive(Debug, Default)]
pub(crate) struct Page {
    records: Vec<(PlacedKey, StoredRecord)>,
    /// Hints in the order of their targets and ages.
    hints: Vec<Hint>,
    metadata: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Page {
    fn is_full(&self, limit_bytes: usize) -> bool {
        self.bytes >= limit_bytes || self.records.len() + self.hints.len() >= PAGE_ROWS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.hints.is_empty() && self.metadata.is_empty()
    }

    /// Returns the number of records in the page.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// Returns the writes by which another engine comes to hold the page.
    pub(crate) fn into_writes(self) -> Writes {
        let mut hints: Vec<HintWrite> = self.hints.into_iter().map(HintWrite::from).collect();
        hints.sort_by(|a, b| (a.target, &a.key).cmp(&(b.target, &b.key)));
        Writes {
            records: self.records.into_iter().map(|(key, record)| (key, Some(record))).collect(),
            hints,
            metadata: self.metadata.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        }
    }
}

/// Reader of all contents of an engine from a place on.
pub(crate) struct Reader {
    place: Place,
    page_bytes: usize,
    /// Targets of all hints, sorted; `None` until the first hint is read.
    targets: Option<Vec<NodeId>>,
}

impl Reader {
    /// Returns the reader of what is past `place`, in pages that end at `page_bytes`.
    pub(crate) fn new(place: Place, page_bytes: usize) -> Self {
        Self { place, page_bytes, targets: None }
    }

    /// Returns the place up to which everything was read.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the next page; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a record or hint that fails its checksum; otherwise the engine's own.
    pub(crate) fn next_page(&mut self, engine: &dyn Store) -> Result<Option<Page>, StoreError> {
        let mut page = Page::default();
        while self.place != Place::End && !page.is_full(self.page_bytes) {
            self.place = match &self.place {
                Place::Partition(from) => match engine.next_partition(*from)? {
                    Some(partition) => self.records(engine, &mut page, partition, None)?,
                    None => Place::Target(NodeId(0)),
                },
                Place::Record(after) => {
                    self.records(engine, &mut page, after.partition, Some(after.clone()))?
                }
                Place::Target(from) => {
                    let from = *from;
                    match self.targets(engine)?.iter().find(|target| **target >= from).copied() {
                        Some(target) => self.hints(engine, &mut page, target, None)?,
                        None => Place::Metadata,
                    }
                }
                Place::Hint(target, after) => {
                    self.hints(engine, &mut page, *target, Some(after))?
                }
                Place::Metadata => metadata(engine, &mut page)?,
                Place::End => Place::End,
            };
        }
        Ok((!page.is_empty()).then_some(page))
    }

    fn targets(&mut self, engine: &dyn Store) -> Result<&[NodeId], StoreError> {
        if self.targets.is_none() {
            let totals = engine.hint_totals()?;
            self.targets = Some(totals.into_iter().map(|(target, _)| target).collect());
        }
        Ok(self.targets.as_deref().unwrap_or_default())
    }

    /// Adds records of one partition to the page. Returns the place past them.
    fn records(
        &self,
        engine: &dyn Store,
        page: &mut Page,
        partition: Partition,
        after: Option<PlacedKey>,
    ) -> Result<Place, StoreError> {
        let found = engine.range(&RangeQuery {
            partition,
            from: None,
            to: None,
            after,
            bucket: None,
            values: true,
            limit_records: PAGE_ROWS,
            limit_bytes: self.page_bytes,
            limit_examined: PAGE_ROWS,
            limit_examined_bytes: usize::MAX,
        })?;
        if let Some(key) = found.damaged.first() {
            return Err(StoreError::damaged(key, "it is not what was written"));
        }
        page.bytes += found.records.iter().map(|(_, row)| row.record.bytes().len()).sum::<usize>();
        page.records.extend(found.records);
        let past = || partition.0.checked_add(1).map(|next| Place::Partition(Partition(next)));
        Ok(match found.until {
            Some(until) => Place::Record(until),
            None => past().unwrap_or(Place::Target(NodeId(0))),
        })
    }

    /// Adds hints of one target to the page. Returns the place past them.
    fn hints(
        &self,
        engine: &dyn Store,
        page: &mut Page,
        target: NodeId,
        after: Option<&HintMark>,
    ) -> Result<Place, StoreError> {
        let found = engine.hints(target, after, PAGE_ROWS, self.page_bytes)?;
        for row in found.rows {
            let HintRow { mark, size_bytes, record } = row;
            let Some(record) = record else {
                return Err(StoreError::damaged(&mark.key, "a hint of it is not what was written"));
            };
            page.bytes += size_bytes as usize;
            let HintMark { since_ms, key } = mark;
            page.hints.push(Hint { target, since_ms, key, record });
        }
        let past = || target.0.checked_add(1).map(|next| Place::Target(NodeId(next)));
        Ok(match found.until {
            Some(until) => Place::Hint(target, until),
            None => past().unwrap_or(Place::Metadata),
        })
    }
}

/// Adds all metadata to the page.
fn metadata(engine: &dyn Store, page: &mut Page) -> Result<Place, StoreError> {
    for name in engine.metadata_names()? {
        if let Some(value) = engine.metadata(&name)? {
            page.metadata.push((name, value));
        }
    }
    Ok(Place::End)
}

/// Digest of an engine's contents: equal for two engines that hold the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContentsDigest {
    /// Number of records among the rows.
    pub records: u64,
    /// Number of hints among the rows.
    pub hints: u64,
    /// XXH3-128 of all records, hints and metadata, with their keys, in order.
    pub sum: u128,
}

impl fmt::Display for ContentsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

impl fmt::Debug for ContentsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} of {} records and {} hints", self.records, self.hints)
    }
}

/// Maker of a digest, page by page.
#[derive(Default)]
pub(crate) struct Digester {
    hash: Xxh3,
    records: u64,
    hints: u64,
}

impl Digester {
    pub(crate) fn add(&mut self, page: &Page) {
        for (key, record) in &page.records {
            let key = key_bytes(key);
            self.row(b'r', &key, &value_bytes(&key, record));
        }
        for hint in &page.hints {
            let by_age = bytes_by_age(hint.target, &hint.mark());
            self.row(b'h', &by_age, &value_bytes(&by_age, &hint.record));
        }
        for (name, value) in &page.metadata {
            self.row(b'm', name.as_bytes(), value);
        }
        self.records += page.records.len() as u64;
        self.hints += page.hints.len() as u64;
    }

    /// Adds a row, with lengths that tell where its key and its value end.
    fn row(&mut self, table: u8, key: &[u8], value: &[u8]) {
        self.hash.update(&[table]);
        for part in [key, value] {
            self.hash.update(&(part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
    }

    pub(crate) fn finish(self) -> ContentsDigest {
        let Self { hash, records, hints } = self;
        ContentsDigest { records, hints, sum: hash.digest128() }
    }
}

#[cfg(test)]
mod tests;
