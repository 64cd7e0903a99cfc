//! Puts as text: each script a plan, what happens, and what the machine says to it.
//!
//! The first line is the plan: "abC|de w=2" has the primaries a, b and c, of which c is believed away,
//! and the fallbacks d and e; this node is a. Each further line is an event and the outputs after it:
//! `+b` acknowledges at the level that it was asked, `-b` is lost, `!b` refuses, `@300` is that
//! millisecond. Outputs: `b` is written to, `d<bc` keeps a hint for b and c, with `:written` or
//! `:buffered` where it need not sync; `ok:2/1` of two acknowledgements, one synced; `short`, `timeout`
//! and `hedged`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;

use super::{ME, name, node, split, targets};
use crate::put::{Put, PutOutput};
use crate::{Cause, CoordinatorCopy, Needs, WritePlan};

const HEDGE_MS: u64 = 10;
const SEND_UNTIL_MS: u64 = 8_000;
const DEADLINE_MS: u64 = 5_000;

pub(super) fn plan(line: &str) -> WritePlan {
    let mut words = line.split_whitespace();
    let (primaries, fallbacks) = split(words.next().expect("the nodes"));
    let mut plan = WritePlan {
        me: ME,
        primaries: targets(primaries),
        fallbacks: targets(fallbacks),
        needs: Needs::default(),
        durability: Durability::Synced,
        hedge_after_us: HEDGE_MS * 1_000,
        send_until_us: SEND_UNTIL_MS * 1_000,
        deadline_us: DEADLINE_MS * 1_000,
    };
    for word in words {
        match word.split_once('=') {
            Some(("w", count)) => plan.needs.answers = count.parse().unwrap(),
            Some(("pw", count)) => plan.needs.primaries = count.parse().unwrap(),
            Some(("dw", count)) => plan.needs.synced = count.parse().unwrap(),
            _ if word == "written" => plan.durability = Durability::Written,
            _ if word == "buffered" => plan.durability = Durability::Buffered,
            _ => panic!("{word}"),
        }
    }
    plan
}

struct Player {
    put: Put,
    now_us: u64,
    asked: BTreeMap<NodeId, Durability>,
    by: Vec<Acknowledgement>,
}

impl Player {
    fn new(line: &str) -> Self {
        let put = Put::new(0, &plan(line));
        Self { put, now_us: 0, asked: BTreeMap::new(), by: Vec::new() }
    }

    fn happen(&mut self, event: &str) {
        let (kind, rest) = event.split_at(1);
        let who = rest.chars().next().filter(char::is_ascii_lowercase).map_or(ME, node);
        match kind {
            "+" => self.put.handle_acknowledgement(self.now_us, who, self.asked[&who]),
            "-" => self.put.handle_failure(self.now_us, who, Cause::Lost),
            "!" => self.put.handle_failure(self.now_us, who, Cause::Refused),
            "@" => {
                self.now_us = rest.parse::<u64>().unwrap() * 1_000;
                self.put.handle_timeout(self.now_us);
            }
            _ => panic!("{event}"),
        }
    }

    fn said(&mut self) -> String {
        let outputs: Vec<PutOutput> = core::iter::from_fn(|| self.put.poll_output()).collect();
        let words: Vec<String> = outputs.into_iter().map(|output| self.word(output)).collect();
        words.join(" ")
    }

    fn word(&mut self, output: PutOutput) -> String {
        let level = |durability| match durability {
            Durability::Synced => String::new(),
            other => format!(":{}", other.name()),
        };
        match output {
            PutOutput::Write { node, durability } => {
                self.asked.insert(node, durability);
                format!("{}{}", name(node), level(durability))
            }
            PutOutput::Hint { node, targets, durability } => {
                self.asked.insert(node, durability);
                let targets: String = targets.into_iter().map(name).collect();
                format!("{}<{targets}{}", name(node), level(durability))
            }
            PutOutput::Answer(Ok(ok)) => {
                self.by = ok.by;
                format!("ok:{}/{}", ok.acknowledged, ok.synced)
            }
            PutOutput::Answer(Err(short)) if short.timed_out => "timeout".to_string(),
            PutOutput::Answer(Err(_)) => "short".to_string(),
            PutOutput::Hedged => "hedged".to_string(),
        }
    }
}

