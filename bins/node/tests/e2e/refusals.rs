//! Mistakes of every kind get a clear error, and the nodes go on.

use std::fs::{self, File};
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, issue, wait_until, wait_until_ok};
use crate::flood::Hose;
use crate::node::Node;
use crate::tools::{Found, Said, leave_out, run, tool};

/// Exit code for a mistake of the user, as `jedlik --help` promises; an absent key has 1, an unavailable cluster 3.
const USAGE: i32 = 2;
const UNAVAILABLE: i32 = 3;

#[test]
fn a_bad_request_is_refused_with_what_is_wrong() {
    let cluster = Cluster::start();
    let say = |arguments: &[&str]| run(cluster.jedlik(0).args(arguments));
    let large = cluster.path("large");
    fs::write(&large, vec![b'x'; (1 << 20) + 1]).unwrap();
    let large = large.to_str().unwrap();

    say(&["put", "carts", "alice", "--file", large]).refused(USAGE, &["1048577", "1048576"]);
    say(&["put", "carts", "", "tea"]).refused(USAGE, &["the key is empty"]);
    say(&["put", "", "alice", "tea"]).refused(USAGE, &["the bucket name is empty"]);
    say(&["put", "carts", "alice", "tea", "--context", "AAAA"]).refused(USAGE, &["context"]);
    say(&["get", "carts", "alice", "--r", "4"]).refused(USAGE, &["4", "3"]);
    say(&["put", "carts", "alice", "tea", "--w", "4"]).refused(USAGE, &["4", "3"]);

    say(&["put", "carts", "alice", "tea"]).ok();
    let mut get = cluster.jedlik(0);
    let alices = Found::read(&run(get.args(["get", "carts", "alice", "--json"])).ok()).context;
    say(&["put", "carts", "bob", "tea", "--context", &alices.unwrap()])
        .refused(USAGE, &["belongs to another key"]);

    let admin = |arguments: &[&str]| run(cluster.admin(0).args(arguments));
    admin(&["bucket", "set", "carts", "colour=red"]).refused(USAGE, &["colour", "known are"]);
    admin(&["bucket", "set", "carts", "r=4"]).refused(USAGE, &["r can't be 4"]);
    admin(&["cluster", "commit", "0123456789abcdef"]).refused(USAGE, &["plan"]);
    all_serve(cluster);
}

#[test]
fn a_certificate_of_another_cluster_or_role_opens_nothing() {
    let cluster = Cluster::start();
    let (ours, theirs) = (cluster.path("ca/ca.pem"), cluster.path("other-ca"));
    run(tool("jedlik-admin").args(["ca", "init", "--dir"]).arg(&theirs)).ok();
    issue(&theirs, "client", "mallory", &cluster.path("mallory"));
    let cert = cluster.path("mallory");
    let with = |ca: &Path| {
        let mut command = cluster.jedlik(0);
        command.args(["get", "carts", "alice", "--ca"]).arg(ca);
        run(command.arg("--cert").arg(cert.join("cert.pem")).arg("--key").arg(cert.join("key.pem")))
    };
    // The authority that it shows decides who refuses: the client does not trust the node, or the reverse.
    for said in [with(&ours), with(&theirs.join("ca.pem"))] {
        assert!([USAGE, UNAVAILABLE].contains(&said.code), "{said:?}");
        assert!(said.stderr.contains("cluster"), "{said:?}");
    }
    let mut command = tool("jedlik-admin");
    command.arg("--profile").arg(cluster.path("client-0.toml"));
    run(command.args(["bucket", "set", "carts", "n=1"])).refused(USAGE, &["role"]);
    all_serve(cluster);
}

#[test]
fn garbled_and_truncated_packets_change_nothing() {
    let cluster = Cluster::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for length in (1..1500).step_by(7) {
        let packet: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 56) as u8
            })
            .collect();
        for node in &cluster.nodes {
            socket.send_to(&packet, node.address.unwrap()).unwrap();
        }
    }
    all_serve(cluster);
}

