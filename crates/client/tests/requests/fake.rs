//! Fake nodes without a store: real connections, and answers that the test scripts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jedlik_client::{Bucket, Client, ClientBuilder, Identity, NodeId};
use jedlik_hashing::{PartitionCount, RingNode, plan_first};
use jedlik_net::authority::{Authority, Subject};
use jedlik_net::{CloseCode, Connection, Credentials, Endpoint, Handler};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, GetAnswer, MemberAddress as Member, PutAnswer, Topology,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::{Blob, ClusterId, Key, Layout, LayoutId, LayoutVersion};

/// Limit on every wait of these tests: more than any of them takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Reaction of a node to a request.
pub(crate) enum Reaction {
    Answer(ClientResponse),
    /// Answer from a node that has this layout version.
    AnswerUnder(LayoutVersion, ClientResponse),
    Silence,
    HangUp,
    /// No answer: the request is kept for the test to answer.
    Keep,
}

type Script = Box<dyn FnMut(&ClientRequest) -> Reaction + Send>;

/// A fake node: its behaviour, and the requests that it has seen.
pub(crate) struct Fake {
    script: Mutex<Script>,
    topology: Mutex<Option<Topology>>,
    seen: Mutex<Vec<ClientRequest>>,
    kept: Mutex<Vec<(Connection, u64)>>,
    withdrawn: Mutex<Vec<u64>>,
}

impl Fake {
    /// Sends all later requests except those for the topology to `script`.
    pub(crate) fn react(&self, script: impl FnMut(&ClientRequest) -> Reaction + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Returns the requests so far, without those for the topology.
    pub(crate) fn seen(&self) -> Vec<ClientRequest> {
        self.seen.lock().unwrap().clone()
    }

    /// Sets the topology that the node gives from now on; with `None` the node is silent.
    pub(crate) fn tell(&self, topology: Option<Topology>) {
        *self.topology.lock().unwrap() = topology;
    }

    /// Returns the requests that wait for the test's answer, with their connections.
    pub(crate) fn kept(&self) -> Vec<(Connection, u64)> {
        self.kept.lock().unwrap().clone()
    }

    /// Returns the identities of the requests that the client has withdrawn.
    pub(crate) fn withdrawn(&self) -> Vec<u64> {
        self.withdrawn.lock().unwrap().clone()
    }

    fn react_to(&self, request: &ClientRequest) -> Reaction {
        if matches!(request, ClientRequest::Topology) {
            let topology = self.topology.lock().unwrap().clone();
            return topology.map_or(Reaction::Silence, |topology| {
                Reaction::Answer(ClientResponse::Topology(topology))
            });
        }
        self.seen.lock().unwrap().push(request.clone());
        (self.script.lock().unwrap())(request)
    }
}

impl Handler for Fake {
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            if let Frame::Withdraw { id } = frame {
                self.withdrawn.lock().unwrap().push(id);
            }
            let Frame::ClientRequest { id, request } = frame else { continue };
            let (layout, response) = match self.react_to(&request) {
                Reaction::Answer(response) => (1, response),
                Reaction::AnswerUnder(layout, response) => (layout, response),
                Reaction::Silence => continue,
                Reaction::HangUp => {
                    connection.close(CloseCode::Done, "as the test wants it");
                    continue;
                }
                Reaction::Keep => {
                    self.kept.lock().unwrap().push((connection.clone(), id));
                    continue;
                }
            };
            // A client that is gone needs no answer.
            let _ = connection.send(Frame::ClientResponse { id, layout, response });
        }
    }
}

/// Three fake nodes of one cluster.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Arc<Fake>>,
    pub(crate) addresses: Vec<SocketAddr>,
    endpoints: Vec<Endpoint>,
    authority: Authority,
}

impl Cluster {
    /// Starts the nodes, which answer every get and put with [`found`] and [`written`].
    pub(crate) fn start() -> Self {
        let authority = Authority::create(ClusterId(7)).unwrap();
        let mut cluster =
            Self { nodes: Vec::new(), addresses: Vec::new(), endpoints: Vec::new(), authority };
        for node in 1..=3 {
            let credentials = credentials(&cluster.authority, &Subject::node(NodeId(node), "n"));
            let fake = Arc::new(Fake {
                script: Mutex::new(Box::new(usual)),
                topology: Mutex::default(),
                seen: Mutex::default(),
                kept: Mutex::default(),
                withdrawn: Mutex::default(),
            });
            let any = "127.0.0.1:0".parse().unwrap();
            let endpoint = Endpoint::bind(any, &credentials, fake.clone()).unwrap();
            cluster.addresses.push(endpoint.local_addr());
            cluster.endpoints.push(endpoint);
            cluster.nodes.push(fake);
        }
        let topology = cluster.topology(1);
        cluster.nodes.iter().for_each(|node| node.tell(Some(topology.clone())));
        cluster
    }

