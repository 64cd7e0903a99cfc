//! The pages of a scan: every partition page by page, a few partitions at once.
//!
//! Invariant: a partition's pages come in order and without a gap, or the scan ends with an error. A page that can't be
//! had in its time ends the scan only if no other page has come meanwhile either, or if it was tried often.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use jedlik_hashing::Partition;
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, BucketProps, check_name};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, ScanAnswer, ScanItem, ScanMark, ScanOf, ScanRequest,
};
use jedlik_protocol::limits::SCAN_PAGE_RECORDS;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::pace::ScanPace;
use crate::client::Shared;
use crate::options::wire_ms;
use crate::request_loop::{Idempotency, now};
use crate::routes::Route;
use crate::{ClientError, ErrorKind, InvalidKey, ScanOptions};

/// Number of times that one page is requested while other pages come, each time with the full time for a page.
const PAGE_ROUNDS: u32 = 6;

/// Pages as they come in. Dropping them ends the scan.
pub(super) struct Pages {
    wanted: u32,
    done: Arc<AtomicU32>,
    pages: mpsc::Receiver<Result<Vec<ScanItem>, ClientError>>,
    /// Buckets whose properties must be unchanged at the end; `None` for a scan of one bucket.
    demands: Option<(Arc<Shared>, Vec<BucketEntry>)>,
    /// Check at the end that the buckets' properties are unchanged, while it runs.
    check: Option<Check>,
    _readers: JoinSet<()>,
}

type Check = Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send>>;

impl Pages {
    /// Polls for the next page of any partition; `None` after the last. After an error nothing follows.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Vec<ScanItem>, ClientError>>> {
        loop {
            if let Some(check) = &mut self.check {
                let checked = ready!(check.as_mut().poll(context));
                self.check = None;
                return Poll::Ready(checked.err().map(Err));
            }
            match ready!(self.pages.poll_recv(context)) {
                Some(Ok(page)) => return Poll::Ready(Some(Ok(page))),
                Some(Err(error)) => {
                    self.demands = None;
                    self.pages.close();
                    while self.pages.try_recv().is_ok() {}
                    return Poll::Ready(Some(Err(error)));
                }
                None => match self.demands.take() {
                    Some((shared, before)) => {
                        self.check = Some(Box::pin(check_unchanged(shared, before)));
                    }
                    None => return Poll::Ready(None),
                },
            }
        }
    }

    /// Returns the number of partitions that were read to their end, and the number to read.
    pub(super) fn progress(&self) -> (u32, u32) {
        (self.done.load(Ordering::Relaxed), self.wanted)
    }
}

async fn check_unchanged(shared: Arc<Shared>, before: Vec<BucketEntry>) -> Result<(), ClientError> {
    let after = properties(&shared).await?;
    unchanged(&before, &after)
}

/// Fetches the buckets whose properties were set, as some node knows them.
async fn properties(shared: &Arc<Shared>) -> Result<Vec<BucketEntry>, ClientError> {
    let request = |_| ClientRequest::Admin(AdminRequest::BucketList);
    match shared.run(Route::Any, Idempotency::Idempotent, None, request).await? {
        ClientResponse::Admin(AdminResponse::Buckets(buckets)) => Ok(buckets),
        _ => Err(ClientError::Mismatch),
    }
}

/// Fails if any bucket's properties were set between the two lists.
fn unchanged(before: &[BucketEntry], after: &[BucketEntry]) -> Result<(), ClientError> {
    let version = |list: &[BucketEntry], name: &Blob| {
        list.iter().find(|bucket| bucket.name == *name).map(|bucket| bucket.version)
    };
    // A node that has not learnt of a setting yet has an older version, or lacks the bucket.
    let names = before.iter().chain(after).map(|bucket| &bucket.name);
    match names.into_iter().find(|name| version(before, name) != version(after, name)) {
        Some(name) => Err(ClientError::Reset { name: name.to_vec() }),
        None => Ok(()),
    }
}

/// Task that reads one partition after another.
struct Reader {
    pace: Arc<ScanPace>,
    shared: Arc<Shared>,
    options: ScanOptions,
    pages: mpsc::Sender<Result<Vec<ScanItem>, ClientError>>,
}

/// Starts a scan of one bucket.
pub(super) fn of_bucket(
    shared: &Arc<Shared>,
    bucket: Blob,
    options: &ScanOptions,
) -> Result<Pages, ClientError> {
    check_name(&bucket).map_err(InvalidKey::from)?;
    start(shared, vec![ScanOf::Bucket(bucket)], options)
}

