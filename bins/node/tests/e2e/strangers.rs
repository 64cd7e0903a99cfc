//! A certificate of the cluster without membership: its holder gets no answer of any use.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jedlik_net::{Connection, Credentials, Endpoint, Handler};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetRequest};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::gossip::Gossip;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{
    ActiveLayouts, Departed, Incarnation, Key, Layout, LayoutId, PartitionSet, Quorum, Terms,
    WireLayout,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::change::{commit, ring, stage, wait_until_still};
use crate::cluster::{Cluster, wait_until};
use crate::node::LIMIT;
use crate::tools::run;

/// Word in the value, which must not reach a stranger.
const SECRET: &str = "rooibos";

/// Handler that passes received frames to the test.
struct Ear(UnboundedSender<Frame>);

impl Handler for Ear {
    fn received(&self, _connection: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            // The receiver is gone once a test has heard enough.
            let _over = self.0.send(frame);
        }
    }
}

/// Peer that speaks to one node as another node would, without any of a node's machinery.
struct Insider {
    connection: Connection,
    frames: UnboundedReceiver<Frame>,
    /// Life of the node's process, if there is one.
    life: Incarnation,
    _endpoint: Endpoint,
}

impl Insider {
    async fn connect(address: SocketAddr, tls: &Path) -> Self {
        let file = |name| tls.join(name);
        let credentials =
            Credentials::load(file("ca.pem"), file("cert.pem"), file("key.pem")).unwrap();
        let (sender, frames) = unbounded_channel();
        let endpoint = Endpoint::client(&credentials, Arc::new(Ear(sender))).unwrap();
        let connection = endpoint.connect(address, None).await.unwrap();
        let life = life_of(&tls.with_file_name("data/node.toml"));
        Self { connection, frames, life, _endpoint: endpoint }
    }

    /// Sends one frame and returns the answer; `None` if the connection ends. Gossip meanwhile is ignored.
    async fn ask(&mut self, frame: Frame) -> Option<Frame> {
        self.connection.send(frame).ok()?;
        let answer = async {
            loop {
                tokio::select! {
                    // A frame from before the end counts.
                    biased;
                    heard = self.frames.recv() => match heard? {
                        Frame::Gossip(_) => {}
                        heard => return Some(heard),
                    },
                    () = ended(&self.connection) => return None,
                }
            }
        };
        timeout(LIMIT, answer).await.expect("an answer or an end")
    }

    /// Asks for the secret as a peer under this layout; returns the answer and the clock that it shows.
    async fn read_as_peer(&mut self, layout: LayoutId) -> Option<(u64, PeerResponse)> {
        let request = PeerRequest::Read { key: secret(), known: None, n: 3 };
        let layouts = ActiveLayouts::only(layout);
        let terms = Terms { life: self.life, layouts, receiver_clock: 0, trace: None };
        let frame = Frame::PeerRequest { id: 7, terms, request };
        match self.ask(frame).await? {
            Frame::PeerResponse { stamp, response, .. } => Some((stamp.clock, response)),
            other => panic!("{other:?}"),
        }
    }

    async fn wait_for_end(&self) {
        timeout(LIMIT, ended(&self.connection)).await.expect("the node ends the connection");
    }
}

/// Returns the first life that a node's directory names.
fn life_of(file: &Path) -> Incarnation {
    let text = fs::read_to_string(file).unwrap_or_default();
    let life = text.lines().find_map(|line| line.strip_prefix("life = "));
    let number = life.map(|life| u64::from_str_radix(life.trim_matches('"'), 16).unwrap());
    Incarnation(number.unwrap_or(7))
}