#[test]
fn a_full_disk_refuses_puts_and_goes_on_answering_gets() {
    if !can_mount() {
        leave_out("this system lets nobody mount a small disk in a namespace");
        return;
    }
    let mut cluster = Cluster::start_with(|node| {
        node.disk_mb = (node.name == "n3").then_some(48);
    });
    let value = cluster.path("value");
    fs::write(&value, vec![b'x'; 1 << 20]).unwrap();
    let put = |cluster: &Cluster, key: &str, w: &str, timeout: &str| -> Said {
        let mut command = cluster.jedlik(0);
        command.args(["put", "large", key, "--w", w, "--pw", w, "--timeout", timeout, "--file"]);
        run(command.arg(&value))
    };
    // Some may time out while the node tries to make room; in the end the refusal says what is wrong.
    let full = (0..90)
        .map(|key| put(&cluster, &key.to_string(), "3", "5s"))
        .find(|said| said.stderr.contains("no room on the disk"));
    assert_eq!(full.expect("90 MB don't fit on 48").code, UNAVAILABLE);
    assert!(cluster.nodes[2].is_running(), "a full disk is no reason to end");
    wait_until("the log says what is wrong", || {
        cluster.nodes[2].log().contains("no room on the disk")
    });
    put(&cluster, "after", "2", "60s").ok();
    run(cluster.jedlik(2).args(["get", "large", "0", "--r", "3", "--timeout", "60s"])).ok();
}

#[test]
fn a_corrupted_record_is_reported_and_repaired_from_the_others() {
    let marker = "Ányos Jedlik's dynamo, 1861";
    let mut cluster = Cluster::start();
    run(cluster.jedlik(0).args(["put", "carts", "alice", marker, "--w", "3"])).ok();
    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    let damaged = damage(&cluster.nodes[2], marker.as_bytes());
    assert!(damaged > 0, "the record is on disk");
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let get = |cluster: &Cluster, r| {
        let mut command = cluster.jedlik(2);
        run(command.args(["get", "carts", "alice", "--json", "--r", r])).ok()
    };
    assert_eq!(Found::read(&get(&cluster, "3")).values, [marker]);
    wait_until("the damage is reported", || cluster.nodes[2].log().contains("damaged"));
    cluster.kill(0);
    cluster.kill(1);
    assert_eq!(Found::read(&get(&cluster, "1")).values, [marker], "repaired by the get before");
}

/// Whether `unshare` may be used; some containers forbid it.
pub(crate) fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    run(&mut command).code == 0
}

/// Overwrites a few bytes wherever the marker stands in the node's files, and returns the number of places.
fn damage(node: &Node, marker: &[u8]) -> usize {
    let mut places = 0;
    for path in node.data_files(|_| true) {
        let bytes = fs::read(&path).unwrap();
        let found = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(marker));
        let file = File::options().write(true).open(&path).unwrap();
        for at in found {
            file.write_all_at(b"????", at as u64).unwrap();
            places += 1;
        }
    }
    places
}

/// Asserts that every node still runs and serves.
fn all_serve(mut cluster: Cluster) {
    for index in 0..3 {
        assert!(cluster.nodes[index].is_running());
        run(cluster.jedlik(index).args(["put", "health", &index.to_string(), "well"])).ok();
        run(cluster.jedlik(index).args(["get", "health", &index.to_string()])).ok();
    }
}

#[test]
fn a_start_that_fails_leaves_the_clean_mark_as_it_was() {
    let mut cluster = Cluster::start();
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea", "--w", "3"])).ok();
    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    let file = cluster.nodes[2].folder.join("data/node.toml");
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains("clean = true"), "{before}");
    let seeds = cluster.seeds_but(2);
    let fails = |cluster: &mut Cluster, why: &str| {
        let node = &mut cluster.nodes[2];
        assert_eq!(node.try_start(&seeds), None, "{why}");
        assert!(node.log().contains(why), "{}", node.log());
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{why}");
    };

    let taken = UdpSocket::bind(cluster.nodes[2].address.unwrap()).unwrap();
    fails(&mut cluster, "can't listen on");
    drop(taken);
    for (name, why) in [("data/state", "state file"), ("tls/key.pem", "private key")] {
        let path = cluster.nodes[2].folder.join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, b"something else").unwrap();
        fails(&mut cluster, why);
        fs::write(&path, whole).unwrap();
    }

    cluster.restart(2);
    let log = cluster.nodes[2].log();
    let opened: Vec<&str> =
        log.lines().filter(|line| line.contains("opened the data directory")).collect();
    assert!(opened.last().unwrap().contains("clean=true"), "{opened:?}");
}

