//! Another N while partitions move and disks are lost: who is asked before a replica votes for keys again.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition, PartitionCount, RingNode, plan_first};
use jedlik_membership::{Past, View};
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::gossip::{Delta, Ready};
use jedlik_protocol::peer::Vouching;
use jedlik_protocol::{Blob, LayoutId, PartitionSet, WireLayout};

use super::cluster::{CLUSTER, Cluster, blind, member};
use crate::keyset::Keyset;
use crate::votes::{Basis, Votes};
use crate::{Config, Input, Replica};

const ME: NodeId = NodeId(1);
const P: Partition = Partition(0);
const BY_TWO_OF_THREE: Basis = Basis { n: 3, least_w: 2 };

/// Layout in which these are the first owners of partition 0. This node is one of the first two only if it is
/// named first: the nodes' weights are chosen so.
fn layout(version: u32, first: &[u64], flipped: bool) -> WireLayout {
    let nodes = |seed: u64| -> Vec<RingNode> {
        let weight = |node: u64| 1 + ((seed >> (2 * node)) & 3) as u32;
        let node =
            |id: u64| RingNode { node: NodeId(id), zone: format!("z{id}"), weight: weight(id) };
        (1..=5).map(node).collect()
    };
    let partitions = PartitionCount::new(8).expect("a power of two");
    for seed in 0..4_096 {
        let ring = plan_first(nodes(seed), partitions, 5).expect("a ring");
        let layout = jedlik_protocol::Layout {
            version: version.into(),
            parent: LayoutId::default(),
            ring,
            departed: Vec::new(),
        };
        let flipped =
            if flipped { PartitionSet::full(partitions) } else { PartitionSet::default() };
        let placed = WireLayout { layout, flipped };
        let owners = owners(&placed);
        let are_first = first.iter().all(|node| owners[..first.len()].contains(&NodeId(*node)));
        if are_first && (first[0] == ME.0) == owners[..2].contains(&ME) {
            return placed;
        }
    }
    panic!("no weights make {first:?} the first owners");
}

fn owners(placed: &WireLayout) -> Vec<NodeId> {
    let view = view([placed.clone()].into(), 3, Past::Continuous, false);
    view.preference_list(P).to_vec()
}

/// Returns a view of these layouts and a bucket of `n` replicas. `ready`: this node has said that it is ready for all.
fn view(layouts: Vec<WireLayout>, n: u8, past: Past, ready: bool) -> View {
    let partitions = PartitionCount::new(8).expect("a power of two");
    let mut members: Vec<_> = (1..=5).map(member).collect();
    if ready {
        let newest = layouts.iter().map(|placed| placed.layout.id()).max().unwrap_or_default();
        members[0].ready = Ready { layout: newest, partitions: PartitionSet::full(partitions) };
    }
    let props = BucketProps { n, ..BucketProps::default() };
    let entry = BucketEntry { name: Blob::from("whole"), version: u64::from(n), props };
    let known = Delta { members, layouts, buckets: [entry].into(), ..Delta::default() };
    let alive = (1..=5).map(NodeId).collect();
    View::new(ME, CLUSTER, partitions, known, alive).with_past(past)
}

fn replica() -> Replica {
    Replica::new(Config { votes: Some(Votes::restored(None).encode()), ..Cluster::config(ME, 1) })
}

fn see(replica: &mut Replica, view: &View) {
    let now = jedlik_protocol::Now::new(0, 1_000_000);
    replica.handle(now, Input::View(Arc::new(view.clone())));
}

/// Returns the bases that the vote on keys of partition 0 with five replicas waits for.
fn bases(replica: &Replica) -> Vec<Basis> {
    let entry = replica.cx.votes.entries.get(&Keyset::new(P, 5));
    entry.map(|entry| entry.bases.iter().copied().collect()).unwrap_or_default()
}

#[test]
fn what_flipped_before_n_was_raised_is_no_lost_past() {
    let former = layout(1, &[2, 3, 4], true);
    let moved = layout(2, &[2, 3, 5], true);
    for past in [Past::Continuous, Past::Lost] {
        let mut replica = replica();
        see(&mut replica, &view([former.clone()].into(), 3, past, false));
        // It learns at once that all has moved and that the bucket has five replicas, of which it is one.
        see(&mut replica, &view([moved.clone()].into(), 5, past, false));
        let given_once = Basis { n: 5, least_w: 2 };
        match past {
            Past::Lost => assert_eq!(bases(&replica), [BY_TWO_OF_THREE, given_once]),
            _ => assert_eq!(bases(&replica), [BY_TWO_OF_THREE]),
        }
    }
}

