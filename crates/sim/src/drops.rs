//! Checks on a node that drops records which it no longer owns ([design
//! 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariant: the checks change nothing; a breach ends the run.

use jedlik_hashing::Partition;
use jedlik_membership::View;
use jedlik_protocol::{PlacedKey, Record};

use crate::breach::{Breach, Promise};
use crate::node::index;
use crate::trace;
use crate::world::{World, key_index};

impl World {
    /// Checks a node that drops all its records of a partition.
    pub(crate) fn drops(&mut self, node: u8, partition: Partition) {
        self.counts.dropped += 1;
        self.say(node, || format!("drops partition {partition}"));
        let Some(running) = self.running(node) else { return };
        let view = running.membership.view();
        let what = self.behind(&view).map(|what| Breach {
            promise: Promise::RangeKept,
            key: None,
            what: format!("n{} drops partition {partition}, {what}", node + 1),
        });
        let records = self.nodes[usize::from(node)].disk.records_of(partition);
        let what = what.or_else(|| {
            records.into_iter().find_map(|(key, stored)| {
                let about = key_index(&key.key).unwrap_or_default();
                let record = stored.record.decode().unwrap_or_default();
                let lacks = self.lacks(&view, about, &key, &record)?;
                let what = format!("n{} drops {}, {lacks}", node + 1, trace::record(&record));
                Some(Breach::new(Promise::RangeKept, about, what))
            })
        });
        self.breach = self.breach.take().or(what);
    }

    /// Checks a node that removes a record owned by others alone: they must hold it, or have forgotten it since.
    pub(crate) fn thins(&mut self, node: u8, key: &PlacedKey, record: &Record) {
        let about = key_index(&key.key).unwrap_or_default();
        self.log.say(self.now_us, Some(node), Some(about), || {
            format!("gives up its record {}", trace::record(record))
        });
        let Some(running) = self.running(node) else { return };
        let view = running.membership.view();
        let what = self.behind(&view).or_else(|| self.lacks(&view, about, key, record));
        let gives_up = |what| format!("n{} gives up {}, {what}", node + 1, trace::record(record));
        let breach = what.map(|what| Breach::new(Promise::RangeKept, about, gives_up(what)));
        self.breach = self.breach.take().or(breach);
    }

    /// Returns a member that does not know the layout of this view. A member that lost its disk is excepted: it serves
    /// nobody until it knows the newest.
    fn behind(&self, view: &View) -> Option<String> {
        let members = view.members().map(|member| index(member.node));
        let layout = |node: &u8| self.nodes[usize::from(*node)].papers.layout;
        // A node whose directory was put back is excepted too: it takes no request under a layout that others have
        // left.
        let restored = |node: &u8| self.damage.destroyed && *node == self.plan.setting.victim;
        let behind = |node: &u8| {
            layout(node).version > 0 && layout(node) < view.layout_id() && !restored(node)
        };
        let behind = members.into_iter().find(behind)?;
        Some(format!("and n{} does not know layout {}", behind + 1, view.layout_id()))
    }

    /// Returns a present owner whose disk lacks a part of a record that is to be dropped: data in memory alone would
    /// end with its machine.
    fn lacks(&self, view: &View, about: u8, key: &PlacedKey, dropped: &Record) -> Option<String> {
        if self.history.was_truncated(about) {
            return None;
        }
        let victim = self.plan.setting.victim;
        let mut owners = self.owners_under(view, about).into_iter();
        let lacks = |node: &u8| {
            if self.damage.destroyed && self.plan.setting.identity(*node) == victim {
                return false;
            }
            let disk = &self.nodes[usize::from(*node)].disk;
            let held =
                disk.synced(key).and_then(|held| held.record.decode().ok()).unwrap_or_default();
            let lost = |dot| !held.clock().covers(dot) && !self.history.was_collected(about, dot);
            dropped.siblings().iter().any(|sibling| lost(sibling.dot))
        };
        let owner = owners.find(lacks)?;
        Some(format!("which n{} lacks", owner + 1))
    }
}
