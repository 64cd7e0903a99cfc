//! All keys of a bucket, or of every bucket: every partition page by page, a few partitions at once.
//!
//! Invariant: a partition's pages come in order and without a gap, or the scan ends with an error. One page that can't
//! be had in its time ends it only if no other has come meanwhile either, or it was tried often.

mod course;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jedlik_hashing::Partition;
use jedlik_protocol::Blob;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, check_name};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, ScanAnswer, ScanItem, ScanMark, ScanOf, ScanRequest,
};
use jedlik_protocol::limits::SCAN_PAGE_RECORDS;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Shared;
use crate::options::wire_ms;
use crate::request_loop::{Idempotency, now};
use crate::routes::Route;
use crate::{ClientError, ErrorKind, ScanOptions};
use course::Course;

/// How often a page is asked for anew, each time for as long as one may take, while other pages come.
const PAGE_ROUNDS: u32 = 6;

/// The pages as they come in. Dropping it ends the scan.
pub struct Scan {
    wanted: u32,
    done: Arc<AtomicU32>,
    pages: mpsc::Receiver<Result<Vec<ScanItem>, ClientError>>,
    /// What buckets' properties have to be still when all is read.
    demands: Option<(Arc<Shared>, Vec<BucketEntry>)>,
    _readers: JoinSet<()>,
}

impl Scan {
    /// The same, which ends with an error unless properties are then what they were.
    pub(crate) fn demanding(self, shared: &Arc<Shared>, buckets: Vec<BucketEntry>) -> Self {
        Self { demands: Some((shared.clone(), buckets)), ..self }
    }

    /// The next page, from any partition; `None` after the last. After an error nothing follows.
    pub async fn next_page(&mut self) -> Option<Result<Vec<ScanItem>, ClientError>> {
        let page = self.pages.recv().await;
        match page {
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                self.demands = None;
                self.pages.close();
                while self.pages.try_recv().is_ok() {}
            }
            None => {
                let (shared, before) = self.demands.take()?;
                let after = properties(&shared).await;
                return after.and_then(|after| unchanged(&before, &after)).err().map(Err);
            }
        }
        page
    }

    /// How many partitions have been read to their end, and how many there are to read: of every bucket, each
    /// partition once for each N that buckets have.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        (self.done.load(Ordering::Relaxed), self.wanted)
    }
}

/// The buckets whose properties were set, as some node knows them.
pub(crate) async fn properties(shared: &Arc<Shared>) -> Result<Vec<BucketEntry>, ClientError> {
    let request = |_| ClientRequest::Admin(AdminRequest::BucketList);
    match shared.run(Route::Any, Idempotency::Idempotent, None, request).await? {
        ClientResponse::Admin(AdminResponse::Buckets(buckets)) => Ok(buckets),
        _ => Err(ClientError::Mismatch),
    }
}

/// Whether no bucket's properties were set between the two lists.
fn unchanged(before: &[BucketEntry], after: &[BucketEntry]) -> Result<(), ClientError> {
    let version = |list: &[BucketEntry], name: &Blob| {
        list.iter().find(|bucket| bucket.name == *name).map(|bucket| bucket.version)
    };
    // A node that has not heard of a setting yet has an older list, or one that lacks a bucket.
    let names = before.iter().chain(after).map(|bucket| &bucket.name);
    match names.into_iter().find(|name| version(before, name) != version(after, name)) {
        Some(name) => Err(ClientError::Reset { name: name.to_vec() }),
        None => Ok(()),
    }
}

/// One partition's reader.
struct Reader {
    course: Arc<Course>,
    shared: Arc<Shared>,
    options: ScanOptions,
    pages: mpsc::Sender<Result<Vec<ScanItem>, ClientError>>,
}

/// Starts to read one bucket.
pub(crate) fn start(
    shared: &Arc<Shared>,
    bucket: Blob,
    options: &ScanOptions,
) -> Result<Scan, ClientError> {
    check_name(&bucket)?;
    start_all(shared, vec![ScanOf::Bucket(bucket)], options)
}

/// Starts the readers, which read all that is `wanted` of each partition.
pub(crate) fn start_all(
    shared: &Arc<Shared>,
    wanted: Vec<ScanOf>,
    options: &ScanOptions,
) -> Result<Scan, ClientError> {
    let partitions = shared.routes().partitions().ok_or(ClientError::NoLayout)?.get();
    let at_once = options.partitions_at_once.max(1);
    let (sender, pages) = mpsc::channel(at_once);
    let (next, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let parts = |of: ScanOf| (0..partitions).map(move |part| (of.clone(), Partition(part)));
    let parts: Arc<[(ScanOf, Partition)]> = wanted.into_iter().flat_map(parts).collect();
    let mut readers = JoinSet::new();
    let course = Arc::new(Course::new(at_once));
    for _ in 0..at_once {
        let (course, shared) = (course.clone(), shared.clone());
        let reader = Reader { course, shared, options: options.clone(), pages: sender.clone() };
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
    Ok(Scan { wanted, done, pages, demands: None, _readers: readers })
}

impl Reader {
    /// Reads one partition to its end; `false` if that failed or nobody wants it any more.
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
                    // Nobody listening is as good as having told.
                    let _ = self.pages.send(Err(error)).await;
                    return false;
                }
            }
        }
    }

    /// A node that many ask, or that is busy otherwise, may be late with one page although it gives others.
    async fn page_while_others_come(
        &self,
        of: &ScanOf,
        partition: Partition,
        after: Option<ScanMark>,
    ) -> Result<ScanAnswer, ClientError> {
        let mut rounds = 1;
        loop {
            let place = self.course.place().await;
            let begun = now();
            match self.page(of, partition, after.clone()).await {
                Ok(answer) => {
                    self.course.came(now());
                    return Ok(answer);
                }
                Err(error) => {
                    let may_come = error.kind() == ErrorKind::Unavailable && rounds < PAGE_ROUNDS;
                    if !may_come || !self.course.goes_on(begun) {
                        return Err(error);
                    }
                    rounds += 1;
                    self.course.failed(place);
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
                r: self.options.r,
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
