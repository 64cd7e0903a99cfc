//! The report of a run, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::judge::Checked;
use crate::load::{Sizes, writes};
use crate::record::{Event, Outcome};

/// Broken promise, with the trace of its key.
#[derive(Debug, Serialize)]
pub(crate) struct Broken {
    /// Name of the key that it is about, if there is one.
    pub(crate) key: Option<String>,
    /// Name of the promise, and how it was broken.
    pub(crate) what: String,
    /// Operations on the key, in order.
    pub(crate) trace: Vec<String>,
}

/// Counts of all sessions' requests, and their waits.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Requests {
    /// Number of requests, by kind.
    pub(crate) asked: BTreeMap<&'static str, u64>,
    /// Number of failed requests, by kind and reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Longest time of each session without a success, in milliseconds, pauses included.
    pub(crate) unavailable_ms: Vec<u64>,
    /// Longest of these times, by kind of session: writers and readers.
    pub(crate) longest_unavailable_ms: BTreeMap<&'static str, u64>,
    /// Duration of the slowest request that succeeded.
    pub(crate) slowest_ms: u64,
}

/// Report of a whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) minutes: f64,
    /// Number of members at the start.
    pub(crate) nodes: u16,
    /// Name of the engine of all nodes, or `mixed`.
    pub(crate) engine: String,
    /// Description of the network, and of the means to cut off and delay nodes.
    pub(crate) network: String,
    pub(crate) requests: Requests,
    /// Number of faults and changes, by kind.
    pub(crate) injected: BTreeMap<String, u64>,
    pub(crate) keys: u16,
    pub(crate) checked: Checked,
    /// Number of keys of which a node that is no owner holds a record.
    pub(crate) strays: usize,
    pub(crate) broken: Vec<Broken>,
}

impl Requests {
    /// Counts the events of all sessions. The load ran until `end_us`.
    pub(crate) fn of(sessions: &[Vec<Event>], sizes: Sizes, end_us: u64) -> Self {
        let mut requests = Self::default();
        for events in sessions {
            let Some(first) = events.first() else { continue };
            let mut success_us = first.start_us;
            let mut longest_us = 0;
            for event in events {
                *requests.asked.entry(event.asked.name()).or_default() += 1;
                if let Outcome::Failed { kind, .. } = event.outcome {
                    let kind = format!("{} {kind}", event.asked.name());
                    *requests.failed.entry(kind).or_default() += 1;
                    continue;
                }
                longest_us = longest_us.max(event.end_us.saturating_sub(success_us));
                success_us = event.end_us;
                let took_ms = event.end_us.saturating_sub(event.start_us) / 1_000;
                requests.slowest_ms = requests.slowest_ms.max(took_ms);
            }
            let longest_ms = longest_us.max(end_us.saturating_sub(success_us)) / 1_000;
            requests.unavailable_ms.push(longest_ms);
            let role = if writes(first.session, sizes) { "writer" } else { "reader" };
            let longest = requests.longest_unavailable_ms.entry(role).or_default();
            *longest = (*longest).max(longest_ms);
        }
        requests
    }
}

fn counts<K: fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed, minutes, nodes, engine, network, requests, injected, keys, checked, ..
        } = self;
        writeln!(
            f,
            "seed {seed}, {minutes} minutes, {nodes} nodes on {engine} at first; {network}"
        )?;
        let total: u64 = requests.asked.values().sum();
        writeln!(f, "requests: {total}: {}", counts(&requests.asked))?;
        writeln!(f, "failed:   {}", counts(&requests.failed))?;
        writeln!(f, "injected: {}", counts(injected))?;
        let longest = requests.longest_unavailable_ms.iter();
        let longest: Vec<String> = longest.map(|(role, ms)| format!("{role} {ms} ms")).collect();
        writeln!(
            f,
            "longest without a success: {}; slowest success {} ms",
            longest.join(", "),
            requests.slowest_ms
        )?;
        writeln!(
            f,
            "checked:  {keys} keys, {} acknowledged writes, {} answers ({} had to show all), {} \
             versions at the end, {} keys held by others than owners",
            checked.acknowledged, checked.answers, checked.certain, checked.versions, self.strays
        )?;
        match self.broken.len() {
            0 => writeln!(f, "chaos: nothing is lost, and no promise broken"),
            count => writeln!(f, "chaos: BROKEN PROMISES: {count}"),
        }
    }
}

#[cfg(test)]
mod tests;
