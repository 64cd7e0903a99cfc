//! Each rule with a fixture that breaks it and one that doesn't.

use super::{check, check_pure};

fn findings(path: &str, source: &str) -> Vec<String> {
    check(path, source).iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_keeps_the_rules_has_no_findings() {
    let source = "//! Its job.\n\nuse std::fmt;\n\n/// `unsafe` in words.\nfn f() -> &'static str {\n    \"unsafe use x::*;\"\n}\n";
    assert_eq!(findings("crates/a/src/lib.rs", source), [""; 0]);
}

#[test]
fn a_module_has_to_open_with_its_job() {
    for source in ["", "use std::fmt;\n", "// Its job.\n", "//!\nfn f() {}\n"] {
        let found = findings("crates/a/src/b.rs", source);
        assert_eq!(found.len(), 1, "{source:?}");
        assert!(found[0].starts_with("crates/a/src/b.rs:1: a module without a `//!` line; "));
    }
}

#[test]
fn a_file_past_400_lines_is_found_and_its_tests_do_not_count() {
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(400));
    let found = findings("crates/a/src/b.rs", &long);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("crates/a/src/b.rs:401: 401 lines without tests, over 400; "));

    let just = format!("//! Just.\n{}", "fn f() {}\n".repeat(399));
    let tail = format!("{just}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn t() {}\n".repeat(99));
    assert_eq!(findings("crates/a/src/b.rs", &tail), [""; 0]);
    assert_eq!(findings("crates/a/src/b/tests.rs", &long), [""; 0]);
    assert_eq!(findings("bins/a/tests/cluster/node.rs", &long), [""; 0]);
}

#[test]
fn a_test_module_in_a_file_of_its_own_does_not_end_the_count() {
    let long = format!("//! Long.\n#[cfg(test)]\nmod tests;\n{}", "fn f() {}\n".repeat(400));
    assert_eq!(findings("crates/a/src/b.rs", &long).len(), 1);
}

#[test]
fn unsafe_is_found_in_code_and_only_there() {
    let cases = [
        ("unsafe { f() }", 1),
        ("// unsafe", 0),
        ("/* /* unsafe */ unsafe */", 0),
        ("r#\"unsafe \" unsafe\"#", 0),
        ("b\"unsafe\"", 0),
        ("'\"'; unsafe fn f() {}", 1),
        ("'\\''; unsafe fn f() {}", 1),
        ("fn f<'a>(x: &'a str) { unsafe {} }", 1),
        ("#![forbid(unsafe_code)]", 0),
    ];
    for (code, count) in cases {
        let found = findings("crates/a/src/b.rs", &format!("//! Its job.\n{code}\n"));
        assert_eq!(found.len(), count, "{code}: {found:?}");
        if let Some(found) = found.first() {
            assert!(found.starts_with("crates/a/src/b.rs:2: `unsafe`; "), "{found}");
        }
    }
}

#[test]
fn a_glob_import_is_found_however_it_is_written() {
    let cases = [
        ("use std::io::*;", 1),
        ("pub use inner::*;", 1),
        ("pub(crate) use inner::{\n    a,\n    b::*,\n};", 1),
        ("use {a::b, c::*};", 1),
        ("use a::{b, c};\nfn f() -> i32 { 2 * 3 }", 0),
        ("use super::*;", 1),
        ("#[cfg(test)]\nmod tests {\n    use super::*;\n}", 0),
        ("#[cfg(test)]\nmod tests {\n    use proptest::prelude::*;\n}", 1),
        ("fn reuse() -> i32 { 2 * 3 }", 0),
    ];
    for (code, count) in cases {
        let found = findings("crates/a/src/b.rs", &format!("//! Its job.\n{code}\n"));
        assert_eq!(found.len(), count, "{code}: {found:?}");
    }
    assert_eq!(findings("crates/a/src/b/tests.rs", "//! Tests.\nuse super::*;\n"), [""; 0]);
}

#[test]
fn a_file_name_says_what_it_is_about() {
    for path in ["crates/a/src/util.rs", "crates/helpers/src/lib.rs", "crates/a/src/common/b.rs"] {
        assert_eq!(findings(path, "//! Its job.\n").len(), 1, "{path}");
    }
}

#[test]
fn a_pure_crate_has_no_std() {
    assert!(check_pure("crates/a/src/lib.rs", "//! Pure.\n\n#![no_std]\n").is_none());
    for source in ["//! Impure.\n", "//! #![no_std]\n", "#![cfg_attr(not(test), no_std)]\n"] {
        assert!(check_pure("crates/a/src/lib.rs", source).is_some(), "{source:?}");
    }
}
