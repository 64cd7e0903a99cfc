//! The rule that the architecture page and the workspace name the same crates and files.

use std::collections::BTreeSet;

use super::Finding;

/// Path of the page, relative to the root.
pub(super) const PATH: &str = "docs/ARCHITECTURE.md";
/// Heading of the section that follows one put, file by file; no file may stand in it twice.
const WALK: &str = "One put";
/// Prefixes of the folders that crates are in.
const HOMES: [&str; 3] = ["crates/", "bins/", "xtask"];

/// Compares the page with the members' folders and with the existing files.
pub(super) fn check(page: &str, folders: &[&str], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    let mut walked = BTreeSet::new();
    let mut in_walk = false;
    for (number, line) in (1..).zip(page.lines()) {
        if let Some(heading) = line.strip_prefix("## ") {
            in_walk = heading.starts_with(WALK);
        }
        for path in paths(line) {
            if !exists(path) {
                let what = format!("`{path}` is named and isn't there");
                findings.push(Finding::new(PATH, number, what, "correct the page"));
            }
            if in_walk && path.ends_with(".rs") && !walked.insert(path) {
                let what = format!("`{path}` stands in the walk twice");
                findings.push(Finding::new(
                    PATH,
                    number,
                    what,
                    "mend the structure, then the walk",
                ));
            }
            named.insert(path);
        }
    }
    for folder in folders.iter().filter(|folder| !named.contains(*folder)) {
        let what = format!("`{folder}` is a crate that the page doesn't name");
        findings.push(Finding::new(PATH, 1, what, "add it to the table of crates"));
    }
    findings
}

/// Returns the paths between backticks.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| HOMES.iter().any(|home| text.starts_with(home)))
        .filter(|text| !text.contains([' ', '*', '<', '{']))
        .map(|text| text.trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
