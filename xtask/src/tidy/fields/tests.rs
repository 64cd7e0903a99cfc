//! Structs with too many fields, and code that only looks like one.

use super::super::lexer::code_only;

fn wide(path: &str, source: &str) -> Vec<(String, usize)> {
    super::wide(path, &code_only(source))
}

fn with(count: usize, kind: &str) -> String {
    let fields: String = (0..count).map(|at| format!("    pub f{at}: Vec<a::B<u8>>,\n")).collect();
    format!(
        "/// Has `struct` in a comment: {{ a: b }}\npub struct Wide<T: Into<u8>> {kind}{{\n{fields}}}\n"
    )
}

#[test]
fn fifteen_fields_are_allowed_and_sixteen_are_not() {
    assert!(wide("a.rs", &with(15, "")).is_empty());
    assert_eq!(wide("a.rs", &with(16, "")), [("a.rs".to_owned(), 2)]);
    assert_eq!(wide("a.rs", &with(16, "where T: Copy ")).len(), 1);
}

#[test]
fn types_in_fields_are_no_fields() {
    let source = "struct A {\n    f: fn(a: u8) -> B<{ N }>,\n    #[x(a = \"b: c\")]\n    g: [u8; { 3 }],\n}\nstruct T(u8, u8);\nstruct U;\n";
    assert!(wide("a.rs", source).is_empty());
}
