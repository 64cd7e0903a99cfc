//! Upkeep of a node, every second: it tells how much it holds, and leaves once it holds nothing that others lack.
//!
//! Invariant: a node leaves only by [`has_left`], asked of the sum of all its shards' reports.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jedlik_membership::View;
use jedlik_replica::has_left;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::inbox::Inbox;
use crate::membership_task::Event;
use crate::questions::transfers;
use crate::refusals::Refusals;
use crate::stats;

const INTERVAL: Duration = Duration::from_secs(1);

/// Shards that stand still, by index, with the time at which that was seen.
#[derive(Default)]
struct Stalls {
    since: BTreeMap<usize, Instant>,
}

impl Stalls {
    /// Logs which shards have come to stand still, and which go on.
    fn look(&mut self, shards: &[Inbox]) {
        for (shard, inbox) in shards.iter().enumerate() {
            match (inbox.stalled(), self.since.entry(shard)) {
                (Some(stalled), Entry::Vacant(entry)) => {
                    let stalled_ms = stalled.as_millis() as u64;
                    warn!(
                        shard,
                        stalled_ms,
                        "a shard's thread stands still, its disk may not answer a read: requests for it go elsewhere"
                    );
                    entry.insert(Instant::now());
                }
                (None, Entry::Occupied(entry)) => {
                    let lasted_s = entry.remove().elapsed().as_secs();
                    info!(shard, lasted_s, "a shard's thread goes on");
                }
                _ => {}
            }
        }
    }
}

/// Spawns the task, which works until membership has gone, or it is aborted.
pub(crate) fn spawn(
    shards: Vec<Inbox>,
    view: watch::Receiver<Arc<View>>,
    membership: mpsc::Sender<Event>,
    refusals: Arc<Refusals>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut stalls = Stalls::default();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            refusals.look();
            stalls.look(&shards);
            let reports = stats::collect(&shards).await;
            let whole = transfers(&reports);
            let view = Arc::clone(&view.borrow());
            // A shard that does not serve, or has stopped, does not say what it holds.
            let all_say = reports.iter().filter(|report| report.serves).count() == shards.len();
            let event = if has_left(&view, &whole) && all_say {
                Event::Left
            } else {
                Event::Load(whole.load)
            };
            if membership.send(event).await.is_err() {
                return;
            }
        }
    })
}