/// Plays a script; the last line says whether the put is "done" or still "busy".
fn play(script: &str) -> Player {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut player = Player::new(lines.next().expect("a plan"));
    for line in lines {
        if line == "done" || line == "busy" {
            assert_eq!(player.put.is_done(), line == "done", "{line} in {script}");
            assert_eq!(player.put.poll_timeout().is_none(), line == "done", "{line} in {script}");
            continue;
        }
        let (event, expected) = line.split_once(':').expect("an event and what is said");
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
fn a_put_answers_when_enough_have_acknowledged_and_goes_on_until_all_have() {
    play_all(&[
        "abc| w=2
         start: a b c
         +a:
         +b: ok:2/2
         busy
         +c:
         done",
        "abc| w=3
         start: a b c
         +b:
         +b:
         +c:
         +a: ok:3/3
         done",
        "abc| w=1
         start: a b c
         +c: ok:1/1
         +b:
         +a:
         done",
        "abc| w=2
         start: a b c
         +a:
         @5000: timeout
         busy
         @7500: a<bc
         +a:
         done",
        "a| w=2
         start: a short
         +a:
         done",
    ]);
}

#[test]
fn a_stand_in_is_asked_at_once_for_a_primary_that_is_away_or_lost() {
    play_all(&[
        "abC|de w=2
         start: a b d<c
         +a:
         +d: ok:2/2
         +b:
         done",
        "aBC|de w=3
         start: a d<b e<c
         +a:
         +e:
         +d: ok:3/3
         done",
        "abc|de w=3
         start: a b c
         +a:
         -b: d<b
         -d: e<b
         +c:
         +e: ok:3/3
         done",
        // After the answer as well.
        "abc|de w=2
         start: a b c
         +a:
         +b: ok:2/2
         -c: d<c
         !d: e<c
         busy
         +e:
         done",
    ]);
}

#[test]
fn this_node_keeps_the_hint_when_no_fallback_is_left() {
    play_all(&[
        // A primary's own hints wait for its own record, and count for nothing.
        "aBC|DE w=1
         start: a
         +a: a<bc ok:1/1
         busy
         +a:
         done",
        "abc|d w=2
         start: a b c
         -b: d<b
         -c:
         +a: a<c
         +a:
         +d: ok:2/2
         done",
        // As a fallback it stands in for the first, and the record travels once.
        "BCD|aE w=1
         start: a<bcd
         +a: ok:1/1
         done",
        "BCD|ae w=2
         start: a<bd e<c
         +a:
         +e: ok:2/2
         done",
        // A node off the list does so too.
        "BC|d w=2
         start: d<b a<c
         +d:
         +a: ok:2/2
         done",
        // Whatever became of its own record. For that one there is no other place.
        "aB| w=1
         start: a
         !a: a<b
         @50:
         +a: a
         +a: ok:1/1
         done",
    ]);
}

#[test]
fn a_primary_believed_away_is_written_to_when_the_needs_can_not_be_met_otherwise() {
    play_all(&[
        "aBC|d w=3
         start: a d<b b c
         +a: a<c
         +b:
         +c: ok:3/3
         done",
        "abC|d w=2 pw=2
         start: a b d<c
         -b: c
         +a: a<b
         +c: ok:2/2
         busy
         +a:
         done",
        // A lost one is tried again, and in the end given up.
        "ab| w=2
         start: a b
         -b:
         +a: a<b
         @50: b
         -b:
         @150: b
         -b:
         @350: b
         -b: short
         +a:
         done",
        // It would not help here.
        "aB|c w=3
         start: a c<b short
         +c:
         +a:
         done",
    ]);
}

#[test]
fn a_silent_or_refusing_primary_gets_a_stand_in_when_the_usual_time_has_passed() {
    play_all(&[
        "abc|de w=2
         start: a b c
         +a:
         @10: hedged d<b e<c
         +d: ok:2/2
         +c:
         done",
        // Its own acknowledgement may still come first; a slot counts once.
        "abc|de w=3
         start: a b c
         +a:
         @10: hedged d<b e<c
         +d:
         +b:
         +c: ok:3/3
         done",
        // This node's own disk may be the slow one.
        "abc|d w=3
         start: a b c
         +b:
         +c:
         @10: hedged d<a
         +d: ok:3/3
         done",
        "abc|d w=3
         start: a b c
         +a:
         +b:
         !c:
         @10: hedged d<c
         @50: c
         +d: ok:3/3
         done",
        "abc|d w=3
         start: a b c
         +a:
         +b:
         @10: hedged d<c
         !c:
         !d:
         @60: c
         +c: ok:3/3
         done",
        // Nobody waits any more: no hedge.
        "abc|de w=2
         start: a b c
         +a:
         +b: ok:2/2
         @10:
         +c:
         done",
    ]);
}

#[test]
fn a_stand_in_whose_primary_acknowledges_after_all_is_free_for_another() {
    play_all(&[
        "abc|d w=3
         start: a b c
         @10: hedged d<a
         +d:
         +a: d<b
         -b:
         +d:
         +c: ok:3/3
         done",
        "aBc|d w=3
         start: a d<b c
         -c: b
         +a: a<c
         +a:
         +d:
         +b: d<c
         +d: ok:3/3
         done",
    ]);
}

#[test]
fn a_primary_that_goes_on_refusing_gets_a_stand_in_after_the_answer() {
    play_all(&["abc|d w=2
         start: a b c
         +a:
         +b: ok:2/2
         !c:
         @50: c
         !c:
         @150: c
         !c:
         @350: c
         !c: d<c
         +d:
         done"]);
}

#[test]
fn nothing_is_sent_when_the_time_of_the_version_is_over() {
    play_all(&[
        "abc|d w=2
         start: a b c
         +a:
         +b: ok:2/2
         @7499:
         busy
         @7500: a<c
         -c:
         busy
         @8000:
         done",
        "abc|d w=2
         start: a b c
         +a:
         +b: ok:2/2
         !c:
         @8000:
         done",
    ]);
}

#[test]
fn durability_is_asked_as_the_bucket_and_dw_say() {
    play_all(&[
        "abc| w=2
         start: a b c",
        "abc| w=2 written
         start: a:written b:written c:written",
        "abc| w=2 dw=2 written
         start: a b c:written",
        "abc| w=2 buffered
         start: a:buffered b:buffered c",
        "abc| w=2 dw=1 buffered
         start: a b:buffered c",
        "aBc|d w=2 dw=2 written
         start: a d<b c:written",
    ]);
}

#[test]
fn dw_waits_for_the_sync_and_finds_another_node_when_the_syncing_one_fails() {
    play_all(&[
        "abc| w=2 dw=1 written
         start: a b:written c:written
         +b:
         +c:
         !a: b
         +b: ok:2/1
         busy
         @50: a
         +a:
         done",
        // Its answer at the lower level is waited for, so that it is known which one comes.
        "abc| w=2 dw=1 written
         start: a b:written c:written
         !a:
         +b: b
         +c:
         +b: ok:2/1",
        "abc|d w=2 dw=1 written
         start: a b:written c:written
         -a: d<a
         +b:
         +c:
         +d: ok:3/1
         done",
        "aBc|d w=2 dw=2 written
         start: a d<b c:written
         +c:
         -d: c
         +a: a<b
         +c: ok:2/2",
    ]);
}

#[test]
fn an_answer_tells_who_acknowledged_and_for_whom() {
    let by = |script| {
        let by = play(script).by.into_iter().map(|one| {
            let target =
                one.stands_in_for.map_or(String::new(), |target| format!("<{}", name(target)));
            format!("{}{target}{}", name(one.node), if one.synced { "" } else { ":buffered" })
        });
        by.collect::<Vec<String>>().join(" ")
    };
    let script = "abC|d w=3 buffered
         start: a:buffered b:buffered d<c
         +d:
         +a:
         +b: ok:3/1";
    assert_eq!(by(script), "a:buffered b:buffered d<c");
    // One node that keeps several hints is one acknowledgement of the quorum.
    let script = "BC|ad w=2
         start: a<b d<c
         -d: b c
         +a: a<c
         +a:
         @50: d<c
         +d: ok:2/2";
    assert_eq!(by(script), "a<b d<c a<c");
    let script = "BC|aD w=1
         start: a<bc
         +a: ok:1/1";
    assert_eq!(by(script), "a<b a<c");
}

#[test]
fn a_coordinator_knows_beforehand_where_it_keeps_the_version() {
    let table = [
        ("abc|de", CoordinatorCopy::Record),
        ("aBC|DE", CoordinatorCopy::Record),
        ("bcd|ae", CoordinatorCopy::Nowhere),
        ("bCD|ae", CoordinatorCopy::Hint(node('c'))),
        // Off the list: what is left over by the fallbacks.
        ("bCD|e", CoordinatorCopy::Hint(node('d'))),
        ("bC|d", CoordinatorCopy::Nowhere),
        ("BC|D", CoordinatorCopy::Hint(node('b'))),
    ];
    for (nodes, expected) in table {
        assert_eq!(plan(&format!("{nodes} w=1")).coordinator_copy(), expected, "{nodes}");
    }
}
