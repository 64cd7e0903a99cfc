//! Attributes of a value, in an encoding with a version.
//!
//! ```text
//! version   1 byte, 1
//! then for each attribute
//! kind      1 byte
//! fields    as many as the kind has: 4 bytes of length, little endian, and the bytes
//! ```
//!
//! No attributes are no bytes at all.
//!
//! Invariant: decoding gives what was encoded. A version or a kind that this build doesn't know is an error and not an
//! attribute less, so that no copy of a value loses what a newer build wrote.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Blob;
use crate::error::DecodeError;
use crate::limits::ATTRIBUTES_LIMIT_BYTES;

const VERSION: u8 = 1;
const CONTENT_TYPE: u8 = 1;
const CHARSET: u8 = 2;
const CONTENT_ENCODING: u8 = 3;
const METADATA: u8 = 4;
const LINK: u8 = 5;
const INDEX: u8 = 6;
const MALFORMED: DecodeError = DecodeError::Malformed { what: "set of attributes" };

/// Attributes that a value carries beside its bytes. Jedlik keeps and returns them, and acts on none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Media type of the bytes, without a character set: `text/plain`.
    pub content_type: Option<String>,
    /// Character set of the bytes: `utf-8`.
    pub charset: Option<String>,
    /// Coding that was applied to the bytes: `gzip`.
    pub content_encoding: Option<String>,
    /// Names and values of the client's own, in the order in which they were put.
    pub metadata: Vec<(Blob, Blob)>,
    /// Links to other keys, in the order in which they were put.
    pub links: Vec<Link>,
    /// Names and values of secondary indexes, in the order in which they were put. No index is kept of them.
    pub indexes: Vec<(Blob, Blob)>,
}

/// Link from a value to a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Bucket of the key that the link leads to.
    pub bucket: Blob,
    /// Key within its bucket.
    pub key: Blob,
    /// Meaning of the link to its client.
    pub tag: Blob,
}

impl Attributes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the attributes with this media type, from which the character set is told apart: other parameters stay
    /// with the type.
    #[must_use]
    pub fn with_content_type(self, content_type: &str) -> Self {
        let (mut kept, mut charset) = (Vec::new(), None);
        for part in content_type.split(';').map(str::trim) {
            match part.split_once('=') {
                Some((name, set)) if name.trim().eq_ignore_ascii_case("charset") => {
                    charset = Some(String::from(set.trim().trim_matches('"')));
                }
                _ => kept.push(part),
            }
        }
        Self { content_type: Some(kept.join("; ")), charset, ..self }
    }

    /// Returns the media type with its character set, as a header names them; `None` if there is no type.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let kind = self.content_type.as_ref()?;
        Some(match &self.charset {
            Some(charset) => alloc::format!("{kind}; charset={charset}"),
            None => kind.clone(),
        })
    }

    /// Encodes the attributes, whatever their size.
    #[must_use]
    pub fn encode(&self) -> Blob {
        if self.is_empty() {
            return Blob::default();
        }
        let mut bytes = Vec::from([VERSION]);
        let texts = [
            (CONTENT_TYPE, &self.content_type),
            (CHARSET, &self.charset),
            (CONTENT_ENCODING, &self.content_encoding),
        ];
        for (kind, text) in texts {
            if let Some(text) = text {
                add(&mut bytes, kind, &[text.as_bytes()]);
            }
        }
        for (name, value) in &self.metadata {
            add(&mut bytes, METADATA, &[name, value]);
        }
        for Link { bucket, key, tag } in &self.links {
            add(&mut bytes, LINK, &[bucket, key, tag]);
        }
        for (name, value) in &self.indexes {
            add(&mut bytes, INDEX, &[name, value]);
        }
        bytes.into()
    }

    /// Decodes attributes; their names and values are slices of the bytes.
    ///
    /// # Errors
    /// The bytes are longer than attributes may be, or not attributes that this build knows.
    pub fn decode(encoded: &Blob) -> Result<Self, DecodeError> {
        let mut attributes = Self::default();
        if encoded.is_empty() {
            return Ok(attributes);
        }
        if encoded.len() > ATTRIBUTES_LIMIT_BYTES || encoded[0] != VERSION {
            return Err(MALFORMED);
        }
        let mut rest = Fields { of: encoded, at: 1 };
        while let Some(kind) = rest.kind() {
            match kind {
                CONTENT_TYPE => attributes.content_type = Some(rest.text()?),
                CHARSET => attributes.charset = Some(rest.text()?),
                CONTENT_ENCODING => attributes.content_encoding = Some(rest.text()?),
                METADATA => attributes.metadata.push((rest.field()?, rest.field()?)),
                LINK => {
                    let (bucket, key, tag) = (rest.field()?, rest.field()?, rest.field()?);
                    attributes.links.push(Link { bucket, key, tag });
                }
                INDEX => attributes.indexes.push((rest.field()?, rest.field()?)),
                _ => return Err(MALFORMED),
            }
        }
        Ok(attributes)
    }
}

