//! The background's pace: held up, let go on, and bounded.

use alloc::format;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::BackgroundChange;

use super::cluster::{Cluster, blind};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

const PAUSE: BackgroundChange =
    BackgroundChange { work: None, paused: Some(true), limit_per_s: None, slowdown_percent: None };
const RESUME: BackgroundChange = BackgroundChange { paused: Some(false), ..PAUSE };

fn steps(cluster: &mut Cluster, node: NodeId) -> u64 {
    let report = cluster.node(node).replica.background_report();
    report.steps.iter().map(|(_, steps)| steps).sum()
}

#[test]
fn a_pause_holds_everything_up_and_it_goes_on_where_it_was() {
    let mut cluster = Cluster::new(3, &[]);
    for number in 0..60 {
        cluster.put(N1, blind(&format!("k{number}"), "x")).expect("a put");
    }
    cluster.run_for(60_000);
    cluster.notice_down(N2);
    cluster.put(N1, blind("hinted", "x")).expect("a put");
    for node in [N1, N2, N3] {
        cluster.set_background(node, PAUSE);
    }
    cluster.lose_disk(N3, 2);
    cluster.set_background(N3, PAUSE);
    cluster.notice_up(N2);
    cluster.sent.clear();
    let before = [N1, N2].map(|node| steps(&mut cluster, node));
    let held = cluster.node(N3).disk.len();
    cluster.run_for(300_000);
    assert_eq!([N1, N2].map(|node| steps(&mut cluster, node)), before);
    assert_eq!(cluster.sent, []);
    assert_eq!(cluster.node(N3).disk.len(), held);
    assert!(cluster.node(N3).replica.background_report().paused);
    assert_eq!(cluster.node(N3).replica.poll_timeout(), None, "a wake would be in vain");

    for node in [N1, N2, N3] {
        cluster.set_background(node, RESUME);
    }
    cluster.run_for(10_000);
    assert_eq!(cluster.node(N3).disk.len(), 61);
    assert!(cluster.held(N2, "hinted").is_some());
    assert!(cluster.nodes.iter().all(|node| node.hints.is_empty()));
}

#[test]
fn no_more_steps_are_taken_than_the_limit_allows() {
    let mut cluster = Cluster::new(3, &[]);
    for number in 0..200 {
        cluster.put(N1, blind(&format!("k{number}"), "x")).expect("a put");
    }
    cluster.run_for(60_000);
    let limit = BackgroundChange { paused: None, limit_per_s: Some(10), ..PAUSE };
    cluster.lose_disk(N3, 2);
    cluster.set_background(N3, limit);
    let before = steps(&mut cluster, N3);
    for seconds in 1..=8 {
        cluster.run_for(1_000);
        let taken = steps(&mut cluster, N3) - before;
        // A page of some eight records is granted as one step and weighs three; the rest is a debt.
        let allowed = 10 * seconds - 1..=10 * seconds + 3;
        assert!(allowed.contains(&taken), "{taken} in {seconds} s");
    }
    cluster.set_background(N3, BackgroundChange { limit_per_s: Some(1_000), ..limit });
    cluster.run_for(20_000);
    assert_eq!(cluster.node(N3).disk.len(), 200);
}

#[test]
fn a_page_waits_for_its_turn_at_whoever_has_it() {
    let mut cluster = Cluster::new(3, &[]);
    for number in 0..200 {
        cluster.put(N1, blind(&format!("k{number}"), "x")).expect("a put");
    }
    cluster.run_for(60_000);
    for node in [N1, N2] {
        cluster.set_background(node, PAUSE);
    }
    cluster.lose_disk(N3, 2);
    cluster.run_for(60_000);
    assert_eq!(cluster.node(N3).disk.len(), 0, "both that have it are held up");
    let resumed = BackgroundChange { limit_per_s: Some(20), ..RESUME };
    cluster.set_background(N1, resumed);
    let begun = steps(&mut cluster, N1);
    cluster.run_for(1_000);
    let (taken, came) = (steps(&mut cluster, N1) - begun, cluster.node(N3).disk.len());
    assert!(taken <= 21 && came < 200, "{came} records with {taken} steps");
    cluster.set_background(N2, RESUME);
    cluster.run_for(60_000);
    assert_eq!(cluster.node(N3).disk.len(), 200);
}
