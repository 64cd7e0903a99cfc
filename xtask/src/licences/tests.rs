//! The rules on made-up packages, and on the real file.

use cargo_metadata::Package;
use serde_json::json;

use super::{REGISTRY, Rules, is_met};

const RULES: &str = r#"
[graph]
targets = ["x86_64-unknown-linux-gnu"]
[licenses]
allow = ["MIT"]
unused-allowed-license = "allow"
exceptions = [{ crate = "tool", allow = ["MPL-2.0"] }]
[bans]
multiple-versions = "warn"
wildcards = "allow"
deny = [{ crate = "openssl-sys", reason = "TLS is rustls" }]
[sources]
unknown-registry = "deny"
unknown-git = "deny"
"#;

fn package(name: &str, licence: Option<&str>, source: Option<&str>) -> Package {
    let package = json!({
        "name": name, "version": "1.0.0", "id": name, "license": licence, "source": source,
        "dependencies": [], "targets": [], "features": {}, "manifest_path": "/x/Cargo.toml",
    });
    serde_json::from_value(package).unwrap()
}

#[test]
fn a_licence_a_ban_and_a_source_are_each_found() {
    let rules: Rules = toml::from_str(RULES).unwrap();
    let found = |name: &str, licence: Option<&str>, source: Option<&str>| {
        rules.findings(&package(name, licence, source)).join("; ")
    };
    assert_eq!(found("good", Some("MIT OR GPL-3.0"), Some(REGISTRY)), "");
    assert_eq!(found("ours", Some("MIT"), None), "");
    assert_eq!(found("tool", Some("MPL-2.0"), Some(REGISTRY)), "");
    assert!(found("other", Some("MPL-2.0"), Some(REGISTRY)).contains("`MPL-2.0` is not among"));
    assert!(found("bad", Some("GPL-3.0"), Some(REGISTRY)).contains("`GPL-3.0` is not among"));
    assert!(found("bare", None, Some(REGISTRY)).contains("names no licence"));
    assert!(found("openssl-sys", Some("MIT"), Some(REGISTRY)).contains("TLS is rustls"));
    assert!(found("far", Some("MIT"), Some("git+https://x.org/far")).contains("comes from git"));
}

#[test]
fn a_rule_that_is_not_known_is_not_passed_over() {
    let rule = "unused-allowed-license = \"allow\"";
    let more = RULES.replace(rule, &format!("{rule}\nunheard-of = []"));
    assert!(toml::from_str::<Rules>(&more).is_err());
    assert!(toml::from_str::<Rules>(&RULES.replace("\"deny\"", "\"allow\"")).is_err());
}

#[test]
fn the_real_file_has_no_rule_that_is_not_known() {
    let rules: Rules = toml::from_str(include_str!("../../../deny.toml")).unwrap();
    assert!(rules.licenses.allow.contains("MIT") && !rules.bans.deny.is_empty());
}

#[test]
fn an_expression_is_met_by_licences_that_are_enough_for_it() {
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("GPL-3.0 AND (MIT OR ISC)", false),
        ("MIT WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", true),
        ("", false),
        ("MIT OR", false),
        ("MIT ISC", false),
        ("(MIT", false),
        ("MIT)", false),
    ] {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(is_met(expression, |id| allowed.contains(&id)), met, "{expression:?}");
    }
}
