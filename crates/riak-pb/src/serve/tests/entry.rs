//! TLS and tokens over real sockets: what comes first, and who is not let in.

use std::sync::Arc;

use bytes::Bytes;
use jedlik_door::fake::FakeNode;
use jedlik_door::{
    Access, Caller, DoorName, Guard, Handshaking, Reason, Secured, Stream, Tls, Token,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Client, Server, frame, get, open_with};
use crate::code;
use crate::messages::Authenticate;
use crate::serve::Settings;

/// First byte of a client that speaks TLS.
const HELLO: u8 = 22;

/// Handshakes of one byte each way, with a certificate or without.
struct Short(Option<Caller>);

impl Tls for Short {
    fn handshake(&self, mut stream: Stream) -> Handshaking {
        let client = self.0.clone();
        Box::pin(async move {
            let hello = stream.read_u8().await?;
            stream.write_u8(hello).await?;
            Ok(Secured { stream, client })
        })
    }
}

/// Door with a node that notes who asks.
struct Guarded {
    node: Arc<FakeNode>,
    server: Server,
}

impl Guarded {
    async fn new(access: Access, tls: Option<Option<Caller>>) -> Self {
        let node = Arc::new(FakeNode::default());
        let tls = tls.map(|client| Arc::new(Short(client)) as Arc<dyn Tls>);
        let settings = Settings { guard: Guard::new(access, tls), ..Settings::default() };
        let server = open_with(Arc::clone(&node) as _, settings).await;
        Self { node, server }
    }

    async fn over_tls(&self) -> Client {
        let mut client = self.server.connect().await;
        client.send(&frame(code::START_TLS, &())).await;
        assert_eq!(client.answer().await, (code::START_TLS, Bytes::new()));
        client.send(&[HELLO]).await;
        assert_eq!(client.0.read_u8().await.unwrap(), HELLO);
        client
    }
}

fn authenticate(user: &str, password: &str) -> Vec<u8> {
    let [user, password] = [user, password].map(|text| Bytes::copy_from_slice(text.as_bytes()));
    frame(code::AUTHENTICATE, &Authenticate { user, password })
}

async fn is_in(client: &mut Client) {
    client.send(&frame(code::GET, &get())).await;
    assert_eq!(client.answer().await, (code::GOT, Bytes::new()));
}

#[tokio::test]
async fn tls_comes_first_and_then_the_token() {
    let door = Guarded::new(Access::Tokens, Some(None)).await;
    let mut early = door.server.connect().await;
    for request in [frame(code::GET, &get()), authenticate("shop", "secret"), vec![0, 0, 0, 1, 1]] {
        early.send(&request).await;
        assert_eq!(early.error().await, "Security is enabled, please STARTTLS first");
    }
    let mut client = door.over_tls().await;
    client.send(&frame(code::GET, &get())).await;
    assert!(client.error().await.contains("it needs a token"));
    client.send(&authenticate("shop", "secret")).await;
    assert_eq!(client.answer().await, (code::AUTHENTICATED, Bytes::new()));
    is_in(&mut client).await;
    assert_eq!(door.node.callers(), [Caller::Token(Token::new("shop", b"secret"))]);
    let plain = (DoorName::RiakPb, Reason::Plain);
    let refusals = [plain, plain, plain, (DoorName::RiakPb, Reason::Nothing)];
    assert_eq!(door.node.refusals(), refusals);
    client.send(&frame(code::START_TLS, &())).await;
    assert!(client.error().await.contains("started once"));
    door.node.revoke();
    client.send(&frame(code::GET, &get())).await;
    assert!(client.error().await.starts_with("Forbidden: "));
    assert_eq!(door.node.refusals().last(), Some(&(DoorName::RiakPb, Reason::Forbidden)));
}

#[tokio::test]
async fn a_node_that_starts_calls_no_token_wrong() {
    let door = Guarded::new(Access::Tokens, Some(None)).await;
    let mut client = door.over_tls().await;
    door.node.set_starting(true);
    client.send(&authenticate("shop", "new")).await;
    assert!(client.error().await.starts_with("NotReady: "));
    door.node.set_starting(false);
    client.send(&authenticate("shop", "secret")).await;
    assert_eq!(client.answer().await, (code::AUTHENTICATED, Bytes::new()));
    assert_eq!(door.node.refusals(), []);
}

