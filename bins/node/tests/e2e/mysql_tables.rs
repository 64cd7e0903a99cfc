//! Clusters whose records are in tables of a MariaDB server: kills of nodes and of the server under them.

use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use jedlik_protocol::Key;
use jedlik_services::PrivateServer;

use crate::cluster::{Cluster, wait_until};
use crate::crash::survives_kills;
use crate::node::Node;
use crate::observer::{Observer, key};
use crate::requests::{fill, w};
use crate::rot::{VALUE_BYTES, all_there};

/// Starts a server with a database, which all nodes share, and a user with a password.
fn server() -> PrivateServer {
    let server = PrivateServer::start(&[]).expect("these tests need MariaDB's programs");
    let statements = "CREATE DATABASE jedlik; CREATE USER shop@localhost IDENTIFIED BY 'secret'; \
                      GRANT ALL ON jedlik.* TO shop@localhost";
    server.sql(statements).unwrap();
    server
}

fn on(server: &PrivateServer, node: &mut Node) {
    let password = node.folder.join("password");
    std::fs::write(&password, "secret\n").unwrap();
    node.options = vec![
        "--engine=mysql".into(),
        "--shards=2".into(),
        format!("--mysql-socket={}", server.socket().display()),
        "--mysql-user=shop".into(),
        format!("--mysql-password-file={}", password.display()),
    ];
}

#[test]
fn every_acknowledged_key_survives_on_a_server_when_all_nodes_are_killed_during_a_load() {
    let server = server();
    let mut cluster = Cluster::start_with(|node| {
        on(&server, node);
        // So small that buffers are moved into the engine all the time.
        node.options.push("--storage-buffer-bytes=2097152".into());
    });
    survives_kills(&mut cluster);
    let tables = server.sql("SHOW TABLES IN jedlik LIKE 'jedlik_%_records'").unwrap();
    assert_eq!(tables.lines().count(), 6, "two shards of three nodes: {tables}");
}

#[test]
fn a_server_that_is_killed_loses_nothing_and_a_node_that_starts_meanwhile_waits_for_it() {
    let server = server();
    let mut cluster = Cluster::start_with(|node| on(&server, node));
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> = (0..900).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(1));
    observer.runtime.block_on(fill(&client, &keys[..600], VALUE_BYTES, &w(3)));

    server.kill().unwrap();
    // That a new key is absent is known without the server, and the journal is on the node's own disk.
    observer.runtime.block_on(fill(&client, &keys[600..], VALUE_BYTES, &w(2)));
    cluster.kill(0);
    let seeds = cluster.seeds_but(0);
    for stops in [true, false] {
        let heard = cluster.nodes[0].log().len();
        let ready = cluster.nodes[0].launch(&seeds);
        wait_until("the node says what it waits for", || {
            cluster.nodes[0].log()[heard..].contains("waiting for the MySQL server")
        });
        assert!(ready.try_recv().is_err(), "it does not serve");
        if stops {
            assert!(cluster.nodes[0].stop().success(), "a clean stop");
        }
    }
    server.start_again(&[]).unwrap();
    wait_until("the node has found the server", || {
        cluster.nodes[0].log().contains("the MySQL server answers")
    });
    cluster.wait_until_all_are_up(1);
    all_there(&cluster, &observer, &keys);

    for index in 0..3 {
        cluster.kill(index);
    }
    server.kill().unwrap();
    server.start_again(&[]).unwrap();
    for index in 0..3 {
        cluster.restart(index);
    }
    cluster.wait_until_all_are_up(0);
    all_there(&cluster, &observer, &keys);
}

/// Listens at `path` for connections to a server. Those with the numbers `lost`, from 0 on, end at once.
fn losing(server: &PrivateServer, path: &Path, lost: Range<usize>) {
    let listener = UnixListener::bind(path).unwrap();
    let behind = server.socket();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            if lost.contains(&number) {
                continue;
            }
            let server = UnixStream::connect(&behind).unwrap();
            let ways =
                [(stream.try_clone().unwrap(), server.try_clone().unwrap()), (server, stream)];
            for (mut from, mut to) in ways {
                thread::spawn(move || {
                    // Either side may end the connection.
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

#[test]
fn a_server_that_goes_away_again_while_a_node_starts_is_waited_for_once_more() {
    let server = server();
    let mut cluster = Cluster::unfounded();
    cluster.issue("node", "n1");
    let mut node = Node::new(cluster.path("n1"), "n1");
    on(&server, &mut node);
    let socket = cluster.path("socket");
    // The first connection is that of the wait, the second one opens a shard.
    losing(&server, &socket, 1..2);
    node.options[2] = format!("--mysql-socket={}", socket.display());
    node.start(&[]);
    assert!(node.log().contains("the MySQL server has failed while the node started"));
    cluster.nodes.push(node);
}

#[test]
fn a_wrong_password_ends_the_start_and_says_what_to_do() {
    let server = server();
    let mut cluster = Cluster::unfounded();
    cluster.issue("node", "n1");
    let mut node = Node::new(cluster.path("n1"), "n1");
    on(&server, &mut node);
    std::fs::write(node.folder.join("password"), "wrong\n").unwrap();
    assert!(!node.start_in_vain(&[]).success());
    let log = node.log();
    for part in ["Access denied", "check the user and its password", "database jedlik at"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    cluster.nodes.push(node);
}
