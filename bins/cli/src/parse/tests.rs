//! Contexts and values as they are typed.

use jedlik_client::Context;

use super::{context, context_text, value};
use crate::exit::Exit;

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
