//! Buckets where the last write wins: a put is later than all that its client had seen, and than what was acknowledged
//! before it came, as far as others can say.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest};
use jedlik_protocol::{Context, Incarnation, Now, Quorum};
use jedlik_vclock::{ActorId, Dot, VectorClock};
use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::{option, prop_assert_eq, proptest};

use super::cluster::{CLUSTER, Cluster, after, blind, from_one, key};
use crate::mint::{Held, MintRequest, mint};

const NAME: &str = "counters/hits";

/// Returns three nodes, and the key's preference list.
fn by_time() -> (Cluster, Vec<NodeId>) {
    let props = BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() };
    let cluster = Cluster::new(3, &[("counters", props)]);
    let owners = cluster.owners(NAME);
    (cluster, owners)
}

/// Returns when the latest version that a node holds was written.
fn written_at_ms(cluster: &Cluster, node: NodeId) -> u64 {
    let held = cluster.held(node, NAME).expect("it holds the key");
    held.decode().unwrap().newest().expect("a version").written_at_ms
}

fn clock_set_by(cluster: &mut Cluster, ms: i64) {
    cluster.now.wall_ms = cluster.now.wall_ms.checked_add_signed(ms).unwrap();
}

#[test]
fn a_put_is_later_than_what_its_client_has_seen_though_its_coordinator_holds_less() {
    let (mut cluster, owners) = by_time();
    // Of two versions that have not seen one another the later one has won; its coordinator's clock is ahead.
    let key = cluster.placed(NAME);
    let drop_at = |cluster: &mut Cluster, nodes: &[NodeId]| {
        nodes.iter().for_each(|node| drop(cluster.node(*node).disk.remove(&key)));
    };
    clock_set_by(&mut cluster, 30_000);
    cluster.put(owners[1], blind(NAME, "older")).expect("a put");
    let older = cluster.held(owners[1], NAME).expect("it was put");
    drop_at(&mut cluster, &owners);
    clock_set_by(&mut cluster, 30_000);
    let context = cluster.put(owners[1], blind(NAME, "won")).expect("a put");
    cluster.merge_at(owners[1], &key, older);
    clock_set_by(&mut cluster, -60_000);
    // Its client puts after it, on a node that holds nothing.
    drop_at(&mut cluster, &[owners[0], owners[2]]);
    cluster.put(owners[0], after(NAME, "last", &context)).expect("a put");
    cluster.advance(1_000);
    assert_eq!(cluster.values(owners[2], NAME, 3), ["last"]);
}

#[test]
fn what_a_context_says_of_a_far_future_is_not_believed() {
    let (mut cluster, owners) = by_time();
    let mut clock = VectorClock::new();
    clock.extend(Dot { actor: ActorId(7), counter: 1 }, u64::MAX);
    let made_up = Context(clock).encode(CLUSTER, &key(NAME));
    cluster.put(owners[0], after(NAME, "tea", &made_up)).expect("a put");
    let a_day_ms = 24 * 60 * 60 * 1_000;
    let most_ms = cluster.now.wall_ms + a_day_ms + 1;
    assert!(written_at_ms(&cluster, owners[0]) <= most_ms);
    // Nor does it get further ahead with each put.
    cluster.put(owners[0], blind(NAME, "salt")).expect("a put");
    assert!(written_at_ms(&cluster, owners[0]) <= most_ms + 1);
    assert_eq!(cluster.values(owners[1], NAME, 3), ["salt"]);
}

/// Runs a put at a refilling coordinator that asks what the put follows while one of the others stands still;
/// a second put comes meanwhile.
fn asked_while_another_put_comes(between: impl FnOnce(&mut Cluster, &[NodeId])) {
    let (mut cluster, owners) = by_time();
    cluster.put(owners[0], blind(NAME, "0")).expect("a put");
    let paused = BackgroundChange {
        work: None,
        paused: Some(true),
        limit_per_s: None,
        slowdown_percent: None,
    };
    cluster.replace_disk(owners[0], 2);
    cluster.set_background(owners[0], paused);
    assert_ne!(cluster.node(owners[0]).replica.refilling(), 0);
    cluster.freeze(owners[2]);
    let first = cluster.ask(owners[0], ClientRequest::Put(blind(NAME, "1")));
    cluster.deliver();
    between(&mut cluster, &owners);
    let request = PutRequest { timeout_ms: 60_000, ..blind(NAME, "last") };
    let last = cluster.ask(owners[0], ClientRequest::Put(request));
    for _ in 0..1_000 {
        cluster.run_for(10);
        let is_done = cluster.answers.contains_key(&last) && cluster.answers.contains_key(&first);
        if is_done {
            break;
        }
    }
    for reply in [first, last] {
        let answer = cluster.answers.remove(&reply);
        assert!(matches!(answer, Some(ClientResponse::Put(_))), "{answer:?}");
    }
    cluster.thaw(owners[2]);
    cluster.run_for(1_000);
    for via in &owners {
        assert_eq!(cluster.values(*via, NAME, 3), ["last"]);
    }
}

