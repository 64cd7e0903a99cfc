//! Writes what membership decides about this node's lives into the data directory's own file, `node.toml`, on
//! a thread of its own.
//!
//! Invariant: notes are written one after the other, in the order in which they were handed over, each until
//! the disk takes it. Whoever hands one over never waits for the disk, and hears when it is written.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jedlik_protocol::Incarnation;
use jedlik_protocol::gossip::Rival;
use jedlik_storage::{DataDir, OpenError};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::NodeError;
use crate::fatal::EndsProcess;
use crate::trouble::{Report, Trouble};

/// Between two tries on a disk that refuses.
const RETRY: Duration = Duration::from_secs(1);

/// Something that the data directory is to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// The node serves with it, and its shards say themselves what they have lost. Tried once: the node
    /// serves without.
    Serving,
    /// Another process of this node runs.
    Rival(Rival),
    /// An admin has decided for this process.
    Prevails,
    /// A life that others remember is given up.
    GivenUp(Incarnation),
    /// The directory needs no belief any more.
    BeliefEnds,
    /// An admin has decided for the process at this address, and against this one.
    Ousted(SocketAddr),
    /// The cluster remembers a life that the directory does not, of this generation.
    Forgotten(Incarnation, u64),
}

impl Note {
    fn write(self, dir: &mut DataDir) -> Result<(), OpenError> {
        match self {
            Self::Serving => dir.note_serving().and_then(|()| dir.note_marked()),
            Self::Rival(Rival { incarnation, address }) => dir.note_rival(incarnation, address),
            Self::Prevails => dir.prevail(),
            Self::GivenUp(life) => dir.give_up_life(life),
            Self::BeliefEnds => dir.end_belief(),
            Self::Ousted(by) => dir.cede(by),
            Self::Forgotten(life, generation) => dir.forget(life, generation),
        }
    }
}

/// Hands notes to the thread that has the data directory.
pub(crate) struct Notes {
    shared: Arc<Shared>,
    // As many as were handed over, of which there are few in a life.
    done: mpsc::UnboundedReceiver<Note>,
    ended: oneshot::Receiver<Option<DataDir>>,
    path: PathBuf,
    has_served: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Note>,
    closing: bool,
}

/// What the thread has.
struct Thread {
    shared: Arc<Shared>,
    dir: DataDir,
    done: mpsc::UnboundedSender<Note>,
    clock: Clock,
    trouble: Trouble,
}

impl Notes {
    /// Starts the thread, which has the directory from now on.
    pub(crate) fn start(dir: DataDir, clock: Clock) -> Result<Self, NodeError> {
        let shared = Arc::new(Shared::default());
        let (written, done) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (path, has_served) = (dir.path().to_path_buf(), dir.has_served());
        let trouble = Trouble::default();
        let thread = Thread { shared: Arc::clone(&shared), dir, done: written, clock, trouble };
        thread::Builder::new()
            .name("notes".into())
            .spawn(move || {
                let _guard = EndsProcess("writing into the data directory");
                // Who waited may have run out of patience.
                let _gone = end.send(thread.run());
            })
            .map_err(|source| NodeError::System { doing: "starting a thread", source })?;
        Ok(Self { shared, done, ended, path, has_served })
    }

    /// Has this written after all before it.
    pub(crate) fn hand_over(&self, note: Note) {
        let mut queue = self.shared.queue();
        // Of rivals the newest is noted, so that few wait however many there are.
        if matches!(note, Note::Rival(_)) && matches!(queue.notes.back(), Some(Note::Rival(_))) {
            queue.notes.pop_back();
        }
        queue.notes.push_back(note);
        self.shared.changed.notify_one();
    }

    /// Returns the next note that was dealt with: it is on disk, or was [`Note::Serving`] and is not.
    pub(crate) async fn dealt_with(&mut self) -> Note {
        let Some(note) = self.done.recv().await else { return std::future::pending().await };
        self.has_served |= note == Note::Serving;
        note
    }

    /// Whether the node has served with the directory.
    pub(crate) fn has_served(&self) -> bool {
        self.has_served
    }

    /// Where the directory is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the thread after a last try; gives the directory back if it says everything that it is to say.
    pub(crate) async fn close(self) -> Option<DataDir> {
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        self.ended.await.ok().flatten()
    }
}

