//! Powers of a node with a certificate of the cluster over members, and their limits.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, plan_next};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Staging, Status};
use jedlik_protocol::{Departed, Digest, Incarnation, LayoutId, PartitionSet, WireLayout};

use super::growth::{join, settled, stage};
use super::{at, record};
use crate::acceptable::COUNT_MAX;
use crate::tests::cluster::Cluster;
use crate::{Config, Destination, Event, Membership, Output};

const SECOND: u64 = 1_000_000;

fn hear(cluster: &mut Cluster, node: u64, from: u64, gossip: Gossip) {
    let now = at(cluster.now_us);
    cluster.with(node, |machine| machine.handle_gossip(now, NodeId(from), gossip));
}

/// The layout in force, changed to say that `node` was removed, with that version.
fn removing(cluster: &Cluster, node: u64, version: u64) -> WireLayout {
    let view = cluster.machine(1).view();
    let mut layout = (**view.layout().unwrap()).clone();
    (layout.version, layout.parent) = (version, view.layout_id());
    let others = layout.ring.nodes().iter().filter(|placed| placed.node.0 != node).cloned();
    layout.ring = plan_next(&layout.ring, others.collect(), 3).unwrap();
    layout.departed = vec![Departed { node: NodeId(node), forced: true }];
    WireLayout { layout, flipped: PartitionSet::default() }
}

fn fenced(cluster: &Cluster) -> usize {
    let is = |event: &Event| matches!(event, Event::Fenced { .. });
    cluster.events.iter().filter(|(_, _, event)| is(event)).count()
}

#[test]
fn a_node_that_nobody_knows_is_heard_on_who_it_is_and_on_nothing_else() {
    let mut cluster = settled(3, 3, 21);
    let before = cluster.machine(1).known.clone();
    let layout = removing(&cluster, 1, 2);
    let news = |members: Vec<MemberRecord>| Gossip::Close(Delta { members, ..Delta::default() });
    let staging = Staging { base: LayoutId::default(), ..Staging::default() };
    let refused = [
        Gossip::Fenced(Box::new(layout.clone()), None),
        Gossip::Offer(Box::new(record(8)), Digest(0), 0),
        news(vec![record(8)]),
        news(vec![record(9), record(8)]),
        Gossip::Close(Delta {
            layouts: vec![layout],
            members: vec![record(9)],
            ..Delta::default()
        }),
        Gossip::Close(Delta {
            members: vec![record(9)],
            staging: Some(staging),
            ..Delta::default()
        }),
        Gossip::Differ(before.summary()),
        Gossip::ProbeFor { target: NodeId(2), nonce: 7 },
    ];
    for gossip in refused {
        hear(&mut cluster, 1, 9, gossip.clone());
        assert_eq!(cluster.machine(1).known, before, "{gossip:?}");
    }
    assert_eq!(fenced(&cluster), 0);
    assert!(!cluster.machine(1).view().hears(NodeId(9)));
    hear(&mut cluster, 1, 9, Gossip::Offer(Box::new(record(9)), Digest(0), 0));
    assert!(cluster.machine(1).view().hears(NodeId(9)));
}

#[test]
fn a_node_ends_as_removed_only_by_the_layout_that_is_in_force_once_it_was_merged() {
    let mut cluster = settled(4, 4, 22);
    let loses = |version| removing(&cluster, 1, version);
    let frames = [loses(1), loses(u64::MAX), loses(COUNT_MAX)];
    // A layout of version 1 is older than the one in force, or its rival; the digest decides which.
    let in_force = cluster.machine(1).view().layout_id();
    for layout in frames {
        let wins = layout.layout.version == 1 && layout.layout.id() > in_force;
        if !wins {
            hear(&mut cluster, 1, 2, Gossip::Fenced(Box::new(layout), None));
        }
    }
    assert_eq!(fenced(&cluster), 0);
    assert_eq!(cluster.machine(1).view().layout_id(), in_force);
    let wins = removing(&cluster, 1, 2);
    hear(&mut cluster, 1, 2, Gossip::Fenced(Box::new(wins.clone()), None));
    assert_eq!(fenced(&cluster), 1);
    assert_eq!(cluster.machine(1).view().layout_id(), wins.layout.id(), "it holds it itself");
}

