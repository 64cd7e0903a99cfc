//! A cluster of replicas without a network: messages lie in a queue until they are delivered.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{
    NodeId, Partition, PartitionCount, Position, RingNode, plan_first, plan_next,
};
use jedlik_membership::{ActiveLayout, Membership, Output as MembershipOutput, View};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, GetRequest, PutRequest};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::{Delta, Gossip, Life, Load, MemberRecord, Ready, Speaks, Status};
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{
    ActiveLayouts, Blob, ClusterId, Departed, Digest, Durability, EncodedRecord, Incarnation, Key,
    Layout, LayoutId, Now, PartitionSet, PlacedKey, Quorum, StoredRecord, Terms, Value, WireLayout,
};
use jedlik_storage_port::{
    Hint, HintPage, HintTotals, Holding, RangePage, RangeRequest, RecordMeta,
};
use jedlik_vclock::{Content, WriteId};

use crate::votes::Votes;
use crate::{
    BudgetSettings, Config, Counter, Input, Output, Recalled, Replica, ShardPast, StorageFault,
    Tuning,
};

pub(super) const CLUSTER: ClusterId = ClusterId(42);

/// Ticket, and the records that an earlier copy was asked for.
type AskedOfCopy = (u64, Vec<(PlacedKey, Digest)>);

pub(super) struct Node {
    pub(super) replica: Replica,
    pub(super) disk: BTreeMap<PlacedKey, StoredRecord>,
    pub(super) hints: BTreeMap<(NodeId, PlacedKey), Kept>,
    /// Keys of records whose checksums fail.
    pub(super) damaged: BTreeSet<PlacedKey>,
    /// Keys of hints whose checksums fail.
    pub(super) damaged_hints: BTreeSet<PlacedKey>,
    /// Row of votes that the replica last kept; `None` once the disk is lost.
    pub(super) votes: Option<Vec<u8>>,
    /// Whether votes were lost, for each row that was kept.
    pub(super) rows: Vec<bool>,
    /// Records of an earlier copy of the disk, while there is one.
    pub(super) copy: Option<BTreeMap<PlacedKey, StoredRecord>>,
    /// Questions to a copy whose disk stands still; `None` while it answers.
    pub(super) copy_stands_still: Option<Vec<AskedOfCopy>>,
    /// Size in bytes at which a page of a partition ends, with the record that passes it.
    pub(super) page_bytes: usize,
    /// Whether writes are taken and never answered.
    pub(super) disk_stands_still: bool,
    /// Fault of the next syncs; `None` means that they succeed.
    pub(super) sync_fault: Option<StorageFault>,
    /// Fault of the next local writes; `None` means that they succeed.
    pub(super) write_fault: Option<StorageFault>,
}

/// Hint on a node's disk.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) since_ms: u64,
    pub(super) record: StoredRecord,
}

/// Longest life of a message in the tests, in microseconds.
pub(super) const LIFE_US: u64 = 1_000_000;

const TUNING: Tuning = Tuning {
    message_life_us: LIFE_US,
    exchange_interval_us: 60_000_000,
    scrub_interval_us: 3_600_000_000,
    budget: BudgetSettings::DEFAULT,
};

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Now,
    pub(super) answers: BTreeMap<u64, ClientResponse>,
    pub(super) counts: BTreeMap<Counter, u32>,
    /// Nodes whose connections are refused.
    pub(super) down: BTreeSet<NodeId>,
    /// Nodes that take messages and never answer.
    pub(super) mute: BTreeSet<NodeId>,
    /// Nodes that stand still, and the inputs that pile up in their inboxes.
    pub(super) frozen: BTreeMap<NodeId, Vec<Input>>,
    /// Requests to peers that could be reached: the sender, the receiver and the request.
    pub(super) sent: Vec<(NodeId, NodeId, PeerRequest)>,
    pub(super) queue: VecDeque<(NodeId, Input)>,
    /// Sender of each open peer's request and its id there, by the reply handle that was made for it.
    peer_replies: BTreeMap<u64, (NodeId, u64)>,
    next_reply: u64,
    /// Number of times that a node came or went.
    notices: u64,
    membership: Vec<Membership>,
    /// Nodes that a replica wanted to gossip, each with its peer.
    pub(super) behind: BTreeSet<(NodeId, NodeId)>,
}

