//! Pages that name too little, too much, or one file twice.

use super::check;

fn findings(page: &str) -> Vec<String> {
    let there = ["crates/a", "bins/b", "crates/a/src/put.rs"];
    let found = check(page, &["crates/a", "bins/b"], |path| there.contains(&path));
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_page_that_names_every_crate_is_fine() {
    assert_eq!(
        findings("| `crates/a` | does |\n| `bins/b/` | starts |\n`cargo x`, `crates/*`\n"),
        [""; 0]
    );
}

#[test]
fn a_crate_that_is_not_named_is_found() {
    let found = findings("| `crates/a` |\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("docs/ARCHITECTURE.md:1: `bins/b` is a crate"), "{found:?}");
}

#[test]
fn a_name_that_is_not_there_is_found_at_its_line() {
    let found = findings("`crates/a` `bins/b`\n`crates/c` and `crates/a/src/get.rs`\n");
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("docs/ARCHITECTURE.md:2: `crates/c` is named and isn't there"));
}

#[test]
fn a_file_stands_in_the_walk_once() {
    let head = "`crates/a` `bins/b` `crates/a/src/put.rs`\n## One put, from socket to disk\n";
    let once = format!("{head}1. `crates/a/src/put.rs`\n");
    assert_eq!(findings(&once), [""; 0]);
    let twice = format!("{once}2. `crates/a/src/put.rs`\n");
    assert_eq!(findings(&twice).len(), 1);
    let elsewhere = format!("{once}## Invariants\n`crates/a/src/put.rs`\n");
    assert_eq!(findings(&elsewhere), [""; 0]);
}
