//! Signals from other processes: none ends a node, and SIGHUP makes it reload its configuration.

use std::fs;

use rustix::process::Signal;

use crate::cluster::{Cluster, wait_until};
use crate::tools::run;

#[test]
fn signals_that_mean_nothing_end_no_node() {
    let mut cluster = Cluster::start();
    for signal in [Signal::USR1, Signal::USR2, Signal::PIPE, Signal::USR1, Signal::HUP] {
        cluster.nodes[0].signal(signal);
    }
    let log = |cluster: &Cluster| cluster.nodes[0].log();
    for word in ["SIGUSR1", "SIGUSR2", "reloaded the configuration"] {
        wait_until(word, || log(&cluster).contains(word));
    }
    for signal in [Signal::USR1, Signal::USR2, Signal::PIPE] {
        cluster.nodes[0].signal(signal);
    }
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea"])).ok();
    assert!(cluster.nodes[0].is_running());
    assert_eq!(log(&cluster).matches("SIGUSR1").count(), 1, "it is told once");
    assert_eq!(cluster.nodes[0].stop().code(), Some(0), "and SIGTERM still stops it");
}

#[test]
fn a_hangup_takes_over_what_can_change_and_names_what_needs_a_restart() {
    let cluster = Cluster::start();
    let node = &cluster.nodes[0];
    let (file, cert) = (node.folder.join("node.toml"), node.folder.join("tls/cert.pem"));
    let before = fs::read_to_string(&file).unwrap();
    let hangup = |config: &str, said: &str| {
        fs::write(&file, config).unwrap();
        let times = |log: &str| log.matches(said).count();
        let told = times(&node.log());
        node.signal(Signal::HUP);
        wait_until(said, || times(&node.log()) > told);
    };
    let changed = format!(
        "{before}[log]\nfilter = \"debug\"\n[background]\nlimit_per_s = 4321\n[limits]\nqueue_inputs = 77\n"
    );
    let taken =
        "changed=\"log.filter, background.limit_per_s\" needs_a_restart=\"limits.queue_inputs\"";
    assert!(!node.log().contains(" DEBUG "));
    hangup(&changed, taken);
    wait_until("debug lines are written", || {
        // A quiet node logs nothing but that a tool came and went.
        cluster.ask(0, "--json background show --node n1").ok();
        node.log().contains(" DEBUG ")
    });
    let shown = cluster.ask(0, "--json background show --node n1").ok().json();
    let limit = shown["nodes"][0]["background"]["limit_per_s"].as_u64();
    assert!((4321..5000).contains(&limit.unwrap()), "as shards divide it: {shown}");

    hangup(&changed, "changed=\"nothing\" needs_a_restart=\"limits.queue_inputs\"");
    hangup(&format!("shards = 0\n{changed}"), "the configuration was not reloaded");
    let whole = fs::read(&cert).unwrap();
    fs::copy(cluster.nodes[1].folder.join("tls/cert.pem"), &cert).unwrap();
    hangup(&changed, "the certificates were not reloaded");
    fs::write(&cert, whole).unwrap();
    hangup(&before, "changed=\"log.filter, background.limit_per_s\" needs_a_restart=\"nothing\"");
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea"])).ok();
}
