//! One key that many clients put at once: what it costs, and that limits hold.

use alloc::format;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Quorum;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerRequest;
use jedlik_vclock::Content;

use super::cluster::{Cluster, after, blind};
use crate::Counter;

const KEY: &str = "alice";

/// Returns the key's owners in the order of its preference list.
fn owners(cluster: &Cluster) -> [NodeId; 3] {
    cluster.owners(KEY)[..3].try_into().expect("three owners")
}

/// Asks for all of the puts before anything is delivered.
fn ask_all(
    cluster: &mut Cluster,
    puts: impl IntoIterator<Item = (NodeId, PutRequest)>,
) -> Vec<u64> {
    puts.into_iter().map(|(node, put)| cluster.ask(node, ClientRequest::Put(put))).collect()
}

fn blind_puts(node: NodeId, count: usize) -> Vec<(NodeId, PutRequest)> {
    (0..count).map(|number| (node, blind(KEY, &format!("{node:?}-{number}")))).collect()
}

fn outcomes(cluster: &mut Cluster, replies: &[u64]) -> (usize, Vec<Failure>) {
    let (mut done, mut failures) = (0, Vec::new());
    for reply in replies {
        match cluster.answers.remove(reply) {
            Some(ClientResponse::Put(_)) => done += 1,
            Some(ClientResponse::Failed(failure)) => failures.push(failure),
            other => panic!("{other:?}"),
        }
    }
    (done, failures)
}

fn writes(cluster: &Cluster) -> usize {
    let is_write = |request: &PeerRequest| matches!(request, PeerRequest::Write { .. });
    cluster.sent.iter().filter(|(_, _, request)| is_write(request)).count()
}

#[test]
fn puts_that_come_while_one_of_their_key_is_under_way_are_sent_as_one_record() {
    let mut cluster = Cluster::new(3, &[]);
    let [first, second, _] = owners(&cluster);
    let replies = ask_all(&mut cluster, blind_puts(first, 50));
    cluster.deliver();
    assert_eq!(outcomes(&mut cluster, &replies), (50, Vec::new()));
    assert_eq!(writes(&cluster), 4, "one round for the first, one for those that came meanwhile");
    assert_eq!(cluster.values(second, KEY, 3).len(), 50, "every acknowledged put is there");
}

#[test]
fn puts_of_a_round_that_want_other_acknowledgements_are_answered_by_their_own() {
    let mut cluster = Cluster::new(3, &[]);
    let [first, _, third] = owners(&cluster);
    cluster.mute.insert(third);
    let w = |count, value| PutRequest { w: Quorum::Count(count), ..blind(KEY, value) };
    let puts = [blind(KEY, "opens"), w(2, "two"), w(3, "three"), w(2, "also two")];
    let replies = ask_all(&mut cluster, puts.map(|put| (first, put)));
    cluster.deliver();
    assert!(cluster.answers.contains_key(&replies[1]) && cluster.answers.contains_key(&replies[3]));
    assert!(!cluster.answers.contains_key(&replies[2]), "the third owner says nothing");
    cluster.run_for(6_000);
    let (done, failures) = outcomes(&mut cluster, &replies);
    assert_eq!((done, failures.len()), (3, 1));
    assert!(failures[0].maybe_applied, "{}", failures[0]);
}

#[test]
fn each_put_of_a_round_has_its_own_time() {
    let mut cluster = Cluster::new(3, &[]);
    let [first, _, third] = owners(&cluster);
    let replies = ask_all(&mut cluster, [(first, blind(KEY, "opens"))]);
    cluster.frozen.insert(third, Vec::new());
    let all = |timeout_ms, value| {
        let put = PutRequest { w: Quorum::All, timeout_ms, ..blind(KEY, value) };
        (first, put)
    };
    let more = ask_all(&mut cluster, [all(4_000, "patient"), all(100, "hasty")]);
    cluster.deliver();
    cluster.run_for(150);
    assert!(cluster.answers.contains_key(&replies[0]));
    match cluster.answers.get(&more[1]) {
        Some(ClientResponse::Failed(failure)) => {
            assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::Timeout, true));
        }
        other => panic!("{other:?}"),
    }
    assert!(!cluster.answers.contains_key(&more[0]), "its own time is not up");
    for input in cluster.frozen.remove(&third).expect("it stood still") {
        cluster.step(third, input);
    }
    cluster.deliver();
    assert!(matches!(cluster.answers.get(&more[0]), Some(ClientResponse::Put(_))));
}

