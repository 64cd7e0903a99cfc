//! Gets over the first N healthy nodes, as text: each script a plan, what happens, and what is said.
//!
//! The first line is the plan, as for puts; this node is a. Each further line is an event and the
//! outputs after it: `+b 12` answers with the versions of the actors 1 and 2, `+b 0` has nothing, `?b 1`
//! holds that and has no vote, `!b 0` has a damaged record, `-b` fails, `@300` is that millisecond. Outputs: `b` is asked; `ok 12` answers with those versions;
//! `short`, `timeout`, `hedged`; `b=missing` and `d<c=stale` are repaired, the latter with a hint. A get compares all
//! unless its plan says `some`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{EncodedRecord, Record};

use super::{ME, name, node, record, split, targets};
use crate::get::{Get, GetOutput};
use crate::{Needs, ReadPlan, RepairCause, Shortfall};

pub(super) fn plan(line: &str) -> ReadPlan {
    let mut words = line.split_whitespace();
    let (primaries, fallbacks) = split(words.next().expect("the nodes"));
    let mut plan = ReadPlan {
        me: ME,
        primaries: targets(primaries),
        fallbacks: targets(fallbacks),
        needs: Needs::default(),
        filling: Vec::new(),
        compares_all: true,
        hedge_after_us: 10_000,
        silent_after_us: 20_000,
        repair_until_us: 800_000,
        deadline_us: 5_000_000,
    };
    for word in words {
        match word.split_once('=') {
            Some(("r", count)) => plan.needs.answers = count.parse().unwrap(),
            Some(("pr", count)) => plan.needs.primaries = count.parse().unwrap(),
            Some(("filling", nodes)) => plan.filling = nodes.chars().map(node).collect(),
            None if word == "some" => plan.compares_all = false,
            _ => panic!("{word}"),
        }
    }
    plan
}

pub(super) fn merge(actors: &str) -> Option<EncodedRecord> {
    let mut merged = Record::new();
    for actor in actors.bytes().filter(|actor| *actor != b'0') {
        let actor = u64::from(actor - b'0');
        merged.merge(&record(actor, "x"));
    }
    (actors != "0").then(|| EncodedRecord::encode(&merged))
}

pub(super) fn actors(record: Option<&EncodedRecord>) -> String {
    let Some(record) = record else { return "0".to_string() };
    let record = record.decode().expect("a record");
    let mut actors: Vec<u64> =
        record.siblings().iter().map(|sibling| sibling.written_at_ms).collect();
    actors.sort_unstable();
    actors.into_iter().map(|actor| actor.to_string()).collect()
}

fn word(output: GetOutput) -> String {
    match output {
        GetOutput::ReadLocal => name(ME).to_string(),
        GetOutput::Read { node, .. } => name(node).to_string(),
        GetOutput::Answer(Ok(record)) => format!("ok {}", actors(record.as_ref())),
        GetOutput::Answer(Err(Shortfall { timed_out: true, .. })) => "timeout".to_string(),
        GetOutput::Answer(Err(_)) => "short".to_string(),
        GetOutput::Repair { node, stands_in_for, cause, .. } => {
            let target = stands_in_for.map_or(String::new(), |target| format!("<{}", name(target)));
            let cause = match cause {
                RepairCause::Missing => "missing",
                RepairCause::Stale => "stale",
            };
            format!("{}{target}={cause}", name(node))
        }
        GetOutput::Hedged => "hedged".to_string(),
    }
}

fn happen(get: &mut Get, now_us: &mut u64, event: &str) {
    let (kind, rest) = event.split_at(1);
    let who = rest.chars().next().filter(char::is_ascii_lowercase).map_or(ME, node);
    match kind {
        "+" => {
            let (_, versions) = rest.split_once(' ').expect("what it has");
            get.handle_record(*now_us, who, merge(versions));
        }
        "?" | "!" => {
            let (_, versions) = rest.split_once(' ').expect("what it has");
            let why = if kind == "?" { Doubt::Refilling } else { Doubt::Damaged };
            get.handle_unknown(*now_us, who, merge(versions), why);
        }
        "-" => get.handle_failure(*now_us, who),
        "@" => {
            *now_us = rest.parse::<u64>().unwrap() * 1_000;
            get.handle_timeout(*now_us);
        }
        _ => panic!("{event}"),
    }
}

fn play(script: &str) -> Get {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut get = Get::new(0, plan(lines.next().expect("a plan")));
    let mut now_us = 0;
    for line in lines {
        if line == "done" {
            assert!(get.is_done() && get.poll_timeout().is_none(), "{script}");
            continue;
        }
        let (event, expected) = line.split_once(':').expect("an event and what is said");
        if event != "start" {
            happen(&mut get, &mut now_us, event);
        }
        let said: Vec<String> = core::iter::from_fn(|| get.poll_output()).map(word).collect();
        assert_eq!(said.join(" "), expected.trim(), "{line} in {script}");
    }
    get
}

