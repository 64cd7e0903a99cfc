//! The nodes that a replica is compared with before it votes, as tables; and that it then misses nothing, as a law.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

use jedlik_protocol::peer::Vouching;

use super::{Refill, RefillSet, RefillStatus};
use crate::inbound::OldOwner;

const ME: NodeId = NodeId(1);

/// Returns a set of owners: `u` is up, `d` down, `x` given up; nodes are numbered from 1, and 1 is this one.
fn set(states: &str, least_w: u8) -> RefillSet {
    let owners = states.chars().zip(1..).map(|(state, node)| OldOwner {
        node: NodeId(node),
        up: state == 'u',
        given_up: state == 'x',
    });
    let voters = states.len() + 1 - usize::from(least_w);
    RefillSet { owners: owners.collect(), voters, intact: None }
}

fn after(voters: &[u64], others: &[u64], sets: &[RefillSet]) -> RefillStatus {
    let mut refill = Refill::new();
    voters.iter().for_each(|node| refill.handle_compared(NodeId(*node), Vouching::Votes));
    others.iter().for_each(|node| refill.handle_compared(NodeId(*node), Vouching::Nothing));
    refill.status(ME, sets)
}

fn nodes(list: &[u64]) -> Vec<NodeId> {
    list.iter().copied().map(NodeId).collect()
}

fn compare(list: &[u64]) -> RefillStatus {
    RefillStatus::Compare(nodes(list))
}

fn blocked(list: &[u64]) -> RefillStatus {
    RefillStatus::Blocked(nodes(list))
}

#[test]
fn a_replica_votes_once_it_was_compared_with_enough_others_that_vote() {
    // The owners, the least W, which voters and which others it was compared with, how it stands.
    let cases = [
        ("uuu", 2, vec![], vec![], compare(&[2, 3])),
        ("uuu", 2, vec![2], vec![], compare(&[3])),
        ("uuu", 2, vec![2, 3], vec![], RefillStatus::Whole),
        // With W = 3 any one of the others has all.
        ("uuu", 3, vec![2], vec![], RefillStatus::Whole),
        ("uud", 3, vec![2], vec![], RefillStatus::Whole),
        // With W = 1 there are never more than the others.
        ("uuu", 1, vec![2, 3], vec![], RefillStatus::Whole),
        ("uuuuu", 3, vec![2, 3], vec![], compare(&[4, 5])),
        ("uuuuu", 3, vec![2, 3, 4], vec![], RefillStatus::Whole),
        // Those that have no vote themselves count for nothing, not even all of them.
        ("uuu", 3, vec![], vec![2], compare(&[3])),
        ("uuu", 3, vec![], vec![2, 3], blocked(&[2, 3])),
        ("uuu", 2, vec![2], vec![3], blocked(&[3])),
        ("udu", 2, vec![3], vec![], blocked(&[2])),
        // What was given up is not waited for.
        ("uxu", 2, vec![3], vec![], RefillStatus::Whole),
        ("uxx", 2, vec![], vec![], RefillStatus::Whole),
        ("u", 1, vec![], vec![], RefillStatus::Whole),
    ];
    for (states, least_quorum, voters, others, expected) in cases {
        let status = after(&voters, &others, &[set(states, least_quorum)]);
        assert_eq!(status, expected, "{states} {least_quorum} {voters:?} {others:?}");
    }
}

#[test]
fn who_gets_a_vote_later_is_compared_with_again() {
    let sets = [set("uuu", 3)];
    let mut refill = Refill::new();
    refill.handle_compared(NodeId(2), Vouching::Nothing);
    refill.handle_compared(NodeId(3), Vouching::Nothing);
    assert_eq!(refill.status(ME, &sets), blocked(&[2, 3]));
    refill.ask_again();
    assert_eq!(refill.status(ME, &sets), compare(&[2, 3]));
    refill.handle_compared(NodeId(3), Vouching::Votes);
    assert_eq!(refill.status(ME, &sets), RefillStatus::Whole);
    // It counts although it has lost its own vote since: what it held is here.
    refill.handle_compared(NodeId(3), Vouching::Nothing);
    assert_eq!(refill.status(ME, &sets), RefillStatus::Whole);
}

