//! Merges of records, layouts and properties, and which of two stays.

use alloc::string::ToString;
use alloc::vec;

use jedlik_hashing::{PartitionCount, RingNode, plan_first};
use jedlik_protocol::gossip::{Life, Ready, StagedChange};
use jedlik_protocol::{Departed, Layout, LayoutVersion};
use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};

use jedlik_protocol::limits::LAYOUTS_MAX;

use super::*;
use crate::acceptable::{COUNT_MAX, JUMP_MAX};
use crate::layout_history::ActiveLayout;
use crate::tests::record;

fn layout(version: LayoutVersion, nodes: u64) -> Layout {
    let node = |node| RingNode { node: NodeId(node), zone: "z".to_string(), weight: 1 };
    let nodes = (1..=nodes).map(node).collect();
    let ring = plan_first(nodes, PartitionCount::new(8).unwrap(), 3).unwrap();
    Layout { version, parent: LayoutId::default(), ring, departed: vec![] }
}

/// A layout whose partitions with a bit in `flipped` have flipped.
fn placed(version: LayoutVersion, nodes: u64, flipped: u8) -> WireLayout {
    let flipped = (0..8).filter(|bit| flipped & (1 << bit) != 0).map(Partition).collect();
    WireLayout { layout: layout(version, nodes), flipped }
}

fn ids(known: &Knowledge) -> Vec<LayoutId> {
    known.history().layouts().iter().map(ActiveLayout::id).collect()
}

fn staging(base: LayoutId, revision: u64, weight: u32) -> Staging {
    let change = StagedChange::Join { zone: "z".to_string(), weight };
    Staging { base, revision, changes: vec![(NodeId(9), change)] }
}

fn rights(name: &str, version: u64, revoked: bool) -> AccessEntry {
    AccessEntry {
        subject: Subject::Token(name.into()),
        version,
        secret_hash: [0; 32],
        grants: Vec::new(),
        expires_at_ms: None,
        revoked,
    }
}

fn bucket(name: &str, version: u64, w: u8) -> BucketEntry {
    BucketEntry { name: name.into(), version, props: BucketProps { w, ..BucketProps::default() } }
}

fn member(node: u64, generation: u64, version: u64) -> MemberRecord {
    MemberRecord { generation, version, ..record(node) }
}

#[test]
fn of_two_lives_that_counted_alike_the_same_one_stays_everywhere() {
    let of = |life| MemberRecord { life: Life::new(Incarnation(life)), ..member(1, 2, 2) };
    let (mut one, mut other) = (Knowledge::default(), Knowledge::default());
    for record in [of(7), of(9)] {
        one.merge_member(record);
    }
    for record in [of(9), of(7)] {
        other.merge_member(record);
    }
    assert_eq!(one, other);
    assert_eq!(one.members()[&NodeId(1)].life.incarnation, Incarnation(9));
}

#[test]
fn the_newer_record_of_a_member_stays() {
    let cases = [
        ((1, 1), (1, 2), true),
        ((1, 2), (1, 1), false),
        ((1, 1), (1, 1), false),
        ((1, 9), (2, 1), true),
        ((2, 1), (1, 9), false),
    ];
    for (held, found, wins) in cases {
        let mut known = Knowledge::default();
        known.merge_member(member(1, held.0, held.1));
        let change = known.merge_member(member(1, found.0, found.1));
        assert_eq!(change.is_some(), wins, "{held:?} {found:?}");
        let (generation, version, _) = age(&known.members()[&NodeId(1)]);
        assert_eq!((generation, version), if wins { found } else { held });
    }
}

