//! One read, before it is sent.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use jedlik_protocol::Blob;

use crate::{Bucket, ClientError, Found, GetOptions, Quorum};

/// A get that is sent when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "a get is sent when it is awaited"]
pub struct Get {
    pub(crate) bucket: Bucket,
    pub(crate) key: Blob,
    pub(crate) options: GetOptions,
}

impl Get {
    /// Replaces all options with these.
    pub fn options(mut self, options: &GetOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Sets N, the number of replicas that the get uses; at most the bucket's N.
    pub fn n(mut self, n: impl Into<Option<u8>>) -> Self {
        self.options = self.options.n(n);
        self
    }

    /// Sets R, the number of replicas that must answer.
    pub fn r(mut self, r: impl Into<Quorum>) -> Self {
        self.options = self.options.r(r);
        self
    }

    /// Sets PR, the number of answers that must come from primaries.
    pub fn pr(mut self, pr: impl Into<Quorum>) -> Self {
        self.options = self.options.pr(pr);
        self
    }

    /// Sets the time for all attempts together.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// Sends the get; awaiting it does the same.
    ///
    /// # Errors
    /// The key is empty or too long, the options don't fit the bucket, or no quorum was reached in time.
    pub async fn send(self) -> Result<Found, ClientError> {
        self.bucket.read(self.key, &self.options).await
    }
}

impl IntoFuture for Get {
    type Output = Result<Found, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
