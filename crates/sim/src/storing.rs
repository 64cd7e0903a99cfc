//! The changes that a replica wants stored: noted in the history, taken by the disk, answered to the replica.
//!
//! Invariant: a change that the disk refuses is answered at once; every other one once it is as durable as was asked.

use jedlik_hashing::NodeId;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::{Digest, Durability, Now, PlacedKey, Record, StoredRecord};
use jedlik_replica::{Input, Output, Recalled, Revision, StorageFault};
use jedlik_storage_port::RecordChange;

use crate::breach::{Breach, Promise};
use crate::node::index;
use crate::trace;
use crate::world::{World, key_index};

impl World {
    /// Whether a put is to be refused before it is minted, since its record could not be stored.
    pub(crate) fn lacks_room_for(&self, node: u8, request: &ClientRequest) -> bool {
        let condition = &self.nodes[usize::from(node)].disk.condition;
        condition.no_room > 0 && matches!(request, ClientRequest::Put(_))
    }

    /// Looks for records in an earlier copy of the node's directory.
    pub(crate) fn recall(
        &mut self,
        node: u8,
        now: Now,
        ticket: u64,
        wanted: Vec<(PlacedKey, Digest)>,
    ) {
        let looked = wanted.len();
        let records = self.nodes[usize::from(node)].disk.recall(wanted);
        let found = records.len();
        self.say(node, || format!("an earlier copy has {found} of {looked} records"));
        self.give(node, now, Input::Recalled(Recalled { ticket, looked, records }));
    }

    /// Carries out a change of the replica's, and checks it.
    pub(crate) fn store(&mut self, node: u8, now: Now, output: Output) {
        match output {
            Output::Apply { ticket, key, record, durability } => {
                self.check_follows(node, &key, &record);
                self.observe(node, &key, &record, "merges");
                let disk = &mut self.nodes[usize::from(node)].disk;
                let mended = disk.is_damaged(&key);
                let result = disk.apply(ticket, &key, record, durability);
                if mended && result.is_ok() {
                    self.give(node, now, Input::Mended { key: key.clone() });
                }
                self.changed(node, now, (ticket, key), result);
            }
            Output::Revise { ticket, key, expected, by } => {
                self.revises(node, &key, expected, &by);
                let disk = &mut self.nodes[usize::from(node)].disk;
                let result = disk.revise(ticket, &key, expected, by.record());
                self.changed(node, now, (ticket, key), result);
            }
            Output::Discard { ticket, key } => {
                let disk = &mut self.nodes[usize::from(node)].disk;
                if let Err(fault) = disk.remove_damaged(ticket, &key) {
                    self.refused(node, now, ticket, fault);
                }
            }
            Output::Hold { ticket, target, key, record, since_ms, durability } => {
                self.check_follows(node, &key, &record);
                self.observe(node, &key, &record, &format!("keeps for n{}", target.0));
                let disk = &mut self.nodes[usize::from(node)].disk;
                let held = disk.hold((ticket, target), &key, (since_ms, record), durability);
                if let Err(fault) = held {
                    self.refused(node, now, ticket, fault);
                }
            }
            Output::Release { ticket, target, key, digest } => {
                self.check_release(node, target, &key, digest);
                let disk = &mut self.nodes[usize::from(node)].disk;
                if let Err(fault) = disk.release(ticket, target, &key, digest) {
                    self.refused(node, now, ticket, fault);
                }
            }
            Output::Drop { ticket, partition } => {
                self.drops(node, partition);
                let disk = &mut self.nodes[usize::from(node)].disk;
                if let Err(fault) = disk.drop_partition(ticket, partition) {
                    self.refused(node, now, ticket, fault);
                }
            }
            Output::KeepVotes { votes, loses } => {
                self.nodes[usize::from(node)].disk.keep_votes(votes, loses);
            }
            _ => {}
        }
    }

