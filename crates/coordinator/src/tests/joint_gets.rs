//! Gets over several owner sets as text, in the language of gets over the first N healthy nodes.
//!
//! The first line has a plan for each owner set, newest first, with `+` between; this node is a. `b` is
//! asked for all it has, `b~` unless it is what is known. An event names a request by the word that
//! asked for it: `+b 12` answers with those versions, `+b~ =` has the known ones, `?b 1` holds that and has no
//! vote, `-b` fails.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jedlik_protocol::peer::Doubt;

use super::sloppy::{actors, merge, plan};
use super::{encoded, name};
use crate::{
    JointGet, JointGetOutput, Needs, OWNER_SETS_MAX, ReadPlan, RepairCause, RequestId, Shortfall,
};

fn plans(line: &str) -> Vec<ReadPlan> {
    line.split('+').map(plan).collect()
}

struct Player {
    get: JointGet,
    now_us: u64,
    asked: BTreeMap<String, RequestId>,
}

impl Player {
    fn new(line: &str) -> Self {
        Self { get: JointGet::new(0, &plans(line)), now_us: 0, asked: BTreeMap::new() }
    }

    fn happen(&mut self, event: &str) {
        let (kind, rest) = event.split_at(1);
        let mut words = rest.split_whitespace();
        let word = words.next().expect("a time or a request");
        match (kind, words.next()) {
            ("@", None) => {
                self.now_us = word.parse::<u64>().unwrap() * 1_000;
                self.get.handle_timeout(self.now_us);
            }
            ("-", None) => self.get.handle_failure(self.now_us, self.asked[word]),
            ("?", Some(versions)) => {
                let (request, held) = (self.asked[word], merge(versions));
                self.get.handle_unknown(self.now_us, request, held, Doubt::Refilling);
            }
            ("+", Some("=")) => self.get.handle_same(self.now_us, self.asked[word]),
            ("+", Some(versions)) => {
                self.get.handle_record(self.now_us, self.asked[word], merge(versions));
            }
            _ => panic!("{event}"),
        }
    }

    fn said(&mut self) -> String {
        let outputs: Vec<JointGetOutput> = core::iter::from_fn(|| self.get.poll_output()).collect();
        let words: Vec<String> = outputs.into_iter().map(|output| self.word(output)).collect();
        words.join(" ")
    }

    fn word(&mut self, output: JointGetOutput) -> String {
        match output {
            JointGetOutput::ReadLocal { request } => self.ask("a".to_string(), request),
            JointGetOutput::Read { request, node, known } => {
                self.ask(format!("{}{}", name(node), known.map_or("", |_| "~")), request)
            }
            JointGetOutput::Answer(Ok(record)) => format!("ok {}", actors(record.as_ref())),
            JointGetOutput::Answer(Err(short)) => {
                if short.timed_out { "timeout" } else { "short" }.to_string()
            }
            JointGetOutput::Repair { node, stands_in_for, record, cause } => {
                let target = stands_in_for.map_or(String::new(), |t| format!("<{}", name(t)));
                let cause = match cause {
                    RepairCause::Missing => "missing",
                    RepairCause::Stale => "stale",
                };
                format!("{}{target}={cause}:{}", name(node), actors(Some(&record)))
            }
            JointGetOutput::Hedged => "hedged".to_string(),
        }
    }

    fn ask(&mut self, word: String, request: RequestId) -> String {
        self.asked.insert(word.clone(), request);
        word
    }
}

fn play(script: &str) -> JointGet {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut player = Player::new(lines.next().expect("the plans"));
    for line in lines {
        if line == "done" || line == "busy" {
            assert_eq!(player.get.is_done(), line == "done", "{line} in {script}");
            assert_eq!(player.get.poll_timeout().is_none(), line == "done", "{line} in {script}");
            continue;
        }
        let (event, expected) = line.split_once(':').expect("an event and what is said");
        if event != "start" {
            player.happen(event);
        }
        assert_eq!(player.said(), expected.trim(), "{line} in {script}");
    }
    player.get
}

fn play_all(scripts: &[&str]) {
    for script in scripts {
        play(script);
    }
}

