//! Reports of a repair on several members.

use jedlik_client::ClientError;
use jedlik_protocol::admin::RepairReport;

use super::{Part, Parts, sum, to_json, to_text};
use crate::members::Told;
use crate::members::tests::member;

fn told(node: u64, part: Option<(RepairReport, RepairReport)>) -> Told<Part> {
    let answer = part.map(|(before, now)| Part { before, now }).ok_or(ClientError::NoLayout);
    Told { member: member(node), answer }
}

fn report(done: u32, count: u64) -> RepairReport {
    RepairReport {
        partitions: 153,
        done,
        exchanges: count,
        agreed: count / 2,
        keys_compared: 10 * count,
        pulled: count / 4,
        pushed: 1,
        bytes: 1000 * count,
        ..RepairReport::default()
    }
}

fn parts() -> Parts {
    vec![
        told(1, Some((report(0, 100), report(153, 406)))),
        told(2, Some((report(0, 0), report(100, 200)))),
        told(3, None),
    ]
}

#[test]
fn what_was_done_since_the_command_began_is_shown_for_each_member() {
    insta::assert_snapshot!(to_text(&parts(), false), @r"
    node  partitions  exchanges  agreed  failed  keys compared  pulled  pushed      bytes  damaged
    n1       153/153        306     153       0           3060      76       0  298.8 KiB        0
    n2       100/153        200     100       0           2000      50       0  195.3 KiB        0
    n3     no answer          -       -       -              -       -       -          -        -
    all      253/306        506     253       0           5060     126       0  494.1 KiB        0
    ");
    assert_eq!(to_text(&parts(), true), "begun on n1, n2; `jedlik-admin repair` waits for it\n");
}

#[test]
fn programs_see_every_count() {
    let json = to_json(&parts());
    assert_eq!(json["nodes"][0]["report"]["exchanges"], 306);
    assert_eq!(json["nodes"][0]["node"]["name"], "n1");
    assert!(json["nodes"][2]["report"].is_null() && json["nodes"][2]["error"].is_string());
    assert_eq!((&json["all"]["exchanges"], &json["all"]["done"]), (&506.into(), &253.into()));
}

#[test]
fn a_member_is_done_with_its_last_partition() {
    let part = |done| Part { before: RepairReport::default(), now: report(done, 0) };
    assert!(!part(152).is_done() && part(153).is_done());
    let none = Part { before: RepairReport::default(), now: RepairReport::default() };
    assert!(none.is_done(), "who owns nothing has nothing to do");
}

#[test]
fn a_member_that_restarted_does_not_count_backwards() {
    let parts = vec![told(1, Some((report(0, 500), report(153, 8))))];
    assert_eq!((sum(&parts).exchanges, sum(&parts).done), (0, 153));
}
