//! Puts over several owner sets as text, in the language of single puts.
//!
//! The first line has a plan for each owner set, newest first, with `+` between; this node is a. An
//! event names a request by the word that asked for it: `+b` acknowledges the write, `+d<c` the hint,
//! `+b:written` the write at that level.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;

use super::puts::plan;
use super::{name, node};
use crate::{
    Cause, CoordinatorCopy, JointPut, JointPutOutput, Needs, OWNER_SETS_MAX, RequestId, Shortfall,
    WritePlan,
};

fn plans(line: &str) -> Vec<WritePlan> {
    line.split('+').map(plan).collect()
}

struct Player {
    put: JointPut,
    now_us: u64,
    asked: BTreeMap<String, (RequestId, Durability)>,
    by: Vec<Acknowledgement>,
    short: Option<Shortfall>,
}

impl Player {
    fn new(line: &str) -> Self {
        let put = JointPut::new(0, &plans(line));
        Self { put, now_us: 0, asked: BTreeMap::new(), by: Vec::new(), short: None }
    }

    fn happen(&mut self, event: &str) {
        let (kind, rest) = event.split_at(1);
        if kind == "@" {
            self.now_us = rest.parse::<u64>().unwrap() * 1_000;
            return self.put.handle_timeout(self.now_us);
        }
        let (request, durability) = self.asked[rest];
        match kind {
            "+" => self.put.handle_acknowledgement(self.now_us, request, durability),
            "-" => self.put.handle_failure(self.now_us, request, Cause::Lost),
            "!" => self.put.handle_failure(self.now_us, request, Cause::Refused),
            _ => panic!("{event}"),
        }
    }

    fn said(&mut self) -> String {
        let outputs: Vec<JointPutOutput> = core::iter::from_fn(|| self.put.poll_output()).collect();
        let words: Vec<String> = outputs.into_iter().map(|output| self.word(output)).collect();
        words.join(" ")
    }

    fn word(&mut self, output: JointPutOutput) -> String {
        match output {
            JointPutOutput::Write { request, node, durability } => {
                self.ask(name(node).to_string(), request, durability)
            }
            JointPutOutput::Hint { request, node, targets, durability } => {
                let targets: String = targets.into_iter().map(name).collect();
                self.ask(format!("{}<{targets}", name(node)), request, durability)
            }
            JointPutOutput::Answer(Ok(ok)) => {
                self.by = ok.by;
                format!("ok:{}/{}", ok.acknowledged, ok.synced)
            }
            JointPutOutput::Answer(Err(short)) => {
                self.short = Some(short.clone());
                if short.timed_out { "timeout" } else { "short" }.to_string()
            }
            JointPutOutput::Hedged => "hedged".to_string(),
        }
    }

    fn ask(&mut self, mut word: String, request: RequestId, durability: Durability) -> String {
        if durability != Durability::Synced {
            word = format!("{word}:{}", durability.name());
        }
        self.asked.insert(word.clone(), (request, durability));
        word
    }
}

/// Plays a script; the last line says whether the put is "done" or still "busy".
fn play(script: &str) -> Player {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut player = Player::new(lines.next().expect("the plans"));
    for line in lines {
        if line == "done" || line == "busy" {
            assert_eq!(player.put.is_done(), line == "done", "{line} in {script}");
            assert_eq!(player.put.poll_timeout().is_none(), line == "done", "{line} in {script}");
            continue;
        }
        let (event, expected) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        if event != "start" {
            player.happen(event);
        }
        assert_eq!(player.said(), expected.trim(), "{line} in {script}");
    }
    player
}

fn play_all(scripts: &[&str]) {
    for script in scripts {
        play(script);
    }
}

#[test]
fn a_put_succeeds_when_each_owner_set_has_taken_it() {
    play_all(&[
        "bcd|a w=2 + abc|d w=2
         start: b c d a
         +b:
         +d:
         +a: ok:2/2
         busy
         +c:
         done",
        // Two nodes of both sets are enough for both.
        "bcd|a w=2 + abc|d w=2
         start: b c d a
         +b:
         +c: ok:2/2
         +a:
         +d:
         done",
        "def|a w=2 + abc|d w=2
         start: d e f a b c
         +a:
         +b:
         +c:
         +f:
         +d: ok:2/2
         +e:
         done",
        "cde| w=2 + bcd| w=2 + abc| w=2
         start: c d e b a
         +c:
         +d:
         +e:
         +a: ok:2/2
         +b:
         done",
        "bcd|a w=2 + abc|d w=3
         start: b c d a
         +b:
         +c:
         +a: ok:2/2
         +d:
         done",
    ]);
}

#[test]
fn an_owner_set_that_can_not_be_reached_fails_the_put_once() {
    play_all(&[
        "def| w=2 + abc| w=2
         start: d e f a b c
         +a:
         +b:
         +c:
         +d:
         @5000: timeout
         busy",
        "efg|d w=2 pw=2 + abc|d w=2
         start: e f g a b c
         +e:
         -f: d<f
         !g:
         +a:
         +b:
         @5000: timeout g
         +d<f:
         +c:
         +g:
         done",
        // Fewer than W own it in one set: it is refused at once, and kept all the same.
        "abc| w=2 + a| w=2
         start: a b c short
         +a:
         +b:
         busy
         +c:
         done",
        "a| w=2 + abc| w=2
         start: a short b c
         +b:
         +c:
         +a:
         done",
    ]);
}