#[test]
fn what_is_not_acceptable_is_refused_and_the_rest_is_taken() {
    let mut known = Knowledge::default();
    let changes = known.merge(Delta {
        members: vec![
            MemberRecord { weight: 0, ..record(1) },
            MemberRecord { zone: "z".repeat(257), ..record(2) },
            record(3),
        ],
        buckets: vec![bucket("", 1, 2), bucket("few", 1, 9), bucket("good", 1, 2)],
        layouts: vec![placed(0, 3, 0)],
        ..Delta::default()
    });
    let refused =
        changes.iter().filter(|change| matches!(change, KnowledgeChange::Refused(_))).count();
    assert_eq!(refused, 5);
    assert_eq!(known.members().keys().collect::<Vec<_>>(), [&NodeId(3)]);
    assert_eq!(known.buckets().len(), 1);
    assert!(known.newest().is_none());
}

#[test]
fn members_past_the_limit_are_refused_and_known_ones_still_change() {
    let mut known = Knowledge::default();
    for node in 0..NODES_MAX as u64 {
        known.merge_member(member(node, 1, 1));
    }
    let refused = Some(KnowledgeChange::Refused(Unacceptable::TooManyMembers));
    assert_eq!(known.merge_member(member(5000, 1, 1)), refused);
    assert!(matches!(known.merge_member(member(7, 1, 2)), Some(KnowledgeChange::Updated { .. })));
}

#[test]
fn rival_layouts_stay_in_line_and_the_greater_is_in_force() {
    let (mut lesser, mut greater) = (placed(1, 3, 0), placed(1, 4, 0));
    if lesser.layout.id() > greater.layout.id() {
        core::mem::swap(&mut lesser, &mut greater);
    }
    let (lesser_id, greater_id) = (lesser.layout.id(), greater.layout.id());
    let mut known = Knowledge::default();
    assert_eq!(known.merge_layout(lesser.clone()), [KnowledgeChange::Layout { rival: None }]);
    let rival = Some(lesser_id);
    assert_eq!(known.merge_layout(greater.clone()), [KnowledgeChange::Layout { rival }]);
    assert_eq!(known.merge_layout(lesser.clone()), []);
    assert_eq!(ids(&known), [greater_id, lesser_id]);
    let mut other = Knowledge::default();
    other.merge_layout(greater);
    assert_eq!(other.merge_layout(lesser), [KnowledgeChange::Layouts]);
    assert_eq!(other, known);
}

#[test]
fn layouts_older_than_one_to_which_all_has_moved_are_dropped_for_good() {
    let mut known = Knowledge::default();
    for version in 1..=3 {
        known.merge_layout(placed(version, 3, 0b1111));
    }
    assert_eq!(ids(&known).len(), 3);
    let (first, second) = (layout(1, 3).id(), layout(2, 3).id());
    let rest: PartitionSet = (4..8).map(Partition).collect();
    let flips = vec![(second, rest.clone()), (first, rest)];
    let changes = known.merge(Delta { flips, ..Delta::default() });
    assert_eq!(
        changes,
        [KnowledgeChange::Layouts],
        "what flipped under the dropped one counts for nothing"
    );
    assert_eq!(ids(&known), [layout(3, 3).id(), second]);
    assert_eq!(known.merge_layout(placed(1, 3, 0)), []);
    assert_eq!(known.merge_layout(placed(1, 5, 0xff)), [], "its rivals neither");
    assert_eq!(ids(&known).len(), 2);
}

#[test]
fn more_layouts_than_may_be_committed_are_still_taken_from_peers() {
    let mut known = Knowledge::default();
    for version in 1..=2 * LAYOUTS_MAX as u64 {
        known.merge_layout(placed(version, 3, 0));
    }
    assert_eq!(ids(&known).len(), 2 * LAYOUTS_MAX);
}

