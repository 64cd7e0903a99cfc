//! Clusters of real nodes with an authority of their own, and the tools pointed at them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_client::{Client, Identity};
use serde_json::Value;

use crate::node::{LIMIT, Node};
use crate::places::Places;
use crate::tools::{Said, run, tool};

/// Cluster of real nodes, which ends with the test.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    folder: tempfile::TempDir,
    _places: Places,
}

impl Cluster {
    /// Starts three nodes and commits a first layout.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts three nodes, each changed by `adjust` before its start, and commits a first layout.
    pub(crate) fn start_with(adjust: impl Fn(&mut Node)) -> Self {
        Self::start_many(3, adjust)
    }

    /// Starts `count` nodes, `n1` and so on, each in a zone of its own, and commits a first layout.
    pub(crate) fn start_many(count: usize, adjust: impl Fn(&mut Node)) -> Self {
        Self::start_in(Places::one(), count, adjust)
    }

    /// Starts `count` nodes while no other test's cluster runs: for measurements that a busy machine would distort.
    pub(crate) fn start_alone(count: usize, adjust: impl Fn(&mut Node)) -> Self {
        Self::start_in(Places::all(), count, adjust)
    }

    /// Makes an authority and certificates for the tools, but no node yet.
    pub(crate) fn unfounded() -> Self {
        Self::without_nodes(Places::one())
    }

    fn start_in(places: Places, count: usize, adjust: impl Fn(&mut Node)) -> Self {
        let mut cluster = Self::without_nodes(places);
        cluster.add_nodes(count, adjust);
        cluster.commit_first_layout();
        cluster
    }

