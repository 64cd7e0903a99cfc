//! The rule that only the root manifest has versions, lints and the toolchain's version.

use anyhow::Context;
use toml::{Table, Value};

use super::Finding;

/// Keys that every member takes from `[workspace.package]`.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks one member's manifest.
///
/// # Errors
/// The manifest is not TOML.
pub(super) fn check_member(path: &str, manifest: &str) -> anyhow::Result<Vec<Finding>> {
    let table: Table = manifest.parse().with_context(|| format!("{path} is malformed"))?;
    let mut findings = Vec::new();
    for key in INHERITED {
        if !inherits(table.get("package").and_then(|package| package.get(key))) {
            let what = format!("`{key}` is not the workspace's");
            findings.push(Finding::new(path, 1, what, "write `<key>.workspace = true`"));
        }
    }
    if !inherits(table.get("lints")) {
        let remedy = "add `[lints]` with `workspace = true`";
        findings.push(Finding::new(path, 1, "the workspace's lints are not on", remedy));
    }
    let targets = table.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    for holder in targets.filter_map(Value::as_table).chain([&table]) {
        for dependencies in TABLES.iter().filter_map(|name| holder.get(*name)?.as_table()) {
            for (name, _) in dependencies.iter().filter(|(_, entry)| !inherits(Some(entry))) {
                let line = (1..).zip(manifest.lines()).find(|(_, line)| line.starts_with(name));
                let what = format!("`{name}` has a version or path of its own");
                let remedy = "put it into [workspace.dependencies] and write `.workspace = true`";
                findings.push(Finding::new(path, line.map_or(1, |(line, _)| line), what, remedy));
            }
        }
    }
    Ok(findings)
}

/// Checks the files that may stand beside the root manifest.
pub(super) fn check_root(exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    ["rust-toolchain", "rust-toolchain.toml"]
        .into_iter()
        .filter(|path| exists(path))
        .map(|path| {
            let remedy = "drop it: any stable toolchain from `rust-version` on builds this";
            Finding::new(path, 1, "a pinned toolchain", remedy)
        })
        .collect()
}

fn inherits(entry: Option<&Value>) -> bool {
    entry.and_then(|entry| entry.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests;