    /// Returns a topology of the nodes on a ring of 16 partitions, which turns by one node with each version.
    pub(crate) fn topology(&self, version: LayoutVersion) -> Topology {
        let nodes = (1..=3).map(|node| RingNode {
            node: NodeId(node),
            zone: format!("z{}", (node + version) % 3),
            weight: 1,
        });
        let ring = plan_first(nodes.collect(), PartitionCount::new(16).unwrap(), 3).unwrap();
        let members = self.addresses.iter().zip(1..).map(|(address, node)| Member {
            node: NodeId(node),
            name: format!("n{node}"),
            address: *address,
            alive: true,
        });
        let layout = Layout { version, parent: LayoutId::default(), ring, departed: Vec::new() };
        Topology { cluster: ClusterId(7), layout: Some(layout), members: members.collect() }
    }

    /// Returns the indexes of the key's owners, in the order of the preference list.
    pub(crate) fn owners(&self, key: &Key, version: LayoutVersion) -> Vec<usize> {
        let ring = self.topology(version).layout.unwrap().ring;
        let partition = ring.partitions().partition(key.position(ClusterId(7)));
        ring.preference_list(partition).into_iter().map(|node| node.0 as usize - 1).collect()
    }

    /// Returns a builder with all nodes as seeds and short times.
    pub(crate) fn builder(&self) -> ClientBuilder {
        self.builder_with(&self.addresses)
    }

    /// Returns a builder with the given seeds and short times.
    pub(crate) fn builder_with<S: ToString>(
        &self,
        seeds: impl IntoIterator<Item = S>,
    ) -> ClientBuilder {
        let builder = Client::builder().seeds(seeds).identity(identity(&self.authority));
        builder.timeout(Duration::from_secs(10)).attempt_timeout(Duration::from_millis(200))
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    /// Ends a node's connections and its socket: to a client the node is gone.
    pub(crate) async fn stop(&self, node: usize) {
        self.endpoints[node].close().await;
    }
}

/// Returns the key of this index in the bucket `carts`.
pub(crate) fn key(index: usize) -> Key {
    Key::new("carts", format!("k{index}").as_str()).unwrap()
}

/// Returns the bucket of the keys that [`key`] makes.
pub(crate) fn carts(client: &Client) -> Bucket {
    client.bucket("carts")
}

/// Returns a key whose first owner is `node`.
pub(crate) fn key_of(cluster: &Cluster, node: usize) -> Key {
    (0..).map(key).find(|key| cluster.owners(key, 1)[0] == node).unwrap()
}

/// Issues a certificate in memory.
pub(crate) fn credentials(authority: &Authority, subject: &Subject) -> Credentials {
    let issued = authority.issue(subject).unwrap();
    let (certificate, key) = (&issued.certificate_pem, &issued.key_pem);
    Credentials::from_pem(authority.certificate_pem(), certificate, key).unwrap()
}

/// Issues a client's certificate in memory.
pub(crate) fn identity(authority: &Authority) -> Identity {
    let issued = authority.issue(&Subject::client("c")).unwrap();
    let (cert, key) = (&issued.certificate_pem, &issued.key_pem);
    Identity::from_pem(authority.certificate_pem(), cert, key).unwrap()
}

/// Returns the behaviour of the fake nodes until a test changes it.
pub(crate) fn usual(request: &ClientRequest) -> Reaction {
    Reaction::Answer(match request {
        ClientRequest::Put(_) => written(),
        _ => found(),
    })
}

/// Returns the usual answer to a get.
pub(crate) fn found() -> ClientResponse {
    ClientResponse::Got(GetAnswer {
        versions: Vec::new(),
        context: None,
        answered: 2,
        primaries: 2,
        partial: false,
    })
}

/// Returns the usual answer to a put.
pub(crate) fn written() -> ClientResponse {
    ClientResponse::Put(PutAnswer {
        context: Blob::from("context"),
        siblings: 1,
        warning: false,
        acknowledged: 2,
        synced: 2,
        by: Vec::new(),
    })
}

/// Waits until a condition holds; panics with `what` after [`LIMIT`].
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
