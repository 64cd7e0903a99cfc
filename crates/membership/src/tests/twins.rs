//! Two processes of one life: a machine that was copied while it ran, so that both have all that the one had.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::gossip::{Delta, Gossip, Life, Load, MemberRecord, Rival};

use super::cluster::{Cluster, TWINS};
use super::growth::settled;
use super::{address, at};
use crate::{Event, Output, Past};

const SECOND: u64 = 1_000_000;
/// Node that goes on twice, and the place of its second process.
const NODE: u64 = 3;
const TWIN: u64 = NODE + TWINS;
const BOTH: [u64; 2] = [NODE, TWIN];

/// Processes that store something once there are two, and so tell of another tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    None,
    Of(u64),
    /// Both processes tell as many ticks, and hold different amounts.
    Both,
}

/// Case of a process that goes on twice: the cluster around it, and what tells the two apart.
#[derive(Debug, Clone, Copy)]
struct Case {
    nodes: u64,
    /// Whether both processes say that they listen at the same address.
    shares: bool,
    progress: Progress,
    /// Links that lose everything for the first seconds.
    cut: &'static [(u64, u64)],
    seed: u8,
}

/// Links that are cut at first, so that all nodes hear of both processes, or some of one of them only.
const CUTS: [&[(u64, u64)]; 6] = [
    &[],
    &[(1, NODE), (2, NODE), (4, NODE)],
    &[(1, TWIN), (2, TWIN), (4, TWIN)],
    &[(1, NODE), (2, TWIN)],
    &[(2, NODE), (1, TWIN), (4, TWIN)],
    &[(1, NODE), (1, TWIN)],
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (turn, cut) in CUTS.into_iter().enumerate() {
        for shares in [false, true] {
            for progress in [Progress::None, Progress::Of(NODE), Progress::Of(TWIN), Progress::Both]
            {
                // Nothing at all tells the two apart yet.
                if shares && progress == Progress::None {
                    continue;
                }
                for nodes in [3, 4] {
                    let seed = (turn * 16 + cases.len() % 16) as u8;
                    cases.push(Case { nodes, shares, progress, cut, seed });
                }
            }
        }
    }
    cases
}

fn rivals(cluster: &Cluster, place: u64) -> Vec<Rival> {
    let events = cluster.events.iter().filter(|(_, of, _)| *of == place);
    let found = events.filter_map(|(_, _, event)| match event {
        Event::Rival(rival) => Some(*rival),
        _ => None,
    });
    found.collect()
}

fn count(cluster: &Cluster, place: u64, is: impl Fn(&Event) -> bool) -> usize {
    cluster.events.iter().filter(|(_, of, event)| *of == place && is(event)).count()
}

/// Has the processes store something, as the case says, and tell of it.
fn advance(cluster: &mut Cluster, progress: Progress) {
    let now = at(cluster.now_us);
    let places: &[u64] = match progress {
        Progress::None => &[],
        Progress::Of(place) => &[place],
        Progress::Both => &BOTH,
    };
    for place in places {
        let load = Load { records: *place, ..Load::default() };
        cluster.with(*place, |machine| machine.handle_load(now, load));
        let tick = cluster.machine(*place).config.me.life.tick + 1;
        cluster.tick(*place, tick);
    }
}

/// A cluster whose third node goes on twice, after both have found one another.
fn found(case: Case) -> Cluster {
    let mut cluster = settled(case.nodes, case.nodes, case.seed);
    cluster.tick(NODE, 1);
    cluster.run_for(15 * SECOND);
    assert_eq!(cluster.resume_twice(NODE, case.shares), TWIN);
    cluster.cut = case.cut.iter().copied().collect();
    advance(&mut cluster, case.progress);
    cluster.run_for(12 * SECOND);
    cluster.cut.clear();
    let both = |c: &Cluster| BOTH.iter().all(|place| !rivals(c, *place).is_empty());
    cluster.run_until(&format!("both know: {case:?}"), 10 * SECOND, both);
    cluster
}

fn is_shown_by_all(cluster: &Cluster) -> bool {
    let shown = |place: u64| cluster.machine(place).view().rival(NodeId(NODE)).is_some();
    cluster.running().into_iter().all(shown)
}

#[test]
fn two_processes_of_one_life_find_one_another_and_say_so_once() {
    for case in cases() {
        let mut cluster = found(case);
        cluster.run_until("all others know", 5 * SECOND, is_shown_by_all);
        cluster.run_for(5 * SECOND);
        let version = |c: &Cluster| BOTH.map(|place| c.machine(place).config.me.version);
        let before = version(&cluster);
        cluster.run_for(40 * SECOND);
        assert_eq!(version(&cluster), before, "neither outdoes the other for ever: {case:?}");
        let life = cluster.machine(NODE).config.me.life.incarnation;
        for (place, other) in [(NODE, TWIN), (TWIN, NODE)] {
            let address = cluster.machine(other).config.me.address;
            let rival = Rival { incarnation: life, address };
            assert_eq!(rivals(&cluster, place), [rival], "n{place}, {case:?}");
            assert_eq!(cluster.machine(place).view().past(), Past::Unconfirmed, "{case:?}");
        }
        let Ok(AdminResponse::Status(status)) = cluster.admin(1, &AdminRequest::Status) else {
            panic!("a status is answered with a status");
        };
        let record = &status.members[NODE as usize - 1].record;
        let rival = record.life.rival.expect("the status names both");
        assert_eq!(record.address == rival.address, case.shares, "{case:?}");
    }
}