#[test]
fn a_layout_of_another_cluster_or_with_partitions_that_are_none_is_refused() {
    let mut known = Knowledge::default();
    known.merge_layout(placed(1, 3, 0));
    let mut other = placed(2, 3, 0);
    let node = RingNode { node: NodeId(1), zone: "z".to_string(), weight: 1 };
    other.layout.ring = plan_first(vec![node], PartitionCount::new(16).unwrap(), 3).unwrap();
    let mut beyond = placed(2, 3, 0);
    beyond.flipped.insert(Partition(8));
    for refused in [other, beyond] {
        assert!(matches!(known.merge_layout(refused)[..], [KnowledgeChange::Refused(_)]));
    }
    let flips = vec![(layout(1, 3).id(), [Partition(8)].into_iter().collect())];
    let changes = known.merge(Delta { flips, ..Delta::default() });
    assert!(matches!(changes[..], [KnowledgeChange::Refused(_)]));
    assert_eq!(ids(&known).len(), 1);
}

#[test]
fn a_partition_flips_once_every_owner_that_any_bucket_asks_for_is_ready() {
    let base = placed(1, 4, 0);
    let id = base.layout.id();
    let mut known = Knowledge::default();
    known.merge_layout(base);
    let owners: Vec<NodeId> = known.newest().unwrap().preference_list(Partition(2)).to_vec();
    let ready = |node: NodeId, version, layout| MemberRecord {
        ready: Ready { layout, partitions: [Partition(2)].into_iter().collect() },
        ..member(node.0, 1, version)
    };
    let flip = |known: &mut Knowledge| known.flip((0..8).map(Partition), |_| true);
    let stale = LayoutId { version: 1, digest: id.digest ^ 1 };
    known.merge_member(ready(owners[0], 1, stale));
    known.merge_member(ready(owners[1], 1, id));
    known.merge_member(ready(owners[2], 1, id));
    assert!(!flip(&mut known), "one speaks of another layout");
    known.merge_bucket(BucketEntry {
        props: BucketProps { n: 4, ..BucketProps::default() },
        ..bucket("wide", 1, 2)
    });
    known.merge_member(ready(owners[0], 2, id));
    assert!(!flip(&mut known), "a bucket asks for a fourth");
    known.merge_member(ready(owners[3], 1, id));
    assert!(flip(&mut known) && !flip(&mut known));
    assert_eq!(known.newest().unwrap().flipped().iter().collect::<Vec<_>>(), [Partition(2)]);
}

#[test]
fn who_was_removed_is_dropped_and_who_leaves_stays_until_it_has_left() {
    let mut known = Knowledge::default();
    (1..=3).for_each(|node| drop(known.merge_member(member(node, 1, 1))));
    let departed = |node, forced| Departed { node: NodeId(node), forced };
    let mut last = placed(1, 1, 0);
    last.layout.departed = vec![departed(2, true), departed(3, false)];
    let changes = known.merge_layout(last.clone());
    assert_eq!(
        changes,
        [KnowledgeChange::Layout { rival: None }, KnowledgeChange::Dropped(NodeId(2))]
    );
    assert_eq!(known.merge_member(member(2, 9, 9)), None);
    assert!(known.is_removed(NodeId(2)) && !known.is_removed(NodeId(3)));
    assert!(!known.has_left(NodeId(3)));
    let done = MemberRecord { status: Status::Left, ..member(3, 1, 2) };
    known.merge_member(done);
    assert!(known.has_left(NodeId(3)));
}

#[test]
fn of_two_stagings_the_newer_stays_until_another_layout_makes_it_void() {
    let mut known = Knowledge::default();
    known.merge_layout(placed(1, 3, 0));
    let base = layout(1, 3).id();
    let none = LayoutId::default();
    assert_eq!(known.merge_staging(staging(none, 9, 1)), None, "its layout is not in force");
    assert_eq!(known.merge_staging(staging(base, 1, 1)), Some(KnowledgeChange::Staged));
    assert_eq!(known.merge_staging(staging(base, 1, 1)), None);
    assert_eq!(known.merge_staging(staging(base, 2, 2)), Some(KnowledgeChange::Staged));
    assert_eq!(known.merge_staging(staging(base, 1, 3)), None);
    assert_eq!(known.staging(), Some(&staging(base, 2, 2)));
    let next = layout(2, 3).id();
    assert_eq!(known.merge_staging(staging(next, 1, 1)), None, "nobody has shown its layout");
    assert_eq!(known.staging(), Some(&staging(base, 2, 2)), "which keeps nobody's changes out");
    let both = Delta {
        layouts: vec![placed(2, 3, 0)],
        staging: Some(staging(next, 1, 1)),
        ..Delta::default()
    };
    known.merge(both);
    assert_eq!(known.staging(), Some(&staging(next, 1, 1)));
    known.merge_layout(placed(3, 3, 0));
    assert_eq!(known.staging(), None);
}

