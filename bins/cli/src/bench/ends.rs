//! What ends a run before its time: a signal, or an error that every other request would meet as well.

use std::time::Duration;

use jedlik_client::{ClientError, ErrorCode};
use tokio::sync::mpsc;

use crate::exit::Exit;
use crate::interrupt::Signals;

/// Ends of a run before its time.
pub(super) struct Ends {
    pub(super) signals: Signals,
    /// Errors of the clients that no other request can pass.
    pub(super) hopeless: mpsc::Receiver<ClientError>,
}

impl Ends {
    /// Waits for this long, or until a signal comes.
    ///
    /// # Errors
    /// A request has met an error that no other can pass.
    pub(super) async fn pause(&mut self, time: Duration) -> anyhow::Result<Option<Exit>> {
        tokio::select! {
            Some(error) = self.hopeless.recv() => {
                Err(anyhow::Error::from(error).context("the first request that failed has stopped the bench"))
            }
            () = tokio::time::sleep(time) => Ok(None),
            exit = self.signals.received() => Ok(Some(exit)),
        }
    }
}

/// Whether every other request would fail as this one has: for its size, its arguments, or the certificate's role.
pub(super) fn is_hopeless(error: &ClientError) -> bool {
    match error {
        ClientError::InvalidKey(_) | ClientError::Forbidden(_) | ClientError::TooLong { .. } => {
            true
        }
        ClientError::Refused(refusal) => {
            matches!(refusal.code(), ErrorCode::InvalidRequest | ErrorCode::ValueTooLarge)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jedlik_client::{ClientError, ErrorCode, Refusal};

    use super::is_hopeless;

    #[test]
    fn what_a_request_asks_for_is_hopeless_and_what_it_meets_is_not() {
        let refused = |code| ClientError::Refused(Refusal::new(code, "no"));
        for (error, expected) in [
            (refused(ErrorCode::InvalidRequest), true),
            (refused(ErrorCode::ValueTooLarge), true),
            (ClientError::Forbidden(Refusal::new(ErrorCode::Forbidden, "no")), true),
            (refused(ErrorCode::TooManySiblings), false),
            (ClientError::NoLayout, false),
        ] {
            assert_eq!(is_hopeless(&error), expected, "{error}");
        }
    }
}
