//! Gets, puts and deletes.

use jedlik_protocol::Quorum;
use jedlik_protocol::client::{ClientRequest, GetRequest, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::TIMEOUT_MAX_MS;
use prost::Message;

use super::{Client, delete, get, put, split, text, value, values};
use crate::code;
use crate::messages::{Delete, Get, Got, Put, PutQuorums, Stored};

const MAJORITY: u32 = 4_294_967_293;
const ALL: u32 = 4_294_967_292;

fn with(put: &Put, quorums: &PutQuorums) -> Vec<u8> {
    [put.encode_to_vec(), quorums.encode_to_vec()].concat()
}

#[tokio::test]
async fn an_absent_key_is_an_empty_answer() {
    let mut client = Client::new();
    let answers = client.send(code::GET, get().encode_to_vec()).await;
    assert_eq!(answers, [(code::GOT, text(""))]);
}

#[tokio::test]
async fn what_was_put_is_got_and_siblings_are_resolved_with_their_context() {
    let mut client = Client::new();
    assert_eq!(client.put(put("tea", None)).await, Stored::default());
    let first = client.get(get()).await;
    assert_eq!(values(&first.content), ["tea"]);
    assert_eq!(first.unchanged, None);
    client.put(put("milk", None)).await;
    let both = client.get(get()).await;
    assert_eq!(values(&both.content), ["milk", "tea"]);
    assert_ne!(both.content[0].vtag, both.content[1].vtag);
    client.put(put("tea with milk", both.vclock)).await;
    assert_eq!(values(&client.get(get()).await.content), ["tea with milk"]);
}

#[tokio::test]
async fn types_are_buckets_of_their_own() {
    let mut client = Client::new();
    client.put(Put { bucket_type: Some(text("maps")), ..put("tea", None) }).await;
    client.put(Put { bucket_type: Some(text("default")), ..put("milk", None) }).await;
    assert_eq!(values(&client.get(get()).await.content), ["milk"]);
    let of_type = Get { bucket_type: Some(text("maps")), ..get() };
    assert_eq!(values(&client.get(of_type).await.content), ["tea"]);
    let refused = client.refused(code::GET, &Get { bucket_type: Some(text("a/b")), ..get() }).await;
    assert!(refused.starts_with("InvalidRequest: ") && refused.contains("slash"), "{refused}");
}

#[tokio::test]
async fn a_deleted_key_is_absent_and_leaves_a_context_for_who_asks() {
    let mut client = Client::new();
    client.delete(delete(None)).await;
    assert_eq!(client.asked().len(), 1, "there was nothing to delete");
    client.put(put("tea", None)).await;
    client.delete(delete(None)).await;
    assert_eq!(client.get(get()).await, Got::default());
    let deleted = client.get(Get { deletedvclock: Some(true), ..get() }).await;
    assert!(deleted.content.is_empty() && deleted.vclock.is_some(), "{deleted:?}");
    client.put(put("milk", deleted.vclock)).await;
    assert_eq!(values(&client.get(get()).await.content), ["milk"]);
}

#[tokio::test]
async fn a_delete_removes_what_its_context_has_seen() {
    let mut client = Client::new();
    client.put(put("tea", None)).await;
    let seen = client.get(get()).await.vclock;
    client.put(put("milk", None)).await;
    client.delete(delete(seen)).await;
    assert_eq!(values(&client.get(get()).await.content), ["-", "milk"]);
    let refused = client.refused(code::DELETE, &delete(Some(text("nonsense?")))).await;
    assert!(refused.starts_with("InvalidContext: "), "{refused}");
}

#[tokio::test]
async fn conditions_hold_or_the_put_is_refused_in_riaks_words() {
    let none = || Put { if_none_match: Some(true), ..put("new", None) };
    let same = |vclock| Put { if_not_modified: Some(true), ..put("new", vclock) };
    let mut client = Client::new();
    client.put(none()).await;
    assert_eq!(client.refused(code::PUT, &none()).await, "match_found");
    let first = client.get(get()).await.vclock;
    client.put(same(first.clone())).await;
    assert_eq!(client.refused(code::PUT, &same(first.clone())).await, "modified");
    assert_eq!(client.refused(code::PUT, &same(None)).await, "modified");
    client.delete(delete(None)).await;
    assert_eq!(client.refused(code::PUT, &same(first)).await, "notfound");

    // A deleted key is absent, and the put follows its tombstone.
    client.put(none()).await;
    assert_eq!(values(&client.get(get()).await.content), ["new"]);
    let other = |put: Put| Put { key: Some(text("bob")), ..put };
    assert_eq!(client.refused(code::PUT, &other(same(Some(text("12345678"))))).await, "notfound");
    assert_eq!(client.asked().iter().filter(|request| is_put(request)).count(), 4);
}

fn is_put(request: &ClientRequest) -> bool {
    matches!(request, ClientRequest::Put(_))
}

#[tokio::test]
async fn a_put_may_return_what_is_stored() {
    let mut client = Client::new();
    client.put(put("tea", None)).await;
    let body = client.put(Put { return_body: Some(true), ..put("milk", None) }).await;
    assert_eq!(values(&body.content), ["milk", "tea"]);
    let head = client.put(Put { return_head: Some(true), ..put("both", body.vclock) }).await;
    assert_eq!(values(&head.content), [""]);
    assert!(head.content[0].vtag.is_some() && head.key.is_none());
    assert_eq!(head.vclock, client.get(get()).await.vclock);
}

#[tokio::test]
async fn a_put_without_a_key_is_given_one() {
    let mut client = Client::new();
    let unnamed = Put { key: None, return_body: Some(true), ..put("tea", None) };
    let (first, second) = (client.put(unnamed.clone()).await, client.put(unnamed).await);
    let key = first.key.unwrap();
    assert_ne!(Some(&key), second.key.as_ref());
    assert_eq!(values(&client.get(Get { key, ..get() }).await.content), ["tea"]);
    assert_eq!(values(&first.content), ["tea"]);
}

#[tokio::test]
async fn a_get_may_be_of_heads_or_of_changes() {
    let mut client = Client::new();
    client.put(put("tea", None)).await;
    let head = client.get(Get { head: Some(true), ..get() }).await;
    assert_eq!(values(&head.content), [""]);
    let same = client.get(Get { if_modified: head.vclock.clone(), ..get() }).await;
    assert_eq!((same.unchanged, same.content.len()), (Some(true), 0));
    assert_eq!(same.vclock, head.vclock);
    client.put(put("milk", head.vclock.clone())).await;
    let changed = client.get(Get { if_modified: head.vclock, ..get() }).await;
    assert_eq!((changed.unchanged, values(&changed.content)), (None, vec!["milk".to_owned()]));
}

#[tokio::test]
async fn an_absent_key_is_asked_for_again_where_absence_is_no_answer() {
    for (notfound_ok, basic_quorum, asked) in [
        (None, None, vec![Quorum::One]),
        (Some(true), None, vec![Quorum::One]),
        (Some(false), None, vec![Quorum::One, Quorum::Count(3)]),
        (Some(false), Some(true), vec![Quorum::One, Quorum::Count(2)]),
    ] {
        let mut client = Client::new();
        let r = Some(4_294_967_294);
        client.get(Get { r, notfound_ok, basic_quorum, ..get() }).await;
        let r = |request: &ClientRequest| match request {
            ClientRequest::Get(GetRequest { r, .. }) => *r,
            other => panic!("{other:?}"),
        };
        let case = format!("notfound_ok={notfound_ok:?} basic_quorum={basic_quorum:?}");
        assert_eq!(client.asked().iter().map(r).collect::<Vec<_>>(), asked, "{case}");
    }
}

#[tokio::test]
async fn options_reach_the_node() {
    let mut client = Client::new();
    let (r, pr, timeout) = (Some(MAJORITY), Some(1), Some(u32::MAX));
    client.get(Get { r, pr, timeout, n_val: Some(2), ..get() }).await;
    let quorums = PutQuorums {
        w: Some(ALL),
        dw: Some(1),
        pw: Some(2),
        timeout: Some(70),
        ..PutQuorums::default()
    };
    client.send(code::PUT, with(&put("tea", None), &quorums)).await;
    let strict = PutQuorums { sloppy_quorum: Some(false), ..PutQuorums::default() };
    client.send(code::PUT, with(&put("tea", None), &strict)).await;
    let confirmed = PutQuorums { node_confirms: Some(3), ..PutQuorums::default() };
    client.send(code::PUT, with(&put("tea", None), &confirmed)).await;
    let asked = client.asked();
    let [ClientRequest::Get(get), puts @ ..] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((get.r, get.pr, get.n), (Quorum::Majority, Quorum::Count(1), Some(2)));
    assert_eq!(get.timeout_ms, TIMEOUT_MAX_MS);
    let quorums = |request: &ClientRequest| match request {
        ClientRequest::Put(PutRequest { w, pw, dw, timeout_ms, .. }) => (*w, *pw, *dw, *timeout_ms),
        other => panic!("{other:?}"),
    };
    let (count, default) = (Quorum::Count, Quorum::Default);
    let expected = [
        (Quorum::All, count(2), count(1), 70),
        (count(2), count(2), default, 5_000),
        (count(3), default, default, 5_000),
    ];
    assert_eq!(puts.iter().map(quorums).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_quorum_of_both_ways_counts_for_a_delete() {
    let mut client = Client::new();
    client.put(put("tea", None)).await;
    client.delete(Delete { rw: Some(ALL), pw: Some(1), ..delete(None) }).await;
    let asked = client.asked();
    let [_, ClientRequest::Get(get), ClientRequest::Put(put)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!((get.r, put.w, put.pw), (Quorum::All, Quorum::All, Quorum::Count(1)));
}

#[tokio::test]
async fn a_failure_is_told_with_its_code() {
    let mut client = Client::new();
    client.node.fail_next(Failure::new(ErrorCode::Overloaded, "the queue is full"));
    assert_eq!(client.refused(code::GET, &get()).await, "Overloaded: the queue is full");
    let maybe = Failure { maybe_applied: true, ..Failure::new(ErrorCode::Timeout, "too late") };
    client.node.fail_next(maybe);
    let refused = client.refused(code::PUT, &put("tea", None)).await;
    assert_eq!(refused, "Timeout: too late (the write may still take effect)");
    let above = client.refused(code::GET, &Get { r: Some(4), ..get() }).await;
    assert!(above.starts_with("InvalidRequest: "), "{above}");
    let asis = client.refused(code::PUT, &Put { asis: Some(true), ..put("tea", None) }).await;
    assert!(asis.contains("asis"), "{asis}");
    let unnamed = client.refused(code::GET, &Get { key: text(""), ..get() }).await;
    assert_eq!(unnamed, "InvalidRequest: the key is empty");
}

#[tokio::test]
async fn a_put_whose_bucket_is_not_known_writes_nothing() {
    let mut client = Client::new();
    client.put(put("tea", None)).await;
    let quorums = PutQuorums { node_confirms: Some(1), ..PutQuorums::default() };
    let returning = Put { return_body: Some(true), ..put("milk", None) };
    client.node.fail_next(Failure::new(ErrorCode::Timeout, "the properties"));
    let answers = client.send(code::PUT, with(&returning, &quorums)).await;
    assert_eq!(answers[0].0, code::ERROR);
    assert_eq!(values(&client.get(get()).await.content), ["tea"], "nothing was put");
}

#[tokio::test]
async fn nonsense_is_an_error_and_frames_are_counted() {
    let mut client = Client::new();
    for code in [code::GET, code::PUT, code::DELETE, code::LIST_KEYS, code::SET_BUCKET] {
        let answers = client.send(code, b"nonsense".to_vec()).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, code::ERROR, "{code}");
    }
    let unnamed = Put { content: value("tea").encode_to_vec().into(), ..Put::default() };
    assert!(client.refused(code::PUT, &unnamed).await.contains("bucket"));
    assert!(split(text("")).is_empty());
}