#[test]
fn versions_that_could_not_be_outdone_are_refused_and_what_was_held_stays() {
    let far = [u64::MAX, 2 * COUNT_MAX + 1];
    let mut known = Knowledge::default();
    known.merge_layout(placed(1, 3, 0));
    let base = layout(1, 3).id();
    known.merge_member(member(1, 1, 1));
    known.merge_bucket(bucket("a", 1, 2));
    known.merge_staging(staging(base, 1, 1));
    let before = known.clone();
    for far in far {
        let changes = known.merge(Delta {
            members: vec![member(1, far, 1), member(1, 1, far), member(2, far, far)],
            buckets: vec![bucket("a", far, 1), bucket("b", far, 1)],
            layouts: vec![placed(far, 3, 0xff)],
            staging: Some(staging(base, far, 9)),
            ..Delta::default()
        });
        assert_eq!(changes.len(), 7);
        assert!(
            changes.iter().all(|change| matches!(change, KnowledgeChange::Refused(_))),
            "{changes:?}"
        );
        assert_eq!(known, before);
    }
    let steps = [1 + JUMP_MAX, 2 + JUMP_MAX];
    assert!(matches!(
        known.merge_layout(placed(steps[1], 3, 0))[..],
        [KnowledgeChange::Refused(_)]
    ));
    assert!(matches!(
        known.merge_layout(placed(steps[0], 3, 0))[..],
        [KnowledgeChange::Layout { .. }]
    ));
    let mut blank = Knowledge::default();
    assert!(matches!(
        blank.merge_layout(placed(COUNT_MAX, 3, 0))[..],
        [KnowledgeChange::Layout { .. }]
    ));
}

#[test]
fn nodes_that_left_fill_no_more_than_their_own_room() {
    let mut known = Knowledge::default();
    for node in 0..(NODES_MAX + DEPARTED_MAX) as u64 {
        known.merge_member(MemberRecord { status: Status::Left, ..member(node, 1, 1) });
    }
    let refused = Some(KnowledgeChange::Refused(Unacceptable::TooManyMembers));
    assert_eq!(known.merge_member(member(u64::MAX, 1, 1)), refused);
    assert_eq!(known.members().len(), NODES_MAX + DEPARTED_MAX);
}

fn deltas() -> impl Strategy<Value = Delta> {
    let members = vec_of((1..5_u64, 1..3_u64, 1..4_u64), 0..6);
    let buckets = vec_of((0..3_usize, 1..4_u64, 1..=3_u8), 0..6);
    // Sets that are full now and then, so that layouts retire.
    let flipped = prop_oneof![Just(0xff_u8), 0..0xff_u8];
    let layouts = vec_of((1..4_u64, 1..4_u64, flipped), 0..4);
    let staged = proptest::option::of((1..3_u64, 1..3_u32));
    // Changes travel with the layout that they are to change, for a peer that lacks it.
    let base = |layouts: &[(u64, u64, u8)]| {
        let ids = layouts.iter().map(|(version, nodes, _)| layout(*version, *nodes).id());
        ids.max().unwrap_or_default()
    };
    let access = vec_of((0..2_usize, 1..4_u64, proptest::bool::ANY), 0..4);
    let parts = (members, buckets, access, layouts, staged);
    parts.prop_map(move |(members, buckets, access, layouts, staged)| Delta {
        access: access
            .into_iter()
            .map(|(name, version, revoked)| rights(["a", "b"][name], version, revoked))
            .collect(),
        staging: staged.map(|(revision, weight)| staging(base(&layouts), revision, weight)),
        members: members
            .into_iter()
            .map(|(node, life, version)| member(node, life, version))
            .collect(),
        buckets: buckets
            .into_iter()
            .map(|(name, version, w)| bucket(["a", "b", "c"][name], version, w))
            .collect(),
        layouts: layouts
            .into_iter()
            .map(|(version, nodes, flipped)| placed(version, nodes, flipped))
            .collect(),
        flips: vec![],
    })
}

