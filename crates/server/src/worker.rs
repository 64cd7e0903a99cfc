//! Thread that does for others what takes as long as a disk likes.
//!
//! Invariant: a caller that hands a task over never waits, and tasks are taken in the order in which they lie in the
//! queue. Once it is to end the thread takes what is left, and tries nothing a second time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::NodeError;
use crate::fatal::EndsProcess;

/// Time between two tries of what a disk refuses.
const RETRY: Duration = Duration::from_secs(1);

/// Handle of a thread that takes tasks `T`, and returns `R` as it ends.
pub(crate) struct Worker<T, R> {
    tasks: Arc<Tasks<T>>,
    ended: oneshot::Receiver<R>,
}

/// Tasks that the thread has yet to do.
pub(crate) struct Tasks<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closing: bool,
}

impl<T: Send + 'static, R: Send + 'static> Worker<T, R> {
    /// Starts the thread, which ends when `run` does. A panic ends the process, and says what the thread was `doing`.
    pub(crate) fn start(
        name: &str,
        doing: &'static str,
        run: impl FnOnce(&Tasks<T>) -> R + Send + 'static,
    ) -> Result<Self, NodeError> {
        let state = Mutex::new(State { waiting: VecDeque::new(), closing: false });
        let tasks = Arc::new(Tasks { state, changed: Condvar::new() });
        let (end, ended) = oneshot::channel();
        let taken = Arc::clone(&tasks);
        thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let _guard = EndsProcess(doing);
                // The waiting task may have run out of patience.
                let _gone = end.send(run(&taken));
            })
            .map_err(|source| NodeError::System { doing: "starting a thread", source })?;
        Ok(Self { tasks, ended })
    }

    /// Hands a task over, in the place of any that wait and need not be done any more.
    pub(crate) fn hand_over(&self, add: impl FnOnce(&mut VecDeque<T>)) {
        add(&mut self.tasks.state().waiting);
        self.tasks.changed.notify_one();
    }

    /// Ends the thread, and returns what it returned; `None` if it panicked.
    pub(crate) async fn close(self) -> Option<R> {
        self.tasks.state().closing = true;
        self.tasks.changed.notify_one();
        self.ended.await.ok()
    }
}

impl<T> Tasks<T> {
    // Nothing panics with the lock held.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next task, and waits for it; `None` once there is none and none will come.
    pub(crate) fn take(&self) -> Option<T> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closing;
        let state = self.changed.wait_while(self.state(), idle);
        state.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }

    /// Puts a task back that has failed, unless one has come that takes its place.
    pub(crate) fn put_back(&self, task: T) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.waiting.push_front(task);
        }
    }

    /// Waits until what has failed may be tried again. Returns false if it is not to be.
    pub(crate) fn wait_for_another_try(&self) -> bool {
        let waits = self.changed.wait_timeout_while(self.state(), RETRY, |state| !state.closing);
        !waits.unwrap_or_else(PoisonError::into_inner).0.closing
    }
}
