//! Attributes of a value in JSON, as dumps have them and `get --json` shows them.
//!
//! Invariant: reading what was written gives the same attributes. Bytes are a string where they are UTF-8, and otherwise
//! an object with their base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_client::{Attributes, Link};
use jedlik_protocol::Blob;
use serde::{Deserialize, Serialize};

/// Attributes of a value, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AttributesJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<NamedJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<NamedJson>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedJson {
    name: BytesJson,
    value: BytesJson,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkJson {
    bucket: BytesJson,
    key: BytesJson,
    tag: BytesJson,
}

/// Bytes as a string, or as an object with their base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum BytesJson {
    Text(String),
    Other { base64: String },
}

impl From<&Blob> for BytesJson {
    fn from(bytes: &Blob) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Other { base64: STANDARD.encode(bytes) },
        }
    }
}

impl BytesJson {
    fn bytes(self) -> Result<Blob, String> {
        match self {
            Self::Text(text) => Ok(text.as_str().into()),
            Self::Other { base64 } => super::decode(&base64).map(Blob::from),
        }
    }
}

impl AttributesJson {
    /// Returns the JSON of attributes; `None` if there are none.
    pub(crate) fn of(attributes: &Attributes) -> Option<Self> {
        if attributes.is_empty() {
            return None;
        }
        let named =
            |(name, value): &(Blob, Blob)| NamedJson { name: name.into(), value: value.into() };
        let link = |Link { bucket, key, tag }: &Link| {
            let (bucket, key, tag) = (bucket.into(), key.into(), tag.into());
            LinkJson { bucket, key, tag }
        };
        Some(Self {
            content_type: attributes.content_type.clone(),
            charset: attributes.charset.clone(),
            content_encoding: attributes.content_encoding.clone(),
            metadata: attributes.metadata.iter().map(named).collect(),
            links: attributes.links.iter().map(link).collect(),
            indexes: attributes.indexes.iter().map(named).collect(),
        })
    }

    /// Returns the attributes; the error is a message for people.
    pub(crate) fn attributes(self) -> Result<Attributes, String> {
        let pair = |NamedJson { name, value }| Ok::<_, String>((name.bytes()?, value.bytes()?));
        let link = |LinkJson { bucket, key, tag }| {
            let (bucket, key, tag) = (bucket.bytes()?, key.bytes()?, tag.bytes()?);
            Ok::<_, String>(Link { bucket, key, tag })
        };
        let Self { content_type, charset, content_encoding, metadata, links, indexes } = self;
        Ok(Attributes {
            content_type,
            charset,
            content_encoding,
            metadata: metadata.into_iter().map(pair).collect::<Result<_, _>>()?,
            links: links.into_iter().map(link).collect::<Result<_, _>>()?,
            indexes: indexes.into_iter().map(pair).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use jedlik_client::{Attributes, Link};
    use jedlik_protocol::Blob;

    use super::AttributesJson;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let pairs = vec![
            (Blob::from("colour"), Blob::from("réd")),
            (Blob::from(&[255_u8][..]), Blob::from(&[0_u8, 254][..])),
        ];
        let link = Link { bucket: "carts".into(), key: "bob".into(), tag: "friend".into() };
        let attributes = Attributes {
            content_type: Some("text/plain".into()),
            charset: Some("utf-8".into()),
            content_encoding: Some("gzip".into()),
            metadata: pairs.clone(),
            links: vec![link],
            indexes: pairs,
        };
        let json = serde_json::to_string(&AttributesJson::of(&attributes).unwrap()).unwrap();
        let read: AttributesJson = serde_json::from_str(&json).unwrap();
        assert_eq!(read.attributes(), Ok(attributes), "{json}");
        assert_eq!(AttributesJson::of(&Attributes::default()), None);
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        for json in [r#"{"colour":"red"}"#, r#"{"metadata":[{"name":"a"}]}"#] {
            assert!(serde_json::from_str::<AttributesJson>(json).is_err(), "{json}");
        }
        let json = r#"{"metadata":[{"name":"a","value":{"base64":"?"}}]}"#;
        let read: AttributesJson = serde_json::from_str(json).unwrap();
        assert!(read.attributes().is_err());
    }
}
