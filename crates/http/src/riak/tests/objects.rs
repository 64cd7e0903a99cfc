//! Gets, puts and deletes of a key, with every status that they may have.

use jedlik_protocol::Quorum;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};

use super::{Door, Reply};

const ALICE: &str = "/buckets/carts/keys/alice";
const TEXT: (&str, &str) = ("content-type", "text/plain");

#[tokio::test]
async fn a_value_is_found_in_every_form_of_its_path() {
    let door = Door::new();
    for (put, others) in [
        ("/buckets/carts/keys/a", &["/riak/carts/a", "/types/default/buckets/carts/keys/a"][..]),
        ("/riak/carts/b", &["/buckets/carts/keys/b"]),
        ("/types/maps/buckets/carts/keys/c", &["/buckets/maps%2Fcarts/keys/c"]),
    ] {
        door.put(put, "tea", &[]).await;
        for path in [&[put], others].concat() {
            let reply = door.get(path).await;
            assert_eq!((reply.status, &reply.body[..]), (200, "tea"), "{path}");
            assert_eq!(reply.header("content-type"), "text/plain");
            assert_eq!(reply.header("last-modified").len(), 29, "{reply:?}");
            for header in ["etag", "x-riak-vclock", "link"] {
                assert!(!reply.header(header).is_empty(), "{header}: {reply:?}");
            }
        }
    }
    assert_eq!(door.get("/buckets/carts/keys/c").await.status, 404, "another type's");
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let door = Door::new();
    door.put(ALICE, "tea", &[]).await;
    let head = door.ask(&format!("HEAD {ALICE}"), &[], "").await;
    let get = door.get(ALICE).await;
    assert_eq!((head.status, &head.body[..]), (200, ""));
    assert_eq!(head.header("x-riak-vclock"), get.header("x-riak-vclock"));
    assert_eq!(head.header("content-length"), "3");
    assert_eq!(door.ask("HEAD /buckets/carts/keys/none", &[], "").await.status, 404);
}

#[tokio::test]
async fn everything_that_belongs_to_a_value_comes_back() {
    let door = Door::new();
    let kept = [
        ("content-type", "application/json; charset=utf-8"),
        ("content-encoding", "gzip"),
        ("x-riak-meta-colour", "red"),
        ("x-riak-index-age_int", "7, 8"),
        ("x-riak-index-mail_bin", "a@b"),
    ];
    let link = ("link", "</buckets/b/keys/k>; riaktag=\"next\"");
    let client = ("x-riak-clientid", "someone");
    let sent = [&kept[..], &[link, client]].concat();
    door.ask(&format!("POST {ALICE}"), &sent, "tea").await;
    let reply = door.get(ALICE).await;
    for (name, value) in kept {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let links = "</buckets/carts>; rel=\"up\", </buckets/b/keys/k>; riaktag=\"next\"";
    assert_eq!(reply.header("link"), links);
    assert_eq!(reply.header("x-riak-clientid"), "");
}

#[tokio::test]
async fn a_put_is_answered_with_the_value_only_where_it_is_wanted() {
    let door = Door::new();
    let plain = door.ask(&format!("PUT {ALICE}"), &[TEXT], "tea").await;
    assert_eq!((plain.status, &plain.body[..], plain.header("x-riak-vclock")), (204, "", ""));
    let vclock = door.get(ALICE).await.header("x-riak-vclock").to_owned();
    let headers = [TEXT, ("x-riak-vclock", &vclock)];
    let returned = door.ask(&format!("PUT {ALICE}?returnbody=true"), &headers, "milk").await;
    assert_eq!((returned.status, &returned.body[..]), (200, "milk"));
    assert!(!returned.header("x-riak-vclock").is_empty() && !returned.header("etag").is_empty());
    let siblings = door.ask(&format!("PUT {ALICE}?returnbody=true"), &[TEXT], "late").await;
    assert_eq!((siblings.status, siblings.header("jedlik-siblings")), (300, "2"));
    assert!(siblings.body.starts_with("Siblings:\n"), "{siblings:?}");
}

#[tokio::test]
async fn a_value_that_was_stored_and_can_not_be_returned_is_told_apart() {
    let door = Door::new();
    // The R is above N, which only the get after the put notices.
    let path = format!("PUT {ALICE}?returnbody=true&r=4");
    let refused = door.ask(&path, &[TEXT], "milk").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("was stored"), "{refused:?}");
}