    fn without_nodes(places: Places) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { nodes: Vec::new(), folder, _places: places };
        run(tool("jedlik-admin").args(["ca", "init", "--dir"]).arg(cluster.path("ca"))).ok();
        cluster.issue("client", "client");
        cluster.issue("admin", "admin");
        cluster
    }

    /// Starts more nodes, which the layout does not have yet.
    pub(crate) fn add_nodes(&mut self, count: usize, adjust: impl Fn(&mut Node)) {
        for _ in 0..count {
            let name = format!("n{}", self.nodes.len() + 1);
            self.issue("node", &name);
            let mut node = Node::new(self.path(&name), &name);
            adjust(&mut node);
            node.start(&self.seeds_but(self.nodes.len()));
            self.nodes.push(node);
        }
        self.write_profiles();
    }

    /// Returns a path in the cluster's folder.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Kills one node with SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// Starts one node again, on the address that it had.
    pub(crate) fn restart(&mut self, index: usize) {
        let seeds = self.seeds_but(index);
        self.nodes[index].start(&seeds);
    }

    /// Returns the addresses of all nodes but one.
    pub(crate) fn seeds_but(&self, index: usize) -> Vec<SocketAddr> {
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        others.filter_map(|(_, node)| node.address).collect()
    }

    /// Returns a `jedlik` command with the node at `index` as its only seed.
    pub(crate) fn jedlik(&self, index: usize) -> Command {
        let mut command = tool("jedlik");
        command.arg("--profile").arg(self.path(format!("client-{index}.toml")));
        command
    }

    /// Returns a `jedlik-admin` command with the node at `index` as its only seed.
    pub(crate) fn admin(&self, index: usize) -> Command {
        let mut command = tool("jedlik-admin");
        command.arg("--profile").arg(self.path(format!("admin-{index}.toml")));
        command
    }

    /// Connects the Rust client with the node at `index` as its only seed.
    pub(crate) async fn client(&self, index: usize) -> Client {
        self.client_as("client", index).await
    }

    /// Connects the Rust client with the certificate of another role.
    pub(crate) async fn client_as(&self, role: &str, index: usize) -> Client {
        let file = |name: &str| self.path(format!("{role}/tls/{name}.pem"));
        let identity = Identity::from_pem_files(file("ca"), file("cert"), file("key")).unwrap();
        let seed = self.nodes[index].address;
        Client::builder().seeds(seed).identity(identity).connect().await.unwrap()
    }

    /// Runs `jedlik-admin` with these words to its end, with the node at `index` as its only seed.
    pub(crate) fn ask(&self, index: usize, words: &str) -> Said {
        run(self.admin(index).args(words.split(' ')))
    }

    /// Returns the cluster's status as the node at `index` sees it.
    pub(crate) fn status(&self, index: usize) -> Value {
        self.ask(index, "cluster status --json").ok().json()
    }

    /// Waits until the node at `index` takes all started nodes to be up, and knows that they have the same layout.
    /// Departed nodes don't count.
    pub(crate) fn wait_until_all_are_up(&self, index: usize) {
        wait_until("every member is up", || {
            let said = self.ask(index, "cluster status --json");
            if said.code != 0 {
                return false;
            }
            let status = said.json();
            let is_gone =
                |member: &&Value| member["state"] == "left" || member["state"] == "removed";
            let members = status["members"].as_array().unwrap().iter();
            let members: Vec<&Value> = members.filter(|member| !is_gone(member)).collect();
            members.len() == self.nodes.iter().filter(|node| node.is_started()).count()
                && members.iter().all(|member| {
                    member["alive"] == true && member["layout_digest"] == status["layout_digest"]
                })
        });
    }

    /// Issues a certificate of this cluster into `NAME/tls`.
    pub(crate) fn issue(&self, role: &str, name: &str) {
        issue(&self.path("ca"), role, name, &self.path(name).join("tls"));
    }

    fn write_profiles(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            for role in ["client", "admin"] {
                let address = node.address.unwrap();
                let path = self.path(format!("{role}-{index}.toml"));
                fs::write(path, profile(address, role)).unwrap();
            }
        }
    }

    fn commit_first_layout(&self) {
        self.wait_until_all_are_up(0);
        // On a busy machine a member may be taken for down between the two; then one plans again, as the refusal says.
        wait_until("the first layout is committed", || {
            let plan = run(self.admin(0).args(["--json", "cluster", "plan"])).ok().json();
            let whole = plan["nodes"].as_array().is_some_and(|all| all.len() == self.nodes.len());
            let hash = plan["plan"].as_str().unwrap();
            whole && run(self.admin(0).args(["cluster", "commit", hash])).code == 0
        });
        for index in 0..self.nodes.len() {
            wait_until("every node has the layout", || {
                let said = run(self.admin(index).args(["--json", "cluster", "status"]));
                said.code == 0 && said.json()["layout"] == 1
            });
        }
    }
}

/// Returns the text of a profile in the cluster's folder.
pub(crate) fn profile(address: SocketAddr, role: &str) -> String {
    format!(
        "seeds = [\"{address}\"]\nca = \"{role}/tls/ca.pem\"\n\
         cert = \"{role}/tls/cert.pem\"\nkey = \"{role}/tls/key.pem\"\n"
    )
}

/// Issues a certificate with the admin tool.
pub(crate) fn issue(ca: &Path, role: &str, name: &str, out: &Path) {
    let mut command = tool("jedlik-admin");
    command.args(["cert", "issue", "--role", role, "--name", name, "--ca"]).arg(ca);
    run(command.arg("--out").arg(out)).ok();
}

/// Checks the condition repeatedly until it holds; fails with `what` after the limit.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || if condition() { Ok(()) } else { Err(String::new()) });
}

/// Runs a command repeatedly until it succeeds; fails with `what` and its last output after the limit.
pub(crate) fn wait_until_ok(what: &str, mut ask: impl FnMut() -> Said) -> Said {
    wait_for(what, || {
        let said = ask();
        if said.code == 0 { Ok(said) } else { Err(format!("; at last {said:?}")) }
    })
}

/// Repeats an attempt until it has a result; fails with `what` and the last error after the limit.
pub(crate) fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        let why = match attempt() {
            Ok(found) => return found,
            Err(why) => why,
        };
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}{why}");
        thread::park_timeout(Duration::from_millis(50));
    }
}
