//! End of the process by a fault of the program, so that no part of it hangs. A fault within a call of an engine is not
//! one: it comes from a damaged file, and ends one shard.

use tokio::task::{JoinError, JoinHandle};
use tracing::error;

use crate::logging;

/// Guard that a part's thread holds while it works: a panic of the thread ends the process.
pub(crate) struct EndsProcess(pub(crate) &'static str);

impl Drop for EndsProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end(self.0);
        }
    }
}

/// Spawns a part as a task whose panic ends the process.
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

/// Makes a panic on any thread end the process from now on, unless an engine has made it.
pub(crate) fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if jedlik_storage::engine_at_work() {
            // Storage catches such a panic, and says what it means, unless it is in a destructor: then the process
            // ends, and the next start is to know why.
            return jedlik_storage::note_engine_panic(&panic.to_string());
        }
        report(panic);
        logging::finish();
        std::process::abort();
    }));
}

fn end(part: &str) -> ! {
    error!(part, "ended by a fault of the program");
    logging::finish();
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::PathBuf;
    use std::process::Command;
    use std::{env, fs};

    use jedlik_storage::{Guarded, MemoryStore};

    const ENGINE: &str = "JEDLIK_ENGINE_THAT_ENDS_THE_PROCESS";

    /// Value whose destructor, run because of a panic, panics itself.
    struct Cursor;

    impl Drop for Cursor {
        fn drop(&mut self) {
            panic!("once more");
        }
    }

    #[test]
    fn a_panic_of_an_engine_that_ends_the_process_is_noted_for_the_next_start() {
        if let Some(engine) = env::var_os(ENGINE) {
            super::end_on_panic();
            let _ended = Guarded::open(&PathBuf::from(engine), || {
                let _cursor = Cursor;
                if env::var_os(ENGINE).is_some() {
                    panic!("a page of an unknown kind");
                }
                Ok(MemoryStore::new())
            });
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("records.redb");
        let mut this = Command::new(env::current_exe().unwrap());
        this.args([
            "--exact",
            "fatal::tests::a_panic_of_an_engine_that_ends_the_process_is_noted_for_the_next_start",
        ]);
        let ended = this.env(ENGINE, &engine).output().unwrap();
        assert_eq!(ended.status.signal(), Some(6), "{ended:?}");
        let note = fs::read_to_string(engine.with_extension("fault")).unwrap();
        assert!(note.contains("a page of an unknown kind"), "{note}");
        let next = Guarded::open(&engine, || Ok(MemoryStore::new()));
        assert!(next.is_err_and(|error| error.is_damage()));
    }
}
