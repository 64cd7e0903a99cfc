//! Lists of keys and of buckets, whole and as streams.

use std::collections::BTreeSet;

use http_body_util::BodyExt;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use serde_json::{Deserializer, Value, json};

use super::{Door, Reply};

/// Failure that no retry of a page cures.
fn damaged() -> Failure {
    Failure::new(ErrorCode::Internal, "the record of alice is damaged")
}

/// Returns all names in the objects of a list.
fn names(reply: &Reply, field: &str) -> BTreeSet<String> {
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let mut names = BTreeSet::new();
    for object in Deserializer::from_str(&reply.body).into_iter::<Value>() {
        for name in object.unwrap()[field].as_array().unwrap() {
            assert!(names.insert(name.as_str().unwrap().to_owned()), "{name} twice");
        }
    }
    names
}

async fn with_keys(count: usize) -> (Door, BTreeSet<String>) {
    let door = Door::new();
    let keys: BTreeSet<String> = (0..count).map(|number| format!("k {number}")).collect();
    for key in &keys {
        door.put(&format!("/buckets/carts/keys/{}", key.replace(' ', "+")), "tea", &[]).await;
    }
    (door, keys)
}

#[tokio::test]
async fn keys_are_listed_whole_or_as_a_stream() {
    let (door, keys) = with_keys(30).await;
    door.put("/types/maps/buckets/carts/keys/other", "tea", &[]).await;
    for path in ["/buckets/carts/keys", "/types/default/buckets/carts/keys", "/riak/carts"] {
        let whole = door.get(&format!("{path}?keys=true&props=false")).await;
        assert_eq!(whole.json()["keys"].as_array().unwrap().len(), 30, "{path}");
        assert_eq!(names(&whole, "keys"), keys, "{path}");
        let stream = door.get(&format!("{path}?keys=stream")).await;
        assert_eq!(names(&stream, "keys"), keys, "{path}");
    }
    let typed = door.get("/types/maps/buckets/carts/keys?keys=true").await;
    assert_eq!(typed.json(), json!({ "keys": ["other"] }));
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    let door = Door::new();
    for path in ["/buckets/none/keys?keys=true", "/buckets/none/keys?keys=stream"] {
        assert_eq!(door.get(path).await.body, "{\"keys\":[]}", "{path}");
    }
    assert_eq!(door.get("/buckets?buckets=true").await.body, "{\"buckets\":[]}");
}

#[tokio::test]
async fn buckets_are_listed_by_type_even_with_another_n() {
    let (door, _) = with_keys(3).await;
    door.put("/types/maps/buckets/plans/keys/a", "tea", &[]).await;
    let five = "{\"props\":{\"n_val\":5}}";
    assert_eq!(door.ask("PUT /buckets/wide/props", &[], five).await.status, 204);
    door.put("/buckets/wide/keys/a", "tea", &[]).await;
    for (path, expected) in [
        ("/buckets?buckets=true", &["carts", "wide"][..]),
        ("/buckets?buckets=stream", &["carts", "wide"]),
        ("/types/default/buckets?buckets=true", &["carts", "wide"]),
        ("/types/maps/buckets?buckets=true", &["plans"]),
        ("/riak?buckets=true", &["carts", "wide"]),
    ] {
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names(&door.get(path).await, "buckets"), expected, "{path}");
    }
}

#[tokio::test]
async fn a_list_is_read_only_where_it_is_asked_for() {
    let (door, _) = with_keys(1).await;
    for path in ["/buckets/carts/keys", "/buckets", "/buckets/carts/keys?keys=false"] {
        let refused = door.get(path).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.body.contains("must be true or stream"), "{refused:?}");
    }
    assert_eq!(door.get("/buckets/carts/keys?keys=perhaps").await.status, 400);
    assert!(door.get("/riak/carts").await.json()["props"].is_object());
}

#[tokio::test]
async fn a_list_that_can_not_begin_is_refused() {
    let (door, _) = with_keys(1).await;
    let failure = Failure::new(ErrorCode::NotReady, "there is no layout yet");
    for path in ["/buckets/carts/keys?keys=true", "/buckets/carts/keys?keys=stream"] {
        door.node.fail_next(failure.clone());
        assert_eq!(door.get(path).await.status, 503, "{path}");
    }
}

#[tokio::test]
async fn a_list_that_can_not_go_on_does_not_look_complete() {
    let (door, _) = with_keys(30).await;
    let whole = door.begin("GET /buckets/carts/keys?keys=true", &[], "").await;
    door.node.fail_next(damaged());
    assert!(whole.into_body().collect().await.is_err());

    let stream = door.begin("GET /buckets/carts/keys?keys=stream", &[], "").await;
    door.node.fail_next(damaged());
    let body = stream.into_body().collect().await.unwrap().to_bytes();
    let objects: Vec<Value> =
        Deserializer::from_slice(&body).into_iter().map(Result::unwrap).collect();
    assert_eq!(objects.last(), Some(&json!({ "error": damaged().message })));
    assert!(objects[0]["keys"].is_array(), "{objects:?}");
}

#[tokio::test]
async fn pages_are_read_as_they_are_taken() {
    let (door, _) = with_keys(30).await;
    let scans = |door: &Door| {
        let asked = door.node.asked();
        asked.iter().filter(|request| matches!(request, ClientRequest::Scan(_))).count()
    };
    let answer = door.begin("GET /buckets/carts/keys?keys=stream", &[], "").await;
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    let begun = scans(&door);
    assert!(begun < 4, "{begun} of 4 partitions were read for the first");
    body.frame().await.unwrap().unwrap();
    assert!(scans(&door) > begun);
    drop(body);
}

#[tokio::test]
async fn a_name_that_json_can_not_have_is_an_error_with_the_remedy() {
    let door = Door::new();
    door.put("/buckets/carts/keys/%FF", "tea", &[]).await;
    let refused = door.get("/buckets/carts/keys?keys=true").await;
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("\\xff") && refused.body.contains("jedlik keys"), "{refused:?}");
}
