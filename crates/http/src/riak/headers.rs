//! Headers that carry what belongs to a value beside its bytes.
//!
//! Names of metadata and of indexes have no case over HTTP: they are kept in lower case, and sent with capitals.
//!
//! Invariant: what a put's headers give a value, the headers of the get that follows give back.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jedlik_protocol::limits::{ATTRIBUTES_LIMIT_BYTES, CONTEXT_LIMIT_BYTES};
use jedlik_protocol::{Attributes, Blob};

use crate::riak::address::Address;
use crate::riak::links;
use crate::riak::refusal::Refusal;

/// Header that carries a context, in base64.
pub(crate) const VCLOCK: HeaderName = HeaderName::from_static("x-riak-vclock");
/// Header that says that a version is a tombstone.
pub(crate) const DELETED: HeaderName = HeaderName::from_static("x-riak-deleted");
/// Header of a conditional put, with the context that has to be the key's.
pub(crate) const IF_NOT_MODIFIED: HeaderName = HeaderName::from_static("x-riak-if-not-modified");
/// Header of ours: the number of siblings that a put leaves, where there is more than one.
pub(crate) const SIBLINGS: HeaderName = HeaderName::from_static("jedlik-siblings");
/// Header of ours: there are more siblings than one answer carries.
pub(crate) const PARTIAL: HeaderName = HeaderName::from_static("jedlik-partial");
/// Beginning of the headers that carry the client's own metadata.
const METADATA: &str = "x-riak-meta-";
/// Beginning of the headers that carry entries of secondary indexes.
const INDEX: &str = "x-riak-index-";

/// Reads what a put's headers say of its value.
///
/// # Errors
/// There is no content type, a header can't be kept, or all of them are too long.
pub(crate) fn attributes(headers: &HeaderMap, address: &Address) -> Result<Attributes, Refusal> {
    let Some(content_type) = text(headers, &header::CONTENT_TYPE)? else {
        return Err(Refusal::invalid("Missing Content-Type request header"));
    };
    if content_type.split(';').next().is_none_or(|media| !media.contains('/')) {
        let message =
            format!("{content_type:?} is not a valid media type for the Content-Type header");
        return Err(Refusal::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let mut attributes = Attributes {
        content_encoding: text(headers, &header::CONTENT_ENCODING)?,
        links: links::parse(headers, address)?,
        ..Attributes::default().with_content_type(&content_type)
    };
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix(METADATA) {
            attributes.metadata.push((name.into(), value.as_bytes().into()));
        }
        if let Some(name) = name.as_str().strip_prefix(INDEX) {
            attributes.indexes.extend(entries(name, value)?);
        }
    }
    let length = attributes.encode().len();
    if length > ATTRIBUTES_LIMIT_BYTES {
        return Err(Refusal::invalid(format!(
            "the headers that are kept with the value have {length} bytes, over the limit of {ATTRIBUTES_LIMIT_BYTES}"
        )));
    }
    Ok(attributes)
}

/// Returns the entries of one index, which a header may have several of.
fn entries(name: &str, value: &HeaderValue) -> Result<Vec<(Blob, Blob)>, Refusal> {
    let invalid = |what: &str| Refusal::invalid(format!("the header {INDEX}{name} {what}"));
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid("is not UTF-8"))?;
    let is_number = name.ends_with("_int");
    if !is_number && !name.ends_with("_bin") {
        return Err(invalid("is of no known kind: an index's name ends with _bin or _int"));
    }
    let entry = |text: &str| {
        if is_number && text.parse::<i128>().is_err() {
            return Err(invalid("has an entry that is no integer"));
        }
        Ok((name.into(), text.into()))
    };
    text.split(", ").map(entry).collect()
}

/// Returns the headers of a value, in their order.
pub(crate) fn of_value(
    attributes: &Attributes,
    address: &Address,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    // A value that came by another door may carry what no header can.
    let mut add = |name: Option<HeaderName>, value: Option<HeaderValue>| {
        headers.extend(name.zip(value));
    };
    let kind = attributes.media_type().unwrap_or_else(|| "application/octet-stream".into());
    add(Some(header::CONTENT_TYPE), HeaderValue::try_from(kind).ok());
    let encoding = attributes.content_encoding.as_deref();
    let encoding = encoding.and_then(|encoding| HeaderValue::try_from(encoding).ok());
    add(Some(header::CONTENT_ENCODING), encoding);
    add(Some(header::LINK), links::header(&attributes.links, address));
    for (name, value) in &attributes.metadata {
        add(prefixed(METADATA, name), HeaderValue::from_bytes(value).ok());
    }
    for entries in attributes.indexes.chunk_by(|(name, _), (other, _)| name == other) {
        let values: Vec<&[u8]> = entries.iter().map(|(_, value)| &value[..]).collect();
        let value = HeaderValue::from_bytes(&values.join(&b", "[..])).ok();
        add(prefixed(INDEX, &entries[0].0), value);
    }
    headers
}