/// Puts at another node, whose clock is ahead; two acknowledge.
fn put_elsewhere(cluster: &mut Cluster, owners: &[NodeId]) {
    clock_set_by(cluster, 60_000);
    let meanwhile = PutRequest { w: Quorum::Count(2), ..blind(NAME, "meanwhile") };
    cluster.put(owners[1], meanwhile).expect("two take it");
    clock_set_by(cluster, -60_000);
}

#[test]
fn a_put_follows_what_its_coordinator_took_while_it_asked_others() {
    asked_while_another_put_comes(put_elsewhere);
}

#[test]
fn a_put_that_comes_while_others_are_asked_follows_what_they_acknowledged_since() {
    asked_while_another_put_comes(|cluster, owners| {
        put_elsewhere(cluster, owners);
        // The coordinator was not among those that took it.
        let key = cluster.placed(NAME);
        cluster.node(owners[0]).disk.remove(&key);
    });
}

#[test]
fn puts_of_one_round_follow_one_another_wherever_they_are_kept() {
    let props = BucketProps { reconcile: Reconcile::LastWriteWins, ..from_one() };
    let mut cluster = Cluster::new(3, &[("counters", props)]);
    let owners = cluster.owners(NAME);
    for owner in &owners[..2] {
        cluster.down.insert(*owner);
        cluster.notice_down(*owner);
    }
    // Of two owners the node is a fallback, and keeps a hint; of three it is one.
    for (n, value) in [(2, "first"), (2, "hint"), (3, "record")] {
        let put = PutRequest { n: Some(n), w: Quorum::Count(1), ..blind(NAME, value) };
        cluster.ask(owners[2], ClientRequest::Put(put));
    }
    cluster.step_requests();
    cluster.run_for(1_000);
    // The hint takes the record's put as well, which is to reach the node that is down too.
    let key = cluster.placed(NAME);
    let hint = cluster.node(owners[2]).hints[&(owners[0], key)].record.record.decode().unwrap();
    let latest_ms = written_at_ms(&cluster, owners[2]);
    let times = hint.siblings().iter().map(|sibling| sibling.written_at_ms);
    assert_eq!(times.filter(|written_ms| *written_ms < latest_ms).count(), 1, "{hint:?}");
}

/// Put of a case: its node, that node's clock, the node of the get whose context it has, and the node whose
/// record is heard of before it.
type Step = (usize, u64, Option<usize>, Option<usize>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec((0..3_usize, 0..60_u64, option::of(0..3_usize), option::of(0..3_usize)), 1..24)
}

proptest! {
    #[test]
    fn whoever_has_heard_all_shows_the_latest_of_all_versions(steps in steps()) {
        let props = BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() };
        let mut nodes: Vec<Held> = (0..3).map(|_| Held::default()).collect();
        let mut latest = (0, Dot { actor: ActorId(0), counter: 0 });
        for (number, (node, wall_ms, seen, heard)) in steps.into_iter().enumerate() {
            if let Some(heard) = heard {
                let theirs = nodes[heard].record.clone();
                nodes[node].record.merge(&theirs);
            }
            let context = seen.map(|seen| nodes[seen].record.clock().clone()).unwrap_or_default();
            let value = alloc::format!("value {number}");
            let put = blind(NAME, &value);
            let (put_ref, context) = (&put, &context);
            let wish = MintRequest { put: put_ref, context, props: &props, stands_in: false, follows_ms: None };
            let fresh = (Incarnation(1), ActorId(100 + number as u64));
            mint(&mut nodes[node], wish, Now::new(0, wall_ms), fresh).expect("within all limits");
            let minted = nodes[node].record.siblings().iter().find(|s| s.write_id == put.write_id);
            let minted = minted.expect("it was just minted");
            latest = latest.max((minted.written_at_ms, minted.dot));
        }
        let mut all = nodes[0].record.clone();
        nodes[1..].iter().for_each(|other| all.merge(&other.record));
        let newest = all.newest().expect("there was a put");
        prop_assert_eq!((newest.written_at_ms, newest.dot), latest);
    }
}
