//! News that a shard has yet to tell membership, whose queue was full.
//!
//! Invariant: the shard never waits for membership, and what it is ready for is told once there is room. Nothing of an
//! older layout is kept: nobody counts it.

use std::collections::BTreeSet;
use std::time::Duration;

use jedlik_hashing::Partition;
use jedlik_protocol::LayoutId;
use tokio::sync::mpsc;

use crate::membership_task::Event;

/// Time after which a full queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Partitions that the shard is ready to own, and has not told yet.
#[derive(Debug, Default)]
pub(super) struct Untold {
    layout: LayoutId,
    partitions: BTreeSet<Partition>,
}

impl Untold {
    /// Notes that the shard is ready to own a partition.
    pub(super) fn add(&mut self, layout: LayoutId, partition: Partition) {
        if layout > self.layout {
            self.layout = layout;
            self.partitions.clear();
        }
        if layout == self.layout {
            self.partitions.insert(partition);
        }
    }

    /// Tells membership as much as there is room for.
    pub(super) fn tell(&mut self, membership: &mpsc::Sender<Event>) {
        let layout = self.layout;
        while let Some(partition) = self.partitions.first().copied() {
            match membership.try_send(Event::Ready { layout, partition }) {
                Err(mpsc::error::TrySendError::Full(_)) => return,
                // Without membership the node is stopping.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.partitions.remove(&partition);
                }
            }
        }
    }

    /// Returns how long the shard may sleep before it tells the rest; `None` if all is told.
    pub(super) fn patience(&self) -> Option<Duration> {
        (!self.partitions.is_empty()).then_some(RETRY)
    }
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::Partition;
    use jedlik_protocol::LayoutId;
    use tokio::sync::mpsc;

    use super::Untold;
    use crate::membership_task::Event;

    #[test]
    fn what_a_full_queue_does_not_take_is_told_later_and_an_older_layout_is_forgotten() {
        let (sender, mut receiver) = mpsc::channel(2);
        let id = |version| LayoutId { version, digest: 7 };
        let mut untold = Untold::default();
        untold.add(id(1), Partition(9));
        for partition in 0..4 {
            untold.add(id(2), Partition(partition));
        }
        untold.add(id(1), Partition(8));
        let mut told = Vec::new();
        for left in [2, 0] {
            untold.tell(&sender);
            assert_eq!(untold.patience().is_some(), left > 0);
            while let Ok(Event::Ready { layout, partition }) = receiver.try_recv() {
                told.push((layout.version, partition.0));
            }
        }
        assert_eq!(told, [(2, 0), (2, 1), (2, 2), (2, 3)]);
    }
}
