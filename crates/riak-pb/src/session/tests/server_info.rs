//! Pings, the server's name, and requests for what is not there.

use jedlik_door::Kind;
use jedlik_protocol::error::{ErrorCode, Failure};

use super::{Client, text};
use crate::code;
use crate::messages::{Authenticate, ClientId, GetPreferenceList, PreferenceList, ServerInfo};

#[tokio::test]
async fn the_server_answers_pings_and_tells_its_version() {
    let mut client = Client::new();
    assert_eq!(client.send(code::PING, Vec::new()).await, [(code::PONG, text(""))]);
    let info: ServerInfo = client.ask(code::GET_SERVER_INFO, &(), code::SERVER_INFO).await;
    assert_eq!(info.node, Some(text("n1")));
    assert_eq!(info.server_version, Some(text("3.2.0")));
}

#[tokio::test]
async fn a_connection_keeps_its_clients_id() {
    let mut client = Client::new();
    let id = ClientId { client_id: text("me") };
    let () = client.ask(code::SET_CLIENT_ID, &id, code::CLIENT_ID_SET).await;
    let kept: ClientId = client.ask(code::GET_CLIENT_ID, &(), code::GOT_CLIENT_ID).await;
    assert_eq!(kept, id);
    let long = ClientId { client_id: text(&"m".repeat(65)) };
    assert!(client.refused(code::SET_CLIENT_ID, &long).await.contains("limit of 64"));
}

#[tokio::test]
async fn a_preference_list_has_nodes_by_their_names() {
    let mut client = Client::new();
    let question =
        GetPreferenceList { bucket: text("carts"), key: text("alice"), bucket_type: None };
    let list: PreferenceList =
        client.ask(code::GET_PREFERENCE_LIST, &question, code::PREFERENCE_LIST).await;
    let mut nodes: Vec<_> = list.preflist.iter().map(|item| item.node.clone()).collect();
    nodes.sort();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
    assert!(list.preflist.iter().all(|item| item.primary && (0..4).contains(&item.partition)));
    client.node.fail_next(Failure::new(ErrorCode::NotReady, "starting"));
    let refused = client.refused(code::GET_PREFERENCE_LIST, &question).await;
    assert_eq!(refused, "NotReady: starting");
}

#[tokio::test]
async fn security_is_refused_as_long_as_none_is_configured() {
    let mut client = Client::new();
    let shown = Authenticate { user: text("shop"), password: text("secret") };
    assert!(client.refused(code::AUTHENTICATE, &shown).await.contains("configured"));
    assert!(client.refused(code::START_TLS, &()).await.contains("riak_pb.tls_cert"));
}

#[test]
fn what_jedlik_does_not_have_is_named() {
    let session = Client::new().session;
    for (code, named) in [
        (23, "map/reduce"),
        (25, "secondary indexes"),
        (80, "data types"),
        (2, "code 2"),
        (35, "35"),
    ] {
        let refusal = session.limit(code).unwrap_err().message().message;
        let text = String::from_utf8(refusal.into()).unwrap();
        assert!(text.contains(named), "{code}: {text}");
    }
    assert!(session.limit(code::PUT).unwrap() > 16 << 20);
    assert!(session.limit(code::GET).unwrap() < 1 << 20);
}

#[tokio::test]
async fn every_answer_is_counted_by_kind_and_by_whether_it_is_an_error() {
    let mut client = Client::new();
    client.send(code::PING, Vec::new()).await;
    client.send(code::LIST_BUCKETS, Vec::new()).await;
    // An empty message has no bucket.
    for code in [code::GET, code::PUT, code::DELETE] {
        client.send(code, Vec::new()).await;
    }
    let expected = [
        (Kind::Other, false),
        (Kind::List, false),
        (Kind::Get, true),
        (Kind::Put, true),
        (Kind::Delete, true),
    ];
    assert_eq!(client.node.answered_riak_pb(), expected);
}
