//! Conditions of a request on what the key holds.
//!
//! A put's conditions are compared with what a get sees just before the put: best effort, since nothing keeps others from
//! writing in between. Two puts at once may both pass; they then become siblings, which the answers to later gets show, and
//! the header `Jedlik-Siblings` of the put that came second.
//!
//! A key that was deleted counts as absent: `If-None-Match: *` holds. A conditional put that names no vclock replaces what
//! its condition was compared with, tombstones included.
//!
//! Invariant: a request whose condition does not hold writes nothing.

use std::time::SystemTime;

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use jedlik_protocol::Blob;
use jedlik_protocol::client::{GetAnswer, Version};
use jedlik_riak::vtag;
use jedlik_vclock::Content;

use crate::riak::headers::{IF_NOT_MODIFIED, context, date, text};
use crate::riak::refusal::Refusal;

/// Conditions that a request's headers set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    matches: Option<Tags>,
    matches_none: Option<Tags>,
    modified_since: Option<SystemTime>,
    unmodified_since: Option<SystemTime>,
    not_modified: Option<Blob>,
}

/// Tags of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// Any version of the key.
    Any,
    /// Version, or set of siblings, with one of these tags.
    Of(Vec<String>),
}

/// State of a key that conditions are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Tag of what was found; `None` if the key is absent.
    tag: Option<String>,
    /// Time of the newest version, in whole seconds as headers have it.
    written_at: Option<SystemTime>,
    context: Option<Blob>,
}

impl Seen {
    pub(crate) fn of(answer: &GetAnswer) -> Self {
        let is_value = |version: &Version| matches!(version.content, Content::Value(_));
        let exists = answer.versions.iter().any(is_value);
        let newest = answer.versions.iter().map(|version| version.written_at_ms).max();
        let time = newest.and_then(|ms| httpdate::parse_http_date(date(ms).to_str().ok()?).ok());
        Self {
            tag: exists.then(|| vtag::of_all(&answer.versions)),
            written_at: time.filter(|_| exists),
            context: answer.context.clone(),
        }
    }

    /// Returns the same with the tag and the time of one version, which a request has chosen.
    pub(crate) fn only(answer: &GetAnswer, version: &Version) -> Self {
        let versions = vec![version.clone()];
        Self::of(&GetAnswer { versions, ..answer.clone() })
    }
}

impl Conditions {
    /// Reads the conditions of a request.
    ///
    /// # Errors
    /// A header makes no sense.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let tags =
            |name: &HeaderName| Ok::<_, Refusal>(text(headers, name)?.map(|text| tags(&text)));
        // A date that is none is ignored, as HTTP has it.
        let time = |name: &HeaderName| {
            let text = text(headers, name)?;
            Ok::<_, Refusal>(text.and_then(|text| httpdate::parse_http_date(&text).ok()))
        };
        Ok(Self {
            matches: tags(&header::IF_MATCH)?,
            matches_none: tags(&header::IF_NONE_MATCH)?,
            modified_since: time(&header::IF_MODIFIED_SINCE)?,
            unmodified_since: time(&header::IF_UNMODIFIED_SINCE)?,
            not_modified: context(headers, &IF_NOT_MODIFIED)?,
        })
    }

    /// Whether a write has to get the key first.
    pub(crate) fn concern_writes(&self) -> bool {
        self.matches.is_some()
            || self.matches_none.is_some()
            || self.unmodified_since.is_some()
            || self.not_modified.is_some()
    }

    /// Returns the status that ends a get because of a condition; `None` if all hold.
    pub(crate) fn read(&self, seen: &Seen) -> Option<StatusCode> {
        if self.precondition_fails(seen) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
        let unchanged = match (&self.matches_none, self.modified_since) {
            (Some(tags), _) => tags.have(seen),
            (None, Some(since)) => seen.written_at.is_some_and(|written_at| written_at <= since),
            (None, None) => false,
        };
        unchanged.then_some(StatusCode::NOT_MODIFIED)
    }

    /// Refuses a write because of a condition.
    ///
    /// # Errors
    /// A condition does not hold.
    pub(crate) fn write(&self, seen: &Seen) -> Result<(), Refusal> {
        let refuse = |status, what: &str| {
            Err(Refusal::with_status(
                status,
                format!("{what}; nothing was done, get the key again"),
            ))
        };
        if self.not_modified.is_some() && self.not_modified != seen.context {
            let what = "the key was modified: X-Riak-If-Not-Modified is not its vclock";
            return refuse(StatusCode::CONFLICT, what);
        }
        if self.precondition_fails(seen) {
            let what = "the key has changed: If-Match or If-Unmodified-Since does not hold";
            return refuse(StatusCode::PRECONDITION_FAILED, what);
        }
        if self.matches_none.as_ref().is_some_and(|tags| tags.have(seen)) {
            let what = "the key is there already: If-None-Match does not hold";
            return refuse(StatusCode::PRECONDITION_FAILED, what);
        }
        Ok(())
    }

    fn precondition_fails(&self, seen: &Seen) -> bool {
        let unmatched = self.matches.as_ref().is_some_and(|tags| !tags.have(seen));
        let modified = |since: SystemTime| seen.written_at.is_none_or(|written| written > since);
        unmatched || self.matches.is_none() && self.unmodified_since.is_some_and(modified)
    }
}

