//! One write, before it is sent.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use jedlik_protocol::{Attributes, Blob, Value};
use jedlik_vclock::Content;

use crate::{Bucket, ClientError, Context, PutOptions, Quorum, Stored};

/// A put or a delete that is sent when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "a put is sent when it is awaited"]
pub struct Put {
    pub(crate) bucket: Bucket,
    pub(crate) key: Blob,
    pub(crate) content: Content<Value>,
    pub(crate) context: Option<Context>,
    pub(crate) options: PutOptions,
}

impl Put {
    /// Sets the context of a get, so that the put replaces everything that the get has seen. Without a context the
    /// value becomes a sibling of the stored ones.
    pub fn context(mut self, context: impl Into<Option<Context>>) -> Self {
        self.context = context.into();
        self
    }

    /// Lets the value carry `attributes` beside its bytes. A delete carries none.
    pub fn attributes(mut self, attributes: &Attributes) -> Self {
        if let Content::Value(value) = &mut self.content {
            *value = Value::with_attributes(value.bytes().clone(), attributes);
        }
        self
    }

    /// Replaces all options with these.
    pub fn options(mut self, options: &PutOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Sets the time after which the version expires, instead of the bucket's `ttl_ms`.
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.ttl(ttl);
        self
    }

    /// Sets N, the number of replicas that the put uses; at most the bucket's N.
    pub fn n(mut self, n: impl Into<Option<u8>>) -> Self {
        self.options = self.options.n(n);
        self
    }

    /// Sets W, the number of replicas that must acknowledge.
    pub fn w(mut self, w: impl Into<Quorum>) -> Self {
        self.options = self.options.w(w);
        self
    }

    /// Sets PW, the number of acknowledgements that must come from primaries.
    pub fn pw(mut self, pw: impl Into<Quorum>) -> Self {
        self.options = self.options.pw(pw);
        self
    }

    /// Sets DW, the number of replicas that must have the write on disk.
    pub fn dw(mut self, dw: impl Into<Quorum>) -> Self {
        self.options = self.options.dw(dw);
        self
    }

    /// Sets the time for all attempts together.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// Sends the put; awaiting it does the same.
    ///
    /// # Errors
    /// The key, the value, the context or the options are refused, or no quorum was reached in time;
    /// [`ClientError::maybe_applied`] says whether the write may still take effect.
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
