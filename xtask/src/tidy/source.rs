//! Rules on one Rust file: its first line, its length, and words that it may not contain.

use super::Finding;
use super::lexer::{code_only, is_word, lines_with_word};

/// Most lines of a file, tests aside.
const FILE_LIMIT_LINES: usize = 400;
/// Names of files that say nothing about their job.
const VAGUE_NAMES: [&str; 8] =
    ["common", "data", "helper", "helpers", "info", "manager", "util", "utils"];

/// Checks the rules that every file must keep.
pub(super) fn check(path: &str, source: &str) -> Vec<Finding> {
    let code = code_only(source);
    let tests_from = tests_from(path, &code);
    let mut findings = Vec::new();
    findings.extend(first_line(path, source));
    findings.extend(length(path, tests_from, source.lines().count()));
    findings.extend(name(path));
    for line in lines_with_word(&code, "unsafe") {
        findings.push(Finding::new(
            path,
            line,
            "`unsafe`",
            "find a safe way; it is forbidden here",
        ));
    }
    findings.extend(globs(path, &code, tests_from));
    findings
}

/// Checks that the first file of a pure crate declares it as `no_std`.
pub(super) fn check_pure(path: &str, source: &str) -> Option<Finding> {
    let found = code_only(source).lines().any(|line| line.trim() == "#![no_std]");
    let remedy = "add it, and `extern crate alloc;`: no clock, socket or thread may be in reach";
    (!found).then(|| Finding::new(path, 1, "a pure crate without `#![no_std]`", remedy))
}

/// Returns the first line that belongs to tests, from 1.
fn tests_from(path: &str, code: &str) -> usize {
    let mut folders = path.split('/');
    if path.ends_with("/tests.rs") || folders.any(|folder| folder == "tests") {
        return 1;
    }
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    lines
        .windows(2)
        .position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        })
        .map_or(usize::MAX, |index| index + 1)
}

fn first_line(path: &str, source: &str) -> Option<Finding> {
    let says = source.lines().next().and_then(|line| line.strip_prefix("//!"));
    let remedy = "open it with one sentence: its one job";
    says.is_none_or(|words| words.trim().is_empty())
        .then(|| Finding::new(path, 1, "a module without a `//!` line", remedy))
}

fn length(path: &str, tests_from: usize, lines: usize) -> Option<Finding> {
    let lines = lines.min(tests_from - 1);
    let what = format!("{lines} lines without tests, over {FILE_LIMIT_LINES}");
    let remedy = "split it by what its parts are about";
    (lines > FILE_LIMIT_LINES).then(|| Finding::new(path, FILE_LIMIT_LINES + 1, what, remedy))
}

fn name(path: &str) -> Option<Finding> {
    let vague = path
        .split('/')
        .find(|part| VAGUE_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part)))?;
    Some(Finding::new(path, 1, format!("the name `{vague}`"), "name it after its one job"))
}

fn globs(path: &str, code: &str, tests_from: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, statement) in uses(code) {
        let test = line >= tests_from;
        if statement.contains('*') && !(test && statement == "super::*") {
            let what = format!("a glob import, `use {statement}`");
            findings.push(Finding::new(path, line, what, "name what you use"));
        }
    }
    findings
}

/// Returns every `use` without blanks, with the line in which it begins.
fn uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use") {
        let before = code[..at].chars().next_back();
        let after = &code[at + "use".len()..];
        if before.is_some_and(is_word) || !after.starts_with(char::is_whitespace) {
            continue;
        }
        let statement = after.split(';').next().unwrap_or(after);
        let statement = statement.chars().filter(|c| !c.is_whitespace()).collect();
        found.push((code[..at].matches('\n').count() + 1, statement));
    }
    found
}

#[cfg(test)]
mod tests;
