//! Records that are kept for others, and answers that wait for a sync.
//!
//! Invariant: the local actor goes with one copy alone.

use core::slice;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{Durability, PlacedKey, StoredRecord};

use crate::Counter;
use crate::cx::Cx;
use crate::io::Output;
use crate::pending::HoldFor;
use crate::reasons::ApplyFor;

impl Cx {
    /// Keeps a record for others; a hint for this node itself is merged into its record. The local actor goes
    /// to the first target's hint alone: the actor rule holds for a hint as for a record.
    pub(crate) fn hold(
        &mut self,
        whose: HoldFor,
        (key, record): (PlacedKey, StoredRecord),
        targets: &[NodeId],
        durability: Durability,
    ) {
        let me = self.config.me;
        let targets = if targets.is_empty() { slice::from_ref(&me) } else { targets };
        let group = self.pending.hold(targets.len(), whose);
        for (place, target) in targets.iter().copied().enumerate() {
            let ticket = self.pending.apply(ApplyFor::Hold { group });
            if target == me {
                let record = StoredRecord { local: None, record: record.record.clone() };
                self.emit(Output::Apply { ticket, key: key.clone(), record, durability });
                continue;
            }
            self.count(Counter::HintsKept);
            let local = record.local.filter(|_| place == 0);
            let record = StoredRecord { local, record: record.record.clone() };
            let (key, since_ms) = (key.clone(), self.now.wall_ms);
            self.emit(Output::Hold { ticket, target, key, record, since_ms, durability });
        }
    }

    /// Answers what this node holds. If the asker drops or forgets something by the answer, it waits for a sync.
    pub(crate) fn answer_compared(&mut self, reply: u64, response: PeerResponse, synced: bool) {
        if !synced || planted::on(Bug::DroppedBeforeSync) {
            return self.answer_peer(reply, response);
        }
        let ticket = self.pending.apply(ApplyFor::Serve { reply, response });
        self.emit(Output::Sync { ticket });
    }
}