impl Cluster {
    pub(super) fn new(count: u64, buckets: &[(&str, BucketProps)]) -> Self {
        Self::with_ring(count, count, buckets)
    }

    /// Creates so many nodes, of which the first `placed` are in the layout.
    pub(super) fn with_ring(count: u64, placed: u64, buckets: &[(&str, BucketProps)]) -> Self {
        let membership = |id| membership(NodeId(id), (count, placed), buckets);
        let membership = (1..=count).map(membership).collect();
        let mut cluster = Self {
            nodes: Vec::new(),
            now: Now::new(0, 1_000_000),
            answers: BTreeMap::new(),
            counts: BTreeMap::new(),
            down: BTreeSet::new(),
            mute: BTreeSet::new(),
            frozen: BTreeMap::new(),
            sent: Vec::new(),
            queue: VecDeque::new(),
            peer_replies: BTreeMap::new(),
            next_reply: 0,
            notices: 0,
            membership,
            behind: BTreeSet::new(),
        };
        for id in 1..=count {
            let votes = Some(Votes::restored(None).encode());
            let replica = cluster.replica(NodeId(id), 1, votes);
            cluster.nodes.push(Node {
                replica,
                disk: BTreeMap::new(),
                hints: BTreeMap::new(),
                damaged: BTreeSet::new(),
                damaged_hints: BTreeSet::new(),
                votes: Some(Votes::restored(None).encode()),
                rows: Vec::new(),
                copy: None,
                copy_stands_still: None,
                page_bytes: usize::MAX,
                disk_stands_still: false,
                sync_fault: None,
                write_fault: None,
            });
        }
        cluster.advance(1);
        cluster.counts.clear();
        cluster.sent.clear();
        cluster
    }

    /// Returns the configuration of a node in one of its lives.
    pub(super) fn config(me: NodeId, life: u64) -> Config {
        let mut random_seed = [0; 32];
        random_seed[..8].copy_from_slice(&me.0.to_le_bytes());
        random_seed[8..16].copy_from_slice(&life.to_le_bytes());
        Config {
            me,
            cluster: CLUSTER,
            incarnation: Incarnation(life),
            random_seed,
            shard: 0,
            shards: 1,
            clock_start: (life << 40) + me.0,
            tuning: TUNING,
            past: ShardPast::Continuous,
            votes: Some(Votes::restored(None).encode()),
        }
    }

    fn replica(&self, me: NodeId, life: u64, votes: Option<Vec<u8>>) -> Replica {
        let mut replica = Replica::new(Config { votes, ..Self::config(me, life) });
        replica.handle(self.now, Input::View(self.view(me)));
        replica
    }

    pub(super) fn view(&self, node: NodeId) -> Arc<View> {
        self.membership[node.0 as usize - 1].view()
    }

    /// Tells every node that `node` is down, as its failure detector would find.
    pub(super) fn notice_down(&mut self, node: NodeId) {
        self.down.insert(node);
        self.notice(node, Status::Away);
    }

    /// Tells every node that `node` is back.
    pub(super) fn notice_up(&mut self, node: NodeId) {
        self.down.remove(&node);
        self.notice(node, Status::Up);
    }

    /// Tells every node that messages live for another time on `node`.
    pub(super) fn notice_message_life(&mut self, node: NodeId, message_life_ms: u32) {
        self.notice_record(MemberRecord { message_life_ms, ..member(node.0) });
    }

    /// Spreads a node's own status: a record that the node did not write would be another process's.
    fn notice(&mut self, node: NodeId, status: Status) {
        let membership = &mut self.membership[node.0 as usize - 1];
        membership.handle_drain(self.now, status == Status::Away);
        save(membership, self.now);
        let record = self.view(node).member(node).expect("its own").clone();
        self.spread_record(&record);
    }

