//! Riak's own clients for Node.js and Python, unchanged, over a real cluster's doors for Protocol Buffers.

use std::path::{Path, PathBuf};
use std::process::Command;

use jedlik_ports::free_address;

use crate::cluster::Cluster;
use crate::doors::{issue_door, use_tls};
use crate::http::open;
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

/// Starts a cluster whose doors have TLS and ask for tokens, and makes one.
fn guarded() -> (Cluster, String) {
    let cluster = Cluster::start_with(|node| {
        open(node);
        issue_door(node, &[]);
        for door in ["http", "riak-pb"] {
            use_tls(node, door);
            node.options.push(format!("--{door}-access=tokens"));
        }
        node.options.push("--riak-pb-tls-clients=accepted".into());
        node.options.push(format!("--riak-pb-listen={}", free_address().unwrap()));
    });
    let make = ["token", "make", "shop", "--write", "carts", "--json"];
    let made = run(cluster.admin(0).args(make)).ok().json();
    (cluster, made["token"].as_str().unwrap().to_owned())
}

/// Returns what a script is told of a guarded cluster's first node: ports, token, authority, and a client's certificate.
fn told(cluster: &Cluster, token: &str) -> Vec<String> {
    let node = &cluster.nodes[0];
    let (name, secret) = token.split_once('.').unwrap();
    let port = node.options.last().unwrap().rsplit(':').next().unwrap();
    let http_port = node.address.unwrap().port().to_string();
    let files = ["ca/ca.pem", "client/tls/cert.pem", "client/tls/key.pem"];
    let files = files.map(|file| cluster.path(file).display().to_string());
    [port, &http_port, name, secret].map(str::to_owned).into_iter().chain(files).collect()
}

/// Runs a script with Riak's client for Node.js, to its end.
fn walk_in_node(home: &Path, script: &str, args: Vec<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPTS).join(script);
    let said = run(Command::new("node").arg(script).arg(home).args(args)).ok();
    assert!(said.stdout.ends_with("done\n"), "{said:?}");
}

/// Runs a script with Riak's client for Python, to its end.
fn walk_in_python(python: &Path, script: &str, args: Vec<String>) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut walk = Command::new(python);
    walk.env("PYTHONPATH", tests.join(riak_http::SCRIPTS)).args(["-B", "-W", "ignore"]);
    let said = run(walk.arg(tests.join(SCRIPTS).join(script)).args(args)).ok();
    assert!(said.stdout.ends_with("done\n"), "{said:?}");
}

#[test]
fn riaks_client_for_node_comes_in_over_tls_with_a_token() {
    let Some(home) = client_for_node() else { return };
    let (cluster, token) = guarded();
    walk_in_node(&home, "walk_tls.js", told(&cluster, &token));
}

#[test]
fn riaks_client_for_python_comes_in_over_tls_with_a_token_or_a_certificate() {
    let Some(python) = riak_http::python() else { return };
    let (cluster, token) = guarded();
    walk_in_python(&python, "walk_tls.py", told(&cluster, &token));
}

#[test]
fn riaks_client_for_node_works_unchanged() {
    let Some(home) = client_for_node() else { return };
    let (_cluster, ports) = cluster();
    walk_in_node(&home, "walk.js", ports);
}

#[test]
fn riaks_client_for_python_works_unchanged() {
    let Some(python) = riak_http::python() else { return };
    let (_cluster, ports) = cluster();
    walk_in_python(&python, "walk.py", ports);
}
