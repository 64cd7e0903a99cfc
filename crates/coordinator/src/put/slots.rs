//! The slots of a put, one for each primary: which node is asked next, and how many count.
//!
//! Invariants: no node has more than one request of a put under way, so that its answer is to that one; a
//! node other than the coordinator counts in a single slot, so that slots are acknowledged by distinct nodes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;

use super::attempt::{Attempt, Progress, Slot};
use super::{Cause, PutOutput};
use crate::plan::WritePlan;
use crate::tally::Tally;

/// Assumptions about requests that have not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assumptions {
    /// Whether requests can still be sent.
    pub(super) sending: bool,
    /// Whether nodes that are away or failed are asked again.
    pub(super) last_resort: bool,
}

/// Slots of one put, in the order of the primaries.
#[derive(Debug)]
pub(super) struct Slots {
    me: NodeId,
    me_is_primary: bool,
    slots: Vec<Slot>,
    /// Living fallbacks that have not been asked yet, in order.
    fallbacks: VecDeque<NodeId>,
}

impl Slots {
    pub(super) fn new(plan: &WritePlan) -> Self {
        let count = plan.primaries.len();
        let slots = plan.primaries.iter().enumerate().map(|(index, listed)| {
            let level = initial_level(plan, index, count);
            let progress = if listed.alive { Progress::Waiting } else { Progress::Failed };
            let attempts = alloc::vec![Attempt::new(listed.node, level, progress)];
            Slot { attempts, away: !listed.alive }
        });
        let living = plan.fallbacks.iter().filter(|listed| listed.alive);
        Self {
            me: plan.me,
            me_is_primary: plan.primaries.iter().any(|listed| listed.node == plan.me),
            slots: slots.collect(),
            fallbacks: living.map(|listed| listed.node).collect(),
        }
    }

    pub(super) fn acknowledge(&mut self, node: NodeId, durability: Durability) {
        for attempt in self.slots.iter_mut().flat_map(|slot| &mut slot.attempts) {
            if is_asked(attempt, node) {
                attempt.acknowledge(durability);
            }
        }
    }

    /// Notes that a node failed: a primary that refused is asked again after a rest, one that was lost is away.
    pub(super) fn fail(&mut self, now_us: u64, node: NodeId, cause: Cause) {
        for slot in &mut self.slots {
            let Some(index) = slot.attempts.iter().position(|attempt| is_asked(attempt, node))
            else {
                continue;
            };
            let attempt = &mut slot.attempts[index];
            attempt.fail();
            if index == 0 && cause == Cause::Refused && attempt.is_retriable() {
                attempt.retry(now_us);
            } else if index == 0 {
                slot.away = true;
            }
        }
    }

