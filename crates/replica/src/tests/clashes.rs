//! Records of one key that are too large together: nothing is lost, and nothing is sent again and again.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::EncodedRecord;
use jedlik_protocol::peer::PeerRequest;
use jedlik_vclock::{ActorId, Content, Record, VectorClock, Write, WriteId};

use super::cluster::{Cluster, blind};
use crate::StorageFault;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const ROUND_MS: u64 = 60_000;

fn version(actor: u64) -> EncodedRecord {
    let mut record = Record::new();
    let write = Write {
        write_id: WriteId(actor.into()),
        written_at_ms: 1,
        expires_at_ms: None,
        content: Content::Value("large".into()),
    };
    record.put(&VectorClock::new(), ActorId(actor), write);
    EncodedRecord::encode(&record)
}

fn carries_a_record(request: &PeerRequest) -> bool {
    matches!(request, PeerRequest::Read { .. } | PeerRequest::Deliver { .. })
}

fn refuse_merges(cluster: &mut Cluster, node: NodeId, refuses: bool) {
    cluster.node(node).write_fault =
        refuses.then(|| StorageFault::TooLarge("over the largest size".into()));
}

#[test]
fn records_that_are_too_large_together_are_compared_and_not_sent_again_until_one_changes() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.run_for(2 * ROUND_MS);
    let placed = cluster.placed("alice");
    for (node, actor) in [(N1, 1), (N2, 2), (N3, 3)] {
        cluster.merge_at(node, &placed, version(actor));
        refuse_merges(&mut cluster, node, true);
    }
    cluster.sent.clear();
    cluster.run_for(6 * ROUND_MS);
    let sent = cluster.sent_such(carries_a_record);
    assert!((1..=6).contains(&sent), "each asks each once: {sent}");
    let now = cluster.now;
    let clashing = [N1, N2, N3].map(|node| cluster.node(node).replica.clashing_records(now));
    assert!(clashing.iter().sum::<u64>() >= 2 && clashing.iter().all(|count| *count <= 1));

    for node in [N1, N2, N3] {
        refuse_merges(&mut cluster, node, false);
    }
    cluster.sent.clear();
    cluster.run_for(2 * ROUND_MS);
    assert_eq!(cluster.sent_such(carries_a_record), 0, "neither has changed");
    for node in [N1, N2, N3] {
        cluster.merge_at(node, &placed, version(4));
    }
    cluster.run_for(3 * ROUND_MS);
    let held: Vec<_> = [N1, N2, N3].map(|node| cluster.held(node, "alice")).into();
    assert_eq!(held[0].as_ref().unwrap().decode().unwrap().siblings().len(), 4);
    assert!(held.iter().all(|record| *record == held[0]));
    let now = cluster.now;
    assert_eq!(cluster.node(N1).replica.clashing_records(now), 0);
}

#[test]
fn a_hint_that_its_target_can_not_merge_is_sent_again_seldom_and_in_the_end() {
    let mut cluster = Cluster::new(4, &[]);
    cluster.run_for(ROUND_MS);
    let target = cluster.owners("alice")[2];
    cluster.notice_down(target);
    cluster.down.insert(target);
    let first = cluster.owners("alice")[0];
    cluster.put(first, blind("alice", "tea")).expect("a put");
    refuse_merges(&mut cluster, target, true);
    cluster.down.remove(&target);
    cluster.notice_up(target);
    cluster.sent.clear();
    cluster.run_for(6 * ROUND_MS);
    let sent = cluster.sent_such(carries_a_record);
    assert!((1..=8).contains(&sent), "{sent}");
    refuse_merges(&mut cluster, target, false);
    cluster.run_for(12 * ROUND_MS);
    let held: Vec<_> = cluster.owners("alice").into_iter().take(3).collect();
    let held: Vec<_> = held.into_iter().map(|node| cluster.held(node, "alice")).collect();
    assert!(held[0].is_some() && held.iter().all(|record| *record == held[0]));
    assert!(cluster.nodes.iter().all(|node| node.hints.is_empty()), "the hint has gone");
}
