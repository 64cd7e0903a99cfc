//! The operations on one key in order, with what was done to the cluster meanwhile, for people.

use std::collections::BTreeMap;

use crate::chronicle::clock;
use crate::judge::numbers;
use crate::load::{Sizes, writes};
use crate::record::{Asked, Event, Held, Outcome, Shown};

/// Returns a line for each request on the key, at the time of its start, and for each of `lines`.
pub(crate) fn trace(events: &[Event], lines: &[(u64, String)], sizes: Sizes) -> Vec<String> {
    let numbers = numbers(events);
    let mut told: Vec<(u64, String)> =
        events.iter().map(|event| (event.start_us, line(event, &numbers, sizes))).collect();
    told.extend(lines.iter().map(|(at_us, line)| (*at_us, format!("-- {line}"))));
    told.sort();
    told.into_iter().map(|(at_us, line)| format!("{}  {line}", clock(at_us))).collect()
}

fn line(event: &Event, numbers: &BTreeMap<u64, usize>, sizes: Sizes) -> String {
    let role = if writes(event.session, sizes) { "writer" } else { "reader" };
    let name = |write: &u64| format!("w{}", numbers.get(write).copied().unwrap_or_default());
    let asked = match &event.asked {
        Asked::Get => "gets".into(),
        Asked::Put { write, follows: true } => format!("puts {} after its get", name(write)),
        Asked::Put { write, follows: false } => format!("puts {} blind", name(write)),
        Asked::Delete { write } => format!("deletes ({}) after its get", name(write)),
    };
    let outcome = match &event.outcome {
        Outcome::Got(shown) => in_words(shown, numbers),
        Outcome::Stored { primaries } => format!("acknowledged, by {primaries} primaries"),
        Outcome::Failed { kind, maybe_applied } => {
            let doubt = if *maybe_applied { ", perhaps done" } else { "" };
            format!("failed: {kind}{doubt}")
        }
    };
    let took_ms = event.end_us.saturating_sub(event.start_us) / 1_000;
    let moving = if event.at_rest { "" } else { " (while members change)" };
    format!("{role} {} {asked}: {outcome}, {took_ms} ms{moving}", event.session + 1)
}

/// Describes the versions in a get's answer, with the numbers of their writes.
pub(crate) fn in_words(shown: &Shown, numbers: &BTreeMap<u64, usize>) -> String {
    let versions = shown.versions.iter().map(|(_, held)| match held {
        Held::Write(write) => match numbers.get(write) {
            Some(number) => format!("w{number}"),
            None => format!("write {write} of another key"),
        },
        Held::Tombstone => "deleted".into(),
        Held::Foreign => "something else".into(),
    });
    let versions: Vec<String> = versions.collect();
    format!("[{}] from {} primaries", versions.join(" "), shown.primaries)
}
