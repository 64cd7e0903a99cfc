//! What an admin is told of partitions on their way.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_membership::View;
use jedlik_protocol::admin::{Move, TransferReport};

use crate::background::Background;
use crate::lane::{Errand, Lane, Task};
use crate::moving::Obstacle;
use crate::replica::Replica;

impl Replica {
    /// How far this shard has come with what moves.
    #[must_use]
    pub fn transfer_report(&self) -> TransferReport {
        let Some(view) = self.view.as_ref().filter(|view| view.layout_version() > 0) else {
            return TransferReport::default();
        };
        let Background { moves, trees, handoff, .. } = &self.background;
        let to_own = self.newest(view);
        let flipped = to_own.iter().filter(|p| view.is_flipped(**p)).count();
        let unready = moves.takeovers.len();
        let leaving = moves.owned.difference(&to_own).count();
        // Before the first survey nobody knows what is left.
        let unknown = usize::from(!moves.surveyed);
        let current = moves.lanes.iter().filter_map(Lane::progress);
        let current = current.map(|(errand, peer, report)| {
            let outgoing = matches!(errand.task, Task::HandOver | Task::Thin);
            let records = if outgoing { report.pushed } else { report.pulled + report.fetched };
            Move { partition: errand.partition, peer, outgoing, records, bytes: 0 }
        });
        TransferReport {
            layout: view.layout_id(),
            paused: self.background.is_paused(),
            owned: to_own.len() as u32,
            ready: to_own.len().saturating_sub(unready) as u32,
            flipped: flipped as u32,
            leaving: leaving as u32,
            orphaned: (moves.orphans.len() + moves.surplus.partitions() + unknown) as u32,
            dropped: moves.moved.dropped,
            received_records: moves.moved.received_records,
            received_bytes: moves.moved.received_bytes,
            sent_records: moves.moved.sent_records,
            sent_bytes: moves.moved.sent_bytes,
            load: trees.load(),
            hints: handoff.progress().map(|report| report.count).sum(),
            current: current.collect(),
            blockers: self.blockers(view),
        }
    }

    /// Why partitions don't go on, a sentence for each cause.
    fn blockers(&self, view: &View) -> Vec<String> {
        let mut nodes = BTreeSet::new();
        let mut others = BTreeSet::new();
        let moves = &self.background.moves;
        let takeovers = moves.takeovers.keys().map(|p| (*p, Task::TakeOver));
        let orphans = moves.orphans.iter().map(|p| (*p, Task::HandOver));
        let surplus = moves.surplus.waiting().map(|p| (p, Task::Thin));
        for (partition, task) in takeovers.chain(orphans).chain(surplus) {
            match self.obstacle(view, Errand { partition, task }) {
                Obstacle::None => {}
                Obstacle::Nodes(down) => nodes.extend(down),
                Obstacle::Others(why) => {
                    others.insert(why);
                }
            }
        }
        let down = nodes.into_iter().map(|node| {
            let name = view.members().find(|member| member.node == node);
            let name = name.map_or_else(|| format!("{node}"), |member| member.name.clone());
            format!(
                "{name} is down, and holds or has to hold partitions that move: start it, or if it is lost \
                 `jedlik-admin cluster remove {name}`"
            )
        });
        let waits = others.into_iter().map(|why| format!("a range waits to be dropped: {why}"));
        down.chain(waits).collect()
    }
}