impl Shared {
    // Nothing panics with the lock held.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next note; `None` once there is none and none will come.
    fn take(&self) -> Option<Note> {
        let idle = |queue: &mut Queue| queue.notes.is_empty() && !queue.closing;
        let queue = self.changed.wait_while(self.queue(), idle);
        queue.unwrap_or_else(PoisonError::into_inner).notes.pop_front()
    }

    /// Waits until the disk may be tried again; false if it is not to be.
    fn wait_for_another_try(&self) -> bool {
        let waits = self.changed.wait_timeout_while(self.queue(), RETRY, |queue| !queue.closing);
        !waits.unwrap_or_else(PoisonError::into_inner).0.closing
    }
}

impl Thread {
    /// Writes until it is told to end.
    fn run(mut self) -> Option<DataDir> {
        while let Some(note) = self.shared.take() {
            while let Err(error) = note.write(&mut self.dir) {
                if note == Note::Serving {
                    warn!(%error, "the data directory can't be noted as one that is in use");
                    break;
                }
                self.fail(&error);
                if !self.shared.wait_for_another_try() {
                    return None;
                }
            }
            if let Some(Report::Over { times, lasted_s }) = self.trouble.over() {
                info!(times, lasted_s, "the data directory can be written to again");
            }
            // Who listened may have ended.
            let _gone = self.done.send(note);
        }
        Some(self.dir)
    }

    fn fail(&mut self, error: &OpenError) {
        match self.trouble.happened(self.clock.now().mono_us) {
            Some(Report::Began) => {
                warn!(%error, "the data directory can't be written to; tried again until it can");
            }
            Some(Report::Continues { times }) => {
                warn!(%error, times, "the data directory still can't be written to");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use jedlik_hashing::{NodeId, PartitionCount};
    use jedlik_protocol::gossip::Rival;
    use jedlik_protocol::{ClusterId, Incarnation};
    use jedlik_storage::{DataDir, Identity};
    use tokio::time::timeout;

    use super::{Note, Notes};
    use crate::clock::Clock;

    const LONG: Duration = Duration::from_secs(60);

    fn directory(path: &Path) -> DataDir {
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(2),
            shards: 1,
            engine: "memory".into(),
            partitions: PartitionCount::DEFAULT,
        };
        DataDir::open(path, &identity, Incarnation(3)).unwrap()
    }

    fn rival(incarnation: u64) -> Note {
        let address = "127.0.0.1:9".parse().unwrap();
        Note::Rival(Rival { incarnation: Incarnation(incarnation), address })
    }

    #[tokio::test]
    async fn a_disk_that_stalls_holds_nobody_up_and_what_was_noted_is_written_in_order() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let mut notes = Notes::start(directory(&path), Clock::start()).unwrap();
        // A pipe that nobody reads lets nobody open it for writing.
        let pipe = path.join("node.toml.new");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for note in [Note::Serving, rival(4), Note::Prevails, rival(5), rival(6)] {
            notes.hand_over(note);
        }
        let none = timeout(Duration::from_millis(50), notes.dealt_with()).await;
        assert!(none.is_err(), "said to be on disk: {none:?}");
        assert!(!notes.has_served());
        let reader = File::open(&pipe).unwrap();
        fs::remove_file(&pipe).unwrap();
        let mut dealt_with = Vec::new();
        for _ in 0..4 {
            dealt_with.push(timeout(LONG, notes.dealt_with()).await.expect("it is written"));
        }
        drop(reader);
        assert_eq!(dealt_with, [Note::Serving, rival(4), Note::Prevails, rival(6)]);
        assert!(notes.has_served());
        let dir = timeout(LONG, notes.close()).await.expect("it ends").expect("all is written");
        assert_eq!(dir.ousts(), [Incarnation(4)]);
        assert_eq!(dir.rival().map(|(life, _)| life), Some(Incarnation(6)));
    }

    #[tokio::test]
    async fn a_disk_that_refuses_until_the_end_has_the_directory_not_given_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let notes = Notes::start(directory(&path), Clock::start()).unwrap();
        fs::create_dir(path.join("node.toml.new")).unwrap();
        notes.hand_over(Note::Prevails);
        notes.hand_over(rival(4));
        assert!(timeout(LONG, notes.close()).await.expect("it gives up").is_none());
    }
}
