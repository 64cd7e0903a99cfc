//! The head start of a refill: records that a peer holds now and an earlier copy of the shard holds too need not be
//! sent (decision 17).
//!
//! Invariant: a record of the copy is merged only while a peer's word that it holds this very record is as young as an
//! answer on its way may be, as if the peer had sent it. So nothing comes back that was deleted and collected.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_merkle::LEAVES;
use jedlik_protocol::admin::WorkKind;
use jedlik_protocol::client::ScanMark;
use jedlik_protocol::peer::{DigestPage, PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, PlacedKey, StoredRecord};

use crate::cx::{Cx, Fact};
use crate::io::Output;
use crate::keyset::Keyset;
use crate::patience::FETCH_LIMIT_US;
use crate::pending::{HoldFor, Purpose};
use crate::range_reads::page_steps;
use crate::reasons::ApplyFor;
use crate::scan::mark;
use crate::transfers::Transfers;
use crate::trees::Trees;

/// Most records that the copy is asked for at a time: each is a place of the disk to read.
const AT_ONCE: usize = 32;
/// Most partitions that are listed at a time.
const PARTITIONS_AT_ONCE: usize = 2;
/// Number of records from which on the copy is left if it has had fewer than one in [`WORTH`] of them: pages
/// of records bring them sooner.
const TRIAL: u64 = 256;
const WORTH: u64 = 4;

/// Earlier copy's answer to [`Output::Recall`].
#[derive(Debug, Clone)]
pub struct Recalled {
    /// Ticket of the answered [`Output::Recall`].
    pub ticket: u64,
    /// Number of wanted records that were looked for, from the first on. Those that did not fit into the
    /// answer are asked for again.
    pub looked: usize,
    /// Wanted records, among those looked for, that the copy holds and could read.
    pub records: Vec<(PlacedKey, EncodedRecord)>,
}

/// Earlier copy of the shard, and how far it was used.
#[derive(Debug, Default)]
pub(crate) struct HeadStart {
    at_hand: bool,
    asked: u64,
    found: u64,
    /// Keysets that a peer has listed, whatever came of it.
    listed: BTreeSet<Keyset>,
    running: BTreeMap<Partition, Recall>,
}

/// Recall of one partition's records for one N, as a peer lists them.
#[derive(Debug)]
struct Recall {
    n: u8,
    peer: NodeId,
    /// Whether an answer is on its way, or its records are on their way to the disk.
    waits: bool,
    /// Records that are listed and not looked for in the copy yet.
    wanted: VecDeque<(PlacedKey, Digest)>,
    /// Records that the copy is being asked for.
    looking: Vec<(PlacedKey, Digest)>,
    /// Place in the peer's list up to which records were looked for.
    from: Option<ScanMark>,
    /// Place in the peer's list that the page at hand reaches.
    page: Page,
    /// Time at which the page was asked for, in microseconds.
    asked_us: u64,
}

/// Place in a list that a page of it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Page {
    /// No page was asked for yet.
    None,
    To(ScanMark),
    ToTheEnd,
}

/// Next step of the recall of a partition.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    List { n: u8, peer: NodeId, after: Option<ScanMark> },
    Look(Vec<(PlacedKey, Digest)>),
    End,
}

impl HeadStart {
    /// Returns whether a step can be taken now.
    pub(crate) fn is_ready(&self) -> bool {
        self.running.values().any(|recall| !recall.waits)
    }

    fn is_worth_it(&self) -> bool {
        self.asked < TRIAL || self.found * WORTH >= self.asked
    }

    fn step(&mut self, now_us: u64) -> Option<(Partition, Step)> {
        let (partition, recall) = self.running.iter_mut().find(|(_, recall)| !recall.waits)?;
        recall.waits = true;
        Some((*partition, recall.step(now_us)))
    }

    /// Lets the next step of a partition be taken, since nothing is on its way for it any more.
    fn go_on(&mut self, partition: Partition) {
        if let Some(recall) = self.running.get_mut(&partition) {
            recall.waits = false;
        }
    }

