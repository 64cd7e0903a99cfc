//! The end of a move, and the obstacles to it.

use std::time::{Duration, Instant};

use jedlik_client::ClientError;
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{MemberState, TransferReport};

use super::{Meters, TransferProgress};
use crate::cluster::tests::{LAYOUT, cluster};
use crate::members::Told;
use crate::members::tests::member;

/// Returns a cluster whose members n1, n2 and so on own 256 partitions each, and are ready for the given numbers of
/// them.
pub(crate) fn moving(ready: &[u32]) -> TransferProgress {
    let members: Vec<_> = (1..).zip(ready).map(|(node, _)| (node, MemberState::Up)).collect();
    let report = |ready: u32| TransferReport {
        layout: LAYOUT,
        owned: 256,
        ready,
        flipped: ready,
        received_bytes: 1000,
        ..TransferReport::default()
    };
    let told = (1..)
        .zip(ready)
        .map(|(node, ready)| Told { member: member(node), answer: Ok(report(*ready)) });
    TransferProgress { status: cluster(&members), told: told.collect() }
}

fn report(moving: &mut TransferProgress, index: usize) -> &mut TransferReport {
    moving.told[index].answer.as_mut().unwrap()
}

/// Change to a settled cluster, and a few words of the only obstacle.
type Case = (fn(&mut TransferProgress), &'static [&'static str]);

fn check(cases: &[Case]) {
    for (fault, words) in cases {
        let mut seen = moving(&[256; 3]);
        assert!(seen.is_settled(), "{:?}", seen.obstacles());
        fault(&mut seen);
        let obstacles = seen.obstacles();
        let texts: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
        let text = texts.join("\n");
        assert!(!seen.is_settled(), "{words:?}");
        assert!(texts.len() == 1 || texts.len() == words.len(), "{text}");
        words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in {text}"));
    }
}

#[test]
fn who_does_not_answer_is_named_with_what_to_do() {
    check(&[
        (
            |seen| seen.told[1].answer = Err(ClientError::NoLayout),
            &["n2 does not answer", "cluster replace n2 NEW", "remove n2"],
        ),
        (
            |seen| {
                seen.told[1].answer = Err(ClientError::NoLayout);
                seen.status.members[1].state = MemberState::Away;
            },
            &["n2 was stopped", "start it again"],
        ),
        (
            |seen| {
                seen.told[1].answer = Err(ClientError::NoLayout);
                seen.status.members[1].state = MemberState::Leaving;
            },
            &["n2 is leaving and does not answer", "cluster remove n2"],
        ),
        (
            |seen| {
                seen.told[1].answer = Err(ClientError::NoLayout);
                seen.status.members[1].state = MemberState::Joining;
                seen.status.members[1].record.layout = LayoutId::default();
            },
            &["n2 has no partitions, and does not answer", "start it"],
        ),
    ]);
}

#[test]
fn what_is_not_done_yet_is_named_with_its_member() {
    check(&[
        (|seen| report(seen, 1).layout = LayoutId::default(), &["n2 still has layout 0", "is 1"]),
        (
            |seen| report(seen, 1).blockers.push("its disk is full".into()),
            &["n2: its disk is full"],
        ),
        (|seen| report(seen, 1).ready = 12, &["n2 is ready for 12 of 256 partitions"]),
        (|seen| report(seen, 1).flipped = 12, &["n2 is ready, and 12 of 256 partitions have"]),
        (|seen| report(seen, 1).leaving = 1, &["n2 still serves 1 partition under an older"]),
        (|seen| report(seen, 1).unowned = 2, &["n2 still holds 2 partitions", "not own"]),
        (|seen| seen.status.flipped = 255, &["1 of 256 partitions have not flipped"]),
        (
            |seen| seen.status.members[1].state = MemberState::Leaving,
            &["n2 is leaving and has not stopped"],
        ),
        (
            |seen| {
                seen.status.members[1].state = MemberState::Leaving;
                report(seen, 1).hints = 3;
            },
            &["n2 is leaving and holds 3 hints for others"],
        ),
        (
            |seen| seen.status.layout.version = 2,
            &["n1 still has layout 1", "n2 still has layout 1", "n3 still has layout 1"],
        ),
    ]);
}

