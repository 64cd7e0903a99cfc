//! Escapes there and back, and what they keep from a terminal.

use alloc::string::ToString as _;

use proptest::prelude::{any, prop, proptest};

use super::{Escaped, InvalidEscape, Printable, unescape};

#[test]
fn plain_text_is_shown_as_it_is_and_the_rest_with_escapes() {
    let cases: [(&[u8], &str); 8] = [
        (b"alice", "alice"),
        ("Ångström's".as_bytes(), "Ångström's"),
        (b"two\nlines", "two\\nlines"),
        (b"a\\b", "a\\\\b"),
        (&[0xff, b'a', 0], "\\xffa\\x00"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        ("c1 \u{9b}".as_bytes(), "c1 \\xc2\\x9b"),
        (b"\t\r\x7f", "\\t\\r\\x7f"),
    ];
    for (bytes, text) in cases {
        assert_eq!(Escaped(bytes).to_string(), text);
        assert_eq!(unescape(text.as_bytes()).as_deref(), Ok(bytes));
    }
}

#[test]
fn a_backslash_that_begins_no_escape_is_refused_where_it_stands() {
    for (text, at) in [("a\\", 1), ("\\x", 0), ("\\xf", 0), ("\\xfg", 0), ("\\\\\\q", 2)] {
        assert_eq!(unescape(text.as_bytes()), Err(InvalidEscape { at }), "{text}");
    }
}

#[test]
fn a_text_of_lines_keeps_its_lines_and_loses_what_steers_a_terminal() {
    let text = Printable("one \\ \x1b]0;x\x07\ntwo\r").to_string();
    assert_eq!(text, "one \\ \\x1b]0;x\\x07\ntwo\\r");
}

proptest! {
    #[test]
    fn any_bytes_come_back_from_their_escapes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let text = Escaped(&bytes).to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert_eq!(unescape(text.as_bytes()).as_deref(), Ok(&bytes[..]));
    }
}