fn knowing(deltas: &[&Delta]) -> Knowledge {
    let mut known = Knowledge::default();
    for delta in deltas {
        known.merge((*delta).clone());
    }
    known
}

proptest! {
    #[test]
    fn the_order_and_number_of_arrivals_do_not_matter(a in deltas(), b in deltas(), c in deltas()) {
        let all = knowing(&[&a, &b, &c]);
        prop_assert_eq!(&knowing(&[&c, &b, &a]), &all);
        prop_assert_eq!(&knowing(&[&b, &a, &b, &c, &a]), &all);
        prop_assert_eq!(&Knowledge::restored(all.whole()), &all);
    }

    #[test]
    fn one_exchange_brings_two_nodes_to_the_same(a in deltas(), b in deltas()) {
        let (mut left, mut right) = (knowing(&[&a]), knowing(&[&b]));
        let to_left = right.lacking(&left.summary());
        left.merge(to_left);
        let to_right = left.lacking(&right.summary());
        right.merge(to_right);
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(&left, &knowing(&[&a, &b]));
        prop_assert_eq!(left.lacking(&right.summary()), Delta::default());
    }

    #[test]
    fn what_is_refused_or_older_changes_nothing(a in deltas()) {
        let mut known = knowing(&[&a]);
        let before = known.clone();
        prop_assert_eq!(known.merge(a), vec![]);
        prop_assert_eq!(known, before);
    }
}

#[test]
fn two_rivals_of_which_one_removes_a_node_have_one_follower_in_any_order() {
    let base = WireLayout { layout: layout(1, 5), flipped: PartitionSet::default() };
    let after = |nodes: Vec<u64>, weight| {
        let node = |node| RingNode { node: NodeId(node), zone: "z".to_string(), weight };
        let nodes = nodes.into_iter().map(node).collect();
        let ring = plan_first(nodes, PartitionCount::new(8).unwrap(), 3).unwrap();
        Layout { version: 2, parent: base.layout.id(), ring, departed: vec![] }
    };
    let departed = vec![Departed { node: NodeId(4), forced: true }];
    let removal = Layout { departed, ..after(vec![1, 2, 3, 5], 1) };
    let mut winners = 0;
    for weight in 2..12 {
        let rival = after(vec![1, 2, 3, 4, 5], weight);
        let place = |layout: &Layout| WireLayout {
            layout: layout.clone(),
            flipped: PartitionSet::default(),
        };
        let orders = [
            [&base.layout, &removal, &rival],
            [&rival, &removal, &base.layout],
            [&removal, &rival, &base.layout],
        ];
        let ends = orders.map(|order| {
            let mut known = Knowledge::default();
            order.into_iter().for_each(|layout| drop(known.merge_layout(place(layout))));
            known
        });
        assert!(ends.iter().all(|end| *end == ends[0]), "weight {weight}");
        let wins = rival.id() > removal.id();
        winners += usize::from(wins);
        assert!(ends[0].is_removed(NodeId(4)));
        assert_eq!(ids(&ends[0]).len(), if wins { 4 } else { 3 });
        // What was stored is what is known after a start.
        assert_eq!(Knowledge::restored(ends[0].whole()), ends[0]);
    }
    assert!(winners > 1, "{winners} rivals win");
}
