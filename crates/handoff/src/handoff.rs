//! One shard's hints on their way to their targets (paper 4.6).
//!
//! Told how many hints storage holds for a target and whether the target is up, the machine reads
//! them page by page, sends them, and has each removed once the target has synced it. Its state is
//! only a copy: after a restart it begins with the oldest hint that is left.
//! Invariant: a hint is released with the digest of the record that its target has synced, so what
//! was hinted since stays.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::admin::HintReport;
use jedlik_protocol::{Digest, PlacedKey};
use jedlik_storage_port::{HintPage, HintTotals};

use crate::hint::{Delivery, HandoffOutput};
use crate::hint_queue::{HintQueue, PAGE_RECORDS};

/// Size in bytes at which a page of hints ends.
const PAGE_BYTES: u32 = 256 * 1024;

/// State machine that delivers the hints of one shard.
///
/// Its effects come in two ways. [`Self::poll_output`] tells what storage should do, and is polled until it
/// has no more. [`Self::poll_delivery`] tells what to send, and is polled only as often as the background
/// budget allows: what is not taken waits, bounded by a page for each target.
///
/// Every page, release and delivery is answered exactly once, also after [`Self::handle_down`]. The sender of
/// a delivery sets its deadline and reports a failure when it has passed. Otherwise an answer to an old
/// delivery could pass for one to a later, larger record of the same key.
#[derive(Debug, Default)]
pub struct Handoff {
    targets: BTreeMap<NodeId, HintQueue>,
    /// Targets with a hint that may be sent now.
    ready: BTreeSet<NodeId>,
    /// Targets at rest, and until when, in microseconds.
    resting: BTreeMap<NodeId, u64>,
    /// Target of the last delivery; the next one in order has its turn.
    served: Option<NodeId>,
    outputs: VecDeque<HandoffOutput>,
}

impl Handoff {
    /// Creates a machine without hints and with every target away.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the totals that storage holds for `target`: at the start, and whenever a hint was stored or released.
    pub fn handle_totals(&mut self, now_us: u64, target: NodeId, totals: HintTotals) {
        self.change(now_us, target, |hints| hints.set_totals(totals));
    }

    /// Notes that the target can be reached; changes nothing if it could be before.
    pub fn handle_up(&mut self, now_us: u64, target: NodeId) {
        self.change(now_us, target, HintQueue::set_up);
    }

    /// Notes that the target can't be reached; its page is dropped.
    pub fn handle_down(&mut self, now_us: u64, target: NodeId) {
        self.change(now_us, target, HintQueue::set_down);
    }

    /// Takes storage's answer to [`HandoffOutput::LoadPage`].
    pub fn handle_page(&mut self, now_us: u64, target: NodeId, page: HintPage) {
        self.change(now_us, target, |held| held.take_page(now_us, Some(page)));
    }

    /// Notes that storage could not read the page; it is asked again after a rest.
    pub fn handle_page_failed(&mut self, now_us: u64, target: NodeId) {
        self.change(now_us, target, |held| held.take_page(now_us, None));
    }

    /// Notes that the target has synced a hint, and wants at most `window` under way from here. 0 means a
    /// pause: after a rest it is sent one again.
    pub fn handle_delivered(&mut self, now_us: u64, target: NodeId, key: &PlacedKey, window: u16) {
        let mut synced = None;
        self.change(now_us, target, |held| {
            synced = held.settle(now_us, key, window);
            if let Some(digest) = synced
                && !planted::on(Bug::HintDroppedBeforeSync)
            {
                held.begin_release(key, digest);
            }
        });
        if let Some(digest) = synced
            && !planted::on(Bug::HintDroppedBeforeSync)
        {
            self.release(target, key.clone(), digest);
        }
    }

    /// Notes that the target refused, or did not answer in time. The whole target is given a rest, from 100
    /// ms doubling to 10 s, and the hint stays for the next pass.
    pub fn handle_delivery_failed(
        &mut self,
        now_us: u64,
        target: NodeId,
        key: &PlacedKey,
        why: String,
    ) {
        self.change(now_us, target, |held| held.fail(now_us, key, why));
    }

