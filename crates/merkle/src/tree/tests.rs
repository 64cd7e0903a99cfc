//! The laws of trees: no order, no trace of what was undone, equal exactly if their records are.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};

use super::{BRANCHES, LEAVES, LEAVES_PER_BRANCH, Tree, item};

/// Records by position; a leaf is the position's lowest bits, so that few positions share leaves.
type Contents = BTreeMap<u128, u64>;

fn leaf_of(position: u128) -> u16 {
    (position % LEAVES as u128) as u16
}

/// Generates records with few positions and few digests, so that they meet.
fn contents() -> impl Strategy<Value = Contents> {
    vec_of((0..4000_u128, 0..3_u64), 0..60).prop_map(|records| records.into_iter().collect())
}

fn tree_of<'a>(records: impl IntoIterator<Item = (&'a u128, &'a u64)>) -> Tree {
    let mut tree = Tree::new();
    for (position, digest) in records {
        tree.change(leaf_of(*position), None, Some(item(*position, *digest)));
    }
    tree
}

proptest! {
    #[test]
    fn the_order_of_changes_does_not_matter(
        contents in contents(),
        shuffled in contents().prop_flat_map(|contents| {
            let records: Vec<(u128, u64)> = contents.into_iter().collect();
            (Just(records.clone()), Just(records).prop_shuffle())
        }),
    ) {
        let (sorted, shuffled) = shuffled;
        let mut tree = tree_of(&contents);
        let mut other = tree.clone();
        for (position, digest) in sorted {
            tree.change(leaf_of(position), None, Some(item(position, digest)));
        }
        for (position, digest) in shuffled {
            other.change(leaf_of(position), None, Some(item(position, digest)));
        }
        prop_assert_eq!(tree.root(), other.root());
        prop_assert_eq!(tree, other);
    }

    #[test]
    fn a_change_undone_leaves_no_trace(
        contents in contents(),
        leaf in 0..LEAVES as u16,
        before: Option<u64>,
        after: Option<u64>,
    ) {
        let tree = tree_of(&contents);
        let mut changed = tree.clone();
        changed.change(leaf, before, after);
        prop_assert_eq!(changed == tree, before.unwrap_or(0) == after.unwrap_or(0));
        changed.change(leaf, after, before);
        prop_assert_eq!(changed, tree);
    }

    #[test]
    fn trees_and_roots_are_equal_exactly_if_the_records_are(
        one in contents(), other in contents(), take_same: bool,
    ) {
        let other = if take_same { one.clone() } else { other };
        let (tree, other_tree) = (tree_of(&one), tree_of(other.iter().rev()));
        prop_assert_eq!(tree == other_tree, one == other);
        prop_assert_eq!(tree.root() == other_tree.root(), one == other);
    }

    #[test]
    fn one_record_changes_one_leaf_its_branch_and_the_root(
        contents in contents(), position in 0..4000_u128, digest in 3..6_u64,
    ) {
        let tree = tree_of(&contents);
        let mut changed = tree.clone();
        let before = contents.get(&position).map(|digest| item(position, *digest));
        changed.change(leaf_of(position), before, Some(item(position, digest)));

        let differing = |a: Vec<u64>, b: Vec<u64>| -> Vec<usize> {
            a.iter().zip(&b).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
        };
        let leaf = usize::from(leaf_of(position));
        let branch = leaf / LEAVES_PER_BRANCH;
        prop_assert!(tree.root() != changed.root());
        prop_assert_eq!(differing(tree.children(None), changed.children(None)), vec![branch]);
        for other in 0..BRANCHES {
            let expected = if other == branch { vec![leaf % LEAVES_PER_BRANCH] } else { vec![] };
            let other = Some(other as u8);
            prop_assert_eq!(differing(tree.children(other), changed.children(other)), expected);
        }
    }

    #[test]
    fn children_are_the_hashes_that_their_nodes_have(contents in contents()) {
        let tree = tree_of(&contents);
        let branches: Vec<u64> = (0..BRANCHES).map(|branch| tree.branch(branch as u8)).collect();
        prop_assert_eq!(tree.children(None), branches);
        for branch in 0..BRANCHES {
            let first = branch * LEAVES_PER_BRANCH;
            let leaves: Vec<u64> =
                (first..first + LEAVES_PER_BRANCH).map(|leaf| tree.leaf(leaf as u16)).collect();
            let is_empty = leaves.iter().all(|sum| *sum == 0);
            prop_assert_eq!(tree.children(Some(branch as u8)), leaves);
            prop_assert_eq!(tree.branch(branch as u8) == 0, is_empty);
            prop_assert_eq!(tree.branch_is_empty(branch as u8), is_empty);
        }
        for leaf in 0..LEAVES as u16 {
            let is_held = contents.keys().any(|position| leaf_of(*position) == leaf);
            prop_assert_eq!(tree.leaf_is_empty(leaf), !is_held);
        }
        prop_assert_eq!(tree.root() == 0, contents.is_empty());
        prop_assert_eq!(tree.is_empty(), contents.is_empty());
    }

    #[test]
    fn a_leaf_that_went_wrong_is_put_right_by_its_difference(contents in contents(), wrong: u64) {
        let right = tree_of(&contents);
        let leaf = contents.keys().next().map_or(0, |position| leaf_of(*position));
        let mut tree = right.clone();
        tree.change(leaf, None, Some(wrong));
        let found = tree.leaf(leaf);
        tree.change(leaf, Some(found), Some(right.leaf(leaf)));
        prop_assert_eq!(tree, right);
    }

    #[test]
    fn an_item_depends_on_position_and_digest(
        one in any::<(u128, u64)>(), other in any::<(u128, u64)>(),
    ) {
        prop_assert_eq!(item(one.0, one.1) == item(other.0, other.1), one == other);
        prop_assert!(item(one.0, one.1) != item(one.0, !one.1));
    }
}

#[test]
fn a_record_counted_twice_by_mistake_shows() {
    let once = item(7, 1);
    let mut tree = Tree::new();
    tree.change(7, None, Some(once));
    tree.change(7, None, Some(once));
    assert_ne!(tree.leaf(7), 0);
    assert_ne!(tree.leaf(7), once);
}

#[test]
fn an_empty_tree_has_empty_nodes_and_owns_nothing() {
    let mut tree = Tree::new();
    tree.change(1023, None, Some(5));
    assert_eq!(tree.branch(31), tree.children(None)[31]);
    assert_ne!(tree.branch(31), 0);
    tree.change(1023, Some(5), None);
    assert_eq!(tree.root(), 0);
    assert_eq!(tree.children(None), [0; BRANCHES]);
    assert_eq!(tree.children(Some(31)), [0; LEAVES_PER_BRANCH]);
    assert_eq!(tree.branches.capacity(), 0);
}

#[test]
fn a_branch_that_no_tree_has_has_no_children() {
    let mut tree = Tree::new();
    tree.change(0, None, Some(5));
    assert_eq!(tree.children(Some(32)), []);
    assert_eq!(tree.branch(255), 0);
    assert_eq!(tree.leaf(1024), 0);
    assert!(tree.branch_is_empty(32) && tree.leaf_is_empty(1024));
}

#[test]
fn the_hashes_of_a_known_tree_stay_as_they_are() {
    let mut tree = Tree::new();
    for position in 0..100_u128 {
        tree.change(leaf_of(position * 41), None, Some(item(position, !(position as u64))));
    }
    assert_eq!(tree.root(), 3_182_297_830_602_030_370);
    assert_eq!(tree.branch(0), 6_509_959_343_116_220_620);
    assert_eq!(tree.leaf(0), 10_276_064_409_211_026_014);
}