#[test]
fn a_get_answers_with_what_any_owner_set_knows() {
    play_all(&[
        // What b says is an answer in both sets, though only one of them knows a's record.
        "bcd|a r=2 + abc|d r=2
         start: b c a
         +a 1:
         +b 0:
         busy
         +c 0: ok 1 d b=missing:1 c=missing:1
         +d 0:
         done",
        "def|a r=2 + abc|d r=2
         start: d e a
         +d 1:
         +e 1: f~
         +a 2: b~
         +b~ =: ok 12 c~
         +f~ =:
         +c~ =:
         done",
        "cde| r=2 + bcd| r=2 + abc| r=2
         start: c d b a
         +c 0:
         +d 0: e
         +b 3: c=missing:3 d=missing:3
         +a 1: ok 13 a=stale:13 c=missing:13 b=stale:13
         +e 0:
         done",
        "bcd| r=2 + abc| r=2
         start: b c a
         +b 0:
         +c 0: d
         +a 0: ok 0
         +d 0:
         done",
    ]);
}

#[test]
fn only_the_owner_set_that_differs_has_its_others_asked() {
    play_all(&[
        "abc| r=2 some + ade| r=2 some
         start: a
         +a 1: b~ d~
         +b~ =:
         +d~ 12: ok 12 e~
         +e~ 0: a=stale:12 e=missing:12
         done",
        "abc| r=2 some + ade| r=2 some
         start: a
         +a 1: b~ d~
         +b~ =:
         +d~ =: ok 1
         done",
    ]);
}

#[test]
fn a_get_fails_when_one_owner_set_can_not_be_reached() {
    play_all(&[
        "def| r=2 + abc| r=2
         start: d e a
         +a 1: b~
         +b~ =: c~
         +c~ =:
         -d: f
         -f: short
         done",
        "def| r=2 + abc| r=2
         start: d e a
         +d 1:
         +e 1: f~
         +a 1: b~
         @10: c~ hedged
         @5000: timeout
         done",
        "abc| r=2 + d| r=2
         start: a short
         +a 1: b~
         +b~ =: c~
         +c~ =:
         done",
    ]);
}

#[test]
fn a_new_primary_answers_in_place_of_an_old_one_that_is_away() {
    play_all(&[
        "abd|C r=2 + abC|d r=2
         start: a
         +a 1: b~
         +b~ =: d~ ok 1
         +d~ 0: d=missing:1 d<c=missing:1
         done",
        // This node owns the key in the old set, and stands in for another in the new one.
        "bCd|a r=3 + abC|d r=3
         start: b d a
         +b 1:
         +d 1:
         +a 2: b=stale:12 d=stale:12 a<c=stale:12 ok 12 a=stale:12 d<c=stale:12
         done",
    ]);
}

#[test]
fn what_several_sets_ask_of_a_node_is_asked_once() {
    play_all(&[
        // b is repaired once, with what both sets have found.
        "abc|e r=2 + abd|e r=2
         start: a
         +a 1: b~
         +b~ 0: c~ ok 1 d~
         +c~ =: b=missing:1
         +d~ =:
         done",
        // A failure is one for all, and so is the stand-in.
        "abc|e r=3 + abd|e r=3
         start: a
         +a 1: b~ c~ d~
         -b~: e~
         +c~ =:
         +d~ =:
         +e~ =: ok 1
         done",
        // Who answered one set before another asked is not asked again.
        "bc| r=2 + dcb| r=2 + dc| r=1
         start: c b d
         +b 1:
         -d:
         +c 1: ok 1 d~",
        // That b's record is the one known to one set tells the other nothing.
        "ec|b r=2 + ab| r=2
         start: e c a
         +a 1: b~
         -c: b
         +b~ =:
         +e 0:
         +b 1: ok 1 e=missing:1
         done",
        "ab| r=1 + ac| r=1
         start: a
         @10: b hedged c
         @20:
         +b 0:
         +c 2: ok 2
         +a 2: b=missing:2
         done",
    ]);
}

