//! The bytes of keys and records, the same in the journal and in the engines.
//!
//! Invariant: key bytes sort as [`PlacedKey`]s do.
//!
//! ```text
//! key     partition  4 bytes, big endian
//!         position  16 bytes, big endian
//!         bucket     each 00 written as 00 FF, then 00 00
//!         key        to the end
//!
//! mark    partition  4 bytes, big endian
//!         bucket     as in a key
//!         position   16 bytes, big endian, unless it stands for many keys
//!         key        to the end, unless so
//!
//! body    flags      1 byte: 1 if a local actor follows
//!         actor      8 bytes, little endian, if so
//!         life       8 bytes, little endian, if so: the incarnation that wrote the record
//!         record     to the end, as on the wire
//!
//! value   format     1 byte: 1
//!         checksum   4 bytes, little endian: CRC-32 of the key bytes, then of the body
//!         body       to the end
//!
//! apart   format     1 byte: 2; the whole record lies elsewhere, as a value
//!         checksum   4 bytes, little endian: CRC-32 of the key bytes, then of the rest
//!         length     4 bytes, little endian: of that value
//!         its sum    4 bytes, little endian: the checksum in that value
//!         body       to the end, with lengths in place of values
//! ```

use crc32fast::Hasher;
use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{EncodedRecord, Incarnation, Key, LocalActor, PlacedKey, StoredRecord};
use jedlik_vclock::ActorId;

/// Format of a value in an engine.
const VALUE_FORMAT: u8 = 1;
/// Format of a row that stands for a value stored elsewhere.
const APART_FORMAT: u8 = 2;
/// Length and checksum of the value that lies elsewhere.
const APART_LINK_BYTES: usize = 8;
/// Length of a value's header in bytes: format and checksum.
const VALUE_HEADER_BYTES: usize = 5;
/// Set when a local actor follows the flags.
const HAS_LOCAL: u8 = 1;
/// Length of a key's place in bytes: partition and position.
const PLACE_BYTES: usize = 20;

/// Appends the bytes of `key`.
pub(crate) fn push_key(out: &mut Vec<u8>, key: &PlacedKey) {
    out.extend_from_slice(&key.partition.0.to_be_bytes());
    out.extend_from_slice(&key.position.0.to_be_bytes());
    push_bucket(out, key.key.bucket());
    out.extend_from_slice(key.key.key());
}

/// Appends a bucket's name, escaped, and the mark of its end.
fn push_bucket(out: &mut Vec<u8>, bucket: &[u8]) {
    for &byte in bucket {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Returns the bytes of `key`.
pub(crate) fn key_bytes(key: &PlacedKey) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(PLACE_BYTES + key.key.bucket().len() + 2 + key.key.key().len());
    push_key(&mut out, key);
    out
}

/// Returns the partition of a key with these bytes; `None` if they are too few.
pub(crate) fn partition_of(bytes: &[u8]) -> Option<Partition> {
    bytes.first_chunk().map(|partition| Partition(u32::from_be_bytes(*partition)))
}

/// Sets `out` to the prefix of all marks of a bucket in a partition; alone it stands for many of the bucket's keys.
pub(crate) fn mark_prefix(out: &mut Vec<u8>, partition: Partition, bucket: &[u8]) {
    out.clear();
    out.extend_from_slice(&partition.0.to_be_bytes());
    push_bucket(out, bucket);
}

/// Returns the bytes of the mark of `key`.
pub(crate) fn mark_bytes(key: &PlacedKey) -> Vec<u8> {
    let mut out = Vec::new();
    mark_prefix(&mut out, key.partition, key.key.bucket());
    out.extend_from_slice(&key.position.0.to_be_bytes());
    out.extend_from_slice(key.key.key());
    out
}

/// Returns the key that a mark stands for; `None` if it stands for no single one.
pub(crate) fn parse_mark(bytes: &[u8]) -> Option<PlacedKey> {
    let (partition, rest) = bytes.split_first_chunk::<4>()?;
    let (bucket, rest) = split_bucket(rest)?;
    let (position, key) = rest.split_first_chunk::<16>()?;
    Some(PlacedKey {
        partition: Partition(u32::from_be_bytes(*partition)),
        position: Position(u128::from_be_bytes(*position)),
        key: Key::new(bucket, key).ok()?,
    })
}

/// Splits off a bucket's name, unescaped; returns it and what follows its end.
fn split_bucket(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bucket = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if byte == 0 {
            let (&next, after) = rest.split_first()?;
            rest = after;
            match next {
                0 => return Some((bucket, rest)),
                0xff => {}
                _ => return None,
            }
        }
        bucket.push(byte);
    }
}

/// Matcher that tells a bucket's keys from others by their bytes alone.
pub(crate) struct BucketMatch(Vec<u8>);

impl BucketMatch {
    /// Returns the matcher for the bucket with this name.
    pub(crate) fn new(bucket: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(bucket.len() + 2);
        push_bucket(&mut bytes, bucket);
        Self(bytes)
    }

    /// Whether `key`, as [`key_bytes`] makes it, is in the bucket.
    pub(crate) fn is_of(&self, key: &[u8]) -> bool {
        key.get(PLACE_BYTES..).is_some_and(|rest| rest.starts_with(&self.0))
    }
}

/// Returns the key that `bytes` stand for; `None` if they stand for none.
pub(crate) fn parse_key(bytes: &[u8]) -> Option<PlacedKey> {
    let (partition, rest) = bytes.split_first_chunk::<4>()?;
    let (position, rest) = rest.split_first_chunk::<16>()?;
    let (bucket, rest) = split_bucket(rest)?;
    Some(PlacedKey {
        partition: Partition(u32::from_be_bytes(*partition)),
        position: Position(u128::from_be_bytes(*position)),
        key: Key::new(bucket, rest).ok()?,
    })
}

