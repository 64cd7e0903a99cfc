//! Real processes: signalled if they are the recorded ones, left alone otherwise.

use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;

use super::{Recorded, Stat};

const LIMIT: Duration = Duration::from_secs(30);

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn the_recorded_process_is_ended() {
    let mut child = sleeper();
    let recorded = Recorded::of(child.id()).unwrap();
    assert!(recorded.is_running().unwrap());
    assert!(recorded.end(Signal::KILL, LIMIT).unwrap());
    assert!(!recorded.is_running().unwrap(), "ended, though not collected yet");
    child.wait().unwrap();
    assert!(recorded.end(Signal::KILL, LIMIT).unwrap(), "ending twice is no error");
}

#[test]
fn another_process_with_the_same_pid_is_left_alone() {
    let mut child = sleeper();
    let mut recorded = Recorded::of(child.id()).unwrap();
    recorded.started_ticks -= 1;
    assert!(!recorded.is_running().unwrap());
    assert!(recorded.end(Signal::KILL, LIMIT).unwrap());
    assert!(child.try_wait().unwrap().is_none(), "it was hit");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
    let fields = "1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 0";
    let line = format!("42 (a) b (c) S {fields}");
    assert_eq!(Stat::parse(&line), Some(Stat { started_ticks: 777, has_ended: false }));
    let line = format!("42 (jedlik-node) Z {fields}");
    assert_eq!(Stat::parse(&line), Some(Stat { started_ticks: 777, has_ended: true }));
    assert_eq!(Stat::parse("42 (cut short) S 1"), None);
}