/// Starts a scan of every bucket, and returns the buckets whose properties were set. The scan ends with an error if any
/// bucket's properties change before its end.
pub(super) async fn of_every_bucket(
    shared: &Arc<Shared>,
    options: &ScanOptions,
) -> Result<(Vec<BucketEntry>, Pages), ClientError> {
    let buckets = properties(shared).await?;
    let counts = buckets.iter().map(|bucket| bucket.props.n);
    let counts: BTreeSet<u8> = counts.chain([BucketProps::default().n]).collect();
    let wanted = counts.into_iter().map(ScanOf::EveryBucket).collect();
    let pages = start(shared, wanted, options)?;
    let demands = Some((shared.clone(), buckets.clone()));
    Ok((buckets, Pages { demands, ..pages }))
}

/// Starts the readers, which read every partition once for each element of `wanted`.
fn start(
    shared: &Arc<Shared>,
    wanted: Vec<ScanOf>,
    options: &ScanOptions,
) -> Result<Pages, ClientError> {
    let partitions = shared.routes().partitions().ok_or(ClientError::NoLayout)?.get();
    let at_once = options.partitions_at_once.max(1);
    let (sender, pages) = mpsc::channel(at_once);
    let (next, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let parts = |of: ScanOf| (0..partitions).map(move |part| (of.clone(), Partition(part)));
    let parts: Arc<[(ScanOf, Partition)]> = wanted.into_iter().flat_map(parts).collect();
    let mut readers = JoinSet::new();
    let pace = Arc::new(ScanPace::new(at_once));
    for _ in 0..at_once {
        let (pace, shared) = (pace.clone(), shared.clone());
        let reader = Reader { pace, shared, options: options.clone(), pages: sender.clone() };
        let (next, done, parts) = (next.clone(), done.clone(), parts.clone());
        readers.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some((of, partition)) = parts.get(index) else { return };
                if !reader.read(of, *partition).await {
                    return;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let wanted = parts.len() as u32;
    Ok(Pages { wanted, done, pages, demands: None, check: None, _readers: readers })
}

impl Reader {
    /// Reads one partition to its end; `false` if that failed or the scan was dropped.
    async fn read(&self, of: &ScanOf, partition: Partition) -> bool {
        let mut after = None;
        loop {
            match self.page_while_others_come(of, partition, after).await {
                Ok(ScanAnswer { items, next }) => {
                    if !items.is_empty() && self.pages.send(Ok(items)).await.is_err() {
                        return false;
                    }
                    match next {
                        Some(mark) => after = Some(mark),
                        None => return true,
                    }
                }
                Err(error) => {
                    // A scan that was dropped needs no error.
                    let _ = self.pages.send(Err(error)).await;
                    return false;
                }
            }
        }
    }

    /// Reads one page, repeatedly while others come: a node that many clients ask may be late with one page although it
    /// gives others.
    async fn page_while_others_come(
        &self,
        of: &ScanOf,
        partition: Partition,
        after: Option<ScanMark>,
    ) -> Result<ScanAnswer, ClientError> {
        let mut rounds = 1;
        loop {
            let place = self.pace.place().await;
            let begun = now();
            match self.page(of, partition, after.clone()).await {
                Ok(answer) => {
                    self.pace.came(now());
                    return Ok(answer);
                }
                Err(error) => {
                    let may_come = error.kind() == ErrorKind::Unavailable && rounds < PAGE_ROUNDS;
                    if !may_come || !self.pace.goes_on(begun) {
                        return Err(error);
                    }
                    rounds += 1;
                    self.pace.failed(place);
                }
            }
        }
    }

    async fn page(
        &self,
        of: &ScanOf,
        partition: Partition,
        after: Option<ScanMark>,
    ) -> Result<ScanAnswer, ClientError> {
        let request = |share| {
            ClientRequest::Scan(ScanRequest {
                of: of.clone(),
                partition,
                after: after.clone(),
                limit: self.options.page_keys.clamp(1, SCAN_PAGE_RECORDS),
                values: self.options.values,
                r: self.options.r.wire(),
                timeout_ms: wire_ms(share),
            })
        };
        let route = Route::Partition(partition);
        match self.shared.run(route, Idempotency::Idempotent, self.options.timeout, request).await?
        {
            ClientResponse::Scanned(answer) => Ok(answer),
            _ => Err(ClientError::Mismatch),
        }
    }
}
