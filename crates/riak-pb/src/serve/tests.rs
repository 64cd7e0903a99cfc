//! The door over real sockets: limits, silence, and its end.

mod entry;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jedlik_door::fake::FakeNode;
use jedlik_door::{Answering, Caller, Node, Phase, Token};
use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::{Door, Settings};
use crate::code;
use crate::limits::{Limits, PUT_LIMIT_BYTES, REQUEST_LIMIT_BYTES};
use crate::messages::{Content, ErrorAnswer, Get, Got, Put};

/// Time after which a test gives up waiting.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

/// Door that serves until its end is asked for.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Node that answers once it is told to.
#[derive(Default)]
struct SlowNode {
    node: FakeNode,
    asked: Notify,
    goes_on: Arc<Notify>,
}

impl Node for SlowNode {
    fn ask(&self, caller: &Caller, request: ClientRequest) -> Answering {
        let (answer, goes_on) = (self.node.ask(caller, request), Arc::clone(&self.goes_on));
        self.asked.notify_one();
        Box::pin(async move {
            goes_on.notified().await;
            answer.await
        })
    }

    fn knows(&self, token: &Token) -> bool {
        self.node.knows(token)
    }

    fn ask_member(&self, caller: &Caller, member: NodeId, request: AdminRequest) -> Answering {
        self.node.ask_member(caller, member, request)
    }

    fn phase(&self) -> Phase {
        Phase::Serving
    }
}

async fn open(node: Arc<dyn Node>, limits: Limits) -> Server {
    let settings = Settings { limits, ..Settings::default() };
    open_with(node, settings).await
}

async fn open_with(node: Arc<dyn Node>, settings: Settings) -> Server {
    let door = Door::bind(([127, 0, 0, 1], 0).into(), ("n1", node), settings).await.unwrap();
    let address = door.address().unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(door.serve(async {
        let _dropped = stopped.await;
    }));
    Server { address, stop, serving }
}

async fn server(limits: Limits) -> Server {
    open(Arc::new(FakeNode::default()), limits).await
}

impl Server {
    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }
}

