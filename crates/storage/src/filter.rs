//! Filter of keys, by their positions: "not among them" for certain, "perhaps among them" rarely for nothing.
//!
//! Invariant: whatever was added is never denied. What is removed stays, so a filter only grows, by layers
//! that double; making it anew is what makes it small again.
//!
//! ```text
//! layers  2 bytes, then for each layer:
//!           keys    4 bytes: how many were added to it
//!           blocks  4 bytes: how many blocks follow, of 64 bytes each
//! ```
//!
//! Numbers are little endian.

use jedlik_hashing::Position;

const WORDS: usize = 8;
const BLOCK_BYTES: usize = WORDS * 8;
/// Number of a block's 512 bits that stand for one key.
const BITS: u32 = 7;
/// Number of keys in a full block: 12 to 13 bits a key, so that in each full layer one in 100 to 200 keys that were not
/// added is taken for one that was.
const KEYS_PER_BLOCK: usize = 40;
const FIRST_LAYER_BLOCKS: usize = 8;
/// Largest number of blocks in a layer, whose memory is allocated at once.
const LAYER_LIMIT_BLOCKS: usize = 1 << 24;

/// Filter of the keys of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Layers of the filter, of which the last takes what is added.
    layers: Vec<Layer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    keys: usize,
    blocks: Vec<[u64; WORDS]>,
}

impl Filter {
    /// Returns a filter without keys, with room for `keys` of them in one layer.
    pub(crate) fn with_room_for(keys: usize) -> Self {
        let mut filter = Self::default();
        if keys > FIRST_LAYER_BLOCKS * KEYS_PER_BLOCK {
            filter.layers.push(Layer::of(keys.div_ceil(KEYS_PER_BLOCK)));
        }
        filter
    }

    /// Returns the number of different keys that were added, as far as the filter can tell.
    pub(crate) fn keys(&self) -> usize {
        self.layers.iter().map(|layer| layer.keys).sum()
    }

    pub(crate) fn add(&mut self, position: Position) {
        if self.may_hold(position) {
            return;
        }
        let full = |layer: &Layer| layer.keys >= layer.blocks.len() * KEYS_PER_BLOCK;
        if self.layers.last().is_none_or(full) {
            let last = self.layers.last().map(|layer| layer.blocks.len() * 2);
            self.layers.push(Layer::of(last.unwrap_or(FIRST_LAYER_BLOCKS)));
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.add(hash(position));
        }
    }

    /// Whether a key at this position may have been added; false only if none was.
    pub(crate) fn may_hold(&self, position: Position) -> bool {
        let hash = hash(position);
        self.layers.iter().rev().any(|layer| layer.may_hold(hash))
    }

    /// Returns the number of bytes that [`Self::push`] appends.
    pub(crate) fn encoded_bytes(&self) -> usize {
        2 + self.layers.iter().map(|layer| 8 + layer.blocks.len() * BLOCK_BYTES).sum::<usize>()
    }

    /// Appends the filter's bytes to `out`.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.layers.len() as u16).to_le_bytes());
        for layer in &self.layers {
            out.extend_from_slice(&(layer.keys as u32).to_le_bytes());
            out.extend_from_slice(&(layer.blocks.len() as u32).to_le_bytes());
            for word in layer.blocks.as_flattened() {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// Takes a filter from the front of `bytes`; `None` if there is none.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let layers = u16::from_le_bytes(take(bytes)?);
        let layers = (0..layers).map(|_| {
            let keys = u32::from_le_bytes(take(bytes)?) as usize;
            let blocks = u32::from_le_bytes(take(bytes)?) as usize;
            let (words, rest) = bytes.split_at_checked(blocks.checked_mul(BLOCK_BYTES)?)?;
            *bytes = rest;
            let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let words: Vec<u64> = words.collect();
            let blocks = words.as_chunks::<WORDS>().0.to_vec();
            (!blocks.is_empty()).then_some(Layer { keys, blocks })
        });
        Some(Self { layers: layers.collect::<Option<_>>()? })
    }
}

impl Layer {
    fn of(blocks: usize) -> Self {
        Self { keys: 0, blocks: vec![[0; WORDS]; blocks.clamp(1, LAYER_LIMIT_BLOCKS)] }
    }