fn add(bytes: &mut Vec<u8>, kind: u8, fields: &[&[u8]]) {
    bytes.push(kind);
    for field in fields {
        // A longer one is over every limit, and refused for that.
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(field);
    }
}

/// Reader of the fields in encoded attributes.
struct Fields<'a> {
    of: &'a Blob,
    at: usize,
}

impl Fields<'_> {
    fn kind(&mut self) -> Option<u8> {
        let kind = self.of.get(self.at).copied()?;
        self.at += 1;
        Some(kind)
    }

    fn field(&mut self) -> Result<Blob, DecodeError> {
        let (length, _) = self.of[self.at..].split_first_chunk::<4>().ok_or(MALFORMED)?;
        let begin = self.at + length.len();
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| MALFORMED)?;
        let end = begin.checked_add(length).filter(|end| *end <= self.of.len()).ok_or(MALFORMED)?;
        self.at = end;
        Ok(self.of.bytes().slice(begin..end).into())
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let field = self.field()?;
        core::str::from_utf8(&field).map(String::from).map_err(|_| MALFORMED)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_compose, proptest};

    use super::{Attributes, Link};
    use crate::Blob;
    use crate::limits::ATTRIBUTES_LIMIT_BYTES;

    fn blob() -> impl Strategy<Value = Blob> {
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Blob::from)
    }

    fn pairs() -> impl Strategy<Value = Vec<(Blob, Blob)>> {
        proptest::collection::vec((blob(), blob()), 0..4)
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[a-zé/]{0,6}")
    }

    prop_compose! {
        fn attributes()(
            content_type in text(), charset in text(), content_encoding in text(),
            metadata in pairs(),
            links in proptest::collection::vec((blob(), blob(), blob()), 0..3),
            indexes in pairs(),
        ) -> Attributes {
            let link = |(bucket, key, tag)| Link { bucket, key, tag };
            let links = links.into_iter().map(link).collect();
            Attributes { content_type, charset, content_encoding, metadata, links, indexes }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(attributes in attributes()) {
            prop_assert_eq!(Attributes::decode(&attributes.encode()), Ok(attributes));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(0..8_u8, 0..40)) {
            let bytes = [&[1][..], &bytes].concat();
            if let Ok(attributes) = Attributes::decode(&Blob::from(bytes)) {
                prop_assert_eq!(Attributes::decode(&attributes.encode()), Ok(attributes));
            }
        }

        #[test]
        fn a_part_of_an_attribute_is_refused(attributes in attributes(), cut in 1..4_usize) {
            let encoded = attributes.encode();
            let Some(kept) = encoded.len().checked_sub(cut).filter(|kept| *kept > 1) else {
                return Ok(());
            };
            let part = Blob::from(&encoded[..kept]);
            prop_assert!(Attributes::decode(&part).map_or(true, |part| part != attributes));
        }
    }

    #[test]
    fn the_character_set_is_told_apart_from_the_media_type() {
        for (header, kind, charset, shown) in [
            ("text/html", "text/html", None, "text/html"),
            ("text/html;CHARSET=\"a\"", "text/html", Some("a"), "text/html; charset=a"),
            ("a/b; c=d; charset=e", "a/b; c=d", Some("e"), "a/b; c=d; charset=e"),
        ] {
            let attributes = Attributes::default().with_content_type(header);
            assert_eq!(attributes.content_type.as_deref(), Some(kind), "{header}");
            assert_eq!(attributes.charset.as_deref(), charset, "{header}");
            assert_eq!(attributes.media_type().as_deref(), Some(shown), "{header}");
        }
    }

    #[test]
    fn none_take_no_bytes_and_unknown_ones_are_refused() {
        assert!(Attributes::default().encode().is_empty());
        assert_eq!(Attributes::decode(&Blob::default()), Ok(Attributes::default()));
        for bytes in [&[2][..], &[1, 7], &[1, 1, 9, 0, 0, 0, b'a'], &[1, 1, 1, 0, 0, 0, 0xff]] {
            assert!(Attributes::decode(&Blob::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let metadata = |length| Attributes {
            metadata: Vec::from([(Blob::from("a"), Blob::from(alloc::vec![b'b'; length]))]),
            ..Attributes::default()
        };
        let beside = metadata(0).encode().len();
        let most = ATTRIBUTES_LIMIT_BYTES - beside;
        assert!(Attributes::decode(&metadata(most).encode()).is_ok());
        assert!(Attributes::decode(&metadata(most + 1).encode()).is_err());
    }
}
