//! The rule on which crate may depend on which ([design 1](../../../docs/design.md#1-the-workspace)). The table itself
//! is `xtask/edges.toml`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;

use super::{Finding, Member, short};

/// Path of the table, relative to the root.
const TABLE_PATH: &str = "xtask/edges.toml";

/// Table of the allowed edges, by names without the common prefix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Table {
    pure: BTreeSet<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
    dev_edges: BTreeMap<String, BTreeSet<String>>,
    owners: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    /// Parses the table from TOML.
    ///
    /// # Errors
    /// The table is malformed.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text).context("xtask/edges.toml is malformed")
    }

    /// Whether the crate may use nothing but `core` and `alloc`.
    pub(super) fn is_pure(&self, name: &str) -> bool {
        self.pure.contains(name)
    }

    fn allows(&self, from: &str, to: &str, dev: bool) -> bool {
        let has = |table: &BTreeMap<String, BTreeSet<String>>| {
            table.get(from).is_some_and(|targets| targets.contains(to))
        };
        has(&self.edges) || dev && has(&self.dev_edges)
    }
}

/// Returns the edges of one crate that the table doesn't allow.
pub(super) fn check(table: &Table, member: &Member, manifest: &str) -> Vec<Finding> {
    let path = format!("{}/Cargo.toml", member.folder);
    let from = member.short();
    if !table.edges.contains_key(from) {
        let what = format!("`{from}` has no row in xtask/edges.toml");
        return vec![Finding::new(&path, 1, what, "give it one, after the design")];
    }
    let mut findings = Vec::new();
    for dependency in &member.dependencies {
        let to = short(&dependency.name);
        let line = line_of(manifest, &dependency.name, dependency.dev);
        if dependency.ours && !table.allows(from, to, dependency.dev) {
            let what = format!("`{from}` may not depend on `{to}`");
            let remedy = "arrows run downwards only: move the code or pass a value";
            findings.push(Finding::new(&path, line, what, remedy));
        }
        let owners = table.owners.get(&dependency.name);
        if !dependency.dev && owners.is_some_and(|owners| !owners.contains(from)) {
            let what = format!("`{from}` may not know {}", dependency.name);
            let remedy = "see [owners] in xtask/edges.toml for who does, and go through it";
            findings.push(Finding::new(&path, line, what, remedy));
        }
    }
    findings
}

/// Returns rows and edges of the table that no crate uses: leftovers would allow later breaches.
pub(super) fn check_dead(table: &Table, members: &[Member]) -> Vec<Finding> {
    let mut dead = Vec::new();
    let is_there = |name: &str| members.iter().any(|member| member.short() == name);
    let uses = |from: &str, to: &str, dev: bool| {
        let mut from = members.iter().filter(|member| member.short() == from);
        from.any(|member| {
            member
                .dependencies
                .iter()
                .any(|dependency| dependency.dev == dev && short(&dependency.name) == to)
        })
    };
    dead.extend(
        table.pure.iter().filter(|name| !is_there(name)).map(|name| format!("pure `{name}`")),
    );
    for (edges, dev) in [(&table.edges, false), (&table.dev_edges, true)] {
        for (from, targets) in edges {
            if !is_there(from) {
                dead.push(format!("the row of `{from}`"));
                continue;
            }
            let unused = targets.iter().filter(|to| !uses(from, to, dev));
            dead.extend(unused.map(|to| format!("`{from}` -> `{to}`")));
        }
    }
    for (library, owners) in &table.owners {
        let unused = owners.iter().filter(|owner| !uses(owner, library, false));
        dead.extend(unused.map(|owner| format!("`{owner}` as an owner of `{library}`")));
    }
    dead.into_iter()
        .map(|what| {
            Finding::new(TABLE_PATH, 1, format!("{what}: nothing there uses it"), "take it out")
        })
        .collect()
}

/// Returns the line in which the manifest names the dependency; 1 if it does so in an unusual form.
fn line_of(manifest: &str, name: &str, dev: bool) -> usize {
    let mut in_dev = false;
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            in_dev = line.contains("dev-dependencies");
        }
        let names = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
        if names && in_dev == dev {
            return number;
        }
    }
    1
}

#[cfg(test)]
mod tests;
