//! Layouts that follow one another, partitions that flip, and nodes that go.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, MemberState};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::{Delta, Gossip, Life, Load, StagedChange, Status};
use jedlik_protocol::{Incarnation, Now};

use super::cluster::Cluster;
use super::{at, record};
use crate::{Event, Past};

const SECOND: u64 = 1_000_000;

/// A cluster whose first `placed` nodes are in the layout and hold all of their partitions.
pub(crate) fn settled(nodes: u64, placed: u64, seed: u8) -> Cluster {
    let mut cluster = Cluster::of(nodes, seed);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    let joins = (1..=placed).map(|node| (NodeId(node), join())).collect();
    stage(&mut cluster, 1, joins).unwrap();
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster
}

pub(crate) fn join() -> StagedChange {
    StagedChange::Join { zone: String::new(), weight: 0 }
}

pub(crate) fn stage(
    cluster: &mut Cluster,
    by: u64,
    changes: Vec<(NodeId, StagedChange)>,
) -> Result<AdminResponse, Failure> {
    cluster.admin(by, &AdminRequest::Stage { changes, dry_run: false })
}

pub(crate) fn change(cluster: &mut Cluster, by: u64, node: u64, change: StagedChange) {
    stage(cluster, by, vec![(NodeId(node), change)]).unwrap();
    cluster.run_until("staged", 10 * SECOND, Cluster::agrees);
    cluster.plan_and_commit(by).unwrap();
}

/// Has each running node say that it is ready for all that it owns.
pub(crate) fn all_ready(cluster: &mut Cluster) {
    for node in cluster.running() {
        ready(cluster, node);
    }
}

fn ready(cluster: &mut Cluster, node: u64) {
    let (now, view) = (at(cluster.now_us), cluster.machine(node).view());
    let owns = |partition: &Partition| {
        view.preference_list(*partition).iter().take(3).any(|owner| owner.0 == node)
    };
    let owned: Vec<Partition> = view.partitions().partitions().filter(owns).collect();
    cluster.with(node, |machine| machine.handle_ready(now, view.layout_id(), &owned));
}

pub(crate) fn is_settled(cluster: &Cluster) -> bool {
    let settled = |node: &u64| {
        let view = cluster.machine(*node).view();
        view.flipped() == view.partitions().get() && view.layouts().len() == 1
    };
    cluster.running().iter().all(settled)
}

fn states(cluster: &mut Cluster, by: u64) -> Vec<(u64, MemberState)> {
    let Ok(AdminResponse::Status(status)) = cluster.admin(by, &AdminRequest::Status) else {
        panic!("a status is answered with a status");
    };
    status.members.iter().map(|member| (member.record.node.0, member.state)).collect()
}

fn fenced(cluster: &Cluster, node: u64, forced: bool) -> usize {
    let is = |event: &Event| matches!(event, Event::Fenced { forced: how, .. } if *how == forced);
    cluster.events.iter().filter(|(_, who, event)| *who == node && is(event)).count()
}

pub(crate) fn has_left(cluster: &Cluster, node: u64) -> bool {
    cluster.events.iter().any(|(_, who, event)| *who == node && *event == Event::Left)
}

#[test]
fn partitions_flip_on_every_node_once_all_new_owners_are_ready_and_the_old_layout_goes() {
    let mut cluster = settled(4, 3, 1);
    assert_eq!(states(&mut cluster, 2)[3], (4, MemberState::Joining));
    change(&mut cluster, 2, 4, join());
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    for node in 1..=3 {
        ready(&mut cluster, node);
    }
    cluster.run_for(5 * SECOND);
    let view = cluster.machine(1).view();
    assert_eq!((view.layout_version(), view.layouts().len()), (2, 2));
    let of_four = |partition: &Partition| {
        view.preference_list(*partition).iter().take(3).any(|owner| owner.0 == 4)
    };
    for partition in view.partitions().partitions() {
        assert_eq!(view.is_flipped(partition), !of_four(&partition), "{partition}");
        let lists = view.owner_lists(partition, 3).len();
        assert_eq!(lists, if of_four(&partition) { 2 } else { 1 });
    }
    ready(&mut cluster, 4);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    assert!(cluster.machine(3).view().is_known_by_all());
    assert_eq!(states(&mut cluster, 2)[3], (4, MemberState::Up));
    let settled = |event: &Event| matches!(event, Event::Settled(id) if id.version == 2);
    assert_eq!(cluster.events.iter().filter(|(_, _, event)| settled(event)).count(), 4);
}

