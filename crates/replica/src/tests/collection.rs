//! Records that may be forgotten, and those that may not yet ([design 2](../../../../docs/design.md#2-data)).

use alloc::format;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::gossip::Delta;
use jedlik_protocol::peer::{Comparison, PeerRequest, PeerResponse};
use jedlik_protocol::{Blob, Digest, EncodedRecord};
use jedlik_storage_port::Holding;
use jedlik_vclock::Content;

use super::cluster::{Cluster, Kept, LIFE_US, after, blind, key, terms};
use crate::{Counter, Input, Output, Replica};

const LIFE_MS: u64 = LIFE_US / 1_000;
/// Time until a settled tombstone is collected, in milliseconds: ten lives of a message, and a little for the
/// questions.
const COLLECTED_MS: u64 = 13 * LIFE_MS;
/// Time after which only an unmet condition can have kept a tombstone, in milliseconds.
const LONG_MS: u64 = 60 * LIFE_MS;

fn delete(cluster: &mut Cluster, name: &str) {
    let node = cluster.owners(name)[0];
    let context = cluster.get(node, name, 2).expect("a get").context.expect("a context");
    let request = after(name, &format!("the end of {name}"), &context);
    let request = PutRequest { content: Content::Tombstone, ..request };
    cluster.put(node, request).expect("a delete");
}

/// Returns the nodes that hold a record of the key.
fn holders(cluster: &Cluster, name: &str) -> Vec<NodeId> {
    let ids = (1..=cluster.nodes.len() as u64).map(NodeId);
    ids.filter(|node| cluster.held(*node, name).is_some()).collect()
}

fn deleted(nodes: u64) -> Cluster {
    let mut cluster = Cluster::new(nodes, &[]);
    let node = cluster.owners("alice")[0];
    cluster.put(node, blind("alice", "tea")).expect("a put");
    delete(&mut cluster, "alice");
    cluster
}

#[test]
fn a_tombstone_goes_everywhere_after_ten_lives_of_a_message() {
    let mut cluster = deleted(5);
    cluster.run_for(10 * LIFE_MS);
    assert_eq!(holders(&cluster, "alice").len(), 3, "not yet");
    cluster.run_for(COLLECTED_MS - 10 * LIFE_MS);
    assert_eq!(holders(&cluster, "alice"), []);
    assert_eq!(cluster.count(Counter::Collected), 1);
    cluster.run_for(3 * LONG_MS);
    assert_eq!(holders(&cluster, "alice"), [], "no exchange brings it back");
    assert_eq!(cluster.values(cluster.owners("alice")[4], "alice", 3), [""; 0]);
}

#[test]
fn what_was_to_expire_much_later_and_is_deleted_goes_as_any_tombstone_does() {
    let mut cluster = Cluster::new(5, &[]);
    let node = cluster.owners("alice")[0];
    let put = PutRequest { ttl_ms: Some(3_600_000), ..blind("alice", "tea") };
    cluster.put(node, put).expect("a put");
    delete(&mut cluster, "alice");
    cluster.run_for(COLLECTED_MS);
    assert_eq!(holders(&cluster, "alice"), []);
}

#[test]
fn a_tombstone_stays_while_anybody_keeps_a_hint_of_its_key() {
    for place in 0..5 {
        let mut cluster = Cluster::new(5, &[]);
        let owners = cluster.owners("alice");
        cluster.put(owners[0], blind("alice", "tea")).expect("a put");
        let key = cluster.placed("alice");
        let old = cluster.node(owners[0]).disk[&key].clone();
        delete(&mut cluster, "alice");
        // For an owner other than its keeper; nobody is told, so that it is not delivered.
        let target = owners[usize::from(place == 0)];
        let kept = Kept { since_ms: 1, record: old };
        cluster.node(owners[place]).hints.insert((target, key), kept);
        cluster.run_for(LONG_MS);
        assert_eq!(holders(&cluster, "alice").len(), 3, "kept by number {place}");
        cluster.restart(owners[place], 1);
        cluster.repair(owners[0]);
        cluster.run_for(LONG_MS);
        assert_eq!(holders(&cluster, "alice"), [], "kept by number {place}");
    }
}

