//! Configurations, and shell scripts in the place of nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::super::home::{Engine, Home, State};
use super::{config, configure, start};

fn script(home: &Home, body: &str) -> PathBuf {
    let path = home.path("script");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn cluster() -> (tempfile::TempDir, Home, State) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let state = State::new(2, Engine::Redb, "programs".into()).unwrap();
    configure(&home, &state.nodes[0], &state.nodes, Engine::Redb).unwrap();
    (folder, home, state)
}

#[test]
fn a_configuration_is_toml_with_the_others_as_seeds() {
    let mut state = State::new(3, Engine::Redb, "programs".into()).unwrap();
    state.nodes[0].have_doors().unwrap();
    let config: toml::Table = config(&state.nodes[0], &state.nodes, Engine::Redb).parse().unwrap();
    assert_eq!(config["listen"].as_str().unwrap(), state.nodes[0].address.to_string());
    let seeds: Vec<&str> =
        config["seeds"].as_array().unwrap().iter().map(|seed| seed.as_str().unwrap()).collect();
    let others: Vec<String> =
        state.nodes[1..].iter().map(|node| node.address.to_string()).collect();
    assert_eq!(seeds, others);
    assert_eq!(config["http"]["listen"], config["listen"]);
    let riak_pb = state.nodes[0].riak_pb.unwrap().to_string();
    assert_eq!(config["riak_pb"]["listen"].as_str(), Some(riak_pb.as_str()));
    assert_eq!(config["tls"]["key"].as_str(), Some("tls/key.pem"));
}

#[test]
fn a_node_is_awaited_until_it_says_that_it_serves() {
    let (_folder, home, mut state) = cluster();
    let script = script(&home, "echo 'ready node=1 name=n1 address=127.0.0.1:1'; exec sleep 600");
    let node = &mut state.nodes[0];
    start(&script, &home, node).unwrap().wait().unwrap();
    let process = node.process.unwrap();
    assert!(process.end(Signal::KILL, Duration::from_secs(30)).unwrap());
}

#[test]
fn a_node_that_dies_is_reported_with_the_end_of_its_log() {
    let (_folder, home, mut state) = cluster();
    let node = &mut state.nodes[0];
    let earlier = "ready node=1 name=n1 address=127.0.0.1:1\n";
    fs::write(home.node_path(node, "log"), earlier).unwrap();
    let script = script(&home, "echo 'the disk is full' >&2; exit 1");
    let error = start(&script, &home, node).unwrap().wait().unwrap_err().to_string();
    assert!(error.starts_with("n1 has ended."), "{error}");
    assert!(error.ends_with("the disk is full"), "{error}");
}
