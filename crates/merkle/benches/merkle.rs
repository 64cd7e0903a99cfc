//! Benchmarks of hash trees: the change that each write makes, and the comparison that finds one differing record.
//!
//! Invariant: the trees are of a partition with a record in each leaf, so that no branch is empty.

use divan::{Bencher, black_box};
use jedlik_merkle::{LEAVES, LEAVES_PER_BRANCH, Tree, item};

fn main() {
    divan::main();
}

fn full() -> Tree {
    let mut tree = Tree::new();
    for leaf in 0..LEAVES as u16 {
        tree.change(leaf, None, Some(item(u128::from(leaf), 1)));
    }
    tree
}

/// Returns the leaf in which two trees differ, found as an exchange finds it: root, branches, one branch's leaves.
fn differing_leaf(ours: &Tree, theirs: &Tree) -> Option<usize> {
    if ours.root() == theirs.root() {
        return None;
    }
    let differs = |branch: Option<u8>| {
        let (ours, theirs) = (ours.children(branch), theirs.children(branch));
        (0..ours.len()).find(|child| ours[*child] != theirs[*child])
    };
    let branch = differs(None)?;
    let leaf = differs(Some(branch as u8))?;
    Some(branch * LEAVES_PER_BRANCH + leaf)
}

#[divan::bench]
fn item_of_a_record() -> u64 {
    item(black_box(1 << 100), black_box(7))
}

#[divan::bench]
fn one_record_changes(bencher: Bencher) {
    let (mut tree, before, after) = (full(), item(0, 1), item(0, 2));
    bencher.bench_local(|| tree.change(black_box(517), Some(before), Some(after)));
}

#[divan::bench]
fn root_of_a_tree(bencher: Bencher) {
    let tree = full();
    bencher.bench(|| black_box(&tree).root());
}

#[divan::bench]
fn equal_trees_are_compared(bencher: Bencher) {
    let (ours, theirs) = (full(), full());
    assert_eq!(differing_leaf(&ours, &theirs), None);
    bencher.bench(|| differing_leaf(black_box(&ours), black_box(&theirs)));
}

#[divan::bench]
fn differing_record_is_found(bencher: Bencher) {
    let (ours, mut theirs) = (full(), full());
    let leaf = LEAVES - 1;
    theirs.change(leaf as u16, None, Some(item(0, 2)));
    assert_eq!(differing_leaf(&ours, &theirs), Some(leaf));
    bencher.bench(|| differing_leaf(black_box(&ours), black_box(&theirs)));
}
