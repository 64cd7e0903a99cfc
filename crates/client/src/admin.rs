//! Requests for cluster admins, for programs that run a cluster; behind the feature `admin`.
//!
//! Requests and answers are the wire crate's own types, so they change with the cluster's version, not with this
//! crate's.

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_protocol::admin::{AdminRequest, AdminResponse, NodeStats};
use jedlik_protocol::bucket::BucketEntry;
use jedlik_protocol::client::{ClientRequest, ClientResponse, MemberAddress as Member, Topology};

pub use jedlik_hashing::{Partition, Preferences};
pub use jedlik_vclock::WriteId;

use crate::request_loop::Idempotency;
use crate::routes::Route;
use crate::{Client, ClientError, NodeId, Scan, ScanOptions};

/// A client's requests for admins; made by [`Client::admin`].
#[derive(Debug, Clone, Copy)]
pub struct Admin<'a> {
    client: &'a Client,
}

impl Client {
    /// Returns the admins' requests. The role in the client's certificate decides which of them are allowed.
    #[must_use]
    pub fn admin(&self) -> Admin<'_> {
        Admin { client: self }
    }
}

impl Admin<'_> {
    /// Sends an admin request to `node`, or to any node if that is `None`. Every request but a commit is sent again
    /// after a failed attempt; a commit that may have taken effect is not.
    ///
    /// # Errors
    /// The request or the role is refused, no member has the identity `node`, or no node answers in time.
    pub async fn ask(
        self,
        request: AdminRequest,
        node: Option<NodeId>,
    ) -> Result<AdminResponse, ClientError> {
        if let Some(node) = node
            && !self.topology().members.iter().any(|member| member.node == node)
        {
            return Err(ClientError::UnknownNode(node));
        }
        let idempotency = match request {
            AdminRequest::Commit { dry_run: false, .. } => Idempotency::OnceOnly,
            _ => Idempotency::Idempotent,
        };
        let route = node.map_or(Route::Any, Route::Node);
        let request = |_| ClientRequest::Admin(request.clone());
        match self.client.shared.run(route, idempotency, None, request).await? {
            ClientResponse::Admin(answer) => Ok(answer),
            _ => Err(ClientError::Mismatch),
        }
    }

    /// Sends the same request to every member that is among `nodes`, all at once, and returns each member's answer or
    /// error. `timeout` applies to each member on its own.
    pub async fn ask_members(
        self,
        nodes: &[NodeId],
        request: &AdminRequest,
        timeout: Duration,
    ) -> Vec<(Member, Result<AdminResponse, ClientError>)> {
        let mut tasks = Vec::new();
        let members = self.topology().members.into_iter();
        for member in members.filter(|member| nodes.contains(&member.node)) {
            let (shared, request) = (self.client.shared.clone(), request.clone());
            tasks.push(tokio::spawn(async move {
                let request = |_| ClientRequest::Admin(request.clone());
                let route = Route::Node(member.node);
                let answer =
                    shared.run(route, Idempotency::Idempotent, Some(timeout), request).await;
                match answer {
                    Ok(ClientResponse::Admin(answer)) => (member, Ok(answer)),
                    Ok(_) => (member, Err(ClientError::Mismatch)),
                    Err(error) => (member, Err(error)),
                }
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await);
        }
        all
    }

    /// Returns every member's counters, or the error of a member that did not give them. `timeout` applies to each
    /// member on its own.
    pub async fn stats(self, timeout: Duration) -> Vec<(Member, Result<NodeStats, ClientError>)> {
        let nodes: Vec<NodeId> = self.topology().members.iter().map(|member| member.node).collect();
        let answers = self.ask_members(&nodes, &AdminRequest::Stats, timeout).await;
        let counters = |answer| match answer {
            AdminResponse::Stats(stats) => Ok(stats),
            _ => Err(ClientError::Mismatch),
        };
        answers.into_iter().map(|(member, answer)| (member, answer.and_then(counters))).collect()
    }

    /// Returns the cluster's topology as this client learnt it last. Nothing is sent.
    #[must_use]
    pub fn topology(self) -> Topology {
        self.client.shared.routes().topology().clone()
    }

    /// Returns the seeds' addresses from their last look-up, in the order of the seeds.
    #[must_use]
    pub fn seeds(self) -> Vec<SocketAddr> {
        self.client.shared.seeds.known().addresses
    }

    /// Reads all keys of every bucket, as [`Client::scan`] does, and also returns the buckets whose properties were
    /// set.
    ///
    /// # Errors
    /// No node answers, or there is no layout yet.
    pub async fn scan_every_bucket(
        self,
        options: &ScanOptions,
    ) -> Result<(Vec<BucketEntry>, Scan), ClientError> {
        self.client.scan().options(options).every_bucket().await
    }
}
