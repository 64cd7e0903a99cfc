//! Each thing that keeps a leaving node, alone.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, PartitionCount, RingNode, plan_first};
use jedlik_protocol::gossip::{Delta, Life, Load, MemberRecord, Ready, Speaks, Status};
use jedlik_protocol::{
    ClusterId, Departed, Incarnation, Layout, LayoutId, PartitionSet, WireLayout,
};

use super::*;

const ME: NodeId = NodeId(4);

/// Cluster in which nodes 1 to 3 have all partitions and this node is to go: all that its departure depends on.
struct Situation {
    departed: Vec<Departed>,
    unflipped: usize,
    /// Layout that another member knows, from the newest one.
    known: fn(LayoutId) -> LayoutId,
    held: TransferReport,
    /// Layout that the shards report under, from the newest one.
    reported: fn(LayoutId) -> LayoutId,
}

impl Situation {
    /// Returns the situation in which nothing keeps the node.
    fn free() -> Self {
        Self {
            departed: vec![Departed { node: ME, forced: false }],
            unflipped: 0,
            known: |newest| newest,
            held: TransferReport::default(),
            reported: |newest| newest,
        }
    }

    fn has_left(self) -> bool {
        let partitions = PartitionCount::new(8).unwrap();
        let node = |node| RingNode { node: NodeId(node), zone: node.to_string(), weight: 1 };
        let ring = plan_first((1..=3).map(node).collect(), partitions, 3).unwrap();
        let flipped: PartitionSet = partitions.partitions().skip(self.unflipped).collect();
        let layout =
            Layout { version: 2, parent: LayoutId::default(), ring, departed: self.departed };
        let newest = layout.id();
        let mut members: Vec<MemberRecord> = (1..=4).map(|node| record(node, newest)).collect();
        members[1].layout = (self.known)(newest);
        let layouts = vec![WireLayout { layout, flipped }];
        let known = Delta { members, layouts, ..Delta::default() };
        let alive: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
        let view = View::new(ME, ClusterId(1), partitions, known, alive);
        has_left(&view, &TransferReport { layout: (self.reported)(newest), ..self.held })
    }
}

fn record(node: u64, layout: LayoutId) -> MemberRecord {
    MemberRecord {
        node: NodeId(node),
        name: node.to_string(),
        address: "127.0.0.1:1".parse().unwrap(),
        zone: node.to_string(),
        weight: 1,
        life: Life::new(Incarnation(1)),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout,
        ready: Ready::default(),
        load: Load::default(),
        speaks: Speaks::default(),
        message_life_ms: 30_000,
    }
}

/// Name of a case, its change to [`Situation::free`], and whether the node then leaves.
type Case = (&'static str, fn(&mut Situation), bool);

#[test]
fn a_node_leaves_only_when_nothing_keeps_it() {
    let cases: [Case; 13] = [
        ("nothing keeps it", |_| {}, true),
        ("it is a member still", |at| at.departed.clear(), false),
        ("another leaves", |at| at.departed[0].node = NodeId(5), false),
        ("it was removed by force", |at| at.departed[0].forced = true, false),
        ("a partition has not flipped", |at| at.unflipped = 1, false),
        ("a member has an older layout", |at| at.known = |_| LayoutId::default(), false),
        ("its shards report of an older layout", |at| at.reported = |_| LayoutId::default(), false),
        ("it owns something", |at| at.held.owned = 1, false),
        ("it serves something under an older layout", |at| at.held.leaving = 1, false),
        ("it holds records", |at| at.held.unowned = 1, false),
        ("it holds a hint", |at| at.held.hints = 1, false),
        ("counts of any size", |at| (at.held.owned, at.held.leaving) = (u32::MAX, 1), false),
        ("what it received is no matter", |at| at.held.received_records = 9, true),
    ];
    for (what, change, leaves) in cases {
        let mut situation = Situation::free();
        change(&mut situation);
        assert_eq!(situation.has_left(), leaves, "{what}");
    }
}
