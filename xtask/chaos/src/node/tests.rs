//! Processes in the place of nodes.

use std::fs;
use std::time::Duration;

use jedlik_engines::Engine;

use tokio::process::Child;

use super::{Node, ready_address};
use crate::clock;
use crate::command::command;

#[test]
fn the_readiness_line_tells_the_address() {
    let line = "ready node=0123456789abcdef name=n1 address=127.0.0.1:7401";
    assert_eq!(ready_address(line), Some("127.0.0.1:7401".parse().unwrap()));
    assert_eq!(ready_address("INFO ready"), None);
}

#[tokio::test]
async fn a_process_can_be_held_and_killed_and_its_end_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let mut node = Node::new(1, folder.path().into(), address, (Engine::Redb, None));
    node.start(command("sh", &["-c", "exec sleep 600"]), &[]).unwrap();
    assert!(node.is_running() && !node.is_ready().unwrap());
    node.hold(true).unwrap();
    node.kill().await.unwrap();
    assert!(!node.is_running());
    assert!(node.hold(true).is_err());
    node.kill().await.unwrap();
}

#[tokio::test]
async fn a_killed_process_with_its_own_clock_leaves_nothing_in_shared_memory() {
    if clock::library().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let mut node = Node::new(1, folder.path().into(), address, (Engine::Redb, None));
    node.start(command("sh", &["-c", "exec sleep 600"]), &[]).unwrap();
    let pid = node.child.as_ref().and_then(Child::id).unwrap();
    let given = async {
        while !node.clock.as_ref().is_some_and(clock::Shared::exists) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), given).await.expect("it has a clock");
    node.kill().await.unwrap();
    assert!(!clock::Shared::of(pid).exists());
}

#[tokio::test]
async fn a_node_that_ends_before_it_serves_is_an_error_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mysql = Some("\n[mysql]\ndatabase = \"n2\"\n".into());
    let address = "127.0.0.1:0".parse().unwrap();
    let mut node = Node::new(2, folder.path().into(), address, (Engine::Mysql, mysql));
    node.start(command("sh", &["-c", "echo no such disk; exit 1"]), &[]).unwrap();
    let error = loop {
        match node.is_ready() {
            Ok(false) => tokio::task::yield_now().await,
            Ok(true) => panic!("it never serves"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("n2 has ended") && error.contains("no such disk"), "{error}");
    let config = fs::read_to_string(folder.path().join("node.toml")).unwrap();
    assert!(config.contains("zone = \"n2\"\nengine = \"mysql\"\n"), "{config}");
    assert!(config.ends_with("\n\n[mysql]\ndatabase = \"n2\"\n"), "{config}");
}