    /// Tells every other node of a node's record.
    pub(super) fn notice_record(&mut self, record: MemberRecord) {
        self.notices += 1;
        let view = self.view(record.node);
        let own = view.member(record.node).map_or(0, |own| own.version);
        let (version, layout) = (own + self.notices, view.layout_id());
        self.spread_record(&MemberRecord { version, layout, ..record });
    }

    fn spread_record(&mut self, record: &MemberRecord) {
        let (node, status) = (record.node, record.status);
        for index in 0..self.nodes.len() {
            let me = NodeId(index as u64 + 1);
            if me == node {
                continue;
            }
            let news = Delta { members: [record.clone()].into(), ..Delta::default() };
            let membership = &mut self.membership[index];
            let now = Now { mono_us: self.now.mono_us, ..self.now };
            membership.handle_gossip(now, node, Gossip::Close(news));
            if status == Status::Up {
                membership.handle_outcome(now, node, true);
            }
            save(membership, now);
            assert_eq!(membership.view().is_alive(node), status == Status::Up);
            let view = self.view(me);
            self.queue.push_back((me, Input::View(view)));
        }
        self.deliver();
    }

    /// Commits the next layout, of these nodes. Those in `departed` are gone, by force if they are down.
    /// `known_to` learn of it at once, the others by and by.
    pub(super) fn commit(&mut self, nodes: &[u64], departed: &[u64], known_to: &[NodeId]) {
        let view = self.view(known_to[0]);
        let present = view.layout().expect("a layout");
        let nodes = nodes.iter().copied().map(ring_node).collect();
        let ring = plan_next(&present.ring, nodes, 3).expect("a ring");
        let departed = departed.iter().map(|node| {
            let node = NodeId(*node);
            Departed { node, forced: self.down.contains(&node) }
        });
        let parent = view.layout_id();
        let layout =
            Layout { version: parent.version + 1, parent, ring, departed: departed.collect() };
        let placed = WireLayout { layout, flipped: PartitionSet::default() };
        for node in known_to {
            let news = Delta { layouts: [placed.clone()].into(), ..Delta::default() };
            self.tell(*node, known_to[0], news);
        }
        self.deliver();
    }

    /// Gives a node's membership news, and its replica the view that follows.
    pub(super) fn tell(&mut self, node: NodeId, from: NodeId, news: Delta) {
        let from = if from == node { NodeId(node.0 % self.nodes.len() as u64 + 1) } else { from };
        let membership = &mut self.membership[node.0 as usize - 1];
        membership.handle_gossip(self.now, from, Gossip::Close(news));
        save(membership, self.now);
        let view = self.view(node);
        self.queue.push_back((node, Input::View(view)));
    }

    /// Tells every node that a bucket has other properties.
    pub(super) fn set_bucket(&mut self, name: &str, version: u64, props: &BucketProps) {
        for node in 1..=self.nodes.len() as u64 {
            let entry = BucketEntry { name: Blob::from(name), version, props: props.clone() };
            let news = Delta { buckets: [entry].into(), ..Delta::default() };
            self.tell(NodeId(node), NodeId(1), news);
        }
        self.deliver();
    }

    /// Tells every node that is up all that the others that are up know.
    pub(super) fn gossip(&mut self) {
        self.advance(60);
        let nodes: Vec<NodeId> = (1..=self.nodes.len() as u64).map(NodeId).collect();
        let up: Vec<NodeId> = nodes.into_iter().filter(|node| !self.down.contains(node)).collect();
        up.iter().for_each(|node| self.tend(*node, &up));
        for from in &up {
            let view = self.view(*from);
            let members = view.members().cloned().collect();
            let layouts = view.layouts().iter().map(ActiveLayout::placed).collect();
            let news = Delta { members, layouts, ..Delta::default() };
            for to in up.iter().filter(|to| *to != from) {
                self.tell(*to, *from, news.clone());
            }
        }
        self.deliver();
    }

