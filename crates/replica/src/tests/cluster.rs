//! A cluster of replicas without a network: messages lie in a queue until they are delivered.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, PartitionCount, RingNode, plan_first};
use jedlik_membership::{Membership, View};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, GetRequest, PutRequest};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::{Delta, MemberRecord, Status};
use jedlik_protocol::{
    Blob, ClusterId, EncodedRecord, Incarnation, Key, Layout, Now, PlacedKey, Quorum, StoredRecord,
};
use jedlik_vclock::{Content, WriteId};

use crate::{Config, Counter, Input, Output, RangeResult, Replica, StorageFault};

pub(super) const CLUSTER: ClusterId = ClusterId(42);

pub(super) struct Node {
    pub(super) replica: Replica,
    pub(super) disk: BTreeMap<PlacedKey, StoredRecord>,
    /// What the next local writes come to; `None` means that they succeed.
    pub(super) write_fault: Option<StorageFault>,
}

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Now,
    pub(super) answers: BTreeMap<u64, ClientResponse>,
    pub(super) counts: BTreeMap<Counter, u32>,
    /// Nodes whose connections are refused.
    pub(super) down: BTreeSet<NodeId>,
    /// Nodes that take messages and never answer.
    pub(super) mute: BTreeSet<NodeId>,
    pub(super) queue: VecDeque<(NodeId, Input)>,
    /// Whom a peer's request came from, by the reply handle that was made for it.
    peer_replies: BTreeMap<u64, (NodeId, u64)>,
    next_reply: u64,
    view: Vec<Arc<View>>,
}

impl Cluster {
    pub(super) fn new(count: u64, buckets: &[(&str, BucketProps)]) -> Self {
        let view: Vec<_> = (1..=count).map(|id| view(NodeId(id), count, buckets)).collect();
        let mut cluster = Self {
            nodes: Vec::new(),
            now: Now { mono_us: 0, wall_ms: 1_000_000 },
            answers: BTreeMap::new(),
            counts: BTreeMap::new(),
            down: BTreeSet::new(),
            mute: BTreeSet::new(),
            queue: VecDeque::new(),
            peer_replies: BTreeMap::new(),
            next_reply: 0,
            view,
        };
        for id in 1..=count {
            let replica = cluster.replica(NodeId(id), 1);
            cluster.nodes.push(Node { replica, disk: BTreeMap::new(), write_fault: None });
        }
        cluster
    }

    fn replica(&self, me: NodeId, life: u64) -> Replica {
        let mut random_seed = [0; 32];
        random_seed[..8].copy_from_slice(&me.0.to_le_bytes());
        random_seed[8..16].copy_from_slice(&life.to_le_bytes());
        let incarnation = Incarnation(life);
        let config = Config { me, cluster: CLUSTER, incarnation, random_seed, shard: 0 };
        let mut replica = Replica::new(config);
        replica.handle(self.now, Input::View(self.view[me.0 as usize - 1].clone()));
        replica
    }

