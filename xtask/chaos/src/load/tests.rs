//! Values as sessions write them.

use super::held;
use crate::record::Held;

#[test]
fn a_value_names_its_write() {
    let cases = [
        ("write 17      ", Held::Write(17)),
        ("write 17", Held::Write(17)),
        ("write x", Held::Foreign),
        ("", Held::Foreign),
    ];
    for (value, expected) in cases {
        assert_eq!(held(Some(value.as_bytes())), expected, "{value:?}");
    }
    assert_eq!(held(None), Held::Tombstone);
}