#[test]
fn a_new_primary_stands_in_for_an_old_one_that_is_away() {
    play_all(&[
        "abd|C w=2 + abC|d w=2
         start: a b d d<c
         +a:
         +d:
         +d<c: ok:2/2
         +b:
         done",
        // This node is a primary in the old set, and stands in for another in the new one.
        "bCd|a w=2 + abC|d w=2
         start: b a<c d a d<c
         +b:
         +a<c:
         busy
         +a: ok:2/2
         +d:
         +d<c:
         done",
        // A primary of the old set only is a stand-in in the new one.
        "acE|b w=3 + abc|e w=3
         start: a c b<e b
         +a:
         +c:
         +b:
         +b<e: ok:3/3
         done",
    ]);
}

#[test]
fn what_several_sets_want_of_a_node_is_sent_once() {
    play_all(&[
        "abC|e w=2 + bfC|e w=2
         start: a b e<c f
         +e<c:
         +b: ok:2/2
         +a:
         +f:
         done",
        // A failure is one for all, and so is the stand-in.
        "abc|e w=2 + abd|e w=2
         start: a b c d
         -b: e<b
         +e<b:
         +a: ok:2/2
         +c:
         +d:
         done",
        "abc| w=3 + abd| w=3
         start: a b c d
         +a:
         +c:
         +d:
         !b:
         @50: b
         +b: ok:3/3
         done",
        "abc|e w=3 + abd|e w=3
         start: a b c d
         +a:
         +c:
         @10: hedged e<b
         +d:
         +e<b: ok:3/3
         done",
        // The hints differ in their targets.
        "aBC| w=1 + aBD| w=1
         start: a
         +a: a<bc a<bd ok:1/1
         +a<bc:
         +a<bd:
         done",
    ]);
}

#[test]
fn a_write_serves_those_who_ask_for_the_same_level_or_less() {
    play_all(&[
        "bcd| w=3 dw=1 written + abc| w=3 dw=1 written
         start: b c:written d:written a
         +b:
         +c:written:
         +d:written:
         +a: ok:3/1
         done",
        // The second set needs more of b than the first; what the first has missed is known by then.
        "abc| w=3 dw=1 written + bcd| w=3 dw=1 written
         start: a b:written c:written b d:written
         !b:written:
         +b:
         +a:
         +c:written:
         @50:
         +d:written: ok:3/1
         done",
    ]);
}

#[test]
fn the_answer_names_everyone_who_has_acknowledged_once() {
    let player = play(
        "bCd|ae w=2 + abC|de w=2
         start: b a<c d a d<c
         +b:
         +d:
         +a<c:
         +a: ok:2/2",
    );
    let by: Vec<(NodeId, Option<NodeId>)> =
        player.by.iter().map(|one| (one.node, one.stands_in_for)).collect();
    let (a, b, c, d) = (node('a'), node('b'), node('c'), node('d'));
    assert_eq!(by, [(b, None), (d, None), (a, None)]);
    assert!(player.by.iter().all(|one| one.synced));
    assert!(!by.contains(&(a, Some(c))), "it came after its set was reached");

    let player = play(
        "abc| w=2 written + bcd| w=2 dw=1 written
         start: a:written b:written c:written b d:written
         +b:written:
         +a:written:
         +b:
         +c:written: ok:2/0",
    );
    let by: Vec<(NodeId, bool)> = player.by.iter().map(|one| (one.node, one.synced)).collect();
    assert_eq!(by, [(a, false), (b, true), (c, false)]);
}

#[test]
fn a_shortfall_is_that_of_the_set_that_fell_short() {
    let player = play(
        "abc| w=2 + d| w=3
         start: a b c d short",
    );
    assert_eq!(player.short.map(|short| short.needs.answers), Some(3));
}

#[test]
fn the_version_is_kept_in_the_record_of_a_primary_of_any_set() {
    let cases = [
        ("abc|d + bcd|a", CoordinatorCopy::Record),
        ("bcd|a + abc|d", CoordinatorCopy::Record),
        ("bCd|a + abC|d", CoordinatorCopy::Record),
        ("bCd|a + bcd|e", CoordinatorCopy::Hint(node('c'))),
        ("bcd|e + bcE|a", CoordinatorCopy::Hint(node('e'))),
        ("bCd|a + Ecd|a", CoordinatorCopy::Hint(node('c'))),
        ("bcd|a + bce|a", CoordinatorCopy::Nowhere),
    ];
    for (line, coordinator_copy) in cases {
        assert_eq!(JointPut::coordinator_copy(&plans(line)), coordinator_copy, "{line}");
    }
}

#[test]
fn a_put_over_no_set_or_over_too_many_is_refused_unsent() {
    let too_many = alloc::vec![plan("abc| w=2"); OWNER_SETS_MAX + 1];
    let needs = Needs { answers: 2, ..Needs::default() };
    for (plans, needs) in [(&too_many[..], needs), (&[], Needs::default())] {
        let mut put = JointPut::new(0, plans);
        let short = Shortfall { needs, ..Shortfall::default() };
        assert_eq!(put.poll_output(), Some(JointPutOutput::Answer(Err(short))));
        assert!(put.is_done() && put.poll_timeout().is_none());
    }
    let mut put = JointPut::new(0, &too_many[1..]);
    let sent = core::iter::from_fn(|| put.poll_output());
    assert_eq!(sent.filter(|output| matches!(output, JointPutOutput::Write { .. })).count(), 3);
}