    fn end(&mut self, partition: Partition) {
        if let Some(recall) = self.running.remove(&partition) {
            self.listed.insert(Keyset::new(partition, recall.n));
        }
    }
}

impl Recall {
    fn new(n: u8, peer: NodeId) -> Self {
        let (wanted, looking) = (VecDeque::new(), Vec::new());
        let (waits, from, page, asked_us) = (false, None, Page::None, 0);
        Self { n, peer, waits, wanted, looking, from, page, asked_us }
    }

    /// Returns whether the peer's word still counts.
    fn is_fresh(&self, now_us: u64) -> bool {
        now_us < self.asked_us + FETCH_LIMIT_US
    }

    fn step(&mut self, now_us: u64) -> Step {
        if !self.wanted.is_empty() && self.is_fresh(now_us) {
            let count = self.wanted.len().min(AT_ONCE);
            self.looking = self.wanted.drain(..count).collect();
            return Step::Look(self.looking.clone());
        }
        if self.wanted.is_empty() {
            match &self.page {
                Page::ToTheEnd => return Step::End,
                Page::To(mark) => self.from = Some(mark.clone()),
                Page::None => {}
            }
        }
        self.wanted.clear();
        self.asked_us = now_us;
        Step::List { n: self.n, peer: self.peer, after: self.from.clone() }
    }

    /// Notes that the copy looked for the first `count` records; the rest is asked for again.
    fn looked(&mut self, count: usize) {
        let mut looking = mem::take(&mut self.looking);
        for rest in looking.drain(count.min(looking.len())..).rev() {
            self.wanted.push_front(rest);
        }
        if let Some((last, _)) = looking.pop() {
            self.from = Some(mark(last));
        }
    }

    /// Takes a page of the peer's list. Returns false for one that leads nowhere, which would be asked for without end.
    fn take(&mut self, wanted: VecDeque<(PlacedKey, Digest)>, until: Option<ScanMark>) -> bool {
        let leads_on = until.is_none() || until > self.from;
        self.page = until.map_or(Page::ToTheEnd, Page::To);
        self.wanted = wanted;
        leads_on
    }
}

impl Transfers {
    /// Notes that an earlier copy of this shard can be read.
    pub(crate) fn handle_copy_at_hand(&mut self) {
        self.head_start.at_hand = true;
    }

    /// Begins to take from the copy what the first peer of a partition's comparison holds, unless that was
    /// done. Returns whether the comparison is to wait: it is repeated once the recall is over.
    pub(crate) fn recall_first(
        &mut self,
        cx: &Cx,
        trees: &mut Trees,
        view: &View,
        partition: Partition,
    ) -> bool {
        if !self.head_start.at_hand {
            return false;
        }
        let pairs = cx.refill_pairs(view, partition);
        let head_start = &mut self.head_start;
        if head_start.running.contains_key(&partition) {
            return true;
        }
        let is_new =
            |(n, _): &&(u8, NodeId)| !head_start.listed.contains(&Keyset::new(partition, *n));
        let Some((n, peer)) = pairs.iter().find(is_new).copied() else { return false };
        if head_start.running.len() >= PARTITIONS_AT_ONCE {
            return false;
        }
        head_start.running.insert(partition, Recall::new(n, peer));
        trees.keep(partition);
        true
    }

    /// Takes the next step with the copy; returns false if there is none now.
    pub(crate) fn recall_next(&mut self, cx: &mut Cx) -> bool {
        let Some((partition, step)) = self.head_start.step(cx.now.mono_us) else {
            return false;
        };
        match step {
            Step::List { n, peer, after } => {
                let (first_leaf, last_leaf) = (0, LEAVES as u16 - 1);
                let (clocks, synced) = (false, false);
                let request = PeerRequest::Digests {
                    partition,
                    n,
                    first_leaf,
                    last_leaf,
                    after,
                    clocks,
                    synced,
                };
                cx.call(peer, Purpose::Recall(partition), request);
            }
            Step::Look(wanted) => {
                let ticket = cx.pending.recall(partition);
                cx.emit(Output::Recall { ticket, wanted });
            }
            Step::End => self.end_recall(partition),
        }
        true
    }