#[test]
fn a_layout_that_gives_partitions_to_whom_it_says_is_gone_ends_nobody() {
    let mut cluster = settled(4, 4, 23);
    let mut layout = removing(&cluster, 1, 2);
    layout.layout.ring = cluster.machine(1).view().layout().unwrap().ring.clone();
    hear(&mut cluster, 1, 2, Gossip::Fenced(Box::new(layout), None));
    assert_eq!(fenced(&cluster), 0);
    assert_eq!(cluster.machine(1).view().layout_version(), 1);
}

#[test]
fn a_node_that_is_gone_and_the_one_that_says_so_come_to_rest() {
    let mut cluster = settled(4, 4, 27);
    let layout = removing(&cluster, 4, 2);
    cluster.cut = [(1, 2), (1, 3)].into_iter().collect();
    hear(&mut cluster, 1, 2, Gossip::Close(Delta { layouts: vec![layout], ..Delta::default() }));
    // It takes the node that fences it to be down, and hears of it all the same.
    (0..20).for_each(|_| cluster.outcome(1, 4, false));
    cluster.trace = Some(vec![]);
    cluster.run_for(20 * SECOND);
    let lines = cluster.trace.as_ref().map_or(0, Vec::len);
    assert!(lines < 2_000, "{lines} things happened");
}

#[test]
fn a_member_outdoes_whatever_others_invent_of_it() {
    let mut cluster = settled(3, 3, 24);
    let forged = |generation, version| {
        let status = Status::Left;
        let members = vec![MemberRecord { status, generation, version, ..record(1) }];
        Gossip::Close(Delta { members, ..Delta::default() })
    };
    for (generation, version) in [(u64::MAX, u64::MAX), (COUNT_MAX + 1, 1), (COUNT_MAX, COUNT_MAX)]
    {
        hear(&mut cluster, 2, 3, forged(generation, version));
        hear(&mut cluster, 1, 3, forged(generation, version));
    }
    cluster.run_until("all see it up", 60 * SECOND, |c| {
        c.all_up()
            && (1..=3).all(|node| c.machine(node).known.members()[&NodeId(1)].status == Status::Up)
    });
    let own = &cluster.machine(1).known.members()[&NodeId(1)];
    assert!((own.generation, own.version) > (COUNT_MAX, COUNT_MAX), "{own:?}");
}

#[test]
fn changes_staged_on_a_layout_that_nobody_has_keep_no_admin_out() {
    let mut cluster = settled(4, 3, 25);
    let base = LayoutId { version: 9, digest: 9 };
    let staging = Some(Staging { base, revision: 1, changes: vec![] });
    for node in 1..=3 {
        let gossip = Gossip::Close(Delta { staging: staging.clone(), ..Delta::default() });
        hear(&mut cluster, node, 4, gossip);
    }
    stage(&mut cluster, 1, vec![(NodeId(4), join())]).unwrap();
    cluster.plan_and_commit(1).unwrap();
    assert_eq!(cluster.machine(1).view().layout_version(), 2);
}

#[test]
fn who_is_gone_is_answered_where_it_called_from_and_never_dialled() {
    let mut cluster = settled(4, 4, 26);
    let layout = removing(&cluster, 4, 2);
    hear(&mut cluster, 1, 2, Gossip::Close(Delta { layouts: vec![layout], ..Delta::default() }));
    let (stored, _, mut lineage) = cluster.copy(1);
    let asked = Incarnation(1);
    lineage.lives.push(asked);
    let config = Config { lineage, ..super::config(1) };
    let mut machine = Membership::new(at(cluster.now_us), config, stored);
    for other in [2, 3] {
        let layout = machine.view().layout_id();
        let answer =
            Gossip::Recalled { asked, record: None, layout, wall_ms: 0, superseded_ms: None };
        machine.handle_gossip(at(cluster.now_us), NodeId(other), answer);
    }
    while machine.poll_output().is_some() {}
    machine.handle_gossip(at(cluster.now_us), NodeId(4), Gossip::Probe { nonce: 3 });
    let outputs = core::iter::from_fn(|| machine.poll_output());
    let sent = outputs.filter_map(|output| match output {
        Output::Send { to, .. } => Some(to),
        _ => None,
    });
    let sent: Vec<Destination> = sent.collect();
    assert_eq!(sent, [Destination::Caller(NodeId(4)); 2]);
    assert!(machine.view().is_barred(NodeId(4)) && !machine.view().hears(NodeId(4)));
}