#[test]
fn so_many_that_have_lost_nothing_do_that_fewer_than_w_are_left_out() {
    // Two of five owned the keys before; W is 2. This node counts where it has lost nothing itself.
    let raised =
        |states: &str, intact| RefillSet { voters: 1, intact: Some(intact), ..set(states, 2) };
    // How many of the five it needs, which have lost nothing and which others it was compared with, how it stands.
    let cases = [
        ("uuuuu", 3, vec![2, 3, 4], vec![5], RefillStatus::Whole),
        ("uuuuu", 4, vec![2, 3, 4], vec![5], blocked(&[2, 3, 4, 5])),
        ("uuuuu", 3, vec![2, 3], vec![5], compare(&[4])),
        ("uuuux", 3, vec![2, 3, 4], vec![], RefillStatus::Whole),
        ("uuudx", 3, vec![2, 3], vec![], blocked(&[2, 3, 4])),
    ];
    for (states, needed, intact, others, expected) in cases {
        let mut refill = Refill::new();
        intact.iter().for_each(|node| refill.handle_compared(NodeId(*node), Vouching::LostNothing));
        others.iter().for_each(|node| refill.handle_compared(NodeId(*node), Vouching::Nothing));
        let status = refill.status(ME, &[raised(states, needed)]);
        assert_eq!(status, expected, "{states} {needed} {intact:?} {others:?}");
        // Where no number of them would do they count for nothing.
        let voted = RefillSet { intact: None, ..raised(states, needed) };
        assert_ne!(refill.status(ME, &[voted]), RefillStatus::Whole, "{states}");
    }
    // One that votes has lost nothing either, and one that is asked again may have lost its disk since.
    let mut refill = Refill::new();
    let sets = [RefillSet { voters: 3, ..raised("uuuuu", 3) }];
    refill.handle_compared(NodeId(2), Vouching::Votes);
    refill.handle_compared(NodeId(3), Vouching::LostNothing);
    refill.ask_again();
    assert_eq!(refill.status(ME, &sets), compare(&[3, 4, 5]));
    refill.handle_compared(NodeId(3), Vouching::Nothing);
    refill.handle_compared(NodeId(4), Vouching::LostNothing);
    assert_eq!(refill.status(ME, &sets), RefillStatus::Whole);
}

#[test]
fn every_owner_set_has_to_be_met_also_one_that_this_node_is_not_in() {
    let mut other = set("uuu", 3);
    for (owner, node) in other.owners.iter_mut().zip([4, 5, 6]) {
        owner.node = NodeId(node);
    }
    let sets = [set("uuu", 3), other];
    assert_eq!(after(&[2], &[], &sets), compare(&[4, 5, 6]));
    assert_eq!(after(&[2, 5], &[], &sets), RefillStatus::Whole);
    // Of a set that it was not in, it needs what meets every quorum.
    let mut other = set("uuu", 2);
    other.owners.iter_mut().for_each(|owner| owner.node.0 += 3);
    assert_eq!(after(&[4], &[], core::slice::from_ref(&other)), compare(&[5, 6]));
    assert_eq!(after(&[4, 6], &[], &[other]), RefillStatus::Whole);
}

