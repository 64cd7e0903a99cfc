//! A bucket's handle: where requests for its keys begin.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jedlik_protocol::{self as wire, Blob, Key};
use jedlik_vclock::Content;

use crate::client::Shared;
use crate::many::{GetMany, PutMany};
use crate::update::{Change, Update};
use crate::{
    ClientError, Found, Get, GetOptions, Keys, Put, PutOptions, ScanRequest, Sibling, Value,
};

/// Handle to a bucket: a namespace of keys with properties of its own. A bucket need not be made first; clones are
/// cheap.
///
/// A name that is empty or over 256 bytes is refused by the first request, as [`ClientError::InvalidKey`].
#[derive(Clone)]
pub struct Bucket {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: Blob,
}

impl Bucket {
    /// Returns the name that the handle was made with.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        self.name.bytes()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// As for [`Get::send`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Get {
        Get { bucket: self.clone(), key: key.as_ref().into(), options: GetOptions::new() }
    }

    /// Writes a value. With the context of a get it replaces what that get has seen; without one it becomes a sibling
    /// of the stored values.
    ///
    /// # Errors
    /// As for [`Put::send`].
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Value>) -> Put {
        self.write(key.as_ref(), Content::Value(value.into().into_wire()))
    }

    /// Deletes what the context has seen, by writing a tombstone. Without a context the tombstone becomes a sibling
    /// of the values, which are kept.
    ///
    /// # Errors
    /// As for [`Put::send`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Put {
        self.write(key.as_ref(), Content::Tombstone)
    }

    /// Gets a key, lets `reconcile` make one value of its siblings, and puts that value with the get's context; starts
    /// over when another client wrote at the same time. See [`Update`] for the demands on `reconcile`.
    ///
    /// # Errors
    /// As for [`Update::send`].
    pub fn update<'a, F, C>(&self, key: impl AsRef<[u8]>, reconcile: F) -> Update<'a>
    where
        F: FnMut(&[Sibling]) -> C + Send + 'a,
        C: Into<Change>,
    {
        Update::new(self.clone(), key.as_ref().into(), reconcile)
    }

    /// Reads many keys, with a limit on how many are in flight; answers come as they arrive.
    pub fn get_many<I>(&self, keys: I) -> GetMany
    where
        I: IntoIterator<Item: AsRef<[u8]>, IntoIter: Send + 'static>,
    {
        GetMany::new(self.clone(), keys)
    }

    /// Writes many keys, with a limit on how many are in flight; answers come as they arrive.
    pub fn put_many<I, K, V>(&self, entries: I) -> PutMany
    where
        I: IntoIterator<Item = (K, V), IntoIter: Send + 'static>,
        K: AsRef<[u8]>,
        V: Into<Value>,
    {
        PutMany::new(self.clone(), entries)
    }

    /// Reads all keys with their values, partition by partition, in no particular order.
    pub fn scan(&self) -> ScanRequest {
        ScanRequest::of_bucket(self)
    }

    /// Lists all keys, partition by partition, in no particular order.
    ///
    /// # Errors
    /// The bucket's name is outside its limits, or there is no layout yet.
    pub async fn keys(&self) -> Result<Keys, ClientError> {
        self.scan().values(false).await.map(Keys)
    }

    fn write(&self, key: &[u8], content: Content<wire::Value>) -> Put {
        let (bucket, key, options) = (self.clone(), key.into(), PutOptions::new());
        Put { bucket, key, content, context: None, options }
    }

    pub(crate) fn key(&self, key: Blob) -> Result<Key, ClientError> {
        Ok(Key::new(self.name.clone(), key).map_err(crate::InvalidKey::from)?)
    }

    pub(crate) async fn read(&self, key: Blob, options: &GetOptions) -> Result<Found, ClientError> {
        self.shared.get(&self.key(key)?, options).await
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name.escape_ascii())
    }
}
