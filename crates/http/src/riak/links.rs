//! Link headers: `</buckets/B/keys/K>; riaktag="T"`, several in one header with commas between them.
//!
//! Invariant: the links that [`header`] writes are the ones that [`parse`] reads.

use axum::http::{HeaderMap, HeaderValue, header as names};
use jedlik_protocol::Link;

use crate::riak::address::{Address, quote, unquote};
use crate::riak::refusal::Refusal;

/// Reads all links of a request. A link to the bucket itself, which answers have, is left out.
///
/// # Errors
/// A link is of another form, or leads to something else than a key.
pub(crate) fn parse(headers: &HeaderMap, address: &Address) -> Result<Vec<Link>, Refusal> {
    let mut links = Vec::new();
    for value in headers.get_all(names::LINK) {
        let mut rest = std::str::from_utf8(value.as_bytes()).map_err(|_| malformed())?.trim();
        while !rest.is_empty() {
            let (target, after) = enclosed(rest, '<', '>').ok_or_else(malformed)?;
            let parameter = after.trim_start().strip_prefix(';').ok_or_else(malformed)?;
            let (name, quoted) = parameter.trim_start().split_once('=').ok_or_else(malformed)?;
            let (text, after) = enclosed(quoted, '"', '"').ok_or_else(malformed)?;
            match name {
                "riaktag" => links.push(to_key(target, text).ok_or_else(malformed)?),
                "rel" if text == "up" && is_bucket(target, address) => {}
                _ => return Err(malformed()),
            }
            rest = after.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or_else(malformed)?.trim_start();
            }
        }
    }
    Ok(links)
}

/// Returns the header of an answer: the link to the bucket, and the value's own.
pub(crate) fn header(links: &[Link], address: &Address) -> Option<HeaderValue> {
    let up = format!("<{}>; rel=\"up\"", address.up());
    let others = links.iter().map(|Link { bucket, key, tag }| {
        format!("<{}>; riaktag=\"{}\"", address.link(bucket, key), quote(tag))
    });
    let all: Vec<String> = std::iter::once(up).chain(others).collect();
    HeaderValue::try_from(all.join(", ")).ok()
}

fn to_key(target: &str, tag: &str) -> Option<Link> {
    let segments: Vec<&str> = target.strip_prefix('/')?.split('/').collect();
    let (["buckets", bucket, "keys", key] | ["riak", bucket, key]) = segments[..] else {
        return None;
    };
    let name = |text: &str| Some(unquote(text)).filter(|name| !name.is_empty());
    let (bucket, key, tag) = (name(bucket)?, name(key)?, name(tag)?);
    Some(Link { bucket: bucket.into(), key: key.into(), tag: tag.into() })
}

fn is_bucket(target: &str, address: &Address) -> bool {
    unquote(target) == unquote(&address.up())
}

/// Returns the text between two marks at the beginning, and the text after them.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.strip_prefix(open)?.split_once(close)
}

fn malformed() -> Refusal {
    Refusal::invalid(
        "Invalid Link header. Links must be of the form </buckets/BUCKET/keys/KEY>; riaktag=\"TAG\"",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header as names};
    use jedlik_protocol::Link;

    use super::{header, parse};
    use crate::riak::address::Address;

    fn address(path: &str) -> Address {
        Address::of(&path.parse::<Uri>().unwrap())
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(names::LINK, HeaderValue::from_str(value).unwrap())])
    }

    fn link(bucket: &str, key: &str, tag: &str) -> Link {
        Link { bucket: bucket.into(), key: key.into(), tag: tag.into() }
    }

    #[test]
    fn links_are_read_in_every_form() {
        let here = address("/buckets/carts/keys/a");
        for (value, expected) in [
            ("</buckets/b/keys/k>; riaktag=\"t\"", vec![link("b", "k", "t")]),
            ("</riak/b/k>;riaktag=\"t\"", vec![link("b", "k", "t")]),
            (
                "</buckets/a+b/keys/x%2Fy>; riaktag=\"one, two\", </riak/c/d>; riaktag=\"%22\"",
                vec![link("a b", "x/y", "one, two"), link("c", "d", "\"")],
            ),
            ("</buckets/carts>; rel=\"up\"", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(parse(&headers(value), &here).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn links_that_are_written_can_be_read() {
        let links = vec![link("a/b", "k\" ", "t,>"), link("b", "k", "next")];
        for path in ["/buckets/carts/keys/a", "/riak/ca%20rts/a", "/types/t/buckets/c/keys/a"] {
            let written = header(&links, &address(path)).unwrap();
            let read = parse(&HeaderMap::from_iter([(names::LINK, written)]), &address(path));
            assert_eq!(read.unwrap(), links, "{path}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let here = address("/buckets/carts/keys/a");
        for value in [
            "nonsense",
            "</buckets/b/keys/k>",
            "</buckets/b/keys/k>; riaktag=t",
            "</buckets/b/keys/>; riaktag=\"t\"",
            "</buckets/b/keys/k>; riaktag=\"\"",
            "</buckets/other>; rel=\"up\"",
            "</buckets/b/keys/k>; riaktag=\"t\" </buckets/b/keys/k>; riaktag=\"t\"",
            "</buckets/b/keys/k; riaktag=\"t\"",
        ] {
            assert!(parse(&headers(value), &here).is_err(), "{value}");
        }
    }
}