/// Event that happens to the owners of one key.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A node's disk is replaced by an empty one.
    Lose(usize),
    /// A node is compared with another: each has what the other had.
    Compare(usize, usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (any::<bool>(), 0..5usize, 0..5usize).prop_map(|(lose, one, other)| {
        if lose { Event::Lose(one) } else { Event::Compare(one, other) }
    });
    proptest::collection::vec(event, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn while_fewer_than_w_have_lost_their_disks_every_voter_holds_what_it_acknowledged(
        events in events(), n in 3..=5usize, w in 1..=5u8, first in 0..5usize,
    ) {
        let w = w.min(n as u8);
        let set = set(&"uuuuu"[..n], w);
        let name = |index: usize| NodeId(index as u64 + 1);
        // The write is acknowledged by w of them.
        let acknowledged: BTreeSet<usize> = (0..usize::from(w)).map(|k| (first + k) % n).collect();
        let mut holders = acknowledged.clone();
        let mut refilling: Vec<Option<Refill>> = (0..n).map(|_| None).collect();
        for event in events {
            match event {
                Event::Lose(node) if node < n => {
                    let destroyed = (0..n).filter(|k| refilling[*k].is_some() || *k == node);
                    if destroyed.count() < usize::from(w) {
                        holders.remove(&node);
                        refilling[node] = Some(Refill::new());
                    }
                }
                Event::Compare(one, other) if one < n && other < n && one != other => {
                    let vouching = match refilling[other] {
                        None => Vouching::Votes,
                        Some(_) => Vouching::Nothing,
                    };
                    if holders.contains(&one) || holders.contains(&other) {
                        holders.extend([one, other]);
                    }
                    if let Some(refill) = &mut refilling[one] {
                        refill.handle_compared(name(other), vouching);
                        if refill.status(name(one), core::slice::from_ref(&set)) == RefillStatus::Whole {
                            refilling[one] = None;
                        }
                    }
                }
                _ => {}
            }
            for node in &acknowledged {
                assert!(refilling[*node].is_some() || holders.contains(node), "{node} votes without it");
            }
        }
    }

    #[test]
    fn after_n_was_raised_every_voter_holds_the_write_and_all_vote_while_fewer_than_w_lost_their_disks(
        events in events(), given in 2..=4usize, w in 1..=4u8, first in 0..5usize, forgets in 0..32u8,
    ) {
        let (n, w) = (5, w.min(given as u8));
        let name = |index: usize| NodeId(index as u64 + 1);
        // The write is acknowledged by w of the first of five. Some of these no longer know that they were given it.
        let acknowledged = (0..usize::from(w)).map(|k| (first + k) % given);
        let mut holders: BTreeSet<usize> = acknowledged.collect();
        let never = |node: usize| node >= given || forgets & (1 << node) != 0;
        let mut refilling: Vec<Option<(bool, Refill)>> =
            (0..n).map(|node| never(node).then(|| (false, Refill::new()))).collect();
        let status = |me: usize, lost: bool, refill: &Refill| {
            let counts_me = usize::from(!lost);
            let raised = RefillSet {
                voters: given + 1 - usize::from(w),
                intact: Some((n + 1 - usize::from(w) - counts_me).max(1)),
                ..set("uuuuu", w)
            };
            refill.status(name(me), &[raised])
        };
        let all = (0..3 * n * n).map(|turn| Event::Compare(turn % n, turn / n % n));
        let events: Vec<Event> = events.into_iter().chain(all).collect();
        for event in events {
            match event {
                Event::Lose(node) => {
                    let is_lost = |k: &usize| refilling[*k].as_ref().is_some_and(|(lost, _)| *lost);
                    let lost = (0..n).filter(|k| is_lost(k) || *k == node).count();
                    if lost < usize::from(w) {
                        holders.remove(&node);
                        refilling[node] = Some((true, Refill::new()));
                    }
                }
                Event::Compare(one, other) if one != other => {
                    let vouching = match refilling[other] {
                        None => Vouching::Votes,
                        Some((false, _)) => Vouching::LostNothing,
                        Some((true, _)) => Vouching::Nothing,
                    };
                    if holders.contains(&one) || holders.contains(&other) {
                        holders.extend([one, other]);
                    }
                    if let Some((lost, refill)) = &mut refilling[one] {
                        refill.handle_compared(name(other), vouching);
                        if status(one, *lost, refill) == RefillStatus::Whole {
                            refilling[one] = None;
                        }
                    }
                }
                Event::Compare(..) => {}
            }
            assert!(!holders.is_empty());
            for (node, refill) in refilling.iter().enumerate() {
                let votes = refill.is_none() && never(node);
                assert!(!votes || holders.contains(&node), "{node} votes without it");
            }
        }
        assert!(refilling.iter().all(Option::is_none), "nobody is left to vote: {refilling:?}");
    }
}
