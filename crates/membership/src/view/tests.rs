//! Views: what a shard is told of the cluster.

use alloc::string::ToString;
use alloc::vec;

use jedlik_hashing::{Ring, RingNode, plan_first};
use jedlik_protocol::{Incarnation, PartitionSet, WireLayout};

use super::*;
use crate::tests::{address, record};

fn placed(version: u64, ring: Ring) -> WireLayout {
    let (parent, departed) = (LayoutId::default(), vec![]);
    WireLayout {
        layout: Layout { version, parent, ring, departed },
        flipped: PartitionSet::default(),
    }
}

fn known(with_layout: bool) -> Delta {
    let node = |node| RingNode { node: NodeId(node), zone: node.to_string(), weight: 1 };
    let q = PartitionCount::new(8).unwrap();
    let ring = plan_first((1..=3).map(node).collect(), q, 3).unwrap();
    let props = BucketProps { w: 3, ..BucketProps::default() };
    Delta {
        members: (1..=3).map(record).collect(),
        buckets: vec![BucketEntry { name: "carts".into(), version: 1, props }],
        layouts: if with_layout { vec![placed(4, ring)] } else { vec![] },
        ..Delta::default()
    }
}

fn view(with_layout: bool) -> View {
    let alive = BTreeSet::from([NodeId(2)]);
    View::new(NodeId(1), ClusterId(7), PartitionCount::DEFAULT, known(with_layout), alive)
}

#[test]
fn before_the_first_commit_nobody_holds_anything() {
    let view = view(false);
    assert_eq!(view.layout_version(), 0);
    assert_eq!(view.partitions(), PartitionCount::DEFAULT);
    assert_eq!(view.preference_list(Partition(200)), []);
    assert_eq!(view.topology().layout, None);
}

#[test]
fn a_layout_brings_its_own_partitions_and_preference_lists() {
    let view = view(true);
    assert_eq!(view.layout_version(), 4);
    assert_eq!(view.partitions().get(), 8);
    let ring = &view.layout().unwrap().ring;
    for partition in view.partitions().partitions() {
        assert_eq!(view.preference_list(partition), ring.preference_list(partition));
    }
}

#[test]
fn a_bucket_that_was_never_set_has_the_defaults() {
    let view = view(true);
    assert_eq!(view.bucket(b"carts").w, 3);
    assert_eq!(*view.bucket(b"cart"), BucketProps::default());
}

#[test]
fn the_node_itself_is_always_alive_to_itself() {
    let view = view(true);
    assert_eq!([1, 2, 3].map(|node| view.is_alive(NodeId(node))), [true, true, false]);
    assert_eq!(view.address(NodeId(3)), Some(address(3)));
    assert_eq!(view.address(NodeId(4)), None);
    let alive: Vec<bool> = view.topology().members.iter().map(|member| member.alive).collect();
    assert_eq!(alive, [true, true, false]);
}

#[test]
fn a_change_of_who_is_up_shares_everything_else() {
    let known = Knowledge::restored(known(true));
    let all =
        |alive| View::of(NodeId(1), ClusterId(7), PartitionCount::DEFAULT, &known, Arc::new(alive));
    let before = all(BTreeSet::new());
    let after = before.next(&known, Arc::new(BTreeSet::from([NodeId(3)])));
    assert!(Arc::ptr_eq(&before.layouts, &after.layouts));
    assert!(Arc::ptr_eq(&before.buckets, &after.buckets));
    assert!(after.is_alive(NodeId(3)));
}

#[test]
fn the_counts_of_replicas_are_those_of_the_buckets_and_the_default() {
    assert_eq!(view(true).replica_counts(), [3]);
    assert!(view(true).other_replica_counts().is_empty());
    let mut known = known(true);
    let props = BucketProps { n: 2, r: 1, w: 1, ..BucketProps::default() };
    known.buckets.push(BucketEntry { name: "logs".into(), version: 1, props });
    let q = PartitionCount::DEFAULT;
    let view = View::new(NodeId(1), ClusterId(7), q, known, BTreeSet::new());
    assert_eq!(view.replica_counts(), [2, 3]);
    assert_eq!(view.other_replica_counts(), [(&b"logs"[..], 2)]);
}

/// A view of layouts with these versions and token holders of partition 0, newest last; `flipped` names those under
/// which it has flipped. Each ring has one node for each place in the list.
fn moved(lists: &[(u64, &[u64])], flipped: &[u64]) -> View {
    moved_among(vec![], lists, flipped)
}

fn moved_among(members: Vec<MemberRecord>, lists: &[(u64, &[u64])], flipped: &[u64]) -> View {
    let q = PartitionCount::new(16).unwrap();
    let layout = |(version, nodes): &(u64, &[u64])| {
        let node = |node: &u64| RingNode { node: NodeId(*node), zone: "z".to_string(), weight: 1 };
        let mut layout =
            placed(*version, plan_first(nodes.iter().map(node).collect(), q, 3).unwrap());
        if flipped.contains(version) {
            layout.flipped.insert(Partition(0));
        }
        layout
    };
    let layouts = lists.iter().map(layout).collect();
    let delta = Delta { layouts, members, ..Delta::default() };
    View::new(NodeId(1), ClusterId(7), q, delta, BTreeSet::new())
}

fn sets(view: &View, n: u8) -> Vec<BTreeSet<u64>> {
    let lists = view.owner_lists(Partition(0), n);
    let of = |list: &[NodeId]| list.iter().take(usize::from(n)).map(|node| node.0).collect();
    lists.into_iter().map(of).collect()
}

