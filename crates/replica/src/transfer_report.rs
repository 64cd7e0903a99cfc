//! The report on partitions on their way, for an admin.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_membership::View;
use jedlik_protocol::admin::{Transfer, TransferReport};

use crate::background::Background;
use crate::cx::Cx;
use crate::exchange_worker::{JobKind, PartitionJob};
use crate::replica::Replica;
use crate::transfer_jobs::Obstacle;
use crate::transfers::Transfers;

impl Replica {
    /// Returns the progress of this shard's transfers, and what keeps them from going on; empty without a layout.
    #[must_use]
    pub fn transfer_report(&self) -> TransferReport {
        let Some(view) = self.cx.view.as_ref().filter(|view| view.layout_version() > 0) else {
            return TransferReport::default();
        };
        let Background { transfers, exchanges, hints, .. } = &self.background;
        let to_own = self.cx.newest(view);
        let flipped = to_own.iter().filter(|p| view.is_flipped(**p)).count();
        let unready = transfers.inbound.len();
        let leaving = transfers.owned.difference(&to_own).count();
        // Before the first survey nobody knows what is left.
        let unknown = usize::from(!transfers.surveyed);
        let current = exchanges.transfers().map(|(job, peer, report)| {
            let outgoing = matches!(job.kind, JobKind::Outbound | JobKind::Thin);
            let records = if outgoing { report.pushed } else { report.pulled + report.fetched };
            Transfer { partition: job.partition, peer, outgoing, records }
        });
        TransferReport {
            layout: view.layout_id(),
            paused: self.background.schedule.is_paused(),
            owned: to_own.len() as u32,
            ready: to_own.len().saturating_sub(unready) as u32,
            flipped: flipped as u32,
            leaving: leaving as u32,
            unowned: (transfers.unowned.len() + transfers.surplus.partitions() + unknown) as u32,
            dropped: transfers.transferred.dropped,
            received_records: transfers.transferred.received_records,
            received_bytes: transfers.transferred.received_bytes,
            sent_records: transfers.transferred.sent_records,
            sent_bytes: transfers.transferred.sent_bytes,
            load: exchanges.trees.load(),
            hints: hints.reports().map(|report| report.count).sum(),
            current: current.collect(),
            blockers: transfers.blockers(&self.cx, view),
        }
    }
}

impl Transfers {
    /// Returns why partitions don't go on, a sentence for each cause.
    fn blockers(&self, cx: &Cx, view: &View) -> Vec<String> {
        let mut nodes = BTreeSet::new();
        let mut others = BTreeSet::new();
        let inbound = self.inbound.keys().map(|p| (*p, JobKind::Inbound));
        let unowned = self.unowned.iter().map(|p| (*p, JobKind::Outbound));
        let surplus = self.surplus.waiting().map(|p| (p, JobKind::Thin));
        for (partition, kind) in inbound.chain(unowned).chain(surplus) {
            match self.obstacle(cx, view, PartitionJob { partition, kind }) {
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
