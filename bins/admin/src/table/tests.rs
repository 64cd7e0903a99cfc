//! Tables as text, row by row.

use super::{Align, Table};

#[test]
fn columns_line_up_whatever_is_in_them() {
    let mut table =
        Table::new([("name", Align::Left), ("tokens", Align::Right), ("zone", Align::Left)]);
    table.row(["n1".into(), "85".into(), "z1".into()]);
    table.row(["ångström".into(), "1234567".into(), String::new()]);
    assert_eq!(
        table.to_string(),
        "name       tokens  zone\n\
         n1             85  z1\n\
         ångström  1234567\n"
    );
}
