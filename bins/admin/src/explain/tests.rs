//! A key with a stale replica, a hint, a damaged record and a silent node, as it is shown.

use jedlik_client::NodeId;
use jedlik_client::admin::Partition;
use jedlik_client::admin::WriteId;
use jedlik_protocol::admin::{Explanation, Holder};
use jedlik_protocol::inspection::{HintSummary, Inspection, RecordSummary, SiblingSummary};
use jedlik_protocol::{ClusterId, Digest, Key};
use serde_json::json;

use super::{CopyStatus, to_json, to_text};
use crate::members::tests::member;

fn explanation(n: u8, merged: Option<RecordSummary>, holders: Vec<Holder>) -> Explanation {
    let position = Key::new("carts", "alice").unwrap().position(ClusterId(7));
    Explanation { position, partition: Partition(17), n, merged, holders }
}

fn sibling(actor: u64, counter: u64, value_bytes: Option<u32>) -> SiblingSummary {
    SiblingSummary {
        actor,
        counter,
        write_id: WriteId(u128::from(counter)),
        value_bytes,
        written_at_ms: 1_767_268_800_000,
        expires_at_ms: value_bytes.is_none().then_some(1_767_268_860_000),
    }
}

fn old() -> RecordSummary {
    RecordSummary {
        digest: Digest(1),
        clock: vec![(0xa1 << 56, 1)],
        siblings: vec![sibling(0xa1 << 56, 1, Some(9))],
    }
}

fn new() -> RecordSummary {
    RecordSummary {
        digest: Digest(2),
        clock: vec![(0xa1 << 56, 1), (0xb2 << 56, 3)],
        siblings: vec![sibling(0xa1 << 56, 1, Some(9)), sibling(0xb2 << 56, 3, None)],
    }
}

fn holder(node: u64, rank: u16, alive: bool, holds: Option<Inspection>) -> Holder {
    Holder { node: NodeId(node), rank, alive, holds }
}

fn holding(record: Option<RecordSummary>) -> Inspection {
    Inspection { record, ..Inspection::default() }
}

fn hint(record: RecordSummary) -> HintSummary {
    HintSummary { target: NodeId(3), since_ms: 1_767_268_800_500, record }
}

fn uneven() -> Explanation {
    let hints = vec![hint(new()), hint(old())];
    let fallback = Some(Inspection { hints, ..Inspection::default() });
    let damaged = Some(Inspection { damaged: true, ..Inspection::default() });
    let holders = vec![
        holder(1, 0, true, Some(holding(Some(new())))),
        holder(2, 1, true, Some(holding(Some(old())))),
        holder(3, 2, false, None),
        holder(4, 3, true, fallback),
        holder(5, 4, true, damaged),
    ];
    explanation(3, Some(new()), holders)
}

#[test]
fn each_nodes_part_is_told_to_people() {
    let members = [1, 2, 3, 4, 5].map(member);
    insta::assert_snapshot!(to_text("carts/alice", &uneven(), &members), @r"
    carts/alice is at position 3294c319327c27c7f291aa7a32ceefbf in partition 17, n = 3
    merged: 0000000000000002, clock a1000000:1 b2000000:3
      value of 9 B, a1000000:1, written 2026-01-01T12:00:00.000Z
      tombstone, b2000000:3, written 2026-01-01T12:00:00.000Z, expires 2026-01-01T12:01:00.000Z
    n1  primary 1, up: up to date
    n2  primary 2, up: behind
      record 0000000000000001, clock a1000000:1
        value of 9 B, a1000000:1, written 2026-01-01T12:00:00.000Z
    n3  primary 3, away: no answer
    n4  fallback 1, up: not an owner
      hint for n3 since 2026-01-01T12:00:00.500Z: all of it
      hint for n3 since 2026-01-01T12:00:00.500Z: 0000000000000001, clock a1000000:1
        value of 9 B, a1000000:1, written 2026-01-01T12:00:00.000Z
    n5  fallback 2, up: damaged
    behind: n2; damaged: n5; no answer from: n3
    ");
}

#[test]
fn programs_see_whole_actors_and_every_record() {
    let json = to_json(&uneven(), &[1, 2, 3].map(member));
    assert_eq!(json["partition"], 17);
    assert_eq!(json["merged"]["digest"], "0000000000000002");
    assert_eq!(json["holders"][1]["status"], "behind");
    assert_eq!(json["holders"][1]["record"]["clock"][0]["actor"], "a100000000000000");
    assert_eq!(json["holders"][2]["hints"], json!(null), "nothing is known of who did not answer");
    assert_eq!(json["holders"][3]["hints"][0]["target"]["name"], "n3");
    assert_eq!(json["holders"][0]["record"]["siblings"][1]["deleted"], true);
    assert_eq!(
        json["holders"][0]["record"]["siblings"][1]["expires_at"],
        "2026-01-01T12:01:00.000Z"
    );
}

#[test]
fn a_key_that_nobody_has_is_no_fault() {
    let holders =
        vec![holder(1, 0, true, Some(holding(None))), holder(2, 1, true, Some(holding(None)))];
    let text = to_text("carts/bob", &explanation(1, None, holders), &[1, 2].map(member));
    assert!(
        text.contains("nobody holds anything") && text.contains("every primary agrees"),
        "{text}"
    );
}

#[test]
fn statuses_compare_with_the_merge_and_expect_records_of_primaries_only() {
    let hinting = Some(Inspection { hints: vec![hint(old())], ..Inspection::default() });
    let damaged = Some(Inspection { damaged: true, ..Inspection::default() });
    let cases = [
        (0, Some(holding(Some(new()))), CopyStatus::UpToDate),
        (0, Some(holding(Some(old()))), CopyStatus::Behind),
        (0, Some(holding(None)), CopyStatus::Behind),
        (0, damaged, CopyStatus::Damaged),
        (0, None, CopyStatus::Silent),
        (0, hinting.clone(), CopyStatus::Behind),
        (3, hinting, CopyStatus::Beside),
        (3, Some(holding(Some(old()))), CopyStatus::Beside),
        (3, Some(holding(Some(new()))), CopyStatus::UpToDate),
        (3, Some(holding(None)), CopyStatus::Nothing),
    ];
    for (rank, holds, expected) in cases {
        let one = holder(1, rank, true, holds);
        let explained = explanation(3, Some(new()), vec![one.clone()]);
        assert_eq!(CopyStatus::of(&one, &explained), expected, "{one:?}");
    }
}

#[test]
fn an_attempt_of_a_put_that_is_shown_already_says_so() {
    let again = SiblingSummary { actor: 0xc3 << 56, ..sibling(0xa1 << 56, 1, Some(9)) };
    let mut record = new();
    record.siblings.push(again);
    let text = to_text("alice in carts", &explanation(3, Some(record), vec![]), &[]);
    assert_eq!(text.matches("another attempt of a put above").count(), 1, "{text}");
}

#[test]
fn who_can_not_say_what_is_absent_is_named() {
    let refilling = Inspection { refilling: true, ..Inspection::default() };
    let explained = explanation(3, Some(new()), vec![holder(1, 0, true, Some(refilling))]);
    let text = to_text("carts/alice", &explained, &[member(1)]);
    assert!(text.contains("behind, refilling: can't say what is absent"), "{text}");
    assert_eq!(to_json(&explained, &[member(1)])["holders"][0]["refilling"], true);
}
