//! Saves of the membership's state, on a thread of their own.
//!
//! Invariant: a caller that hands a state over never waits for the disk, and the newest state takes the place of one
//! that still waits. A disk that refuses is tried again every second, and logged as one trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jedlik_protocol::gossip::Delta;
use jedlik_storage::{OpenError, StateFile};
use jedlik_trouble::{Report, Trouble};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::NodeError;
use crate::membership_task::encode_state;
use crate::worker::{Tasks, Worker};

/// State of the membership, with its number.
type Numbered = (u64, Delta);

/// Handle of the thread that saves states.
pub(crate) struct Saver {
    worker: Worker<Numbered, bool>,
    progress: watch::Receiver<Progress>,
}

/// Progress of the saves of states that were handed over.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Number of the newest state that is on disk; 0 for none of this life.
    saved: u64,
    /// Whether the disk has refused the last try.
    fails: bool,
}

/// Health of the saves, for reports on the node.
#[derive(Debug, Default)]
pub(crate) struct SaveHealth {
    /// Time since which saves fail, on the node's clock; 0 while they don't.
    failing_since_us: AtomicU64,
}

impl SaveHealth {
    /// Returns how long saves have been failing, in seconds, at least 1; 0 while they don't.
    pub(crate) fn failing_s(&self, now_us: u64) -> u64 {
        match self.failing_since_us.load(Ordering::Relaxed) {
            0 => 0,
            since_us => (now_us.saturating_sub(since_us) / 1_000_000).max(1),
        }
    }
}

/// State of the thread that saves.
struct Thread {
    file: StateFile,
    progress: watch::Sender<Progress>,
    clock: Clock,
    health: Arc<SaveHealth>,
    trouble: Trouble,
}

impl Saver {
    /// Starts the thread that saves states into `file`.
    pub(crate) fn start(
        file: StateFile,
        clock: Clock,
        health: Arc<SaveHealth>,
    ) -> Result<Self, NodeError> {
        let (progress, seen) = watch::channel(Progress::default());
        let thread = Thread { file, progress, clock, health, trouble: Trouble::default() };
        let worker = Worker::start("state", "saving the membership", |states| thread.run(states))?;
        Ok(Self { worker, progress: seen })
    }

    /// Hands over a state, to be saved in place of all before it.
    pub(crate) fn hand_over(&self, state: u64, whole: Delta) {
        self.worker.hand_over(|states| {
            states.clear();
            states.push_back((state, whole));
        });
    }

    /// Returns the number of the newest state that is on disk; 0 for none of this life.
    pub(crate) fn saved(&self) -> u64 {
        self.progress.borrow().saved
    }

    /// Whether the disk refuses now.
    pub(crate) fn fails(&self) -> bool {
        self.progress.borrow().fails
    }

    /// Returns once a newer state is on disk, or the disk begins to refuse.
    pub(crate) async fn progress(&mut self) {
        if self.progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends the thread after a last try. Returns whether everything is on disk.
    pub(crate) async fn close(self) -> bool {
        self.worker.close().await.unwrap_or(false)
    }
}

impl Thread {
    /// Saves until it is told to end. Returns whether everything is saved.
    fn run(mut self, states: &Tasks<Numbered>) -> bool {
        while let Some((state, whole)) = states.take() {
            match self.file.save(&encode_state(&whole)) {
                Ok(()) => self.succeed(state),
                Err(error) => {
                    self.fail(&error);
                    states.put_back((state, whole));
                    if !states.wait_for_another_try() {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn succeed(&mut self, state: u64) {
        self.health.failing_since_us.store(0, Ordering::Relaxed);
        if let Some(Report::Over { times, lasted_s }) = self.trouble.over() {
            info!(times, lasted_s, "the membership's state is saved again");
        }
        self.progress.send_replace(Progress { saved: state, fails: false });
    }

    fn fail(&mut self, error: &OpenError) {
        self.progress.send_if_modified(|progress| !std::mem::replace(&mut progress.fails, true));
        let now_us = self.clock.now().mono_us;
        match self.trouble.happened(now_us) {
            Some(Report::Began) => {
                self.health.failing_since_us.store(now_us.max(1), Ordering::Relaxed);
                warn!(
                    %error,
                    "the membership's state can't be saved; the node goes on without, and tries again"
                );
            }
            Some(Report::Continues { times }) => {
                warn!(%error, times, "the membership's state still can't be saved");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::time::Duration;

    use jedlik_hashing::{NodeId, PartitionCount};
    use jedlik_protocol::gossip::Delta;
    use jedlik_protocol::{ClusterId, Incarnation};
    use jedlik_storage::{DataDir, Identity};
    use tokio::time::timeout;

    use super::{SaveHealth, Saver};
    use crate::clock::Clock;

    const LONG: Duration = Duration::from_secs(60);

    fn directory(path: &std::path::Path) -> DataDir {
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(2),
            shards: 1,
            engine: "memory".into(),
            partitions: PartitionCount::DEFAULT,
        };
        DataDir::open(path, &identity, Incarnation(3)).unwrap()
    }

    #[tokio::test]
    async fn a_disk_that_refuses_holds_nobody_up_and_the_newest_state_is_saved_once_it_can_be() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let dir = directory(&path);
        let (clock, health) = (Clock::start(), Arc::new(SaveHealth::default()));
        let mut saver = Saver::start(dir.state_file(), clock, Arc::clone(&health)).unwrap();
        // A folder of that name refuses to be replaced by a file.
        fs::create_dir_all(path.join("state/in-the-way")).unwrap();
        for state in 1..=5 {
            saver.hand_over(state, Delta::default());
        }
        let failing = async {
            while health.failing_s(clock.now().mono_us) == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, failing).await.expect("it is known that saves fail");
        timeout(LONG, saver.progress()).await.expect("who waits for a save hears of it");
        assert_eq!((saver.saved(), saver.fails()), (0, true));
        fs::remove_dir_all(path.join("state")).unwrap();
        while saver.saved() < 5 {
            timeout(LONG, saver.progress()).await.expect("it is tried again");
        }
        assert_eq!((health.failing_s(clock.now().mono_us), saver.fails()), (0, false));
        assert!(dir.load_state().unwrap().is_some());
        assert!(saver.close().await, "everything is saved");
    }

    #[tokio::test]
    async fn a_saver_that_is_closed_tries_once_more_and_says_what_came_of_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let dir = directory(&path);
        let saver = Saver::start(dir.state_file(), Clock::start(), Arc::default()).unwrap();
        fs::create_dir_all(path.join("state/in-the-way")).unwrap();
        saver.hand_over(1, Delta::default());
        assert!(!timeout(LONG, saver.close()).await.expect("it gives up"));
    }
}