#[test]
fn a_full_disk_and_a_change_of_the_cluster_leave_a_node_alive_and_reading() {
    if !can_mount() {
        leave_out("this system lets nobody mount a small disk in a namespace");
        return;
    }
    let mut cluster = Cluster::start_with(|node| {
        node.disk_mb = (node.name == "n3").then_some(64);
    });
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea", "--w", "3"])).ok();
    let full = Full::keep(&cluster.nodes[2]);

    cluster.ask(0, "bucket set carts r=1").ok();
    cluster.add_nodes(1, |_| {});
    wait_until_ok("n4 is known", || cluster.ask(0, "cluster join n4"));
    wait_until_ok("layout 2", || {
        let plan = run(cluster.admin(0).args(["--json", "cluster", "plan"])).ok().json();
        let plan = plan["plan"].as_str().unwrap().to_owned();
        run(cluster.admin(0).args(["cluster", "commit", &plan, "--no-wait"]))
    });
    wait_until("n3 has the layout in force, and says that it is not on its disk", || {
        let status = cluster.status(2);
        let record = |name: &str| {
            let members = status["members"].as_array().unwrap();
            members.iter().find(|member| member["name"] == name).cloned().unwrap_or_default()
        };
        status["layout"] == 2
            && record("n1")["layout_digest"] == status["layout_digest"]
            && record("n3")["layout_digest"] != status["layout_digest"]
    });
    let shown = cluster.ask(2, "bucket show carts --json").ok().json();
    assert_eq!(shown["properties"]["r"].to_string().trim_matches('"'), "1", "{shown}");
    let doctor = cluster.ask(0, "doctor");
    assert!(doctor.stdout.contains("n3 has been unable to save"), "{doctor:?}");
    admin_is_sent_to_another_node(&cluster, 2);
    for key in ["alice", "bob"] {
        let value = run(cluster.jedlik(2).args(["put", "carts", key, "milk", "--w", "2"]));
        assert!(value.code == 0 || value.stderr.contains("disk"), "{value:?}");
        let found =
            Found::read(&run(cluster.jedlik(2).args(["get", "carts", "alice", "--json"])).ok());
        assert!(!found.values.is_empty());
    }
    for index in [0, 1, 3] {
        let status = cluster.status(index);
        let members = status["members"].as_array().unwrap();
        let alive = members.iter().find(|member| member["name"] == "n3").unwrap();
        assert_eq!(alive["alive"], true, "it answers probes all along: {status}");
        assert!(!cluster.nodes[index].log().contains("does not answer"));
    }
    assert!(cluster.nodes[2].log().contains("state can't be saved"));

    full.free();
    wait_until("it heals by itself", || cluster.nodes[2].log().contains("state is saved again"));
    cluster.wait_until_all_are_up(2);
    cluster.ask(0, "cluster wait --timeout 120").ok();
    assert!(cluster.nodes[2].is_running());
}

/// Asserts that the Rust client turns to another node by itself.
fn admin_is_sent_to_another_node(cluster: &Cluster, index: usize) {
    let runtime = Runtime::new().unwrap();
    let (response, _) = runtime.block_on(async {
        let address = cluster.nodes[index].address.unwrap();
        let mut hose = Hose::connect(address, &cluster.path("admin/tls")).await;
        let changes = vec![("w".into(), "1".into())];
        let request = AdminRequest::BucketSet { name: "carts".into(), changes };
        let answers = hose.ask(vec![ClientRequest::Admin(request)]).await;
        hose.close().await;
        answers.into_iter().next().unwrap()
    });
    let ClientResponse::Failed(failure) = &response else { panic!("{response:?}") };
    assert!(!failure.maybe_applied, "{failure:?}");
    assert!(failure.message.contains("nothing was changed: this node can't save"), "{failure:?}");
    let shown = cluster.ask(0, "bucket show carts --json").ok().json();
    assert_eq!(shown["properties"]["w"].to_string().trim_matches('"'), "2", "{shown}");
}

/// Process that keeps a node's small disk full, whatever the node removes from it.
pub(crate) struct Full {
    file: PathBuf,
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Full {
    /// Begins to fill the disk of a running node.
    pub(crate) fn keep(node: &Node) -> Self {
        let data = node.folder.join("data");
        let file = PathBuf::from(format!("/proc/{}/root{}/filler", node.pid(), data.display()));
        let mut filler = File::create(&file).unwrap();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let pause = Duration::from_millis(20);
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                for block_bytes in [1 << 20, 1 << 12, 1] {
                    let block = vec![b'x'; block_bytes];
                    while filler.write_all(&block).is_ok() {}
                }
            }
        });
        Self { file, stop, thread }
    }

    /// Gives all the room back.
    pub(crate) fn free(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
        fs::remove_file(self.file).unwrap();
    }
}