#[test]
fn a_life_that_lost_its_past_asks_who_owns_keys_by_a_raised_n_until_it_is_refilled() {
    let settled = layout(1, &[1, 2, 3], true);
    let given = layout(1, &[2, 3, 4], true);
    let earlier_life = Basis { n: 5, least_w: 2 };
    for (layout, expected) in [(settled, BY_TWO_OF_THREE), (given, BY_TWO_OF_THREE)] {
        let mut replica = replica();
        see(&mut replica, &view([layout.clone()].into(), 3, Past::Lost, false));
        // It is kept over a stop that it has not been refilled.
        let votes = Some(replica.cx.votes.encode());
        replica = Replica::new(Config { votes, ..Cluster::config(ME, 2) });
        see(&mut replica, &view([layout.clone()].into(), 3, Past::Continuous, false));
        see(&mut replica, &view([layout.clone()].into(), 5, Past::Continuous, false));
        assert_eq!(bases(&replica), [expected, earlier_life]);
        replica.background.transfers.handle_believe(&mut replica.cx);
        see(&mut replica, &view([layout.clone()].into(), 3, Past::Continuous, false));
        see(&mut replica, &view([layout].into(), 5, Past::Continuous, false));
        assert!(!bases(&replica).contains(&earlier_life), "nothing is refilled any more");
    }
}

#[test]
fn whoever_votes_by_a_raised_n_counts_as_one_of_those_that_had_the_keys_before() {
    let former = layout(1, &[2, 3, 4], true);
    let mut replica = replica();
    see(&mut replica, &view([former.clone()].into(), 3, Past::Continuous, false));
    see(&mut replica, &view([former].into(), 5, Past::Continuous, false));
    assert_eq!(bases(&replica), [BY_TWO_OF_THREE]);
    // Now it is itself among the first three, and of the two others one has lost its disk since.
    let moved = layout(2, &[1, 2, 3], true);
    let view = view([moved].into(), 5, Past::Continuous, true);
    see(&mut replica, &view);
    assert_eq!(bases(&replica), [BY_TWO_OF_THREE]);
    let asked: BTreeSet<NodeId> =
        replica.cx.refill_pairs(&view, P).into_iter().map(|(_, node)| node).collect();
    assert_eq!(asked, [2, 3, 4, 5].map(NodeId).into());
    replica.cx.refill_compared(Keyset::new(P, 5), NodeId(2), Vouching::Nothing);
    replica.cx.refill_compared(Keyset::new(P, 5), NodeId(3), Vouching::Votes);
    assert_eq!(replica.cx.refill_pairs(&view, P).len(), 2, "one that had them need not have all");
    replica.cx.refill_compared(Keyset::new(P, 5), NodeId(5), Vouching::Votes);
    assert!(replica.cx.refill_pairs(&view, P).is_empty());
    assert!(replica.cx.refill_blockers(&view, P).is_empty());
}

#[test]
fn a_new_owner_that_is_not_ready_has_no_vote_by_a_raised_n_among_the_older_ones() {
    let former = layout(1, &[2, 3, 4], true);
    let newest = layout(2, &[1, 2, 3], false);
    for (ready, expected) in [(false, &[BY_TWO_OF_THREE][..]), (true, &[])] {
        let mut replica = replica();
        let both: Vec<_> = [former.clone(), newest.clone()].into();
        see(&mut replica, &view(both.clone(), 3, Past::Continuous, ready));
        see(&mut replica, &view(both, 5, Past::Continuous, ready));
        assert_eq!(bases(&replica), expected, "ready: {ready}");
    }
}

#[test]
fn a_new_owner_waits_for_nothing_once_a_raised_n_is_what_it_was_before() {
    let newest = layout(2, &[1, 2, 3], false);
    for (former, expected) in [(&[2, 3, 4], false), (&[1, 2, 4], true)] {
        let mut replica = replica();
        let both: Vec<_> = [layout(1, former, true), newest.clone()].into();
        see(&mut replica, &view(both.clone(), 3, Past::Continuous, false));
        if expected {
            // It holds less than it was given.
            replica.cx.votes.add(Keyset::new(P, 3), BY_TWO_OF_THREE, true);
        }
        see(&mut replica, &view(both.clone(), 5, Past::Continuous, false));
        assert_eq!(bases(&replica), [BY_TWO_OF_THREE]);
        replica.cx.votes.entries.remove(&Keyset::new(P, 3));
        see(&mut replica, &view(both, 3, Past::Continuous, false));
        assert_eq!(
            replica.cx.votes.entries.contains_key(&Keyset::new(P, 3)),
            expected,
            "{former:?}"
        );
    }
}