/// Appends the body of `record`.
pub(crate) fn push_body(out: &mut Vec<u8>, record: &StoredRecord) {
    match record.local {
        None => out.push(0),
        Some(local) => {
            out.push(HAS_LOCAL);
            out.extend_from_slice(&local.actor.0.to_le_bytes());
            out.extend_from_slice(&local.incarnation.0.to_le_bytes());
        }
    }
    out.extend_from_slice(record.record.bytes());
}

/// Returns the record of a body whose checksum was right; it shares no memory with `bytes`.
pub(crate) fn parse_body(bytes: &[u8]) -> Option<StoredRecord> {
    let (&flags, mut rest) = bytes.split_first()?;
    let local = match flags {
        0 => None,
        HAS_LOCAL => {
            let (actor, after) = rest.split_first_chunk::<8>()?;
            let (incarnation, after) = after.split_first_chunk::<8>()?;
            rest = after;
            Some(LocalActor {
                actor: ActorId(u64::from_le_bytes(*actor)),
                incarnation: Incarnation(u64::from_le_bytes(*incarnation)),
            })
        }
        _ => return None,
    };
    Some(StoredRecord { local, record: EncodedRecord::from_bytes(rest).ok()? })
}

/// Returns the value as which an engine stores `record`.
pub(crate) fn value_bytes(key: &[u8], record: &StoredRecord) -> Vec<u8> {
    sealed(key, VALUE_FORMAT, &[], record)
}

/// Returns the record in an engine's value, or the defect that was found.
pub(crate) fn parse_value(key: &[u8], value: &[u8]) -> Result<StoredRecord, &'static str> {
    let body = unsealed(key, VALUE_FORMAT, value)?;
    parse_body(body).ok_or("its bytes are not a record")
}

/// Record whose values are stored elsewhere, as far as it is known without them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApartValue {
    /// Record with lengths in place of values, as [`EncodedRecord::with_lengths`] makes it.
    pub(crate) lengths: StoredRecord,
    /// Length and checksum of the value that lies elsewhere.
    link: [u8; APART_LINK_BYTES],
}

impl ApartValue {
    /// Returns the whole record, or the defect that was found. `value` is the value stored elsewhere under the same
    /// key.
    pub(crate) fn join(&self, key: &[u8], value: &[u8]) -> Result<StoredRecord, &'static str> {
        if link_to(value) != Some(self.link) {
            return Err("its values are not those that it was written with");
        }
        parse_value(key, value)
    }
}

/// Returns the row that stands for `value`, which is stored elsewhere and is that of a record with these lengths;
/// `None` if no link can name `value`.
pub(crate) fn apart_bytes(key: &[u8], lengths: &StoredRecord, value: &[u8]) -> Option<Vec<u8>> {
    Some(sealed(key, APART_FORMAT, &link_to(value)?, lengths))
}

/// Whether `value` stands for one stored elsewhere. A value that is cut short or of no known format counts as such.
pub(crate) fn is_apart(value: &[u8]) -> bool {
    value.first() != Some(&VALUE_FORMAT)
}

/// Reads what [`apart_bytes`] has made, or returns the defect that was found.
pub(crate) fn parse_apart(key: &[u8], value: &[u8]) -> Result<ApartValue, &'static str> {
    let rest = unsealed(key, APART_FORMAT, value)?;
    let parts = rest.split_first_chunk();
    let (link, lengths) = parts
        .and_then(|(link, body)| Some((*link, parse_body(body)?)))
        .ok_or("its bytes are not a record")?;
    Ok(ApartValue { lengths, link })
}

/// Returns the length of the whole value that `value` is or stands for, in bytes, without a look at its checksum.
pub(crate) fn whole_length_bytes(value: &[u8]) -> usize {
    if !is_apart(value) {
        return value.len();
    }
    let length = value.get(VALUE_HEADER_BYTES..).and_then(|rest| rest.first_chunk());
    length.map_or(value.len(), |length| u32::from_le_bytes(*length) as usize)
}

/// Returns the link that names a value stored elsewhere: its length and its checksum.
fn link_to(value: &[u8]) -> Option<[u8; APART_LINK_BYTES]> {
    let &[_, a, b, c, d] = value.first_chunk::<VALUE_HEADER_BYTES>()?;
    let [e, f, g, h] = u32::try_from(value.len()).ok()?.to_le_bytes();
    Some([e, f, g, h, a, b, c, d])
}

/// Returns the bytes of format, checksum, `before` and the body of `record`.
fn sealed(key: &[u8], format: u8, before: &[u8], record: &StoredRecord) -> Vec<u8> {
    let length = VALUE_HEADER_BYTES + before.len() + 17 + record.record.bytes().len();
    let mut out = Vec::with_capacity(length);
    out.push(format);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(before);
    push_body(&mut out, record);
    let checksum = checksum(key, &out[VALUE_HEADER_BYTES..]);
    out[1..VALUE_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// Returns what follows a value's header, or the defect that was found.
fn unsealed<'a>(key: &[u8], expected: u8, value: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let Some((&[format, a, b, c, d], rest)) = value.split_first_chunk::<VALUE_HEADER_BYTES>()
    else {
        return Err("it is cut short");
    };
    if format != expected {
        return Err("its format is unknown");
    }
    if checksum(key, rest) != u32::from_le_bytes([a, b, c, d]) {
        return Err("its checksum does not match");
    }
    Ok(rest)
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
