//! Bytes that may never change, and bytes that nobody would have written.

use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::CHECKSUM_SEED;
use crate::{LEAVES, Tree};

fn tree() -> impl Strategy<Value = Tree> {
    vec_of((0..LEAVES as u16, any::<u64>()), 0..100).prop_map(|changes| {
        let mut tree = Tree::new();
        for (leaf, item) in changes {
            tree.change(leaf, None, Some(item));
        }
        tree
    })
}

/// Returns a body with the checksum that belongs to it.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = xxh3_64_with_seed(&body, CHECKSUM_SEED);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

proptest! {
    #[test]
    fn a_tree_comes_back_as_it_was_kept(tree in tree()) {
        prop_assert_eq!(Tree::decode(&tree.encode()), Some(tree));
    }

    #[test]
    fn a_changed_byte_is_refused(tree in tree(), at: Index, change in 1..=255_u8) {
        let mut bytes = tree.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert_eq!(Tree::decode(&bytes), None);
    }

    #[test]
    fn a_piece_is_refused(tree in tree(), cut: Index) {
        let bytes = tree.encode();
        let cut = cut.index(bytes.len());
        prop_assert_eq!(Tree::decode(&bytes[..cut]), None);
        prop_assert!(cut == 0 || Tree::decode(&bytes[cut..]).is_none());
    }

    #[test]
    fn arbitrary_bytes_are_no_tree(bytes in vec_of(any::<u8>(), 0..200)) {
        prop_assert_eq!(Tree::decode(&bytes), None);
    }

    /// Past the checksum, whatever is accepted is what would have been written.
    #[test]
    fn only_what_a_tree_would_write_is_accepted(
        tree in tree(), changes in vec_of((any::<Index>(), any::<u8>()), 0..3), body in vec_of(0..3_u8, 0..40),
    ) {
        let mut damaged = tree.encode();
        damaged.truncate(damaged.len() - 8);
        for (at, byte) in changes {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        for body in [damaged, body] {
            let bytes = sealed(body);
            if let Some(tree) = Tree::decode(&bytes) {
                prop_assert_eq!(tree.encode(), bytes);
            }
        }
    }
}

#[test]
fn the_bytes_are_as_they_are_drawn() {
    let mut tree = Tree::new();
    assert_eq!(tree.encode(), sealed(vec![1, 0, 0, 0, 0]));
    tree.change(0, None, Some(0x0102));
    tree.change(2, None, Some(3));
    tree.change(63, None, Some(4));
    let body = [
        &[1, 0b11, 0, 0, 0][..],
        &[0b101, 0, 0, 0],
        &[2, 1, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0x80],
        &[4, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(tree.encode(), sealed(body.concat()));
}

#[test]
fn what_no_tree_would_write_is_refused_although_its_checksum_is_right() {
    let sum = [5, 0, 0, 0, 0, 0, 0, 0];
    let one = |format, leaves: u8, sum: &[u8]| {
        sealed([&[format, 1, 0, 0, 0][..], &[leaves, 0, 0, 0], sum].concat())
    };
    assert!(Tree::decode(&one(1, 1, &sum)).is_some());
    for (why, bytes) in [
        ("nothing", vec![]),
        ("a checksum alone", sealed(vec![])),
        ("another format", one(2, 1, &sum)),
        ("a branch without leaves", one(1, 0, &[])),
        ("a leaf of 0", one(1, 1, &[0; 8])),
        ("a leaf too few", one(1, 3, &sum)),
        ("a leaf too many", one(1, 1, &[sum, sum].concat())),
        ("half a leaf", one(1, 1, &sum[..4])),
        ("half a table", sealed(vec![1, 1, 0])),
    ] {
        assert_eq!(Tree::decode(&bytes), None, "{why}");
    }
}

#[test]
fn the_longest_encoding_is_as_long_as_is_said() {
    let mut tree = Tree::new();
    assert_eq!(tree.encode().len(), 13);
    for leaf in 0..LEAVES {
        tree.change(leaf as u16, None, Some(1));
    }
    assert_eq!(tree.encode().len(), 8_333);
}
