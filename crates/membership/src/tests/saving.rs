//! Messages that a node sends while its disk takes nothing, and those that it does not.

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::gossip::StagedChange;

use super::at;
use super::cluster::Cluster;
use super::growth::{all_ready, change, has_left, is_settled, settled};

const SECOND: u64 = 1_000_000;

#[test]
fn a_node_whose_disk_is_full_goes_on_and_claims_no_layout_before_it_is_stored() {
    let mut cluster = Cluster::of(4, 31);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    cluster.full.insert(4);
    cluster.plan_and_commit(1).unwrap();
    let is_in_force = |c: &Cluster, node| c.machine(node).view().layout_version() == 1;
    cluster.run_until("layout 1", 10 * SECOND, |c| (1..=4).all(|node| is_in_force(c, node)));
    let says = |c: &Cluster, of: u64, on: u64| {
        let record = c.machine(on).known.members()[&NodeId(of)].clone();
        (record.layout.version, record.ready.layout.version, record.ready.partitions.len())
    };
    let (now, layout) = (at(cluster.now_us), cluster.machine(4).view().layout_id());
    let ready = Partition(3);
    cluster.with(4, |machine| machine.handle_ready(now, layout, &[ready]));
    cluster.run_for(30 * SECOND);
    assert!(cluster.all_up(), "it answers probes");
    for on in 1..=4 {
        assert_eq!(says(&cluster, 4, on), (0, 0, 0), "on node {on}");
        assert_eq!(says(&cluster, 3, on).0, 1, "on node {on}");
        assert!(!cluster.machine(on).view().is_known_by_all(), "on node {on}");
    }
    assert!(cluster.disks[&4].layouts.is_empty());
    cluster.kill(4);
    cluster.start(4);
    cluster.run_until("it hears of the layout anew", 10 * SECOND, |c| is_in_force(c, 4));
    let (now, layout) = (at(cluster.now_us), cluster.machine(4).view().layout_id());
    cluster.with(4, |machine| machine.handle_ready(now, layout, &[ready]));
    cluster.full.clear();
    cluster.save(4);
    assert_eq!(cluster.disks[&4].layouts.len(), 1);
    cluster.run_until("all hear that it has the layout", 10 * SECOND, |c| {
        (1..=4).all(|on| says(c, 4, on) == (1, 1, 1))
    });
    assert!(cluster.agrees());
}

#[test]
fn a_departure_is_answered_by_a_node_only_once_it_is_stored() {
    let mut cluster = settled(4, 4, 32);
    change(&mut cluster, 1, 4, StagedChange::Leave);
    cluster.run_until("layout 2", 10 * SECOND, Cluster::agrees);
    all_ready(&mut cluster);
    cluster.run_until("settled", 10 * SECOND, is_settled);
    cluster.full.extend([1, 2, 3]);
    let now = at(cluster.now_us);
    cluster.with(4, |machine| machine.handle_left(now));
    let heard = |c: &Cluster| (1..=3).all(|node| c.machine(node).view().members().count() == 3);
    cluster.run_until("they hear it", 10 * SECOND, heard);
    cluster.run_for(20 * SECOND);
    assert!(!has_left(&cluster, 4), "were they to end now, nobody would know");
    cluster.full.clear();
    cluster.save(1);
    cluster.save(2);
    cluster.run_until("it is told", 10 * SECOND, |c| has_left(c, 4));
}
