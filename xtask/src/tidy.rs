//! The house rules that neither the compiler nor clippy knows, as a test over the whole workspace.
//!
//! Invariant: every finding is one line, `path:line: what; remedy`, and every rule has a fixture that breaks it.

mod edges;
mod english;
mod fields;
mod lexer;
mod links;
mod manifest;
mod map;
mod ratchet;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use cargo_metadata::Metadata;

use crate::workspace::Workspace;

/// Breach of a rule, with its place and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    remedy: &'static str,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.into(), line, what: what.into(), remedy }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, remedy } = self;
        write!(f, "{path}:{line}: {what}; {remedy}")
    }
}

/// Checks the workspace and prints every finding.
///
/// # Errors
/// There are findings, or the workspace can't be read.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut findings = check(workspace)?;
    findings.sort();
    // The folder of one crate may contain another's, so findings may be doubled.
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: nothing to find fault with"),
        count => bail!("tidy: {count} findings"),
    }
    Ok(())
}

fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let root = workspace.root();
    let table = edges::Table::parse(include_str!("../edges.toml"))?;
    let members = members(workspace.metadata())?;
    let mut findings = edges::check_dead(&table, &members);
    let mut sources = BTreeMap::new();
    for member in &members {
        let manifest_path = format!("{}/Cargo.toml", member.folder);
        let manifest = read(root, &manifest_path)?;
        findings.extend(edges::check(&table, member, &manifest));
        findings.extend(manifest::check_member(&manifest_path, &manifest)?);
        if table.is_pure(member.short()) {
            let path = format!("{}/src/lib.rs", member.folder);
            findings.extend(source::check_pure(&path, &read(root, &path)?));
        }
        for path in files(root, &root.join(&member.folder), "rs")? {
            let source = read(root, &path)?;
            sources.insert(path, source);
        }
    }
    let (mut tally, mut wide) = (english::Tally::default(), Vec::new());
    let mut identifiers = BTreeSet::new();
    for (path, source) in &sources {
        let code = lexer::code_only(source);
        identifiers.extend(code.split(|c| !lexer::is_word(c)).map(str::to_owned));
        findings.extend(source::check(path, source));
        wide.extend(fields::wide(path, &code));
        tally.add(path, source);
    }
    let allowed: ratchet::Ratchet =
        toml::from_str(&read(root, ratchet::PATH)?).context("the ratchet is malformed")?;
    findings.extend(tally.check(allowed.doc_comments));
    let remedy = "it is two structs: part it";
    findings.extend(ratchet::check(
        &wide,
        allowed.wide_structs,
        "structs have over 15 fields",
        remedy,
    ));
    findings.extend(references(root, &sources, &identifiers)?);
    let folders: Vec<&str> = members.iter().map(|member| member.folder.as_str()).collect();
    findings.extend(map::check(&read(root, map::PATH)?, &folders, |path| root.join(path).exists()));
    findings.extend(manifest::check_root(|path| root.join(path).exists()));
    Ok(findings)
}

/// Returns the references in pages and comments that lead nowhere.
fn references(
    root: &Path,
    sources: &BTreeMap<String, String>,
    identifiers: &BTreeSet<String>,
) -> anyhow::Result<Vec<Finding>> {
    let pages = files(root, &root.join("docs"), "md")?;
    let names: Vec<String> = pages
        .iter()
        .filter_map(|path| path.strip_prefix("docs/decisions/"))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
        .collect();
    let decisions = names.iter().filter_map(|name| name.split('-').next()?.parse().ok()).collect();
    let text = |path: &str| {
        let path = root.join(path);
        if path.is_dir() {
            return Some(String::new());
        }
        // A picture has no headings to link to.
        fs::read(path).ok().map(|bytes| String::from_utf8(bytes).unwrap_or_default())
    };
    let targets = links::Targets { read: &text, identifiers, decisions: &decisions };
    let mut findings = links::check_index(&read(root, links::INDEX)?, &names);
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned);
    for path in pages.iter().chain(&top) {
        findings.extend(links::check_page(path, &read(root, path)?, &targets));
    }
    let folders: BTreeSet<&str> = sources
        .keys()
        .filter_map(|path| path.split_once("/src/"))
        .map(|(crate_, _)| crate_)
        .collect();
    for folder in folders {
        let path = format!("{folder}/README.md");
        match fs::read_to_string(root.join(&path)) {
            Ok(page) => findings.extend(links::check_page(&path, &page, &targets)),
            Err(_) => {
                let what = format!("`{folder}` has no README.md");
                let remedy = "say what the crate is, where to start and what always holds";
                findings.push(Finding::new(&path, 1, what, remedy));
            }
        }
    }
    for (path, source) in sources {
        findings.extend(links::check_comments(path, source, &targets));
    }
    Ok(findings)
}

/// Crate of the workspace with its dependencies on others, as cargo sees them.
#[derive(Debug)]
struct Member {
    /// Name of the crate, as in its manifest.
    name: String,
    /// Folder of the crate, relative to the root.
    folder: String,
    dependencies: Vec<Dependency>,
}

impl Member {
    /// Returns the name without the prefix that all crates share.
    fn short(&self) -> &str {
        short(&self.name)
    }
}

/// Line of a manifest's dependency tables.
#[derive(Debug)]
struct Dependency {
    name: String,
    /// Whether the dependency is for tests only.
    dev: bool,
    /// Whether the dependency is a crate of this workspace.
    ours: bool,
}

fn short(name: &str) -> &str {
    name.strip_prefix("jedlik-").unwrap_or(name)
}

fn members(metadata: &Metadata) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest without a folder")?;
        let folder = folder.strip_prefix(&metadata.workspace_root)?.to_string();
        let dependencies = package
            .dependencies
            .iter()
            .map(|dependency| Dependency {
                name: dependency.name.clone(),
                dev: dependency.kind == cargo_metadata::DependencyKind::Development,
                ours: dependency.path.is_some(),
            })
            .collect();
        members.push(Member { name: package.name.to_string(), folder, dependencies });
    }
    Ok(members)
}

fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("can't read {path}"))
}

/// Returns the files below `folder` with this extension, by their paths from the root.
fn files(root: &Path, folder: &Path, extension: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("can't read {folder:?}"))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                let relative = path.strip_prefix(root).expect("the file was found under the root");
                found.push(relative.to_str().context("a path that is not UTF-8")?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
