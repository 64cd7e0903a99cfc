//! One write, before it is sent.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use jedlik_protocol::Blob;
use jedlik_vclock::Content;

use crate::{Bucket, ClientError, Context, PutOptions, Quorum, Stored};

/// A put or a delete that is sent when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "a put is sent when it is awaited"]
pub struct Put {
    pub(crate) bucket: Bucket,
    pub(crate) key: Blob,
    pub(crate) content: Content<Blob>,
    pub(crate) context: Option<Context>,
    pub(crate) options: PutOptions,
}

impl Put {
    /// Replaces what the get has seen that gave this context out. Without one the value becomes a sibling of what
    /// is there.
    pub fn context(mut self, context: impl Into<Option<Context>>) -> Self {
        self.context = context.into();
        self
    }

    /// Takes all options from elsewhere.
    pub fn options(mut self, options: &PutOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Lets the version expire after this time, instead of the bucket's `ttl_ms`.
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.ttl(ttl);
        self
    }

    /// Uses so many replicas, at most the bucket's N.
    pub fn n(mut self, n: impl Into<Option<u8>>) -> Self {
        self.options = self.options.n(n);
        self
    }

    /// Waits for so many acknowledgements.
    pub fn w(mut self, w: impl Into<Quorum>) -> Self {
        self.options = self.options.w(w);
        self
    }

    /// Waits until so many of the acknowledgements are from primaries.
    pub fn pw(mut self, pw: impl Into<Quorum>) -> Self {
        self.options = self.options.pw(pw);
        self
    }

    /// Waits until so many replicas have the write on disk.
    pub fn dw(mut self, dw: impl Into<Quorum>) -> Self {
        self.options = self.options.dw(dw);
        self
    }

    /// Gives up after this time, all attempts together.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// Sends the put; the same as awaiting it.
    ///
    /// # Errors
    /// The key, the value, the context or the options are refused, or no quorum could be had in time:
    /// [`ClientError::maybe_applied`] tells whether the write may still take effect.
    pub async fn send(self) -> Result<Stored, ClientError> {
        let Self { bucket, key, content, context, options } = self;
        let key = bucket.key(key)?;
        bucket.shared.put(&key, content, context, &options).await
    }
}

impl IntoFuture for Put {
    type Output = Result<Stored, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
