//! The number of replicas of a bucket is changed while data is there, and while it moves.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::peer::{PeerRequest, PeerResponse, Vouching};
use jedlik_protocol::{EncodedRecord, LayoutId, Quorum};
use jedlik_vclock::{ActorId, Content, Write, WriteId};

use super::cluster::{Cluster, LIFE_US, after, blind, terms};
use crate::votes::counts_digest;
use crate::{Input, Output};

const KEYS: usize = 30;

fn props(n: u8) -> BucketProps {
    BucketProps { n, r: n / 2 + 1, w: n / 2 + 1, ..BucketProps::default() }
}

/// Returns five nodes with keys in a bucket with five replicas, beside another bucket with five.
fn five() -> Cluster {
    let mut cluster = Cluster::new(5, &[("wide", props(5)), ("other", props(5))]);
    for number in 0..KEYS {
        for bucket in ["wide", "other"] {
            cluster.put(NodeId(1), blind(&format!("{bucket}/k{number}"), "tea")).expect("a put");
        }
    }
    cluster.run_for(2_000);
    cluster
}

fn holders(cluster: &Cluster, name: &str) -> BTreeSet<NodeId> {
    let nodes = (1..=cluster.nodes.len() as u64).map(NodeId);
    nodes.filter(|node| cluster.held(*node, name).is_some()).collect()
}

fn assert_held_by_owners(cluster: &Cluster, bucket: &str, n: usize) {
    for number in 0..KEYS {
        let name = format!("{bucket}/k{number}");
        let owners: BTreeSet<NodeId> = cluster.owners(&name)[..n].iter().copied().collect();
        assert_eq!(holders(cluster, &name), owners, "{name}");
    }
}

#[test]
fn with_a_lowered_n_surplus_copies_go_though_the_partition_is_owned_for_another_bucket() {
    let mut cluster = five();
    cluster.set_bucket("wide", 2, &props(3));
    cluster.settle();
    assert_held_by_owners(&cluster, "wide", 3);
    assert_held_by_owners(&cluster, "other", 5);
    for number in 0..KEYS {
        assert_eq!(cluster.values(NodeId(4), &format!("wide/k{number}"), 2), ["tea"]);
    }
}

#[test]
fn a_surplus_copy_that_can_not_be_read_goes_as_well_and_holds_up_no_collection() {
    let mut cluster = five();
    cluster.set_bucket("wide", 2, &props(3));
    cluster.settle();
    let name = "wide/k3";
    let (owners, key) = (cluster.owners(name), cluster.placed(name));
    let other = cluster.node(owners[0]).disk[&key].clone();
    let surplus = cluster.node(owners[4]);
    surplus.disk.insert(key.clone(), other);
    surplus.damaged.insert(key.clone());
    cluster.repair(owners[4]);
    cluster.run_for(30 * LIFE_US / 1_000);
    cluster.settle();
    let surplus = cluster.node(owners[4]);
    assert_eq!((surplus.disk.get(&key), surplus.damaged.len()), (None, 0));
    assert_held_by_owners(&cluster, "wide", 3);
    assert_held_by_owners(&cluster, "other", 5);
}

#[test]
fn a_surplus_copy_that_can_not_be_read_takes_no_vote_on_what_the_node_owns() {
    let mut cluster = five();
    let name = "wide/k3";
    let (owners, key) = (cluster.owners(name), cluster.placed(name));
    // It is dropped once all owners are there.
    cluster.notice_down(owners[0]);
    cluster.set_bucket("wide", 2, &props(3));
    let holder = cluster.node(owners[4]);
    assert!(holder.disk.contains_key(&key), "it held it as an owner");
    holder.damaged.insert(key.clone());
    cluster.repair(owners[4]);
    cluster.run_for(1_000);
    assert!(cluster.node(owners[4]).damaged.contains(&key), "it is still there");
    let (now, view) = (cluster.now, cluster.view(owners[4]));
    let (partition, counts) = (key.partition, counts_digest(&view));
    let replica = &mut cluster.node(owners[4]).replica;
    for (n, has_vote) in [(5, true), (3, false)] {
        let request = PeerRequest::Vote { partition, n, counts, flipped: LayoutId::default() };
        let (reply, receiver_clock, layouts) = (9, 0, view.active_layouts());
        replica.handle(
            now,
            Input::Peer { from: owners[1], reply, terms: terms(layouts, receiver_clock), request },
        );
        let votes = core::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
            Output::AnswerPeer { response: PeerResponse::Vote { vouching, .. }, .. } => {
                Some(vouching == Vouching::Votes)
            }
            _ => None,
        });
        assert_eq!(votes, Some(has_vote), "n={n}");
    }
}

#[test]
fn a_surplus_copy_that_no_owner_has_seen_is_sent_to_each_of_them_before_it_goes() {
    let mut cluster = five();
    let owners = cluster.owners("wide/late");
    // The first three have missed it.
    cluster.down.extend(owners[..3].iter().copied());
    let late = PutRequest { w: Quorum::Count(2), ..blind("wide/late", "salt") };
    cluster.put(owners[4], late).expect("two take it");
    let key = cluster.placed("wide/late");
    for owner in &owners {
        cluster.node(*owner).hints.retain(|(_, of), _| *of != key);
    }
    for owner in &owners[..3] {
        cluster.node(*owner).disk.remove(&key);
    }
    cluster.down.clear();
    cluster.set_bucket("wide", 2, &props(3));
    cluster.settle();
    assert_eq!(holders(&cluster, "wide/late"), owners[..3].iter().copied().collect());
    assert_eq!(cluster.values(owners[0], "wide/late", 2), ["salt"]);
}