fn play_all(scripts: &[&str]) {
    for script in scripts {
        play(script);
    }
}

#[test]
fn the_first_n_healthy_nodes_are_asked() {
    play_all(&[
        // Living primaries first; the fallback comes in when R needs it, or after the answer.
        "abC|de r=2
         start: a
         +a 1: b
         +b 1: ok 1 d
         +d 1:
         done",
        "aBC|de r=3
         start: a
         +a 0: d e
         +d 0:
         +e 1: ok 1 a=missing
         done",
        // A fallback reads its own hints.
        "BCD|aef r=2
         start: a
         +a 1: e
         +e 0: ok 1 f
         +f 1:
         done",
        "bcD|ae r=2
         start: b c
         +b 1:
         +c 1: ok 1 a
         +a 1:
         done",
    ]);
}

#[test]
fn who_fails_is_replaced_by_the_next_and_who_is_silent_as_well() {
    play_all(&[
        "abc|de r=2
         start: a
         +a 1: b
         -b: c
         -c: d
         -d: e
         +e 12: ok 12 a=stale
         done",
        // The hedge asks one more of the healthy ones, or R others where its own record is late; a fallback is asked for
        // each that is silent for longer.
        "abc|de r=3
         start: a
         +a 1: b c
         @10:
         @20: d e hedged
         -d:
         +e 1:
         +b 1: ok 1
         +c 1:
         done",
        "abc|de r=2
         start: a
         @10: b c hedged
         @20: d e hedged
         +b 1:
         +d 0: ok 1
         -a:
         +e 0:
         +c 1: d<a=missing
         done",
        "abc|DE r=2
         start: a
         +a 1: b
         @10: c hedged
         @20:
         +c 1: ok 1
         +b 1:
         done",
    ]);
}

#[test]
fn a_primary_believed_away_is_asked_when_the_needs_can_not_be_met_otherwise() {
    play_all(&[
        "aBC|d r=3
         start: a d b c
         +a 1:
         +d 1:
         +c 1: ok 1
         -b:
         done",
        "abC|d r=2 pr=2
         start: a
         +a 1: b
         -b: d c
         +d 1:
         +c 1: ok 1
         done",
        "aBC|d r=2 pr=2
         start: a d b c
         +a 0:
         +d 0:
         -b:
         -c: short
         done",
        // It would not help here.
        "aB|c r=4
         start: short
         done",
    ]);
}

#[test]
fn replicas_that_were_behind_are_repaired_and_fallbacks_only_with_a_primarys_record() {
    play_all(&[
        "abC|d r=2
         start: a
         +a 1: b
         +b 12: ok 12 d
         +d 1: a=stale d<c=stale
         done",
        // What the fallback knew brings the primaries up to date.
        "abC|d r=3
         start: a
         +a 1: b d
         +d 2:
         +b 0: ok 12 a=stale b=missing d<c=stale
         done",
        // The hint might be older than a tombstone that was collected.
        "aBC|de r=3
         start: a
         +a 0: d e
         +d 1:
         +e 0: ok 1 a=missing
         done",
        // The primary was silent, not away: it has what the fallback lacks, or will be repaired itself.
        "abc|d r=2
         start: a
         +a 1: b
         @10: c hedged
         @20: d hedged
         +c 1: ok 1
         +d 0:
         @520:
         done",
        "abC|d r=3 pr=3
         start: a b d c
         +a 1:
         +b 1:
         +c 0: ok 1
         +d 0: c=missing
         done",
    ]);
}

#[test]
fn those_that_agree_have_nobody_else_asked() {
    play_all(&[
        "abc|de r=2 some
         start: a
         +a 1: b
         +b 1: ok 1
         done",
        "abC|de r=2 some
         start: a
         +a 0: b
         +b 0: ok 0
         done",
        // What differs is compared with what the others hold, fallbacks of those that are away among them.
        "abC|de r=2 some
         start: a
         +a 1: b
         +b 12: ok 12 d
         +d 123: a=stale b=stale
         done",
        // A fallback that lacks the hint is a difference too: the other one is asked.
        "aBC|de r=2 some
         start: a
         +a 1: d
         +d 0: ok 1 e
         +e 1: d<b=missing
         done",
        // Who was asked because another is late is compared as well.
        "abC|de r=2 some
         start: a
         +a 1: b
         @10: d hedged
         +d 0: ok 1
         +b 1: d<c=missing
         done",
        // A node without a vote has lost something.
        "abc|d r=1 some
         start: a
         ?a 1: b
         +b 1: ok 1 c
         +c 1:
         done",
        // Who is being sent everything is no reason to ask.
        "abc|d r=2 filling=b some
         start: a
         +a 1: b
         +b 0: ok 1
         done",
    ]);
}

