//! Values as sessions write them.

use jedlik_client::Content;

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
        assert_eq!(held(&Content::Value(value.into())), expected, "{value:?}");
    }
    assert_eq!(held(&Content::Tombstone), Held::Tombstone);
}
