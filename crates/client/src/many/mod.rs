//! Requests for many keys of a bucket, with a limit on how many are in flight.
//!
//! Invariant: keys are taken from the caller's iterator only while there is room for their requests.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use jedlik_protocol::Blob;
use jedlik_vclock::Content;
use tokio::task::JoinSet;

use crate::{Bucket, ClientError, Found, Get, GetOptions, Put, PutOptions, Stored, Value};

/// Default number of requests in flight.
const CONCURRENCY: usize = 64;

/// A key, and the result of its request.
type Outcome<T> = (Bytes, Result<T, ClientError>);

/// Stream of the keys and answers of many gets, in the order in which the answers arrive.
#[must_use = "a stream does nothing until it is polled"]
pub struct GetMany {
    bucket: Bucket,
    keys: Box<dyn Iterator<Item = Blob> + Send>,
    options: GetOptions,
    requests: Requests<Found>,
}

/// Stream of the keys and answers of many puts, in the order in which the answers arrive.
#[must_use = "a stream does nothing until it is polled"]
pub struct PutMany {
    bucket: Bucket,
    entries: Box<dyn Iterator<Item = (Blob, Value)> + Send>,
    options: PutOptions,
    requests: Requests<Stored>,
}

/// Requests in flight. Dropping them cancels them.
struct Requests<T> {
    limit: usize,
    running: JoinSet<Outcome<T>>,
}

impl GetMany {
    pub(crate) fn new<I>(bucket: Bucket, keys: I) -> Self
    where
        I: IntoIterator<Item: AsRef<[u8]>, IntoIter: Send + 'static>,
    {
        let keys = Box::new(keys.into_iter().map(|key| Blob::from(key.as_ref())).fuse());
        Self { bucket, keys, options: GetOptions::new(), requests: Requests::new() }
    }

    /// Sets the number of gets in flight, at least 1; 64 by default.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.requests.limit = requests.max(1);
        self
    }

    /// Sets the options of each get.
    pub fn options(mut self, options: &GetOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Returns the next key and answer, in order of arrival; `None` after the last.
    pub async fn next(&mut self) -> Option<(Bytes, Result<Found, ClientError>)> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl PutMany {
    pub(crate) fn new<I, K, V>(bucket: Bucket, entries: I) -> Self
    where
        I: IntoIterator<Item = (K, V), IntoIter: Send + 'static>,
        K: AsRef<[u8]>,
        V: Into<Value>,
    {
        let entries = entries.into_iter().map(|(key, value)| (key.as_ref().into(), value.into()));
        let (options, requests) = (PutOptions::new(), Requests::new());
        Self { bucket, entries: Box::new(entries.fuse()), options, requests }
    }

    /// Sets the number of puts in flight, at least 1; 64 by default.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.requests.limit = requests.max(1);
        self
    }

    /// Sets the options of each put.
    pub fn options(mut self, options: &PutOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Returns the next key and answer, in order of arrival; `None` after the last.
    pub async fn next(&mut self) -> Option<(Bytes, Result<Stored, ClientError>)> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for GetMany {
    type Item = (Bytes, Result<Found, ClientError>);

    fn poll_next(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let Self { bucket, keys, options, requests } = self.get_mut();
        requests.poll(context, || {
            let (key, bucket, options) = (keys.next()?, bucket.clone(), options.clone());
            Some(async move {
                let get = Get { bucket, key: key.clone(), options };
                (key.into_bytes(), get.send().await)
            })
        })
    }
}

impl Stream for PutMany {
    type Item = (Bytes, Result<Stored, ClientError>);

    fn poll_next(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let Self { bucket, entries, options, requests } = self.get_mut();
        requests.poll(context, || {
            let ((key, value), bucket, options) =
                (entries.next()?, bucket.clone(), options.clone());
            Some(async move {
                let (content, context) = (Content::Value(value.into_wire()), None);
                let put = Put { bucket, key: key.clone(), content, context, options };
                (key.into_bytes(), put.send().await)
            })
        })
    }
}

impl<T: Send + 'static> Requests<T> {
    fn new() -> Self {
        Self { limit: CONCURRENCY, running: JoinSet::new() }
    }

    /// Sends as many requests as there is room for, and returns the first outcome that is ready.
    fn poll<F>(
        &mut self,
        context: &mut TaskContext<'_>,
        mut next: impl FnMut() -> Option<F>,
    ) -> Poll<Option<Outcome<T>>>
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        while self.running.len() < self.limit
            && let Some(request) = next()
        {
            self.running.spawn(request);
        }
        match ready!(self.running.poll_join_next(context)).transpose() {
            Ok(outcome) => Poll::Ready(outcome),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Poll::Ready(None),
            },
        }
    }
}

impl fmt::Debug for GetMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("GetMany");
        shown.field("bucket", &self.bucket).field("in_flight", &self.requests.running.len());
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for PutMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PutMany");
        shown.field("bucket", &self.bucket).field("in_flight", &self.requests.running.len());
        shown.finish_non_exhaustive()
    }
}