#[tokio::test]
async fn a_guess_costs_a_connection_and_learns_nothing() {
    let door = Guarded::new(Access::Tokens, Some(None)).await;
    for (user, password) in [("shop", "wrong"), ("nobody", "secret"), ("shop", ""), ("", "")] {
        let mut client = door.over_tls().await;
        client.send(&authenticate(user, password)).await;
        assert_eq!(client.error().await, "Authentication failed");
        client.ends().await;
    }
    door.node.revoke();
    let mut client = door.over_tls().await;
    client.send(&authenticate("shop", "secret")).await;
    assert_eq!(client.error().await, "Authentication failed");
    assert_eq!(door.node.refusals(), [(DoorName::RiakPb, Reason::Token); 5]);
    assert!(door.node.asked().is_empty());
}

#[tokio::test]
async fn a_certificate_is_enough_and_its_name_may_be_shown_as_well() {
    let shop = Caller::Certificate("shop".into());
    let door = Guarded::new(Access::Tokens, Some(Some(shop.clone()))).await;
    let mut client = door.over_tls().await;
    is_in(&mut client).await;
    client.send(&authenticate("shop", "")).await;
    assert_eq!(client.answer().await, (code::AUTHENTICATED, Bytes::new()));
    is_in(&mut client).await;
    assert_eq!(door.node.callers(), [shop.clone(), shop]);
    client.send(&authenticate("other", "")).await;
    assert_eq!(client.error().await, "Authentication failed");
    client.ends().await;
}

#[tokio::test]
async fn an_open_door_with_tls_takes_any_name_and_a_plain_one_with_tokens_takes_a_token() {
    let door = Guarded::new(Access::Open, Some(None)).await;
    let mut client = door.over_tls().await;
    is_in(&mut client).await;
    client.send(&authenticate("any", "thing")).await;
    assert_eq!(client.answer().await, (code::AUTHENTICATED, Bytes::new()));
    assert_eq!(door.node.callers(), [Caller::Trusted]);

    let door = Guarded::new(Access::Tokens, None).await;
    let mut client = door.server.connect().await;
    client.send(&frame(code::START_TLS, &())).await;
    assert!(client.error().await.contains("riak_pb.tls_cert"));
    client.send(&authenticate("shop", "secret")).await;
    assert_eq!(client.answer().await, (code::AUTHENTICATED, Bytes::new()));
    is_in(&mut client).await;
}

#[tokio::test]
async fn bytes_that_came_before_the_handshake_are_never_taken_for_the_clients() {
    let door = Guarded::new(Access::Open, Some(None)).await;
    let mut client = door.server.connect().await;
    // One segment: the request for TLS, and what somebody adds to it.
    let both = [frame(code::START_TLS, &()), frame(code::GET, &get())].concat();
    client.send(&both).await;
    assert!(client.error().await.contains("the connection ends"));
    client.ends().await;

    let mut client = door.server.connect().await;
    client.send(&frame(code::START_TLS, &())).await;
    assert_eq!(client.answer().await.0, code::START_TLS);
    client.send(&frame(code::GET, &get())).await;
    client.ends().await;
    assert!(door.node.asked().is_empty());
    let [handshake, plain] =
        [Reason::Handshake, Reason::Plain].map(|reason| (DoorName::RiakPb, reason));
    assert_eq!(door.node.refusals(), [handshake, plain]);
}

#[tokio::test]
async fn a_door_that_closes_waits_for_no_handshake() {
    let door = Guarded::new(Access::Open, Some(None)).await;
    let mut client = door.server.connect().await;
    client.send(&frame(code::START_TLS, &())).await;
    assert_eq!(client.answer().await.0, code::START_TLS);
    door.server.stop.send(()).unwrap();
    client.ends().await;
    tokio::time::timeout(super::PATIENCE, door.server.serving).await.unwrap().unwrap();
}