    /// Checks that a minted record is later than all that its node holds, in a bucket where the last write wins.
    fn check_follows(&mut self, node: u8, key: &PlacedKey, minted: &StoredRecord) {
        let about = key_index(&key.key).unwrap_or_default();
        if minted.local.is_none() || !self.history.shows_latest(about) {
            return;
        }
        let holding = self.nodes[usize::from(node)].disk.holding(key);
        let hints = holding.hints.into_iter().map(|hint| hint.record);
        let held = holding.record.into_iter().chain(hints);
        let held: Vec<Record> = held.filter_map(|held| held.record.decode().ok()).collect();
        let record = minted.record.decode().expect("a replica encoded it");
        let follows = self.history.check_follows(about, &record, &held);
        self.note(follows);
    }

    fn observe(&mut self, node: u8, key: &PlacedKey, stored: &StoredRecord, what: &str) {
        let about = key_index(&key.key).unwrap_or_default();
        // Most are copies of records observed before, which tell nothing new.
        if !self.history.is_new(about, &stored.record) && !self.log.is_told() {
            return;
        }
        let record = stored.record.decode().expect("a replica encoded it");
        self.log.say(self.now_us, Some(node), Some(about), || {
            let whose = if stored.local.is_some() { "its own" } else { "a" };
            format!("{what} {whose} record {}", trace::record(&record))
        });
        let observed = self.history.observe(about, node, &record);
        self.note(observed);
    }

    /// Checks a record that is replaced or removed, by the rule of its kind. A dead record may go at a node that is no
    /// longer an owner; one that others alone own need not be dead.
    fn revises(&mut self, node: u8, key: &PlacedKey, expected: Digest, by: &Revision) {
        let held = self.nodes[usize::from(node)].disk.holding(key).record;
        let held = held.filter(|held| held.record.digest() == expected);
        let record = held.and_then(|held| held.record.decode().ok());
        match (by, record) {
            (Revision::Record(left), _) => {
                self.observe(node, key, left, "prunes to");
            }
            (Revision::Forgotten, Some(record)) => {
                self.collect(node, key, &record);
            }
            (Revision::GivenUp, Some(record)) => self.thins(node, key, &record),
            (Revision::Forgotten | Revision::GivenUp, None) => {}
        }
    }

    fn collect(&mut self, node: u8, key: &PlacedKey, record: &Record) {
        let about = key_index(&key.key).unwrap_or_default();
        self.log.say(self.now_us, Some(node), Some(about), || {
            format!("collects its record {}", trace::record(record))
        });
        self.history.collect(about, record);
        let older =
            (0..self.plan.setting.places()).find_map(|of| self.older(of, node, key, record));
        if let Some(what) = older {
            self.breach.get_or_insert(Breach::new(Promise::NothingOlderLeft, about, what));
        }
    }

    /// Returns a value on a node's disk that a dead record has seen, and that an end of its machine may bring back
    /// after `by` has forgotten the record.
    fn older(&self, of: u8, by: u8, key: &PlacedKey, dead: &Record) -> Option<String> {
        let setting = &self.plan.setting;
        if setting.level() < Durability::Synced && of != setting.victim {
            return None;
        }
        let place = &self.nodes[usize::from(of)];
        let ran_twice = self.nodes.iter().any(|clone| clone.begun && clone.index != clone.identity);
        if !place.can_return() || ran_twice && of == setting.victim {
            return None;
        }
        let judged_ms = self.judged_ms(place);
        let held = |dot| dead.siblings().iter().any(|sibling| sibling.dot == dot);
        let covered = |dot| dead.clock().covers(dot) && !held(dot);
        // The first node to forget a record tells nobody before that is on its disk, and its journal keeps the order:
        // so its record is from that time only while the others still hold the dead one.
        let record =
            place.disk.synced(key).filter(|_| of != by || !self.others_hold(by, key, dead));
        let hints = place.disk.hints_synced(key);
        let gone = |target| of == by && place.disk.has_discarded(target, key);
        let hints = hints.filter(|(target, _)| !gone(*target)).map(|(_, hint)| hint);
        let records = record.and_then(|stored| stored.record.decode().ok()).into_iter();
        let older = records.chain(hints).find(|record| {
            record
                .siblings()
                .iter()
                .any(|sibling| sibling.is_live(judged_ms) && covered(sibling.dot))
        })?;
        Some(format!("n{} has {} on its disk", of + 1, trace::record(&older)))
    }

