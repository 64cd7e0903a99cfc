//! Headers that carry what belongs to a value beside its bytes.
//!
//! Invariant: what a put's headers give a value, the headers of the get that follows give back.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_protocol::limits::{ATTRIBUTES_LIMIT_BYTES, CONTEXT_LIMIT_BYTES};
use jedlik_protocol::{Attributes, Blob};

use crate::problem::Problem;

/// Header that carries a context, in base64.
pub(crate) const CONTEXT: HeaderName = HeaderName::from_static("jedlik-context");
/// Beginning of the headers that carry the client's own metadata.
const METADATA: &str = "jedlik-meta-";

/// Reads what a put's headers say of its value.
///
/// # Errors
/// A header can't be kept, or all of them are too long.
pub(crate) fn attributes(headers: &HeaderMap) -> Result<Attributes, Problem> {
    let content_encoding = text(headers, &header::CONTENT_ENCODING)?;
    let metadata = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(METADATA)?;
        Some((Blob::from(name), Blob::from(value.as_bytes())))
    });
    let metadata = metadata.collect();
    let mut attributes = Attributes { content_encoding, metadata, ..Attributes::default() };
    if let Some(content_type) = text(headers, &header::CONTENT_TYPE)? {
        attributes = attributes.with_content_type(&content_type);
    }
    let length = attributes.encode().len();
    if length > ATTRIBUTES_LIMIT_BYTES {
        let message = format!(
            "the headers that are kept with the value have {length} bytes, over the limit of {ATTRIBUTES_LIMIT_BYTES}"
        );
        return Err(Problem::invalid(message));
    }
    Ok(attributes)
}

/// Adds what a value carries to the headers of an answer.
pub(crate) fn add(headers: &mut HeaderMap, attributes: &Attributes) {
    let kind = attributes.media_type().unwrap_or_else(|| "application/octet-stream".into());
    // What no header can carry is in the document.
    if let Ok(kind) = HeaderValue::try_from(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(Ok(encoding)) = attributes.content_encoding.as_deref().map(HeaderValue::try_from) {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    for (name, value) in &attributes.metadata {
        let name = HeaderName::from_bytes(&[METADATA.as_bytes(), name].concat());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
}

/// Reads the context that a request carries, if any.
///
/// # Errors
/// The header is no context.
pub(crate) fn context(headers: &HeaderMap) -> Result<Option<Blob>, Problem> {
    let Some(text) = text(headers, &CONTEXT)? else { return Ok(None) };
    let bytes = STANDARD.decode(&text).map_err(|error| {
        Problem::invalid(format!("Jedlik-Context is not a context, which is in base64: {error}"))
    })?;
    if bytes.len() > CONTEXT_LIMIT_BYTES {
        return Err(Problem::invalid(format!(
            "Jedlik-Context has {} bytes, over the limit of {CONTEXT_LIMIT_BYTES} of any context",
            bytes.len()
        )));
    }
    Ok(Some(bytes.into()))
}

/// Returns a context as the text of a header or a document.
pub(crate) fn context_text(context: &Blob) -> String {
    STANDARD.encode(context)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| Problem::invalid(format!("the header {name} is not UTF-8")))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{add, attributes, context};

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn what_a_put_says_of_its_value_comes_back() {
        let put = headers(&[
            ("content-type", "text/plain; charset=utf-8"),
            ("content-encoding", "gzip"),
            ("jedlik-meta-colour", "red"),
            ("jedlik-meta-colour", "blue"),
            ("x-other", "not kept"),
        ]);
        let mut got = HeaderMap::new();
        add(&mut got, &attributes(&put).unwrap());
        let mut expected = put;
        expected.remove("x-other");
        assert_eq!(got, expected);
    }

    #[test]
    fn a_value_without_a_media_type_is_bytes() {
        let mut got = HeaderMap::new();
        add(&mut got, &attributes(&HeaderMap::new()).unwrap());
        assert_eq!(got, headers(&[("content-type", "application/octet-stream")]));
    }

    #[test]
    fn nonsense_in_place_of_a_context_is_refused() {
        assert!(context(&headers(&[("jedlik-context", "%%%")])).is_err());
        assert_eq!(context(&HeaderMap::new()).unwrap(), None);
        let long = "A".repeat(400_000);
        assert!(context(&headers(&[("jedlik-context", &long)])).is_err());
    }
}
