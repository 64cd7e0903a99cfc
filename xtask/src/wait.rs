//! Waits for conditions that nothing announces.

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `condition` repeatedly until it gives a value; `None` if it gives none within `limit`.
///
/// # Errors
/// The condition fails; its own error is returned.
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
