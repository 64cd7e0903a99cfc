//! Seeds that are names, that can't be looked up, that nobody listens at, and that belong to another cluster.

use jedlik_ports::free_address;

use crate::cluster::{Cluster, issue, wait_until};
use crate::node::Node;
use crate::tools::{run, tool};

#[test]
fn a_node_finds_its_cluster_by_names_though_one_of_them_is_unknown() {
    let mut cluster = Cluster::start();
    let port = cluster.nodes[0].address.unwrap().port();
    cluster.issue("node", "n4");
    let mut node = Node::new(cluster.path("n4"), "n4");
    node.more_seeds = vec!["no-such-host.invalid:7400".into(), format!("localhost:{port}")];
    node.options = vec!["--listen=localhost:0".into()];
    node.start(&[]);
    cluster.nodes.push(node);
    wait_until("the cluster knows the node", || {
        cluster.status(0)["members"].as_array().is_some_and(|members| members.len() == 4)
    });
    wait_until("the name that stands for nothing is told of", || {
        let log = cluster.nodes[3].log();
        log.contains("a seed can't be used") && log.contains("no-such-host.invalid:7400")
    });
    assert!(!cluster.nodes[3].log().contains("no seed answers"), "one did");
}

#[test]
fn a_client_s_profile_goes_on_without_a_seed_that_can_not_be_looked_up() {
    let cluster = Cluster::start();
    let port = cluster.nodes[0].address.unwrap().port();
    let profile = |seeds: &str| {
        let paths =
            ["ca", "cert", "key"].map(|file| format!("{file} = \"client/tls/{file}.pem\"\n"));
        format!("seeds = [{seeds}]\n{}", paths.concat())
    };
    let path = cluster.path("named.toml");
    let named = format!("\"no-such-host.invalid:7400\", \"localhost:{port}\"");
    std::fs::write(&path, profile(&named)).unwrap();
    let said = run(tool("jedlik").arg("--profile").arg(&path).args(["put", "b", "k", "v"])).ok();
    assert_eq!(said.stderr.matches("no-such-host.invalid").count(), 1, "{said:?}");
    std::fs::write(&path, profile("\"no-such-host.invalid:7400\"")).unwrap();
    let said = run(tool("jedlik").arg("--profile").arg(&path).args(["get", "b", "k"]));
    assert_eq!(said.stderr.matches("no-such-host.invalid").count(), 1, "{said:?}");
    said.refused(2, &["no-such-host.invalid:7400"]);
}

#[test]
fn a_tool_that_finds_no_profile_says_once_what_to_do() {
    let nowhere = tempfile::tempdir().unwrap();
    for (name, words) in [("jedlik", ["get", "carts"]), ("jedlik-admin", ["cluster", "status"])] {
        let mut command = tool(name);
        command.args(words).args((name == "jedlik").then_some("alice"));
        command.current_dir(nowhere.path()).env("XDG_CONFIG_HOME", nowhere.path());
        let said = run(&mut command).refused(2, &["--profile FILE"]);
        assert!(said.stderr.starts_with(&format!("{name}: no profile says")), "{said:?}");
        let mut lines: Vec<&str> = said.stderr.lines().collect();
        lines.sort_unstable();
        assert!(lines.windows(2).all(|two| two[0] != two[1]), "a line is said twice: {said:?}");
        assert_eq!(said.stderr.matches("no profile").count(), 1, "{said:?}");
    }
}

#[test]
fn a_node_whose_seeds_don_t_answer_or_are_another_cluster_s_says_so_once_and_when_it_is_over() {
    let mut cluster = Cluster::start();
    let foreign = cluster.nodes[0].address.unwrap();
    let other = cluster.path("other");
    run(tool("jedlik-admin").args(["ca", "init", "--dir"]).arg(other.join("ca"))).ok();
    let lone = other.join("lone");
    issue(&other.join("ca"), "node", "lone", &lone.join("tls"));
    let mut node = Node::new(lone, "lone");
    // Nothing listens at the first; the second is the port of a node that comes later.
    node.options = vec!["--limits-confirm-ms=500".into()];
    let friend_folder = other.join("friend");
    issue(&other.join("ca"), "node", "friend", &friend_folder.join("tls"));
    let mut friend = Node::new(friend_folder, "friend");
    friend.options = vec!["--limits-confirm-ms=500".into()];
    friend.start(&[]);
    let friend_address = friend.address.unwrap();
    friend.kill();
    node.start(&[foreign, friend_address]);
    wait_until("the lone node names its seeds and what is wrong with each", || {
        let log = node.log();
        let line = log.lines().find(|line| line.contains("no seed answers"));
        line.is_some_and(|line| {
            line.contains(&format!("{foreign}: ")) && line.contains(&format!("{friend_address}: "))
        })
    });
    friend.start(&[]);
    wait_until("it says that a node answers", || {
        node.log().contains("a node of the cluster answers")
    });
    wait_until("it goes on warning of the other cluster's", || {
        let log = node.log();
        log.lines().any(|line| {
            line.contains("a seed can't be used") && line.contains(&foreign.to_string())
        })
    });
    let log = node.log();
    assert_eq!(log.matches("no seed answers: ").count(), 1, "once: {log}");
    // The other cluster's node is asked again and again, and logs it rarely.
    let refusals = cluster.nodes[0].log().matches("refused").count();
    assert!((1..=4).contains(&refusals), "{refusals} lines");
    assert!(cluster.nodes[0].is_running());
}

#[test]
fn a_node_whose_seeds_have_not_answered_founds_no_cluster() {
    let mut cluster = Cluster::unfounded();
    cluster.add_nodes(1, |node| {
        node.options = vec!["--n=1".into(), "--limits-confirm-ms=500".into()];
        node.more_seeds = vec![free_address().unwrap().to_string()];
    });
    let plan = cluster.ask(0, "cluster plan --json").ok().json();
    let hash = plan["plan"].as_str().unwrap();
    let refused = cluster.ask(0, &format!("cluster commit {hash}"));
    assert_ne!(refused.code, 0, "{refused:?}");
    let says = |part: &str| refused.stderr.contains(part);
    assert!(says(&cluster.nodes[0].more_seeds[0]) && says("take `seeds` out"), "{refused:?}");
    assert!(cluster.nodes[0].stop().success());
    cluster.nodes[0].more_seeds.clear();
    cluster.restart(0);
    cluster.ask(0, &format!("cluster commit {hash}")).ok();
}

#[test]
fn a_node_that_starts_without_data_takes_requests_from_its_ready_line_on() {
    let mut cluster = Cluster::start();
    for round in 0..3 {
        cluster.kill(2);
        cluster.nodes[2].options.clear();
        cluster.nodes[2].lose_disk();
        cluster.restart(2);
        let key = round.to_string();
        run(cluster.jedlik(2).args(["put", "b", &key, "v"])).ok();
    }
}
