//! Which of two records, layouts or properties stays.

use alloc::string::ToString;
use alloc::vec;

use jedlik_hashing::{PartitionCount, RingNode, plan_first};
use jedlik_protocol::bucket::BucketProps;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::tests::record;

fn layout(version: LayoutVersion, nodes: u64) -> Layout {
    let node = |node| RingNode { node: NodeId(node), zone: "z".to_string(), weight: 1 };
    let nodes = (1..=nodes).map(node).collect();
    Layout { version, ring: plan_first(nodes, PartitionCount::new(8).unwrap(), 3).unwrap() }
}

fn bucket(name: &str, version: u64, w: u8) -> BucketEntry {
    BucketEntry { name: name.into(), version, props: BucketProps { w, ..BucketProps::default() } }
}

fn member(node: u64, generation: u64, version: u64) -> MemberRecord {
    MemberRecord { generation, version, ..record(node) }
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
        assert_eq!(age(&known.members()[&NodeId(1)]), if wins { found } else { held });
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
        layout: Some(layout(0, 3)),
    });
    let refused = changes.iter().filter(|change| matches!(change, Change::Refused(_))).count();
    assert_eq!(refused, 5);
    assert_eq!(known.members().keys().collect::<Vec<_>>(), [&NodeId(3)]);
    assert_eq!(known.buckets().len(), 1);
    assert_eq!(known.layout(), None);
}

#[test]
fn members_past_the_limit_are_refused_and_known_ones_still_change() {
    let mut known = Knowledge::default();
    for node in 0..NODES_MAX as u64 {
        known.merge_member(member(node, 1, 1));
    }
    let refused = Some(Change::Refused(Unacceptable::TooManyMembers));
    assert_eq!(known.merge_member(member(5000, 1, 1)), refused);
    assert!(matches!(known.merge_member(member(7, 1, 2)), Some(Change::Updated(_))));
}

#[test]
fn a_layout_that_loses_to_a_rival_is_named() {
    let (one, other) = (layout(1, 3), layout(1, 4));
    let (loser, winner) = if other.supersedes(&one) { (one, other) } else { (other, one) };
    let mut known = Knowledge::default();
    assert_eq!(known.merge_layout(loser.clone()), Some(Change::Layout { replaced: None }));
    let replaced = Some(loser.digest());
    assert_eq!(known.merge_layout(winner.clone()), Some(Change::Layout { replaced }));
    assert_eq!(known.merge_layout(loser), None);
    assert_eq!(known.merge_layout(layout(2, 3)), Some(Change::Layout { replaced: None }));
    assert_eq!(known.merge_layout(winner), None);
}

fn deltas() -> impl Strategy<Value = Delta> {
    let members = proptest::collection::vec((1..5_u64, 1..3_u64, 1..4_u64), 0..6);
    let buckets = proptest::collection::vec((0..3_usize, 1..4_u64, 1..=3_u8), 0..6);
    let layouts = proptest::option::of((1..4_u64, 1..4_u64));
    (members, buckets, layouts).prop_map(|(members, buckets, layouts)| Delta {
        members: members
            .into_iter()
            .map(|(node, life, version)| member(node, life, version))
            .collect(),
        buckets: buckets
            .into_iter()
            .map(|(name, version, w)| bucket(["a", "b", "c"][name], version, w))
            .collect(),
        layout: layouts.map(|(version, nodes)| layout(version, nodes)),
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
        prop_assert!(known.merge(a).is_empty());
        prop_assert_eq!(known, before);
    }
}
