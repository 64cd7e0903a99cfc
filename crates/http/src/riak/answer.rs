//! Answers that show a key's versions: one, several as a list of tags or in parts, or none.
//!
//! Invariant: every answer that shows versions has the context of all of them.

use axum::body::Body;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use jedlik_door::{Held, requests};
use jedlik_protocol::Attributes;
use jedlik_protocol::client::{GetAnswer, Version};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_riak::vtag;
use jedlik_vclock::Content;

use crate::keep;
use crate::pieces::Parts;
use crate::riak::address::Address;
use crate::riak::conditions::{Conditions, Seen};
use crate::riak::headers::{DELETED, PARTIAL, VCLOCK, date, of_value, vclock};
use crate::riak::refusal::{Refusal, TEXT};

/// Answer to a get, as far as the request decides about it.
pub(crate) struct Shown<'a> {
    pub(crate) address: &'a Address,
    /// Tag of the one version that is wanted.
    pub(crate) vtag: Option<&'a str>,
    pub(crate) conditions: Conditions,
    /// Whether siblings are wanted in parts, each with its own headers.
    pub(crate) in_parts: bool,
}

impl Shown<'_> {
    /// Shows what a get has found.
    ///
    /// # Errors
    /// A value carries what this node can't read, or the system has no randomness for a boundary.
    pub(crate) fn response(&self, answer: &GetAnswer, held: Held) -> Result<Response, Refusal> {
        let chosen = match (self.vtag, &answer.versions[..]) {
            (Some(vtag), versions) => match vtag::find(versions, vtag) {
                Some(version) => Some(version),
                None => return Ok(absent(answer)),
            },
            (None, versions) if !versions.iter().any(has_value) => return Ok(absent(answer)),
            (None, [version]) => Some(version),
            (None, _) => None,
        };
        let seen = match chosen {
            Some(version) => Seen::only(answer, version),
            None => Seen::of(answer),
        };
        let mut response = match (self.conditions.read(&seen), chosen) {
            (Some(status), _) => with_status(status),
            (None, Some(version)) => self.one(version)?,
            (None, None) if self.in_parts => self.parts(&answer.versions)?,
            (None, None) => list(&answer.versions),
        };
        let shown = chosen.map_or(&answer.versions[..], std::slice::from_ref);
        add_of_all(response.headers_mut(), answer, shown);
        response.extensions_mut().insert(keep::Held::new([held]));
        Ok(response)
    }

    /// Shows one version as the body.
    fn one(&self, version: &Version) -> Result<Response, Refusal> {
        let mut response = Response::new(Body::from(bytes(version)));
        for (name, value) in self.headers(version)? {
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }

    /// Shows all versions as parts of one body.
    fn parts(&self, versions: &[Version]) -> Result<Response, Refusal> {
        let boundary = requests::unique_name()?;
        let mut parts = Vec::new();
        for version in versions {
            let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
            let tag = HeaderValue::try_from(vtag::text(version.tag)).ok();
            let own =
                [(header::ETAG, tag), (header::LAST_MODIFIED, Some(date(version.written_at_ms)))];
            let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
            for (name, value) in self.headers(version)?.into_iter().chain(own) {
                head.extend_from_slice(title_case(&name).as_bytes());
                head.extend_from_slice(b": ");
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"\r\n");
            parts.extend([Bytes::from(head), bytes(version)]);
        }
        parts.push(format!("\r\n--{boundary}--\r\n").into());
        let mut response = Response::new(Body::new(Parts::new(parts)));
        *response.status_mut() = StatusCode::MULTIPLE_CHOICES;
        let kind = HeaderValue::try_from(format!("multipart/mixed; boundary={boundary}"));
        response.headers_mut().insert(header::CONTENT_TYPE, kind.unwrap_or(TEXT));
        Ok(response)
    }

    /// Returns the headers of one version, but for its tag and its time.
    fn headers(&self, version: &Version) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        match &version.content {
            Content::Value(value) => {
                let attributes = value.attributes().ok_or_else(unreadable)?;
                Ok(of_value(&attributes, self.address))
            }
            Content::Tombstone => {
                let mut headers = of_value(&Attributes::default(), self.address);
                headers.push((DELETED, HeaderValue::from_static("true")));
                Ok(headers)
            }
        }
    }
}

/// Whether siblings are wanted in parts: only where the client says so, since people read the list.
pub(crate) fn wants_parts(headers: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.split(',').any(|range| {
            matches!(
                range.split(';').next().map(str::trim),
                Some("multipart/mixed" | "multipart/*")
            )
        })
    };
    headers.get_all(header::ACCEPT).iter().any(accepts)
}

/// Answers that a key is absent, with the context of its tombstones if there are any.
pub(crate) fn absent(answer: &GetAnswer) -> Response {
    let mut response = Response::new(Body::from("not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TEXT);
    if !answer.versions.is_empty() && !answer.versions.iter().any(has_value) {
        headers.insert(DELETED, HeaderValue::from_static("true"));
    }
    if let Some(context) = &answer.context {
        headers.insert(VCLOCK, vclock(context));
    }
    response
}

/// Lists the tags of siblings.
fn list(versions: &[Version]) -> Response {
    let mut text = String::from("Siblings:\n");
    for version in versions {
        text.push_str(&vtag::text(version.tag));
        text.push('\n');
    }
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::MULTIPLE_CHOICES;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

/// Adds the context, and the tag and the time of the versions that are shown.
fn add_of_all(headers: &mut HeaderMap, answer: &GetAnswer, shown: &[Version]) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", vtag::of_all(shown))) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(newest) = shown.iter().map(|version| version.written_at_ms).max() {
        headers.insert(header::LAST_MODIFIED, date(newest));
    }
    if let Some(context) = &answer.context {
        headers.insert(VCLOCK, vclock(context));
    }
    if answer.partial {
        headers.insert(PARTIAL, HeaderValue::from_static("true"));
    }
}

fn with_status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn bytes(version: &Version) -> Bytes {
    match &version.content {
        Content::Value(value) => value.bytes().bytes().clone(),
        Content::Tombstone => Bytes::new(),
    }
}

/// Whether a version is a value, and no tombstone.
pub(crate) fn has_value(version: &Version) -> bool {
    matches!(version.content, Content::Value(_))
}

/// Writes the name of a header as the server does, for parts of a body.
fn title_case(name: &HeaderName) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.as_str().split('-').map(word).collect::<Vec<String>>().join("-")
}

fn unreadable() -> Refusal {
    let message = "a newer version of Jedlik wrote the value, and this node can't read what it carries beside its \
                   bytes: ask another node, or upgrade this one";
    Failure::new(ErrorCode::Internal, message).into()
}
