//! A node in memory, for the tests of doors: one replica of everything, with siblings, contexts and bucket properties.
//!
//! Its contexts list the tags that a client has seen, so a put with a context replaces exactly those versions, as on a
//! real node. It refuses what no real node takes, such as an R above N; it has no other quorums, and no time but its own.
//!
//! Invariant: a request is carried out at once, as a whole, when it is asked, unless the test wants it stalled.

mod records;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use jedlik_hashing::{NodeId, PartitionCount, RingNode, plan_first};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, NodeStats};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{ClientRequest, ClientResponse, MemberAddress, Topology};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Blob, ClusterId, Layout, LayoutId};

use crate::{Answer, Answering, Caller, DoorName, Kind, Node, Phase, Reason, Token};
use records::Records;

/// Identity of the cluster that the fake node is in.
const CLUSTER: ClusterId = ClusterId(7);
/// Number of partitions of its layout.
const PARTITIONS: u32 = 4;
/// Number of members; all but the first exist in the topology only.
const MEMBERS: u64 = 3;

/// A node in memory. Its clock goes one second further with each put.
#[derive(Debug, Default)]
pub struct FakeNode {
    state: Mutex<State>,
    withdrawn: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    records: Records,
    buckets: BTreeMap<Blob, BucketEntry>,
    /// Failures that the next requests are answered with.
    failures: VecDeque<Failure>,
    /// Number of requests that are still answered; `None` for all.
    answers: Option<usize>,
    asked: Vec<ClientRequest>,
    /// Requests that its door for Riak's Protocol Buffers clients has answered.
    riak_pb: Vec<(Kind, bool)>,
    /// Counters that the node reports.
    counters: Vec<(String, u64)>,
    /// Callers of the requests, the refused ones too.
    callers: Vec<Caller>,
    /// Refusals of clients that doors have told of.
    refused: Vec<(DoorName, Reason)>,
    /// Whether the token that the node knew is in force no more.
    revoked: bool,
    /// Whether the node does not serve yet.
    starting: bool,
}

impl FakeNode {
    /// Answers the next request with a failure; called more than once, the next ones in turn.
    pub fn fail_next(&self, failure: Failure) {
        self.state().failures.push_back(failure);
    }

    /// Makes the node one that does not serve yet, or one that does.
    pub fn set_starting(&self, starting: bool) {
        self.state().starting = starting;
    }

    /// Answers so many more requests, and leaves those after them without an answer.
    pub fn stall_after(&self, count: usize) {
        self.state().answers = Some(count);
    }