#[test]
fn a_pause_is_an_obstacle_only_where_something_is_to_do() {
    let mut seen = moving(&[256, 256]);
    report(&mut seen, 1).paused = true;
    assert!(seen.is_settled());
    report(&mut seen, 0).ready = 0;
    let texts: Vec<String> = seen.obstacles().iter().map(ToString::to_string).collect();
    assert!(
        texts[0].contains("paused on n2; to do: jedlik-admin task resume transfers:n2"),
        "{texts:?}"
    );
    assert!(texts[1].contains("n1 is ready for 0 of 256"), "{texts:?}");
}

#[test]
fn a_silent_member_that_never_had_anything_is_not_waited_for() {
    let mut seen = moving(&[256, 256]);
    seen.told[1].answer = Err(ClientError::NoLayout);
    seen.status.members[1].state = MemberState::Joining;
    assert!(seen.is_settled());
}

#[test]
fn whatever_goes_on_changes_the_mark() {
    let changes: [fn(&mut TransferProgress); 8] = [
        |_| {},
        |seen| report(seen, 0).ready += 1,
        |seen| report(seen, 0).received_records += 1,
        |seen| report(seen, 1).dropped += 1,
        |seen| report(seen, 1).layout.version += 1,
        |seen| seen.status.flipped += 1,
        |seen| seen.status.members[1].state = MemberState::Left,
        |seen| seen.told[1].answer = Err(ClientError::NoLayout),
    ];
    let marks = changes.map(|change| {
        let mut seen = moving(&[1, 2]);
        change(&mut seen);
        seen.mark()
    });
    assert_eq!(marks[0], moving(&[1, 2]).mark());
    for (index, mark) in marks.iter().enumerate() {
        assert!(!marks[..index].contains(mark), "change {index} is not seen");
    }
}

#[test]
fn a_restarted_member_takes_nothing_from_the_total() {
    let start = Instant::now();
    let mut meters = Meters::default();
    let cases = [(0, 1000, 0), (1, 3000, 2000), (2, 500, 2500), (4, 4500, 6500)];
    for (seconds, counter, total) in cases {
        let mut seen = moving(&[256, 256]);
        report(&mut seen, 0).received_bytes = counter;
        meters.note(start + Duration::from_secs(seconds), &seen);
        assert_eq!(meters.total(), total, "after {seconds} s");
    }
    let (first, second) = (member(1).node, member(2).node);
    assert_eq!((meters.pace_of(first), meters.pace_of(second)), (1625, 0));
    assert_eq!(meters.pace(), 1625);
}

#[test]
fn a_pace_is_that_of_the_last_seconds() {
    let start = Instant::now();
    let mut meters = Meters::default();
    for second in 0..=60 {
        let mut seen = moving(&[256]);
        report(&mut seen, 0).received_bytes = 1000 * second.min(30);
        meters.note(start + Duration::from_secs(second), &seen);
    }
    assert_eq!((meters.total(), meters.pace()), (30_000, 0));
}

#[test]
fn a_member_without_a_vote_is_waited_for_though_nothing_moves() {
    let mut seen = moving(&[256; 3]);
    assert!(seen.is_settled() && seen.is_complete());
    let before = seen.mark();
    report(&mut seen, 1).load.refilling = 7;
    assert!(seen.is_settled() && !seen.is_complete());
    assert_ne!(seen.mark(), before, "it is seen to go on");
    let left: Vec<String> = seen.obstacles_and_votes().iter().map(ToString::to_string).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("n2 can't say yet what is absent in 7 partitions"), "{left:?}");
}
