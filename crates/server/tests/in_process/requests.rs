//! Gets, puts and refusals, through one node and through another.

use std::sync::Arc;

use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{ClientRequest, ClientResponse, ScanOf, ScanRequest};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::{Blob, Key, Quorum};
use tokio::task::JoinSet;

use crate::caller::{Caller, values};
use crate::cluster::Cluster;

fn key(name: &str) -> Key {
    Key::new("carts", name).unwrap()
}

async fn store_with_one(admin: &Caller) {
    let changes = [("n", "1"), ("r", "1"), ("w", "1")];
    let changes = changes.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let name = Blob::from("carts");
    admin.admin(AdminRequest::BucketSet { name, changes }).await.unwrap();
}

#[tokio::test]
async fn without_a_layout_a_request_is_told_which_commands_make_one() {
    let cluster = Cluster::new();
    let node = cluster.start(1, &[]).await;
    let client = cluster.client(&node).await;
    let failure = client.get(&key("alice"), Quorum::Default).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::NotReady);
    assert!(failure.message.contains("jedlik-admin cluster plan"), "{failure}");
    assert!(failure.message.contains("commit"), "{failure}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_node_alone_stores_with_w_of_one() {
    let cluster = Cluster::of(1);
    let nodes = cluster.serving(1).await;
    let admin = cluster.admin(&nodes[0]).await;
    store_with_one(&admin).await;
    admin.put(&key("alice"), "tea", None).await.unwrap();
    let answer = admin.get(&key("alice"), Quorum::Default).await.unwrap();
    assert_eq!(values(&answer), ["tea"]);
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn more_answers_than_may_wait_for_a_client_are_refused_in_words_and_none_is_dropped() {
    let cluster = Cluster::of(1);
    let nodes = cluster.serving(1).await;
    store_with_one(&cluster.admin(&nodes[0]).await).await;
    let client = Arc::new(cluster.client(&nodes[0]).await);
    client.put(&key("large"), &"x".repeat(1_000_000), None).await.unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..100 {
        let client = Arc::clone(&client);
        asked.spawn(async move { client.get(&key("large"), Quorum::Default).await });
    }
    let (mut read, mut refused) = (0, 0);
    while let Some(answer) = asked.join_next().await {
        match answer.expect("there is an answer to each") {
            Ok(answer) => read += usize::from(values(&answer)[0].len() == 1_000_000),
            Err(failure) => {
                let codes = [ErrorCode::Overloaded, ErrorCode::Timeout];
                assert!(codes.contains(&failure.code) && failure.code.retryable(), "{failure}");
                refused += 1;
            }
        }
    }
    assert!(read > 0 && read + refused == 100, "{read} read, {refused} refused");
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn two_puts_without_a_context_are_siblings_and_one_with_it_replaces_them() {
    let cluster = Cluster::new();
    let nodes = cluster.serving(3).await;
    let (one, two) = (cluster.client(&nodes[0]).await, cluster.client(&nodes[1]).await);
    let three = cluster.client(&nodes[2]).await;
    for name in ["alice", "bob", "carol", "dave"] {
        let key = key(name);
        one.put(&key, "tea", None).await.unwrap();
        two.put(&key, "cake", None).await.unwrap();
        let both = three.get(&key, Quorum::All).await.unwrap();
        assert_eq!(values(&both), ["cake", "tea"], "{name}");
        three.put(&key, "tea and cake", both.context).await.unwrap();
        for caller in [&one, &two, &three] {
            let answer = caller.get(&key, Quorum::Default).await.unwrap();
            assert_eq!(values(&answer), ["tea and cake"], "{name}");
        }
    }
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_value_of_several_frames_reaches_all_replicas() {
    let cluster = Cluster::new();
    let nodes = cluster.serving(3).await;
    let client = cluster.client(&nodes[0]).await;
    let value = "v".repeat(900_000);
    client.put(&key("large"), &value, None).await.unwrap();
    for node in &nodes {
        let answer = cluster.client(node).await.get(&key("large"), Quorum::All).await.unwrap();
        assert_eq!(values(&answer), [value.as_str()]);
    }
}

#[tokio::test]
async fn a_client_may_not_change_the_cluster() {
    let cluster = Cluster::new();
    let node = cluster.start(1, &[]).await;
    let client = cluster.client(&node).await;
    let name = Blob::from("carts");
    let changes = vec![("n".to_owned(), "1".to_owned())];
    let failure = client.admin(AdminRequest::BucketSet { name, changes }).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Forbidden);
    assert!(client.admin(AdminRequest::Status).await.is_ok());
}

#[tokio::test]
async fn a_scan_of_a_partition_that_is_not_there_is_refused() {
    let cluster = Cluster::new();
    let node = cluster.start(1, &[]).await;
    let scan = ScanRequest {
        of: ScanOf::Bucket(Blob::from("carts")),
        partition: jedlik_hashing::Partition(16),
        after: None,
        limit: 10,
        values: false,
        r: Quorum::Default,
        timeout_ms: 1_000,
    };
    let (_, response) = cluster.client(&node).await.ask(ClientRequest::Scan(scan)).await;
    let ClientResponse::Failed(failure) = response else { panic!("{response:?}") };
    assert_eq!(failure.code, ErrorCode::InvalidRequest);
    assert_eq!(failure.message, "there is no partition 16: the cluster has 16");
}

#[tokio::test]
async fn counters_follow_what_was_done() {
    let cluster = Cluster::new();
    let nodes = cluster.serving(3).await;
    let client = cluster.client(&nodes[0]).await;
    for number in 0..20 {
        client.put(&key(&number.to_string()), "v", None).await.unwrap();
    }
    let mut puts = 0;
    for node in &nodes {
        let answer = cluster.client(node).await.admin(AdminRequest::Stats).await.unwrap();
        let AdminResponse::Stats(stats) = answer else { panic!("{answer:?}") };
        let value = |wanted: &str| {
            let found = stats.counters.iter().find(|(name, _)| name == wanted);
            found.unwrap_or_else(|| panic!("{wanted} is not among {stats:?}")).1
        };
        puts += value("puts");
        assert!(value("journal_syncs") > 0 && value("journal_appends") >= value("journal_syncs"));
        assert_eq!((value("peers_connected"), value("shards")), (2, 2));
    }
    assert_eq!(puts, 20);
}

#[tokio::test]
async fn a_flood_of_questions_is_refused_past_a_limit_and_gets_are_answered_meanwhile() {
    let cluster = Cluster::new();
    let nodes = cluster.serving(3).await;
    let (flood, client) = (cluster.client(&nodes[0]).await, cluster.client(&nodes[0]).await);
    let questions =
        [AdminRequest::Stats, AdminRequest::Hints, AdminRequest::Transfers, AdminRequest::Status];
    let asked = (0..4_000).map(|number| {
        let question = questions[number % questions.len()].clone();
        flood.admin(question)
    });
    let (answers, got) = tokio::join!(all(asked), async {
        let mut got = 0;
        for _ in 0..20 {
            let answer = client.get(&key("alice"), Quorum::Default).await;
            got += usize::from(answer.is_ok());
        }
        got
    });
    assert_eq!(got, 20, "no get is refused for others' questions");
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(!refused.is_empty(), "so many can't wait");
    assert!(refused.iter().all(|failure| failure.code == ErrorCode::Overloaded), "{refused:?}");
    assert!(answers.iter().any(Result::is_ok));
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

/// Waits for all futures side by side, and returns their outputs in the order in which they are ready.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}