#[test]
fn a_tombstone_stays_while_a_hint_of_its_key_can_not_be_read() {
    for place in 0..5 {
        let mut cluster = Cluster::new(5, &[]);
        let owners = cluster.owners("alice");
        cluster.put(owners[0], blind("alice", "tea")).expect("a put");
        let key = cluster.placed("alice");
        let old = cluster.node(owners[0]).disk[&key].clone();
        delete(&mut cluster, "alice");
        let target = owners[usize::from(place == 0)];
        let keeper = cluster.node(owners[place]);
        keeper.hints.insert((target, key.clone()), Kept { since_ms: 1, record: old });
        keeper.damaged_hints.insert(key);
        cluster.run_for(LONG_MS);
        assert_eq!(holders(&cluster, "alice").len(), 3, "kept by number {place}");
        // Storage has removed what it can't read.
        cluster.node(owners[place]).hints.clear();
        cluster.run_for(LONG_MS);
        assert_eq!(holders(&cluster, "alice"), [], "kept by number {place}");
    }
}

#[test]
fn a_tombstone_stays_while_any_member_is_away() {
    for place in 1..5 {
        let mut cluster = deleted(5);
        let away = cluster.owners("alice")[place];
        cluster.notice_down(away);
        cluster.run_for(LONG_MS / 2);
        assert_eq!(holders(&cluster, "alice").len(), 3, "without number {place}");
        // It answers again, though nobody trusts it yet.
        cluster.down.remove(&away);
        cluster.run_for(LONG_MS / 2);
        assert_eq!(holders(&cluster, "alice").len(), 3, "before number {place} is up");
        cluster.notice_up(away);
        cluster.run_for(LONG_MS);
        assert_eq!(holders(&cluster, "alice"), [], "with number {place}");
    }
}

#[test]
fn a_tombstone_stays_while_messages_live_longer_on_one_member_than_on_others() {
    let mut cluster = deleted(5);
    let other = cluster.owners("alice")[4];
    cluster.notice_message_life(other, 2 * LIFE_MS as u32);
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice").len(), 3, "one that owns nothing of it differs");
    cluster.notice_message_life(other, LIFE_MS as u32);
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice"), []);
}

#[test]
fn a_tombstone_stays_while_a_member_goes_by_another_number_of_replicas() {
    for n in [2, 4] {
        let mut cluster = deleted(5);
        // It owns nothing of it either way: an owner by the other number is for it to say.
        let other = cluster.owners("alice")[4];
        let props = BucketProps { n, ..BucketProps::default() };
        let entry = BucketEntry { name: Blob::from("carts"), version: 1, props: props.clone() };
        let news = Delta { buckets: [entry].into(), ..Delta::default() };
        cluster.tell(other, NodeId(1), news);
        cluster.run_for(LONG_MS);
        assert_eq!(
            holders(&cluster, "alice").len(),
            3,
            "it may have sent an owner by n={n} a hint"
        );
        cluster.set_bucket("carts", 2, &props);
        cluster.run_for(2 * LONG_MS);
        assert_eq!(holders(&cluster, "alice"), [], "all know n={n}");
    }
}

