//! Keys of the rows in the tables, and the names beside them.
//!
//! Invariant: a row's key is of fixed length, its name has the rest of the key's bytes, and the key's last 16 bytes are
//! the digest of the name. So rows sort as keys do, except where two keys share a position: there whoever reads them
//! sorts them by their names.
//!
//! InnoDB takes keys of up to 3,072 bytes, and ours are longer. A comparison of several columns with several others
//! makes it look through a whole index, while one of a single column does not.

use jedlik_hashing::NodeId;
use jedlik_protocol::PlacedKey;
use jedlik_storage_port::HintMark;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::format::{key_bytes, parse_key};

use super::access::TablesId;

/// Length of a key's place in bytes: partition and position.
pub(super) const PLACE_BYTES: usize = 20;
/// Length of a name's digest in bytes.
pub(super) const DIGEST_BYTES: usize = 16;
/// Length of a record's key in bytes.
pub(super) const RECORD_BYTES: usize = PLACE_BYTES + DIGEST_BYTES;
/// Length of a hint's key in bytes: its target, and the rest as for a record.
pub(super) const HINT_BYTES: usize = 8 + RECORD_BYTES;
/// Length of a hint's key by age in bytes: target, time, and the rest as for a record.
pub(super) const AGE_BYTES: usize = 16 + RECORD_BYTES;

/// Key of a row, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    pub(super) key: Vec<u8>,
    pub(super) name: Vec<u8>,
}

impl RowKey {
    /// Returns the key of a record's row.
    pub(super) fn of_record(tables: TablesId, key: &PlacedKey) -> Self {
        Self::with_prefix(tables, &[], key)
    }

    /// Returns the key of a hint's row.
    pub(super) fn of_hint(tables: TablesId, target: NodeId, key: &PlacedKey) -> Self {
        Self::with_prefix(tables, &target.0.to_be_bytes(), key)
    }

    /// Returns the key by age of a hint's row.
    pub(super) fn by_age(tables: TablesId, target: NodeId, mark: &HintMark) -> Self {
        let prefix = [target.0.to_be_bytes(), mark.since_ms.to_be_bytes()].concat();
        Self::with_prefix(tables, &prefix, &mark.key)
    }

    fn with_prefix(tables: TablesId, prefix: &[u8], key: &PlacedKey) -> Self {
        let bytes = key_bytes(key);
        let (place, name) = bytes.split_at(PLACE_BYTES);
        let key = [prefix, place, &digest(tables, name)].concat();
        Self { key, name: name.to_vec() }
    }

    /// Whether the digest in the key is that of the name; otherwise one of the two is damaged.
    pub(super) fn is_whole(&self, tables: TablesId) -> bool {
        self.key.ends_with(&digest(tables, &self.name))
    }

    /// Returns the bytes before the digest, by which rows are sorted, and those of equals by their names.
    pub(super) fn place(&self) -> &[u8] {
        &self.key[..self.key.len().saturating_sub(DIGEST_BYTES)]
    }

    /// Returns the bytes of the key as `format.rs` has them.
    pub(super) fn key_bytes(&self) -> Vec<u8> {
        let place = self.place();
        [&place[place.len().saturating_sub(PLACE_BYTES)..], &self.name].concat()
    }

    /// Returns the key that the row is about; `None` if its bytes are none.
    pub(super) fn placed(&self) -> Option<PlacedKey> {
        parse_key(&self.key_bytes())
    }
}

fn digest(tables: TablesId, name: &[u8]) -> [u8; DIGEST_BYTES] {
    // Nobody could find two for a test.
    #[cfg(test)]
    if name.windows(5).any(|part| part == b"clash") {
        return [7; DIGEST_BYTES];
    }
    xxh3_128_with_seed(name, tables.0).to_be_bytes()
}

/// Returns the least bytes of the same length that are greater; `None` if there are none.
pub(super) fn next(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut next = bytes.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// Returns bytes of that length that begin with `prefix` and go on with `rest`.
pub(super) fn padded(prefix: &[u8], rest: u8, length: usize) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    bytes.resize(length, rest);
    bytes
}

/// Returns bytes as a literal of SQL.
pub(super) fn literal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len() + 3);
    text.push_str("x'");
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a text takes everything");
    }
    text.push('\'');
    text
}

/// Returns a list of literals, as it stands after `IN`. There must be one at least.
pub(super) fn list<'a>(keys: impl Iterator<Item = &'a [u8]>) -> String {
    format!("({})", keys.map(literal).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{hint, key_at, key_in};

    #[test]
    fn rows_sort_as_keys_with_different_positions_do_and_are_parsed_to_them() {
        let mut keys: Vec<_> = (0..50).map(|i| key_in("b\0c", &format!("k{i}"))).collect();
        keys.sort();
        let rows: Vec<_> = keys.iter().map(|key| RowKey::of_record(TablesId(7), key)).collect();
        assert!(rows.is_sorted());
        for (row, key) in rows.iter().zip(&keys) {
            assert_eq!(row.key.len(), RECORD_BYTES);
            assert!(row.is_whole(TablesId(7)) && !row.is_whole(TablesId(8)));
            assert_eq!(row.placed().as_ref(), Some(key));
            assert_eq!(row.key_bytes(), key_bytes(key));
        }
    }

    #[test]
    fn keys_of_one_position_have_one_place_and_different_digests() {
        let [a, b] = ["a", "b"].map(|name| RowKey::of_record(TablesId(7), &key_at(5, name)));
        assert_eq!(a.place(), b.place());
        assert_ne!(a.key, b.key);
    }

    #[test]
    fn hints_have_their_target_and_time_before_the_place() {
        let hint = hint(8, 5, "a");
        let row = RowKey::of_hint(TablesId(7), hint.target, &hint.key);
        let by_age = RowKey::by_age(TablesId(7), hint.target, &hint.mark());
        assert_eq!((row.key.len(), by_age.key.len()), (HINT_BYTES, AGE_BYTES));
        assert_eq!(row.placed(), by_age.placed());
        assert_eq!(row.key, [&by_age.key[..8], &by_age.key[16..]].concat());
    }

    #[test]
    fn the_next_bytes_carry_over_and_end() {
        assert_eq!(next(&[1, 255]), Some(vec![2, 0]));
        assert_eq!(next(&[255, 255]), None);
        assert_eq!(literal(&[0, 0x27, 0xff]), "x'0027ff'");
    }
}