#[tokio::test]
async fn a_post_to_the_bucket_chooses_a_key() {
    let door = Door::new();
    for path in ["/buckets/carts/keys", "/types/maps/buckets/carts/keys", "/riak/carts"] {
        let made = door.ask(&format!("POST {path}"), &[TEXT], "tea").await;
        assert_eq!((made.status, &made.body[..]), (201, ""), "{made:?}");
        let location = made.header("location");
        assert!(location.starts_with(path), "{location}");
        assert_eq!(door.get(location).await.body, "tea");
    }
    let made = door.ask("POST /buckets/carts/keys?returnbody=true", &[TEXT], "tea").await;
    assert_eq!((made.status, &made.body[..]), (201, "tea"));
    assert!(!made.header("x-riak-vclock").is_empty() && !made.header("location").is_empty());
}

/// Makes two siblings, and returns a get of them as text.
async fn siblings(door: &Door) -> Reply {
    door.put(ALICE, "tea", &[("x-riak-meta-from", "one")]).await;
    door.put(ALICE, "milk", &[]).await;
    door.get(ALICE).await
}

#[tokio::test]
async fn siblings_are_listed_and_each_is_shown_by_its_tag() {
    let door = Door::new();
    let list = siblings(&door).await;
    assert_eq!((list.status, list.header("content-type")), (300, "text/plain"));
    let tags: Vec<&str> = list.body.lines().skip(1).collect();
    assert_eq!((list.body.lines().next(), tags.len()), (Some("Siblings:"), 2));
    let mut bodies = Vec::new();
    for tag in tags {
        let one = door.get(&format!("{ALICE}?vtag={tag}")).await;
        assert_eq!((one.status, one.header("etag")), (200, &format!("\"{tag}\"")[..]));
        assert_eq!(one.header("x-riak-vclock"), list.header("x-riak-vclock"));
        bodies.push(one.body);
    }
    assert_eq!(bodies, ["tea", "milk"]);
    assert_eq!(door.get(&format!("{ALICE}?vtag=nonsense")).await.status, 404);
}

#[tokio::test]
async fn siblings_come_in_parts_with_headers_of_their_own() {
    let door = Door::new();
    siblings(&door).await;
    let accept = ("accept", "multipart/mixed, application/json, */*;q=0.5");
    let parts = door.ask(&format!("GET {ALICE}"), &[accept], "").await;
    let kind = parts.header("content-type");
    let boundary = kind.strip_prefix("multipart/mixed; boundary=").unwrap();
    assert_eq!(parts.status, 300);
    let mark = format!("\r\n--{boundary}");
    let pieces: Vec<&str> = parts.body.split(&mark[..]).collect();
    let [before, tea, milk, "--\r\n"] = pieces[..] else { panic!("{parts:?}") };
    assert_eq!(before, "");
    let (head, body) = tea.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "tea");
    for header in
        ["Content-Type: text/plain", "X-Riak-Meta-From: one", "Etag: 1", "Last-Modified: "]
    {
        assert!(head.contains(&format!("\r\n{header}")), "{header}: {head}");
    }
    assert!(milk.ends_with("\r\n\r\nmilk"), "{milk}");
    let length: usize = parts.header("content-length").parse().unwrap_or(parts.body.len());
    assert_eq!(length, parts.body.len());
}

#[tokio::test]
async fn a_put_with_the_vclock_replaces_the_siblings() {
    let door = Door::new();
    let vclock = siblings(&door).await.header("x-riak-vclock").to_owned();
    door.put(ALICE, "tea and milk", &[("x-riak-vclock", &vclock)]).await;
    let one = door.get(ALICE).await;
    assert_eq!((one.status, &one.body[..]), (200, "tea and milk"));
    let stale = door.ask(&format!("PUT {ALICE}"), &[TEXT, ("x-riak-vclock", "AAAA")], "").await;
    assert_eq!(stale.status, 400, "{stale:?}");
}

