//! Earlier copy of a shard that is being refilled, read on a thread of its own.
//!
//! Invariant: the shard never waits for the disk that the copy lies on, and a copy that can't be read costs nothing but
//! the head start.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use jedlik_protocol::{Digest, PlacedKey};
use jedlik_replica::Recalled;
use jedlik_storage::EarlierCopy;
use tracing::{info, warn};

use crate::inbox::{Inbox, Mail};

/// Question for the copy: the replica's ticket, and the keys and digests that are looked for at a time.
type Question = (u64, Vec<(PlacedKey, Digest)>);

/// Handle of the thread that reads the copy. Dropping it lets the copy go.
pub(super) struct CopyReader {
    shard: u16,
    questions: mpsc::Sender<Question>,
}

impl CopyReader {
    /// Starts a thread that opens the copy in `folder`. The shard hears in its inbox once the copy can be asked.
    pub(super) fn start(shard: u16, folder: &Path, inbox: Inbox) -> Option<Self> {
        let (questions, asked) = mpsc::channel();
        let folder = folder.to_path_buf();
        let reader = thread::Builder::new().name(format!("copy-{shard}"));
        let spawned = reader.spawn(move || {
            let path = folder.display();
            let copy = match EarlierCopy::open(&folder) {
                Ok(copy) => {
                    info!(shard, %path, "an earlier copy is read for what others hold just as it does");
                    inbox.push(Mail::CopyAtHand);
                    Some(copy)
                }
                Err(error) => {
                    warn!(shard, %path, %error, "an earlier copy can't be read: all is fetched from the others");
                    None
                }
            };
            answer(copy, &asked, &inbox);
        });
        match spawned {
            Ok(_) => Some(Self { shard, questions }),
            Err(error) => {
                warn!(shard, %error, "there is no thread to read an earlier copy: all is fetched from the others");
                None
            }
        }
    }

    /// Asks for records; the answer comes as [`Mail::Recalled`].
    pub(super) fn ask(&self, ticket: u64, wanted: Vec<(PlacedKey, Digest)>) {
        // The thread ends only after this handle.
        let _gone = self.questions.send((ticket, wanted));
    }

    /// Logs what the copy was good for, and lets it go.
    pub(super) fn leave(self, asked: u64, found: u64) {
        let shard = self.shard;
        info!(shard, records = found, of = asked, "the earlier copy is not needed any more");
    }
}

/// Answers every question, also those of a life before whose copy could be read when this one can't.
fn answer(mut copy: Option<EarlierCopy>, asked: &mpsc::Receiver<Question>, inbox: &Inbox) {
    for (ticket, wanted) in asked {
        let nothing = (wanted.len(), Vec::new());
        let (looked, records) = copy.as_mut().map_or(nothing, |copy| copy.find(&wanted));
        inbox.push(Mail::Recalled(Recalled { ticket, looked, records }));
    }
}
