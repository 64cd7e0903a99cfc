//! Notes of what membership decides about this node's lives, written into the data directory's own file, `node.toml`,
//! on a thread of its own.
//!
//! Invariant: notes are written one after the other, in the order in which they were handed over, each until the disk
//! takes it. A caller that hands one over never waits for the disk, and hears when it is written.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jedlik_protocol::Incarnation;
use jedlik_protocol::gossip::Rival;
use jedlik_storage::{DataDir, OpenError};
use jedlik_trouble::{Report, Trouble};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::NodeError;
use crate::worker::{Tasks, Worker};

/// Note that the data directory is to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// The node serves with the directory, and its shards say themselves what they have lost. Tried once: the node
    /// serves even if the note can't be written.
    Serving,
    /// Another process runs under this node's identity.
    Rival(Rival),
    /// Whether the others had done without this process for long when it found the rival.
    Absent { outlived: bool },
    /// An admin has decided for this process; `outlived` if what it holds is to be set aside.
    Prevails { outlived: bool },
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
            Self::Rival(rival) => dir.note_rival(rival),
            Self::Absent { outlived } => dir.note_absence(outlived),
            Self::Prevails { outlived } => dir.prevail(outlived),
            Self::GivenUp(life) => dir.give_up_life(life),
            Self::BeliefEnds => dir.end_belief(),
            Self::Ousted(by) => dir.cede(by),
            Self::Forgotten(life, generation) => dir.forget(life, generation),
        }
    }
}

/// Handle of the thread that has the data directory, which takes notes.
pub(crate) struct Notes {
    worker: Worker<Note, Option<DataDir>>,
    // It holds at most the notes that were handed over, of which there are few in a life.
    done: mpsc::UnboundedReceiver<Note>,
    path: PathBuf,
    has_served: bool,
}

/// State of the thread that writes notes.
struct Thread {
    dir: DataDir,
    done: mpsc::UnboundedSender<Note>,
    clock: Clock,
    trouble: Trouble,
}

impl Notes {
    /// Starts the thread, which owns the directory from now on.
    pub(crate) fn start(dir: DataDir, clock: Clock) -> Result<Self, NodeError> {
        let (written, done) = mpsc::unbounded_channel();
        let (path, has_served) = (dir.path().to_path_buf(), dir.has_served());
        let thread = Thread { dir, done: written, clock, trouble: Trouble::default() };
        let doing = "writing into the data directory";
        let worker = Worker::start("notes", doing, |notes| thread.run(notes))?;
        Ok(Self { worker, done, path, has_served })
    }

    /// Hands over a note, to be written after all before it.
    pub(crate) fn hand_over(&self, note: Note) {
        self.worker.hand_over(|notes| {
            // Only the newest rival is noted, so that few wait however many there are.
            if matches!(note, Note::Rival(_)) && matches!(notes.back(), Some(Note::Rival(_))) {
                notes.pop_back();
            }
            notes.push_back(note);
        });
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

    /// Returns the path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the thread after a last try. Returns the directory if all notes are written.
    pub(crate) async fn close(self) -> Option<DataDir> {
        self.worker.close().await.flatten()
    }
}

impl Thread {
    /// Writes until it is told to end.
    fn run(mut self, notes: &Tasks<Note>) -> Option<DataDir> {
        while let Some(note) = notes.take() {
            while let Err(error) = note.write(&mut self.dir) {
                if note == Note::Serving {
                    warn!(%error, "the data directory can't be noted as one that is in use");
                    break;
                }
                self.fail(&error);
                if !notes.wait_for_another_try() {
                    return None;
                }
            }
            if let Some(Report::Over { times, lasted_s }) = self.trouble.over() {
                info!(times, lasted_s, "the data directory can be written to again");
            }
            // The listener may have ended.
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
        for note in
            [Note::Serving, rival(4), Note::Prevails { outlived: false }, rival(5), rival(6)]
        {
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
        assert_eq!(
            dealt_with,
            [Note::Serving, rival(4), Note::Prevails { outlived: false }, rival(6)]
        );
        assert!(notes.has_served());
        let dir = timeout(LONG, notes.close()).await.expect("it ends").expect("all is written");
        assert_eq!(dir.ousts(), [Incarnation(4)]);
        assert_eq!(dir.rival().map(|rival| rival.incarnation), Some(Incarnation(6)));
    }

    #[tokio::test]
    async fn what_others_say_of_a_process_with_a_rival_is_kept_until_an_admin_decides() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let written = async |noted: &[Note]| {
            let notes = Notes::start(directory(&path), Clock::start()).unwrap();
            noted.iter().for_each(|note| notes.hand_over(*note));
            timeout(LONG, notes.close()).await.expect("it ends").expect("all is written")
        };
        let dir = written(&[Note::Serving, rival(4), Note::Absent { outlived: true }]).await;
        assert_eq!(dir.outlived(), Some(true));
        drop(dir);
        let dir = written(&[Note::Prevails { outlived: true }]).await;
        assert_eq!((dir.rival(), dir.outlived()), (None, None));
        drop(dir);
        drop(directory(&path));
        assert!(path.join("set-aside").exists(), "by the next start");
    }

    #[tokio::test]
    async fn a_disk_that_refuses_until_the_end_has_the_directory_not_given_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let notes = Notes::start(directory(&path), Clock::start()).unwrap();
        fs::create_dir(path.join("node.toml.new")).unwrap();
        notes.hand_over(Note::Prevails { outlived: false });
        notes.hand_over(rival(4));
        assert!(timeout(LONG, notes.close()).await.expect("it gives up").is_none());
    }
}
