//! Listings of a bucket's keys, or of all buckets', page by page.
//!
//! Invariant: a listing goes on where its mark says, and sees every key that is there from its beginning to its end, or
//! ends with a failure.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use jedlik_hashing::Partition;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, ScanAnswer, ScanItem, ScanMark, ScanOf, ScanRequest,
};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::SCAN_PAGE_RECORDS;
use jedlik_protocol::{Blob, Quorum};

use crate::requests::TIMEOUT_MS;
use crate::{Answer, Caller, Held, Node};

/// Number of times that a page is asked for, when its failure says that it may come later.
const ATTEMPTS: u32 = 5;

/// Settings of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingOptions {
    /// Whether values are wanted, and not keys alone.
    pub values: bool,
    /// Number of replicas of each partition that must answer.
    pub r: Quorum,
    /// Time that one page may take.
    pub timeout_ms: u32,
    /// Most keys of a page.
    pub page_keys: u32,
}

impl Default for ListingOptions {
    fn default() -> Self {
        Self {
            values: false,
            r: Quorum::Default,
            timeout_ms: TIMEOUT_MS,
            page_keys: SCAN_PAGE_RECORDS,
        }
    }
}

/// Place in a listing, from which another one can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Partition that comes next.
    pub partition: u32,
    /// Place within it; `None` at its beginning.
    pub after: Option<ScanMark>,
}

/// Page of a listing.
#[derive(Debug)]
pub struct Page {
    /// Keys in the order of partition, position and key.
    pub items: Vec<ScanItem>,
    /// Place past them; `None` at the end.
    pub next: Option<Mark>,
    /// Room that the page takes; to be dropped once it has left.
    pub held: Held,
}

/// Listing that is under way.
pub struct Listing {
    node: Arc<dyn Node>,
    caller: Caller,
    options: ListingOptions,
    partitions: u32,
    /// Buckets that are still to be read, one after the other from the mark on.
    wanted: VecDeque<ScanOf>,
    mark: Option<Mark>,
}

impl Listing {
    /// Begins a listing of one bucket, at its beginning or at `mark`.
    ///
    /// # Errors
    /// The node can't say how many partitions there are.
    pub async fn of_bucket(
        node: Arc<dyn Node>,
        caller: Caller,
        bucket: Blob,
        mark: Option<Mark>,
        options: ListingOptions,
    ) -> Result<Self, Failure> {
        let partitions = partitions(&*node, &caller).await?;
        let mark = mark.unwrap_or(Mark { partition: 0, after: None });
        let mark = Some(mark).filter(|mark| mark.partition < partitions);
        let wanted = VecDeque::from([ScanOf::Bucket(bucket)]);
        Ok(Self { node, caller, options, partitions, wanted, mark })
    }

    /// Begins a listing of all buckets, which reads every record.
    ///
    /// # Errors
    /// The node can't say how many partitions there are, or which buckets.
    pub async fn of_every_bucket(
        node: Arc<dyn Node>,
        caller: Caller,
        options: ListingOptions,
    ) -> Result<Self, Failure> {
        let partitions = partitions(&*node, &caller).await?;
        let request = ClientRequest::Admin(AdminRequest::BucketList);
        let buckets = match node.ask(&caller, request).await.response {
            ClientResponse::Admin(AdminResponse::Buckets(buckets)) => buckets,
            other => return Err(unexpected(other)),
        };
        // Keys with different N have different owners.
        let counts = buckets.iter().map(|bucket| bucket.props.n);
        let counts: BTreeSet<u8> = counts.chain([BucketProps::default().n]).collect();
        let wanted = counts.into_iter().map(ScanOf::EveryBucket).collect();
        let mark = Some(Mark { partition: 0, after: None });
        Ok(Self { node, caller, options, partitions, wanted, mark })
    }

    /// Returns the next page, which may be empty; `None` after the last one, and after a failure.
    pub async fn next(&mut self) -> Option<Result<Page, Failure>> {
        let of = self.wanted.front()?.clone();
        let Some(Mark { partition, after }) = self.mark.take() else {
            self.wanted.clear();
            return None;
        };
        match self.page(of, partition, after).await {
            Ok((ScanAnswer { items, next }, held)) => {
                self.mark = self.past(partition, next);
                Some(Ok(Page { items, next: self.mark.clone(), held }))
            }
            Err(failure) => {
                self.wanted.clear();
                Some(Err(failure))
            }
        }
    }

    /// Returns the place past a page of a partition; `None` at the end.
    fn past(&mut self, partition: u32, after: Option<ScanMark>) -> Option<Mark> {
        if after.is_some() {
            return Some(Mark { partition, after });
        }
        if partition + 1 < self.partitions {
            return Some(Mark { partition: partition + 1, after: None });
        }
        self.wanted.pop_front();
        (!self.wanted.is_empty()).then_some(Mark { partition: 0, after: None })
    }

    async fn page(
        &self,
        of: ScanOf,
        partition: u32,
        after: Option<ScanMark>,
    ) -> Result<(ScanAnswer, Held), Failure> {
        let ListingOptions { values, r, timeout_ms, page_keys } = self.options;
        let limit = page_keys.clamp(1, SCAN_PAGE_RECORDS);
        let partition = Partition(partition);
        let request = ScanRequest { of, partition, after, limit, values, r, timeout_ms };
        let mut attempt = 1;
        loop {
            let request = ClientRequest::Scan(request.clone());
            let Answer { response, held } = self.node.ask(&self.caller, request).await;
            match response {
                ClientResponse::Scanned(answer) => return Ok((answer, held)),
                ClientResponse::Failed(failure)
                    if failure.code.retryable() && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return Err(unexpected(other)),
            }
        }
    }
}

async fn partitions(node: &dyn Node, caller: &Caller) -> Result<u32, Failure> {
    match node.ask(caller, ClientRequest::Topology).await.response {
        ClientResponse::Topology(topology) => match topology.layout {
            Some(layout) => Ok(layout.ring.partitions().get()),
            None => {
                let message = "the cluster has no layout yet; nothing was done, try again later";
                Err(Failure::new(ErrorCode::NotReady, message))
            }
        },
        other => Err(unexpected(other)),
    }
}

/// Returns the failure of an answer that is not the one that was asked for.
#[must_use]
pub fn unexpected(response: ClientResponse) -> Failure {
    match response {
        ClientResponse::Failed(failure) => failure,
        _ => Failure::new(ErrorCode::Internal, "the node's answer is of another kind"),
    }
}