#[test]
fn nothing_is_repaired_when_the_time_of_the_version_is_over() {
    play_all(&[
        "abc| r=2
         start: a
         +a 0: b
         @10: c hedged
         @800:
         +b 1: ok 1
         done",
        "abc| r=2
         start: a
         +a 0: b
         @10: c hedged
         @790:
         +b 1: ok 1
         @800:
         done",
    ]);
}

#[test]
fn an_answer_tells_how_many_answered_and_how_many_of_them_are_primaries() {
    let get = play(
        "aBc|de r=3
         start: a
         +a 1: c d
         -c: e
         +d 0:
         +e 1: ok 1 d<b=missing",
    );
    assert_eq!((get.answered(), get.primaries()), (3, 1));
}

#[test]
fn a_fallback_that_holds_nothing_makes_no_absence() {
    play_all(&[
        // Two of three owners are away, and the others were never told of anything.
        "aBC|de r=2
         start: a
         +a 0: d
         +d 0: e
         +e 0: b c
         -b:
         +c 0: ok 0
         done",
        "aBC|de r=2
         start: a
         +a 0: d
         +d 0: e
         +e 0: b c
         -c:
         -b: short
         done",
        // It counts as soon as somebody has found something.
        "aBC|de r=2
         start: a
         +a 0: d
         +d 0: e
         +e 1: ok 1 a=missing
         done",
        "ABC|de r=1
         start: d
         +d 0: e
         +e 0: a b c
         -a:
         -b:
         -c: short
         done",
    ]);
}

#[test]
fn a_replica_that_can_not_say_is_replaced_by_the_other_primaries_first() {
    play_all(&[
        // Its record is damaged: the others are asked, and it is repaired.
        "abc|d r=1
         start: a
         !a 0: b
         +b 1: ok 1 c
         +c 1: a=missing
         done",
        // It has lost its past, and holds nothing.
        "abc|d r=1
         start: a
         ?a 0: b
         +b 1: ok 1 c
         +c 1: a=missing
         done",
        // What it does hold is merged, without being an answer: b may hold what it has lost.
        "abc|d r=1
         start: a
         ?a 1: b
         +b 2: ok 12 c
         +c 2: a=stale b=stale c=stale
         done",
        "abc|d r=2
         start: a
         ?a 1: b c
         +b 1:
         +c 2: ok 12 a=stale b=stale c=stale
         done",
        // A hint beside a damaged record is no reason not to repair that.
        "abc|d r=1
         start: a
         !a 1: b
         +b 1: ok 1 c
         +c 1: a=missing
         done",
        // Nothing of one who can't say and nothing of one who can are no absence where two have to say so.
        "abc|d r=2
         start: a
         ?a 0: b c
         -b: d
         +d 0:
         +c 0: short
         done",
    ]);
}

#[test]
fn a_record_without_a_vote_counts_once_nobody_is_left_who_would_know() {
    play_all(&[
        // Not while c may answer, who may hold what was acknowledged: a's record may be of before.
        "abc| r=2
         start: a
         ?a 1: b c
         +b 1:
         -c: ok 1
         done",
        "abc| r=2
         start: a
         ?a 1: b c
         +b 1:
         +c 12: ok 12 a=stale b=stale
         done",
        // Nor before those believed away were asked.
        "aBC| r=1
         start: a
         ?a 1: b c
         -b:
         -c: ok 1
         done",
        // It is no primary's answer where those are asked for.
        "abc| r=2 pr=2
         start: a
         ?a 1: b c
         +b 1:
         -c: short
         done",
        // A damaged record is none, and nothing is no record.
        "abc| r=2
         start: a
         !a 1: b c
         +b 1:
         -c: short a=missing
         done",
        "abc| r=2
         start: a
         ?a 0: b c
         +b 1:
         -c: short a=missing
         done",
        "abc| r=1
         start: a
         ?a 0: b
         ?b 0: c
         ?c 0: short
         done",
        // What they lost may be with nobody else.
        "abc| r=1
         start: a
         ?a 0: b
         ?b 1: c
         ?c 0: ok 1 a=missing c=missing
         done",
    ]);
}

#[test]
fn a_get_that_fails_says_who_could_not_say_and_what_did_not_count() {
    let mut get = Get::new(0, plan("abC|d r=2"));
    let said =
        |get: &mut Get| -> Vec<GetOutput> { core::iter::from_fn(|| get.poll_output()).collect() };
    said(&mut get);
    get.handle_unknown(0, node('a'), None, Doubt::Refilling);
    get.handle_unknown(0, node('b'), None, Doubt::Damaged);
    get.handle_record(0, node('d'), None);
    get.handle_failure(0, node('c'));
    let Some(GetOutput::Answer(Err(short))) = said(&mut get).pop() else { panic!("it succeeds") };
    let in_doubt = [(node('a'), Doubt::Refilling), (node('b'), Doubt::Damaged)];
    assert_eq!((short.had.answers, short.nothing_at_fallbacks), (0, 1));
    assert_eq!(short.in_doubt, in_doubt);
}
