//! The node in memory behaves as a real one does, as far as doors can tell.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, PutAnswer};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Blob, Key, Quorum, Value};
use jedlik_vclock::Content;

use super::FakeNode;
use crate::listing::{Listing, ListingOptions};
use crate::requests::{self, ReadOptions, WriteOptions};
use crate::{Caller, Node};

const CALLER: Caller = Caller::Trusted;

/// Returns what a future has at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the fake node does not wait"),
    }
}

fn ask(node: &FakeNode, request: ClientRequest) -> ClientResponse {
    now(node.ask(&CALLER, request)).response
}

fn get(node: &FakeNode) -> GetAnswer {
    match ask(node, requests::get(key(), &ReadOptions::default())) {
        ClientResponse::Got(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn put(node: &FakeNode, content: Content<Value>, context: Option<Blob>) -> PutAnswer {
    let request = requests::put(key(), content, context, &WriteOptions::default()).unwrap();
    match ask(node, request) {
        ClientResponse::Put(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn key() -> Key {
    Key::new("carts", "alice").unwrap()
}

#[test]
fn puts_without_a_context_are_siblings_until_one_has_seen_them() {
    let node = FakeNode::default();
    assert_eq!(get(&node).context, None);
    put(&node, Content::Value("tea".into()), None);
    put(&node, Content::Value("milk".into()), None);
    let both = get(&node);
    assert_eq!(both.versions.len(), 2);
    put(&node, Content::Value("late".into()), None);
    put(&node, Content::Value("both".into()), both.context);
    let contents: Vec<_> = get(&node).versions.into_iter().map(|version| version.content).collect();
    assert_eq!(contents, [Content::Value("late".into()), Content::Value("both".into())]);
}

#[test]
fn a_tombstone_leaves_a_context() {
    let node = FakeNode::default();
    let context = put(&node, Content::Value("tea".into()), None).context;
    put(&node, Content::Tombstone, Some(context));
    let deleted = get(&node);
    assert_eq!(deleted.versions.len(), 1);
    assert!(deleted.context.is_some());
}

#[test]
fn what_no_node_takes_is_refused() {
    let node = FakeNode::default();
    let read = ReadOptions { r: Quorum::Count(4), ..ReadOptions::default() };
    let refused = ask(&node, requests::get(key(), &read));
    assert!(
        matches!(refused, ClientResponse::Failed(Failure { code, .. }) if code == ErrorCode::InvalidRequest)
    );
    node.fail_next(Failure::new(ErrorCode::Timeout, "too late"));
    let failed = ask(&node, requests::get(key(), &ReadOptions::default()));
    assert!(matches!(failed, ClientResponse::Failed(_)));
    assert!(get(&node).versions.is_empty(), "only one was to fail");
    assert_eq!(node.asked().len(), 3);
}

#[test]
fn a_listing_has_every_key_once() {
    let node = Arc::new(FakeNode::default());
    for number in 0..25_u8 {
        let key = Key::new("carts", &[b'a' + number][..]).unwrap();
        let value = Content::Value("tea".into());
        ask(&node, requests::put(key, value, None, &WriteOptions::default()).unwrap());
    }
    put(&node, Content::Tombstone, None);
    let options = ListingOptions { page_keys: 2, ..ListingOptions::default() };
    let listing = Listing::of_bucket(
        Arc::clone(&node) as Arc<dyn Node>,
        CALLER,
        "carts".into(),
        None,
        options,
    );
    let mut listing = now(listing).unwrap();
    let mut keys = Vec::new();
    while let Some(page) = now(listing.next()) {
        keys.extend(page.unwrap().items.into_iter().map(|item| item.key[0]));
    }
    keys.sort_unstable();
    assert_eq!(keys, (0..25).map(|number| b'a' + number).collect::<Vec<u8>>());
}

#[test]
fn a_stalled_request_has_no_answer_and_can_be_withdrawn() {
    let node = FakeNode::default();
    node.stall_after(1);
    assert!(get(&node).versions.is_empty(), "the first one is answered");
    let mut answering = node.ask(&CALLER, requests::get(key(), &ReadOptions::default()));
    let polled = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending() && node.withdrawn() == 0);
    drop(answering);
    assert_eq!((node.withdrawn(), node.asked().len()), (1, 2));
}
