//! What becomes of requests once they are routed: where few have come, their shards' work is done here and now
//! ([decision 76](../../../../docs/decisions/0076-a-shard-is-worked-at-where-its-mail-arrives.md)).

use tokio::task::JoinHandle;

use crate::clock::AgreedClock;

use super::Router;

/// Largest number of frames that are dealt with where they arrive. More of them come together when much is under way, and
/// then the shards' threads had better work beside the network's.
const FEW_FRAMES: usize = 16;

impl Router {
    /// Sees to it that what was routed is dealt with; `count` frames have come together.
    pub(crate) fn attend(&self, count: usize) {
        for desk in &self.shards {
            desk.attend(count <= FEW_FRAMES);
        }
    }

    /// Starts to keep the timers of what is dealt with outside the shards' threads. To be called within the runtime.
    pub(crate) fn keep_time(&self, clock: &AgreedClock) -> Vec<JoinHandle<()>> {
        let desks = self.shards.iter().cloned();
        desks.map(|desk| tokio::spawn(desk.keep_time(clock.clone()))).collect()
    }
}
