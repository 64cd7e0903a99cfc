//! Two ends over real QUIC on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jedlik_hashing::NodeId;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::Gossip;
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, REQUEST_LIMIT_BYTES, SMALL_FRAME_BYTES};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{ClusterId, ProtocolVersion, Stamp};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::version::TLS13;
use tokio::sync::mpsc;

use super::{Endpoint, NetError};
use crate::authority::{Authority, IssuedCertificate, Subject};
use crate::credentials::provider;
use crate::limits::{
    CLIENT_QUEUE_BYTES, CONNECTIONS, NODE_CONNECTIONS, SEND_QUEUE_FRAMES, STREAM_WINDOW_BYTES,
};
use crate::version::{Spoken, listed, offers};
use crate::{
    CloseCode, CloseReason, ConnectError, Connection, Credentials, Handler, Role, SendError,
    released,
};

const CLUSTER: ClusterId = ClusterId(0xC1);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Timeout far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Size larger than what a stream may have under way.
const LARGE_BYTES: usize = 2 * STREAM_WINDOW_BYTES as usize;

#[derive(Debug)]
pub(crate) enum Event {
    Connected(Connection),
    Received(Box<Frame>),
    Closed(CloseReason),
}

struct Recorder(mpsc::UnboundedSender<Event>);

impl Recorder {
    fn record(&self, event: Event) {
        // A test that has seen enough no longer listens.
        let _ = self.0.send(event);
    }
}

impl Handler for Recorder {
    fn connected(&self, connection: &Connection) {
        self.record(Event::Connected(connection.clone()));
    }

    fn received(&self, _: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            self.record(Event::Received(Box::new(frame)));
        }
    }

    fn closed(&self, _: &Connection, why: &CloseReason) {
        self.record(Event::Closed(why.clone()));
    }
}

/// An endpoint and the calls of its handler.
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    events: mpsc::UnboundedReceiver<Event>,
}

impl End {
    pub(crate) fn bind(address: SocketAddr, credentials: &Credentials) -> Self {
        Self::speaking(ProtocolVersion::SPOKEN, address, credentials)
    }

    pub(crate) fn speaking(spoken: Spoken, address: SocketAddr, credentials: &Credentials) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let handler = Arc::new(Recorder(sender));
        Self { endpoint: Endpoint::serve(address, credentials, handler, spoken).unwrap(), events }
    }

    fn client(credentials: &Credentials) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            endpoint: Endpoint::client(credentials, Arc::new(Recorder(sender))).unwrap(),
            events,
        }
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap()
    }

    async fn connected(&mut self) -> Connection {
        match self.event().await {
            Event::Connected(connection) => connection,
            other => panic!("not a connection: {other:?}"),
        }
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            match self.event().await {
                Event::Received(frame) => return *frame,
                Event::Connected(_) => {}
                Event::Closed(why) => panic!("closed: {why}"),
            }
        }
    }

    pub(crate) async fn closed(&mut self) -> CloseReason {
        loop {
            if let Event::Closed(why) = self.event().await {
                return why;
            }
        }
    }
}

/// Authority that issues credentials for the roles of one cluster.
pub(crate) struct Keys(Authority);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(Authority::create(CLUSTER).unwrap())
    }

    pub(crate) fn node(&self, node: u64) -> Credentials {
        self.checked(&Subject::node(NodeId(node), format!("n{node}")))
    }

    fn checked(&self, subject: &Subject) -> Credentials {
        let issued = self.0.issue(subject).unwrap();
        let authority = self.0.certificate_pem();
        Credentials::from_pem(authority, &issued.certificate_pem, &issued.key_pem).unwrap()
    }

    /// Makes credentials from a certificate of any issuer, with this authority to check others by.
    fn holding(&self, issued: &IssuedCertificate) -> Credentials {
        let authority = self.0.certificate_pem();
        Credentials::unchecked(authority, &issued.certificate_pem, &issued.key_pem)
    }

    /// Makes a node's credentials, issued at another time.
    fn at(&self, node: u64, now: SystemTime) -> Credentials {
        let subject = Subject::node(NodeId(node), format!("n{node}"));
        self.holding(&self.0.issue_at(&subject, now).unwrap())
    }
}

