//! Findings of membership about this node's lives: noted in the data directory, then acted upon.
//!
//! Invariant: the node ends, or starts again, only after the directory says why; until then the machine is
//! silent, and everything else goes on.

use std::sync::Arc;

use jedlik_membership::{Event as News, Past};
use jedlik_protocol::gossip::MemberRecord;
use tracing::{info, warn};

use crate::error::NodeError;
use crate::node::{EmptyDirectory, Ending};
use crate::notes::Note;

use super::MembershipTask;

impl MembershipTask {
    pub(super) fn note(&mut self, event: News) {
        self.news.add(self.clock.now().mono_us, &event);
        match event {
            News::Left => self.end(Ending::Left),
            News::Fenced { layout, forced } => {
                self.end(Ending::Failed(NodeError::Fenced { layout, forced }));
            }
            // Until it is confirmed an empty directory may still turn out to be in place of a lost one.
            News::Serves { past: Past::Unconfirmed } => self.serve(),
            News::Serves { .. } => self.notes.hand_over(Note::Serving),
            News::Forgotten(record) => self.forget(&record),
            News::Rival(rival) => self.notes.hand_over(Note::Rival(rival)),
            News::Absent { outlived } => self.notes.hand_over(Note::Absent { outlived }),
            News::Prevails { outlived } => self.notes.hand_over(Note::Prevails { outlived }),
            News::GivenUp(record) => {
                self.notes.hand_over(Note::GivenUp(record.life.incarnation));
            }
            News::BeliefEnds => self.notes.hand_over(Note::BeliefEnds),
            News::Ousted { by } => self.notes.hand_over(Note::Ousted(by)),
            _ => {}
        }
    }

    /// Continues with what waited for a note.
    pub(super) fn noted(&mut self, note: Note) {
        match note {
            Note::Serving => self.serve(),
            Note::Prevails { .. } | Note::Forgotten(..) => self.end(Ending::Again),
            Note::Ousted(by) => self.end(Ending::Failed(NodeError::Ousted { by })),
            Note::Rival(_) | Note::Absent { .. } | Note::GivenUp(_) | Note::BeliefEnds => {}
        }
    }

    /// Lets the node serve: gives the shards a view. Without one they ask nobody, compare with nobody and deliver no
    /// hints: what they hold is given to nobody before it is known whether the directory is an earlier copy.
    fn serve(&mut self) {
        if let Some(serves) = self.serves.take() {
            let view = Arc::clone(&self.view.borrow());
            if view.layout().is_none() {
                info!("no layout is known here: requests are refused until there is one");
            }
            self.tell_shards(&view);
            let _gone = serves.send(());
        }
    }

    /// Handles a life that the cluster remembers and the data directory lacks.
    fn forget(&mut self, record: &MemberRecord) {
        let is_empty = !self.notes.has_served();
        if is_empty && self.empty == EmptyDirectory::Refused {
            let path = self.notes.path().to_path_buf();
            return self.end(Ending::Failed(NodeError::EmptyDirectory { path }));
        }
        self.notes.hand_over(Note::Forgotten(record.life.incarnation, record.generation));
        if is_empty {
            info!("the data directory is empty: the other nodes refill it");
        } else {
            warn!(
                "the data directory is an earlier copy: its shards are set aside in the folder set-aside \
                 there, and the other nodes refill empty ones"
            );
        }
    }
}
