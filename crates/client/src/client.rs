//! The client itself: a handle to one cluster, and the state that its requests share.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use jedlik_hashing::NodeId;
use jedlik_net::Endpoint;
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetRequest, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use jedlik_protocol::{Key, Value};
use jedlik_vclock::{Content, WriteId};
use tokio::sync::{Notify, Semaphore};

use crate::builder::Bounds;
use crate::calls::Calls;
use crate::links::Links;
use crate::options::wire_ms;
use crate::request_loop::Idempotency;
use crate::routes::{Route, Routes, Target};
use crate::seeds::Seeds;
use crate::{
    Bucket, Buckets, ClientBuilder, ClientError, Context, Found, GetOptions, Identity, PutOptions,
    ScanRequest, SeedError, StartError, Stored, background,
};

/// Client of one cluster; clones share its connections. It must be used within a tokio runtime.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// Member of the cluster, as some node has reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Identity in the member's certificate.
    pub node: NodeId,
    /// Name of the member in the layout, for people.
    pub name: String,
    /// Address on which the member listens, for peers and clients alike.
    pub address: SocketAddr,
    /// Whether the reporting node took the member to be up.
    pub alive: bool,
}

/// State that the handles and the tasks of a client share.
pub(crate) struct Shared {
    pub(crate) bounds: Bounds,
    pub(crate) seeds: Seeds,
    pub(crate) links: Links,
    /// One permit for each request that may be under way.
    pub(crate) permits: Semaphore,
    /// Notified when the topology is out of date.
    pub(crate) refresh: Arc<Notify>,
    /// Counter that spreads requests over the nodes where any of them can answer.
    pub(crate) turn: AtomicUsize,
    routes: RwLock<Arc<Routes>>,
}

impl Client {
    /// Returns a builder, which needs seeds and an identity.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) async fn start(
        seeds: Vec<String>,
        identity: &Identity,
        bounds: Bounds,
    ) -> Result<Self, ClientError> {
        let calls = Arc::new(Calls::default());
        let endpoint = Endpoint::client(&identity.0, calls.clone())
            .map_err(|error| StartError::Socket { reason: error.to_string() })?;
        let (links, seeds) = (Links::new(endpoint, calls), Seeds::new(seeds));
        let topology = seeds.topology(&links, &bounds).await?;
        let shared = Arc::new(Shared {
            seeds,
            links,
            permits: Semaphore::new(bounds.in_flight_limit),
            refresh: Arc::default(),
            turn: AtomicUsize::new(getrandom::u32().unwrap_or(0) as usize),
            routes: RwLock::new(Arc::new(Routes::new(topology))),
            bounds,
        });
        background::keep_fresh(&shared);
        Ok(Self { shared })
    }

    /// Returns a handle to a bucket, whether the bucket exists or not. Nothing is sent.
    #[must_use]
    pub fn bucket(&self, name: impl AsRef<[u8]>) -> Bucket {
        Bucket { shared: self.shared.clone(), name: name.as_ref().into() }
    }

    /// Lists the buckets that have at least one key, by reading all keys without their values.
    ///
    /// # Errors
    /// As for [`Self::scan`].
    pub async fn buckets(&self) -> Result<Buckets, ClientError> {
        self.scan().values(false).await.map(Buckets::new)
    }

    /// Reads all keys of every bucket with their values, partition by partition, in no particular order. If a bucket's
    /// properties change meanwhile, its keys may have been missed, and the scan ends with [`ClientError::Reset`].
    pub fn scan(&self) -> ScanRequest {
        ScanRequest::of_every_bucket(self)
    }

    /// Returns the cluster's members as this client learnt them last. Nothing is sent.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let routes = self.shared.routes();
        let members = routes.topology().members.iter().map(|member| Member {
            node: member.node,
            name: member.name.clone(),
            address: member.address,
            alive: member.alive,
        });
        members.collect()
    }

    /// Returns the seeds that could not be used at their last look-up; the client goes on without them.
    #[must_use]
    pub fn unusable_seeds(&self) -> Vec<SeedError> {
        self.shared.seeds.known().errors
    }

    /// Ends all connections; requests under way fail.
    pub async fn close(self) {
        self.shared.links.close().await;
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("members", &self.members().len()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) async fn get(
        self: &Arc<Self>,
        key: &Key,
        options: &GetOptions,
    ) -> Result<Found, ClientError> {
        let request = |share| {
            ClientRequest::Get(GetRequest {
                key: key.clone(),
                n: options.n,
                r: options.r.wire(),
                pr: options.pr.wire(),
                timeout_ms: wire_ms(share),
            })
        };
        let answer =
            self.run(Route::Key(key), Idempotency::Idempotent, options.timeout, request).await?;
        match answer {
            ClientResponse::Got(answer) => Ok(answer.into()),
            _ => Err(ClientError::Mismatch),
        }
    }

    pub(crate) async fn put(
        self: &Arc<Self>,
        key: &Key,
        content: Content<Value>,
        context: Option<Context>,
        options: &PutOptions,
    ) -> Result<Stored, ClientError> {
        check_length(&content)?;
        let (write_id, context) = (fresh_write_id()?, context.map(Context::into_blob));
        let request = |share| {
            ClientRequest::Put(PutRequest {
                key: key.clone(),
                content: content.clone(),
                context: context.clone(),
                write_id,
                ttl_ms: options.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                n: options.n,
                w: options.w.wire(),
                pw: options.pw.wire(),
                dw: options.dw.wire(),
                timeout_ms: wire_ms(share),
            })
        };
        let answer =
            self.run(Route::Key(key), Idempotency::Idempotent, options.timeout, request).await?;
        match answer {
            ClientResponse::Put(answer) => Ok(answer.into()),
            _ => Err(ClientError::Mismatch),
        }
    }

    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the topology with `newer`, unless the one at hand is newer, and drops connections to nodes that left.
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

    /// Whether the target is a member, with the same identity and address.
    pub(crate) fn knows(&self, target: Target) -> bool {
        self.routes().targets().any(|member| member == target)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The task that waits for this then finds no client left and ends.
        self.refresh.notify_one();
    }
}

/// Refuses a value over the largest limit that any bucket may have, before anything is sent.
fn check_length(content: &Content<Value>) -> Result<(), ClientError> {
    match content {
        Content::Value(value) if value.size() > VALUE_LIMIT_MAX_BYTES as usize => {
            let (length, limit) = (value.size(), VALUE_LIMIT_MAX_BYTES);
            let message =
                format!("the value of {length} bytes is over the largest limit of {limit} bytes");
            Err(ClientError::refused(Failure::new(ErrorCode::ValueTooLarge, message)))
        }
        _ => Ok(()),
    }
}

/// Returns a random write id, which no two puts of any clients share.
fn fresh_write_id() -> Result<WriteId, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StartError::Randomness { reason: error.to_string() })?;
    Ok(WriteId(u128::from_le_bytes(bytes)))
}