async fn ended(connection: &Connection) {
    while !connection.is_closed() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn secret() -> Key {
    Key::new("carts", "alice").unwrap()
}

fn get() -> ClientRequest {
    let (r, pr) = (Quorum::One, Quorum::Default);
    ClientRequest::Get(GetRequest { key: secret(), n: None, r, pr, timeout_ms: 10_000 })
}

/// Asserts that a refusal reveals neither the node's layout nor its clock.
fn tells_nothing(layout: &Layout, (clock, response): &(u64, PeerResponse)) {
    let PeerResponse::Refused(failure) = response else { panic!("answered: {response:?}") };
    assert_eq!(*clock, 0, "the receiver's clock lets the next request pass for fresh");
    let digest = format!("{:016x}", layout.digest().0);
    assert!(!failure.message.contains(&digest), "{failure}");
}

/// Returns the layout in force, as a member tells an admin.
async fn layout(cluster: &Cluster) -> Layout {
    let mut hose =
        crate::flood::Hose::connect(cluster.nodes[0].address.unwrap(), &cluster.path("admin/tls"))
            .await;
    let mut answers = hose.ask(vec![ClientRequest::Topology]).await;
    hose.close().await;
    match answers.remove(0).0 {
        ClientResponse::Topology(topology) => topology.layout.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_nodes_certificate_and_one_that_never_joined_open_nothing() {
    let mut cluster = Cluster::start_with(ring);
    cluster.add_nodes(1, ring);
    cluster.wait_until_all_are_up(0);
    run(cluster.jedlik(0).args(["put", "carts", "alice", SECRET])).ok();
    commit(&cluster, 0, &stage(&cluster, 0, "join n4"));
    wait_until_still(&cluster, 0);
    cluster.kill(3);
    let address = cluster.nodes[0].address.unwrap();
    let tls = cluster.path("n4/tls");
    let mut member = Insider::connect(address, &tls).await;
    let known = layout(&cluster).await;
    let answer = member.read_as_peer(known.id()).await.unwrap();
    assert!(!matches!(answer.1, PeerResponse::Refused(_)), "a member is answered: {answer:?}");

    wait_until("the others have noticed", || {
        let status = cluster.status(0);
        let mut members = status["members"].as_array().unwrap().iter();
        members.any(|member| member["name"] == "n4" && member["alive"] == false)
    });
    commit(&cluster, 0, &stage(&cluster, 0, "remove n4"));
    wait_until_still(&cluster, 0);
    member.wait_for_end().await;

    let known = layout(&cluster).await;
    is_heard_no_more(&cluster, address, "n4", &known).await;
    cluster.issue("node", "stranger");
    let mut stranger = Insider::connect(address, &cluster.path("stranger/tls")).await;
    for id in [LayoutId::default(), known.id()] {
        tells_nothing(&known, &stranger.read_as_peer(id).await.unwrap());
    }
    match stranger.ask(Frame::ClientRequest { id: 8, request: get() }).await {
        Some(Frame::ClientResponse { response: ClientResponse::Failed(failure), .. }) => {
            assert_eq!(failure.code, ErrorCode::Forbidden);
        }
        other => panic!("{other:?}"),
    }
}

/// Asserts that a departed node's certificate gets no answer, and that its connection is closed.
async fn is_heard_no_more(cluster: &Cluster, address: SocketAddr, name: &str, known: &Layout) {
    for id in [LayoutId::default(), known.id()] {
        let tls = cluster.path(name).join("tls");
        let mut departed = Insider::connect(address, &tls).await;
        if let Some(answer) = departed.read_as_peer(id).await {
            tells_nothing(known, &answer);
        }
        departed.wait_for_end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_a_node_that_has_left_opens_nothing_and_its_open_connection_is_closed() {
    let mut cluster = Cluster::start_with(ring);
    cluster.add_nodes(1, ring);
    cluster.wait_until_all_are_up(0);
    run(cluster.jedlik(0).args(["put", "carts", "alice", SECRET])).ok();
    commit(&cluster, 0, &stage(&cluster, 0, "join n4"));
    wait_until_still(&cluster, 0);
    let address = cluster.nodes[0].address.unwrap();
    let mut member = Insider::connect(address, &cluster.path("n4/tls")).await;
    let answer = member.read_as_peer(layout(&cluster).await.id()).await.unwrap();
    assert!(!matches!(answer.1, PeerResponse::Refused(_)), "a member is answered: {answer:?}");

    commit(&cluster, 0, &stage(&cluster, 0, "leave n4"));
    assert_eq!(cluster.nodes[3].wait_for_end().code(), Some(0), "n4 has left");
    member.wait_for_end().await;
    let known = layout(&cluster).await;
    is_heard_no_more(&cluster, address, "n4", &known).await;
    let got = run(cluster.jedlik(1).args(["get", "carts", "alice"])).ok();
    assert!(got.stdout.contains(SECRET), "{got:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_ends_a_node_but_a_layout_that_its_members_have() {
    let cluster = Cluster::start_with(ring);
    let address = cluster.nodes[0].address.unwrap();
    let known = layout(&cluster).await;
    let fence = |version| {
        let departed =
            known.ring.nodes().iter().map(|node| Departed { node: node.node, forced: true });
        let mut departed: Vec<Departed> = departed.collect();
        departed.sort();
        let layout = Layout { version, parent: known.id(), departed, ..known.clone() };
        let layout = WireLayout { layout, flipped: PartitionSet::default() };
        Frame::Gossip(Gossip::Fenced(Box::new(layout), None))
    };
    cluster.issue("node", "stranger");
    let mut stranger = Insider::connect(address, &cluster.path("stranger/tls")).await;
    // A member's own certificate gets as far as the rules for layouts let it.
    let mut member = Insider::connect(address, &cluster.path("n2/tls")).await;
    for version in [2, 1 << 40, u64::MAX] {
        stranger.connection.send(fence(version)).unwrap();
    }
    member.connection.send(fence(u64::MAX)).unwrap();
    // Frames that were sent before are handled before these are answered.
    stranger.read_as_peer(LayoutId::default()).await.unwrap();
    member.read_as_peer(known.id()).await.unwrap();
    let status = cluster.status(0);
    assert_eq!(status["layout"], 1, "{status:#}");
    run(cluster.jedlik(0).args(["put", "carts", "alice", SECRET])).ok();
    let mut cluster = cluster;
    assert!(cluster.nodes.iter_mut().all(crate::node::Node::is_running));
}
