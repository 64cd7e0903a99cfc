//! Many keys at once.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_core::Stream;
use jedlik_client::{ErrorKind, PutOptions};
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::ErrorCode;

use crate::fake::{Cluster, LIMIT, Reaction, carts, found, key, until, usual};
use crate::refusal;

#[tokio::test]
async fn every_key_is_answered_once_and_only_so_many_are_in_flight() {
    const AT_ONCE: usize = 8;
    let cluster = Cluster::start();
    cluster.nodes.iter().for_each(|node| node.react(|_| Reaction::Keep));
    let client = cluster.builder().attempt_timeout(LIMIT).timeout(2 * LIMIT).connect();
    let carts = carts(&client.await.unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let keys = (0..40).map(move |index| {
        counted.fetch_add(1, Ordering::Relaxed);
        key(index).key().to_vec()
    });
    let mut gets = carts.get_many(keys).concurrency(AT_ONCE);
    let reading = tokio::spawn(async move {
        let mut answered = BTreeSet::new();
        while let Some((key, found)) = gets.next().await {
            assert!(found.unwrap().is_absent());
            assert!(answered.insert(key), "a key is answered once");
        }
        answered.len()
    });
    let kept = || cluster.nodes.iter().map(|node| node.kept().len()).sum::<usize>();
    // A get that waits for long is sent to a second node as well.
    until("there is no room for more", || kept() >= AT_ONCE).await;
    assert_eq!(taken.load(Ordering::Relaxed), AT_ONCE, "keys are taken as there is room");
    for node in &cluster.nodes {
        node.react(usual);
        for (connection, id) in node.kept() {
            connection.send(Frame::ClientResponse { id, layout: 1, response: found() }).unwrap();
        }
    }
    assert_eq!(tokio::time::timeout(LIMIT, reading).await.unwrap().unwrap(), 40);
}

#[tokio::test]
async fn one_key_that_fails_keeps_no_other_from_its_answer() {
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        node.react(|request| match request {
            ClientRequest::Put(put) if &put.key.key()[..] == b"k7" => {
                refusal(ErrorCode::ValueTooLarge)
            }
            request => usual(request),
        });
    }
    let carts = carts(&cluster.client().await);
    let entries = (0..20).map(|index| (format!("k{index}"), format!("v{index}")));
    let mut puts = carts.put_many(entries).options(&PutOptions::new().w(2));
    let (mut stored, mut refused) = (0, Vec::new());
    // The same as a stream, as other crates see it.
    while let Some((key, answer)) =
        std::future::poll_fn(|context| Pin::new(&mut puts).poll_next(context)).await
    {
        match answer {
            Ok(_) => stored += 1,
            Err(error) => refused.push((key, error.kind())),
        }
    }
    assert_eq!((stored, refused), (19, vec![("k7".into(), ErrorKind::Invalid)]));
}

#[tokio::test]
async fn no_keys_are_no_answers() {
    let cluster = Cluster::start();
    let carts = carts(&cluster.client().await);
    assert!(carts.get_many(Vec::<String>::new()).next().await.is_none());
    assert!(carts.put_many(Vec::<(String, String)>::new()).next().await.is_none());
}