#[test]
fn a_member_that_learns_a_layout_while_it_reads_does_not_say_how_it_stands_to_a_tombstone() {
    let mut cluster = Cluster::new(5, &[]);
    let (owners, now) = (cluster.owners("alice"), cluster.now);
    let (asker, member) = (owners[0], owners[4]);
    let (layouts, lives) = (cluster.view(asker).active_layouts(), cluster.view(asker).lives());
    let compare =
        PeerRequest::Compare { key: key("alice"), digest: Digest(1), n: 3, lives, durably: false };
    let input = Input::Peer { from: asker, reply: 9, terms: terms(layouts, 0), request: compare };
    let answer = |replica: &mut Replica| {
        core::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
            Output::AnswerPeer { response, .. } => Some(response),
            _ => None,
        })
    };
    for learns in [false, true] {
        let replica = &mut cluster.node(member).replica;
        replica.handle(now, input.clone());
        let load = core::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
            Output::Load { ticket, .. } => Some(ticket),
            _ => None,
        });
        let ticket = load.expect("it reads what it holds");
        if learns {
            // By which it may have sent what it held to another member that had answered before.
            cluster.commit(&[1, 2, 3, 4, 5], &[], &[member]);
        }
        let replica = &mut cluster.node(member).replica;
        replica.handle(now, Input::Loaded { ticket, result: Ok(Holding::default()) });
        match answer(replica) {
            Some(PeerResponse::Compared(standing)) if !learns => {
                assert_eq!(standing, Comparison::Nothing);
            }
            Some(PeerResponse::Refused(failure)) if learns => {
                assert_eq!(failure.code, ErrorCode::StaleLayout);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_learns_a_layout_after_it_has_asked_asks_all_again_before_a_tombstone_goes() {
    let mut cluster = deleted(5);
    let owners = cluster.owners("alice");
    cluster.run_for(9 * LIFE_MS);
    cluster.freeze(owners[4]);
    let asks = |cluster: &Cluster| {
        let of_it = |request: &PeerRequest| matches!(request, PeerRequest::Compare { .. });
        cluster.sent.iter().any(|(_, to, request)| *to == owners[4] && of_it(request))
    };
    for _ in 0..4 * 10 {
        if !asks(&cluster) {
            cluster.run_for(LIFE_MS / 10);
        }
    }
    assert!(asks(&cluster), "it is the only one to have yet to answer");
    cluster.commit(&[1, 2, 3, 4, 5], &[], &[1, 2, 3, 4, 5].map(NodeId));
    // What it was asked came before it heard of the layout.
    cluster.thaw(owners[4]);
    cluster.run_for(2 * LIFE_MS);
    assert_eq!(holders(&cluster, "alice").len(), 3, "all were asked under the layout before");
    cluster.gossip();
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice"), []);
}

#[test]
fn a_tombstone_stays_while_an_owner_holds_something_else() {
    let mut cluster = Cluster::new(3, &[]);
    let owners = cluster.owners("alice");
    cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    let key = cluster.placed("alice");
    let old = cluster.node(owners[2]).disk[&key].clone();
    delete(&mut cluster, "alice");
    cluster.run_for(5 * LIFE_MS);
    // Behind its back: its tree still says what the others' do.
    cluster.node(owners[2]).disk.insert(key, old);
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice").len(), 3);
    cluster.repair(owners[2]);
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice"), []);
}

#[test]
fn a_tombstone_stays_while_an_owner_can_not_read_what_it_holds() {
    for place in 0..3 {
        let mut cluster = Cluster::new(5, &[]);
        let owners = cluster.owners("alice");
        cluster.put(owners[0], blind("alice", "tea")).expect("a put");
        let key = cluster.placed("alice");
        let old = cluster.node(owners[place]).disk[&key].clone();
        delete(&mut cluster, "alice");
        cluster.run_for(5 * LIFE_MS);
        // What can't be read may be older than the tombstone; its tree still says what the others' do.
        let node = cluster.node(owners[place]);
        node.disk.insert(key.clone(), old);
        node.damaged.insert(key.clone());
        cluster.run_for(9 * LIFE_MS);
        assert_eq!(holders(&cluster, "alice").len(), 3, "number {place} has nothing to show");
        cluster.repair(owners[place]);
        cluster.run_for(LONG_MS);
        assert_eq!(holders(&cluster, "alice"), [], "number {place}");
    }
}

#[test]
fn a_put_in_between_keeps_the_record() {
    for after_ms in [LIFE_MS / 2, 5 * LIFE_MS, 11 * LIFE_MS] {
        let mut cluster = deleted(3);
        cluster.run_for(after_ms);
        let owners = cluster.owners("alice");
        cluster.put(owners[1], blind("alice", "milk")).expect("a put");
        cluster.run_for(2 * LONG_MS);
        assert_eq!(holders(&cluster, "alice").len(), 3);
        for owner in owners {
            assert!(cluster.values(owner, "alice", 1).contains(&"milk".into()));
        }
    }
}

#[test]
fn nobody_is_told_to_forget_before_this_node_has() {
    let mut cluster = deleted(3);
    let owners = cluster.owners("alice");
    cluster.run_for(10 * LIFE_MS);
    cluster.node(owners[0]).disk_stands_still = true;
    cluster.run_for(5 * LIFE_MS);
    let revisions = cluster.sent_such(|request| matches!(request, PeerRequest::Revise { .. }));
    assert_eq!(revisions, 0, "an older record may be all that is on its disk");
    assert_eq!(cluster.held(owners[1], "alice"), cluster.held(owners[2], "alice"));
    assert!(cluster.held(owners[1], "alice").is_some());
}

#[test]
fn a_tombstone_stays_while_a_member_has_yet_to_sync_that_it_holds_nothing() {
    let mut cluster = deleted(5);
    let stranger = cluster.owners("alice")[4];
    cluster.node(stranger).disk_stands_still = true;
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice").len(), 3, "what it dropped last may be on its disk");
    cluster.node(stranger).disk_stands_still = false;
    cluster.run_for(LONG_MS);
    assert_eq!(holders(&cluster, "alice"), []);
}

#[test]
fn a_tombstone_that_an_owner_brings_back_goes_again_without_all_records_being_read() {
    for place in 0..3 {
        let mut cluster = deleted(4);
        let (owners, key) = (cluster.owners("alice"), cluster.placed("alice"));
        let missed = cluster.node(owners[place]).disk[&key].clone();
        cluster.run_for(COLLECTED_MS);
        assert_eq!(holders(&cluster, "alice"), []);
        // As if it had never been told, and had begun a new life since.
        cluster.node(owners[place]).disk.insert(key, missed);
        cluster.restart(owners[place], 2);
        cluster.run_for(2 * LIFE_MS);
        assert_eq!(holders(&cluster, "alice").len(), 3, "it is back");
        cluster.run_for(2 * COLLECTED_MS);
        assert_eq!(holders(&cluster, "alice"), [], "brought back by owner {place}");
    }
}

#[test]
fn a_deleted_key_begins_anew_under_fresh_actors() {
    let mut cluster = deleted(3);
    cluster.run_for(COLLECTED_MS);
    assert_eq!(holders(&cluster, "alice"), []);
    let node = cluster.owners("alice")[0];
    cluster.put(node, blind("alice", "milk")).expect("a put");
    assert_eq!(cluster.values(node, "alice", 3), ["milk"]);
    let record = cluster.held(node, "alice").expect("a record").decode().expect("a record");
    assert_eq!(record.clock().entries().iter().map(|entry| entry.counter).max(), Some(1));
}

#[test]
fn what_has_expired_goes_everywhere() {
    let minute = BucketProps { ttl_ms: Some(20_000), ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("short", minute)]);
    let owners = cluster.owners("alice");
    let put = PutRequest { ttl_ms: Some(1_000), ..blind("alice", "tea") };
    cluster.put(owners[0], put).expect("a put");
    cluster.put(cluster.owners("short/bob")[0], blind("short/bob", "tea")).expect("a put");
    cluster.run_for(15 * LIFE_MS);
    assert_eq!(holders(&cluster, "alice"), []);
    assert_eq!(holders(&cluster, "short/bob").len(), 3, "it has only begun to expire");
    cluster.run_for(25 * LIFE_MS);
    assert_eq!(holders(&cluster, "short/bob"), []);
    assert_eq!(cluster.count(Counter::Collected), 2);
}

/// Returns a cluster and a key whose clock has an entry for each of so many lives of its first owner, and one
/// of the second's.
fn worn(lives: u64) -> (Cluster, Vec<NodeId>, Blob) {
    let mut cluster = Cluster::new(4, &[]);
    let owners = cluster.owners("alice");
    let mut context = cluster.put(owners[1], blind("alice", "start")).expect("a put");
    for life in 1..=lives {
        cluster.restart(owners[0], life);
        let put = after("alice", &format!("v{life}"), &context);
        context = cluster.put(owners[0], put).expect("a put");
    }
    (cluster, owners, context)
}

fn entries(record: &Option<EncodedRecord>) -> usize {
    record.as_ref().expect("a record").decode().expect("a record").clock().len()
}

#[test]
fn a_clock_with_many_dead_entries_is_pruned_and_local_actors_end_with_theirs() {
    let (mut cluster, owners, context) = worn(9);
    let key = cluster.placed("alice");
    assert_eq!(entries(&cluster.held(owners[0], "alice")), 10);
    assert!(cluster.node(owners[1]).disk[&key].local.is_some());
    cluster.run_for(COLLECTED_MS);
    assert_eq!(cluster.count(Counter::Pruned), 1);
    for owner in &owners[..3] {
        assert_eq!(entries(&cluster.held(*owner, "alice")), 1);
        assert_eq!(cluster.values(*owner, "alice", 1), ["v9"]);
    }
    assert!(cluster.node(owners[0]).disk[&key].local.is_some(), "its entry has a version");
    assert_eq!(cluster.node(owners[1]).disk[&key].local, None, "its entry is gone");
    cluster.run_for(2 * LONG_MS);
    assert_eq!(entries(&cluster.held(owners[2], "alice")), 1, "no exchange brings them back");
    // The client still has the long clock: that is nobody's loss.
    cluster.put(owners[1], after("alice", "v10", &context)).expect("a put");
    assert_eq!(cluster.values(owners[2], "alice", 3), ["v10"]);
}

#[test]
fn a_clock_is_not_pruned_below_eight_dead_entries_or_while_a_member_is_away() {
    let (mut cluster, owners, _) = worn(7);
    cluster.run_for(LONG_MS);
    assert_eq!(entries(&cluster.held(owners[0], "alice")), 8);
    let (mut cluster, owners, _) = worn(12);
    cluster.notice_down(owners[3]);
    cluster.run_for(LONG_MS);
    assert_eq!(entries(&cluster.held(owners[0], "alice")), 13);
    cluster.notice_up(owners[3]);
    cluster.run_for(LONG_MS);
    assert_eq!(entries(&cluster.held(owners[0], "alice")), 1);
}
