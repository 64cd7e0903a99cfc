//! Requests of the cluster's admins, for programs that run one: with the feature `admin`.
//!
//! Requests and answers are the wire crate's own types, which change with the cluster's version and not with this
//! crate's.

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_protocol::admin::{AdminRequest, AdminResponse, NodeStats};
use jedlik_protocol::bucket::BucketEntry;
use jedlik_protocol::client::{ClientRequest, ClientResponse, MemberAddress as Member, Topology};

pub use jedlik_hashing::Partition;
pub use jedlik_vclock::WriteId;

use crate::request_loop::Idempotency;
use crate::routes::Route;
use crate::{Client, ClientError, NodeId, Scan, ScanOptions};

/// A client's other face, for admins.
#[derive(Debug, Clone, Copy)]
pub struct Admin<'a> {
    client: &'a Client,
}

impl Client {
    /// The admins' requests. The client's certificate decides which of them are allowed.
    #[must_use]
    pub fn admin(&self) -> Admin<'_> {
        Admin { client: self }
    }
}

impl Admin<'_> {
    /// Asks any node, or the one named, for what an admin asks. Only a commit is not sent again once
    /// it may have been done.
    ///
    /// # Errors
    /// The request or the role is refused, no member is `node`, or it does not answer in time.
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

    /// Asks those members that are among `nodes` the same at once, and tells of each what it answered
    /// or why it did not; `timeout` is for each.
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

    /// Every member's counters, or why it did not tell them; `timeout` is for each.
    pub async fn stats(self, timeout: Duration) -> Vec<(Member, Result<NodeStats, ClientError>)> {
        let nodes: Vec<NodeId> = self.topology().members.iter().map(|member| member.node).collect();
        let answers = self.ask_members(&nodes, &AdminRequest::Stats, timeout).await;
        let counters = |answer| match answer {
            AdminResponse::Stats(stats) => Ok(stats),
            _ => Err(ClientError::Mismatch),
        };
        answers.into_iter().map(|(member, answer)| (member, answer.and_then(counters))).collect()
    }

    /// The cluster as last learnt.
    #[must_use]
    pub fn topology(self) -> Topology {
        self.client.shared.routes().topology().clone()
    }

    /// The seeds' addresses when they were last looked up, in the order of the seeds.
    #[must_use]
    pub fn seeds(self) -> Vec<SocketAddr> {
        self.client.shared.seeds.known().addresses
    }

    /// Reads all keys of every bucket, as [`Client::scan`] does, and gives the buckets whose properties were set.
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