pub(crate) fn probe(nonce: u64) -> Frame {
    Frame::Gossip(Gossip::Probe { nonce })
}

/// A frame of a little more than `length` bytes.
fn message(id: u64, length: usize) -> Frame {
    let failure = Failure::new(ErrorCode::Internal, "x".repeat(length));
    Frame::PeerResponse { id, stamp: Stamp::UNTOLD, response: PeerResponse::Refused(failure) }
}

async fn pair() -> (Keys, End, End, Connection) {
    let keys = Keys::new();
    let (server, client) = (End::bind(LOOPBACK, &keys.node(1)), End::bind(LOOPBACK, &keys.node(2)));
    let connection =
        client.endpoint.connect(server.endpoint.local_addr(), Some(NodeId(1))).await.unwrap();
    (keys, server, client, connection)
}

#[tokio::test]
async fn frames_of_every_size_arrive_both_ways() {
    let (_keys, mut server, mut client, there) = pair().await;
    let back = server.connected().await;
    assert_eq!((there.peer().node, back.peer().node), (Some(NodeId(1)), Some(NodeId(2))));
    assert_eq!(back.remote_address(), client.endpoint.local_addr());
    for length in [0, 1, 1000, SMALL_FRAME_BYTES - 200, SMALL_FRAME_BYTES + 1, LARGE_BYTES] {
        let frame = message(7, length);
        there.send(frame.clone()).unwrap();
        assert!(server.frame().await == frame, "{length} bytes there");
        back.send(frame.clone()).unwrap();
        assert!(client.frame().await == frame, "{length} bytes back");
    }
    let too_long = there.send(message(7, FRAME_LIMIT_BYTES)).unwrap_err();
    assert!(matches!(too_long, SendError::TooLong { .. }), "{too_long}");
}

