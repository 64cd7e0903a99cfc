//! Seeds that are names, and a cluster that has moved.

use std::net::UdpSocket;
use std::time::Duration;

use jedlik_client::{Client, ClientError, ErrorKind, StartError};

use crate::fake::{Cluster, LIMIT, carts, until};

#[tokio::test]
async fn a_seed_may_be_a_name_and_one_that_stands_for_nothing_is_told() {
    let cluster = Cluster::start();
    let named = format!("localhost:{}", cluster.addresses[0].port());
    let client = cluster.builder_with(["no-such-host.invalid:7101".into(), named]);
    let client = client.timeout(LIMIT).connect().await.unwrap();
    carts(&client).get("alice").await.unwrap();
    let unusable = client.unusable_seeds();
    assert_eq!(unusable.len(), 1);
    assert_eq!(unusable[0].seed, "no-such-host.invalid:7101");
}

#[tokio::test]
async fn seeds_of_which_none_can_be_used_are_told_at_once_with_the_form_they_should_have() {
    let cluster = Cluster::start();
    for seed in ["no-such-host.invalid:7101", "localhost", "127.0.0.1"] {
        let connecting = cluster.builder_with([seed]).timeout(LIMIT).connect();
        let error = connecting.await.unwrap_err();
        assert!(matches!(&error, ClientError::Start(StartError::Seed(_))), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains(seed) && text.contains("host:port"), "{text}");
    }
}

#[tokio::test]
async fn a_client_without_seeds_or_identity_does_not_start() {
    let cluster = Cluster::start();
    let no_seeds = cluster.builder_with([] as [&str; 0]).connect().await.unwrap_err();
    assert!(matches!(no_seeds, ClientError::Start(StartError::NoSeeds)), "{no_seeds}");
    let nobody = Client::builder().seeds(&cluster.addresses).connect().await.unwrap_err();
    assert!(matches!(nobody, ClientError::Start(StartError::NoIdentity)), "{nobody}");
}

#[tokio::test]
async fn when_no_node_that_is_known_answers_the_seeds_are_asked_again() {
    let cluster = Cluster::start();
    // At the addresses given for the members nobody answers.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut moved = cluster.topology(1);
    for member in &mut moved.members {
        member.address = nobody.local_addr().unwrap();
    }
    cluster.nodes.iter().for_each(|node| node.tell(Some(moved.clone())));
    let builder = cluster.builder().timeout(Duration::from_millis(500));
    let client = builder.connect().await.unwrap();
    carts(&client).get("alice").await.unwrap_err();
    cluster.nodes.iter().for_each(|node| node.tell(Some(cluster.topology(1))));
    let known =
        || client.members().iter().all(|member| cluster.addresses.contains(&member.address));
    until("the members are known again", known).await;
    carts(&client).get("alice").timeout(LIMIT).await.unwrap();
}
