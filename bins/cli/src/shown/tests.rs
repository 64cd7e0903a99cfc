//! Values and siblings as they are printed.

use jedlik_client::{Found, Sibling};
use jedlik_protocol::Blob;
use jedlik_protocol::client::{GetAnswer, Version};
use jedlik_vclock::Content;

use super::{json, text};

fn version(value: Option<&[u8]>) -> Version {
    let content = value.map_or(Content::Tombstone, |value| Content::Value(value.into()));
    Version { content, tag: 0xab, written_at_ms: 0, expires_at_ms: None }
}

fn found(versions: Vec<Version>) -> Found {
    let context = Some(Blob::from(&b"c"[..]));
    GetAnswer { versions, context, answered: 2, primaries: 1, partial: false }.into()
}

fn shown(siblings: &[Sibling], terminal: bool) -> String {
    let mut out = Vec::new();
    text(&mut out, siblings, terminal).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn one_value_is_its_bytes_and_ends_its_line_on_a_terminal() {
    let cases = [("tea", "tea\n"), ("tea\n", "tea\n"), ("", "\n"), ("one\ntwo", "one\ntwo\n")];
    for (value, on_terminal) in cases {
        let found = found(vec![version(Some(value.as_bytes()))]);
        assert_eq!(shown(found.siblings(), false), value);
        assert_eq!(shown(found.siblings(), true), on_terminal);
    }
}

#[test]
fn siblings_are_told_apart() {
    let found = found(vec![version(Some(b"tea")), version(None)]);
    assert_eq!(
        shown(found.siblings(), false),
        "--- sibling 1 of 2, written 1970-01-01T00:00:00.000Z, tag 00000000000000ab, 3 bytes\n\
         tea\n\
         --- sibling 2 of 2, written 1970-01-01T00:00:00.000Z, tag 00000000000000ab, deleted\n"
    );
}

#[test]
fn json_has_every_sibling_and_the_context() {
    let versions = vec![version(Some(b"{\"tea\":1}")), version(Some(&[255])), version(None)];
    let found = json(&found(versions)).unwrap();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["context"], "Yw==");
    assert_eq!((&found["answered"], &found["primaries"]), (&2.into(), &1.into()));
    assert_eq!(found["siblings"][0]["value"], "{\"tea\":1}");
    assert_eq!(found["siblings"][0]["deleted"], false);
    assert_eq!(found["siblings"][0]["tag"], "00000000000000ab");
    assert_eq!(found["siblings"][0]["written_at"], "1970-01-01T00:00:00.000Z");
    assert_eq!(found["siblings"][1]["value_base64"], "/w==");
    assert_eq!(found["siblings"][2]["deleted"], true);
    assert!(found["siblings"][2].get("value").is_none());
}