    /// Has a node's membership do what is due, while the nodes `up` answer.
    pub(super) fn tend(&mut self, node: NodeId, up: &[NodeId]) {
        let membership = &mut self.membership[node.0 as usize - 1];
        membership.handle_timeout(self.now);
        // What they ask one another here is not carried: everyone who is up counts as answering.
        for other in up.iter().filter(|other| **other != node) {
            membership.handle_outcome(self.now, *other, true);
        }
        save(membership, self.now);
    }

    /// Lets time pass until nothing moves any more.
    pub(super) fn settle(&mut self) {
        let is_settled = |cluster: &Self, node: &NodeId| {
            let report = cluster.nodes[node.0 as usize - 1].replica.transfer_report();
            let view = cluster.view(*node);
            report.leaving + report.unowned == 0 && view.flipped() == view.partitions().get()
        };
        for _ in 0..400 {
            self.gossip();
            self.run_for(500);
            let nodes: Vec<NodeId> = (1..=self.nodes.len() as u64).map(NodeId).collect();
            let mut up = nodes.iter().filter(|node| !self.down.contains(node));
            if up.all(|node| is_settled(self, node)) {
                return;
            }
        }
        let reports = self.nodes.iter().map(|node| node.replica.transfer_report());
        panic!("something still moves after 200 s: {:#?}", reports.collect::<Vec<_>>());
    }

    /// Starts a node anew on an empty disk, in another life.
    pub(super) fn replace_disk(&mut self, node: NodeId, life: u64) {
        let lost = self.node(node);
        lost.disk.clear();
        lost.hints.clear();
        lost.damaged.clear();
        lost.votes = None;
        self.restart(node, life);
    }

