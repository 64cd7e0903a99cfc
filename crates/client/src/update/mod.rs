//! Read, reconcile, write; repeated while other clients write at the same time.
//!
//! Invariant: what another client has written is replaced only after `reconcile` has seen it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use jedlik_protocol::Blob;
use jedlik_vclock::Content;

use crate::error::ErrorCode;
use crate::retry::backoff;
use crate::{Bucket, ClientError, Found, GetOptions, PutOptions, Quorum, Sibling, Stored, Value};

/// Default number of attempts at an update.
const ATTEMPTS: u32 = 16;

/// Change to a key, made from its siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Value that replaces the siblings.
    Put(Value),
    /// Deletion of the siblings by a tombstone.
    Delete,
    /// No change: nothing is written.
    Keep,
}

/// Update that runs when it is awaited: a get, `reconcile`, and a put with the get's context.
///
/// **A race** is a put after which the key has more than one sibling: another client has written since the get. Both
/// versions are kept, and the update starts over with a get that returns both; it also starts over when the bucket's
/// `sibling_limit` refuses the put. It pauses in between, for a time that doubles. After 16 attempts, or
/// [`Self::attempts`], it fails with [`ClientError::Contended`].
///
/// **`reconcile`** is given all siblings, none if the key is absent, and returns the value that replaces them. It may
/// be called again and then find its own earlier value, so applying it twice must be the same as once: adding to a set
/// is, adding one to a number is not. A tombstone among the siblings has no value.
///
/// In a bucket with `reconcile=last-write-wins` there are no siblings, so a race goes unnoticed.
#[must_use = "an update is done when it is awaited"]
pub struct Update<'a> {
    bucket: Bucket,
    key: Blob,
    reconcile: Box<Reconcile<'a>>,
    get: GetOptions,
    put: PutOptions,
    attempts: u32,
}

/// Function of the caller's from a key's siblings to a change.
type Reconcile<'a> = dyn FnMut(&[Sibling]) -> Change + Send + 'a;

/// The answer to an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    stored: Option<Stored>,
    attempts: u32,
}

impl<'a> Update<'a> {
    pub(crate) fn new<F, C>(bucket: Bucket, key: Blob, mut reconcile: F) -> Self
    where
        F: FnMut(&[Sibling]) -> C + Send + 'a,
        C: Into<Change>,
    {
        let reconcile = Box::new(move |siblings: &[Sibling]| reconcile(siblings).into());
        let (get, put) = (GetOptions::new(), PutOptions::new());
        Self { bucket, key, reconcile, get, put, attempts: ATTEMPTS }
    }

    /// Sets R, the number of replicas that must answer each get.
    pub fn r(mut self, r: impl Into<Quorum>) -> Self {
        self.get = self.get.r(r);
        self
    }

    /// Sets W, the number of replicas that must acknowledge each put.
    pub fn w(mut self, w: impl Into<Quorum>) -> Self {
        self.put = self.put.w(w);
        self
    }

    /// Sets the time for each get and each put, all its attempts together.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.get = self.get.timeout(timeout);
        self.put = self.put.timeout(timeout);
        self
    }

    /// Replaces the options of the gets.
    pub fn get_options(mut self, options: &GetOptions) -> Self {
        self.get = options.clone();
        self
    }

    /// Replaces the options of the puts.
    pub fn put_options(mut self, options: &PutOptions) -> Self {
        self.put = options.clone();
        self
    }

    /// Sets the number of attempts, at least 1; 16 by default.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Runs the update; awaiting it does the same.
    ///
    /// # Errors
    /// A get or a put failed, as for [`Get::send`](crate::Get::send) and [`Put::send`](crate::Put::send), or every
    /// attempt met another writer.
    pub async fn send(self) -> Result<Updated, ClientError> {
        let Self { bucket, key, mut reconcile, get, put, attempts: limit } = self;
        let (key, shared) = (bucket.key(key)?, &bucket.shared);
        let mut stored = None;
        for attempts in 1..=limit {
            let found = shared.get(&key, &get).await?;
            let content = match reconcile(found.siblings()) {
                change if is_done(&change, &found, stored.is_some()) => {
                    return Ok(Updated { stored, attempts });
                }
                Change::Put(value) => Content::Value(value.into_wire()),
                Change::Delete | Change::Keep => Content::Tombstone,
            };
            match shared.put(&key, content, found.context(), &put).await {
                Ok(done) if done.siblings() <= 1 => {
                    return Ok(Updated { stored: Some(done), attempts });
                }
                Ok(done) => stored = Some(done),
                Err(ClientError::Refused(refusal))
                    if refusal.code() == ErrorCode::TooManySiblings => {}
                Err(error) => return Err(error),
            }
            if attempts < limit {
                tokio::time::sleep(pause(attempts)).await;
            }
        }
        Err(ClientError::Contended { attempts: limit, stored: stored.is_some() })
    }
}

impl<'a> IntoFuture for Update<'a> {
    type Output = Result<Updated, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, key, get, put, attempts, .. } = self;
        let mut shown = f.debug_struct("Update");
        shown.field("bucket", bucket).field("key", key).field("get", get);
        shown.field("put", put).field("attempts", attempts).finish_non_exhaustive()
    }
}

impl Updated {
    /// Returns the answer to the last put; `None` if nothing had to be written.
    #[must_use]
    pub fn stored(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// Returns the number of attempts that the update took; 1 if no other client wrote at the same time.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// Whether there is nothing to write. A value that is already the only sibling is written again by the first attempt
/// only: later it means that another client has reconciled this update's value with its own.
fn is_done(change: &Change, found: &Found, has_stored: bool) -> bool {
    match (change, found.siblings()) {
        (Change::Keep, _) | (Change::Delete, []) => true,
        (Change::Delete, [only]) => only.is_tombstone(),
        (Change::Put(value), [only]) => has_stored && only.value() == Some(value.bytes()),
        _ => false,
    }
}

/// Returns half to all of a time that doubles, so that writers who met don't meet again.
fn pause(attempts: u32) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    backoff(attempts - 1).mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

macro_rules! change_from {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Change {
            fn from(value: $kind) -> Self {
                Self::Put(value.into())
            }
        })*
    };
}

change_from!(Bytes, Vec<u8>, String, &[u8], &str);

impl From<Value> for Change {
    fn from(value: Value) -> Self {
        Self::Put(value)
    }
}