#[test]
fn siblings_of_a_key_that_all_owners_hold_never_pass_the_limit_whichever_are_asked_at_once() {
    let props = BucketProps { sibling_limit: 10, sibling_warning: 5, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    let owners = owners(&cluster);
    let opening = ask_all(&mut cluster, [(owners[0], blind(KEY, "opens"))]);
    cluster.deliver();
    let puts = owners.into_iter().flat_map(|owner| blind_puts(owner, 20));
    let replies = ask_all(&mut cluster, puts);
    cluster.run_for(1_000);
    assert_eq!(outcomes(&mut cluster, &opening), (1, Vec::new()));
    let (done, failures) = outcomes(&mut cluster, &replies);
    assert_eq!(done, 9);
    for failure in failures {
        assert_eq!(failure.code, ErrorCode::TooManySiblings);
        assert!(
            !failure.maybe_applied && failure.message.contains("sibling_limit=10"),
            "{failure}"
        );
    }
    let found = cluster.get(owners[2], KEY, 3).expect("a get");
    assert_eq!(found.versions.len(), 10, "what was acknowledged, and nothing that was refused");
    let context = found.context.expect("a context");
    cluster.put(owners[1], after(KEY, "all in one", &context)).expect("a put that reconciles");
    assert_eq!(cluster.values(owners[0], KEY, 3), ["all in one"]);
}

#[test]
fn a_stand_in_leaves_room_for_what_the_first_owner_may_have_under_way() {
    let props = BucketProps { sibling_limit: 8, sibling_warning: 5, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    let [first, second, _] = owners(&cluster);
    cluster.mute.insert(first);
    let replies = ask_all(&mut cluster, blind_puts(second, 20));
    cluster.run_for(3_000);
    let (done, failures) = outcomes(&mut cluster, &replies);
    assert_eq!(done, 6, "three quarters of the limit");
    // The first owner was asked, and may have done it.
    assert!(failures.iter().all(|failure| failure.code == ErrorCode::TooManySiblings));
    assert!(failures.iter().all(|failure| failure.maybe_applied));
    assert!(failures[0].message.contains("sibling_limit=8"), "{}", failures[0]);
    // Once the first is known to be away, nobody counts beside the second.
    cluster.notice_down(first);
    for value in ["7", "8"] {
        cluster.put(second, blind(KEY, value)).expect("a put");
    }
    let failure = cluster.put(second, blind(KEY, "9")).expect_err("the limit is reached");
    assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::TooManySiblings, false));
}

#[test]
fn puts_that_leave_no_sibling_at_other_owners_pass_the_limit_by_one_for_each_of_them_at_most() {
    let props = BucketProps { sibling_limit: 10, sibling_warning: 5, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    let owners = owners(&cluster);
    let [first, second, third] = owners;
    // The key is absent at each of them, so each coordinates a put; the first hears of the others' when it has counted.
    cluster.mute.insert(first);
    let puts = [blind_puts(third, 1), blind_puts(second, 1), blind_puts(first, 20)];
    let replies = ask_all(&mut cluster, puts.concat());
    cluster.deliver();
    cluster.mute.remove(&first);
    let (done, failures) = outcomes(&mut cluster, &replies);
    assert_eq!((done, failures.len()), (10 + 2, 10));
    let found = cluster.get(owners[2], KEY, 3).expect("a get");
    assert_eq!(found.versions.len(), done);
    for owner in owners {
        let failure = cluster.put(owner, blind(KEY, "more")).expect_err("the limit is passed");
        assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::TooManySiblings, false));
    }
    let context = found.context.expect("a context");
    cluster.put(owners[1], after(KEY, "all in one", &context)).expect("a put that reconciles");
    assert_eq!(cluster.values(owners[0], KEY, 3), ["all in one"]);
}

