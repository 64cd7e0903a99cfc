//! Long commands that a signal ends: they say how far they came.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::{Cluster, wait_until};
use crate::tools::run;

/// Starts a command whose output is kept, with an input that stays open.
fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Ends the command by a signal; returns its exit code, standard output and standard error.
fn end(mut child: Child, signal: Signal) -> (Option<i32>, String, String) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_load_and_a_bench_that_are_interrupted_say_how_far_they_came() {
    let cluster = Cluster::start();
    let acked = cluster.path("acked");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let _ = fs::remove_file(&acked);
        let mut command = cluster.jedlik(0);
        let mut load = start(command.args(["load", "words", "-", "--json", "--acked"]).arg(&acked));
        load.stdin.as_mut().unwrap().write_all(b"tea\nmilk\nrum\n").unwrap();
        wait_until("three keys are acknowledged", || {
            fs::read_to_string(&acked).unwrap_or_default().lines().count() == 3
        });
        let (ended, printed, said) = end(load, signal);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("interrupted after 3 acknowledged keys"), "{said}");
        assert!(printed.contains("\"loaded\":3"), "{printed}");
    }

    let mut command = cluster.jedlik(0);
    command.args(["bench", "--mix", "put", "--clients", "2", "--seconds", "10m"]);
    let bench = start(command.args(["--warmup", "1ms", "--bucket", "measured"]));
    wait_until("some puts were measured", || {
        run(cluster.jedlik(1).args(["keys", "measured"])).ok().stdout.lines().count() > 100
    });
    let (ended, printed, said) = end(bench, Signal::INT);
    assert_eq!(ended, Some(130), "{said}");
    assert!(said.contains("interrupted: the report is of"), "{said}");
    assert!(printed.contains("put ") && printed.contains("errors: none"), "{printed}");

    let mut command = cluster.jedlik(0);
    command.args(["bench", "--preload", "--keys", "1000000", "--clients", "2"]);
    let bench = start(command.args(["--bucket", "preloaded"]));
    wait_until("some keys are preloaded", || {
        run(cluster.jedlik(1).args(["keys", "preloaded"])).ok().stdout.lines().count() > 10
    });
    let (ended, _, said) = end(bench, Signal::INT);
    assert_eq!(ended, Some(130), "{said}");
    let keys = said.split_once("interrupted after ").and_then(|(_, rest)| rest.split_once(' '));
    let keys: u64 = keys.unwrap_or_else(|| panic!("{said}")).0.parse().unwrap();
    assert!((1..1_000_000).contains(&keys), "{said}");
}

#[test]
fn a_bench_whose_requests_can_never_pass_stops_at_the_first_and_says_why() {
    let cluster = Cluster::start();
    let bench =
        ["bench", "--mix", "put", "--clients", "1", "--value-bytes", "2000000", "--seconds", "5m"];
    run(cluster.jedlik(0).args(bench)).refused(2, &["first request", "over the", "limit"]);
}