impl Tags {
    fn have(&self, seen: &Seen) -> bool {
        match (self, &seen.tag) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(tags), Some(tag)) => tags.contains(tag),
        }
    }
}

/// Reads a list of tags, with or without quotes: the parts of a multipart answer have none.
fn tags(text: &str) -> Tags {
    if text.trim() == "*" {
        return Tags::Any;
    }
    let tag = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    Tags::Of(text.split(',').map(tag).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};
    use jedlik_protocol::Value;
    use jedlik_protocol::client::{GetAnswer, Version};
    use jedlik_vclock::Content;

    use super::{Conditions, Seen};

    fn conditions(list: &[(&str, &str)]) -> Conditions {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        Conditions::of(&list.iter().map(pair).collect::<HeaderMap>()).unwrap()
    }

    /// Returns a key's state with versions of these tags; a tag of 0 is a tombstone's.
    fn seen(tags: &[u64]) -> Seen {
        let version = |tag: &u64| Version {
            content: match tag {
                0 => Content::Tombstone,
                _ => Content::Value(Value::from("tea")),
            },
            tag: *tag,
            written_at_ms: 1_700_000_000_999,
            expires_at_ms: None,
        };
        let versions: Vec<Version> = tags.iter().map(version).collect();
        let context = (!tags.is_empty()).then(|| "seen".into());
        Seen::of(&GetAnswer { versions, context, answered: 2, primaries: 2, partial: false })
    }

    const WRITTEN: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";

    #[test]
    fn gets_are_ended_by_their_conditions() {
        for (list, tags, expected) in [
            (&[][..], &[7][..], None),
            (&[("if-none-match", "\"7\"")], &[7], Some(304)),
            (&[("if-none-match", "*")], &[7], Some(304)),
            (&[("if-none-match", "\"8\", W/\"7\"")], &[7], Some(304)),
            (&[("if-none-match", "\"8\"")], &[7], None),
            (&[("if-none-match", "*")], &[], None),
            (&[("if-match", "7")], &[7], None),
            (&[("if-match", "\"8\"")], &[7], Some(412)),
            (&[("if-match", "*")], &[], Some(412)),
            (&[("if-modified-since", WRITTEN)], &[7], Some(304)),
            (&[("if-modified-since", BEFORE)], &[7], None),
            (&[("if-modified-since", "nonsense")], &[7], None),
            (&[("if-none-match", "\"8\""), ("if-modified-since", WRITTEN)], &[7], None),
            (&[("if-unmodified-since", BEFORE)], &[7], Some(412)),
            (&[("if-unmodified-since", WRITTEN)], &[7], None),
        ] {
            let ended = conditions(list).read(&seen(tags)).map(|status| status.as_u16());
            assert_eq!(ended, expected, "{list:?} {tags:?}");
        }
    }

    #[test]
    fn writes_are_refused_where_a_condition_does_not_hold() {
        // "c2Vlbg==" is "seen" in base64.
        for (list, tags, expected) in [
            (&[][..], &[7][..], None),
            (&[("if-none-match", "*")], &[7], Some(412)),
            (&[("if-none-match", "*")], &[], None),
            (&[("if-none-match", "*")], &[0], None),
            (&[("if-none-match", "*")], &[0, 7], Some(412)),
            (&[("if-match", "\"7\"")], &[7], None),
            (&[("if-match", "\"7\"")], &[7, 8], Some(412)),
            (&[("if-match", "*")], &[0], Some(412)),
            (&[("if-unmodified-since", BEFORE)], &[7], Some(412)),
            (&[("x-riak-if-not-modified", "c2Vlbg==")], &[7], None),
            (&[("x-riak-if-not-modified", "b2xk")], &[7], Some(409)),
            (&[("x-riak-if-not-modified", "c2Vlbg==")], &[], Some(409)),
            (&[("if-modified-since", WRITTEN)], &[7], None),
        ] {
            let refused = conditions(list).write(&seen(tags)).err();
            let status = refused.map(|refusal| refusal.0.status.as_u16());
            assert_eq!(status, expected, "{list:?} {tags:?}");
        }
        assert!(!conditions(&[("if-modified-since", WRITTEN)]).concern_writes());
        assert!(conditions(&[("if-unmodified-since", WRITTEN)]).concern_writes());
    }
}