    /// Takes a page of a peer's list of a partition; ends the recall if there is none.
    pub(crate) fn handle_recall_list(
        &mut self,
        cx: &mut Cx,
        partition: Partition,
        response: PeerResponse,
    ) {
        let Some(view) = &cx.view else { return };
        let (cluster, partitions) = (cx.config.cluster, view.partitions());
        let PeerResponse::Digests(DigestPage { digests, until }) = response else {
            return self.end_recall(partition);
        };
        let placed = digests
            .into_iter()
            .map(|(key, entry)| (PlacedKey::new(cluster, partitions, key), entry.digest));
        let wanted: VecDeque<_> = placed.collect();
        let head_start = &mut self.head_start;
        let Some(recall) = head_start.running.get_mut(&partition) else { return };
        // A record of another partition would be merged by a shard that does not own it.
        let is_inside = wanted.iter().all(|(key, _)| key.partition == partition);
        if is_inside && recall.take(wanted, until) {
            head_start.go_on(partition);
        } else {
            self.end_recall(partition);
        }
    }

    /// Merges the records that the copy holds of those that it was asked for.
    pub(crate) fn handle_recalled(&mut self, cx: &mut Cx, recalled: Recalled) {
        let Recalled { ticket, looked, records } = recalled;
        let (Some(partition), Some(view)) = (cx.pending.take_recall(ticket), cx.view.clone())
        else {
            return;
        };
        let head_start = &mut self.head_start;
        // The copy was left meanwhile.
        let Some(recall) = head_start.running.get_mut(&partition) else { return };
        if !recall.is_fresh(cx.now.mono_us) {
            // The disk that the copy lies on took too long: the peer is asked again.
            recall.looked(0);
            return head_start.go_on(partition);
        }
        recall.looked(looked);
        head_start.asked += looked as u64;
        head_start.found += records.len() as u64;
        let bytes: usize = records.iter().map(|(_, record)| record.bytes().len()).sum();
        let steps = page_steps(records.len(), bytes);
        cx.tell(Fact::Weighed { kind: WorkKind::Repair, steps });
        if records.is_empty() {
            return self.handle_recall_merged(cx, partition, true);
        }
        let group = cx.pending.hold(records.len(), HoldFor::Recall(partition));
        for (key, record) in records {
            cx.notice_dead(&key, &record, &view);
            let ticket = cx.pending.apply(ApplyFor::Hold { group });
            let (record, durability) = (StoredRecord { local: None, record }, Durability::Synced);
            cx.emit(Output::Apply { ticket, key, record, durability });
        }
    }

    /// Goes on once the records of the copy are on disk, or ends the recall if they could not be merged.
    pub(crate) fn handle_recall_merged(&mut self, cx: &mut Cx, partition: Partition, merged: bool) {
        let head_start = &mut self.head_start;
        if !head_start.is_worth_it() {
            self.leave_copy(cx);
        } else if merged {
            head_start.go_on(partition);
        } else {
            self.end_recall(partition);
        }
    }

    /// Leaves the copy and begins the comparisons that waited for it.
    pub(crate) fn leave_copy(&mut self, cx: &mut Cx) {
        let HeadStart { at_hand, asked, found, running, .. } = mem::take(&mut self.head_start);
        if at_hand {
            cx.emit(Output::LeaveCopy { asked, found });
        }
        for partition in running.into_keys() {
            self.refill_now(partition);
        }
    }

    pub(crate) fn end_recall(&mut self, partition: Partition) {
        self.head_start.end(partition);
        self.refill_now(partition);
    }
}

#[cfg(test)]
mod tests;