    /// Starts a node anew on its disk, in another life.
    pub(super) fn restart(&mut self, node: NodeId, life: u64) {
        let votes = self.node(node).votes.clone();
        let replica = self.replica(node, life, votes);
        self.node(node).replica = replica;
        let targets: BTreeSet<NodeId> =
            self.node(node).hints.keys().map(|(target, _)| *target).collect();
        for target in targets {
            self.tell_totals(node, target);
        }
        self.queue.push_back((node, Input::Timeout));
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0 as usize - 1]
    }

    pub(super) fn placed(&self, name: &str) -> PlacedKey {
        PlacedKey::new(CLUSTER, self.view(NodeId(1)).partitions(), key(name))
    }

    /// Returns the preference list of a key.
    pub(super) fn owners(&self, name: &str) -> Vec<NodeId> {
        self.view(NodeId(1)).preference_list(self.placed(name).partition).to_vec()
    }

    pub(super) fn held(&self, node: NodeId, name: &str) -> Option<EncodedRecord> {
        let disk = &self.nodes[node.0 as usize - 1].disk;
        disk.get(&self.placed(name)).map(|stored| stored.record.clone())
    }

    /// Returns the targets of a node's hints of a key.
    pub(super) fn hinted(&self, node: NodeId, name: &str) -> Vec<NodeId> {
        let key = self.placed(name);
        let hints = self.nodes[node.0 as usize - 1].hints.keys();
        hints.filter(|(_, of)| *of == key).map(|(target, _)| *target).collect()
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

    /// Returns the values of a key, sorted.
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

    /// Delivers clients' requests, and nothing that follows from them.
    pub(super) fn step_requests(&mut self) {
        for _ in 0..self.queue.len() {
            let Some((node, input)) = self.queue.pop_front() else { break };
            self.step(node, input);
        }
    }

    /// Delivers until nothing is under way.
    pub(super) fn deliver(&mut self) {
        while let Some((node, input)) = self.queue.pop_front() {
            self.step(node, input);
        }
    }

    pub(super) fn step(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        if let Some(inbox) = self.frozen.get_mut(&id) {
            return inbox.push(input);
        }
        self.node(id).replica.handle(now, input);
        while let Some(output) = self.node(id).replica.poll_output() {
            self.execute(id, output);
        }
    }

    fn execute(&mut self, id: NodeId, output: Output) {
        let now = self.now;
        match output {
            Output::Load { ticket, key } => self.load(id, ticket, &key),
            Output::Apply { .. }
            | Output::Revise { .. }
            | Output::Discard { .. }
            | Output::Hold { .. }
            | Output::Drop { .. }
            | Output::Release { .. } => self.store(id, output),
            Output::Sync { ticket } => self.sync(id, ticket),
            Output::KeepVotes { votes, loses } => {
                self.node(id).votes = Some(votes);
                self.node(id).rows.push(loses);
            }
            Output::Recall { ticket, wanted } => self.recall(id, ticket, wanted),
            Output::LeaveCopy { .. } => self.node(id).copy = None,
            Output::Survey { ticket, partitions } => self.survey(id, ticket, partitions),
            Output::Ready { layout, partition } => {
                let index = id.0 as usize - 1;
                self.membership[index].handle_ready(now, layout, &[partition]);
            }
            Output::Behind { node } => {
                self.behind.insert((id, node));
            }
            Output::Hints { ticket, target, after, limit_records, .. } => {
                let mut hints: Vec<Hint> = self.held_hints(id, target);
                hints.retain(|hint| after.as_ref().is_none_or(|after| hint.mark() > *after));
                let found = hints.len();
                hints.truncate(limit_records as usize);
                let until = hints.last().filter(|_| hints.len() < found).map(Hint::mark);
                let result = Ok(HintPage { hints, until, damaged: Vec::new() });
                self.node(id).replica.handle(now, Input::HintPage { ticket, result });
            }
            Output::Range { ticket, range } => {
                let result = Ok(self.page(id, &range));
                self.node(id).replica.handle(now, Input::Ranged { ticket, result });
            }
            Output::Request { to, id: call, terms, request } => {
                self.carry((id, to, call), terms, request);
            }
            Output::AnswerPeer { reply, stamp, response } => {
                let (to, call) = self.peer_replies.remove(&reply).expect("one answer a request");
                let input = Input::PeerAnswer { from: id, id: call, stamp, response };
                self.queue.push_back((to, input));
            }
            Output::AnswerClient { reply, response } => {
                assert!(self.answers.insert(reply, response).is_none(), "one answer a request");
            }
            Output::Count(counter) => *self.counts.entry(counter).or_default() += 1,
            Output::Outcome { .. } => {}
        }
    }

    /// Looks for records in an earlier copy of the node's disk.
    pub(super) fn recall(&mut self, id: NodeId, ticket: u64, wanted: Vec<(PlacedKey, Digest)>) {
        if let Some(asked) = &mut self.node(id).copy_stands_still {
            return asked.push((ticket, wanted));
        }
        let copy = self.node(id).copy.as_ref().expect("it is asked while it is at hand");
        // No answer has room for more.
        let looked = wanted.len().min(2);
        let held = wanted.into_iter().take(looked).filter_map(|(key, digest)| {
            let record = copy.get(&key)?.record.clone();
            (record.digest() == digest).then_some((key, record))
        });
        let records = held.collect();
        self.queue.push_back((id, Input::Recalled(Recalled { ticket, looked, records })));
    }

    /// Takes a request to a peer, if it can be reached.
    fn carry(&mut self, (id, to, call): (NodeId, NodeId, u64), terms: Terms, request: PeerRequest) {
        if self.down.contains(&to) {
            self.queue.push_back((id, Input::PeerLost { node: to }));
        } else if !self.mute.contains(&to) {
            self.sent.push((id, to, request.clone()));
            self.next_reply += 1;
            let reply = self.next_reply;
            self.peer_replies.insert(reply, (id, call));
            let input = Input::Peer { from: id, reply, terms, request };
            self.queue.push_back((to, input));
        }
    }

    /// Merges a record at a node whose storage nobody waits for.
    pub(super) fn merge_at(&mut self, id: NodeId, key: &PlacedKey, record: EncodedRecord) {
        let (key, ticket, durability) = (key.clone(), u64::MAX, Durability::Synced);
        let record = StoredRecord { local: None, record };
        self.store(id, Output::Apply { ticket, key, record, durability });
        self.deliver();
    }

    fn load(&mut self, id: NodeId, ticket: u64, key: &PlacedKey) {
        let now = self.now;
        let node = self.node(id);
        let damaged = node.damaged.contains(key);
        let record = node.disk.get(key).filter(|_| !damaged).cloned();
        let of_key = |((target, of), kept): (&(NodeId, PlacedKey), &Kept)| {
            let (since_ms, record) = (kept.since_ms, kept.record.clone());
            (of == key).then(|| Hint { target: *target, since_ms, key: key.clone(), record })
        };
        let mut hints: Vec<Hint> = node.hints.iter().filter_map(of_key).collect();
        let damaged_hints = !hints.is_empty() && node.damaged_hints.contains(key);
        if damaged_hints {
            hints.clear();
        }
        let result = Ok(Holding { record, damaged, hints, damaged_hints });
        node.replica.handle(now, Input::Loaded { ticket, result });
    }

    fn store(&mut self, id: NodeId, output: Output) {
        let now = self.now;
        match output {
            Output::Apply { ticket, key, record, .. } => {
                let result = self.node(id).write_fault.clone().map_or(Ok(()), Err);
                if result.is_ok() {
                    let node = self.node(id);
                    if node.damaged.remove(&key) {
                        node.disk.remove(&key);
                        node.replica.handle(now, Input::Mended { key: key.clone() });
                    }
                    let before = node.disk.get(&key).map(meta);
                    merge(&mut node.disk, key.clone(), record);
                    let after = node.disk.get(&key).map(meta);
                    node.replica.handle(now, Input::Changed { ticket, key, before, after });
                }
                self.applied(id, ticket, result);
            }
            Output::Revise { ticket, key, expected, by } => {
                let (record, node) = (by.record(), self.node(id));
                let before = node.disk.get(&key).map(meta);
                let mut after = before;
                if before.is_some_and(|before| before.digest == expected) {
                    after = record.as_ref().map(meta);
                    match record {
                        Some(record) => node.disk.insert(key.clone(), record),
                        None => node.disk.remove(&key),
                    };
                }
                node.replica.handle(now, Input::Changed { ticket, key, before, after });
                self.applied(id, ticket, Ok(()));
            }
            Output::Discard { ticket, key } => {
                let node = self.node(id);
                if node.damaged.remove(&key) {
                    node.disk.remove(&key);
                }
                self.applied(id, ticket, Ok(()));
            }
            Output::Hold { ticket, target, key, record, since_ms, .. } => {
                let result = self.node(id).write_fault.clone().map_or(Ok(()), Err);
                if result.is_ok() {
                    self.keep(id, target, key, since_ms, record);
                }
                self.applied(id, ticket, result);
            }
            Output::Release { ticket, target, key, digest } => {
                self.release(id, target, key, digest);
                self.applied(id, ticket, Ok(()));
            }
            Output::Drop { ticket, partition } => {
                let node = self.node(id);
                node.disk.retain(|key, _| key.partition != partition);
                node.damaged.retain(|key| key.partition != partition);
                self.applied(id, ticket, Ok(()));
            }
            _ => {}
        }
    }

    fn release(&mut self, id: NodeId, target: NodeId, key: PlacedKey, digest: Digest) {
        let hints = &mut self.node(id).hints;
        let place = (target, key);
        if hints.get(&place).is_some_and(|kept| kept.record.record.digest() == digest) {
            hints.remove(&place);
        }
        self.tell_totals(id, target);
    }

    fn survey(&mut self, id: NodeId, ticket: u64, mut partitions: Vec<Partition>) {
        let now = self.now;
        assert!(partitions.len() <= crate::survey::SURVEY_PARTITIONS, "few at a time");
        let node = self.node(id);
        partitions.retain(|partition| node.disk.keys().any(|key| key.partition == *partition));
        node.replica.handle(now, Input::Surveyed { ticket, result: Ok(partitions) });
    }

    fn sync(&mut self, id: NodeId, ticket: u64) {
        let result = self.node(id).sync_fault.clone().map_or(Ok(()), Err);
        self.applied(id, ticket, result);
    }

    fn applied(&mut self, id: NodeId, ticket: u64, result: Result<(), StorageFault>) {
        if !self.node(id).disk_stands_still {
            self.queue.push_back((id, Input::Applied { ticket, result }));
        }
    }

    fn held_hints(&self, id: NodeId, target: NodeId) -> Vec<Hint> {
        let of_target = |((of, key), kept): (&(NodeId, PlacedKey), &Kept)| {
            let (since_ms, record) = (kept.since_ms, kept.record.clone());
            (*of == target).then(|| Hint { target, since_ms, key: key.clone(), record })
        };
        let hints = &self.nodes[id.0 as usize - 1].hints;
        let mut hints: Vec<Hint> = hints.iter().filter_map(of_target).collect();
        hints.sort_by_key(|hint| hint.since_ms);
        hints
    }

    fn keep(
        &mut self,
        id: NodeId,
        target: NodeId,
        key: PlacedKey,
        since_ms: u64,
        new: StoredRecord,
    ) {
        let hints = &mut self.node(id).hints;
        match hints.get_mut(&(target, key.clone())) {
            Some(kept) => kept.record = merged(&kept.record, &new),
            None => {
                hints.insert((target, key), Kept { since_ms, record: new });
            }
        }
        self.tell_totals(id, target);
    }

    fn tell_totals(&mut self, id: NodeId, target: NodeId) {
        let hints = self.held_hints(id, target);
        let totals = HintTotals {
            count: hints.len() as u64,
            bytes: hints.iter().map(|hint| hint.record.record.bytes().len() as u64).sum(),
            oldest_ms: hints.first().map(|hint| hint.since_ms),
        };
        let now = self.now;
        let told = Input::HintTotals([(target, totals)].into());
        self.node(id).replica.handle(now, told);
    }

    fn page(&self, id: NodeId, range: &RangeRequest) -> RangePage {
        let inside = |key: &PlacedKey| {
            let (first, last) = range.span.unwrap_or((Position(0), Position(u128::MAX)));
            key.partition == range.partition
                && (first..=last).contains(&key.position)
                && range.after.as_ref().is_none_or(|after| key > after)
                && range.bucket.as_ref().is_none_or(|bucket| bucket == key.key.bucket())
        };
        let node = &self.nodes[id.0 as usize - 1];
        let mut page = RangePage::default();
        let mut bytes = 0;
        let mut shown = node.disk.clone();
        for ((_, key), hint) in node.hints.iter().filter(|_| range.hints) {
            merge(&mut shown, key.clone(), hint.record.clone());
        }
        for (key, stored) in shown.iter().filter(|(key, _)| inside(key)) {
            if page.records.len() >= range.limit as usize || bytes > node.page_bytes {
                page.until = page.records.last().map(|(key, _)| key.clone());
                break;
            }
            if node.damaged.contains(key) {
                page.damaged.push(key.clone());
                continue;
            }
            bytes += stored.record.bytes().len();
            let mut stored = stored.clone();
            if !range.values {
                stored.record = stored.record.with_lengths().expect("a stored record");
            }
            page.records.push((key.clone(), stored));
        }
        page
    }
}

