//! Documents of `/v1`: a key's versions, and a put's answer, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_protocol::client::{Acknowledgement, GetAnswer, PutAnswer, Version};
use jedlik_protocol::{Attributes, Blob};
use jedlik_vclock::Content;
use serde::Serialize;

use crate::v1::headers::context_text;

/// Media type of the document that has a key's versions.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.jedlik.versions+json";

/// Versions that a get has found.
#[derive(Debug, Serialize)]
pub(crate) struct Versions {
    siblings: Vec<Sibling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    answered: u8,
    primaries: u8,
    partial: bool,
}

/// One of a key's versions.
#[derive(Debug, Serialize)]
pub(crate) struct Sibling {
    #[serde(flatten)]
    value: Option<Bytes>,
    #[serde(flatten)]
    attributes: Option<Carried>,
    deleted: bool,
    tag: String,
    written_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

/// Bytes as text, or in base64 if they are not UTF-8.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bytes {
    Value(String),
    ValueBase64(String),
}

/// Attributes that a value carries beside its bytes.
#[derive(Debug, Serialize)]
struct Carried {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<Named>,
}

/// Metadata that a client has given a value.
#[derive(Debug, Serialize)]
struct Named {
    name: String,
    value: String,
}

/// Answer to a put that was acknowledged.
#[derive(Debug, Serialize)]
pub(crate) struct Stored {
    context: String,
    siblings: u16,
    warning: bool,
    acknowledged: u8,
    synced: u8,
    by: Vec<By>,
}

/// Acknowledgement of one node.
#[derive(Debug, Serialize)]
struct By {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_in_for: Option<String>,
    synced: bool,
}

impl Versions {
    /// Whether the key is absent: no version is a value.
    pub(crate) fn is_absent(&self) -> bool {
        self.siblings.iter().all(|sibling| sibling.deleted)
    }
}

impl From<&GetAnswer> for Versions {
    fn from(answer: &GetAnswer) -> Self {
        Self {
            siblings: answer.versions.iter().map(Sibling::from).collect(),
            context: answer.context.as_ref().map(context_text),
            answered: answer.answered,
            primaries: answer.primaries,
            partial: answer.partial,
        }
    }
}

impl From<&Version> for Sibling {
    fn from(version: &Version) -> Self {
        let (value, attributes) = match &version.content {
            Content::Value(value) => (Some(Bytes::from(value.bytes())), value.attributes()),
            Content::Tombstone => (None, None),
        };
        Self {
            deleted: value.is_none(),
            value,
            attributes: attributes.map(Carried::from),
            tag: tag(version.tag),
            written_at_ms: version.written_at_ms,
            expires_at_ms: version.expires_at_ms,
        }
    }
}

impl From<&Blob> for Bytes {
    fn from(bytes: &Blob) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Value(text.to_owned()),
            Err(_) => Self::ValueBase64(STANDARD.encode(bytes)),
        }
    }
}

impl From<Attributes> for Carried {
    fn from(attributes: Attributes) -> Self {
        let Attributes { content_type, charset, content_encoding, metadata, .. } = attributes;
        let text = |bytes: &Blob| String::from_utf8_lossy(bytes).into_owned();
        let named = |(name, value): &(Blob, Blob)| Named { name: text(name), value: text(value) };
        let metadata = metadata.iter().map(named).collect();
        Self { content_type, charset, content_encoding, metadata }
    }
}

impl From<&PutAnswer> for Stored {
    fn from(answer: &PutAnswer) -> Self {
        let by = |by: &Acknowledgement| By {
            node: by.node.to_string(),
            stands_in_for: by.stands_in_for.map(|node| node.to_string()),
            synced: by.synced,
        };
        Self {
            context: context_text(&answer.context),
            siblings: answer.siblings,
            warning: answer.warning,
            acknowledged: answer.acknowledged,
            synced: answer.synced,
            by: answer.by.iter().map(by).collect(),
        }
    }
}

/// Returns a version's tag as text.
pub(crate) fn tag(tag: u64) -> String {
    format!("{tag:016x}")
}
