//! Waiting for something that nobody announces.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` again and again; `None` when it has had nothing to give within `limit`.
///
/// # Errors
/// The condition's own.
pub(crate) fn until<T>(
    limit: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let start = Instant::now();
    loop {
        if let Some(found) = condition()? {
            return Ok(Some(found));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        thread::park_timeout(PAUSE);
    }
}