fn meta(stored: &StoredRecord) -> RecordMeta {
    let bytes = stored.record.bytes().len() as u32;
    RecordMeta { digest: stored.record.digest(), bytes }
}

fn merge(disk: &mut BTreeMap<PlacedKey, StoredRecord>, key: PlacedKey, new: StoredRecord) {
    match disk.get_mut(&key) {
        Some(held) => *held = merged(held, &new),
        None => {
            disk.insert(key, new);
        }
    }
}

fn merged(held: &StoredRecord, new: &StoredRecord) -> StoredRecord {
    let mut record = held.record.decode().expect("a stored record");
    record.merge(&new.record.decode().expect("a record"));
    StoredRecord { local: new.local.or(held.local), record: EncodedRecord::encode(&record) }
}

pub(super) fn member(id: u64) -> MemberRecord {
    MemberRecord {
        node: NodeId(id),
        name: format!("n{id}"),
        address: SocketAddr::from(([127, 0, 0, 1], 7000 + id as u16)),
        zone: format!("z{id}"),
        weight: 1,
        life: Life::new(Incarnation(1)),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout: LayoutId::default(),
        ready: Ready::default(),
        load: Load::default(),
        speaks: Speaks::default(),
        message_life_ms: (LIFE_US / 1_000) as u32,
    }
}

