//! Starts, stops and what is left of a node between them.

use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::{Key, Quorum};
use jedlik_server::NodeError;

use crate::caller::values;
use crate::cluster::{Cluster, all_up, until};

#[tokio::test]
async fn a_restarted_cluster_still_holds_everything() {
    let cluster = Cluster::new();
    let nodes = cluster.serving(3).await;
    let client = cluster.client(&nodes[0]).await;
    let keys: Vec<Key> =
        (0..50).map(|n| Key::new("b", format!("k{n}").as_str()).unwrap()).collect();
    for key in &keys {
        client.put(key, "kept", None).await.unwrap();
    }
    for node in nodes {
        node.shutdown().await.unwrap();
    }
    let one = cluster.start(1, &[]).await;
    let two = cluster.start(2, &[one.address()]).await;
    let three = cluster.start(3, &[one.address()]).await;
    all_up(&cluster.admin(&one).await, 3).await;
    all_up(&cluster.admin(&two).await, 3).await;
    all_up(&cluster.admin(&three).await, 3).await;
    let client = cluster.client(&two).await;
    for key in &keys {
        let answer = client.get(key, Quorum::All).await.unwrap();
        assert_eq!(values(&answer), ["kept"]);
    }
}

#[tokio::test]
async fn every_start_is_another_life_after_a_clean_stop_too() {
    let cluster = Cluster::new();
    let mark = || std::fs::read_to_string(cluster.path().join("n1/data/node.toml")).unwrap();
    let life =
        |table: &str| table.lines().find(|line| line.starts_with("life")).unwrap().to_owned();
    let lives = || mark().split("[[past.lives]]").skip(1).map(life).collect::<Vec<_>>();
    let node = cluster.start(1, &[]).await;
    assert!(mark().contains("clean = false"));
    let first = lives();
    node.shutdown().await.unwrap();
    assert!(mark().contains("clean = true"));
    let node = cluster.start(1, &[]).await;
    let both = lives();
    assert!(both.len() == 2 && both.starts_with(&first), "{both:?} remembers {first:?}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let cluster = Cluster::new();
    let node = cluster.start(1, &[]).await;
    let error = cluster.try_start(1, &[]).await.err().unwrap();
    assert!(error.to_string().ends_with("is in use by another process"), "{error}");
    node.shutdown().await.unwrap();
    cluster.start(1, &[]).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_number_of_shards_is_the_directorys_unless_it_is_said_and_then_must_be_the_same() {
    let cluster = Cluster::new();
    cluster.start(1, &[]).await.shutdown().await.unwrap();
    let mut config = cluster.config(1, &[]);
    config.shards = Some(3);
    let error = jedlik_server::Node::start(&config).await.err().unwrap().to_string();
    assert!(error.contains("has a shard count of 2, but this node has 3"), "{error}");
    config.shards = None;
    jedlik_server::Node::start(&config).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_makes_no_node() {
    let cluster = Cluster::new();
    let mut config = cluster.config(1, &[]);
    let authority =
        jedlik_net::authority::Authority::create(jedlik_protocol::ClusterId(7)).unwrap();
    let subject = jedlik_net::authority::Subject::client("app");
    let (ca, cert, key) = ["a", "b", "c"].map(|name| cluster.path().join(name)).into();
    std::fs::write(&ca, authority.certificate_pem()).unwrap();
    authority.issue(&subject).unwrap().save(&cert, &key).unwrap();
    config.tls = jedlik_server::config::Tls { ca, cert, key };
    let error = jedlik_server::Node::start(&config).await.err().unwrap();
    assert!(matches!(error, NodeError::NotANode { .. }), "{error}");
}

#[tokio::test]
async fn a_node_that_stops_says_so_and_the_others_go_on() {
    let cluster = Cluster::new();
    let mut nodes = cluster.serving(3).await;
    nodes.pop().unwrap().shutdown().await.unwrap();
    let admin = cluster.admin(&nodes[0]).await;
    until(&admin, |status| status.members.iter().filter(|member| member.alive).count() == 2).await;
    let key = Key::new("b", "k").unwrap();
    admin.put(&key, "v", None).await.unwrap();
    assert_eq!(values(&admin.get(&key, Quorum::Default).await.unwrap()), ["v"]);
}

#[tokio::test]
async fn a_node_of_another_partition_count_ends_with_the_remedy() {
    let cluster = Cluster::new();
    let nodes = cluster.serving(3).await;
    let mut config = cluster.config(4, &[nodes[0].address()]);
    config.first_layout.partitions = jedlik_hashing::PartitionCount::new(32).unwrap();
    // It may hear of the layout before it serves, or after.
    let text = match jedlik_server::Node::start(&config).await {
        Err(refused) => refused.to_string(),
        Ok(mut node) => {
            let ended = node.ended();
            let ended = tokio::time::timeout(crate::caller::PATIENCE, ended).await.unwrap();
            let jedlik_server::Ending::Failed(failed) = ended else { panic!("{ended:?}") };
            node.shutdown().await.unwrap();
            failed.to_string()
        }
    };
    assert!(text.contains("16 partitions") && text.contains("set partitions to 16"), "{text}");
}

#[tokio::test]
async fn nothing_is_taken_by_a_node_that_stops() {
    let cluster = Cluster::of(1);
    let nodes = cluster.serving(1).await;
    let client = cluster.client(&nodes[0]).await;
    client.admin(AdminRequest::Status).await.unwrap();
    let [node] = <[_; 1]>::try_from(nodes).ok().unwrap();
    let stopping = tokio::spawn(node.shutdown());
    loop {
        let key = Key::new("b", "k").unwrap();
        match client.get(&key, Quorum::One).await {
            Err(failure) if failure.message.contains("is stopping") => {
                assert_eq!(failure.code, ErrorCode::NotReady);
                break;
            }
            _ => tokio::task::yield_now().await,
        }
    }
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_where_nobody_is_any_more_is_not_dialled_without_a_pause() {
    let cluster = Cluster::new();
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = cluster.start(1, &[]).await;
    let second = cluster.start(2, &[gone.local_addr().unwrap(), first.address()]).await;
    all_up(&cluster.admin(&second).await, 2).await;
    // Between two attempts of a link that is kept up are 2 s at most.
    gone.set_read_timeout(Some(std::time::Duration::from_secs(4))).unwrap();
    let paused = tokio::task::spawn_blocking(move || {
        let start = std::time::Instant::now();
        while start.elapsed() < 4 * crate::caller::PATIENCE {
            if gone.recv(&mut [0; 2048]).is_err() {
                return true;
            }
        }
        false
    });
    assert!(paused.await.unwrap(), "it is dialled again and again");
    for node in [first, second] {
        node.shutdown().await.unwrap();
    }
}