#[test]
fn who_has_taken_a_partition_over_lacks_no_keys_that_it_was_never_given() {
    let former = layout(1, &[2, 3, 4, 1], true);
    let newest = layout(2, &[1, 2, 3, 5], false);
    for past in [Past::Continuous, Past::Lost] {
        let mut replica = replica();
        let both: Vec<_> = [former.clone(), newest.clone()].into();
        see(&mut replica, &view(both.clone(), 2, past, false));
        let view = view(both, 4, past, false);
        see(&mut replica, &view);
        let pair = Keyset::new(P, 4);
        assert!(replica.cx.votes.entries.contains_key(&pair), "{past:?}");
        let inbound = replica.background.transfers.inbound.get_mut(&P).expect("it is new");
        for n in [3, 4] {
            (2..=5).for_each(|node| inbound.handle_compared(n, NodeId(node), true));
        }
        replica.background.transfers.handle_inbound_synced(
            &mut replica.cx,
            view.layout_id(),
            P,
            &Ok(()),
        );
        assert!(!replica.background.transfers.inbound.contains_key(&P), "it is ready");
        // An earlier life may have been ready, and have acknowledged what no older owner was given.
        let left = replica.cx.votes.entries.contains_key(&pair);
        assert_eq!(left, past == Past::Lost, "{past:?}");
    }
}

#[test]
fn who_is_refilled_as_n_is_lowered_asks_those_that_own_the_keys_by_the_new_one() {
    for (from, to) in [(3, 2), (5, 3), (5, 2)] {
        let before = BucketProps { n: from, r: 2, w: from - 1, ..BucketProps::default() };
        let mut cluster = Cluster::new(5, &[("whole", before)]);
        let names: Vec<_> = (0..20).map(|number| format!("whole/k{number}")).collect();
        for name in &names {
            cluster.put(NodeId(1), blind(name, "tea")).expect("nodes take it");
        }
        let lost = NodeId(2);
        let paused = |paused| BackgroundChange {
            work: None,
            paused,
            limit_per_s: None,
            slowdown_percent: None,
        };
        cluster.replace_disk(lost, 2);
        cluster.set_background(lost, paused(Some(true)));
        assert_ne!(cluster.node(lost).replica.refilling(), 0);
        let lowered = BucketProps { n: to, r: 1, w: 2, ..BucketProps::default() };
        cluster.set_bucket("whole", 2, &lowered);
        cluster.set_background(lost, paused(Some(false)));
        for _ in 0..100 {
            cluster.run_for(1_000);
            if cluster.node(lost).replica.refilling() == 0 {
                break;
            }
        }
        assert_eq!(cluster.node(lost).replica.refilling(), 0, "n was {from} and is {to}");
        cluster.settle();
        for name in &names {
            let owners = cluster.owners(name);
            for node in &owners[..usize::from(to)] {
                assert_eq!(cluster.values(*node, name, 1), ["tea"], "{name}");
            }
        }
    }
}

#[test]
fn after_n_was_lowered_so_many_of_the_owners_are_needed_as_always_hold_what_the_others_have_lost() {
    // N before, the least W, N now, and how many of the other owners have to vote.
    for (from, least_w, to, needed) in
        [(5, 4, 3, 2), (5, 5, 3, 1), (5, 2, 3, 2), (3, 2, 2, 1), (3, 3, 2, 1), (5, 4, 4, 2)]
    {
        let layout = layout(1, &[1, 2, 3], true);
        let mut replica = replica();
        let view = view([layout].into(), to, Past::Continuous, false);
        see(&mut replica, &view);
        replica.cx.votes.entries.clear();
        replica.cx.votes.add(Keyset::new(P, to), Basis { n: from, least_w }, false);
        let owners = view.preference_list(P)[..usize::from(to)].to_vec();
        for (compared, node) in owners.iter().filter(|node| **node != ME).enumerate() {
            let is_whole = replica.cx.refill_pairs(&view, P).is_empty();
            assert_eq!(is_whole, compared >= needed, "{from} {least_w} {to}: {compared}");
            replica.cx.refill_compared(Keyset::new(P, to), *node, Vouching::Votes);
        }
        assert!(replica.cx.refill_pairs(&view, P).is_empty());
        assert!(replica.cx.refill_blockers(&view, P).is_empty());
    }
}
