//! Licences, bans and sources of all dependencies: the rules of deny.toml, checked here, since building cargo-deny
//! takes longer than all other checks of its kind. cargo-deny itself reads the same file on GitHub.
//!
//! Invariant: a line of deny.toml that this check doesn't know makes it fail, so that no rule is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, Package, PackageId};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::workspace::Workspace;

const PAGE: &str = "deny.toml";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Contents of deny.toml, as far as this check knows them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
    #[serde(rename = "sources")]
    _sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Licences {
    allow: BTreeSet<String>,
    #[serde(rename = "unused-allowed-license")]
    _unused: Level,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences that one crate may have beside those that every crate may.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Level,
    #[serde(rename = "wildcards")]
    _wildcards: Level,
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Denied,
    #[serde(rename = "unknown-git")]
    _unknown_git: Denied,
}

/// Level at which a rule fails nothing here, and is left to cargo-deny to show.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Allow,
    Warn,
}

/// The only level known to this check for rules that it always denies.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Denied {
    Deny,
}

/// Checks every package that a build for one of the targets may use.
///
/// # Errors
/// deny.toml has an unknown line, or packages break a rule; the error names all of them.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let text = fs::read_to_string(workspace.root().join(PAGE)).context(PAGE)?;
    let rules: Rules = toml::from_str(&text).context(PAGE)?;
    let (mut findings, mut checked) = (BTreeSet::new(), BTreeSet::new());
    for target in &rules.graph.targets {
        let metadata = workspace.whole_graph(target)?;
        for package in used(&metadata) {
            checked.insert(package.id.clone());
            findings.extend(rules.findings(package));
        }
    }
    if !findings.is_empty() {
        let findings: Vec<String> = findings.into_iter().collect();
        bail!("{PAGE} forbids what is used:\n{}", findings.join("\n"));
    }
    println!("{} packages keep to {PAGE}", checked.len());
    Ok(())
}

/// Returns the packages that the graph for one target contains.
fn used(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    let packages: BTreeMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let nodes = metadata.resolve.iter().flat_map(|graph| &graph.nodes);
    nodes.filter_map(move |node| packages.get(&node.id).copied())
}

impl Licences {
    fn allows(&self, package: &str, id: &str) -> bool {
        let mut own = self.exceptions.iter().filter(|exception| exception.name == package);
        self.allow.contains(id) || own.any(|exception| exception.allow.contains(id))
    }
}

impl Rules {
    /// Returns the rules that one package breaks.
    fn findings(&self, package: &Package) -> Vec<String> {
        let mut findings = Vec::new();
        let name = format!("{} {}", package.name, package.version);
        match package.license.as_deref() {
            None => findings.push(format!("{name}: it names no licence")),
            Some(licence) => {
                if !is_met(licence, |id| self.licenses.allows(&package.name, id)) {
                    findings.push(format!("{name}: `{licence}` is not among the allowed licences"));
                }
            }
        }
        for ban in self.bans.deny.iter().filter(|ban| ban.name == package.name.as_str()) {
            findings.push(format!("{name}: {}", ban.reason));
        }
        // Members of the workspace have no source.
        let source = package.source.as_ref().map(|source| source.repr.as_str());
        if source.is_some_and(|source| source != REGISTRY) {
            findings.push(format!("{name}: it comes from {}", source.unwrap_or_default()));
        }
        findings
    }
}

/// Whether the licences that `allowed` accepts satisfy an SPDX expression, or one like `MIT/Apache-2.0` in older
/// crates. An expression that can't be read is not satisfied.
fn is_met(expression: &str, allowed: impl Fn(&str) -> bool) -> bool {
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    parsed.is_ok_and(|parsed| parsed.evaluate(|wanted| allowed(&wanted.to_string())))
}

#[cfg(test)]
mod tests;
