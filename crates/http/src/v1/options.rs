//! Options of requests in the query of their address.
//!
//! Invariant: an option that is not known, or has a value that it can't take, is an error that names it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use jedlik_door::requests::{ReadOptions, TIMEOUT_MS, WriteOptions};
use jedlik_protocol::Quorum;
use jedlik_protocol::limits::{N_MAX, TIMEOUT_MAX_MS};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// Longest time after which a version expires: the largest number that every reader of JSON keeps as it is.
const TTL_MAX_MS: u64 = (1 << 53) - 1;

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
    poll_ms: Option<u32>,
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
    if_latest: bool,
    #[serde(deserialize_with = "number")]
    timeout_ms: Option<u32>,
}

impl Read {
    /// Returns the options of a get that nothing is to wait for.
    ///
    /// # Errors
    /// An option is out of range, or asks to wait for a change.
    pub(crate) fn at_once(&self) -> Result<ReadOptions, Problem> {
        match self.polled()? {
            (options, None) => Ok(options),
            (_, Some(_)) => Err(Problem::invalid("poll_ms is for a get of one key")),
        }
    }

    /// Returns the options of a get, and for how long it waits for a change.
    ///
    /// # Errors
    /// An option is out of range.
    pub(crate) fn polled(&self) -> Result<(ReadOptions, Option<Duration>), Problem> {
        let Self { n, r, pr, .. } = *self;
        let n = within("n", n, 1..=N_MAX)?;
        let poll_ms = within("poll_ms", self.poll_ms, 0..=TIMEOUT_MAX_MS)?;
        let options = ReadOptions { n, r, pr, timeout_ms: timeout(self.timeout_ms)? };
        Ok((options, poll_ms.map(|ms| Duration::from_millis(ms.into()))))
    }
}

impl Write {
    /// Returns the options of a write that no condition is set for.
    ///
    /// # Errors
    /// An option is out of range, or sets a condition.
    pub(crate) fn unconditional(&self) -> Result<WriteOptions, Problem> {
        match self.conditional()? {
            (options, false) => Ok(options),
            (_, true) => Err(Problem::invalid("if_latest is for a put of one key")),
        }
    }

    /// Returns the options of a put, and whether its context has to be the latest.
    ///
    /// # Errors
    /// An option is out of range.
    pub(crate) fn conditional(&self) -> Result<(WriteOptions, bool), Problem> {
        let Self { n, w, pw, dw, ttl_ms, .. } = *self;
        let (n, ttl_ms) = (within("n", n, 1..=N_MAX)?, ttl(ttl_ms)?);
        let options = WriteOptions { n, w, pw, dw, ttl_ms, timeout_ms: timeout(self.timeout_ms)? };
        Ok((options, self.if_latest))
    }
}

/// Returns the time that a request may take, the default unless it is set.
///
/// # Errors
/// It is out of range.
pub(crate) fn timeout(timeout_ms: Option<u32>) -> Result<u32, Problem> {
    Ok(within("timeout_ms", timeout_ms, 1..=TIMEOUT_MAX_MS)?.unwrap_or(TIMEOUT_MS))
}

/// Returns the time after which a version expires.
///
/// # Errors
/// It is out of range.
pub(crate) fn ttl(ttl_ms: Option<u64>) -> Result<Option<u64>, Problem> {
    within("ttl_ms", ttl_ms, 1..=TTL_MAX_MS)
}

/// Returns an option as it is.
///
/// # Errors
/// It is set, and out of its range.
pub(crate) fn within<N: PartialOrd + Display>(
    name: &str,
    number: Option<N>,
    range: RangeInclusive<N>,
) -> Result<Option<N>, Problem> {
    match number {
        Some(number) if !range.contains(&number) => {
            let (least, most) = range.into_inner();
            Err(Problem::invalid(format!("{name} takes a number from {least} to {most}")))
        }
        number => Ok(number),
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
        assert_eq!(read.at_once().unwrap(), expected);
        let write = query::<Write>(&uri("/k")).unwrap();
        assert_eq!(write.unconditional().unwrap(), WriteOptions::default());
    }

    #[test]
    fn an_option_that_makes_no_sense_is_named() {
        for (address, named) in [
            ("/k?q=1", "q"),
            ("/k?r=many", "many"),
            ("/k?r=1&r=2", "r"),
            ("/k?n=300", "300"),
            ("/k?n=17", "1 to 16"),
            ("/k?poll_ms=1", "poll_ms"),
            ("/k?timeout_ms=0", "timeout_ms"),
        ] {
            let read = query::<Read>(&Uri::from_static(address));
            let problem = read.and_then(|read| read.at_once()).unwrap_err();
            assert!(problem.failure.message.contains(named), "{address}: {problem:?}");
        }
        for (address, named) in [("/k?ttl_ms=0", "ttl_ms"), ("/k?if_latest=true", "if_latest")] {
            let write = query::<Write>(&Uri::from_static(address));
            let problem = write.and_then(|write| write.unconditional()).unwrap_err();
            assert!(problem.failure.message.contains(named), "{address}: {problem:?}");
        }
    }
}