    /// Starts a node anew on its disk, in another life.
    pub(super) fn restart(&mut self, node: NodeId, life: u64) {
        let replica = self.replica(node, life);
        self.node(node).replica = replica;
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0 as usize - 1]
    }

    pub(super) fn placed(&self, name: &str) -> PlacedKey {
        PlacedKey::new(CLUSTER, self.view[0].partitions(), key(name))
    }

    /// The preference list of a key.
    pub(super) fn owners(&self, name: &str) -> Vec<NodeId> {
        self.view[0].preference_list(self.placed(name).partition).to_vec()
    }

    pub(super) fn held(&self, node: NodeId, name: &str) -> Option<EncodedRecord> {
        let disk = &self.nodes[node.0 as usize - 1].disk;
        disk.get(&self.placed(name)).map(|stored| stored.record.clone())
    }

    /// Hands a client's request to a node and returns the reply handle, without delivering anything.
    pub(super) fn ask(&mut self, node: NodeId, request: ClientRequest) -> u64 {
        self.next_reply += 1;
        let reply = self.next_reply;
        self.queue.push_back((node, Input::Client { reply, request }));
        reply
    }

    /// Asks, delivers everything and lets time pass until there is an answer.
    pub(super) fn request(&mut self, node: NodeId, request: ClientRequest) -> ClientResponse {
        let reply = self.ask(node, request);
        for _ in 0..200 {
            self.deliver();
            if let Some(answer) = self.answers.remove(&reply) {
                return answer;
            }
            self.advance(50);
        }
        panic!("no answer within 10 s");
    }

    pub(super) fn put(&mut self, node: NodeId, put: PutRequest) -> Result<Blob, Failure> {
        match self.request(node, ClientRequest::Put(put)) {
            ClientResponse::Put(answer) => Ok(answer.context),
            ClientResponse::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn get(&mut self, node: NodeId, name: &str, r: u8) -> Result<GetAnswer, Failure> {
        let get = GetRequest { r: Quorum::Count(r), ..get_request(name) };
        match self.request(node, ClientRequest::Get(get)) {
            ClientResponse::Got(answer) => Ok(answer),
            ClientResponse::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    /// The values of a key, sorted.
    pub(super) fn values(&mut self, node: NodeId, name: &str, r: u8) -> Vec<alloc::string::String> {
        values(&self.get(node, name, r).expect("a get"))
    }

    pub(super) fn advance(&mut self, ms: u64) {
        self.now.mono_us += ms * 1_000;
        self.now.wall_ms += ms;
        for index in 0..self.nodes.len() {
            self.queue.push_back((NodeId(index as u64 + 1), Input::Timeout));
        }
        self.deliver();
    }

    /// Delivers until nothing is under way.
    pub(super) fn deliver(&mut self) {
        while let Some((node, input)) = self.queue.pop_front() {
            self.step(node, input);
        }
    }

    pub(super) fn step(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        self.node(id).replica.handle(now, input);
        while let Some(output) = self.node(id).replica.poll_output() {
            self.execute(id, output);
        }
    }

    fn execute(&mut self, id: NodeId, output: Output) {
        match output {
            Output::Load { ticket, key } => {
                let result = Ok(self.node(id).disk.get(&key).cloned());
                self.queue.push_back((id, Input::Loaded { ticket, result }));
            }
            Output::Apply { ticket, key, record, .. } => {
                let result = self.node(id).write_fault.clone().map_or(Ok(()), Err);
                if result.is_ok() {
                    merge(&mut self.node(id).disk, key, record);
                }
                self.queue.push_back((id, Input::Applied { ticket, result }));
            }
            Output::Range { ticket, partition, after, .. } => {
                let disk = &self.node(id).disk;
                let inside = disk.iter().filter(|(key, _)| {
                    key.partition == partition && after.as_ref().is_none_or(|after| *key > after)
                });
                let records = inside.map(|(key, stored)| (key.clone(), stored.clone())).collect();
                let result = Ok(RangeResult { records, until: None });
                self.queue.push_back((id, Input::Ranged { ticket, result }));
            }
            Output::Request { to, .. } if self.down.contains(&to) => {
                self.queue.push_back((id, Input::PeerLost { node: to }));
            }
            Output::Request { to, .. } if self.mute.contains(&to) => {}
            Output::Request { to, id: call, layout, request } => {
                self.next_reply += 1;
                let reply = self.next_reply;
                self.peer_replies.insert(reply, (id, call));
                self.queue.push_back((to, Input::Peer { from: id, reply, layout, request }));
            }
            Output::AnswerPeer { reply, response } => {
                let (to, call) = self.peer_replies.remove(&reply).expect("one answer a request");
                self.queue.push_back((to, Input::PeerAnswer { from: id, id: call, response }));
            }
            Output::AnswerClient { reply, response } => {
                assert!(self.answers.insert(reply, response).is_none(), "one answer a request");
            }
            Output::Count(counter) => *self.counts.entry(counter).or_default() += 1,
            Output::Outcome { .. } => {}
        }
    }
}

fn merge(disk: &mut BTreeMap<PlacedKey, StoredRecord>, key: PlacedKey, new: StoredRecord) {
    let Some(held) = disk.get_mut(&key) else {
        disk.insert(key, new);
        return;
    };
    let mut record = held.record.decode().expect("a stored record");
    record.merge(&new.record.decode().expect("a record"));
    *held =
        StoredRecord { local: new.local.or(held.local), record: EncodedRecord::encode(&record) };
}

fn view(me: NodeId, count: u64, buckets: &[(&str, BucketProps)]) -> Arc<View> {
    let member = |id: u64| MemberRecord {
        node: NodeId(id),
        name: format!("n{id}"),
        address: SocketAddr::from(([127, 0, 0, 1], 7000 + id as u16)),
        zone: format!("z{id}"),
        weight: 1,
        incarnation: Incarnation(1),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout: 1,
    };
    let ring_node = |id| RingNode { node: NodeId(id), zone: format!("z{id}"), weight: 1 };
    let partitions = PartitionCount::new(16).expect("a power of two");
    let ring = plan_first((1..=count).map(ring_node).collect(), partitions, 3).expect("a ring");
    let entry = |(name, props): &(&str, BucketProps)| BucketEntry {
        name: Blob::from(*name),
        version: 1,
        props: props.clone(),
    };
    let stored = Delta {
        members: (1..=count).map(member).collect(),
        buckets: buckets.iter().map(entry).collect(),
        layout: Some(Layout { version: 1, ring }),
    };
    let config = jedlik_membership::Config {
        me: member(me.0),
        cluster: CLUSTER,
        seeds: Vec::new(),
        partitions,
        n: 3,
        random_seed: [me.0 as u8; 32],
    };
    Membership::new(Now { mono_us: 0, wall_ms: 0 }, config, Some(stored)).view()
}

pub(super) fn key(name: &str) -> Key {
    let (bucket, key) = name.split_once('/').unwrap_or(("carts", name));
    Key::new(bucket, key).expect("a short name")
}

pub(super) fn get_request(name: &str) -> GetRequest {
    GetRequest {
        key: key(name),
        n: None,
        r: Quorum::Default,
        pr: Quorum::Default,
        timeout_ms: 5_000,
    }
}

/// A put without a context; the value doubles as the write id.
pub(super) fn blind(name: &str, value: &str) -> PutRequest {
    let write_id = value.bytes().fold(7, |id: u128, byte| id.wrapping_mul(257) + u128::from(byte));
    PutRequest {
        key: key(name),
        content: Content::Value(Blob::from(value)),
        context: None,
        write_id: WriteId(write_id),
        ttl_ms: None,
        n: None,
        w: Quorum::Default,
        pw: Quorum::Default,
        dw: Quorum::Default,
        timeout_ms: 5_000,
    }
}

pub(super) fn after(name: &str, value: &str, context: &Blob) -> PutRequest {
    PutRequest { context: Some(context.clone()), ..blind(name, value) }
}

pub(super) fn values(answer: &GetAnswer) -> Vec<alloc::string::String> {
    let text = |content: &Content<Blob>| match content {
        Content::Value(value) => alloc::string::String::from_utf8_lossy(value).into_owned(),
        Content::Tombstone => "(deleted)".into(),
    };
    let mut values: Vec<_> = answer.versions.iter().map(|v| text(&v.content)).collect();
    values.sort();
    values
}