#[test]
fn rival_commits_stay_in_line_until_the_data_of_both_has_moved() {
    let mut cluster = settled(6, 4, 2);
    let islands = [[1, 2, 5], [3, 4, 6]];
    cluster.cut = islands[0].iter().flat_map(|a| islands[1].map(|b| (*a, b))).collect();
    cluster.cut = cluster.cut.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
    stage(&mut cluster, 1, vec![(NodeId(5), join())]).unwrap();
    cluster.plan_and_commit(1).unwrap();
    stage(&mut cluster, 3, vec![(NodeId(6), join())]).unwrap();
    cluster.plan_and_commit(3).unwrap();
    cluster.run_for(20 * SECOND);
    cluster.cut.clear();
    cluster.run_until("one layout", 60 * SECOND, |c| c.agrees() && c.all_up());
    let view = cluster.machine(5).view();
    let versions: Vec<u64> = view.layouts().iter().map(|known| known.id().version).collect();
    assert_eq!(versions, [2, 2, 1]);
    let rivals = |event: &Event| matches!(event, Event::Layout { rival: Some(_), .. });
    assert_eq!(cluster.events.iter().filter(|(_, _, event)| rivals(event)).count(), 3);
    all_ready(&mut cluster);
    cluster.run_until("settled", 20 * SECOND, is_settled);
}

#[test]
fn a_node_that_leaves_is_a_member_until_it_says_that_it_has_left() {
    let mut cluster = settled(4, 4, 3);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    assert_eq!(states(&mut cluster, 2)[3], (4, MemberState::Leaving));
    assert!(cluster.machine(1).view().is_alive(NodeId(4)));
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    cluster.run_until("all know", SECOND, |c| {
        (1..=3).all(|node| c.machine(node).view().members().count() == 3)
    });
    cluster.run_until("it is heard", SECOND, |c| has_left(c, 4));
    assert_eq!(cluster.machine(4).poll_timeout(), None);
    assert!(!cluster.machine(1).view().is_alive(NodeId(4)));
    assert_eq!(cluster.downs(4), 0, "it said so itself");
    assert_eq!(states(&mut cluster, 2)[3], (4, MemberState::Left));
    cluster.kill(4);
    cluster.start(4);
    assert_eq!(fenced(&cluster, 4, false), 1, "its disk says so");
    cluster.kill(4);
    cluster.wipe(4);
    cluster.start(4);
    cluster.run_until("it is told", 5 * SECOND, |c| fenced(c, 4, false) == 2);
    cluster.run_for(10 * SECOND);
    assert_eq!(fenced(&cluster, 4, false), 2, "once in each life");
    assert_eq!(cluster.machine(1).view().members().count(), 3);
}

#[test]
fn a_node_leaves_only_once_another_one_has_heard_it() {
    let mut cluster = settled(4, 4, 3);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.cut.extend((1..=3).map(|node| (node, 4)));
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    cluster.run_for(20 * SECOND);
    assert!(!has_left(&cluster, 4), "nobody has heard it");
    // The node is killed before anybody has, and says it again in its next life.
    cluster.kill(4);
    cluster.start(4);
    cluster.cut.clear();
    cluster.run_until("all are up", 60 * SECOND, Cluster::all_up);
    let knows = |c: &Cluster| !c.machine(4).lives.is_asking();
    cluster.run_until("it knows what is remembered of it", 60 * SECOND, knows);
    assert_eq!(fenced(&cluster, 4, false), 0);
    cluster.cut.extend((1..=3).map(|node| (node, 4)));
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    cluster.run_for(2 * SECOND);
    cluster.cut.clear();
    cluster.run_until("it is heard", 60 * SECOND, |c| has_left(c, 4));
    cluster.run_until("all know", 10 * SECOND, |c| {
        (1..=3).all(|node| c.machine(node).view().members().count() == 3)
    });
}

