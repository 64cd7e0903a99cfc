//! Texts that differ from one run of a session to the next and are not compared: identities, digests, times, durations,
//! process ids, ports, contexts, and the width of columns, which follows from them.

use regex::Regex;
use snapbox::Redactions;

/// Placeholders and their patterns; the group `redacted` marks the part that varies, if that is not the whole match.
const MASKS: [(&str, &str); 8] = [
    ("[ID]", r"\b[0-9a-f]{32}\b"),
    ("[DIGEST]", r"\b[0-9a-f]{16}\b"),
    ("[SHORT]", r"\b[0-9a-f]{8}\b"),
    ("[TIME]", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"),
    ("[DURATION]", r"\b\d+(\.\d+)? (ms|s|min)\b"),
    ("[PID]", r"\bpid (?<redacted>\d+)"),
    ("[PORT]", r"127\.0\.0\.1:(?<redacted>\d+)"),
    ("[CONTEXT]", r#""context":"(?<redacted>[A-Za-z0-9+/=_-]+)""#),
];
/// Pattern of outputs that later commands may repeat, such as a plan's hash.
const REPEATED: &str = r"\b[0-9a-f]{16}([0-9a-f]{16})?\b";
/// Pattern of the space between two columns of a table.
const GAP: &str = "  +";

/// Compiled patterns of everything that is not compared.
pub(super) struct Masks {
    masks: Redactions,
    repeated: Regex,
    gap: Regex,
}

impl Masks {
    /// Compiles all patterns, once for each page.
    pub(super) fn new() -> Self {
        let regex = |pattern| Regex::new(pattern).unwrap();
        let mut masks = Redactions::new();
        for (placeholder, pattern) in MASKS {
            masks.insert(placeholder, regex(pattern)).unwrap();
        }
        Self { masks, repeated: regex(REPEATED), gap: regex(GAP) }
    }

    /// Returns the text with everything masked that is not compared.
    pub(super) fn mask(&self, text: &str) -> String {
        self.gap.replace_all(&self.masks.redact(text), "  ").into_owned()
    }

    /// Pairs the texts in `one` that later commands may repeat with those in `other`; empty if the two differ in their
    /// number.
    pub(super) fn pairs(&self, one: &str, other: &str) -> Vec<(String, String)> {
        let found = |text: &str| -> Vec<String> {
            self.repeated.find_iter(text).map(|found| found.as_str().to_owned()).collect()
        };
        let (one, other) = (found(one), found(other));
        if one.len() == other.len() { one.into_iter().zip(other).collect() } else { Vec::new() }
    }

    /// Returns the new text, in which each line that differs from the old one only in masked parts is the old line.
    pub(super) fn merge(&self, old: &str, new: &str) -> String {
        let mut left: Vec<(String, &str)> =
            old.lines().map(|line| (self.mask(line), line)).collect();
        let mut merged = String::new();
        for line in new.lines() {
            let masked = self.mask(line);
            let same = left.iter().position(|(old, _)| *old == masked);
            merged.push_str(same.map_or(line, |index| left.remove(index).1));
            merged.push('\n');
        }
        merged
    }
}

#[test]
fn what_varies_is_masked_and_nothing_else() {
    let masks = Masks::new();
    let one =
        "n1  8c6062cb  127.0.0.1:7101   3 ms  pid 12 of 2026-11-29T12:00:00.000Z, 93a0c1e2d4b5f607";
    let other = "n1  00000000  127.0.0.1:44444  2.5 s  pid 9999 of 2027-01-01T00:00:00.1Z, 0123456789abcdef";
    assert_eq!(masks.mask(one), masks.mask(other));
    for different in ["n2", "2 siblings", "partition 198", "20 bytes", "{\"tea\":1}", "exit 3"] {
        assert_eq!(masks.mask(different), different);
    }
}

#[test]
fn lines_that_differ_only_in_what_is_masked_stay_as_they_are() {
    let old = "pid 1 is killed\nn2 is down\n";
    assert_eq!(
        Masks::new().merge(old, "pid 7 is killed\nn2 is away\n"),
        "pid 1 is killed\nn2 is away\n"
    );
}

#[test]
fn what_a_later_command_repeats_is_found_on_both_sides() {
    let masks = Masks::new();
    let pairs = masks.pairs("plan 93a0c1e2d4b5f607: first", "plan 0123456789abcdef, the first");
    assert_eq!(pairs, [("93a0c1e2d4b5f607".to_owned(), "0123456789abcdef".to_owned())]);
    assert_eq!(masks.pairs("plan 93a0c1e2d4b5f607: first", "no plan"), []);
}
