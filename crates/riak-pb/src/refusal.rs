//! Refusals: why a request is not carried out, as its client is told.
//!
//! Invariant: a refusal's text begins with a code of the page on the client API, unless clients of Riak look for a word of
//! their own.

use std::fmt;
use std::io;

use bytes::Bytes;
use jedlik_protocol::error::{ErrorCode, Failure};

use crate::messages::ErrorAnswer;

/// Text of an error's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    text: String,
    forbidden: bool,
}

/// Way in which a request ends without its answer.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The request was refused, which its client is to be told.
    Refused(Refusal),
    /// The client can't be answered any more.
    Gone(io::Error),
}

impl Refusal {
    /// Returns the refusal of a request that can't be carried out as it is.
    pub(crate) fn invalid(why: impl fmt::Display) -> Self {
        Failure::new(ErrorCode::InvalidRequest, why.to_string()).into()
    }

    /// Returns a refusal that is one of Riak's own words, such as `modified`.
    pub(crate) fn word(word: &str) -> Self {
        Self { text: word.to_owned(), forbidden: false }
    }

    /// Whether the client has no right to what it asked for.
    pub(crate) fn is_for_want_of_rights(&self) -> bool {
        self.forbidden
    }

    pub(crate) fn message(&self) -> ErrorAnswer {
        // Riak's own code for any error.
        ErrorAnswer { message: Bytes::copy_from_slice(self.text.as_bytes()), code: 0 }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let text = format!("{:?}: {failure}", failure.code);
        Self { text, forbidden: failure.code == ErrorCode::Forbidden }
    }
}

impl<R: Into<Refusal>> From<R> for Ended {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}