#[test]
fn puts_that_find_their_key_s_line_full_are_refused_before_anything_is_done_and_go_nowhere_else() {
    let props = BucketProps { record_limit_bytes: 20 << 20, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    let [first, second, _] = owners(&cluster);
    let mebibyte = |number: u8| PutRequest {
        content: Content::Value(alloc::vec![number; 1 << 20].into()),
        ..blind(KEY, &format!("{number}"))
    };
    // The first is under way, eight wait.
    let mut replies = ask_all(&mut cluster, (0..12).map(|number| (first, mebibyte(number))));
    // Another owner passes them on, since there is a sibling.
    cluster.step_requests();
    replies.extend(ask_all(&mut cluster, [(second, mebibyte(12))]));
    cluster.deliver();
    let (done, failures) = outcomes(&mut cluster, &replies);
    assert_eq!((done, failures.len()), (9, 4), "{failures:?}");
    for failure in &failures {
        assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::KeyBusy, false), "{failure}");
    }
    assert!(failures[0].code.retryable() && failures[0].message.contains("8 puts of this key"));
    assert_eq!(cluster.get(first, KEY, 3).expect("a get").versions.len(), 9);
}

#[test]
fn a_put_whose_turn_does_not_come_in_time_was_not_done() {
    let mut cluster = Cluster::new(3, &[]);
    let [first, second, third] = owners(&cluster);
    cluster.mute.extend([second, third]);
    let hasty = PutRequest { timeout_ms: 100, ..blind(KEY, "hasty") };
    let replies = ask_all(&mut cluster, [(first, blind(KEY, "opens")), (first, hasty)]);
    cluster.run_for(150);
    match cluster.answers.get(&replies[1]) {
        Some(ClientResponse::Failed(failure)) => {
            assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::Timeout, false));
        }
        other => panic!("{other:?}"),
    }
    cluster.mute.clear();
    cluster.run_for(6_000);
    assert_eq!(cluster.values(first, KEY, 3), ["opens"]);
    cluster.put(first, blind(KEY, "goes on")).expect("the line goes on");
}

#[test]
fn a_replica_that_stands_still_does_not_make_a_coordinator_keep_every_record_it_was_sent() {
    let mut cluster = Cluster::new(3, &[]);
    let [first, _, third] = owners(&cluster);
    cluster.mute.insert(third);
    let mut context = None;
    for number in 0..50 {
        let put = blind(KEY, &format!("{number}"));
        context = Some(cluster.put(first, PutRequest { context, ..put }).expect("a put"));
    }
    assert_eq!(cluster.node(first).replica.operations(), 1, "the last has seen all before it");
    cluster.mute.clear();
    cluster.run_for(6_000);
    assert_eq!(cluster.values(third, KEY, 1), ["49"], "and reaches everybody");
    assert_eq!(cluster.node(first).replica.operations(), 0);
    assert!(cluster.node(first).replica.operations.queues.is_empty(), "nothing of the key is kept");
}

#[test]
fn a_large_record_reaches_all_replicas_before_the_next_is_sent_or_is_given_a_moment_to() {
    let mut cluster = Cluster::new(3, &[]);
    let [first, _, third] = owners(&cluster);
    cluster.mute.insert(third);
    let large = |byte: u8| PutRequest {
        content: Content::Value(alloc::vec![byte; 300 << 10].into()),
        ..blind(KEY, &format!("{byte}"))
    };
    let replies = ask_all(&mut cluster, [(first, large(1))]);
    cluster.deliver();
    let next = ask_all(&mut cluster, [(first, large(2))]);
    cluster.deliver();
    assert!(cluster.answers.contains_key(&replies[0]), "two have it");
    assert!(!cluster.answers.contains_key(&next[0]), "the third may still be at it");
    cluster.run_for(250);
    assert!(matches!(cluster.answers.get(&next[0]), Some(ClientResponse::Put(_))));
}

#[test]
fn a_put_that_replaces_all_there_is_is_coordinated_wherever_it_arrives() {
    let mut cluster = Cluster::new(3, &[]);
    let [_, second, third] = owners(&cluster);
    let context = cluster.put(second, blind(KEY, "tea")).expect("nothing is there to stand beside");
    cluster.put(third, after(KEY, "salt", &context)).expect("a put");
    assert_eq!(cluster.counts.get(&Counter::Forwards), None);
    cluster.put(third, blind(KEY, "pepper")).expect("a put");
    assert_eq!(cluster.counts.get(&Counter::Forwards), Some(&1), "the first owner counts siblings");
    assert_eq!(cluster.values(second, KEY, 2), ["pepper", "salt"]);
}