#[tokio::test]
async fn a_deleted_key_is_absent_and_leaves_its_vclock() {
    let door = Door::new();
    let delete = format!("DELETE {ALICE}");
    let missing = door.ask(&delete, &[], "").await;
    assert_eq!((missing.status, &missing.body[..]), (404, "not found\n"));
    assert_eq!(missing.header("x-riak-deleted"), "");
    siblings(&door).await;
    assert_eq!(door.ask(&delete, &[], "").await.status, 204);
    let gone = door.get(ALICE).await;
    assert_eq!((gone.status, gone.header("x-riak-deleted")), (404, "true"));
    assert!(!gone.header("x-riak-vclock").is_empty());
    assert_eq!(door.ask(&delete, &[], "").await.status, 404, "there is nothing left to delete");
    door.put(ALICE, "again", &[("x-riak-vclock", gone.header("x-riak-vclock"))]).await;
    assert_eq!(door.get(ALICE).await.body, "again");
}

#[tokio::test]
async fn a_delete_with_a_vclock_removes_what_it_has_seen() {
    let door = Door::new();
    door.put(ALICE, "tea", &[]).await;
    let vclock = door.get(ALICE).await.header("x-riak-vclock").to_owned();
    door.put(ALICE, "late", &[]).await;
    let headers = [("x-riak-vclock", &vclock[..])];
    assert_eq!(door.ask(&format!("DELETE {ALICE}"), &headers, "").await.status, 204);
    let accept = ("accept", "multipart/mixed");
    let both = door.ask(&format!("GET {ALICE}"), &[accept], "").await;
    assert_eq!(both.status, 300);
    assert!(both.body.contains("\r\nX-Riak-Deleted: true\r\n"), "{both:?}");
    let list = door.get(ALICE).await;
    let tombstone = list.body.lines().last().unwrap();
    let deleted = door.get(&format!("{ALICE}?vtag={tombstone}")).await;
    assert_eq!((deleted.status, deleted.header("x-riak-deleted")), (200, "true"));
}