#[tokio::test]
async fn a_large_answer_to_a_client_is_announced_and_a_client_may_withdraw_what_it_has_asked() {
    let keys = Keys::new();
    let mut server = End::bind(LOOPBACK, &keys.node(1));
    let mut client = End::client(&keys.checked(&Subject::client("web")));
    let there = client.endpoint.connect(server.endpoint.local_addr(), None).await.unwrap();
    let back = server.connected().await;
    let answer = |id, length: usize| {
        let failure = Failure::new(ErrorCode::Internal, "x".repeat(length));
        Frame::ClientResponse { id, layout: 1, response: ClientResponse::Failed(failure) }
    };
    back.send(answer(1, 10)).unwrap();
    assert_eq!(client.frame().await, answer(1, 10));
    back.send(answer(2, LARGE_BYTES)).unwrap();
    let mut frames = [client.frame().await, client.frame().await];
    frames.sort_by_key(|frame| matches!(frame, Frame::ClientResponse { .. }));
    let [Frame::Coming { id: 2, bytes }, large] = frames else { panic!("no announcement") };
    assert!(bytes as usize > LARGE_BYTES && large == answer(2, LARGE_BYTES));

    there.send(Frame::Withdraw { id: 3 }).unwrap();
    assert_eq!(server.frame().await, Frame::Withdraw { id: 3 }, "the owner is told, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_frames_arrive_in_the_order_in_which_they_were_sent() {
    let (_keys, mut server, _client, connection) = pair().await;
    for nonce in 0..10_000 {
        while let Err(error) = connection.send(probe(nonce)) {
            assert!(matches!(error, SendError::Full { .. }), "{error}");
            tokio::task::yield_now().await;
        }
    }
    for nonce in 0..10_000 {
        assert_eq!(server.frame().await, probe(nonce));
    }
}

#[tokio::test]
async fn a_small_frame_overtakes_a_large_one() {
    let (_keys, mut server, _client, connection) = pair().await;
    connection.send(message(1, LARGE_BYTES)).unwrap();
    connection.send(probe(2)).unwrap();
    assert_eq!(server.frame().await, probe(2));
    assert!(server.frame().await == message(1, LARGE_BYTES));
}

#[tokio::test]
async fn more_large_frames_than_streams_all_arrive() {
    let (_keys, mut server, _client, connection) = pair().await;
    for id in 0..20 {
        connection.send(message(id, 100_000)).unwrap();
    }
    let mut ids = Vec::new();
    for _ in 0..20 {
        let Frame::PeerResponse { id, .. } = server.frame().await else { panic!("another frame") };
        ids.push(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn closing_an_endpoint_first_delivers_what_was_sent() {
    let (_keys, mut server, mut client, connection) = pair().await;
    for nonce in 0..5_000 {
        connection.send(probe(nonce)).unwrap();
    }
    connection.send(message(1, LARGE_BYTES / 8)).unwrap();
    client.endpoint.close().await;
    assert_eq!(connection.send(probe(0)), Err(SendError::Closed));
    assert!(connection.is_closed());
    assert!(matches!(client.closed().await, CloseReason::Here { code: CloseCode::Done, .. }));
    for _ in 0..=5_000 {
        server.frame().await;
    }
    assert!(matches!(server.closed().await, CloseReason::There { code: CloseCode::Done, .. }));
    let again = client.endpoint.connect(server.endpoint.local_addr(), None).await;
    assert_eq!(again.unwrap_err(), ConnectError::Closed);
}

#[test]
fn where_an_endpoint_was_closed_another_one_can_listen_though_its_peers_are_silent() {
    let keys = Keys::new();
    let here = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Nothing happens there once this test does not wait for it any more.
    let there = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut server = here.block_on(async { End::bind(LOOPBACK, &keys.node(1)) });
    let address = server.endpoint.local_addr();
    let client = there.block_on(async { End::client(&keys.node(2)) });
    there.block_on(client.endpoint.connect(address, Some(NodeId(1)))).unwrap();
    here.block_on(async {
        let connection = server.connected().await;
        connection.send(message(1, LARGE_BYTES)).unwrap();
        server.endpoint.close().await;
        drop((server, connection));
        released(address).await;
        End::bind(address, &keys.node(1));
    });
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_how_full_it_is() {
    let (_keys, mut server, _client, connection) = pair().await;
    // Nothing is written before this task first waits.
    for nonce in 0..SEND_QUEUE_FRAMES as u64 {
        connection.send(probe(nonce)).unwrap();
    }
    let Err(SendError::Full { frames, .. }) = connection.send(probe(0)) else {
        panic!("one more was taken")
    };
    assert_eq!(frames, SEND_QUEUE_FRAMES);
    server.frame().await;
    connection.send(probe(1)).unwrap();
}

#[tokio::test]
async fn whoever_closes_gives_a_reason_and_the_other_hears_it() {
    let (_keys, mut server, mut client, connection) = pair().await;
    server.connected().await;
    connection.close(CloseCode::Done, "enough");
    let reason = "enough".to_owned();
    let here = CloseReason::Here { code: CloseCode::Done, reason: reason.clone() };
    assert_eq!(here.fault(), None);
    assert_eq!(client.closed().await, here);
    assert_eq!(server.closed().await, CloseReason::There { code: CloseCode::Done, reason });
}

/// A dialing side's complaint about a server, and that server's credentials.
type Complaint = (&'static str, Credentials, Credentials, fn(&ConnectError) -> bool);

fn complaints() -> Vec<Complaint> {
    let (keys, foreign) = (Keys::new(), Keys::new());
    let day = Duration::from_secs(24 * 3600);
    let (past, future) = (SystemTime::now() - day * 1000, SystemTime::now() + day * 2);
    let elsewhere = keys.0.pretending(ClusterId(0xC2));
    let node = Subject::node(NodeId(1), "n1");
    let elsewhere = keys.holding(&elsewhere.issue(&node).unwrap());
    let unknown = keys.holding(&foreign.0.issue(&node).unwrap());
    let (ours, client) = (|| keys.node(2), keys.checked(&Subject::client("web")));
    vec![
        ("was not signed by this cluster's authority", foreign.node(1), ours(), |error| {
            matches!(error, ConnectError::UnknownAuthority)
        }),
        (
            "does not know the authority of this side's certificate",
            keys.node(1),
            unknown,
            |error| matches!(error, ConnectError::AuthorityRefused),
        ),
        ("is of cluster 00000000000000c2, not of 00000000000000c1", elsewhere, ours(), |error| {
            matches!(error, ConnectError::WrongCluster { .. })
        }),
        (
            "is client web, not a node",
            client,
            ours(),
            |error| matches!(error, ConnectError::NotANode { found: Some(who) } if who.role == Role::Client),
        ),
        ("expired or is not valid yet", keys.at(1, past), ours(), |error| {
            matches!(error, ConnectError::NotValidNow { .. })
        }),
        ("set the clocks", keys.at(1, future), ours(), |error| {
            matches!(error, ConnectError::NotValidNow { .. })
        }),
        (
            "takes this side's certificate to have expired",
            keys.node(1),
            keys.at(2, past),
            |error| matches!(error, ConnectError::NotValidThere),
        ),
        ("set the clocks", keys.node(1), keys.at(2, future), |error| {
            matches!(error, ConnectError::NotValidThere)
        }),
        ("is 0000000000000003, not 0000000000000001", keys.node(3), ours(), |error| {
            matches!(error, ConnectError::WrongNode { .. })
        }),
    ]
}

#[tokio::test]
async fn those_who_may_not_connect_are_told_why() {
    for (told, server, client, expected) in complaints() {
        let (mut server, client) = (End::bind(LOOPBACK, &server), End::bind(LOOPBACK, &client));
        let address = server.endpoint.local_addr();
        let error = client.endpoint.connect(address, Some(NodeId(1))).await.expect_err(told);
        assert!(expected(&error), "{told}: {error:?}");
        assert!(error.to_string().contains(told), "{told}: {error}");
        assert!(server.events.try_recv().is_err(), "{told}: the server has let it in");
    }
}

pub(crate) const OLD: Spoken = &[ProtocolVersion::V5];
pub(crate) const BOTH: Spoken = &[ProtocolVersion::V6, ProtocolVersion::V5];
const NEW: Spoken = &[ProtocolVersion::V6];

#[tokio::test]
async fn two_ends_speak_the_newest_version_that_both_know() {
    let keys = Keys::new();
    for (theirs, ours, version) in [
        (OLD, OLD, ProtocolVersion::V5),
        (OLD, BOTH, ProtocolVersion::V5),
        (BOTH, OLD, ProtocolVersion::V5),
        (BOTH, BOTH, ProtocolVersion::V6),
        (BOTH, NEW, ProtocolVersion::V6),
        (NEW, BOTH, ProtocolVersion::V6),
    ] {
        let mut server = End::speaking(theirs, LOOPBACK, &keys.node(1));
        let mut client = End::speaking(ours, LOOPBACK, &keys.node(2));
        let there = client.endpoint.connect(server.endpoint.local_addr(), None).await.unwrap();
        let back = server.connected().await;
        assert_eq!((there.version(), back.version()), (version, version));
        assert!(format!("{there:?}").ends_with(version.name()), "{there:?}");
        for length in [0, 1000, SMALL_FRAME_BYTES + 1] {
            let frame = message(7, length);
            there.send(frame.clone()).unwrap();
            assert!(server.frame().await == frame, "{length} bytes there in {version}");
            back.send(frame.clone()).unwrap();
            assert!(client.frame().await == frame, "{length} bytes back in {version}");
        }
    }
}

#[tokio::test]
async fn ends_without_a_version_in_common_part_and_the_one_that_dials_names_those_of_both() {
    let keys = Keys::new();
    for (theirs, ours) in [(OLD, NEW), (NEW, OLD)] {
        let mut server = End::speaking(theirs, LOOPBACK, &keys.node(1));
        let mut client = End::speaking(ours, LOOPBACK, &keys.node(2));
        let address = server.endpoint.local_addr();
        let error = client.endpoint.connect(address, None).await.unwrap_err();
        let (ours, theirs) = (listed(ours), listed(theirs));
        assert!(error.to_string().contains(&format!("{ours}, the other {theirs};")), "{error}");
        assert_eq!(error, ConnectError::Protocol { ours, theirs: Some(theirs) });
        assert!(server.events.try_recv().is_err() && client.events.try_recv().is_err());
    }
}

#[tokio::test]
async fn another_protocol_altogether_is_told_apart() {
    let keys = Keys::new();
    let crypto = QuicServerConfig::try_from(foreign(&keys.node(1))).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let server = quinn::Endpoint::server(config, LOOPBACK).unwrap();
    let client = End::client(&keys.node(2));
    let address = server.local_addr().unwrap();
    let (accepted, error) = tokio::join!(async { server.accept().await.unwrap().await }, async {
        client.endpoint.connect(address, None).await.unwrap_err()
    });
    assert!(accepted.is_err());
    let ours = listed(ProtocolVersion::SPOKEN);
    assert_eq!(error, ConnectError::Protocol { ours, theirs: None });
}

/// TLS configuration of a server that speaks another protocol.
fn foreign(credentials: &Credentials) -> rustls::ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(credentials.verifier().clone())
        .with_cert_resolver(credentials.key().clone());
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    let keys = Keys::new();
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let client = End::client(&keys.node(2));
    let error = client.endpoint.connect(silent, None).await.unwrap_err();
    assert_eq!(error, ConnectError::Timeout { address: silent });
}

#[tokio::test]
async fn only_a_nodes_certificate_serves() {
    let keys = Keys::new();
    let (sender, _events) = mpsc::unbounded_channel();
    let admin = keys.checked(&Subject::admin("ops"));
    let error = Endpoint::bind(LOOPBACK, &admin, Arc::new(Recorder(sender))).err().unwrap();
    assert!(matches!(error, NetError::NotANode { .. }), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let keys = Keys::new();
    let first = End::bind(LOOPBACK, &keys.node(1));
    let (sender, _events) = mpsc::unbounded_channel();
    let address = first.endpoint.local_addr();
    let error = Endpoint::bind(address, &keys.node(1), Arc::new(Recorder(sender))).err().unwrap();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_client_that_speaks_like_a_node_is_cut_off() {
    let keys = Keys::new();
    for subject in [Subject::client("web"), Subject::admin("ops")] {
        let mut server = End::bind(LOOPBACK, &keys.node(1));
        let mut client = End::client(&keys.checked(&subject));
        let address = server.endpoint.local_addr();
        let connection = client.endpoint.connect(address, None).await.unwrap();
        connection.send(probe(1)).unwrap();
        let code = CloseCode::ForbiddenFrame;
        let reason = format!("the role {} may only send client requests", subject.role);
        let there = CloseReason::There { code, reason: reason.clone() };
        assert_eq!(client.closed().await, there);
        let here = server.closed().await;
        assert_eq!(here, CloseReason::Here { code, reason: reason.clone() });
        assert_eq!(here.fault(), Some(reason.as_str()), "the handler can log it");
    }
}

/// A connection that is made as by a node, over which a test then writes arbitrary bytes.
struct Raw {
    _endpoint: quinn::Endpoint,
    quic: quinn::Connection,
}

impl Raw {
    async fn dial(address: SocketAddr, keys: &Keys, own: &Credentials) -> Self {
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(keys.node(9).roots().clone())
            .with_client_cert_resolver(own.key().clone());
        tls.alpn_protocols = offers(ProtocolVersion::SPOKEN);
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let endpoint = quinn::Endpoint::client(LOOPBACK).unwrap();
        // Such a name passes the usual check of host names, too.
        let name = format!("0000000000000001.n1.node.{CLUSTER}.jedlik");
        let quic = endpoint.connect_with(config, address, &name).unwrap().await.unwrap();
        Self { _endpoint: endpoint, quic }
    }

    async fn write(&self, bytes: &[u8], ends: bool) -> quinn::SendStream {
        let mut stream = self.quic.open_uni().await.unwrap();
        // The other side may have seen enough before all is written.
        let _ = stream.write_all(bytes).await;
        if ends {
            let _ = stream.finish();
        }
        stream
    }

    /// Returns the code and the reason with which the other side closed the connection.
    async fn told(&self) -> (CloseCode, String) {
        let error = tokio::time::timeout(PATIENCE, self.quic.closed()).await.expect("an end");
        match CloseReason::from_transport(&error) {
            CloseReason::There { code, reason } => (code, reason),
            other => panic!("not told: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_told_so_by_the_one_it_dials() {
    let keys = Keys::new();
    let server = End::bind(LOOPBACK, &keys.node(1));
    let elsewhere = keys.0.pretending(ClusterId(0xC2));
    let own = keys.holding(&elsewhere.issue(&Subject::client("web")).unwrap());
    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &own).await;
    let (code, reason) = raw.told().await;
    assert_eq!(code, CloseCode::WrongCluster);
    assert!(reason.contains("cluster 00000000000000c2, this is 00000000000000c1"), "{reason}");
}

/// Bytes of a stream: its first byte, then what follows it.
fn stream(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[kind], parts.concat().as_slice()].concat()
}

fn prefixed(frame: &Frame) -> Vec<u8> {
    let bytes = frame.encode(ProtocolVersion::NEWEST);
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes.as_slice()].concat()
}

#[tokio::test]
async fn nonsense_ends_its_connection_and_nothing_else() {
    let (keys, mut server, _client, good) = pair().await;
    server.connected().await;
    let whole = prefixed(&probe(1));
    let large = prefixed(&message(1, SMALL_FRAME_BYTES));
    let mut flipped = whole.clone();
    flipped.iter_mut().skip(4).for_each(|byte| *byte ^= 0xFF);
    let over_small = u32::try_from(SMALL_FRAME_BYTES + 1).unwrap().to_le_bytes();
    let over_large = u32::try_from(FRAME_LIMIT_BYTES + 1).unwrap().to_le_bytes();
    let garbled_large = [&large[..40], &[0xFF; 64], &large[104..]].concat();
    for (what, bytes, ends, expected) in [
        ("no such kind", stream(9, &[]), false, CloseCode::BadStream),
        ("nothing", Vec::new(), true, CloseCode::BadStream),
        ("garbled", stream(1, &[&flipped]), false, CloseCode::MalformedFrame),
        ("random", stream(1, &[&[8, 0, 0, 0], &[0xA5; 8]]), false, CloseCode::MalformedFrame),
        ("empty frame", stream(1, &[&[0; 4]]), false, CloseCode::MalformedFrame),
        ("cut in a frame", stream(1, &[&whole[..9]]), true, CloseCode::MalformedFrame),
        ("cut in a prefix", stream(1, &[&whole[..2]]), true, CloseCode::MalformedFrame),
        ("too long", stream(1, &[&over_small]), false, CloseCode::FrameTooLong),
        ("longest", stream(1, &[&[0xFF; 4]]), false, CloseCode::FrameTooLong),
        ("large too long", stream(2, &[&over_large]), false, CloseCode::FrameTooLong),
        ("large garbled", stream(2, &[&garbled_large]), true, CloseCode::MalformedFrame),
        ("large cut", stream(2, &[&large[..500]]), true, CloseCode::MalformedFrame),
        ("large cut in its prefix", stream(2, &[&[1, 0]]), true, CloseCode::MalformedFrame),
        ("large and more", stream(2, &[&large, &[0]]), true, CloseCode::BadStream),
    ] {
        let raw = Raw::dial(server.endpoint.local_addr(), &keys, &keys.node(3)).await;
        let _stream = raw.write(&bytes, ends).await;
        let (code, reason) = raw.told().await;
        assert_eq!(code, expected, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
        assert!(matches!(server.closed().await, CloseReason::Here { .. }), "{what}");
        good.send(probe(5)).unwrap();
        assert_eq!(server.frame().await, probe(5), "{what}");
    }
}

#[tokio::test]
async fn what_came_before_nonsense_is_still_handed_on() {
    let (keys, mut server, _client, _good) = pair().await;
    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &keys.node(3)).await;
    let _stream = raw.write(&stream(1, &[&prefixed(&probe(7)), &[0xFF; 4]]), false).await;
    assert_eq!(server.frame().await, probe(7));
    assert_eq!(raw.told().await.0, CloseCode::FrameTooLong);
}

#[tokio::test]
async fn a_second_stream_of_small_frames_is_refused() {
    let (keys, server, _client, _good) = pair().await;
    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &keys.node(3)).await;
    let _first = raw.write(&stream(1, &[]), false).await;
    let _second = raw.write(&stream(1, &[]), false).await;
    assert_eq!(raw.told().await.0, CloseCode::BadStream);
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_connection() {
    let (keys, server, _client, _good) = pair().await;
    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &keys.node(3)).await;
    let mut first = raw.write(&stream(1, &[&[9, 0]]), false).await;
    first.reset(0_u32.into()).unwrap();
    assert_eq!(raw.told().await.0, CloseCode::BadStream);
}

#[tokio::test]
async fn a_node_goes_on_under_renewed_credentials_and_keeps_the_connections_that_stand() {
    let (before, mut server, mut client, standing) = pair().await;
    let back = server.connected().await;
    let after = Keys::new();
    let late = End::bind(LOOPBACK, &after.node(3));
    let address = server.endpoint.local_addr();
    late.endpoint.connect(address, None).await.expect_err("of another authority still");

    let other = server.endpoint.renew(&after.node(2)).unwrap_err();
    assert!(matches!(other, NetError::OtherIdentity { .. }), "{other}");
    server.endpoint.renew(&after.node(1)).unwrap();
    late.endpoint.connect(address, Some(NodeId(1))).await.unwrap();
    server.endpoint.connect(late.endpoint.local_addr(), Some(NodeId(3))).await.unwrap();
    client.endpoint.connect(address, None).await.expect_err("of the former authority");
    let as_client = End::client(&before.node(1));
    let not_serving = as_client.endpoint.renew(&before.node(1));
    assert!(not_serving.is_err(), "what does not listen must not begin to: {not_serving:?}");

    standing.send(probe(1)).unwrap();
    assert_eq!(server.frame().await, probe(1));
    back.send(probe(2)).unwrap();
    assert_eq!(client.frame().await, probe(2));
}

#[tokio::test]
async fn a_client_may_send_what_a_request_needs_and_no_record_of_a_nodes() {
    let keys = Keys::new();
    let server = End::bind(LOOPBACK, &keys.node(1));
    let client = keys.checked(&Subject::client("web"));
    let over = u32::try_from(REQUEST_LIMIT_BYTES + 1).unwrap().to_le_bytes();
    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &client).await;
    let _stream = raw.write(&stream(2, &[&over]), false).await;
    let (code, reason) = raw.told().await;
    assert_eq!(code, CloseCode::FrameTooLong, "{reason}");
}

#[tokio::test]
async fn a_client_that_leaves_a_large_frame_unfinished_or_reads_nothing_loses_its_connection() {
    let keys = Keys::new();
    let mut server = End::bind(LOOPBACK, &keys.node(1));
    let client = keys.checked(&Subject::client("web"));
    let length = 40_000_u32.to_le_bytes();
    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &client).await;
    let _stream = raw.write(&stream(2, &[&length, &[0; 100]]), false).await;
    let (code, reason) = raw.told().await;
    assert_eq!(code, CloseCode::TooSlow, "{reason}");
    assert!(matches!(server.closed().await, CloseReason::Here { .. }));

    let raw = Raw::dial(server.endpoint.local_addr(), &keys, &client).await;
    let connection = server.connected().await;
    let mut sent = 0;
    while connection.send(message(1, 4 << 20)).is_ok() {
        sent += 4 << 20;
        assert!(sent <= 2 * CLIENT_QUEUE_BYTES, "{sent} bytes wait for one that reads nothing");
    }
    let (code, reason) = raw.told().await;
    assert_eq!(code, CloseCode::TooSlow, "{reason}");
}

#[test]
fn clients_leave_connections_to_nodes() {
    for (role, limit) in [
        (Role::Node, CONNECTIONS),
        (Role::Client, CONNECTIONS - NODE_CONNECTIONS),
        (Role::Admin, CONNECTIONS - NODE_CONNECTIONS),
    ] {
        assert_eq!(super::connection_limit(role), limit);
    }
}
