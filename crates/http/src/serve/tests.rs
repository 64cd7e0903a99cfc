//! Who is let in over real sockets, and what those are told who are not.

use std::sync::Arc;
use std::time::Duration;

use jedlik_door::fake::FakeNode;
use jedlik_door::{
    Access, Caller, DoorName, Guard, Handshaking, Node, Reason, Secured, Stream, Tls,
};
use jedlik_protocol::error::{ErrorCode, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{Door, Settings};

/// Limit on every wait.
const LIMIT: Duration = Duration::from_secs(60);
/// First byte of a client that speaks TLS.
const TLS: &str = "\u{16}";

/// Handshakes of one byte, with a certificate or without.
struct Short(Option<Caller>);

impl Tls for Short {
    fn handshake(&self, mut stream: Stream) -> Handshaking {
        let client = self.0.clone();
        Box::pin(async move {
            stream.read_u8().await?;
            Ok(Secured { stream, client })
        })
    }
}

fn shop() -> Caller {
    Caller::Certificate("shop".into())
}

/// Opens a door, sends this, and returns all that comes back until the door ends the connection.
async fn told(node: &Arc<FakeNode>, guard: Guard, said: &str) -> String {
    let settings = Settings { guard, ..Settings::default() };
    let node = Arc::clone(node) as Arc<dyn Node>;
    let door = Door::bind(([127, 0, 0, 1], 0).into(), node, settings).await.unwrap();
    let mut client = TcpStream::connect(door.address().unwrap()).await.unwrap();
    let serving = tokio::spawn(door.serve(std::future::pending()));
    client.write_all(said.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    serving.abort();
    answer
}

fn get(headers: &str) -> String {
    format!("GET /v1/buckets/b/keys/k HTTP/1.1\r\nhost: a\r\n{headers}connection: close\r\n\r\n")
}

#[tokio::test]
async fn a_client_is_known_by_its_token_or_its_certificate() {
    let (token, wrong) =
        ("authorization: Bearer shop.secret\r\n", "authorization: Bearer shop.x\r\n");
    for (access, certificate, headers, status, caller) in [
        (Access::Open, None, "", "404", Some(Caller::Trusted)),
        (Access::Open, Some(shop()), "", "404", Some(shop())),
        (Access::Tokens, None, "", "401", None),
        (Access::Tokens, None, wrong, "401", None),
        (Access::Tokens, Some(shop()), "", "404", Some(shop())),
        (Access::Tokens, Some(shop()), wrong, "401", None),
        (Access::Tokens, Some(shop()), "authorization: Basic c2hvcDo=\r\n", "404", Some(shop())),
        (
            Access::Tokens,
            Some(shop()),
            token,
            "404",
            Some(Caller::Token(jedlik_door::Token::new("shop", b"secret"))),
        ),
    ] {
        let node = Arc::new(FakeNode::default());
        let guard = Guard::new(access, Some(Arc::new(Short(certificate.clone()))));
        let answer = told(&node, guard, &format!("{TLS}{}", get(headers))).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
        assert_eq!(node.callers().last().cloned(), caller, "{access:?} {certificate:?} {headers}");
        let reason = if headers.is_empty() { Reason::Nothing } else { Reason::Token };
        let noted = if status == "401" { vec![(DoorName::Http, reason)] } else { Vec::new() };
        assert_eq!(node.refusals(), noted, "{headers}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_is_told_in_the_same_words() {
    let node = Arc::new(FakeNode::default());
    let mut answers = Vec::new();
    for token in ["nobody.secret", "shop.wrong", "shop."] {
        let guard = Guard::new(Access::Tokens, None);
        let header = format!("authorization: Bearer {token}\r\n");
        let answer = told(&node, guard, &get(&header)).await;
        // The date may go on.
        answers.push(answer.lines().filter(|line| !line.starts_with("Date")).collect::<String>());
    }
    node.revoke();
    let guard = Guard::new(Access::Tokens, None);
    let answer = told(&node, guard, &get("authorization: Bearer shop.secret\r\n")).await;
    answers.push(answer.lines().filter(|line| !line.starts_with("Date")).collect());
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[tokio::test]
async fn a_request_without_right_is_noted() {
    let node = Arc::new(FakeNode::default());
    node.fail_next(Failure::new(ErrorCode::Forbidden, "no"));
    let answer = told(&node, Guard::default(), &get("")).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(node.refusals(), [(DoorName::Http, Reason::Forbidden)]);
}

#[tokio::test]
async fn an_entry_of_a_batch_without_right_is_noted() {
    let node = Arc::new(FakeNode::default());
    node.fail_next(Failure::new(ErrorCode::Forbidden, "no"));
    let body = r#"{"keys":[{"bucket":"carts","key":"alice"},{"bucket":"carts","key":"bob"}]}"#;
    let request = format!(
        "POST /v1/batch/get HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = told(&node, Guard::default(), &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("403"), "{answer}");
    assert_eq!(node.refusals(), [(DoorName::Http, Reason::Forbidden)]);
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_no_other_name_reaches_an_open_door() {
    let put = |headers: &str| {
        format!(
            "POST /v1/batch/put HTTP/1.1\r\n{headers}connection: close\r\ncontent-type: text/plain\r\n\
             content-length: 14\r\n\r\n{{\"entries\":[]}}"
        )
    };
    let of =
        |host: &str| format!("GET /ping HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    for (request, status) in [
        (put("host: 127.0.0.1:1\r\norigin: https://evil.example\r\n"), "403"),
        (put("host: 127.0.0.1:1\r\nsec-fetch-site: cross-site\r\n"), "403"),
        (put("host: 127.0.0.1:1\r\norigin: null\r\n"), "403"),
        (of("evil.example"), "403"),
        (of("localhost:1"), "200"),
        (of("127.0.0.1"), "200"),
    ] {
        let node = Arc::new(FakeNode::default());
        let answer = told(&node, Guard::default(), &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert_eq!(node.asked(), [], "{request}");
    }
    // Who asks for tokens is not open, whatever its name.
    let node = Arc::new(FakeNode::default());
    let answer = told(&node, Guard::new(Access::Tokens, None), &of("n1.example.org")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_node_that_starts_calls_no_token_wrong() {
    let node = Arc::new(FakeNode::default());
    node.set_starting(true);
    for header in ["", "authorization: Bearer shop.new\r\n"] {
        let answer = told(&node, Guard::new(Access::Tokens, None), &get(header)).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
    }
    assert_eq!(node.refusals(), []);
}

#[tokio::test]
async fn plain_http_at_a_door_with_tls_is_told_so_and_tls_at_a_plain_one_ends() {
    let node = Arc::new(FakeNode::default());
    let guard = Guard::new(Access::Open, Some(Arc::new(Short(None))));
    let answer = told(&node, guard, &get("")).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("use https://"), "{answer}");
    assert_eq!(node.refusals(), [(DoorName::Http, Reason::Plain)]);

    let hello = "\u{16}\u{3}\u{1}\0\u{4}\u{1}\0\0\0\r\n\r\n";
    let answer = told(&node, Guard::default(), hello).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(node.asked().is_empty());
}

#[tokio::test]
async fn a_door_that_closes_waits_for_no_handshake() {
    let node = Arc::new(FakeNode::default());
    let guard = Guard::new(Access::Open, Some(Arc::new(Short(None))));
    let settings = Settings { guard: guard.clone(), ..Settings::default() };
    let door = Door::bind(([127, 0, 0, 1], 0).into(), node, settings).await.unwrap();
    let mut client = TcpStream::connect(door.address().unwrap()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(door.serve(async {
        let _dropped = stopped.await;
    }));
    let handshake = async {
        while guard.handshakes() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, handshake).await.unwrap();
    drop(stop);
    // The drain's limit is as long as a handshake's, so its end shows nothing: the connection's does.
    assert_eq!(tokio::time::timeout(LIMIT, client.read(&mut [0])).await.unwrap().unwrap(), 0);
    tokio::time::timeout(LIMIT, serving).await.unwrap().unwrap();
}