fn prefixed(prefix: &str, name: &[u8]) -> Option<HeaderName> {
    HeaderName::from_bytes(&[prefix.as_bytes(), name].concat()).ok()
}

/// Reads the context that a request carries, if any.
///
/// # Errors
/// The header is no context.
pub(crate) fn context(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Blob>, Refusal> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let bytes = STANDARD.decode(text.trim()).map_err(|error| {
        Refusal::invalid(format!("{name} is not a vclock of a get, which is in base64: {error}"))
    })?;
    if bytes.len() > CONTEXT_LIMIT_BYTES {
        return Err(Refusal::invalid(format!(
            "{name} has {} bytes, over the limit of {CONTEXT_LIMIT_BYTES} of any vclock",
            bytes.len()
        )));
    }
    Ok(Some(bytes.into()))
}

/// Returns a context as the value of a header.
pub(crate) fn vclock(context: &Blob) -> HeaderValue {
    HeaderValue::try_from(STANDARD.encode(context)).expect("base64 has visible characters only")
}

/// Returns a time as headers have it.
pub(crate) fn date(written_at_ms: u64) -> HeaderValue {
    // The format ends with the year 9999.
    const LAST_MS: u64 = 253_402_300_799_000;
    let time = UNIX_EPOCH + Duration::from_millis(written_at_ms.min(LAST_MS));
    HeaderValue::try_from(httpdate::fmt_http_date(time))
        .expect("a date has visible characters only")
}

/// Returns a header as text; `None` if there is none.
///
/// # Errors
/// The header is not UTF-8.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| Refusal::invalid(format!("the header {name} is not UTF-8")))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

    use super::{VCLOCK, attributes, context, date, of_value, vclock};
    use crate::riak::address::Address;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        list.iter().map(pair).collect()
    }

    fn address() -> Address {
        Address::of(&Uri::from_static("/buckets/carts/keys/alice"))
    }

    #[test]
    fn what_a_put_says_of_its_value_comes_back() {
        let put = headers(&[
            ("content-type", "text/plain; charset=utf-8"),
            ("content-encoding", "gzip"),
            ("link", "</buckets/carts>; rel=\"up\", </buckets/b/keys/k>; riaktag=\"t\""),
            ("x-riak-meta-colour", "red"),
            ("x-riak-meta-colour", "blue"),
            ("x-riak-index-age_int", "7, -8"),
            ("x-riak-index-mail_bin", "a@b"),
            ("x-other", "not kept"),
        ]);
        let got: HeaderMap =
            of_value(&attributes(&put, &address()).unwrap(), &address()).into_iter().collect();
        let mut expected = put;
        expected.remove("x-other");
        assert_eq!(got, expected);
    }

    #[test]
    fn a_put_without_a_content_type_is_refused() {
        for (list, status) in [
            (&[][..], StatusCode::BAD_REQUEST),
            (&[("content-type", "nonsense")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (&[("content-type", "a/b"), ("x-riak-index-age", "7")], StatusCode::BAD_REQUEST),
            (&[("content-type", "a/b"), ("x-riak-index-age_int", "x")], StatusCode::BAD_REQUEST),
            (&[("content-type", "a/b"), ("link", "x")], StatusCode::BAD_REQUEST),
        ] {
            let refused = attributes(&headers(list), &address()).unwrap_err();
            assert_eq!(refused.0.status, status, "{list:?}");
        }
        let long = "a".repeat(70_000);
        let too_long = headers(&[("content-type", "a/b"), ("x-riak-meta-a", &long)]);
        assert!(attributes(&too_long, &address()).is_err());
    }

    #[test]
    fn a_vclock_is_read_back_and_nonsense_is_not() {
        let carried = HeaderMap::from_iter([(VCLOCK, vclock(&"seen".into()))]);
        assert_eq!(context(&carried, &VCLOCK).unwrap(), Some("seen".into()));
        assert_eq!(context(&HeaderMap::new(), &VCLOCK).unwrap(), None);
        assert!(context(&headers(&[("x-riak-vclock", "%%%")]), &VCLOCK).is_err());
        let long = "A".repeat(400_000);
        assert!(context(&headers(&[("x-riak-vclock", &long)]), &VCLOCK).is_err());
    }

    #[test]
    fn times_are_dates() {
        assert_eq!(date(1_700_000_000_999), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
