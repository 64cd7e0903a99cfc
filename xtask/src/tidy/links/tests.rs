//! References that lead somewhere, and some that don't.

use std::collections::BTreeSet;

use super::{Targets, check_comments, check_index, check_page};

fn found(check: impl Fn(&Targets<'_>) -> Vec<super::Finding>) -> Vec<String> {
    let read = |path: &str| match path {
        "docs/design.md" => Some("# The design\n## 4. Membership and `moving` data\n".to_owned()),
        "docs/decisions/0008-x.md" | "crates/a" | "crates/a/src/put.rs" => Some(String::new()),
        _ => None,
    };
    let identifiers = BTreeSet::from(["JointPut".to_owned()]);
    let decisions = BTreeSet::from([8]);
    let targets = Targets { read: &read, identifiers: &identifiers, decisions: &decisions };
    check(&targets).iter().map(ToString::to_string).collect()
}

fn page(text: &str) -> Vec<String> {
    found(|targets| check_page("docs/running.md", text, targets))
}

#[test]
fn links_and_anchors_that_are_there_are_fine() {
    let text =
        "[a](design.md#4-membership-and-moving-data) [b](decisions/0008-x.md) [c](https://a.b/c)\n";
    assert_eq!(page(text), [""; 0]);
}

#[test]
fn a_link_and_an_anchor_that_lead_nowhere_are_found() {
    assert!(page("[a](gone.md)\n")[0].starts_with("docs/running.md:1: a link to `gone.md`"));
    assert!(
        page("\n[a](design.md#5-gone)\n")[0].starts_with("docs/running.md:2: a link to `#5-gone`")
    );
    assert_eq!(page("[a](../../out.md)\n").len(), 1);
}

#[test]
fn decisions_are_known_by_their_numbers() {
    assert_eq!(page("see decision 8\n"), [""; 0]);
    assert_eq!(page("see decision 9\n").len(), 1);
}

#[test]
fn a_path_or_a_type_that_is_not_there_is_found() {
    assert_eq!(page("`crates/a/` has `JointPut`, `GET`, `Get`, `crates/*`\n"), [""; 0]);
    assert_eq!(page("`crates/b/src/put.rs`\n").len(), 1);
    assert_eq!(page("`PutChain::new`\n").len(), 1);
}

#[test]
fn a_page_of_a_crate_names_files_as_seen_from_the_crate() {
    let readme = |text: &str| found(|targets| check_page("crates/a/README.md", text, targets));
    assert_eq!(readme("`src/put.rs` and `crates/a/src/put.rs`\n"), [""; 0]);
    assert_eq!(readme("`src/get.rs`\n").len(), 1);
    assert_eq!(page("`src/get.rs`\n").len(), 1);
}

#[test]
fn comments_are_held_to_the_same() {
    let comments =
        |text: &str| found(|targets| check_comments("crates/a/src/put.rs", text, targets));
    assert_eq!(
        comments("//! ([design 4](../../../docs/design.md#4-membership-and-moving-data))\n"),
        [""; 0]
    );
    assert_eq!(comments("//! ([design 4](../../docs/design.md))\n").len(), 1);
    assert_eq!(comments("//! See [`Put`](crate::Put), decision 8.\n"), [""; 0]);
    assert_eq!(comments("    // As in decision 9.\n").len(), 1);
}

#[test]
fn the_index_names_every_decision() {
    let names = ["0008-x.md".to_owned()];
    assert!(check_index("| 8 | [x](0008-x.md) |", &names).is_empty());
    assert_eq!(check_index("", &names).len(), 1);
}
