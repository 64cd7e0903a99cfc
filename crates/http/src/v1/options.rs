//! Options of requests in the query of their address.
//!
//! Invariant: an option that is not known, or has a value that it can't take, is an error that names it.

use std::str::FromStr;

use axum::http::Uri;
use jedlik_door::requests::{ReadOptions, TIMEOUT_MS, WriteOptions};
use jedlik_protocol::Quorum;
use jedlik_protocol::limits::TIMEOUT_MAX_MS;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// Options of a get, as they are named in a query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Read {
    #[serde(deserialize_with = "number")]
    n: Option<u8>,
    #[serde(deserialize_with = "quorum")]
    r: Quorum,
    #[serde(deserialize_with = "quorum")]
    pr: Quorum,
    #[serde(deserialize_with = "number")]
    pub(crate) poll_ms: Option<u32>,
    #[serde(deserialize_with = "number")]
    timeout_ms: Option<u32>,
}

/// Options of a put or a delete, as they are named in a query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Write {
    #[serde(deserialize_with = "number")]
    n: Option<u8>,
    #[serde(deserialize_with = "quorum")]
    w: Quorum,
    #[serde(deserialize_with = "quorum")]
    pw: Quorum,
    #[serde(deserialize_with = "quorum")]
    dw: Quorum,
    #[serde(deserialize_with = "number")]
    ttl_ms: Option<u64>,
    #[serde(deserialize_with = "flag")]
    pub(crate) if_latest: bool,
    #[serde(deserialize_with = "number")]
    timeout_ms: Option<u32>,
}

impl Read {
    pub(crate) fn options(&self) -> Result<ReadOptions, Problem> {
        let timeout_ms = timeout(self.timeout_ms)?;
        Ok(ReadOptions { n: self.n, r: self.r, pr: self.pr, timeout_ms })
    }
}

impl Write {
    pub(crate) fn options(&self) -> Result<WriteOptions, Problem> {
        let timeout_ms = timeout(self.timeout_ms)?;
        let Self { n, w, pw, dw, ttl_ms, .. } = *self;
        Ok(WriteOptions { n, w, pw, dw, ttl_ms, timeout_ms })
    }
}

/// Returns the time that a request may take, the default unless it is set.
///
/// # Errors
/// It is out of range.
pub(crate) fn timeout(timeout_ms: Option<u32>) -> Result<u32, Problem> {
    match timeout_ms {
        None => Ok(TIMEOUT_MS),
        Some(ms @ 1..=TIMEOUT_MAX_MS) => Ok(ms),
        Some(_) => {
            let message = format!("timeout_ms takes a number from 1 to {TIMEOUT_MAX_MS}");
            Err(Problem::invalid(message))
        }
    }
}

pub(crate) fn quorum<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quorum, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(format!("{text:?}: {error}")))
}

pub(crate) fn number<'de, D: Deserializer<'de>, N: FromStr>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text.parse();
    number.map(Some).map_err(|_| D::Error::custom(format!("{text:?} is no number that fits")))
}

pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(format!("{text:?} is neither true nor false")))
}

/// Refuses any option, where a request takes none.
///
/// # Errors
/// There is an option.
pub(crate) fn nothing(uri: &Uri) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    query::<Nothing>(uri).map(|Nothing {}| ())
}

/// Reads the options of a request from its query.
///
/// # Errors
/// An option is unknown, is given twice, or can't take its value.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    serde_urlencoded::from_str(uri.query().unwrap_or_default())
        .map_err(|error| Problem::invalid(format!("the query can't be used: {error}")))
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use jedlik_door::requests::{ReadOptions, WriteOptions};
    use jedlik_protocol::Quorum;

    use super::{Read, Write, query};

    #[test]
    fn options_are_read_and_left_out_ones_are_the_defaults() {
        let uri = |text: &'static str| Uri::from_static(text);
        let read = query::<Read>(&uri("/k?r=quorum&pr=1&timeout_ms=70")).unwrap();
        let expected = ReadOptions {
            r: Quorum::Majority,
            pr: Quorum::Count(1),
            timeout_ms: 70,
            ..ReadOptions::default()
        };
        assert_eq!(read.options().unwrap(), expected);
        let write = query::<Write>(&uri("/k")).unwrap();
        assert_eq!(write.options().unwrap(), WriteOptions::default());
    }

    #[test]
    fn an_option_that_makes_no_sense_is_named() {
        for (address, named) in [
            ("/k?q=1", "q"),
            ("/k?r=many", "many"),
            ("/k?r=1&r=2", "r"),
            ("/k?n=300", "300"),
            ("/k?timeout_ms=0", "timeout_ms"),
        ] {
            let read = query::<Read>(&Uri::from_static(address));
            let problem = read.and_then(|read| read.options()).unwrap_err();
            assert!(problem.failure.message.contains(named), "{address}: {problem:?}");
        }
    }
}