    /// Returns the number of stalled requests that were withdrawn.
    #[must_use]
    pub fn withdrawn(&self) -> usize {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Returns every request so far, the refused ones too.
    #[must_use]
    pub fn asked(&self) -> Vec<ClientRequest> {
        self.state().asked.clone()
    }

    /// Returns the requests that its door for Riak's Protocol Buffers clients has answered, and whether they were refused.
    #[must_use]
    pub fn answered_riak_pb(&self) -> Vec<(Kind, bool)> {
        self.state().riak_pb.clone()
    }

    /// Returns who asked, for every request so far.
    #[must_use]
    pub fn callers(&self) -> Vec<Caller> {
        self.state().callers.clone()
    }

    /// Returns what doors have told of clients that they refused.
    #[must_use]
    pub fn refusals(&self) -> Vec<(DoorName, Reason)> {
        self.state().refused.clone()
    }

    /// Takes the rights of the token back that the node knows.
    pub fn revoke(&self) {
        self.state().revoked = true;
    }

    /// Sets the counters that the node reports as its statistics.
    pub fn report(&self, counters: &[(&str, u64)]) {
        self.state().counters =
            counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    }

    // A test that panics has failed already.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node for FakeNode {
    fn ask(&self, caller: &Caller, request: ClientRequest) -> Answering {
        let mut state = self.state();
        state.callers.push(caller.clone());
        if state.revoked && matches!(caller, Caller::Token(_)) {
            let failure = Failure::new(ErrorCode::Forbidden, "the token was revoked");
            return Box::pin(std::future::ready(ClientResponse::Failed(failure).into()));
        }
        if state.answers == Some(0) {
            state.asked.push(request);
            return Box::pin(Stalled(Arc::clone(&self.withdrawn)));
        }
        state.answers = state.answers.map(|left| left - 1);
        let response = state.answer(request);
        Box::pin(std::future::ready(response.into()))
    }

    fn ask_member(&self, _: &Caller, _: NodeId, request: AdminRequest) -> Answering {
        let response = self.state().answer(ClientRequest::Admin(request));
        Box::pin(std::future::ready(response.into()))
    }

    fn count_riak_pb(&self, kind: Kind, refused: bool, _: Duration) {
        self.state().riak_pb.push((kind, refused));
    }

    /// Knows the token `shop` with the secret `secret`, which has every right.
    fn knows(&self, token: &Token) -> bool {
        *token == Token::new("shop", b"secret") && !self.state().revoked
    }

    fn refused(&self, door: DoorName, reason: Reason, _: SocketAddr) {
        self.state().refused.push((door, reason));
    }

    fn phase(&self) -> Phase {
        if self.state().starting { Phase::Starting } else { Phase::Serving }
    }
}

/// Answer that never comes. Dropping it withdraws the request.
struct Stalled(Arc<AtomicUsize>);

impl Future for Stalled {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Pending
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl State {
    fn answer(&mut self, request: ClientRequest) -> ClientResponse {
        self.asked.push(request.clone());
        if let Some(failure) = self.failures.pop_front() {
            return ClientResponse::Failed(failure);
        }
        let answered = match request {
            ClientRequest::Get(get) => {
                let props = self.props(get.key.bucket());
                self.records.get(&get, &props).map(ClientResponse::Got)
            }
            ClientRequest::Put(put) => {
                let props = self.props(put.key.bucket());
                self.records.put(put, &props).map(ClientResponse::Put)
            }
            ClientRequest::Scan(scan) => {
                let buckets = &self.buckets;
                let n = |bucket: &Blob| buckets.get(bucket).map_or(3, |entry| entry.props.n);
                Ok(ClientResponse::Scanned(self.records.scan(&scan, n)))
            }
            ClientRequest::Topology => Ok(ClientResponse::Topology(topology())),
            ClientRequest::Admin(request) => self.admin(request).map(ClientResponse::Admin),
        };
        answered.unwrap_or_else(ClientResponse::Failed)
    }

    fn admin(&mut self, request: AdminRequest) -> Result<AdminResponse, Failure> {
        match request {
            AdminRequest::BucketList => {
                Ok(AdminResponse::Buckets(self.buckets.values().cloned().collect()))
            }
            AdminRequest::BucketShow { name } => Ok(AdminResponse::Bucket(self.entry(&name))),
            AdminRequest::BucketSet { name, changes } => {
                let mut entry = self.entry(&name);
                for (property, value) in changes {
                    entry.props.set(&property, &value).map_err(|error| invalid(&error))?;
                }
                entry.props.check().map_err(|error| invalid(&error))?;
                entry.version += 1;
                self.buckets.insert(name, entry.clone());
                Ok(AdminResponse::Bucket(entry))
            }
            AdminRequest::Stats => {
                let counters = self.counters.clone();
                Ok(AdminResponse::Stats(NodeStats { counters, troubles: Vec::new() }))
            }
            other => Err(invalid(&format_args!("the fake node does not take {other:?}"))),
        }
    }

    fn entry(&self, name: &Blob) -> BucketEntry {
        let unset =
            || BucketEntry { name: name.clone(), version: 0, props: BucketProps::default() };
        self.buckets.get(name).cloned().unwrap_or_else(unset)
    }

    fn props(&self, name: &Blob) -> BucketProps {
        self.entry(name).props
    }
}

fn topology() -> Topology {
    let node = |id| RingNode { node: NodeId(id), zone: format!("z{id}"), weight: 1 };
    let partitions = PartitionCount::new(PARTITIONS).expect("the number is a power of two");
    let ring = plan_first((1..=MEMBERS).map(node).collect(), partitions, 3);
    let ring = ring.expect("the nodes are few, different and of weight 1");
    let layout = Layout { version: 1, parent: LayoutId::default(), ring, departed: Vec::new() };
    let member = |id| MemberAddress {
        node: NodeId(id),
        name: format!("n{id}"),
        address: ([127, 0, 0, 1], 1).into(),
        alive: true,
    };
    let members = (1..=MEMBERS).map(member).collect();
    Topology { cluster: CLUSTER, layout: Some(layout), members }
}

fn invalid(error: &impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::InvalidRequest, error.to_string())
}

#[cfg(test)]
mod tests;