    fn block(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.blocks.len() as u128) >> u64::BITS) as usize
    }

    fn add(&mut self, hash: u64) {
        let block = self.block(hash);
        for (word, bit) in bits(hash) {
            self.blocks[block][word] |= bit;
        }
        self.keys += 1;
    }

    fn may_hold(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block(hash)];
        bits(hash).all(|(word, bit)| block[word] & bit != 0)
    }
}

/// Takes the next `N` bytes; `None` if there are fewer.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// Returns the hash of a position, which is a hash already; but a partition's positions begin alike.
fn hash(position: Position) -> u64 {
    mix(position.0 as u64 ^ ((position.0 >> 64) as u64).rotate_left(32))
}

/// Mixes the bits of a hash: the finishing step of splitmix64.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Returns a key's bits within its block; nine bits of the hash choose each.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let hash = mix(hash.wrapping_add(0x9e37_79b9_7f4a_7c15));
    (0..BITS).map(move |index| {
        let chosen = (hash >> (index * 9)) as usize % (WORDS * 64);
        (chosen / 64, 1 << (chosen % 64))
    })
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::Position;
    use proptest::{collection, proptest};

    use super::{BLOCK_BYTES, Filter, KEYS_PER_BLOCK};

    /// Returns a position; those of different numbers are as far apart as the hashes of names.
    fn position(number: u64) -> Position {
        Position(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    fn filter_of(numbers: impl IntoIterator<Item = u64>) -> Filter {
        let mut filter = Filter::default();
        numbers.into_iter().for_each(|number| filter.add(position(number)));
        filter
    }

    #[test]
    fn few_of_those_that_were_not_added_are_taken_for_added_however_many_there_are() {
        for keys in [100, 1_000, 100_000] {
            for mut filter in [Filter::default(), Filter::with_room_for(keys as usize)] {
                (0..keys).for_each(|number| filter.add(position(number)));
                assert!((0..keys).all(|number| filter.may_hold(position(number))), "of {keys}");
                let others = keys..keys + 10_000;
                let wrong = others.filter(|number| filter.may_hold(position(*number))).count();
                assert!(wrong < 800, "{wrong} of 10,000 beside {keys}");
                let (counted, keys) = (filter.keys(), keys as usize);
                assert!((keys * 9 / 10..=keys).contains(&counted), "{counted} of {keys}");
                let most = 4 * keys.max(320) / KEYS_PER_BLOCK * BLOCK_BYTES;
                assert!(filter.encoded_bytes() < most, "{} bytes", filter.encoded_bytes());
            }
        }
    }

    #[test]
    fn what_is_added_again_takes_no_more_room() {
        let mut filter = filter_of(0..5_000);
        let before = filter.clone();
        (0..5_000).for_each(|number| filter.add(position(number)));
        assert_eq!(filter, before);
    }

    #[test]
    fn a_filter_of_nothing_holds_nothing() {
        assert!(!Filter::default().may_hold(position(0)));
        assert!(!Filter::with_room_for(10_000).may_hold(position(0)));
    }

    proptest! {
        #[test]
        fn nothing_that_was_added_is_denied_and_bytes_say_it_all(
            numbers in collection::vec(0..u64::MAX, 0..2_000),
        ) {
            let filter = filter_of(numbers.iter().copied());
            assert!(numbers.iter().all(|number| filter.may_hold(position(*number))));
            let mut bytes = Vec::new();
            filter.push(&mut bytes);
            assert_eq!(bytes.len(), filter.encoded_bytes());
            bytes.extend_from_slice(b"rest");
            let mut rest = &bytes[..];
            assert_eq!(Filter::take(&mut rest), Some(filter));
            assert_eq!(rest, b"rest");
        }

        #[test]
        fn bytes_that_are_no_filter_are_refused_and_not_trusted(
            bytes in collection::vec(0..=255_u8, 0..200),
        ) {
            let mut rest = &bytes[..];
            if let Some(filter) = Filter::take(&mut rest) {
                filter.may_hold(position(1));
                assert!(filter.encoded_bytes() + rest.len() == bytes.len());
            }
        }
    }
}
