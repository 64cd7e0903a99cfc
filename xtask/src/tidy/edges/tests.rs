//! Edges against a small table, and the real table against itself.

use super::super::{Dependency, Member};
use super::{Table, check};

const TABLE: &str = r#"
pure = ["ring"]
[edges]
ring = []
server = ["ring"]
[dev-edges]
ring = ["server"]
[owners]
redb = ["storage"]
"#;

fn member(name: &str, dependencies: &[(&str, bool)]) -> Member {
    let dependencies = dependencies
        .iter()
        .map(|(name, dev)| Dependency {
            name: (*name).into(),
            dev: *dev,
            ours: name.starts_with("jedlik-"),
        })
        .collect();
    Member { name: format!("jedlik-{name}"), folder: format!("crates/{name}"), dependencies }
}

fn findings(member: &Member, manifest: &str) -> Vec<String> {
    let table = Table::parse(TABLE).unwrap();
    check(&table, member, manifest).iter().map(ToString::to_string).collect()
}

#[test]
fn an_edge_in_the_table_is_allowed() {
    assert_eq!(
        findings(&member("server", &[("jedlik-ring", false), ("bytes", false)]), ""),
        [""; 0]
    );
}

#[test]
fn an_edge_that_points_upwards_is_found_at_its_line() {
    let manifest = "[dependencies]\nbytes.workspace = true\njedlik-server.workspace = true\n";
    let found = findings(&member("ring", &[("jedlik-server", false)]), manifest);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("crates/ring/Cargo.toml:3: `ring` may not depend on `server`; "));
}

#[test]
fn tests_have_a_looser_table() {
    assert_eq!(findings(&member("ring", &[("jedlik-server", true)]), ""), [""; 0]);
    assert_eq!(findings(&member("server", &[("jedlik-ring", true)]), ""), [""; 0]);
    assert_eq!(findings(&member("ring", &[("jedlik-client", true)]), "").len(), 1);
}

#[test]
fn a_crate_without_a_row_is_found() {
    assert_eq!(findings(&member("client", &[]), "").len(), 1);
}

#[test]
fn an_engine_is_known_to_its_owner_alone() {
    assert_eq!(findings(&member("server", &[("redb", false)]), "").len(), 1);
    assert_eq!(findings(&member("server", &[("redb", true)]), ""), [""; 0]);
}

#[test]
fn the_real_table_has_no_cycle_and_pure_crates_rest_on_pure_ones() {
    let table = Table::parse(include_str!("../../../edges.toml")).unwrap();
    let mut settled: Vec<&str> = Vec::new();
    while settled.len() < table.edges.len() {
        let before = settled.len();
        for (from, targets) in &table.edges {
            let ready = targets.iter().all(|to| settled.contains(&to.as_str()));
            if ready && !settled.contains(&from.as_str()) {
                settled.push(from);
            }
        }
        assert!(settled.len() > before, "a cycle among those beside {settled:?}");
    }
    for pure in &table.pure {
        assert!(table.edges[pure].iter().all(|to| table.is_pure(to)), "{pure}");
    }
}
