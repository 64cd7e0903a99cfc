//! All keys of a bucket, or of every bucket: every partition page by page, a few partitions at once.
//!
//! Invariant: a partition's pages come in order and without a gap, or the scan ends with an error.

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
use crate::routes::Aim;
use crate::trial::Repeat;
use crate::{ClientError, ScanOptions};

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
    match shared.run(Aim::Any, Repeat::Freely, None, request).await? {
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
    for _ in 0..at_once {
        let reader =
            Reader { shared: shared.clone(), options: options.clone(), pages: sender.clone() };
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
            match self.page(of, partition, after).await {
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
        let aim = Aim::Partition(partition);
        match self.shared.run(aim, Repeat::Freely, self.options.timeout, request).await? {
            ClientResponse::Scanned(answer) => Ok(answer),
            _ => Err(ClientError::Mismatch),
        }
    }
}
