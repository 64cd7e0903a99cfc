//! The leaves that are taken together.

use alloc::vec;
use alloc::vec::Vec;

use jedlik_merkle::BRANCHES;

use super::*;

/// Returns a walk whose tree holds something in `held` and that waits with `differing` leaves.
fn waiting(held: &[u16], differing: &[u16], direction: Direction) -> Walk {
    let mut tree = Tree::new();
    for leaf in held {
        tree.change(*leaf, None, Some(1));
    }
    let mut walk = Walk::new(tree, direction);
    walk.branches.clear();
    walk.leaves.extend(differing);
    walk
}

/// Takes all runs in turn: those in which something is held, and those in which nothing is.
fn runs(walk: &mut Walk, limit: u64) -> (Vec<Run>, Vec<Run>) {
    let (mut held, mut empty) = (vec![], vec![]);
    loop {
        if let Some(run) = walk.next_empty() {
            empty.push(run);
        } else if let Some(run) = walk.next_held(limit) {
            held.push(run);
        } else {
            return (held, empty);
        }
    }
}

#[test]
fn leaves_are_neighbours_if_all_between_are_empty_on_both_sides() {
    type Case<'a> = (&'a str, &'a [u16], &'a [u16], &'a [Run], &'a [Run]);
    let cases: [Case<'_>; 7] = [
        ("held", &[4, 6, 9], &[4, 6, 9], &[(4, 9)], &[]),
        ("empty", &[], &[4, 6, 9], &[], &[(4, 9)]),
        ("a held one that agrees lies between", &[4, 5, 6, 9], &[4, 6, 9], &[(4, 4), (6, 9)], &[]),
        ("the same between empty ones", &[5], &[4, 6, 9], &[], &[(4, 4), (6, 9)]),
        (
            "an empty one that differs lies between",
            &[4, 9],
            &[4, 6, 9],
            &[(4, 4), (9, 9)],
            &[(6, 6)],
        ),
        ("a branch that agrees lies between", &[], &[31, 64], &[], &[(31, 64)]),
        ("they wait in another order", &[], &[64, 31], &[], &[(64, 64), (31, 31)]),
    ];
    for (why, held, differing, held_runs, empty_runs) in cases {
        let mut walk = waiting(held, differing, Direction::Both);
        let expected = (held_runs.to_vec(), empty_runs.to_vec());
        assert_eq!(runs(&mut walk, 1024), expected, "{why}");
        assert!(walk.is_over(), "{why}");
    }
}

#[test]
fn a_push_reads_small_gaps_too() {
    let all: Vec<u16> = (0..100).collect();
    let differing = [4, 6, 9, 14];
    for (limit, expected) in [
        (31, vec![(4, 4), (6, 6), (9, 9), (14, 14)]),
        (32, vec![(4, 6), (9, 9), (14, 14)]),
        (64, vec![(4, 9), (14, 14)]),
        (1024, vec![(4, 14)]),
    ] {
        let mut walk = waiting(&all, &differing, Direction::Push);
        assert_eq!(runs(&mut walk, limit), (expected, vec![]), "at most {limit}");
    }
}

#[test]
fn how_many_leaves_hold_a_number_of_keys_follows_from_how_many_hold_none() {
    for (held, expected) in
        [(0, 524_288), (1, 523_776), (324, 1_106), (512, 512), (1_000, 12), (1_024, 0)]
    {
        let leaves: Vec<u16> = (0..held).collect();
        let mut walk = waiting(&leaves, &[], Direction::Push);
        assert_eq!(walk.fitting(512), 0, "the peer may hold more");
        walk.alike = true;
        assert_eq!(walk.fitting(512), expected, "{held} leaves");
    }
}

#[test]
fn a_branch_between_that_differs_parts_leaves() {
    let mut walk = waiting(&[], &[31, 64, 160, 300], Direction::Both);
    walk.differing = 1 << 1 | 1 << 7;
    assert_eq!(runs(&mut walk, 1).1, [(31, 31), (64, 160), (300, 300)]);
}

#[test]
fn only_runs_in_which_something_is_held_are_limited() {
    let leaves: Vec<u16> = (0..10).collect();
    for (limit, expected) in [
        (0, (0..10).map(|leaf| (leaf, leaf)).collect()),
        (1, (0..10).map(|leaf| (leaf, leaf)).collect()),
        (4, vec![(0, 3), (4, 7), (8, 9)]),
        (10, vec![(0, 9)]),
    ] {
        let mut walk = waiting(&leaves, &leaves, Direction::Both);
        assert_eq!(runs(&mut walk, limit), (expected, vec![]), "at most {limit}");
        let mut walk = waiting(&[], &leaves, Direction::Both);
        assert_eq!(runs(&mut walk, limit), (vec![], vec![(0, 9)]), "at most {limit}");
    }
}

#[test]
fn of_a_branch_without_records_all_leaves_differ() {
    let mut walk = Walk::new(Tree::new(), Direction::Both);
    assert_eq!(walk.ask(), Some((None, 0)));
    let hashes = (0..BRANCHES as u64).map(|index| u64::from([2, 3, 30].contains(&index)));
    let hashes: Vec<u64> = hashes.collect();
    assert!(matches!(walk.compare(None, &hashes), Some(Ok(()))));
    assert_eq!(walk.ask(), None);
    assert_eq!(walk.next_empty(), Some((64, 991)));
    assert!(walk.is_over());
}
