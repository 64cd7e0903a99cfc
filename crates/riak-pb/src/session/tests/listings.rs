//! Lists of buckets and of keys.

use bytes::Bytes;
use jedlik_protocol::error::{ErrorCode, Failure};
use prost::Message;

use super::{Client, delete, put, text};
use crate::code;
use crate::messages::{Buckets, Keys, ListBuckets, ListKeys, Put};

async fn keys(client: &mut Client, bucket_type: Option<Bytes>) -> (Vec<Bytes>, usize) {
    let request = ListKeys { bucket: text("carts"), bucket_type, timeout: None };
    let answers = client.send(code::LIST_KEYS, request.encode_to_vec()).await;
    let (mut all, count) = (Vec::new(), answers.len());
    for (number, (code, answer)) in answers.into_iter().enumerate() {
        assert_eq!(code, code::KEYS);
        let page = Keys::decode(answer).unwrap();
        let last = number + 1 == count;
        assert_eq!((page.done, page.keys.is_empty()), (last.then_some(true), last));
        all.extend(page.keys);
    }
    all.sort();
    (all, count)
}

#[tokio::test]
async fn keys_come_in_pages_and_the_last_one_says_so() {
    let mut client = Client::new();
    assert_eq!(keys(&mut client, None).await, (Vec::new(), 1));
    let mut expected = Vec::new();
    for number in 0..50 {
        let key = text(&format!("k{number:02}"));
        client.put(Put { key: Some(key.clone()), ..put("tea", None) }).await;
        expected.push(key);
    }
    client.put(put("tea", None)).await;
    client.delete(delete(None)).await;
    client.put(Put { bucket_type: Some(text("maps")), ..put("tea", None) }).await;
    let (listed, pages) = keys(&mut client, None).await;
    assert_eq!(listed, expected);
    assert!(pages > 2, "{pages}");
    assert_eq!(keys(&mut client, Some(text("maps"))).await.0, ["alice"]);
}

#[tokio::test]
async fn a_listing_that_fails_ends_with_the_error() {
    let mut client = Client::new();
    client.node.fail_next(Failure::new(ErrorCode::NotReady, "starting"));
    let request = ListKeys { bucket: text("carts"), ..ListKeys::default() };
    assert_eq!(client.refused(code::LIST_KEYS, &request).await, "NotReady: starting");
    let unnamed = client.refused(code::LIST_KEYS, &ListKeys::default()).await;
    assert!(unnamed.contains("empty"), "{unnamed}");
}

#[tokio::test]
async fn buckets_are_listed_by_type_and_once() {
    let mut client = Client::new();
    for (bucket, key) in [("carts", "a"), ("carts", "b"), ("users", "a")] {
        let [bucket, key] = [bucket, key].map(text);
        client.put(Put { bucket, key: Some(key), ..put("tea", None) }).await;
    }
    client.put(Put { bucket_type: Some(text("maps")), ..put("tea", None) }).await;
    for (bucket_type, expected) in
        [(None, vec!["carts", "users"]), (Some("maps"), vec!["carts"]), (Some("none"), vec![])]
    {
        for stream in [None, Some(true)] {
            let bucket_type = bucket_type.map(text);
            let request = ListBuckets { stream, bucket_type, timeout: Some(1_000) };
            let answers = client.send(code::LIST_BUCKETS, request.encode_to_vec()).await;
            let pages: Vec<Buckets> =
                answers.into_iter().map(|(_, page)| Buckets::decode(page).unwrap()).collect();
            let (last, others) = pages.split_last().unwrap();
            assert_eq!(last.done, Some(true));
            assert!(others.iter().all(|page| page.done.is_none() && !page.buckets.is_empty()));
            assert!(stream.is_some() || others.is_empty());
            let mut listed: Vec<_> = pages.into_iter().flat_map(|page| page.buckets).collect();
            listed.sort();
            assert_eq!(listed, expected, "{request:?}");
        }
    }
}