#[test]
fn while_an_owner_is_down_surplus_copies_stay() {
    let mut cluster = five();
    let away = cluster.owners("wide/k3")[0];
    cluster.notice_down(away);
    cluster.set_bucket("wide", 2, &props(3));
    for _ in 0..20 {
        cluster.gossip();
        cluster.run_for(500);
    }
    assert_eq!(holders(&cluster, "wide/k3").len(), 5);
    cluster.notice_up(away);
    cluster.settle();
    assert_held_by_owners(&cluster, "wide", 3);
}

#[test]
fn what_comes_to_a_surplus_copy_between_its_comparison_and_its_removal_is_not_lost() {
    let mut cluster = five();
    let slowly = BackgroundChange {
        work: None,
        paused: None,
        limit_per_s: Some(50),
        slowdown_percent: None,
    };
    (1..=5).for_each(|node| cluster.set_background(NodeId(node), slowly));
    // A sweep takes a page for each record.
    cluster.nodes.iter_mut().for_each(|node| node.page_bytes = 1);
    cluster.set_bucket("wide", 2, &props(3));
    let mut written = BTreeSet::new();
    for round in 0..10_000_u64 {
        cluster.run_for(5);
        if written.len() >= 8 {
            break;
        }
        // One who has not heard yet writes to others than the present owners, while their copies go.
        for node in (1..=5).map(NodeId) {
            let sweeping = cluster.node(node).replica.background.transfers.sweeping();
            let held = cluster.node(node).disk.clone().into_iter();
            let last = held.filter(|(key, _)| {
                Some(key.partition) == sweeping && **key.key.bucket() == *b"wide"
            });
            let Some((key, held)) = last.last() else { continue };
            let mut newer = held.record.decode().expect("a record");
            let (write_id, written_at_ms, expires_at_ms) = (WriteId(round.into()), 5, None);
            let content = Content::Value("late".into());
            let write = Write { write_id, written_at_ms, expires_at_ms, content };
            newer.put(&newer.clock().clone(), ActorId(1_000 + round), write);
            cluster.merge_at(node, &key, EncodedRecord::encode(&newer));
            written.insert(key);
        }
    }
    let quickly = BackgroundChange { limit_per_s: Some(100_000), ..slowly };
    (1..=5).for_each(|node| cluster.set_background(NodeId(node), quickly));
    cluster.settle();
    assert_held_by_owners(&cluster, "wide", 3);
    assert!(!written.is_empty());
    for key in &written {
        let name = format!("wide/{}", String::from_utf8_lossy(key.key.key()));
        // Two that hold it may each have been written to.
        let mut values = cluster.values(NodeId(2), &name, 3);
        values.dedup();
        assert_eq!(values, ["late"], "{name}");
    }
}

#[test]
fn tombstones_of_a_bucket_whose_n_was_lowered_are_collected() {
    let mut cluster = five();
    cluster.set_bucket("wide", 2, &props(3));
    for number in 0..KEYS {
        let name = format!("wide/k{number}");
        let node = cluster.owners(&name)[0];
        let context = cluster.get(node, &name, 2).expect("a get").context.expect("a context");
        let request = after(&name, &format!("the end of {name}"), &context);
        let request = PutRequest { content: Content::Tombstone, ..request };
        cluster.put(node, request).expect("a delete");
    }
    cluster.settle();
    cluster.run_for(60 * LIFE_US / 1_000);
    for number in 0..KEYS {
        assert_eq!(holders(&cluster, &format!("wide/k{number}")), BTreeSet::new(), "k{number}");
    }
}

#[test]
fn n_that_is_lowered_while_partitions_move_and_raised_again_leaves_what_it_should() {
    let mut cluster = Cluster::with_ring(7, 5, &[("wide", props(5)), ("other", props(5))]);
    for number in 0..KEYS {
        for bucket in ["wide", "other"] {
            cluster.put(NodeId(1), blind(&format!("{bucket}/k{number}"), "tea")).expect("a put");
        }
    }
    let all: Vec<NodeId> = (1..=7).map(NodeId).collect();
    cluster.commit(&[1, 2, 3, 4, 5, 6, 7], &[], &all);
    cluster.run_for(300);
    cluster.set_bucket("wide", 2, &props(3));
    cluster.settle();
    assert_held_by_owners(&cluster, "wide", 3);
    assert_held_by_owners(&cluster, "other", 5);
    // Who has given its copies up makes no absence before it has them again.
    cluster.set_bucket("wide", 3, &BucketProps { r: 1, w: 5, ..props(5) });
    for number in 0..KEYS {
        let name = format!("wide/k{number}");
        let fifth = cluster.owners(&name)[4];
        assert_eq!(cluster.values(fifth, &name, 1), ["tea"], "{name}");
    }
    cluster.settle();
    for _ in 0..100 {
        cluster.run_for(1_000);
        if cluster.nodes.iter().all(|node| node.replica.refilling() == 0) {
            break;
        }
    }
    assert_held_by_owners(&cluster, "wide", 5);
}
