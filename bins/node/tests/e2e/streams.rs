//! A node's log whose destination is full, gone, or standing still: the node goes on.

use std::fs::File;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::tools::{run, tool};

/// Size of a pipe's buffer in the operating system.
const PIPE_BYTES: usize = 64 << 10;

#[test]
fn a_full_log_disk_neither_stops_a_node_nor_keeps_it_from_starting() {
    let mut cluster = Cluster::start_with(|node| {
        node.options = vec!["--log-filter=debug".into()];
        node.stderr = Some(File::options().write(true).open("/dev/full").unwrap());
    });
    serve(&mut cluster, 20);
    for node in &mut cluster.nodes {
        assert_eq!(node.stop().code(), Some(0), "{} stopped cleanly", node.name);
    }
}

#[test]
fn what_a_failed_start_ends_with_does_not_depend_on_its_log() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let cluster = Cluster::start();
    let node = &cluster.nodes[0];
    let mut taken = tool("jedlik-node");
    taken.args(["run", "--config"]).arg(node.folder.join("node.toml"));
    assert_eq!(taken.stderr(full()).status().unwrap().code(), Some(1), "its directory is in use");
    let mut mistaken = tool("jedlik-node");
    mistaken.args(["run", "--weight=0"]);
    assert_eq!(mistaken.stderr(full()).status().unwrap().code(), Some(2), "mistaken options");
    let mut shown = tool("jedlik-node");
    shown.args(["check-config", "--config"]).arg(node.folder.join("node.toml"));
    assert_eq!(run(&mut shown).code, 0);
    assert_eq!(shown.stdout(full()).status().unwrap().code(), Some(1), "nothing was shown");
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_eq!(shown.stdout(writer).status().unwrap().code(), Some(0), "nobody wants to see it");
}

#[test]
fn a_log_whose_reader_has_ended_does_not_end_the_node() {
    let mut readers = Vec::new();
    let mut cluster = Cluster::start();
    for index in 0..3 {
        let node = &mut cluster.nodes[index];
        assert_eq!(node.stop().code(), Some(0));
        readers.push(piped(node));
        cluster.restart(index);
    }
    cluster.wait_until_all_are_up(0);
    serve(&mut cluster, 3);
    drop(readers);
    serve(&mut cluster, 20);
    for node in &mut cluster.nodes {
        assert_eq!(node.stop().code(), Some(0), "{} stopped cleanly", node.name);
    }
}

#[test]
fn a_log_whose_reader_stands_still_holds_up_nothing_and_lost_lines_are_told_when_it_goes_on() {
    let mut cluster = Cluster::start();
    let mut readers = Vec::new();
    for index in 0..3 {
        let node = &mut cluster.nodes[index];
        assert_eq!(node.stop().code(), Some(0));
        node.options = vec!["--log-filter=trace".into()];
        readers.push(piped(node));
        cluster.restart(index);
    }
    cluster.wait_until_all_are_up(0);
    // Far more is logged than the pipe and the queue before it hold.
    serve(&mut cluster, 60);
    let mut last = readers.pop().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reading = Arc::clone(&seen);
    thread::spawn(move || {
        let mut part = vec![0; PIPE_BYTES];
        while let Ok(1..) = last.read(&mut part).inspect(|length| {
            reading.lock().unwrap().extend_from_slice(&part[..*length]);
        }) {}
    });
    wait_until("the lost lines are told of", || {
        String::from_utf8_lossy(&seen.lock().unwrap()).contains("log lines were lost")
    });
    for node in &mut cluster.nodes {
        assert_eq!(node.stop().code(), Some(0), "{} stopped cleanly", node.name);
    }
}

/// Makes the node log into a pipe, and returns the reading end.
fn piped(node: &mut Node) -> PipeReader {
    let (reader, writer) = pipe().unwrap();
    node.stderr = Some(File::from(OwnedFd::from(writer)));
    reader
}

/// Puts and gets through every node.
fn serve(cluster: &mut Cluster, times: usize) {
    for round in 0..times {
        for index in 0..cluster.nodes.len() {
            let key = format!("{round}-{index}");
            run(cluster.jedlik(index).args(["put", "carts", &key, "tea"])).ok();
            run(cluster.jedlik(index).args(["get", "carts", &key])).ok();
            assert!(cluster.nodes[index].is_running());
        }
    }
}
