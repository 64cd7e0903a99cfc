//! The tools with full or closed outputs, with names of any bytes, and with files that already exist.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::tools::{Said, run};

/// Runs a command whose standard output is a full device.
fn on_full_disk(command: &mut Command) -> Said {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    said(child.wait_with_output().unwrap())
}

/// Runs a command whose standard output has lost its reader.
fn into_closed_pipe(command: &mut Command) -> Said {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    said(child.wait_with_output().unwrap())
}

fn said(output: std::process::Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    Said { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn every_command_survives_a_full_and_a_closed_output() {
    let cluster = Cluster::start();
    run(cluster.jedlik(0).args(["put", "carts", "there", "tea"])).ok();
    let lines = cluster.path("lines");
    fs::write(&lines, "one\n").unwrap();
    let load = ["load", "carts", lines.to_str().unwrap(), "--json"];
    let writes: [&[&str]; 3] = [
        &["put", "carts", "alice", "tea", "--json"],
        &["put", "carts", "bob", "tea", "--return-context"],
        &["delete", "carts", "alice", "--json"],
    ];
    let others: [&[&str]; 6] = [
        &["get", "carts", "there"],
        &["get", "carts", "there", "--json"],
        &["keys", "carts", "--json"],
        &["keys", "carts", "--null"],
        &["dump", "carts"],
        &load,
    ];
    for words in writes {
        let done = ["acknowledged", "No space left"];
        on_full_disk(cluster.jedlik(0).args(words)).refused(3, &done);
        into_closed_pipe(cluster.jedlik(0).args(words))
            .refused(if words[0] == "delete" { 1 } else { 0 }, &[]);
    }
    for words in others {
        on_full_disk(cluster.jedlik(0).args(words)).refused(3, &["No space left"]);
        into_closed_pipe(cluster.jedlik(0).args(words)).ok();
    }
    assert_eq!(run(cluster.jedlik(0).args(["get", "carts", "bob", "--json"])).code, 0);
    for words in [&["cluster", "status", "--json"][..], &["bucket", "list"], &["node", "stats"]] {
        on_full_disk(cluster.admin(0).args(words)).refused(3, &["No space left"]);
        into_closed_pipe(cluster.admin(0).args(words)).ok();
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let absent = cluster.jedlik(0).args(["get", "carts", "nobody"]).stderr(full).status().unwrap();
    assert_eq!(absent.code(), Some(1), "a remark that nobody can read changes no exit code");
}

#[test]
fn buckets_and_keys_of_any_bytes_are_named_listed_dumped_and_loaded_exactly() {
    let cluster = Cluster::start();
    let keys: [(&[u8], &str); 4] = [
        (b"plain", "plain"),
        (b"two\nlines", "two\\nlines"),
        (b"back\\slash", "back\\\\slash"),
        (&[0xff, 0xfe, 0], "\\xff\\xfe\\x00"),
    ];
    for (_, escaped) in keys {
        run(cluster.jedlik(0).args(["put", "--escapes", "b\\xff", escaped, escaped])).ok();
    }
    let bucket = OsStr::from_bytes(b"b\xff");
    let raw = OsStr::from_bytes(b"two\nlines");
    let found = run(cluster.jedlik(1).arg("get").arg(bucket).arg(raw)).ok();
    assert_eq!(found.stdout, "two\\nlines");

    let lines = run(cluster.jedlik(0).arg("keys").arg(bucket)).ok().stdout;
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    let mut expected = keys.map(|(_, escaped)| escaped);
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let json = run(cluster.jedlik(0).args(["keys", "-e", "b\\xff", "--json"])).ok().stdout;
    assert!(json.contains("{\"key_base64\":\"//4A\"}\n"), "{json}");
    let zeros = cluster.jedlik(0).args(["keys", "-0", "--sort"]).arg(bucket).output().unwrap();
    let mut sorted = keys.map(|(key, _)| key);
    sorted.sort_unstable();
    assert_eq!(zeros.stdout, [sorted.join(&0), vec![0]].concat());

    let dump = cluster.path("dump");
    run(cluster.jedlik(0).arg("dump").arg(bucket).arg("--output").arg(&dump)).ok();
    run(cluster.jedlik(0).args(["load", "copy"]).arg(&dump)).ok();
    let copy = cluster.jedlik(0).args(["keys", "-0", "--sort", "copy"]).output().unwrap();
    assert_eq!(copy.stdout, zeros.stdout);
    let explained = run(cluster.admin(0).args(["explain", "-e", "b\\xff", "two\\nlines"])).ok();
    assert!(explained.stdout.contains("b\\xff/two\\nlines"), "{explained:?}");
    run(cluster.jedlik(0).args(["delete", "-e", "copy", "\\xff\\xfe\\x00"])).ok();
    assert_eq!(run(cluster.jedlik(0).args(["get", "-e", "copy", "\\xff\\xfe\\x00"])).code, 1);
}

#[test]
fn inputs_without_an_end_and_outputs_without_room_are_told_in_words_and_dumps_of_other_forms_load_nothing()
 {
    let cluster = Cluster::start();
    let jedlik = |words: &[&str]| run(cluster.jedlik(0).args(words));
    jedlik(&["put", "carts", "alice", "tea", "--context-in", "/dev/zero"])
        .refused(2, &["/dev/zero", "context of the largest size"]);
    assert_eq!(jedlik(&["get", "carts", "alice"]).code, 1, "nothing was put");
    jedlik(&["put", "carts", "alice", "tea", "--context-out", "/dev/full"])
        .refused(3, &["acknowledged", "context", "No space left"]);
    jedlik(&["get", "carts", "alice", "--context-out", "/dev/full"])
        .refused(3, &["context", "No space left"]);
    jedlik(&["put", "carts", "bob", "tea", "--context-out", "/nowhere/seen"])
        .refused(2, &["can't write the context"]);
    assert_eq!(jedlik(&["get", "carts", "bob"]).code, 1, "a path that is none is found out before");

    let dump = cluster.path("dump");
    let entry = "{\"bucket\":\"carts\",\"key\":\"bob\",\"value\":\"tea\"}\n";
    let later = format!("{{\"jedlik_dump\":2,\"pages\":7}}\n{entry}");
    for (text, words) in [(later.as_str(), "form 2"), (entry, "jedlik_dump"), ("", "nothing")] {
        fs::write(&dump, text).unwrap();
        jedlik(&["load", "--keep-properties", "--all", dump.to_str().unwrap()])
            .refused(2, &[words]);
    }
    fs::write(&dump, later).unwrap();
    jedlik(&["load", "carts", dump.to_str().unwrap()]).refused(2, &["form 2"]);
    assert_eq!(jedlik(&["get", "carts", "bob"]).code, 1, "nothing was loaded");
}

#[test]
fn a_dump_whose_reader_takes_nothing_for_longer_than_a_page_may_take_goes_on() {
    const KEYS: usize = 150;
    /// Time for which the output stands still: longer than the time for a page.
    const STANDSTILL: Duration = Duration::from_secs(8);
    let cluster = Cluster::start();
    let lines = cluster.path("lines");
    let value = "x".repeat(40_000);
    let line = |number| format!("{{\"key\":\"key-{number}\",\"value\":\"{value}\"}}\n");
    fs::write(&lines, (0..KEYS).map(line).collect::<String>()).unwrap();
    let load = ["load", "carts", "--concurrency", "4", "--timeout", "60s"];
    run(cluster.jedlik(0).args(load).arg(&lines)).ok();
    let mut command = cluster.jedlik(0);
    command.args(["dump", "carts"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut text = vec![0];
    output.read_exact(&mut text).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < STANDSTILL {
        std::thread::park_timeout(STANDSTILL);
    }
    output.read_to_end(&mut text).unwrap();
    said(child.wait_with_output().unwrap()).ok();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().last(), Some(format!("{{\"end\":{{\"keys\":{KEYS}}}}}").as_str()));
    assert_eq!(text.lines().filter(|line| line.contains("key-")).count(), KEYS);
}

#[test]
fn a_dump_that_fails_or_is_interrupted_leaves_yesterdays_file_as_it_was() {
    let mut cluster = Cluster::start();
    let folder = cluster.path("dumps");
    fs::create_dir(&folder).unwrap();
    let dump = folder.join("carts");
    let only_yesterday = || {
        assert_eq!(fs::read(&dump).unwrap(), b"yesterday");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "leftovers");
    };
    fs::write(&dump, "yesterday").unwrap();

    cluster.nodes.iter().for_each(Node::freeze);
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = command(&cluster, &dump);
        let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let unfinished = folder.join(".carts.unfinished");
        wait_until("the dump has begun", || unfinished.exists());
        kill_process(Pid::from_child(&child), signal).unwrap();
        said(child.wait_with_output().unwrap()).refused(3, &["interrupted", "as it was"]);
        only_yesterday();
    }
    for index in 0..3 {
        cluster.nodes[index].thaw();
        cluster.kill(index);
    }
    let failed = run(command(&cluster, &dump).args(["--timeout", "1s"]));
    assert_eq!(failed.code, 3, "{failed:?}");
    only_yesterday();
}

fn command(cluster: &Cluster, dump: &Path) -> Command {
    let mut command = cluster.jedlik(0);
    command.args(["dump", "carts", "--output"]).arg(dump);
    command
}
