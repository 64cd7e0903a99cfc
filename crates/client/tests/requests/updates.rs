//! Updates that meet other writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jedlik_client::{Change, ClientError, Sibling};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, PutAnswer, Version};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Blob, Value};
use jedlik_vclock::Content;

use crate::fake::{Cluster, Reaction, carts};

fn found(values: &[&str]) -> Reaction {
    let version = |value: &&str| Version {
        content: Content::Value((*value).into()),
        tag: 1,
        written_at_ms: 0,
        expires_at_ms: None,
    };
    let (versions, context) = (values.iter().map(version).collect(), Some(Blob::from("seen")));
    let answer = GetAnswer { versions, context, answered: 2, primaries: 2, partial: false };
    Reaction::Answer(ClientResponse::Got(answer))
}

fn stored(siblings: u16) -> Reaction {
    Reaction::Answer(ClientResponse::Put(PutAnswer {
        context: Blob::from("put"),
        siblings,
        warning: false,
        acknowledged: 2,
        synced: 2,
        by: Vec::new(),
    }))
}

fn crowded() -> Reaction {
    let failure = Failure::new(ErrorCode::TooManySiblings, "there is no room for one more");
    Reaction::Answer(ClientResponse::Failed(failure))
}

/// Starts a cluster that answers gets and puts from these lists in turn, and repeats the last of each.
fn scripted(
    gets: Vec<fn() -> Reaction>,
    puts: Vec<fn() -> Reaction>,
) -> (Cluster, Arc<[AtomicUsize; 2]>) {
    let cluster = Cluster::start();
    let (script, counts) = (Arc::new([gets, puts]), Arc::new([0, 0].map(AtomicUsize::new)));
    for node in &cluster.nodes {
        let (script, counts) = (script.clone(), counts.clone());
        node.react(move |request| {
            let kind = usize::from(matches!(request, ClientRequest::Put(_)));
            let turn = counts[kind].fetch_add(1, Ordering::Relaxed);
            script[kind][turn.min(script[kind].len() - 1)]()
        });
    }
    (cluster, counts)
}

fn counted(counts: &[AtomicUsize; 2]) -> [usize; 2] {
    [0, 1].map(|kind| counts[kind].load(Ordering::Relaxed))
}

/// Returns the words of all siblings, each once, and one more.
fn with_milk(siblings: &[Sibling]) -> String {
    let values = siblings.iter().filter_map(Sibling::value);
    let mut words: Vec<_> =
        values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
    words.extend(["milk".to_owned()]);
    words.sort();
    words.dedup();
    words.join(" ")
}

/// Returns the content and the context of the last put.
fn last_put(cluster: &Cluster) -> (Content<Value>, Option<Blob>) {
    let seen = cluster.nodes.iter().flat_map(|node| node.seen());
    let put = seen.filter_map(|request| match request {
        ClientRequest::Put(put) => Some((put.content, put.context)),
        _ => None,
    });
    put.last().unwrap()
}

#[tokio::test]
async fn an_update_puts_what_it_has_made_of_the_siblings_with_the_gets_context() {
    let (cluster, counts) = scripted(vec![|| found(&["tea", "coffee"])], vec![|| stored(1)]);
    let carts = carts(&cluster.client().await);
    let updated = carts.update("alice", with_milk).r(2).w(2).await.unwrap();
    let (content, context) = last_put(&cluster);
    assert_eq!(content, Content::Value("coffee milk tea".into()));
    assert_eq!(context, Some("seen".into()));
    assert_eq!((updated.attempts(), counted(&counts)), (1, [1, 1]));
    assert_eq!(updated.stored().unwrap().siblings(), 1);
}

#[tokio::test]
async fn an_update_begins_again_when_another_client_wrote_at_the_same_time() {
    for race in [(|| stored(2)) as fn() -> Reaction, crowded] {
        let (cluster, counts) = scripted(
            vec![|| found(&["tea"]), || found(&["milk tea", "coffee"])],
            vec![race, || stored(1)],
        );
        let carts = carts(&cluster.client().await);
        let updated = carts.update("alice", with_milk).await.unwrap();
        assert_eq!((updated.attempts(), counted(&counts)), (2, [2, 2]));
    }
}

#[tokio::test]
async fn an_update_is_done_once_another_client_has_reconciled_its_value() {
    let (cluster, counts) =
        scripted(vec![|| found(&["tea"]), || found(&["milk"])], vec![|| stored(2)]);
    let carts = carts(&cluster.client().await);
    let updated = carts.update("alice", |_| "milk").await.unwrap();
    assert_eq!((updated.attempts(), counted(&counts)), (2, [2, 1]));
    assert!(updated.stored().is_some());
}

#[tokio::test]
async fn an_update_that_meets_other_writers_again_and_again_says_so_and_what_is_there() {
    for (race, there) in [((|| stored(2)) as fn() -> Reaction, true), (crowded, false)] {
        let (cluster, counts) = scripted(vec![|| found(&["tea", "coffee"])], vec![race]);
        let carts = carts(&cluster.client().await);
        let error = carts.update("alice", with_milk).attempts(3).await.unwrap_err();
        assert!(matches!(error, ClientError::Contended { attempts: 3, stored } if stored == there));
        assert_eq!((error.name(), error.maybe_applied()), ("contended", there), "{error}");
        assert_eq!(counted(&counts), [3, 3]);
    }
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let keep: fn(&[Sibling]) -> Change = |_| Change::Keep;
    let delete: fn(&[Sibling]) -> Change = |_| Change::Delete;
    for (siblings, change, puts) in [
        ((|| found(&["tea"])) as fn() -> Reaction, keep, 0),
        (|| found(&[]), delete, 0),
        (|| found(&["tea"]), delete, 1),
    ] {
        let (cluster, counts) = scripted(vec![siblings], vec![|| stored(1)]);
        let carts = carts(&cluster.client().await);
        let updated = carts.update("alice", change).await.unwrap();
        assert_eq!(counted(&counts), [1, puts]);
        assert_eq!(updated.stored().is_some(), puts == 1);
        if puts == 1 {
            assert_eq!(last_put(&cluster).0, Content::Tombstone);
        }
    }
}

#[tokio::test]
async fn an_update_whose_put_fails_says_why() {
    let refused = || {
        let failure = Failure::new(ErrorCode::ValueTooLarge, "too large");
        Reaction::Answer(ClientResponse::Failed(failure))
    };
    let (cluster, counts) = scripted(vec![|| found(&["tea"])], vec![refused]);
    let carts = carts(&cluster.client().await);
    let error = carts.update("alice", with_milk).await.unwrap_err();
    assert_eq!((error.name(), counted(&counts)), ("value-too-large", [1, 1]));
}