#[test]
fn a_departure_that_one_node_alone_has_heard_is_not_enough() {
    let mut cluster = settled(5, 5, 11);
    change(&mut cluster, 1, 5, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.cut.extend((1..=3).map(|node| (node, 5)));
    cluster.cut.extend((1..=3).map(|node| (node, 4)));
    let now = at(cluster.now_us);
    cluster.with(5, |machine| machine.handle_left(now));
    let heard = |c: &Cluster| c.machine(4).view().members().count() == 4;
    cluster.run_until("node 4 hears it", 10 * SECOND, heard);
    cluster.run_for(20 * SECOND);
    assert!(!has_left(&cluster, 5), "were node 4 lost now, the others would wait for ever");
    cluster.kill(4);
    cluster.wipe(4);
    cluster.cut.clear();
    cluster.run_until("enough have heard it", 60 * SECOND, |c| has_left(c, 5));
    cluster.run_until("all know", 10 * SECOND, |c| {
        (1..=3).all(|node| c.machine(node).view().members().count() == 4)
    });
}

/// A cluster of four of which node 4 has left, as nodes 1 and 2 have heard. It has then lost its disk, and has told
/// node 3 in another life that it is there.
fn returned_to_one_that_has_not_heard(seed: u8) -> Cluster {
    let mut cluster = settled(4, 4, seed);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.cut.extend((1..=2).flat_map(|node| [(node, 3), (node, 4)]));
    cluster.cut.remove(&(1, 4));
    cluster.cut.insert((3, 4));
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    let heard = |c: &Cluster| c.machine(2).view().members().count() == 3;
    cluster.run_until("node 2 hears it", 10 * SECOND, heard);
    cluster.kill(4);
    cluster.wipe(4);
    cluster.cut.insert((1, 4));
    cluster.cut.remove(&(3, 4));
    cluster.seeds = vec![3];
    cluster.start(4);
    cluster.run_until("it is there again", 20 * SECOND, |c| {
        c.machine(3).view().is_alive(NodeId(4)) && c.machine(4).view().layout_version() == 2
    });
    cluster
}

fn nobody_waits_for_it(cluster: &Cluster) -> bool {
    let view = |node: u64| cluster.machine(node).view();
    (1..=3).all(|node| view(node).members().count() == 3 && view(node).is_known_by_all())
}

#[test]
fn a_life_that_is_told_of_its_departure_says_it_again_before_it_ends() {
    let mut cluster = returned_to_one_that_has_not_heard(41);
    cluster.cut.remove(&(1, 4));
    cluster.run_for(20 * SECOND);
    assert_eq!(
        fenced(&cluster, 4, false),
        0,
        "node 2 might have heard from node 3 that it is there"
    );
    cluster.cut.clear();
    cluster.run_until("it is told", 30 * SECOND, |c| fenced(c, 4, false) == 1);
    cluster.kill(4);
    cluster.run_until("all know", 10 * SECOND, nobody_waits_for_it);
    cluster.run_for(10 * SECOND);
    assert!(nobody_waits_for_it(&cluster), "and for good");
}

#[test]
fn a_life_that_is_told_of_its_departure_at_once_asks_all_whether_it_was_there_since() {
    let mut cluster = returned_to_one_that_has_not_heard(42);
    cluster.kill(4);
    cluster.wipe(4);
    cluster.cut.remove(&(1, 4));
    cluster.cut.remove(&(2, 4));
    cluster.cut.insert((3, 4));
    cluster.seeds = vec![1, 2];
    cluster.start(4);
    cluster.run_for(20 * SECOND);
    assert_eq!(fenced(&cluster, 4, false), 0, "node 3 remembers that it is there");
    cluster.cut.clear();
    cluster.run_until("it is told", 30 * SECOND, |c| fenced(c, 4, false) == 1);
    cluster.kill(4);
    cluster.run_until("all know", 10 * SECOND, nobody_waits_for_it);
    cluster.run_for(10 * SECOND);
    assert!(nobody_waits_for_it(&cluster), "and for good");
}

#[test]
fn a_node_that_is_stopped_while_it_parts_says_it_again_in_its_next_life() {
    let mut cluster = settled(4, 4, 43);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.cut.extend((1..=3).map(|node| (node, 4)));
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    cluster.leave(4);
    // Other news that it hears meanwhile has all that it knows saved.
    let news = Delta { members: vec![record(9)], ..Delta::default() };
    cluster.with(4, |machine| machine.handle_gossip(now, NodeId(1), Gossip::Close(news)));
    cluster.kill(4);
    cluster.cut.clear();
    cluster.start(4);
    cluster.run_until("all are up", 60 * SECOND, |c| c.all_see(4, true));
    assert_eq!(fenced(&cluster, 4, false), 0);
}

#[test]
fn a_life_that_finds_by_itself_that_it_has_left_hears_first_what_others_remember() {
    let mut cluster = settled(4, 4, 44);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    cluster.run_until("all know", SECOND, |c| {
        (1..=3).all(|node| c.machine(node).view().members().count() == 3)
    });
    cluster.kill(4);
    assert!(!has_left(&cluster, 4), "it does not know that they do");
    cluster.cut.extend((1..=3).map(|node| (node, 4)));
    cluster.start(4);
    for _ in 0..20 {
        cluster.run_for(SECOND);
        let now = at(cluster.now_us);
        cluster.with(4, |machine| machine.handle_left(now));
    }
    assert_eq!(fenced(&cluster, 4, false), 0, "nobody has answered");
    cluster.cut.clear();
    cluster.run_until("it is told", 60 * SECOND, |c| fenced(c, 4, false) == 1);
}

#[test]
fn a_departure_by_which_a_node_is_met_is_answered_once_it_is_on_disk() {
    let mut cluster = settled(4, 4, 45);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.kill(3);
    cluster.wipe(3);
    cluster.cut.insert((3, 4));
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    cluster.run_until("it is heard", 10 * SECOND, |c| has_left(c, 4));
    cluster.full.insert(3);
    cluster.start(3);
    cluster.run_until("node 3 hears it", 10 * SECOND, |c| {
        c.machine(3).known.members().contains_key(&NodeId(4))
    });
    assert!(cluster.machine(3).owes_answers(), "it would forget it if it ended now");
    cluster.full.clear();
    cluster.save(3);
    assert!(!cluster.machine(3).owes_answers());
}

#[test]
fn who_hears_a_departure_learns_that_all_has_moved() {
    let mut cluster = settled(5, 5, 35);
    change(&mut cluster, 1, 5, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    (2..=4).for_each(|node| ready(&mut cluster, node));
    cluster.run_for(2 * SECOND);
    cluster.run_until("all hear that", 10 * SECOND, Cluster::agrees);
    cluster.cut.extend((2..=4).flat_map(|node| [(1, node), (node, 5)]));
    ready(&mut cluster, 1);
    let knows = |c: &Cluster, node: u64| {
        let view = c.machine(node).view();
        view.flipped() == view.partitions().get() && view.layouts().len() == 1
    };
    cluster.run_until("the one that leaves hears of the last", 10 * SECOND, |c| knows(c, 5));
    cluster.kill(1);
    cluster.wipe(1);
    let now = at(cluster.now_us);
    cluster.with(5, |machine| machine.handle_left(now));
    assert!((2..=4).all(|node| !knows(&cluster, node)));
    cluster.cut.clear();
    cluster.run_until("it is heard", 60 * SECOND, |c| has_left(c, 5));
    let all = |c: &Cluster| (2..=4).all(|node| knows(c, node));
    cluster.run_until("nobody waits for it any more", 10 * SECOND, all);
}

#[test]
fn a_node_leaves_only_under_a_layout_to_which_all_has_moved() {
    let mut cluster = settled(5, 5, 36);
    change(&mut cluster, 1, 5, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    let now = at(cluster.now_us);
    cluster.with(5, |machine| machine.handle_left(now));
    cluster.run_for(5 * SECOND);
    assert_eq!(states(&mut cluster, 1)[4], (5, MemberState::Leaving));
}

#[test]
fn a_removed_node_that_comes_back_is_refused_and_told_why() {
    let mut cluster = settled(5, 4, 4);
    cluster.kill(4);
    cluster.run_until("4 is down", 15 * SECOND, |c| c.all_see(4, false));
    let by = StagedChange::Replace { by: NodeId(5), zone: String::new(), forced: true };
    change(&mut cluster, 1, 4, by);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    let view = cluster.machine(2).view();
    assert!(view.departed(NodeId(4)).is_some_and(|departed| departed.forced));
    assert_eq!(view.address(NodeId(4)), None);
    cluster.start(4);
    let offers = cluster.machine(4).view();
    assert!(offers.layout_version() == 1, "it was away when it was removed");
    cluster.run_until("it is told", 5 * SECOND, |c| fenced(c, 4, true) == 1);
    cluster.run_for(10 * SECOND);
    assert_eq!(fenced(&cluster, 4, true), 1);
    assert_eq!(cluster.machine(4).poll_timeout(), None);
    for node in [1, 2, 3, 5] {
        let view = cluster.machine(node).view();
        assert!(!view.is_alive(NodeId(4)));
        assert_eq!(view.members().count(), 4);
    }
}

#[test]
fn a_node_that_dies_while_it_leaves_can_be_removed() {
    let mut cluster = settled(4, 4, 5);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    cluster.kill(4);
    cluster.run_until("4 is down", 15 * SECOND, |c| c.all_see(4, false));
    change(&mut cluster, 1, 4, StagedChange::Remove);
    cluster.run_until("layout 3", 10 * SECOND, Cluster::agrees);
    assert_eq!(cluster.machine(3).view().members().count(), 3);
}

#[test]
fn a_drained_node_runs_on_and_is_asked_for_nothing_until_it_is_back() {
    let mut cluster = settled(3, 3, 6);
    let now = at(cluster.now_us);
    cluster.with(2, |machine| machine.handle_drain(now, true));
    cluster.run_until("it is away", SECOND, |c| c.all_see(2, false));
    assert_eq!(states(&mut cluster, 1)[1], (2, MemberState::Away));
    assert!(cluster.machine(2).poll_timeout().is_some());
    cluster.run_for(20 * SECOND);
    assert!(cluster.agrees(), "it still hears what is new");
    assert_eq!(cluster.downs(2), 0);
    let now = at(cluster.now_us);
    cluster.with(2, |machine| machine.handle_drain(now, false));
    cluster.run_until("it is back", 2 * SECOND, |c| c.all_see(2, true));
}

#[test]
fn readiness_survives_a_restart_and_not_a_lost_disk() {
    let mut cluster = settled(3, 3, 7);
    let own = |c: &Cluster| c.machine(3).known.members()[&NodeId(3)].ready.partitions.len();
    assert_eq!(own(&cluster), 64);
    cluster.kill(3);
    cluster.start(3);
    assert_eq!(own(&cluster), 64);
    cluster.kill(3);
    cluster.wipe(3);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    assert_eq!(own(&cluster), 0);
    assert_eq!(cluster.machine(1).view().flipped(), 64, "what flipped stays so");
}

#[test]
fn what_a_node_holds_is_told_now_and_then_and_only_if_it_changes() {
    let mut cluster = settled(3, 3, 8);
    let version = |c: &Cluster| c.machine(2).known.members()[&NodeId(2)].version;
    let (before, start_us) = (version(&cluster), cluster.now_us);
    for records in 1..=100 {
        let now = at(cluster.now_us);
        let load = Load { records: records / 2, bytes: 7, ..Load::default() };
        cluster.with(2, |machine| machine.handle_load(now, load));
        cluster.run_for(SECOND / 5);
    }
    let told = version(&cluster) - before;
    let tens = (cluster.now_us - start_us) / (10 * SECOND);
    assert!((2..=tens + 1).contains(&told), "{told} times in {tens}0 seconds");
    cluster.run_for(15 * SECOND);
    let load = cluster.machine(1).known.members()[&NodeId(2)].load;
    assert_eq!(load, Load { records: 50, bytes: 7, ..Load::default() });
}

#[test]
fn that_a_node_is_refilled_and_that_it_is_whole_again_is_told_at_once_and_how_far_it_is_now_and_then()
 {
    let mut cluster = settled(3, 3, 8);
    let seen = |c: &Cluster| c.machine(1).known.members()[&NodeId(2)].load.refilling;
    let version = |c: &Cluster| c.machine(2).known.members()[&NodeId(2)].version;
    let tell = |cluster: &mut Cluster, refilling| {
        let now = at(cluster.now_us);
        let load = Load { refilling, ..Load::default() };
        cluster.with(2, |machine| machine.handle_load(now, load));
    };
    tell(&mut cluster, 40);
    cluster.run_until("it is refilled", 3 * SECOND, |c| seen(c) == 40);
    let before = version(&cluster);
    for left in (1..40).rev() {
        tell(&mut cluster, left);
        cluster.run_for(SECOND / 20);
    }
    assert!(version(&cluster) <= before + 1, "{} times", version(&cluster) - before);
    tell(&mut cluster, 0);
    cluster.run_until("it is whole", 3 * SECOND, |c| seen(c) == 0);
}

#[test]
fn who_is_behind_is_brought_up_at_once() {
    let mut cluster = settled(3, 3, 9);
    let changes = vec![("w".into(), "1".into())];
    cluster.admin(1, &AdminRequest::BucketSet { name: "b".into(), changes }).unwrap();
    let now = at(cluster.now_us);
    cluster.trace = Some(Vec::new());
    for _ in 0..10 {
        cluster.with(1, |machine| machine.handle_behind(now, NodeId(3)));
    }
    let offers = cluster.trace.take().unwrap();
    assert_eq!(offers.iter().filter(|line| line.contains("Offer(")).count(), 1);
    cluster.run_until("3 knows", SECOND / 40, |c| c.machine(3).view().bucket(b"b").w == 1);
}

#[test]
fn a_node_that_has_nothing_to_tell_is_asked_less_and_less_often() {
    let mut cluster = settled(3, 3, 12);
    cluster.cut.insert((1, 3));
    cluster.trace = Some(Vec::new());
    let start_us = cluster.now_us;
    for _ in 0..1_000 {
        let now = at(cluster.now_us);
        cluster.with(1, |machine| machine.handle_behind(now, NodeId(3)));
        cluster.run_for(SECOND / 100);
    }
    let trace = cluster.trace.take().unwrap();
    let asked = |line: &&String| {
        line.contains(" 1 Send { to: Node(NodeId(3)") && line.contains("gossip: Offer(")
    };
    let asked = trace.iter().filter(asked).count();
    // Rounds of gossip ask it too.
    let seconds = (cluster.now_us - start_us) / SECOND;
    assert!(asked as u64 <= 2 * seconds + 10, "{asked} times in {seconds} seconds");
    cluster.cut.clear();
    let changes = vec![("w".into(), "1".into())];
    cluster.admin(3, &AdminRequest::BucketSet { name: "b".into(), changes }).unwrap();
    cluster
        .run_until("it tells something", 10 * SECOND, |c| c.machine(1).view().bucket(b"b").w == 1);
    cluster.run_for(2 * SECOND);
    let now = at(cluster.now_us);
    cluster.trace = Some(Vec::new());
    cluster.with(1, |machine| machine.handle_behind(now, NodeId(3)));
    assert!(cluster.trace.take().unwrap().iter().any(|line| line.contains("Offer(")));
}

#[test]
fn two_living_processes_with_one_identity_are_noticed() {
    let mut cluster = settled(3, 3, 10);
    // The other process runs elsewhere, on a copy of the disk.
    let mut config = crate::Config { random_seed: [99; 32], ..super::config(3) };
    let mut lineage = cluster.copy(3).2;
    config.me.generation = 2;
    config.me.life = Life::new(Incarnation(999));
    lineage.lives.push(Incarnation(999));
    config.lineage = lineage;
    cluster.twin(3, config);
    let rival = |event: &Event| matches!(event, Event::Rival(_));
    let both = |c: &Cluster| {
        let told = c.events.iter().filter(|(_, _, event)| rival(event)).map(|(_, node, _)| *node);
        told.collect::<alloc::collections::BTreeSet<u64>>().len() == 2
    };
    // Half of the answers go to either process.
    cluster.run_until("both know", 60 * SECOND, both);
    let shown = |c: &Cluster| c.machine(1).view().member(NodeId(3)).unwrap().life.rival.is_some();
    cluster.run_until("the others know", 10 * SECOND, shown);
    cluster.run_for(60 * SECOND);
    let told = cluster.events.iter().filter(|(_, _, event)| rival(event)).count();
    assert_eq!(told, 2, "each says so once");
    assert_eq!(cluster.machine(3).view().past(), Past::Unconfirmed);
}

#[test]
fn a_member_that_never_joined_and_is_gone_can_be_removed_and_is_turned_to_no_more() {
    let mut cluster = settled(3, 3, 37);
    cluster.start(4);
    cluster.run_until("n4 is known", 10 * SECOND, Cluster::agrees);
    cluster.kill(4);
    cluster.run_until("n4 is down", 60 * SECOND, |c| {
        (1..=3).all(|node| !c.machine(node).detector.is_up(NodeId(4)))
    });
    change(&mut cluster, 1, 4, StagedChange::Remove);
    cluster.run_until("n4 is forgotten", 10 * SECOND, |c| {
        (1..=3).all(|node| c.machine(node).view().member(NodeId(4)).is_none())
    });
    cluster.run_for(SECOND);
    cluster.trace = Some(Vec::new());
    cluster.run_for(30 * SECOND);
    let trace = cluster.trace.take().unwrap();
    let to_it = trace.iter().find(|line| line.contains("to: Node(NodeId(4)"));
    assert!(!trace.is_empty() && to_it.is_none(), "{to_it:?}");
}

#[test]
fn a_wrong_clock_at_one_node_of_three_moves_the_agreed_time_nowhere() {
    let mut cluster = settled(3, 3, 31);
    cluster.run_until("all clocks are read", SECOND, |c| {
        (1..=3).all(|node| c.machine(node).clocks.heard() == 2)
    });
    for wrong_ms in [3_600_000, 0] {
        let right = at(cluster.now_us);
        let wrong =
            Now::new(right.mono_us, if wrong_ms == 0 { 1 } else { right.wall_ms + wrong_ms });
        for node in [1, 2] {
            cluster.with(node, |machine| {
                machine.clocks.ask(right, NodeId(3), 1);
                let gossip = Gossip::Alive { nonce: 1, wall_ms: wrong.wall_ms };
                machine.handle_gossip(right, NodeId(3), gossip);
            });
            let agreed = cluster.machine(node).agreed(right);
            assert!(agreed.wall_ms.abs_diff(right.wall_ms) < 20, "{agreed:?} for {right:?}");
            assert_eq!(agreed.mono_us, right.mono_us);
        }
        let agreed = cluster.machine(3).agreed(wrong);
        assert!(agreed.wall_ms.abs_diff(right.wall_ms) < 20, "{agreed:?} for {right:?}");
        let Ok(AdminResponse::Status(status)) =
            cluster.with(3, |machine| machine.handle_admin(wrong, &AdminRequest::Status))
        else {
            panic!("a status is answered with a status");
        };
        assert_eq!(status.clock_ms, wrong.wall_ms);
        assert_eq!(status.agreed_ms, agreed.wall_ms);
    }
}

#[test]
fn a_node_that_starts_has_heard_the_others_clocks_within_moments() {
    let mut cluster = settled(5, 5, 32);
    cluster.kill(4);
    cluster.run_for(2 * SECOND);
    cluster.start(4);
    cluster.run_until("it has heard them", SECOND, |c| c.machine(4).clocks.heard() == 4);
}

#[test]
fn a_node_that_has_heard_no_clock_but_its_own_gives_no_ends_and_lets_nothing_expire() {
    let mut cluster = settled(3, 3, 33);
    cluster.kill(3);
    cluster.cut = [(1, 3), (2, 3)].into();
    cluster.start(3);
    cluster.run_until("it serves", 20 * SECOND, |c| {
        c.events.iter().any(|(at_us, node, event)| {
            *node == 3 && matches!(event, Event::Serves { .. }) && at_us + SECOND > c.now_us
        })
    });
    let right = at(cluster.now_us);
    let alone = cluster.machine(3).agreed(right);
    assert_eq!((alone.judged_ms(), alone.end_ms(1_000)), (0, None), "{alone:?}");
    assert_eq!(alone.wall_ms, right.wall_ms, "what is written still says when");
    cluster.cut.clear();
    cluster.run_until("it has heard one", 20 * SECOND, |c| c.machine(3).clocks.heard() > 0);
    let right = at(cluster.now_us);
    let agreed = cluster.machine(3).agreed(right);
    assert!(agreed.judged_ms().abs_diff(right.wall_ms) < 20, "{agreed:?} for {right:?}");
    assert_eq!(agreed.end_ms(1_000), Some(agreed.latest_ms + 1_000));
}

#[test]
fn a_leave_is_taken_back_until_all_has_moved_and_the_node_stays() {
    let mut cluster = settled(5, 5, 33);
    change(&mut cluster, 1, 5, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    ready(&mut cluster, 1);
    change(&mut cluster, 2, 5, join());
    cluster.run_until("layout 3", 10 * SECOND, Cluster::agrees);
    let now = at(cluster.now_us);
    cluster.with(5, |machine| machine.handle_left(now));
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.run_for(5 * SECOND);
    assert!(!has_left(&cluster, 5), "what it heard of the layout before counts no more");
    assert_eq!(states(&mut cluster, 2)[4], (5, MemberState::Up));
    change(&mut cluster, 1, 5, StagedChange::Leave);
    cluster.run_until("layout 4", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    let refused = stage(&mut cluster, 1, vec![(NodeId(5), join())]).unwrap_err();
    assert!(refused.message.contains("stops by itself"), "{refused}");
}

#[test]
fn a_node_that_parts_when_the_leave_is_taken_back_is_a_member_again() {
    let mut cluster = settled(5, 5, 34);
    change(&mut cluster, 1, 5, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    cluster.cut.extend((1..=4).map(|node| (node, 5)));
    let now = at(cluster.now_us);
    // Only this node has heard that all has moved.
    let view = cluster.machine(5).view();
    let all = view.partitions().partitions().collect();
    let moved = Delta { flips: vec![(view.layout_id(), all)], ..Delta::default() };
    cluster.with(5, |machine| machine.handle_gossip(now, NodeId(1), Gossip::Close(moved)));
    cluster.with(5, |machine| machine.handle_left(now));
    let status = cluster.machine(5).known.members()[&NodeId(5)].status;
    assert_eq!(status, Status::Left);
    stage(&mut cluster, 1, vec![(NodeId(5), join())]).unwrap();
    cluster.plan_and_commit(1).unwrap();
    cluster.run_for(SECOND);
    cluster.cut.clear();
    cluster.run_until("all are up", 60 * SECOND, |c| c.agrees() && c.all_up());
    assert_eq!(states(&mut cluster, 1)[4], (5, MemberState::Up));
    assert!(!has_left(&cluster, 5));
}