    /// Notes that storage has carried out a release, whether the hint went or had grown. The totals that it
    /// left are given before, so that no page is asked for in vain.
    pub fn handle_released(&mut self, now_us: u64, target: NodeId, key: &PlacedKey) {
        self.change(now_us, target, |held| held.end_release(key));
    }

    /// Notes that storage could not release a hint; it is asked once more after a rest.
    pub fn handle_release_failed(
        &mut self,
        now_us: u64,
        target: NodeId,
        key: &PlacedKey,
        why: String,
    ) {
        self.change(now_us, target, |held| held.fail_release(now_us, key, why));
    }

    /// Handles the time that [`Self::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now_us: u64) {
        let due = self.resting.iter().filter(|(_, until_us)| **until_us <= now_us);
        for target in due.map(|(target, _)| *target).collect::<Vec<_>>() {
            self.change(now_us, target, |held| held.end_rest(now_us));
        }
    }

    /// Returns when to call [`Self::handle_timeout`], in microseconds on the monotonic clock; `None` if no
    /// target rests.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.resting.values().copied().min()
    }

    /// Returns the next effect for storage, `None` if there are no more.
    pub fn poll_output(&mut self) -> Option<HandoffOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether a hint of the key is being released, or could not be yet. Loads may not show it any
    /// more, and an end of the process may bring it back.
    #[must_use]
    pub fn is_releasing(&self, key: &PlacedKey) -> bool {
        self.targets.values().any(|held| held.is_releasing(key))
    }

    /// Returns whether [`Self::poll_delivery`] has something, so that no step of the budget is taken in vain.
    #[must_use]
    pub fn has_delivery(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns the next record to send, from one target after the other.
    pub fn poll_delivery(&mut self, now_us: u64) -> Option<Delivery> {
        let past = self.served.map_or(Unbounded, Excluded);
        let next = self.ready.range((past, Unbounded)).next();
        let target = *next.or_else(|| self.ready.first())?;
        self.served = Some(target);
        let mut sent = None;
        self.change(now_us, target, |held| {
            sent = held.send();
            if let Some((key, _, digest)) = &sent
                && planted::on(Bug::HintDroppedBeforeSync)
            {
                held.begin_release(key, *digest);
            }
        });
        let (key, record, digest) = sent?;
        if planted::on(Bug::HintDroppedBeforeSync) {
            self.release(target, key.clone(), digest);
        }
        Some(Delivery { target, key, record })
    }

    /// Returns the nodes for which hints are kept, or were since the start.
    pub fn targets(&self) -> impl Iterator<Item = NodeId> {
        self.targets.keys().copied()
    }

    /// Returns the progress of each target that has hints, or had some delivered since the start.
    pub fn progress(&self) -> impl Iterator<Item = HintReport> {
        self.targets.iter().filter_map(|(node, held)| held.progress(*node))
    }

    fn release(&mut self, target: NodeId, key: PlacedKey, digest: Digest) {
        self.outputs.push_back(HandoffOutput::Release { target, key, digest });
    }

    /// Changes one target and draws the consequences: effects for storage, and its turn.
    fn change(&mut self, now_us: u64, target: NodeId, event: impl FnOnce(&mut HintQueue)) {
        let held = self.targets.entry(target).or_insert_with(HintQueue::new);
        event(held);
        for (key, digest) in held.release_again() {
            self.outputs.push_back(HandoffOutput::Release { target, key, digest });
        }
        if let Some(after) = held.next_page(now_us) {
            self.outputs.push_back(HandoffOutput::LoadPage {
                target,
                after,
                limit_records: PAGE_RECORDS,
                limit_bytes: PAGE_BYTES,
            });
        }
        if held.may_send() {
            self.ready.insert(target);
        } else {
            self.ready.remove(&target);
        }
        match held.rest_until_us() {
            Some(until_us) => self.resting.insert(target, until_us),
            None => self.resting.remove(&target),
        };
    }
}

#[cfg(test)]
mod tests;
