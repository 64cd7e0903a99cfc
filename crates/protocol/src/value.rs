//! Value of a version: its bytes, and what it carries beside them.
//!
//! Invariant: attributes are part of the value. They are merged, repaired, moved and replaced with its bytes, and count
//! towards its size.

mod attributes;

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

use crate::Blob;

pub use attributes::{Attributes, Link};

/// Value of a version. A put replaces bytes and attributes together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Value {
    bytes: Blob,
    /// Attributes in their encoded form; empty if there are none.
    attributes: Blob,
}

impl Value {
    /// Makes a value that carries `attributes`.
    #[must_use]
    pub fn with_attributes(bytes: Blob, attributes: &Attributes) -> Self {
        Self { bytes, attributes: attributes.encode() }
    }

    /// Returns the value's own bytes.
    #[must_use]
    pub fn bytes(&self) -> &Blob {
        &self.bytes
    }

    /// Returns the value's own bytes without the rest.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes.into_bytes()
    }

    /// Decodes what the value carries beside its bytes; `None` if this build can't read it, because a newer one wrote
    /// it.
    #[must_use]
    pub fn attributes(&self) -> Option<Attributes> {
        Attributes::decode(&self.attributes).ok()
    }

    /// Returns the attributes in their encoded form.
    #[must_use]
    pub fn encoded_attributes(&self) -> &Blob {
        &self.attributes
    }

    /// Returns the size of the value, attributes included, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.attributes.len()
    }

    /// Whether the value has neither bytes nor attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }
}

impl<B: Into<Blob>> From<B> for Value {
    fn from(bytes: B) -> Self {
        Self { bytes: bytes.into(), attributes: Blob::default() }
    }
}