    /// Whether every other owner of the key has the dead record on its disk.
    fn others_hold(&self, node: u8, key: &PlacedKey, dead: &Record) -> bool {
        let Some(running) = &self.nodes[usize::from(node)].running else { return false };
        let about = key_index(&key.key).unwrap_or_default();
        let owners = self.owners_under(&running.membership.view(), about);
        let holds = |owner: &u8| {
            let held = self.nodes[usize::from(*owner)].disk.synced(key);
            held.and_then(|held| held.record.decode().ok()).as_ref() == Some(dead)
        };
        owners.iter().filter(|owner| **owner != node).all(holds)
    }

    fn changed(
        &mut self,
        node: u8,
        now: Now,
        (ticket, key): (u64, PlacedKey),
        result: Result<RecordChange, StorageFault>,
    ) {
        match result {
            Ok(RecordChange { before, after, .. }) => {
                self.give(node, now, Input::Changed { ticket, key, before, after });
            }
            Err(fault) => self.refused(node, now, ticket, fault),
        }
    }

    fn refused(&mut self, node: u8, now: Now, ticket: u64, fault: StorageFault) {
        self.say(node, || format!("its store refuses the record: {fault:?}"));
        self.give(node, now, Input::Applied { ticket, result: Err(fault) });
    }

    /// Whether `node` owns the key in the view of `by`. Of two rival layouts, the one that this node does not know may
    /// have owners that have yet to take over.
    fn owns_as_seen_by(&self, by: u8, key: u8, node: u8) -> bool {
        self.owners_as_seen_by(by, key).contains(&node)
    }

    fn owners_as_seen_by(&self, by: u8, key: u8) -> Vec<u8> {
        let running = self.nodes[usize::from(by)].running.as_ref();
        running.map_or_else(Vec::new, |running| self.owners_under(&running.membership.view(), key))
    }

    /// Checks that a hint is released only once its target has its contents on disk, or its holder has them as a
    /// record.
    fn check_release(&mut self, node: u8, target: NodeId, key: &PlacedKey, digest: Digest) {
        let about = key_index(&key.key).unwrap_or_default();
        self.log.say(self.now_us, Some(node), Some(about), || {
            format!("drops its hint for n{}", target.0)
        });
        let of = index(target);
        let hint = self.nodes[usize::from(node)].disk.hint(target, key);
        let Some(hint) = hint.filter(|hint| hint.record.digest() == digest) else { return };
        let lost = self.damage.destroyed && of == self.plan.setting.victim;
        if lost || self.history.was_truncated(about) {
            return;
        }
        let hint = hint.record.decode().unwrap_or_default();
        let held_by = |node: u8| {
            let held = self.nodes[usize::from(node)].disk.synced(key);
            held.and_then(|held| held.record.decode().ok()).unwrap_or_default()
        };
        // What was deleted since may have been forgotten.
        let is_lost = |held: &Record, dot| {
            !held.clock().covers(dot) && !self.history.was_collected(about, dot)
        };
        let lacks =
            |held: &Record| hint.siblings().iter().any(|sibling| is_lost(held, sibling.dot));
        // If the target no longer owns the key, the holder has made the hint a record of its own, or the target has
        // handed it on, perhaps before the holder heard of another N.
        let owns = self.owns_as_seen_by(node, about, of) && self.owns_as_seen_by(of, about, of);
        let others_own = self.admins.moved || self.is_recounted(about);
        let adopted = others_own && (!lacks(&held_by(node)) || !owns);
        // With another N the target may own the key again, after it has handed the whole range on.
        let others =
            || self.owners_as_seen_by(node, about).into_iter().filter(|owner| *owner != of);
        let handed_on = self.is_recounted(about) && others().any(|owner| !lacks(&held_by(owner)));
        let held = held_by(of);
        if lacks(&held) && !adopted && !handed_on {
            let (hint, held) = (trace::record(&hint), trace::record(&held));
            let what = format!("n{} drops {hint} for n{}, which has {held}", node + 1, target.0);
            self.breach.get_or_insert(Breach::new(Promise::HintKept, about, what));
        }
    }
}

#[cfg(test)]
mod tests;
