//! Versions of a key as messages have them.
//!
//! | message | Jedlik |
//! |---|---|
//! | `content_type`, `charset`, `content_encoding` | the attribute of that name; a character set within the type is told apart |
//! | `usermeta`, `indexes`, `links` | metadata, indexes and links |
//! | `vtag`, `last_mod`, `last_mod_usecs` | the version's tag and time; what a put says of them is not kept |
//! | `deleted` | a tombstone, with an empty value |
//!
//! Invariant: what a put's content carries, a get's content carries again.

use bytes::Bytes;
use jedlik_protocol::client::Version;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::ATTRIBUTES_LIMIT_BYTES;
use jedlik_protocol::{Attributes, Blob, Link, Value};
use jedlik_riak::vtag;
use jedlik_vclock::Content;
use prost::Message;

use crate::messages;
use crate::refusal::Refusal;

/// Media type of a value that was put without one.
const BYTES: &str = "application/octet-stream";
/// Bytes that a content takes beside its value and what is kept of the rest.
const BESIDE_BYTES: usize = 1 << 10;

/// Reads the content of a put.
///
/// # Errors
/// It is not well formed, or carries more than may be kept with a value.
pub(crate) fn received(encoded: Bytes) -> Result<Content<Value>, Refusal> {
    let length = encoded.len();
    let value =
        messages::ContentValue::decode(encoded.clone()).map_err(|error| malformed(&error))?.value;
    // Looked at before the rest is decoded, which takes many times as much memory as its bytes.
    let beside = length - value.len().min(length);
    if beside > ATTRIBUTES_LIMIT_BYTES + BESIDE_BYTES {
        return Err(too_much(beside));
    }
    let content = messages::Content::decode(encoded).map_err(|error| malformed(&error))?;
    if content.deleted == Some(true) {
        return Ok(Content::Tombstone);
    }
    let attributes = attributes(&content)?;
    let length = attributes.encode().len();
    if length > ATTRIBUTES_LIMIT_BYTES {
        return Err(too_much(length));
    }
    Ok(Content::Value(Value::with_attributes(content.value.into(), &attributes)))
}

/// Returns a version as a message has it, without its bytes if only its `head` is wanted.
///
/// # Errors
/// A newer build wrote what the version carries.
pub(crate) fn shown(version: &Version, head: bool) -> Result<messages::Content, Refusal> {
    let attributes = match &version.content {
        Content::Value(value) => value.attributes().ok_or_else(unreadable)?,
        Content::Tombstone => Attributes::default(),
    };
    let value = match &version.content {
        Content::Value(value) if !head => value.bytes().bytes().clone(),
        Content::Value(_) | Content::Tombstone => Bytes::new(),
    };
    let text = |text: Option<String>| text.map(Bytes::from);
    let content_type = attributes.content_type.unwrap_or_else(|| BYTES.to_owned());
    Ok(messages::Content {
        value,
        content_type: Some(content_type.into()),
        charset: text(attributes.charset),
        content_encoding: text(attributes.content_encoding),
        vtag: Some(vtag::text(version.tag).into()),
        links: attributes.links.into_iter().map(link_shown).collect(),
        last_mod: u32::try_from(version.written_at_ms / 1000).ok(),
        last_mod_usecs: Some((version.written_at_ms % 1000) as u32 * 1000),
        usermeta: pairs_shown(attributes.metadata),
        indexes: pairs_shown(attributes.indexes),
        deleted: matches!(version.content, Content::Tombstone).then_some(true),
    })
}

fn attributes(content: &messages::Content) -> Result<Attributes, Refusal> {
    let mut attributes = Attributes {
        content_encoding: text("content_encoding", content.content_encoding.as_ref())?,
        metadata: pairs(&content.usermeta),
        links: content.links.iter().map(link).collect(),
        indexes: pairs(&content.indexes),
        ..Attributes::default()
    };
    if let Some(content_type) = text("content_type", content.content_type.as_ref())? {
        attributes = attributes.with_content_type(&content_type);
    }
    if let Some(charset) = text("charset", content.charset.as_ref())? {
        attributes.charset = Some(charset);
    }
    Ok(attributes)
}

/// Returns the text of a field; `None` if it is empty or left out.
fn text(name: &str, bytes: Option<&Bytes>) -> Result<Option<String>, Refusal> {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    let text = std::str::from_utf8(bytes);
    text.map(|text| Some(text.to_owned()))
        .map_err(|_| Refusal::invalid(format!("{name} is not UTF-8")))
}

fn pairs(pairs: &[messages::Pair]) -> Vec<(Blob, Blob)> {
    let pair = |pair: &messages::Pair| {
        (pair.key.clone().into(), pair.value.clone().unwrap_or_default().into())
    };
    pairs.iter().map(pair).collect()
}