#[test]
fn those_that_most_sets_share_are_asked_first() {
    play_all(&[
        "efc| r=2 + bcd| r=2
         start: c e b
         +c 1:
         +e 1: f~
         +b 1: ok 1 d~",
        // Who is believed away keeps its place, and with it its stand-in.
        "DbC|ef r=3 + Cd| r=1
         start: b e f d
         +d 0:
         +b 1:
         +e 0:
         +f 0: ok 1 e<d=missing:1 f<c=missing:1",
        // This node before all: then the others need not send what it has.
        "bca| r=2 + dbc| r=1
         start: a b
         +a 1:
         +b 1: c~ ok 1 d~",
    ]);
}

#[test]
fn who_is_being_sent_the_range_is_neither_repaired_nor_asked_for_that() {
    play_all(&[
        "bde| r=2 filling=de + bc| r=2
         start: b d c
         +b 1:
         +d 0:
         +c 0: ok 1 c=missing:1
         done",
        // Its answer is as good as any.
        "bd| r=2 filling=d + bc| r=2
         start: b d c
         +d 2:
         +b 1: b=stale:12
         +c 12: ok 12
         done",
        // The others that are slow can make up for it, and it for them.
        "bde| r=2 filling=de + b| r=1
         start: b d
         +b 1:
         @10: e~ hedged
         +e~ 0: ok 1
         +d 0:
         done",
    ]);
}

#[test]
fn a_fallback_that_holds_nothing_counts_once_any_owner_set_has_found_something() {
    play_all(&[
        "aBC|de r=2 + fg| r=1
         start: a f
         +a 0: d
         +d 0: e
         +e 0:
         busy
         +f 1: g~ ok 1",
        // Where nothing is found anywhere, each set's own primaries have to say so.
        "aBC|de r=2 + fg| r=1
         start: a f
         +a 0: d
         +f 0: g
         +d 0: e
         +g 0:
         +e 0: b c
         -b:
         +c 0: ok 0",
        "aBC|de r=2 + fg| r=1
         start: a f
         +a 0: d
         +f 0: g
         +d 0: e
         +g 0:
         +e 0: b c
         -b:
         -c: short",
    ]);
}

#[test]
fn who_has_no_vote_has_none_in_any_owner_set() {
    play_all(&[
        "abc| r=1 + ade| r=1
         start: a
         ?a 0: b d
         +b 0: c
         +d 0: ok 0 e",
        "abc| r=1 + ade| r=1
         start: a
         ?a 1: b~ d~
         +b~ 0: c~
         +d~ 2: ok 12 e~",
    ]);
}

#[test]
fn a_get_tells_how_many_have_answered_in_the_newest_set() {
    let get = play(
        "bCd|a r=3 + abC|d r=2
         start: b d a
         +a 1:
         +b 1:
         +d 1: ok 1",
    );
    assert_eq!((get.answered(), get.primaries()), (3, 2));
}

#[test]
fn an_answer_to_a_request_that_is_over_is_left_aside() {
    let mut get = JointGet::new(0, &plans("bcd| r=2 + abc| r=2"));
    let asked: Vec<JointGetOutput> = core::iter::from_fn(|| get.poll_output()).collect();
    assert_eq!(asked.len(), 3);
    get.handle_record(0, RequestId(0), None);
    get.handle_record(0, RequestId(0), Some(encoded(1, "late")));
    get.handle_failure(0, RequestId(0));
    get.handle_same(0, RequestId(99));
    assert_eq!((get.poll_output(), get.answered()), (None, 1));
}

#[test]
fn a_get_over_no_set_or_over_too_many_is_refused_unsent() {
    let too_many = alloc::vec![plan("abc| r=2"); OWNER_SETS_MAX + 1];
    let needs = Needs { answers: 2, ..Needs::default() };
    for (plans, needs) in [(&too_many[..], needs), (&[], Needs::default())] {
        let mut get = JointGet::new(0, plans);
        let short = Shortfall { needs, ..Shortfall::default() };
        assert_eq!(get.poll_output(), Some(JointGetOutput::Answer(Err(short))));
        assert!(get.is_done() && get.poll_timeout().is_none());
    }
}
