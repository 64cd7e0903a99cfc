//! The judgement of one key: its events against the promises, by the simulator's history.
//!
//! Invariant: events are processed in the order of their times, so that a get must return only what was acknowledged
//! before it was sent. A client can't tell which delete a tombstone came from, so a delete that may have been applied
//! excuses the absence of everything that it had seen.

use std::collections::BTreeMap;

use jedlik_protocol::client::{GetAnswer, Version};
use jedlik_protocol::{ClusterId, Key, Value};
use jedlik_sim::{Acknowledged, Bits, Breach, History, Promise, Seen};
use jedlik_vclock::Content;

use crate::record::{Asked, Event, Held, Outcome, Shown};

/// Number of the key in a history, which knows this one alone.
const KEY: u8 = 0;

/// Counts of what was checked in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Checked {
    /// Gets whose answers were checked against what they had to return.
    pub(crate) answers: u64,
    /// Gets among these that had to return everything that primaries had acknowledged.
    pub(crate) certain: u64,
    /// Acknowledged writes that had to be there at the end, themselves or through a version that has seen them.
    pub(crate) acknowledged: u64,
    /// Versions that were there at the end.
    pub(crate) versions: u64,
}

impl std::ops::AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.certain += other.certain;
        self.acknowledged += other.acknowledged;
        self.versions += other.versions;
    }
}

/// History of one key so far, and its events.
struct Case<'a> {
    history: History,
    events: &'a [Event],
    /// Number of each write in the history, by its number in the run.
    writes: BTreeMap<u64, usize>,
    /// Versions that each session has seen with its last get.
    seen: BTreeMap<u16, Seen>,
    /// Writes that had been acknowledged when a get was sent, by the get's event.
    before: BTreeMap<usize, Bits>,
    checked: Checked,
}

/// Judges a key's events and its versions at the end; the events may be in any order.
///
/// # Errors
/// The first promise that was broken.
pub(crate) fn judge(
    cluster: ClusterId,
    key: &Key,
    events: &[Event],
    last: &Shown,
) -> Result<Checked, Breach> {
    let mut case = Case {
        history: History::new(cluster, vec![key.clone()]),
        events,
        writes: BTreeMap::new(),
        seen: BTreeMap::new(),
        before: BTreeMap::new(),
        checked: Checked::default(),
    };
    let mut moments: Vec<(u64, Moment, usize)> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let begins =
            if event.asked == Asked::Get { Moment::GetBegins } else { Moment::WriteBegins };
        moments.push((event.start_us, begins, index));
        moments.push((event.end_us, Moment::Ends, index));
    }
    moments.sort_unstable();
    for (_, moment, index) in moments {
        if moment == Moment::Ends { case.end(index)? } else { case.begin(index) }
    }
    case.finish(last).map_err(at_the_end)
}

/// Start or end of an event; variants are in the order in which they count within one microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Start of a get, which need not return writes acknowledged in the same microsecond.
    GetBegins,
    Ends,
    /// Start of a write, which has seen what its session's get returned in the same microsecond.
    WriteBegins,
}

/// Renames a breach that is found at the end: a version missing from the last get is lost.
fn at_the_end(breach: Breach) -> Breach {
    let promise = match breach.promise {
        Promise::NextGet => Promise::NothingLost,
        other => other,
    };
    Breach { promise, ..breach }
}

impl Case<'_> {
    fn begin(&mut self, index: usize) {
        let event = &self.events[index];
        let undone = matches!(event.outcome, Outcome::Failed { maybe_applied: false, .. });
        let saw = |case: &Self| case.seen.get(&event.session).cloned().unwrap_or_default();
        match event.asked {
            Asked::Get => {
                self.before.insert(index, self.history.acknowledged_by_primaries(KEY));
            }
            Asked::Put { write, follows } => {
                let seen = if follows { saw(self) } else { Seen::default() };
                self.writes.insert(write, self.history.begin(false, seen, None));
            }
            Asked::Delete { write } => {
                let delete = self.history.begin(true, saw(self), None);
                self.writes.insert(write, delete);
                if !undone {
                    self.history.collect_delete(KEY, delete);
                }
            }
        }
    }

    fn end(&mut self, index: usize) -> Result<(), Breach> {
        let event = &self.events[index];
        match (&event.outcome, event.asked) {
            (Outcome::Got(shown), _) => {
                let before = self.before.remove(&index).unwrap_or_default();
                let certain = event.at_rest && shown.primaries >= 2;
                self.checked.answers += 1;
                self.checked.certain += u64::from(certain);
                let seen = self.check(shown, &before, certain)?;
                self.seen.insert(event.session, seen);
            }
            (Outcome::Stored { primaries }, Asked::Put { write, .. } | Asked::Delete { write }) => {
                let how =
                    Acknowledged { by_primaries: event.at_rest && *primaries >= 2, frail: false };
                if let Some(write) = self.writes.get(&write) {
                    self.history.acknowledge(KEY, *write, how);
                    self.checked.acknowledged += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&mut self, shown: &Shown, before: &Bits, certain: bool) -> Result<Seen, Breach> {
        if shown.truncated {
            self.history.truncate(KEY);
        }
        for (tag, held) in &shown.versions {
            let write = match held {
                Held::Tombstone => continue,
                Held::Write(write) => self.writes.get(write),
                Held::Foreign => None,
            };
            let Some(write) = write else {
                let what = format!("version {tag:016x} holds {held:?}");
                return Err(Breach { promise: Promise::OnlyWhatWasWritten, key: None, what });
            };
            self.history.hear(KEY, *tag, *write)?;
        }
        self.history.check_answer(KEY, &answer(shown), before, (certain, 0))
    }

    fn finish(mut self, last: &Shown) -> Result<Checked, Breach> {
        let before = self.history.acknowledged(KEY, false);
        self.check(last, &before, true)?;
        self.checked.versions += last.versions.len() as u64;
        Ok(self.checked)
    }
}

/// Returns the answer as the history takes it: values only, since the delete behind a tombstone is unknown.
fn answer(shown: &Shown) -> GetAnswer {
    let values = shown.versions.iter().filter(|(_, held)| *held != Held::Tombstone);
    let versions = values.map(|(tag, _)| Version {
        content: Content::Value(Value::default()),
        tag: *tag,
        written_at_ms: 0,
        expires_at_ms: None,
    });
    let (answered, primaries) = (shown.primaries, shown.primaries);
    GetAnswer { versions: versions.collect(), context: None, answered, primaries, partial: false }
}

/// Returns the numbers that a history gives to a key's writes, for the key's trace.
pub(crate) fn numbers(events: &[Event]) -> BTreeMap<u64, usize> {
    let mut begun: Vec<(u64, usize, u64)> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if let Asked::Put { write, .. } | Asked::Delete { write } = event.asked {
            begun.push((event.start_us, index, write));
        }
    }
    begun.sort_unstable();
    begun.into_iter().enumerate().map(|(number, (_, _, write))| (write, number)).collect()
}

#[cfg(test)]
mod tests;