/// Returns the terms of a request by a member in its first life.
pub(super) fn terms(layouts: ActiveLayouts, receiver_clock: u64) -> Terms {
    Terms { life: Incarnation(1), layouts, receiver_clock, trace: None }
}

fn ring_node(id: u64) -> RingNode {
    RingNode { node: NodeId(id), zone: format!("z{id}"), weight: 1 }
}

fn membership(
    me: NodeId,
    (count, placed): (u64, u64),
    buckets: &[(&str, BucketProps)],
) -> Membership {
    let partitions = PartitionCount::new(16).expect("a power of two");
    let ring = plan_first((1..=placed).map(ring_node).collect(), partitions, 3).expect("a ring");
    let entry = |(name, props): &(&str, BucketProps)| BucketEntry {
        name: Blob::from(*name),
        version: 1,
        props: props.clone(),
    };
    let layout = Layout { version: 1, parent: LayoutId::default(), ring, departed: Vec::new() };
    let id = layout.id();
    let flipped = PartitionSet::full(partitions);
    let stored = Delta {
        members: (1..=count).map(|node| MemberRecord { layout: id, ..member(node) }).collect(),
        buckets: buckets.iter().map(entry).collect(),
        layouts: [WireLayout { layout, flipped }].into(),
        ..Delta::default()
    };
    let config = jedlik_membership::Config {
        me: MemberRecord { layout: id, ..member(me.0) },
        cluster: CLUSTER,
        seeds: Vec::new(),
        partitions,
        n: 3,
        random_seed: [me.0 as u8; 32],
        lineage: jedlik_membership::Lineage::first(Incarnation(1)),
    };
    let now = Now::new(0, 0);
    let others: Vec<NodeId> =
        stored.members.iter().map(|record| record.node).filter(|node| *node != me).collect();
    let mut membership = Membership::new(now, config, Some(stored));
    for other in others {
        // It remembers no life of this node that the disk does not.
        let answer = Gossip::Recalled {
            asked: Incarnation(1),
            record: None,
            layout: id,
            wall_ms: 0,
            superseded_ms: None,
        };
        membership.handle_gossip(now, other, answer);
    }
    save(&mut membership, now);
    membership
}

/// Stores at once what the membership wants stored, and drops its other effects.
fn save(membership: &mut Membership, now: Now) {
    while let Some(output) = membership.poll_output() {
        if let MembershipOutput::Persist { state, .. } = output {
            membership.handle_saved(now, state);
        }
    }
}

/// Returns the properties of a bucket whose puts may ask for one acknowledgement.
pub(super) fn from_one() -> BucketProps {
    BucketProps { min_w: 1, ..BucketProps::default() }
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

/// Returns a put without a context; the value doubles as the write id.
pub(super) fn blind(name: &str, value: &str) -> PutRequest {
    let write_id = value.bytes().fold(7, |id: u128, byte| id.wrapping_mul(257) + u128::from(byte));
    PutRequest {
        key: key(name),
        content: Content::Value(value.into()),
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
    let text = |content: &Content<Value>| match content {
        Content::Value(value) => alloc::string::String::from_utf8_lossy(value.bytes()).into_owned(),
        Content::Tombstone => "(deleted)".into(),
    };
    let mut values: Vec<_> = answer.versions.iter().map(|v| text(&v.content)).collect();
    values.sort();
    values
}
