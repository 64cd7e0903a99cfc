//! Tasks by their names, and as they are listed.

use jedlik_protocol::admin::{
    AdminRequest, BackgroundChange, BackgroundReport, RepairReport, WorkKind,
};

use super::observed::{Observed, ObservedMember};
use super::{TaskId, change, paused_json, paused_text, to_text};
use crate::hints::tests::report;
use crate::members::Told;
use crate::members::tests::member;
use crate::transfer_progress::tests::moving;

fn task(kind: WorkKind, node: Option<&str>) -> TaskId {
    TaskId { kind, node: node.map(str::to_owned) }
}

#[test]
fn a_task_is_a_kind_of_work_and_maybe_a_member() {
    let cases = [
        ("transfers", task(WorkKind::Transfer, None)),
        ("hints:n1", task(WorkKind::Handoff, Some("n1"))),
        ("repair:n1", task(WorkKind::Repair, Some("n1"))),
        ("collection", task(WorkKind::Collection, None)),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<TaskId>().unwrap(), expected);
        assert_eq!(expected.to_string(), text);
    }
    for text in ["", "tea", "hints:", ":n1", "Transfers"] {
        assert!(
            text.parse::<TaskId>().unwrap_err().contains("transfers, hints, repair, collection")
        );
    }
}

#[test]
fn pausing_names_the_kind_of_work_or_all() {
    let cases =
        [(Some(task(WorkKind::Handoff, Some("n1"))), Some(WorkKind::Handoff)), (None, None)];
    for (task, work) in cases {
        let expected = BackgroundChange { work, paused: Some(true), ..BackgroundChange::default() };
        assert_eq!(change(task.as_ref(), true), AdminRequest::SetBackground(expected));
    }
}

/// Returns a cluster in which n1 delivers hints, and n2 repairs and moves nothing.
fn observed() -> Observed {
    let member = |name: &str| ObservedMember { name: name.into(), ..ObservedMember::default() };
    let first = ObservedMember { hints: vec![report(3, 40)], ..member("n1") };
    let second = ObservedMember {
        repair: RepairReport { partitions: 256, done: 12, ..RepairReport::default() },
        background: BackgroundReport {
            paused_kinds: vec![WorkKind::Transfer],
            steps: vec![("collection".into(), 7)],
            ..BackgroundReport::default()
        },
        ..member("n2")
    };
    Observed { moving: moving(&[256, 85]), members: vec![first, second] }
}

#[test]
fn what_is_to_do_is_listed_with_how_far_it_is() {
    insta::assert_snapshot!(to_text(&observed().tasks()), @r"
    task        state                  progress
    transfers   running, paused on n2  341/512 partitions ready, 256/256 flipped, 2.0 KiB received
    hints:n1    running                40 keys of 39.1 KiB to deliver, 5 delivered
    repair:n2   running                12/256 partitions compared, 0 failed
    collection  running                7 steps so far
    ");
    let json: Vec<_> = observed().tasks().iter().map(super::Task::to_json).collect();
    assert_eq!((&json[0]["task"], &json[0]["paused_on"][0]), (&"transfers".into(), &"n2".into()));
    assert_eq!((&json[0]["done"], &json[0]["of"]), (&341.into(), &512.into()));
}

#[test]
fn work_that_is_done_is_listed_only_while_it_is_paused() {
    let mut idle = observed();
    idle.moving = moving(&[256, 256]);
    for member in &mut idle.members {
        *member = ObservedMember { name: member.name.clone(), ..ObservedMember::default() };
    }
    let ids = |seen: &Observed| -> Vec<String> {
        seen.tasks().iter().map(|task| task.id.to_string()).collect()
    };
    assert_eq!(ids(&idle), ["collection"]);
    idle.members.iter_mut().for_each(|member| member.background.paused = true);
    let all = ["transfers", "hints:n1", "repair:n1", "hints:n2", "repair:n2", "collection"];
    assert_eq!(ids(&idle), all);
    assert!(idle.tasks().iter().all(|task| task.state() == "paused"));
}

#[test]
fn a_kind_that_stays_paused_with_everything_is_told() {
    let told: Vec<Told<BackgroundReport>> = [false, true]
        .into_iter()
        .zip(1..)
        .map(|(paused, node)| {
            let report = BackgroundReport { paused, ..BackgroundReport::default() };
            Told { member: member(node), answer: Ok(report) }
        })
        .collect();
    let task = task(WorkKind::Transfer, None);
    let text = paused_text(Some(&task), false, &told);
    assert!(text.contains("transfers is running on n1"), "{text}");
    assert!(text.contains("still paused on n2, with all other work"), "{text}");
    assert_eq!(paused_text(None, true, &told[1..]), "all background work is paused on n2\n");
    assert_eq!(paused_json(Some(&task), &told)["nodes"][1]["paused"], true);
}
