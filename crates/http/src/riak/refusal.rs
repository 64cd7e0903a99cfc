//! Refusals in Riak's manner: plain text, here with the remedy.
//!
//! Invariant: a request that may be sent again is told when.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jedlik_protocol::error::Failure;

use crate::problem::{Problem, RETRY_AFTER_S};

/// Media type of Riak's messages.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// Refusal of a request, as a client of Riak is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) Problem);

impl Refusal {
    /// Refuses a request that can't be carried out as it is.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self(Problem::invalid(message))
    }

    /// Refuses a request with a status of its own.
    pub(crate) fn with_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self(Problem::with_status(status, message))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure.into())
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let mut response = Response::new(Body::from(format!("{}\n", problem.failure)));
        *response.status_mut() = problem.status;
        response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
        if problem.may_be_sent_again() {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        response
    }
}