    /// Finds a stand-in for every primary that is away, and with `hedged` for every one that is silent. Where
    /// no fallback is left, this node keeps the hint for a primary that is away.
    ///
    /// Until the client is answered such a hint is no reason not to ask a fallback that comes free.
    pub(super) fn enlist(&mut self, now_us: u64, hedged: bool, answered: bool) {
        let me = self.me;
        let mut counts_here = !self.me_is_primary;
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let here = slot.stand_ins().any(|attempt| attempt.node == me && attempt.is_serving());
            let elsewhere =
                slot.stand_ins().any(|attempt| attempt.node != me && attempt.is_serving());
            let away = slot.away;
            if slot.primary().acknowledged.is_some() || elsewhere {
                continue;
            }
            if here && (answered || counts_here) {
                counts_here = false;
                continue;
            }
            if !(away || hedged) {
                continue;
            }
            let asked = self.ask_fallback(index);
            if away && !asked && !here {
                self.keep_here(now_us, index);
            }
        }
    }

    /// Gives each slot that nobody has acknowledged one more stand-in, those without one first; returns
    /// whether any was left.
    pub(super) fn hedge(&mut self) -> bool {
        let silent = (0..self.slots.len()).filter(|index| !self.slots[*index].is_settled());
        let mut silent: Vec<usize> = silent.collect();
        silent.sort_by_key(|index| self.slots[*index].stand_ins().any(Attempt::is_serving));
        silent.into_iter().filter(|index| self.ask_fallback(*index)).count() > 0
    }

    /// Has this node keep a hint for each slot that nobody has acknowledged.
    pub(super) fn keep_rest_here(&mut self, now_us: u64) {
        for index in 0..self.slots.len() {
            if !self.slots[index].is_settled() {
                self.keep_here(now_us, index);
            }
        }
    }

    fn ask_fallback(&mut self, index: usize) -> bool {
        let Some(node) = self.fallbacks.pop_front().or_else(|| self.release()) else {
            return false;
        };
        self.add(index, node);
        true
    }

    /// Frees a stand-in in whose slot another node has acknowledged too, and returns it.
    fn release(&mut self) -> Option<NodeId> {
        let me = self.me;
        let free = |attempt: &Attempt| attempt.node != me && attempt.progress == Progress::Answered;
        self.slots.iter_mut().find_map(|slot| {
            let acknowledged = |attempt: &&Attempt| attempt.acknowledged.is_some();
            let enough = slot.counting(me).filter(acknowledged).count() > 1;
            let index = slot.stand_ins().position(free).filter(|_| enough)?;
            Some(slot.attempts.remove(index + 1).node)
        })
    }

    /// Has this node keep the hint of a slot, unless it is the primary itself.
    fn keep_here(&mut self, now_us: u64, index: usize) {
        let me = self.me;
        let slot = &mut self.slots[index];
        if slot.primary().node == me {
            return;
        }
        match slot.attempts.iter_mut().find(|attempt| attempt.node == me) {
            Some(attempt) if attempt.is_retriable() => attempt.retry(now_us),
            Some(_) => {}
            None => self.add(index, me),
        }
    }

    fn add(&mut self, index: usize, node: NodeId) {
        let slot = &mut self.slots[index];
        let level = slot.primary().level;
        slot.attempts.push(Attempt::new(node, level, Progress::Waiting));
    }

    /// Has all nodes asked again that are away or failed and are not given up.
    pub(super) fn revive(&mut self, now_us: u64) {
        for attempt in self.slots.iter_mut().flat_map(|slot| &mut slot.attempts) {
            if attempt.is_retriable() {
                attempt.retry(now_us);
            }
        }
    }

    /// Asks further nodes to sync if too few of those that were asked to are left.
    pub(super) fn replace_syncers(&mut self, needed: u8) {
        while self.tally(|attempt| attempt.is_syncing().then_some(true)).synced < needed {
            let (me, me_is_primary) = (self.me, self.me_is_primary);
            let idle =
                self.slots.iter_mut().filter(|s| !s.attempts.iter().any(Attempt::is_syncing));
            let attempts = idle.flat_map(|slot| slot.attempts.iter_mut().enumerate());
            let mut spare = attempts.filter(|(index, attempt)| {
                attempt.may_be_raised() && (*index == 0 || attempt.node != me || !me_is_primary)
            });
            let Some((_, attempt)) = spare.next() else { return };
            attempt.raise_level();
        }
    }

    /// Has the nodes whose rest is over wait to be asked again.
    pub(super) fn wake(&mut self, now_us: u64) {
        for attempt in self.slots.iter_mut().flat_map(|slot| &mut slot.attempts) {
            if matches!(attempt.progress, Progress::Resting { until_us } if until_us <= now_us) {
                attempt.progress = Progress::Waiting;
            }
        }
    }

    /// Returns when the next rest ends of a node that is still to be asked, in microseconds.
    pub(super) fn next_wake(&self, answered: bool) -> Option<u64> {
        let resting =
            self.places().filter_map(|(slot, index)| match slot.attempts[index].progress {
                Progress::Resting { until_us } => slot.wants(index, answered).then_some(until_us),
                _ => None,
            });
        resting.min()
    }

    /// Returns whether a slot that nobody has acknowledged may still be.
    pub(super) fn is_busy(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| !slot.is_settled() && slot.attempts.iter().any(Attempt::is_active))
    }

    /// Returns the requests to all nodes that wait and have nothing else under way.
    pub(super) fn requests(&mut self, answered: bool) -> Vec<PutOutput> {
        let mut requests = Vec::new();
        while let Some((node, as_primary)) = self.next_to_ask(answered) {
            requests.push(if as_primary { self.write(node) } else { self.hint(node, answered) });
        }
        requests
    }

    /// Returns the next node to ask, and whether it is asked as a primary.
    fn next_to_ask(&self, answered: bool) -> Option<(NodeId, bool)> {
        let is_free = |node| !self.places().any(|(slot, i)| is_asked(&slot.attempts[i], node));
        let waiting = self.places().filter(|(slot, index)| {
            slot.attempts[*index].progress == Progress::Waiting && slot.wants(*index, answered)
        });
        let mut nodes = waiting.map(|(slot, index)| (slot.attempts[index].node, index == 0));
        nodes.find(|(node, _)| is_free(*node))
    }

    fn write(&mut self, node: NodeId) -> PutOutput {
        let mut durability = Durability::Buffered;
        for slot in self.slots.iter_mut().filter(|slot| slot.primary().node == node) {
            slot.attempts[0].progress = Progress::Asked;
            durability = slot.attempts[0].level;
        }
        PutOutput::Write { node, durability }
    }

    /// Returns one hint for every slot in which the node waits, so that the record travels once.
    fn hint(&mut self, node: NodeId, answered: bool) -> PutOutput {
        let (mut targets, mut durability) = (Vec::new(), Durability::Buffered);
        for slot in &mut self.slots {
            let waiting =
                |attempt: &Attempt| attempt.node == node && attempt.progress == Progress::Waiting;
            let index = slot.attempts.iter().skip(1).position(waiting).map(|index| index + 1);
            let Some(index) = index.filter(|index| slot.wants(*index, answered)) else { continue };
            targets.push(slot.primary().node);
            durability = durability.max(slot.attempts[index].level);
            slot.attempts[index].progress = Progress::Asked;
        }
        PutOutput::Hint { node, targets, durability }
    }

    /// Returns the tally of acknowledgements so far.
    pub(super) fn have(&self) -> Tally {
        self.tally(|attempt| attempt.acknowledged.map(|_| attempt.is_synced()))
    }

    /// Returns the tally if every node acknowledged that still may, under these assumptions.
    pub(super) fn at_best(&self, assumptions: Assumptions) -> Tally {
        let may_count = |attempt: &Attempt| {
            let may = match attempt.progress {
                Progress::Asked => true,
                Progress::Waiting | Progress::Resting { .. } => assumptions.sending,
                Progress::Failed => {
                    assumptions.sending && assumptions.last_resort && attempt.is_retriable()
                }
                Progress::Answered => false,
            };
            // A node that can still be asked can be asked to sync.
            let may_sync = may || (assumptions.sending && attempt.progress == Progress::Answered);
            (may || attempt.acknowledged.is_some()).then_some(attempt.is_synced() || may_sync)
        };
        let mut tally = self.tally(may_count);
        if assumptions.sending {
            // Of two that acknowledge in one slot, a stand-in comes free.
            let may_count_in = |slot: &Slot| slot.counting(self.me).filter_map(may_count).count();
            let spare =
                self.slots.iter().map(|slot| may_count_in(slot).saturating_sub(1)).sum::<usize>();
            let room = self.slots.len().saturating_sub(usize::from(tally.answers));
            for _ in 0..spare.min(room) {
                tally.add(false, true);
            }
        }
        tally
    }

    /// Counts the slots for which an attempt counts, by whether it has synced. This node counts once however
    /// many hints it keeps, and for none of them if it is a primary.
    fn tally(&self, counts: impl Fn(&Attempt) -> Option<bool>) -> Tally {
        let mut tally = Tally::default();
        let mut mine = Tally::default();
        for slot in &self.slots {
            let primary = counts(slot.primary());
            let (here, others): (Vec<&Attempt>, Vec<&Attempt>) =
                slot.stand_ins().partition(|attempt| attempt.node == self.me);
            let stand_in = others.into_iter().filter_map(&counts).max();
            let here = here.into_iter().filter_map(&counts).max();
            if let Some(synced) = primary.max(stand_in) {
                tally.add(primary.is_some(), synced);
            } else if here.is_some() {
                mine.answers = 1;
            }
            if here == Some(true) && primary.max(stand_in) != Some(true) {
                mine.synced = 1;
            }
        }
        if !self.me_is_primary {
            tally.answers += mine.answers;
            tally.synced += mine.synced;
        }
        tally
    }

    /// Returns all acknowledgements: the node, and the primary that it stands in for.
    pub(super) fn acknowledgements(&self) -> Vec<Acknowledgement> {
        let acknowledged = |(slot, index): (&Slot, usize)| {
            let attempt = &slot.attempts[index];
            attempt.acknowledged.map(|level| Acknowledgement {
                node: attempt.node,
                stands_in_for: (index > 0).then(|| slot.primary().node),
                synced: level == Durability::Synced,
            })
        };
        self.places().filter_map(acknowledged).collect()
    }

    fn places(&self) -> impl Iterator<Item = (&Slot, usize)> {
        self.slots.iter().flat_map(|slot| (0..slot.attempts.len()).map(move |index| (slot, index)))
    }
}

fn is_asked(attempt: &Attempt, node: NodeId) -> bool {
    attempt.node == node && attempt.progress == Progress::Asked
}

/// Returns the level asked of the slot at `index`: the bucket's, but DW of the slots sync. Where an
/// acknowledgement means memory only, one more syncs without being waited for (paper 6.1): the last, so that
/// the nearest answers soonest.
fn initial_level(plan: &WritePlan, index: usize, count: usize) -> Durability {
    let must_sync = index < usize::from(plan.needs.synced);
    let should_sync = plan.durability == Durability::Buffered && index + 1 == count;
    if must_sync || should_sync { Durability::Synced } else { plan.durability }
}
