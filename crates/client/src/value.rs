//! A value on its way to a bucket.

use bytes::Bytes;
use jedlik_protocol::{self as wire, Attributes};

/// Value to be written. A `String`, a `Vec<u8>` and [`Bytes`] are converted without a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(wire::Value);

impl Value {
    /// Lets the value carry `attributes` beside its bytes, in place of any that it has.
    #[must_use]
    pub fn with_attributes(self, attributes: &Attributes) -> Self {
        Self(wire::Value::with_attributes(self.0.bytes().clone(), attributes))
    }

    pub(crate) fn into_wire(self) -> wire::Value {
        self.0
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        self.0.bytes().bytes()
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self(bytes.into())
    }
}

impl From<&Bytes> for Value {
    fn from(bytes: &Bytes) -> Self {
        bytes.clone().into()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        bytes[..].into()
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        bytes[..].into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_bytes().into()
    }
}
