//! The rule that no reference dangles: links and anchors, numbered decisions, paths and types that a page names.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::lexer::is_word;

/// Folder of the numbered decisions.
const DECISIONS: &str = "docs/decisions/";
/// Index of the decisions, which names each of them.
pub(super) const INDEX: &str = "docs/decisions/README.md";
/// Pages about the past, which may name things that are gone.
const HISTORIES: [&str; 2] = ["CHANGELOG.md", "docs/decisions/"];
/// Prefixes of paths between backticks that must exist.
const HOMES: [&str; 4] = ["crates/", "bins/", "xtask/", "docs/"];

/// Possible targets of references: files, types and decisions.
pub(super) struct Targets<'a> {
    /// Reader of a file's text by its path from the root; `None` if there is no such file or folder. Folders are empty.
    pub(super) read: &'a dyn Fn(&str) -> Option<String>,
    /// Identifiers in the workspace's code.
    pub(super) identifiers: &'a BTreeSet<String>,
    /// Numbers of the existing decisions.
    pub(super) decisions: &'a BTreeSet<u32>,
}

/// Checks every reference in a page of Markdown.
pub(super) fn check_page(path: &str, page: &str, targets: &Targets<'_>) -> Vec<Finding> {
    let past = HISTORIES.iter().any(|history| path.starts_with(history));
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let mut missing = links(path, line, targets);
        missing.extend(unknown_decisions(line, targets));
        if !past {
            missing.extend(quoted(line).filter_map(|text| unknown_name(path, text, targets)));
        }
        let remedy = "correct the page";
        findings.extend(missing.into_iter().map(|what| Finding::new(path, number, what, remedy)));
    }
    findings
}

/// Checks every reference in the comments of a Rust file.
pub(super) fn check_comments(path: &str, source: &str, targets: &Targets<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        let mut missing = links(path, comment, targets);
        missing.extend(unknown_decisions(comment, targets));
        let remedy = "correct the comment";
        findings.extend(missing.into_iter().map(|what| Finding::new(path, number, what, remedy)));
    }
    findings
}

/// Returns the decisions that the index leaves out.
pub(super) fn check_index(index: &str, names: &[String]) -> Vec<Finding> {
    let left_out = names.iter().filter(|name| !index.contains(&format!("]({name})")));
    left_out
        .map(|name| {
            let what = format!("`{name}` is a decision that the index leaves out");
            Finding::new(INDEX, 1, what, "add a row with its date and status")
        })
        .collect()
}

/// Returns the relative links of a line that lead nowhere.
fn links(path: &str, line: &str, targets: &Targets<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        let Some(link) = rest.split(')').next() else { continue };
        let outside = ["http:", "https:", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
        // Links of rustdoc name items, which rustdoc checks.
        let item = !link.starts_with('#') && !link.contains(['.', '/']);
        if outside || item || link.is_empty() || link.contains([' ', '"', '{']) {
            continue;
        }
        let (file, anchor) = link.split_once('#').map_or((link, None), |(f, a)| (f, Some(a)));
        let target = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
        let text = target.as_deref().and_then(targets.read);
        match (text, anchor) {
            (None, _) => missing.push(format!("a link to `{file}`, which isn't there")),
            (Some(text), Some(anchor)) if !anchors(&text).any(|slug| slug == anchor) => {
                missing.push(format!("a link to `#{anchor}`, which is no heading of `{file}`"));
            }
            (Some(_), _) => {}
        }
    }
    missing
}

/// Resolves `link`, as seen from the file at `path`, to a path from the root; `None` if it leads out of the workspace.
fn resolve(path: &str, link: &str) -> Option<String> {
    let mut resolved = PathBuf::from(path);
    resolved.pop();
    for component in Path::new(link).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => resolved.pop().then_some(())?,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    resolved.to_str().map(str::to_owned)
}

/// Returns the anchors that a page's headings make, by the rules of the usual renderers.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| is_word(*c) || matches!(c, ' ' | '-'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// Returns mentions such as "decision 12" for which there is no page.
fn unknown_decisions(line: &str, targets: &Targets<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    for word in ["decision ", "decisions "] {
        for (at, _) in line.match_indices(word) {
            let digits = line[at + word.len()..].chars().take_while(char::is_ascii_digit);
            let Ok(number) = digits.collect::<String>().parse() else { continue };
            if !targets.decisions.contains(&number) {
                missing.push(format!("decision {number} is named; {DECISIONS} has none"));
            }
        }
    }
    missing
}

/// Returns the texts between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Describes what is wrong with a path or a type that a page names; `None` if nothing is.
fn unknown_name(path: &str, text: &str, targets: &Targets<'_>) -> Option<String> {
    // A crate's page names its files as seen from the crate.
    let of_crate = text.starts_with("src/") && path.contains('/');
    if of_crate || HOMES.iter().any(|home| text.starts_with(home)) {
        let plain = !text.contains([' ', '*', '<', '{', '…']);
        let file = text.trim_end_matches('/');
        let file = if of_crate { resolve(path, file)? } else { file.to_owned() };
        let missing = plain && (targets.read)(&file).is_none();
        return missing.then(|| format!("`{text}` is named and isn't there"));
    }
    let segments: Vec<&str> = text.split("::").collect();
    let mut types = segments.iter().filter(|segment| is_type(segment));
    let missing = types.find(|segment| !targets.identifiers.contains(**segment))?;
    Some(format!("`{missing}` is named, and no code has it"))
}

/// Whether a word is written like a type: `CamelCase`, with a small letter in it.
fn is_type(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|character| character.is_ascii_alphanumeric())
        && word.chars().skip(1).any(|character| character.is_ascii_uppercase())
        && word.chars().any(|character| character.is_ascii_lowercase())
}

#[cfg(test)]
mod tests;
