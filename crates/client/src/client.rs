//! The client's face: one method for each thing that can be asked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_net::Endpoint;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, NodeStats};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, Endpoint as Member, GetAnswer, GetRequest, PutAnswer,
    PutRequest, ScanOf, Topology,
};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use jedlik_protocol::{Blob, Key};
use jedlik_vclock::{Content, WriteId};
use tokio::sync::{Notify, Semaphore};

use crate::calls::Calls;
use crate::links::Links;
use crate::options::wire_ms;
use crate::request_loop::Idempotency;
use crate::routes::{Route, Routes, Target};
use crate::seeds::first_topology;
use crate::{
    ClientConfig, ClientError, GetOptions, PutOptions, Scan, ScanOptions, StartError, background,
    scan,
};

/// A client of one cluster; clones share its connections. To be used within a tokio runtime.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What the handles and the tasks of a client share.
pub(crate) struct Shared {
    pub(crate) config: ClientConfig,
    pub(crate) links: Links,
    pub(crate) in_flight: Semaphore,
    /// Told when the topology is out of date.
    pub(crate) refresh: Arc<Notify>,
    /// Spreads over the nodes what any of them can answer.
    pub(crate) turn: AtomicUsize,
    routes: RwLock<Arc<Routes>>,
}

impl Client {
    /// Asks the seeds, one after another, who is in the cluster.
    ///
    /// # Errors
    /// There are no seeds, none answers, or the socket can't be had.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let calls = Arc::new(Calls::default());
        let endpoint = Endpoint::client(&config.credentials, calls.clone())
            .map_err(|error| ClientError::Start(StartError::Socket(error)))?;
        let links = Links::new(endpoint, calls);
        let topology = first_topology(&links, &config).await.map_err(ClientError::Start)?;
        let shared = Arc::new(Shared {
            links,
            in_flight: Semaphore::new(config.in_flight_limit),
            refresh: Arc::default(),
            turn: AtomicUsize::new(getrandom::u32().unwrap_or(0) as usize),
            routes: RwLock::new(Arc::new(Routes::new(topology))),
            config,
        });
        background::keep_fresh(&shared);
        Ok(Self { shared })
    }

    /// Reads a key. No value among the versions means that it is absent; more than one are siblings.
    ///
    /// # Errors
    /// The options don't go with the bucket, or no quorum could be had in time.
    pub async fn get(&self, key: &Key, options: &GetOptions) -> Result<GetAnswer, ClientError> {
        let request = |share| {
            ClientRequest::Get(GetRequest {
                key: key.clone(),
                n: options.n,
                r: options.r,
                pr: options.pr,
                timeout_ms: wire_ms(share),
            })
        };
        let answer =
            self.shared.run(Route::Key(key), Idempotency::Idempotent, options.timeout, request);
        match answer.await? {
            ClientResponse::Got(answer) => Ok(answer),
            _ => Err(ClientError::Mismatch),
        }
    }

    /// Writes a value. With the context of a get it replaces what that get saw, without one it
    /// becomes a sibling of what is there.
    ///
    /// # Errors
    /// The value, the context or the options are refused, or no quorum could be had in time:
    /// [`ClientError::maybe_applied`] tells whether the write may still survive.
    pub async fn put(
        &self,
        key: &Key,
        value: impl Into<Blob>,
        options: &PutOptions,
    ) -> Result<PutAnswer, ClientError> {
        self.write(key, Content::Value(value.into()), options).await
    }

    /// Deletes what the context has seen, by writing a tombstone. Without a context the tombstone
    /// becomes a sibling of the values, which stay.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub async fn delete(&self, key: &Key, options: &PutOptions) -> Result<PutAnswer, ClientError> {
        self.write(key, Content::Tombstone, options).await
    }

    /// Reads all of a bucket, partition by partition, in no particular order.
    ///
    /// # Errors
    /// The bucket's name is outside its limits or there is no layout yet.
    pub fn scan(
        &self,
        bucket: impl Into<Blob>,
        options: &ScanOptions,
    ) -> Result<Scan, ClientError> {
        scan::start(&self.shared, bucket.into(), options)
    }

    /// Reads all of every bucket, partition by partition, in no particular order. A bucket whose properties are set
    /// meanwhile may have been passed over, and is an error at the end: [`ClientError::Reset`]. Also gives the buckets
    /// whose properties were set.
    ///
    /// # Errors
    /// No node answers, or there is no layout yet.
    pub async fn scan_every_bucket(
        &self,
        options: &ScanOptions,
    ) -> Result<(Vec<BucketEntry>, Scan), ClientError> {
        let buckets = scan::properties(&self.shared).await?;
        let counts = buckets.iter().map(|bucket| bucket.props.n);
        let counts: BTreeSet<u8> = counts.chain([BucketProps::default().n]).collect();
        let wanted = counts.into_iter().map(ScanOf::EveryBucket).collect();
        let scan = scan::start_all(&self.shared, wanted, options)?;
        Ok((buckets.clone(), scan.demanding(&self.shared, buckets)))
    }

    /// Asks any node, or the one named, for what an admin asks. Only a commit is not sent again once
    /// it may have been done.
    ///
    /// # Errors
    /// The request or the role is refused, no member is `node`, or it does not answer in time.
    pub async fn admin(
        &self,
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
        match self.shared.run(route, idempotency, None, request).await? {
            ClientResponse::Admin(answer) => Ok(answer),
            _ => Err(ClientError::Mismatch),
        }
    }

    /// Asks those members that are among `nodes` the same at once, and tells of each what it answered
    /// or why it did not; `timeout` is for each.
    pub async fn ask_members(
        &self,
        nodes: &[NodeId],
        request: &AdminRequest,
        timeout: Duration,
    ) -> Vec<(Member, Result<AdminResponse, ClientError>)> {
        let mut tasks = Vec::new();
        let members = self.topology().members.into_iter();
        for member in members.filter(|member| nodes.contains(&member.node)) {
            let (shared, request) = (self.shared.clone(), request.clone());
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
    pub async fn stats(&self, timeout: Duration) -> Vec<(Member, Result<NodeStats, ClientError>)> {
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
    pub fn topology(&self) -> Topology {
        self.shared.routes().topology().clone()
    }

    /// Where the client was told to ask first, in that order.
    #[must_use]
    pub fn seeds(&self) -> &[SocketAddr] {
        &self.shared.config.seeds
    }

    /// Ends all connections; requests under way fail.
    pub async fn close(self) {
        self.shared.links.close().await;
    }

    async fn write(
        &self,
        key: &Key,
        content: Content<Blob>,
        options: &PutOptions,
    ) -> Result<PutAnswer, ClientError> {
        if let Content::Value(value) = &content
            && value.len() > VALUE_LIMIT_MAX_BYTES as usize
        {
            let (length, limit) = (value.len(), VALUE_LIMIT_MAX_BYTES);
            let message =
                format!("the value of {length} bytes is over the largest limit of {limit} bytes");
            let refusal = Failure::new(ErrorCode::ValueTooLarge, message);
            return Err(ClientError::refused(refusal));
        }
        let write_id = fresh_write_id()?;
        let request = |share| {
            ClientRequest::Put(PutRequest {
                key: key.clone(),
                content: content.clone(),
                context: options.context.clone(),
                write_id,
                ttl_ms: options.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                n: options.n,
                w: options.w,
                pw: options.pw,
                dw: options.dw,
                timeout_ms: wire_ms(share),
            })
        };
        let answer =
            self.shared.run(Route::Key(key), Idempotency::Idempotent, options.timeout, request);
        match answer.await? {
            ClientResponse::Put(answer) => Ok(answer),
            _ => Err(ClientError::Mismatch),
        }
    }
}

impl Shared {
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a topology over, unless the one at hand is newer.
    pub(crate) fn install(&self, newer: Routes) {
        {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            if !routes.gives_way_to(&newer) {
                return;
            }
            *routes = Arc::new(newer);
        }
        self.links.retain(|target| self.knows(target));
    }

    /// Whether a node is a member at that address.
    pub(crate) fn knows(&self, target: Target) -> bool {
        self.routes().targets().any(|member| member == target)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The task that waits for this then finds nobody to work for.
        self.refresh.notify_one();
    }
}

/// Random, so that no two puts of any clients share it.
fn fresh_write_id() -> Result<WriteId, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| ClientError::Start(StartError::Randomness(error.to_string())))?;
    Ok(WriteId(u128::from_le_bytes(bytes)))
}