#[tokio::test]
async fn conditions_end_gets() {
    let door = Door::new();
    door.put(ALICE, "tea", &[]).await;
    let got = door.get(ALICE).await;
    let (tag, date) = (got.header("etag"), got.header("last-modified"));
    for (header, value, status) in [
        ("if-none-match", tag, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-match", tag, 200),
        ("if-match", "\"other\"", 412),
        ("if-modified-since", date, 304),
    ] {
        let reply = door.ask(&format!("GET {ALICE}"), &[(header, value)], "").await;
        assert_eq!(reply.status, status, "{header}: {value}");
        assert_eq!(reply.header("etag"), tag);
        assert_eq!(reply.body.is_empty(), status != 200);
    }
}

#[tokio::test]
async fn conditions_refuse_writes_and_a_conditional_put_leaves_no_siblings() {
    let door = Door::new();
    let put = format!("PUT {ALICE}");
    let fresh = ("if-none-match", "*");
    assert_eq!(door.ask(&put, &[TEXT, fresh], "tea").await.status, 204);
    assert_eq!(door.ask(&put, &[TEXT, fresh], "milk").await.status, 412);
    let got = door.get(ALICE).await;
    let same = ("if-match", got.header("etag"));
    assert_eq!(door.ask(&put, &[TEXT, same], "milk").await.status, 204);
    assert_eq!(door.ask(&put, &[TEXT, same], "late").await.status, 412);
    let unmodified = ("x-riak-if-not-modified", got.header("x-riak-vclock"));
    assert_eq!(door.ask(&put, &[TEXT, unmodified], "late").await.status, 409);
    let now = door.get(ALICE).await;
    assert_eq!((now.status, &now.body[..]), (200, "milk"));
    let unmodified = ("x-riak-if-not-modified", now.header("x-riak-vclock"));
    assert_eq!(door.ask(&put, &[TEXT, unmodified], "sugar").await.status, 204);
    let delete = format!("DELETE {ALICE}");
    assert_eq!(door.ask(&delete, &[same], "").await.status, 412);
    assert_eq!(door.ask(&delete, &[], "").await.status, 204);
    assert_eq!(door.ask(&put, &[TEXT, fresh], "again").await.status, 204, "over a tombstone");
    assert_eq!(door.get(ALICE).await.status, 200, "which it replaces");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_text() {
    let door = Door::new();
    for (line, headers, status, named) in [
        (format!("PUT {ALICE}"), &[][..], 400, "Content-Type"),
        (format!("PUT {ALICE}"), &[("content-type", "nonsense")], 415, "media type"),
        (format!("PUT {ALICE}"), &[TEXT, ("x-riak-vclock", "%")], 400, "x-riak-vclock"),
        (format!("PUT {ALICE}"), &[TEXT, ("link", "x")], 400, "Link"),
        (format!("PUT {ALICE}?w=4"), &[TEXT], 400, "4"),
        (format!("PUT {ALICE}?node_confirms=4"), &[TEXT], 400, "4"),
        (format!("PUT {ALICE}?asis=true"), &[TEXT], 400, "asis"),
        (format!("PUT {ALICE}?sync_on_write=2"), &[TEXT], 400, "sync_on_write"),
        (format!("GET {ALICE}?r=4"), &[], 400, "4"),
        (format!("GET {ALICE}?r=many"), &[], 400, "r query parameter"),
        (format!("GET {ALICE}?timeout=never"), &[], 400, "timeout"),
        (format!("DELETE {ALICE}?rw=many"), &[], 400, "rw query parameter"),
        ("GET /types/a%2Fb/buckets/c/keys/d".into(), &[], 400, "slash"),
        ("GET /buckets//keys/d".into(), &[], 400, "empty"),
        (format!("PATCH {ALICE}"), &[], 405, "PATCH"),
        ("GET /buckets/carts/nowhere".into(), &[], 404, "/nowhere"),
    ] {
        let reply = door.ask(&line, headers, "tea").await;
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        assert_eq!(reply.header("content-type"), "text/plain");
        assert!(reply.body.contains(named), "{line}: {reply:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let door = Door::new();
    let over_buckets = door.ask(&format!("PUT {ALICE}"), &[TEXT], vec![b'a'; (1 << 20) + 1]).await;
    assert_eq!(over_buckets.status, 413);
    let over_all = door.ask(&format!("PUT {ALICE}"), &[TEXT], vec![b'a'; (16 << 20) + 1]).await;
    assert_eq!(over_all.status, 413);
}

#[tokio::test]
async fn what_may_succeed_later_is_said_to() {
    let door = Door::new();
    for code in [ErrorCode::Timeout, ErrorCode::Unavailable, ErrorCode::Overloaded] {
        let failure = Failure { maybe_applied: true, ..Failure::new(code, "2 of 3 answered") };
        door.node.fail_next(failure);
        let reply = door.ask(&format!("PUT {ALICE}"), &[TEXT], "tea").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{code:?}");
        assert_eq!(reply.body, "2 of 3 answered (the write may still take effect)\n");
    }
    door.node.fail_next(Failure::new(ErrorCode::TooManySiblings, "get the key"));
    assert_eq!(door.ask(&format!("PUT {ALICE}"), &[TEXT], "tea").await.status, 409);
}

#[tokio::test]
async fn parameters_reach_the_node() {
    let door = Door::new();
    let put = format!("PUT {ALICE}?w=1&pw=one&node_confirms=3&sync_on_write=all&timeout=70");
    door.ask(&put, &[TEXT], "tea").await;
    let asked = door.node.asked();
    let Some(ClientRequest::Put(put)) = asked.last() else { panic!("{asked:?}") };
    assert_eq!((put.w, put.dw, put.pw), (Quorum::Count(3), Quorum::All, Quorum::One));
    assert_eq!((put.timeout_ms, &put.context), (70, &None));
    door.get(&format!("{ALICE}?r=all&pr=quorum&timeout=80")).await;
    let asked = door.node.asked();
    let Some(ClientRequest::Get(get)) = asked.last() else { panic!("{asked:?}") };
    assert_eq!((get.r, get.pr, get.timeout_ms), (Quorum::All, Quorum::Majority, 80));
}

#[tokio::test]
async fn an_absent_key_is_asked_for_again_where_nothing_does_not_count() {
    let door = Door::new();
    let absent = "/buckets/carts/keys/none?r=1&notfound_ok=false";
    for (path, rs) in [
        (absent.to_owned(), vec![Quorum::Count(1), Quorum::Count(3)]),
        (format!("{absent}&basic_quorum=true"), vec![Quorum::Count(1), Quorum::Count(2)]),
        ("/buckets/carts/keys/none?r=1".into(), vec![Quorum::Count(1)]),
    ] {
        let before = door.node.asked().len();
        assert_eq!(door.get(&path).await.status, 404);
        let asked = door.node.asked().into_iter().skip(before);
        let gets = asked.filter_map(|request| match request {
            ClientRequest::Get(get) => Some(get.r),
            _ => None,
        });
        assert_eq!(gets.collect::<Vec<Quorum>>(), rs, "{path}");
    }
}
