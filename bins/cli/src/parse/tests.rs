//! Durations, contexts and values as they are typed.

use std::time::Duration;

use jedlik_client::Context;

use super::{context, context_text, duration, value};
use crate::exit::Exit;

#[test]
fn durations_have_units() {
    let cases = [
        ("500ms", Some(500)),
        ("5s", Some(5_000)),
        ("0.5s", Some(500)),
        ("2m", Some(120_000)),
        ("3", Some(3_000)),
        ("0s", None),
        ("-1s", None),
        ("5h", None),
        ("s", None),
        ("", None),
        ("NaN", None),
    ];
    for (text, ms) in cases {
        assert_eq!(duration(text).ok(), ms.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn a_context_survives_being_text() {
    let bytes: Vec<u8> = (0..=255).collect();
    let text = context_text(&Context::from_bytes(bytes.clone()));
    assert_eq!(context(&format!("{text}\n")).unwrap().as_bytes()[..], bytes);
    assert!(context("no base64!").is_err());
}

#[test]
fn a_value_comes_from_the_argument_or_a_file_byte_by_byte() {
    assert_eq!(&*value(Some("tea".into()), None).unwrap(), b"tea");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v");
    std::fs::write(&path, [0, 255, 10]).unwrap();
    assert_eq!(&*value(None, Some(path.clone())).unwrap(), [0, 255, 10]);
    std::fs::remove_file(&path).unwrap();
    for error in [value(None, None).unwrap_err(), value(None, Some(path)).unwrap_err()] {
        assert_eq!(Exit::of(&error), Exit::Usage, "{error:#}");
    }
}
