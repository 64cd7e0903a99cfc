//! A manifest that keeps the rules, and one breach at a time.

use super::{check_member, check_root};

const GOOD: &str = "[package]
name = \"a\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
bytes.workspace = true
clap = { workspace = true, features = [\"env\"] }
";

fn findings(manifest: &str) -> Vec<String> {
    let found = check_member("crates/a/Cargo.toml", manifest).unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_manifest_that_only_picks_from_the_workspace_is_fine() {
    assert_eq!(findings(GOOD), [""; 0]);
}

#[test]
fn every_way_to_leave_the_workspace_is_found() {
    let cases = [
        ("version.workspace = true", "version = \"1.0.0\"", 1),
        ("edition.workspace = true\n", "", 1),
        ("rust-version.workspace = true", "rust-version = \"1.80\"", 1),
        ("[lints]\nworkspace = true", "", 1),
        ("[lints]\nworkspace = true", "[lints.clippy]\ntodo = \"allow\"", 1),
        ("bytes.workspace = true", "bytes = \"1\"", 13),
        ("bytes.workspace = true", "bytes = { version = \"1\" }", 13),
        ("[dependencies]\n", "[dev-dependencies]\nb = { path = \"../b\" }\n", 13),
        ("[dependencies]\n", "[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n", 13),
    ];
    for (from, to, line) in cases {
        assert!(GOOD.contains(from), "{from}");
        let found = findings(&GOOD.replacen(from, to, 1));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(found[0].starts_with(&format!("crates/a/Cargo.toml:{line}: ")), "{found:?}");
    }
}

#[test]
fn a_pinned_toolchain_is_found() {
    assert_eq!(check_root(|_| false), []);
    assert_eq!(check_root(|path| path == "rust-toolchain.toml").len(), 1);
}
