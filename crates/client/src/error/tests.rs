//! The remedy and the words of each error.

use std::time::Duration;

use jedlik_net::CloseReason;
use jedlik_protocol::error::{ErrorCode, Failure};

use super::{AttemptError, ClientError, ErrorKind, StartError};

fn address() -> std::net::SocketAddr {
    "127.0.0.1:7101".parse().unwrap()
}

fn exhausted(last: AttemptError, maybe_applied: bool) -> ClientError {
    ClientError::exhausted(Duration::from_secs(5), 3, last, maybe_applied)
}

#[test]
fn each_error_says_what_a_caller_can_do() {
    let failure = |code| Failure::new(code, "no");
    let refused =
        |code| AttemptError::Refused { address: address(), refusal: failure(code).into() };
    let start = |last| ClientError::Start(StartError::Unreachable { seeds: 1, last });
    let cases = [
        (
            ClientError::refused(failure(ErrorCode::ValueTooLarge)),
            ErrorKind::Invalid,
            "value-too-large",
        ),
        (ClientError::refused(failure(ErrorCode::PlanChanged)), ErrorKind::Invalid, "plan-changed"),
        (ClientError::refused(failure(ErrorCode::Forbidden)), ErrorKind::Forbidden, "forbidden"),
        (ClientError::refused(failure(ErrorCode::Internal)), ErrorKind::Fault, "internal"),
        (exhausted(refused(ErrorCode::Overloaded), false), ErrorKind::Unavailable, "overloaded"),
        (exhausted(AttemptError::NoNode, false), ErrorKind::Unavailable, "timeout"),
        (ClientError::Start(StartError::NoSeeds), ErrorKind::Invalid, "start"),
        (start(refused(ErrorCode::Forbidden)), ErrorKind::Forbidden, "start"),
        (start(refused(ErrorCode::Overloaded)), ErrorKind::Unavailable, "start"),
        (ClientError::NoLayout, ErrorKind::Unavailable, "no-layout"),
        (ClientError::Reset { name: b"carts".to_vec() }, ErrorKind::Unavailable, "reset"),
    ];
    for (error, kind, name) in cases {
        assert_eq!((error.kind(), error.name()), (kind, name), "{error}");
    }
}

#[test]
fn a_put_that_may_have_happened_says_so_once() {
    let mut failure = Failure::new(ErrorCode::Timeout, "1 of 2 replicas answered");
    failure.maybe_applied = true;
    let errors = [
        exhausted(AttemptError::Refused { address: address(), refusal: failure.into() }, false),
        exhausted(AttemptError::Lost { address: address(), why: CloseReason::Silent.into() }, true),
    ];
    for error in errors {
        assert!(error.maybe_applied());
        assert_eq!(error.to_string().matches("may still take effect").count(), 1, "{error}");
    }
}
