//! Names of buckets and keys, and other bytes, in JSON: a string, or an object with their base64 if they are no UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_protocol::Blob;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Bytes as they stand in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Name {
    /// Bytes that are UTF-8.
    Text(String),
    /// Any bytes, in base64.
    Other {
        /// The bytes in base64.
        base64: String,
    },
}

impl From<&Blob> for Name {
    fn from(bytes: &Blob) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Other { base64: STANDARD.encode(bytes) },
        }
    }
}

impl Name {
    /// Returns the bytes.
    ///
    /// # Errors
    /// They are not in base64.
    pub(crate) fn bytes(&self) -> Result<Blob, Problem> {
        match self {
            Self::Text(text) => Ok(text.as_str().into()),
            Self::Other { base64 } => {
                let bytes = STANDARD.decode(base64);
                bytes
                    .map(Blob::from)
                    .map_err(|error| Problem::invalid(format!("{base64:?}: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::Blob;

    use super::Name;

    #[test]
    fn any_bytes_come_back_as_they_were() {
        for bytes in [&b"tea"[..], b"", "\u{e9}\n".as_bytes(), &[0, 255]] {
            let json = serde_json::to_string(&Name::from(&Blob::from(bytes))).unwrap();
            let read: Name = serde_json::from_str(&json).unwrap();
            assert_eq!(read.bytes().unwrap()[..], *bytes, "{json}");
        }
        let nonsense = serde_json::from_str::<Name>(r#"{"base64":"?"}"#).unwrap();
        assert!(nonsense.bytes().is_err());
        for other in ["1", "[\"a\"]", r#"{"base64":"","text":""}"#] {
            assert!(serde_json::from_str::<Name>(other).is_err(), "{other}");
        }
    }
}
