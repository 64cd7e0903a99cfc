//! Riak's own clients for Node.js and Python, unchanged, over a real cluster's doors for Protocol Buffers.

use std::path::{Path, PathBuf};
use std::process::Command;

use jedlik_ports::free_address;

use crate::cluster::Cluster;
use crate::tools::run;
use crate::{packages, riak_http};

const FOR_NODE: &str = "basho-riak-client@2.4.0";
/// Folder of the clients' scripts, below this package's.
const SCRIPTS: &str = "tests/e2e/riak_pb";

/// Returns a folder that has the client for Node.js; `None` if it can't be had here.
pub(crate) fn client_for_node() -> Option<PathBuf> {
    packages::node("riak-node", FOR_NODE)
}

/// Starts a cluster whose nodes have the door, and returns the doors' ports.
fn cluster() -> (Cluster, Vec<String>) {
    let cluster = Cluster::start_with(|node| {
        node.options.push(format!("--riak-pb-listen={}", free_address().unwrap()));
    });
    let port = |options: &Vec<String>| options.last()?.rsplit(':').next().map(str::to_owned);
    let ports = cluster.nodes.iter().filter_map(|node| port(&node.options)).collect();
    (cluster, ports)
}

#[test]
fn riaks_client_for_node_works_unchanged() {
    let Some(home) = client_for_node() else { return };
    let (_cluster, ports) = cluster();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPTS).join("walk.js");
    let said = run(Command::new("node").arg(script).arg(&home).args(ports)).ok();
    assert!(said.stdout.ends_with("done\n"), "{said:?}");
}

#[test]
fn riaks_client_for_python_works_unchanged() {
    let Some(python) = riak_http::python() else { return };
    let (_cluster, ports) = cluster();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut walk = Command::new(python);
    walk.env("PYTHONPATH", tests.join(riak_http::SCRIPTS)).args(["-B", "-W", "ignore"]);
    let said = run(walk.arg(tests.join(SCRIPTS).join("walk.py")).args(ports)).ok();
    assert!(said.stdout.ends_with("done\n"), "{said:?}");
}