/// Connection of a client that reads and writes frames.
struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn answer(&mut self) -> (u8, Bytes) {
        let read = async {
            let mut length = [0; 4];
            self.0.read_exact(&mut length).await.unwrap();
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            self.0.read_exact(&mut frame).await.unwrap();
            (frame[0], Bytes::from(frame).slice(1..))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer comes")
    }

    async fn error(&mut self) -> String {
        let (code, message) = self.answer().await;
        assert_eq!(code, code::ERROR);
        String::from_utf8(ErrorAnswer::decode(message).unwrap().message.into()).unwrap()
    }

    async fn ping(&mut self) {
        self.send(&[0, 0, 0, 1, code::PING]).await;
        assert_eq!(self.answer().await, (code::PONG, Bytes::new()));
    }

    /// Waits for the connection's end, of which nothing is read before.
    async fn ends(&mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.0.read(&mut byte)).await;
        match read.expect("the connection ends") {
            Ok(read) => assert_eq!(read, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}

fn frame(code: u8, message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    [&(message.len() as u32 + 1).to_be_bytes()[..], &[code], &message].concat()
}

fn put(length: usize) -> Put {
    let content = Content { value: vec![b'v'; length].into(), ..Content::default() };
    let (bucket, key) = (Bytes::from("carts"), Some(Bytes::from("alice")));
    Put { bucket, key, content: content.encode_to_vec().into(), ..Put::default() }
}

fn get() -> Get {
    Get { bucket: Bytes::from("carts"), key: Bytes::from("alice"), ..Get::default() }
}

#[tokio::test]
async fn requests_in_any_pieces_are_answered_in_order() {
    let server = server(Limits::default()).await;
    let mut client = server.connect().await;
    let all = [frame(code::PUT, &put(3)), frame(code::GET, &get()), frame(code::PING, &())];
    for byte in all.concat() {
        client.send(&[byte]).await;
    }
    client.send(&all.concat()).await;
    for _ in 0..2 {
        assert_eq!(client.answer().await, (code::STORED, Bytes::new()));
        let (code, got) = client.answer().await;
        let got = Got::decode(got).unwrap();
        assert_eq!((code, &got.content[0].value[..]), (code::GOT, &b"vvv"[..]));
        assert_eq!(client.answer().await, (code::PONG, Bytes::new()));
    }
}

#[tokio::test]
async fn what_can_be_passed_over_does_not_end_the_connection() {
    let server = server(Limits::default()).await;
    let mut client = server.connect().await;
    let nothing = [0; 4];
    client.send(&nothing).await;
    assert!(client.error().await.contains("empty"));
    let unknown = [&[0, 0, 0, 3, 77][..], b"??"].concat();
    client.send(&unknown).await;
    assert!(client.error().await.contains("code 77"));
    let jobs = [&[0, 1, 0, 1, 23][..], &[0; 1 << 16]].concat();
    client.send(&jobs).await;
    assert!(client.error().await.contains("map/reduce"));
    for (code, limit) in [(code::GET, REQUEST_LIMIT_BYTES), (code::PUT, PUT_LIMIT_BYTES)] {
        let long = [&(limit as u32 + 2).to_be_bytes()[..], &[code], &vec![0; limit + 1]].concat();
        client.send(&long).await;
        assert!(client.error().await.starts_with("ValueTooLarge: "), "{code}");
    }
    client.ping().await;
}

#[tokio::test]
async fn a_huge_length_is_refused_and_ends_the_connection() {
    let server = server(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(&[0xff, 0xff, 0xff, 0xff, code::PUT]).await;
    client.send(&[7; 10_000]).await;
    assert!(client.error().await.contains("4294967294 bytes"));
    client.ends().await;
}

#[tokio::test]
async fn half_a_frame_and_silence_is_given_up() {
    let server = server(Limits { message: SHORT, ..Limits::default() }).await;
    for code in [code::PUT, 23] {
        let mut client = server.connect().await;
        client.send(&[0, 0, 1, 0, code, 1, 2, 3]).await;
        assert!(client.error().await.contains("did not arrive"), "{code}");
        client.ends().await;
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let server = server(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.send(&[0, 0]).await;
    silent.ends().await;
    half.ends().await;
}

#[tokio::test]
async fn the_connection_that_is_idle_for_longest_gives_way() {
    let server = server(Limits { connections: 2, ..Limits::default() }).await;
    let [mut first, mut second] = [server.connect().await, server.connect().await];
    first.ping().await;
    second.ping().await;
    first.ping().await;
    let mut third = server.connect().await;
    third.ping().await;
    second.ends().await;
    first.ping().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let server = server(Limits { write: SHORT, ..Limits::default() }).await;
    let (mut silent, mut good) = (server.connect().await, server.connect().await);
    good.send(&frame(code::PUT, &put(1_000_000))).await;
    assert_eq!(good.answer().await.0, code::STORED);
    let gets = frame(code::GET, &get()).repeat(64);
    let ended = async {
        loop {
            // It fails once the other end is closed.
            if silent.0.write_all(&gets).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the connection ends");
    good.ping().await;
}

#[tokio::test]
async fn a_door_that_closes_answers_what_is_under_way() {
    let node = Arc::new(SlowNode::default());
    let server = open(Arc::clone(&node) as Arc<dyn Node>, Limits::default()).await;
    let (mut idle, mut client) = (server.connect().await, server.connect().await);
    idle.ping().await;
    client.send(&frame(code::GET, &get())).await;
    node.asked.notified().await;
    server.stop.send(()).unwrap();
    idle.ends().await;
    assert!(TcpStream::connect(server.address).await.is_err(), "it takes nothing new");
    node.goes_on.notify_one();
    assert_eq!(client.answer().await, (code::GOT, Bytes::new()));
    client.ends().await;
    tokio::time::timeout(PATIENCE, server.serving).await.expect("the door closes").unwrap();
}

#[tokio::test]
async fn a_door_that_closes_waits_for_nobody_for_ever() {
    let node = Arc::new(SlowNode::default());
    let limits = Limits { drain: SHORT, ..Limits::default() };
    let server = open(Arc::clone(&node) as Arc<dyn Node>, limits).await;
    let mut client = server.connect().await;
    client.send(&frame(code::GET, &get())).await;
    node.asked.notified().await;
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, server.serving).await.expect("the door closes").unwrap();
    client.ends().await;
}

/// Returns what a door answers to bytes after which the client sends no more.
fn answers(sent: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = server(Limits { message: SHORT, ..Limits::default() }).await;
        let mut client = server.connect().await;
        let mut received = Vec::new();
        // The door may have closed before all was sent.
        let _closed = client.0.write_all(sent).await;
        let _closed = client.0.shutdown().await;
        let read = tokio::time::timeout(PATIENCE, client.0.read_to_end(&mut received)).await;
        let _reset = read.expect("the connection ends");
        server.connect().await.ping().await;
        received
    })
}

fn are_frames(mut bytes: &[u8]) -> bool {
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 || length > rest.len() {
            return false;
        }
        bytes = &rest[length..];
    }
    bytes.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered_or_refused(sent in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(are_frames(&answers(&sent)));
    }

    #[test]
    fn any_message_of_any_code_has_an_answer(
        codes in proptest::collection::vec((any::<u8>(), proptest::collection::vec(0..40_u8, 0..30)), 1..6),
    ) {
        let sent: Vec<u8> = codes
            .iter()
            .flat_map(|(code, message)| {
                [&(message.len() as u32 + 1).to_be_bytes()[..], &[*code], message].concat()
            })
            .collect();
        let received = answers(&sent);
        prop_assert!(are_frames(&received));
        prop_assert!(received.len() >= 5 * codes.len());
    }
}
