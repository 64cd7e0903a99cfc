//! Conditions of a put: what must be there for it to be carried out.
//!
//! A condition is checked by a get before the put, and no lock is held in between: of two clients that check at the same
//! time both may pass. Then both values are there as siblings, as after any two puts at once, and the answers say so.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use jedlik_door::requests::{self, ReadOptions, WriteOptions};
use jedlik_door::unexpected;
use jedlik_protocol::client::{ClientResponse, GetAnswer};
use jedlik_protocol::{Blob, Key};
use jedlik_vclock::Content;

use crate::access::Asked;
use crate::problem::Problem;
use crate::v1::document::tag;

/// Conditions that a put names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// Tag of the one version that must be there.
    tag: Option<String>,
    /// Whether the key must be absent.
    absent: bool,
    /// Whether the put's context must be the latest.
    latest: bool,
}

impl Conditions {
    /// Reads the conditions from a put's headers; `latest` is in its query.
    ///
    /// # Errors
    /// A condition can't be checked.
    pub(crate) fn of(headers: &HeaderMap, latest: bool) -> Result<Self, Problem> {
        let text = |name: header::HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        let absent = match text(header::IF_NONE_MATCH) {
            None => false,
            Some(b"*") => true,
            Some(_) => {
                let message = "If-None-Match of a put takes *: the key has to be absent";
                return Err(Problem::invalid(message));
            }
        };
        let tag = text(header::IF_MATCH).map(|tag| String::from_utf8_lossy(tag).into_owned());
        Ok(Self { tag: tag.map(|tag| tag.trim_matches('"').to_owned()), absent, latest })
    }

    /// Checks the conditions against what a get finds now.
    ///
    /// # Errors
    /// One of them does not hold, or the get has failed.
    pub(crate) async fn check(
        &self,
        shared: &Asked,
        key: &Key,
        context: Option<&Blob>,
        options: &WriteOptions,
    ) -> Result<(), Problem> {
        if *self == Self::default() {
            return Ok(());
        }
        let WriteOptions { n, timeout_ms, .. } = *options;
        let options = ReadOptions { n, timeout_ms, ..ReadOptions::default() };
        let answer = shared.node.ask(&shared.caller(), requests::get(key.clone(), &options)).await;
        match answer.response {
            ClientResponse::Got(found) => self.compare(&found, context),
            other => Err(unexpected(other).into()),
        }
    }

    fn compare(&self, found: &GetAnswer, context: Option<&Blob>) -> Result<(), Problem> {
        let is_value = |content: &Content<_>| matches!(content, Content::Value(_));
        if self.absent && found.versions.iter().any(|version| is_value(&version.content)) {
            return Err(failed("the key is not absent"));
        }
        if self.latest && context != found.context.as_ref() {
            return Err(failed("the context is not the latest: the key was written since"));
        }
        match (&self.tag, &found.versions[..]) {
            (None, _) => Ok(()),
            (Some(wanted), [version]) if *wanted == tag(version.tag) => Ok(()),
            (Some(_), _) => Err(failed("the key has not this version alone")),
        }
    }
}

fn failed(why: &str) -> Problem {
    let message = format!("{why}; nothing was done: get the key and decide again");
    Problem::with_status(StatusCode::PRECONDITION_FAILED, message)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
    use jedlik_protocol::Blob;
    use jedlik_protocol::client::{GetAnswer, Version};
    use jedlik_vclock::Content;

    use super::Conditions;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    fn found(tags: &[u64], context: Option<&str>) -> GetAnswer {
        let version = |tag: &u64| Version {
            content: Content::Value("tea".into()),
            tag: *tag,
            written_at_ms: 0,
            expires_at_ms: None,
        };
        let versions = tags.iter().map(version).collect();
        let context = context.map(Blob::from);
        GetAnswer { versions, context, answered: 2, primaries: 2, partial: false }
    }

    #[test]
    fn a_condition_holds_or_fails_the_put() {
        let none = HeaderMap::new();
        let one = headers("if-match", "\"000000000000000a\"");
        let absent = headers("if-none-match", "*");
        for (headers, latest, found, context, holds) in [
            (&none, false, found(&[1, 2], Some("b")), Some("a"), true),
            (&one, false, found(&[10], Some("a")), None, true),
            (&one, false, found(&[10, 11], Some("a")), None, false),
            (&one, false, found(&[11], Some("a")), None, false),
            (&absent, false, found(&[], None), None, true),
            (&absent, false, found(&[10], Some("a")), None, false),
            (&none, true, found(&[10], Some("a")), Some("a"), true),
            (&none, true, found(&[10], Some("b")), Some("a"), false),
            (&none, true, found(&[], None), None, true),
            (&none, true, found(&[10], Some("b")), None, false),
        ] {
            let conditions = Conditions::of(headers, latest).unwrap();
            let context = context.map(Blob::from);
            match conditions.compare(&found, context.as_ref()) {
                Ok(()) => assert!(holds, "{headers:?} {latest} {found:?}"),
                Err(problem) => {
                    assert!(!holds, "{headers:?} {latest} {found:?}");
                    assert_eq!(problem.status, StatusCode::PRECONDITION_FAILED);
                }
            }
        }
        assert!(Conditions::of(&headers("if-none-match", "\"a\""), false).is_err());
    }
}