#[test]
fn the_lists_that_count_go_back_to_the_newest_that_has_flipped() {
    let line: [(u64, &[u64]); 3] = [(1, &[1, 2, 3]), (2, &[2, 3, 4]), (3, &[4, 5, 6])];
    let set = |nodes: [u64; 3]| BTreeSet::from(nodes);
    let (a, b, c) = (set([1, 2, 3]), set([2, 3, 4]), set([4, 5, 6]));
    for (flipped, expected) in [
        (vec![], vec![c.clone(), b.clone(), a.clone()]),
        (vec![1], vec![c.clone(), b.clone(), a]),
        (vec![2], vec![c.clone(), b.clone()]),
        (vec![1, 3], vec![c]),
    ] {
        let view = moved(&line, &flipped);
        assert_eq!(sets(&view, 3), expected, "{flipped:?}");
        assert_eq!(view.is_flipped(Partition(0)), flipped.contains(&3));
        assert_eq!(view.flipped(), u32::from(flipped.contains(&3)));
    }
    let owners = moved(&line, &[2]).owners(Partition(0), 3);
    assert_eq!(owners.len(), 5);
    assert_eq!(BTreeSet::from_iter(owners[..3].iter().map(|node| node.0)), set([4, 5, 6]));
}

#[test]
fn a_list_with_the_same_owners_as_a_newer_one_is_not_asked_twice() {
    let line: [(u64, &[u64]); 3] = [(1, &[1, 2, 3]), (2, &[4, 5, 6]), (3, &[1, 2, 3])];
    assert_eq!(sets(&moved(&line, &[]), 3).len(), 2);
    assert!(moved(&[], &[]).owner_lists(Partition(0), 3).is_empty());
    assert!(moved(&[], &[]).owners(Partition(0), 3).is_empty());
}

#[test]
fn who_takes_over_is_a_new_owner_that_was_none_before_and_is_not_ready() {
    let line: [(u64, &[u64]); 3] = [(1, &[1, 2, 3]), (2, &[2, 3, 4]), (3, &[3, 4, 5])];
    let inbound = |view: &View| {
        let nodes = (1..=6).filter(|node| view.is_inbound(NodeId(*node), Partition(0), 3));
        nodes.collect::<Vec<_>>()
    };
    assert_eq!(inbound(&moved(&line[..1], &[])), [0; 0], "nothing moves");
    assert_eq!(inbound(&moved(&line[..2], &[])), [4]);
    assert_eq!(inbound(&moved(&line[..2], &[2])), [0; 0], "it has flipped");
    assert_eq!(inbound(&moved(&line, &[])), [5], "4 owns it under the layout in between");
    assert_eq!(inbound(&moved(&[], &[])), [0; 0]);
    let layout = moved(&line[..2], &[]).layout_id();
    for (partition, expected) in [(0, vec![]), (1, vec![4])] {
        let mut new = record(4);
        new.ready.layout = layout;
        new.ready.partitions.insert(Partition(partition));
        let view = moved_among(vec![new], &line[..2], &[]);
        assert_eq!(inbound(&view), expected, "ready for {partition}");
    }
}

#[test]
fn a_layout_is_known_by_all_once_every_member_that_is_not_gone_says_so() {
    let mut stored = known(true);
    let mut newest = placed(5, stored.layouts[0].layout.ring.clone());
    let departed = |node, forced| Departed { node: NodeId(node), forced };
    newest.layout.departed = vec![departed(4, true), departed(5, false), departed(6, false)];
    let id = newest.layout.id();
    stored.layouts.push(newest);
    stored.members = (1..=6).map(|node| MemberRecord { layout: id, ..record(node) }).collect();
    stored.members[3].layout = LayoutId::default();
    stored.members[4].layout = LayoutId::default();
    let alive = (2..=6).map(NodeId).collect::<BTreeSet<_>>();
    let view = |stored: &Delta| {
        View::new(NodeId(1), ClusterId(7), PartitionCount::DEFAULT, stored.clone(), alive.clone())
    };
    assert!(!view(&stored).is_known_by_all(), "a node that leaves is still asked");
    stored.members[4].status = Status::Left;
    stored.members[1].layout.digest = id.digest.wrapping_add(1);
    assert!(!view(&stored).is_known_by_all(), "a rival that is not known here has other owners");
    stored.members[1].layout = id;
    let view = view(&stored);
    assert!(view.is_known_by_all());
    assert_eq!(view.members().map(|member| member.node.0).collect::<Vec<_>>(), [1, 2, 3, 6]);
    assert_eq!([3, 4, 5, 6].map(|node| view.is_alive(NodeId(node))), [true, false, false, true]);
    assert_eq!(view.departed(NodeId(4)), Some(departed(4, true)));
    assert_eq!(view.departed(NodeId(1)), None);
}

#[test]
fn members_agree_on_lives_if_they_take_the_same_processes_for_the_members() {
    let seen = |member: MemberRecord| {
        let mut stored = known(true);
        stored.members[1] = member;
        View::new(NodeId(1), ClusterId(7), PartitionCount::DEFAULT, stored, BTreeSet::new())
    };
    let present = record(2);
    let base = seen(present.clone());
    assert!(!base.has_rivals());
    let aged = seen(MemberRecord { version: present.version + 1, ..present.clone() });
    assert_eq!(base.lives(), aged.lives(), "other news is no other life");
    let life = Life::new(Incarnation(99));
    let started = seen(MemberRecord { life, ..present.clone() });
    assert_ne!(base.lives(), started.lives());
    assert_eq!(started.life(NodeId(2)), Some(life));
    let rival = Some(Rival { incarnation: Incarnation(9), address: address(9) });
    let disputed = seen(MemberRecord { life: Life { rival, ..present.life }, ..present });
    assert!(disputed.has_rivals());
}
