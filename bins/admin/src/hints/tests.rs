//! Hints under way, stuck and delivered, as they are shown.

use jedlik_client::{ClientError, NodeId};
use jedlik_protocol::admin::HintReport;

use super::{Reports, is_drained, to_json, to_text};
use crate::members::Told;
use crate::members::tests::member;

pub(crate) fn report(target: u64, count: u64) -> HintReport {
    HintReport {
        target: NodeId(target),
        count,
        bytes: count * 1000,
        oldest_ms: (count > 0).then_some(1_767_268_800_000),
        delivering: false,
        delivered: 5,
        left_s: None,
        failure: None,
    }
}

fn told(node: u64, reports: Option<Vec<HintReport>>) -> Told<Vec<HintReport>> {
    Told { member: member(node), answer: reports.ok_or(ClientError::NoLayout) }
}

fn mixed() -> Reports {
    let under_way = HintReport { delivering: true, left_s: Some(75), ..report(3, 4200) };
    let stuck = HintReport { failure: Some("its disk refused".into()), ..report(4, 1) };
    vec![told(1, Some(vec![under_way, stuck])), told(2, Some(vec![report(3, 0)])), told(3, None)]
}

#[test]
fn holders_targets_and_sums_are_shown_to_people() {
    let members = [1, 2, 3, 4].map(member);
    insta::assert_snapshot!(to_text(&mixed(), &members, 1_767_268_860_000), @r"
    holder  target  keys    bytes     oldest  state             left  delivered  last failure
    n1      n3      4200  4.0 MiB  1 min 0 s  delivering  1 min 15 s          5
    n1      n4         1   1000 B  1 min 0 s  waiting              -          5  its disk refused
    n2      n3         0      0 B          -  delivered            -          5
    n3      -          -        -          -  no answer            -          -
    4201 keys of 4.0 MiB in hints; no answer from 1 member
    ");
    assert_eq!(to_text(&vec![told(1, Some(Vec::new()))], &members, 0), "no hints wait\n");
}

#[test]
fn programs_see_numbers_and_who_did_not_answer() {
    let json = to_json(&mixed(), &[1, 2, 3, 4].map(member));
    assert_eq!((&json["keys"], &json["bytes"]), (&4201.into(), &4_201_000.into()));
    assert_eq!(json["drained"], false);
    let first = &json["holders"][0]["hints"][0];
    assert_eq!(first["target"]["name"], "n3");
    assert_eq!((&first["state"], &first["left_s"]), (&"delivering".into(), &75.into()));
    assert_eq!(first["oldest"], "2026-01-01T12:00:00.000Z");
    assert!(json["holders"][2]["hints"].is_null() && json["holders"][2]["error"].is_string());
}

#[test]
fn hints_are_drained_when_all_members_say_so() {
    let cases = [
        (vec![told(1, Some(Vec::new())), told(2, Some(vec![report(1, 0)]))], true),
        (vec![told(1, Some(Vec::new())), told(2, Some(vec![report(1, 1)]))], false),
        (vec![told(1, Some(Vec::new())), told(2, None)], false),
    ];
    for (told, expected) in cases {
        assert_eq!(is_drained(&told), expected);
    }
}
