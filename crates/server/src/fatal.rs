//! A fault of the program ends the process, instead of hanging a part of it. A fault within a call of an
//! engine is none: a damaged file makes it, and one shard ends for it.

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

/// From now on a panic on any thread ends the process, unless an engine has made it.
pub(crate) fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Storage catches that one, and says what it means.
        if !jedlik_storage::engine_at_work() {
            report(panic);
            logging::finish();
            std::process::abort();
        }
    }));
}

fn end(part: &str) -> ! {
    error!(part, "ended by a fault of the program");
    logging::finish();
    std::process::abort();
}
