//! A panic in a part that the node can't go on without ends the process, instead of hanging it.

use tokio::task::{JoinError, JoinHandle};
use tracing::error;

use crate::logging;

/// Held by such a part's thread while it works.
pub(crate) struct EndsProcess(pub(crate) &'static str);

impl Drop for EndsProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end(self.0);
        }
    }
}

/// Spawns such a part as a task.
pub(crate) fn spawn<T: Send + 'static>(
    part: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<Result<T, JoinError>> {
    tokio::spawn(async move {
        let ended = tokio::spawn(work).await;
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            end(part);
        }
        ended
    })
}

fn end(part: &str) -> ! {
    error!(part, "ended by a fault of the program");
    logging::finish();
    std::process::abort();
}
