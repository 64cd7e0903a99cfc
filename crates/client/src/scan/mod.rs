//! All keys of a bucket, or of every bucket, as streams.
//!
//! Invariant: a stream that ends without an error has returned every key that was there throughout.

mod pace;
mod pages;

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use futures_core::Stream;
use jedlik_protocol::Blob;
use jedlik_protocol::bucket::BucketEntry;
use jedlik_protocol::client::ScanItem;

use crate::client::Shared;
use crate::{Bucket, Client, ClientError, Entry, Quorum, ScanOptions};
use pages::Pages;

/// Scan that begins when it is awaited.
#[derive(Clone)]
#[must_use = "a scan begins when it is awaited"]
pub struct ScanRequest {
    shared: Arc<Shared>,
    /// Name of the bucket to scan; every bucket if `None`.
    bucket: Option<Blob>,
    options: ScanOptions,
}

/// Stream of keys with their siblings, as they come in from all partitions. After an error nothing follows; dropping
/// the stream ends the scan. A reader that pauses holds no resources at the nodes.
///
/// Each key is returned as it was at some moment of the scan.
pub struct Scan {
    pages: Pages,
    page: vec::IntoIter<ScanItem>,
}

/// Stream of keys without siblings, as they come in from all partitions. After an error nothing follows.
pub struct Keys(pub(crate) Scan);

/// Stream of buckets' names, each once, as they come in from all partitions. After an error nothing follows.
pub struct Buckets {
    scan: Scan,
    seen: BTreeSet<Bytes>,
}

/// Progress of a scan, in partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Number of partitions that were read to their end.
    pub done: u32,
    /// Number of partitions to read. A scan of every bucket counts each partition once for each N that buckets have.
    pub total: u32,
}

impl ScanRequest {
    pub(crate) fn of_bucket(bucket: &Bucket) -> Self {
        let (shared, name) = (bucket.shared.clone(), Some(bucket.name.clone()));
        Self { shared, bucket: name, options: ScanOptions::new() }
    }

    pub(crate) fn of_every_bucket(client: &Client) -> Self {
        Self { shared: client.shared.clone(), bucket: None, options: ScanOptions::new() }
    }

    /// Replaces all options with these.
    pub fn options(mut self, options: &ScanOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Sets whether values are read, or keys alone.
    pub fn values(mut self, values: bool) -> Self {
        self.options = self.options.values(values);
        self
    }

    /// Sets R, the number of replicas of each partition that must answer.
    pub fn r(mut self, r: impl Into<Quorum>) -> Self {
        self.options = self.options.r(r);
        self
    }

    /// Sets the time for one page of keys, all attempts together.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// Begins the scan; awaiting it does the same.
    ///
    /// # Errors
    /// The bucket's name is outside its limits, no node answers, or there is no layout yet.
    pub async fn send(self) -> Result<Scan, ClientError> {
        match self.bucket {
            Some(bucket) => pages::of_bucket(&self.shared, bucket, &self.options).map(Scan::new),
            None => Ok(self.every_bucket().await?.1),
        }
    }

    /// Begins a scan of every bucket, and returns the buckets whose properties were set.
    pub(crate) async fn every_bucket(self) -> Result<(Vec<BucketEntry>, Scan), ClientError> {
        let (buckets, pages) = pages::of_every_bucket(&self.shared, &self.options).await?;
        Ok((buckets, Scan::new(pages)))
    }
}

impl IntoFuture for ScanRequest {
    type Output = Result<Scan, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Scan {
    fn new(pages: Pages) -> Self {
        Self { pages, page: Vec::new().into_iter() }
    }

    /// Returns the next key with its siblings; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Entry, ClientError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the keys of the next page, at least one; `None` after the last. Useful for callers that take many keys
    /// at a time.
    pub async fn next_page(&mut self) -> Option<Result<Vec<Entry>, ClientError>> {
        if self.page.len() == 0 {
            match poll_fn(|context| self.pages.poll_next(context)).await? {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        let page = std::mem::replace(&mut self.page, Vec::new().into_iter());
        Some(Ok(page.map(Entry::from).collect()))
    }

    /// Returns the scan's progress so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (done, total) = self.pages.progress();
        Progress { done, total }
    }
}

impl Stream for Scan {
    type Item = Result<Entry, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.page.next() {
                return Poll::Ready(Some(Ok(item.into())));
            }
            match ready!(self.pages.poll_next(context)) {
                Some(Ok(page)) => self.page = page.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Keys {
    /// Returns the next key; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the scan's progress so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.progress()
    }
}

impl Stream for Keys {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entry = ready!(Pin::new(&mut self.0).poll_next(context));
        Poll::Ready(entry.map(|entry| entry.map(|entry| entry.key().clone())))
    }
}

impl Buckets {
    pub(crate) fn new(scan: Scan) -> Self {
        Self { scan, seen: BTreeSet::new() }
    }

    /// Returns the next bucket's name; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the scan's progress so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.scan.progress()
    }
}

impl Stream for Buckets {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.scan).poll_next(context)) {
                Some(Ok(entry)) if self.seen.contains(entry.bucket()) => {}
                Some(Ok(entry)) => {
                    // The name is copied, since it is a slice of the whole page.
                    let name = Bytes::copy_from_slice(entry.bucket());
                    self.seen.insert(name.clone());
                    return Poll::Ready(Some(Ok(name)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for ScanRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ScanRequest");
        shown.field("bucket", &self.bucket).field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.0).finish()
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("scan", &self.scan).finish_non_exhaustive()
    }
}
