//! Summary lines, and a command that writes some.

use std::process::Command;

use super::{Tally, stream};

#[test]
fn a_summary_line_is_read() {
    let line = "test result: FAILED. 21 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
    assert_eq!(Tally::of_line(line), Some(Tally { passed: 21, failed: 2 }));
    for line in ["", "test a ... ok", "running 21 tests", "test result: unknown"] {
        assert_eq!(Tally::of_line(line), None, "{line}");
    }
}

#[test]
fn several_summaries_add_up_also_when_the_command_fails() {
    let script = "echo 'test result: ok. 2 passed; 0 failed;'; \
                  echo 'test result: FAILED. 3 passed; 1 failed;'; exit 101";
    let mut tally = Tally::default();
    stream(Command::new("sh").args(["-c", script]), &mut tally).unwrap_err();
    assert_eq!(tally.to_string(), "5 passed, 1 failed");
}
