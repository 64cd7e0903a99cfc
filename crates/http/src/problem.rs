//! Errors as RFC 9457 problems: a code, what happened, and what to do.
//!
//! Invariant: every error of `/v1` is one, and its code is one of the page on the client API.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jedlik_protocol::error::{ErrorCode, Failure};
use serde::Serialize;

/// Media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// Seconds after which a request that may be sent again is to be sent again.
pub(crate) const RETRY_AFTER_S: u32 = 1;

/// Challenge to a client that shows no token.
const CHALLENGE: &str = "Bearer realm=\"Jedlik\", Basic realm=\"Jedlik\"";

/// Error of a request, as its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) failure: Failure,
}

/// Problem as its client is told.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: Cow<'a, str>,
    code: String,
    retry: bool,
    maybe_applied: bool,
}

impl Problem {
    /// Returns the problem of a request that can't be carried out as it is.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Failure::new(ErrorCode::InvalidRequest, detail.into()).into()
    }

    /// Returns an invalid request's problem with a status of its own.
    pub(crate) fn with_status(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, failure: Failure::new(ErrorCode::InvalidRequest, detail.into()) }
    }

    /// Returns the problem of a fault in the program.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Failure::new(ErrorCode::Internal, detail.into()).into()
    }

    /// Returns the problem as its client is told.
    pub(crate) fn shown(&self) -> Shown<'_> {
        let code = format!("{:?}", self.failure.code);
        Shown {
            kind: format!("urn:jedlik:error:{code}"),
            title: title(self.status),
            status: self.status.as_u16(),
            detail: Cow::Borrowed(&self.failure.message),
            retry: self.may_be_sent_again(),
            maybe_applied: self.failure.maybe_applied,
            code,
        }
    }

    /// Returns the problem as its client is told, to be kept.
    pub(crate) fn into_shown(self) -> Shown<'static> {
        let Shown { kind, title, status, retry, maybe_applied, code, .. } = self.shown();
        let detail = Cow::Owned(self.failure.message);
        Shown { kind, title, status, detail, code, retry, maybe_applied }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn may_be_sent_again(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { status: status(failure.code), failure }
    }
}

/// Returns the status of an error code.
pub(crate) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidRequest | ErrorCode::InvalidContext => StatusCode::BAD_REQUEST,
        ErrorCode::ValueTooLarge | ErrorCode::RecordTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::TooManySiblings | ErrorCode::PlanChanged => StatusCode::CONFLICT,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        code if code.retryable() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.shown()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if self.may_be_sent_again() {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        response
    }
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use jedlik_protocol::error::{ErrorCode, Failure};

    use super::Problem;

    #[tokio::test]
    async fn a_failure_is_told_with_its_code_and_whether_to_send_it_again() {
        let failure = Failure::new(ErrorCode::Overloaded, "the queue is full");
        let response = Problem::from(failure).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let shown: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(shown["code"], "Overloaded");
        assert_eq!(shown["type"], "urn:jedlik:error:Overloaded");
        assert_eq!((&shown["retry"], &shown["status"]), (&true.into(), &503.into()));
    }

    #[test]
    fn what_can_never_succeed_is_not_to_be_sent_again() {
        for code in [ErrorCode::InvalidRequest, ErrorCode::ValueTooLarge, ErrorCode::Forbidden] {
            let problem = Problem::from(Failure::new(code, "no"));
            assert!(!problem.may_be_sent_again() && problem.status.is_client_error(), "{code:?}");
        }
    }
}