#[test]
fn an_admin_stays_with_either_of_two_processes_of_one_life_and_the_other_one_ends() {
    // A process may have been started again since it found the other one.
    let restarted = [None, Some(NODE), Some(TWIN)];
    let all = cases().into_iter().flat_map(|case| BOTH.map(|stays| (case, stays)));
    for ((case, stays), restarted) in all.zip(restarted.into_iter().cycle()) {
        let ends = if stays == NODE { TWIN } else { NODE };
        let what = format!("n{stays} stays, {restarted:?} was restarted, {case:?}");
        let mut cluster = found(case);
        cluster.run_until("all others know", 5 * SECOND, is_shown_by_all);
        cluster.run_for(5 * SECOND);
        if let Some(place) = restarted {
            cluster.note_rival(place);
            cluster.kill(place);
            cluster.start(place);
            cluster.run_for(10 * SECOND);
        }
        advance(&mut cluster, Progress::Of(ends));
        cluster.run_for(12 * SECOND);
        let from = cluster.events.len();
        cluster.keep(stays).unwrap();
        let ousted = |c: &Cluster| count(c, ends, |e| matches!(e, Event::Ousted { .. })) == 1;
        cluster.run_until(&what, 10 * SECOND, ousted);
        let decided = |c: &Cluster| {
            let life = c.machine(stays).config.me.life;
            let known = c.machine(1).view().life(NodeId(NODE));
            known == Some(life) && life.rival.is_none()
        };
        cluster.run_until(&what, 10 * SECOND, decided);
        cluster.run_for(20 * SECOND);
        assert_eq!(cluster.machine(stays).view().past(), Past::Lost, "{what}");
        for (_, place, event) in &cluster.events[from..] {
            let ends_again = matches!(event, Event::Forgotten(_) | Event::Rival(_));
            assert!(!ends_again, "{event:?} at n{place}: {what}");
        }
        assert_eq!(count(&cluster, stays, |e| matches!(e, Event::Ousted { .. })), 0, "{what}");
    }
}

#[test]
fn of_two_processes_of_one_life_the_one_that_had_come_less_far_is_set_aside_if_an_admin_stays_with_it()
 {
    // The second process hears of nothing at first, as if its machine had not been resumed yet.
    let cut = CUTS[2];
    let cases = [
        (Progress::Of(NODE), NODE, false),
        (Progress::Of(NODE), TWIN, true),
        (Progress::Both, NODE, false),
        (Progress::Both, TWIN, false),
    ];
    for ((progress, stays, outlived), shares) in
        cases.into_iter().flat_map(|case| [false, true].map(|shares| (case, shares)))
    {
        let case = Case { nodes: 3, shares, progress, cut, seed: 77 };
        let mut cluster = found(case);
        cluster.run_for(5 * SECOND);
        cluster.keep(stays).unwrap();
        let absent = count(&cluster, stays, |e| *e == Event::Absent { outlived });
        let decided = count(&cluster, stays, |e| *e == Event::Prevails { outlived });
        assert_eq!((absent, decided), (1, 1), "n{stays} stays, {case:?}");
    }
}

#[test]
fn an_answer_of_another_process_of_this_life_is_not_taken_for_one_of_its_own() {
    let cluster = settled(3, 3, 5);
    let machine = cluster.machine(NODE);
    let own = machine.config.me.clone();
    let elsewhere = MemberRecord { address: address(TWIN), ..own.clone() };
    let later = MemberRecord { version: own.version + 1, ..own.clone() };
    let earlier = MemberRecord { version: own.version - 1, ..own.clone() };
    for (what, record, is_found) in [
        ("what it wrote last", own.clone(), false),
        ("what it wrote before", earlier, false),
        ("an address at which it does not listen", elsewhere, true),
        ("what it has not written yet", later, true),
    ] {
        let answer = Gossip::Recalled {
            asked: own.life.incarnation,
            record: Some(Box::new(record.clone())),
            layout: LayoutId::default(),
            wall_ms: 0,
            superseded_ms: None,
        };
        for gossip in [answer, Gossip::Recall(Box::new(record))] {
            let mut machine = machine.clone();
            machine.handle_gossip(at(cluster.now_us), NodeId(NODE), gossip);
            let mut outputs = core::iter::from_fn(|| machine.poll_output());
            let finds = outputs.any(|output| matches!(output, Output::Event(Event::Rival(_))));
            assert_eq!(finds, is_found, "{what}");
        }
    }
}

#[test]
fn a_process_outdoes_another_one_of_its_life_that_is_as_new_and_has_not_heard_of_it() {
    let cluster = settled(3, 3, 6);
    let mut machine = cluster.machine(NODE).clone();
    for _ in 0..3 {
        let own = machine.config.me.clone();
        let life = Life { rival: None, ..own.life };
        let other = MemberRecord { address: address(TWIN), life, ..own.clone() };
        let told = Delta { members: [other].into(), ..Delta::default() };
        machine.handle_gossip(at(cluster.now_us), NodeId(1), Gossip::Close(told));
        assert!(machine.config.me.version > own.version, "else nobody hears of both");
    }
    let outputs = core::iter::from_fn(|| machine.poll_output());
    let found = outputs.filter(|output| matches!(output, Output::Event(Event::Rival(_))));
    assert_eq!(found.count(), 1);
}
