//! Shared bytes that cross the codec without being copied.

use core::fmt;
use core::ops::Deref;

use bytes::Bytes;
use rkyv::rancor::{Fallible, Strategy};
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

/// Immutable bytes that share one allocation between their holders: a bucket's name, a key, a value.
///
/// A blob that is read out of a received message is a slice of the receive buffer.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(Bytes);

impl Blob {
    /// Returns the shared bytes, to be cloned or sliced without a copy.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the bytes without the wrapper.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len() > 64 { write!(f, "<{} bytes>", self.len()) } else { self.0.fmt(f) }
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<alloc::vec::Vec<u8>> for Blob {
    fn from(bytes: alloc::vec::Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Deserializer that knows the buffer in which the archive lies, so that a blob becomes a slice of it.
pub(crate) trait Source {
    fn buffer(&self) -> &Bytes;
}

/// Buffer of one received message.
pub(crate) struct Buffer(pub(crate) Bytes);

impl Source for Buffer {
    fn buffer(&self) -> &Bytes {
        &self.0
    }
}

impl<S: Source, E> Source for Strategy<S, E> {
    fn buffer(&self) -> &Bytes {
        (**self).buffer()
    }
}

impl Archive for Blob {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(&self.0, resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for Blob {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        ArchivedVec::serialize_from_slice(&self.0, serializer)
    }
}

impl<D: Fallible + Source + ?Sized> Deserialize<Blob, D> for ArchivedVec<u8> {
    fn deserialize(&self, deserializer: &mut D) -> Result<Blob, D::Error> {
        Ok(Blob(deserializer.buffer().slice_ref(self.as_slice())))
    }
}
