//! Scans of every bucket, as streams.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures_core::Stream;
use jedlik_client::{Client, ClientError, Entry};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, ScanAnswer, ScanItem, ScanOf, Version,
};
use jedlik_vclock::Content;

use crate::fake::{Cluster, Reaction};

/// Answers scans with a key of each of two buckets in every partition; `versions` are the second bucket's versions of
/// its properties, in turn.
fn two_buckets(cluster: &Cluster, versions: &'static [u64]) {
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for node in &cluster.nodes {
        let asked = asked.clone();
        node.react(move |request| {
            Reaction::Answer(match request {
                ClientRequest::Admin(AdminRequest::BucketList) => {
                    let turn = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let version = versions[turn.min(versions.len() - 1)];
                    let props = BucketProps::default();
                    let words = BucketEntry { name: "words".into(), version, props };
                    ClientResponse::Admin(AdminResponse::Buckets(vec![words]))
                }
                ClientRequest::Scan(scan) => {
                    assert!(matches!(scan.of, ScanOf::EveryBucket(3)));
                    let item = |bucket: &str| ScanItem {
                        bucket: bucket.into(),
                        key: format!("k{}", scan.partition).as_str().into(),
                        value_bytes: 3,
                        versions: vec![version(scan.values)],
                    };
                    let items = ["carts", "words"].map(item).to_vec();
                    ClientResponse::Scanned(ScanAnswer { items, next: None })
                }
                _ => return Reaction::Silence,
            })
        });
    }
}

fn version(with_value: bool) -> Version {
    let content = Content::Value({ if with_value { "tea" } else { "" } }.into());
    Version { content, tag: 1, written_at_ms: 0, expires_at_ms: None }
}

/// Reads a scan to its end through the `Stream` trait that other crates know.
async fn read(client: &Client) -> Result<Vec<Entry>, ClientError> {
    let (mut scan, mut entries) = (client.scan().await?, Vec::new());
    while let Some(entry) =
        std::future::poll_fn(|context| Pin::new(&mut scan).poll_next(context)).await
    {
        entries.push(entry?);
    }
    assert!(scan.next().await.is_none(), "nothing follows the last");
    assert_eq!(scan.progress().done, scan.progress().total);
    Ok(entries)
}

#[tokio::test]
async fn every_bucket_is_read_with_its_values() {
    let cluster = Cluster::start();
    two_buckets(&cluster, &[1]);
    let entries = read(&cluster.client().await).await.unwrap();
    let all: BTreeSet<_> = entries.iter().map(|entry| (entry.bucket(), entry.key())).collect();
    assert_eq!((entries.len(), all.len()), (32, 32));
    assert!(entries.iter().all(|entry| entry.values().all(|value| value == "tea")));
}

#[tokio::test]
async fn a_bucket_is_listed_once() {
    let cluster = Cluster::start();
    two_buckets(&cluster, &[1]);
    let client = cluster.client().await;
    let (mut buckets, mut names) = (client.buckets().await.unwrap(), Vec::new());
    while let Some(name) = buckets.next().await {
        names.push(name.unwrap());
    }
    assert_eq!(names, ["carts", "words"]);
}

#[tokio::test]
async fn a_bucket_whose_properties_are_set_meanwhile_is_an_error_at_the_end() {
    let cluster = Cluster::start();
    two_buckets(&cluster, &[1, 2]);
    let error = read(&cluster.client().await).await.unwrap_err();
    assert!(matches!(&error, ClientError::Reset { name } if name == b"words"), "{error}");
}