fn pairs_shown(pairs: Vec<(Blob, Blob)>) -> Vec<messages::Pair> {
    let shown = |(key, value): (Blob, Blob)| messages::Pair {
        key: key.into_bytes(),
        value: Some(value.into_bytes()),
    };
    pairs.into_iter().map(shown).collect()
}

fn link(link: &messages::Link) -> Link {
    let field = |field: &Option<Bytes>| Blob::from(field.clone().unwrap_or_default());
    Link { bucket: field(&link.bucket), key: field(&link.key), tag: field(&link.tag) }
}

fn link_shown(link: Link) -> messages::Link {
    let [bucket, key, tag] =
        [link.bucket, link.key, link.tag].map(|field| Some(field.into_bytes()));
    messages::Link { bucket, key, tag }
}

fn malformed(error: &prost::DecodeError) -> Refusal {
    Refusal::invalid(format!("the content can't be read: {error}"))
}

fn too_much(length: usize) -> Refusal {
    Refusal::invalid(format!(
        "what the content carries beside its value has {length} bytes, over the limit of {ATTRIBUTES_LIMIT_BYTES}"
    ))
}

fn unreadable() -> Refusal {
    let message = "a newer version of Jedlik wrote the value, and this node can't read what it carries beside its \
                   bytes: upgrade the node";
    Failure::new(ErrorCode::Internal, message).into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jedlik_protocol::Value;
    use jedlik_protocol::client::Version;
    use jedlik_vclock::Content;
    use prost::Message;

    use super::{received, shown};
    use crate::messages;

    fn version(content: Content<Value>) -> Version {
        Version { content, tag: 62, written_at_ms: 1_700_000_000_250, expires_at_ms: None }
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn content() -> messages::Content {
        let pair = |key, value| messages::Pair { key: bytes(key), value: Some(bytes(value)) };
        let link = messages::Link {
            bucket: Some(bytes("carts")),
            key: Some(bytes("bob")),
            tag: Some(bytes("friend")),
        };
        messages::Content {
            value: bytes("tea"),
            content_type: Some(bytes("text/plain")),
            charset: Some(bytes("utf-8")),
            content_encoding: Some(bytes("gzip")),
            links: vec![link],
            usermeta: vec![pair("colour", "red"), pair("colour", "blue")],
            indexes: vec![pair("age_int", "7")],
            ..messages::Content::default()
        }
    }

    #[test]
    fn what_a_put_carries_a_get_carries_again() {
        let put = content();
        let got = shown(&version(received(put.encode_to_vec().into()).unwrap()), false).unwrap();
        let beside = (got.vtag.clone(), got.last_mod, got.last_mod_usecs);
        assert_eq!(beside, (Some(bytes("10")), Some(1_700_000_000), Some(250_000)));
        let kept =
            messages::Content { vtag: None, last_mod: None, last_mod_usecs: None, ..got.clone() };
        assert_eq!(kept, put);

        let head = shown(&version(received(put.encode_to_vec().into()).unwrap()), true).unwrap();
        assert_eq!(head, messages::Content { value: Bytes::new(), ..got });
    }

    #[test]
    fn a_tombstone_is_deleted_both_ways() {
        let tombstone = shown(&version(Content::Tombstone), false).unwrap();
        assert_eq!((tombstone.deleted, tombstone.value.len()), (Some(true), 0));
        let put = messages::Content { deleted: Some(true), ..content() };
        assert_eq!(received(put.encode_to_vec().into()).unwrap(), Content::Tombstone);
    }

    #[test]
    fn a_value_without_a_type_is_bytes_and_one_with_a_character_set_has_both() {
        let plain = messages::Content { value: bytes("tea"), ..messages::Content::default() };
        let got = shown(&version(received(plain.encode_to_vec().into()).unwrap()), false).unwrap();
        assert_eq!(got.content_type, Some(bytes("application/octet-stream")));

        let content_type = Some(bytes("text/plain; charset=latin1"));
        let both = messages::Content { content_type, ..messages::Content::default() };
        let got = shown(&version(received(both.encode_to_vec().into()).unwrap()), false).unwrap();
        assert_eq!(got.content_type, Some(bytes("text/plain")));
        assert_eq!(got.charset, Some(bytes("latin1")));
    }

    #[test]
    fn more_than_may_be_kept_is_refused_before_it_is_decoded() {
        let pairs = vec![messages::Pair::default(); 100_000];
        let many = messages::Content { usermeta: pairs, ..content() };
        let refused = received(many.encode_to_vec().into()).unwrap_err();
        let text = refused.message().message;
        assert!(String::from_utf8_lossy(&text).contains("over the limit of 65536"), "{text:?}");
        // A value that is given twice counts once.
        let twice = [many.encode_to_vec(), content().encode_to_vec()].concat();
        assert!(received(twice.into()).is_err());

        let not_text = messages::Content { charset: Some(bytes("\u{e9}").slice(1..)), ..content() };
        assert!(received(not_text.encode_to_vec().into()).is_err());
        assert!(received(bytes("nonsense")).is_err());
    }
}
