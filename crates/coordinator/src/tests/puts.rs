//! Puts: each row a plan, what happens, and what the machine does about it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_protocol::Durability;

use super::{ME, node, targets};
use crate::{Cause, Needs, Put, PutOutput, WritePlan};

const DEADLINE_US: u64 = 5_000_000;

fn plan(names: &str, (w, pw, dw): (u8, u8, u8), durability: Durability) -> WritePlan {
    let needs = Needs { answers: w, primaries: pw, synced: dw };
    WritePlan {
        me: ME,
        primaries: targets(names),
        fallbacks: Vec::new(),
        needs,
        durability,
        hedge_after_us: 10_000,
        send_until_us: DEADLINE_US,
        deadline_us: DEADLINE_US,
    }
}

/// What the machine has to say, one word each: `a:synced` to write, `ok:2/1` or `short`.
fn said(put: &mut Put) -> String {
    let mut words = String::new();
    while let Some(output) = put.poll_output() {
        let word = match output {
            PutOutput::Write { node, durability } => {
                let name = char::from(b'a' + node.0 as u8 - 1);
                format!("{name}:{}", durability.name())
            }
            PutOutput::Answer(Ok(ok)) => format!("ok:{}/{}", ok.acknowledged, ok.synced),
            PutOutput::Answer(Err(short)) if short.timed_out => "timeout".into(),
            PutOutput::Answer(Err(_)) => "short".into(),
            PutOutput::Hint { .. } | PutOutput::Hedged => unreachable!("there are no fallbacks"),
        };
        words = if words.is_empty() { word } else { words + " " + &word };
    }
    words
}

/// Events: `+a` acknowledges, `-a` fails, `@300` advances to that millisecond.
fn play(put: &mut Put, events: &str, level: impl Fn(char) -> Durability) {
    let mut now_us = 0;
    for event in events.split_whitespace() {
        let (kind, rest) = event.split_at(1);
        let name = rest.chars().next().unwrap();
        match kind {
            "+" => put.handle_acknowledgement(now_us, node(name), level(name)),
            "-" => put.handle_failure(now_us, node(name), Cause::Refused),
            _ => {
                now_us = rest.parse::<u64>().unwrap() * 1_000;
                put.handle_timeout(now_us);
            }
        }
    }
}

#[test]
fn a_put_answers_when_enough_have_acknowledged_and_not_before() {
    // replicas | (w, pw, dw) | events | what is said after the writes
    let table = [
        ("abc", (2, 0, 0), "+a", ""),
        ("abc", (2, 0, 0), "+a +b", "ok:2/2"),
        ("abc", (2, 0, 0), "+a +b +c", "ok:2/2"),
        ("abc", (2, 0, 0), "+a +a +a", ""),
        ("abc", (3, 0, 0), "+a +b", ""),
        ("abc", (3, 0, 0), "+a +b +c", "ok:3/3"),
        ("abc", (1, 0, 0), "+c", "ok:1/1"),
        ("abc", (2, 2, 0), "+b +c", "ok:2/2"),
        ("a", (2, 0, 0), "", "short"),
        ("abc", (2, 0, 0), "+a -b", ""),
        ("abc", (2, 0, 0), "+a -b +c", "ok:2/2"),
        ("abc", (2, 0, 0), "-b -b -b -b +a -c -c -c -c", "short"),
        ("abc", (2, 0, 0), "+a @5000", "timeout"),
        ("abc", (2, 0, 0), "-b @100 +a", "b:synced"),
        ("abc", (2, 0, 0), "-b @100 +a +b", "b:synced ok:2/2"),
    ];
    for (names, needs, events, expected) in table {
        let mut put = Put::new(0, &plan(names, needs, Durability::Synced));
        let mut writes = said(&mut put);
        let first: String = names.chars().map(|name| format!("{name}:synced ")).collect::<String>();
        writes += " ";
        let rest = writes.strip_prefix(&first).expect("every replica is written to at once");
        play(&mut put, events, |_| Durability::Synced);
        let heard = format!("{rest}{}", said(&mut put));
        assert_eq!(heard.trim(), expected, "{names} {needs:?} {events}");
    }
}

#[test]
fn durability_is_asked_as_the_bucket_and_dw_say() {
    // bucket | dw | levels asked of a, b, c
    let table = [
        (Durability::Synced, 0, "a:synced b:synced c:synced"),
        (Durability::Written, 0, "a:written b:written c:written"),
        (Durability::Written, 2, "a:synced b:synced c:written"),
        (Durability::Buffered, 0, "a:buffered b:buffered c:synced"),
        (Durability::Buffered, 1, "a:synced b:buffered c:synced"),
    ];
    for (durability, dw, expected) in table {
        let mut put = Put::new(0, &plan("abc", (2, 0, dw), durability));
        assert_eq!(said(&mut put), expected, "{durability:?} dw={dw}");
    }
}

#[test]
fn dw_waits_for_the_sync_and_finds_another_replica_when_the_syncing_one_fails() {
    let level = |name| if name == 'a' { Durability::Synced } else { Durability::Written };
    let mut put = Put::new(0, &plan("abc", (2, 0, 1), Durability::Written));
    said(&mut put);
    play(&mut put, "+b +c", level);
    assert_eq!(said(&mut put), "", "two written copies are no synced one");
    play(&mut put, "-a", level);
    assert_eq!(said(&mut put), "b:synced");
    play(&mut put, "+b", |_| Durability::Synced);
    assert_eq!(said(&mut put), "ok:2/1");
}

#[test]
fn a_put_that_has_answered_wants_nothing_more() {
    let mut put = Put::new(0, &plan("abc", (1, 0, 0), Durability::Synced));
    play(&mut put, "+a -b -c", |_| Durability::Synced);
    said(&mut put);
    assert!(put.is_done());
    assert_eq!(put.poll_timeout(), None);
}
