//! Which partition is read or compared next, and with whom (paper 4.7; design 5).
//!
//! One errand at a time: read the partition's records if its tree is not whole or they have not been
//! read for long, then compare with other owners, for each N that a bucket has. Invariant: every owned
//! partition has an errand in each round, and one that could not be finished gets another.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use jedlik_antientropy::{Exchange, ExchangeOutput, Outcome};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::PlacedKey;
use jedlik_protocol::admin::RepairReport;

use crate::Tuning;
use crate::trees::Trees;

/// What could not be finished is tried again after this long, or with the next round if that comes first.
const RETRY_AFTER_US: u64 = 2_000_000;

/// Whom to compare a partition with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum With {
    /// Every other owner.
    All,
    /// The owners after this node in the preference list: the others begin with this one.
    Later,
    /// One of them.
    One(NodeId),
}

/// What is to be done about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Errand {
    pub(crate) partition: Partition,
    /// Read all its records first, even if its tree is whole.
    pub(crate) scrub: bool,
    pub(crate) with: With,
}

/// When errands have their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before all that wait: an admin asked for them, or a node is back.
    First,
    /// After all that wait.
    Last,
}

/// What the repairs want done.
#[derive(Debug)]
pub(crate) enum RepairStep {
    /// Read a page of a partition whose tree is being made.
    ReadPage { partition: Partition, after: Option<PlacedKey> },
    /// A step of an exchange.
    Exchange { id: u64, peer: NodeId, partition: Partition, n: u8, output: ExchangeOutput },
}

/// An exchange under way.
#[derive(Debug)]
struct Running {
    id: u64,
    n: u8,
    exchange: Exchange,
    /// The peer's tree is not whole yet: that is no failure.
    put_off: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Its records are being read.
    Reading { errand: Errand, asked: bool },
    /// It is being compared, with one owner after the other.
    Comparing { errand: Errand, left: Vec<(u8, NodeId)>, running: Option<Box<Running>> },
}

/// All errands of one shard.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    errands: VecDeque<Errand>,
    /// The same, to tell which are waiting.
    waiting: BTreeSet<Errand>,
    stage: Stage,
    next_round_us: u64,
    retry_us: Option<u64>,
    failed: Vec<Errand>,
    exchanges: u64,
    report: RepairReport,
}

impl Repairs {
    /// What was done so far.
    pub(crate) fn report(&self, trees: &Trees) -> RepairReport {
        let left = self.errands.len() + usize::from(!matches!(self.stage, Stage::Idle));
        let done = self.report.partitions.saturating_sub(left as u32);
        RepairReport { done, building: trees.unread() as u32, ..self.report.clone() }
    }

    pub(crate) fn report_mut(&mut self) -> &mut RepairReport {
        &mut self.report
    }

    /// Adds errands that are not waiting yet.
    pub(crate) fn add(&mut self, turn: Turn, errands: impl Iterator<Item = Errand>) {
        let idle = self.errands.is_empty() && matches!(self.stage, Stage::Idle);
        if idle {
            self.report.partitions = 0;
        }
        for errand in errands {
            if self.waiting.insert(errand) {
                match turn {
                    Turn::First => self.errands.push_front(errand),
                    Turn::Last => self.errands.push_back(errand),
                }
                self.report.partitions += 1;
            }
        }
    }

    fn take(&mut self) -> Option<Errand> {
        let errand = self.errands.pop_front()?;
        self.waiting.remove(&errand);
        Some(errand)
    }

    /// Forgets what was planned, since other partitions are owned now, and begins a first round.
    pub(crate) fn restart(&mut self) {
        self.errands.clear();
        self.waiting.clear();
        self.failed.clear();
        self.stage = Stage::Idle;
        self.next_round_us = 0;
    }

    /// Whether there is an errand, so that a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        !self.errands.is_empty() || !matches!(self.stage, Stage::Idle)
    }

    /// When a round is due.
    pub(crate) fn due_us(&self) -> u64 {
        self.retry_us.map_or(self.next_round_us, |retry_us| retry_us.min(self.next_round_us))
    }

    /// Plans what is due: a round over all owned partitions, or what failed once more.
    pub(crate) fn plan(&mut self, now_us: u64, trees: &Trees, tuning: &Tuning) {
        if self.retry_us.is_some_and(|retry_us| retry_us <= now_us) {
            self.retry_us = None;
            let failed = core::mem::take(&mut self.failed);
            self.add(Turn::Last, failed.into_iter());
        }
        if self.next_round_us > now_us || trees.owned().next().is_none() {
            return;
        }
        // The first round is with everyone: what was missed while this node was away is to be found
        // now, and not when the others come round to it.
        let with = if self.next_round_us == 0 { With::All } else { With::Later };
        self.next_round_us = now_us + tuning.exchange_interval_us;
        let scrub_before_us = now_us.checked_sub(tuning.scrub_interval_us);
        let round = trees.owned().map(|partition| {
            let read_us = trees.read_us(partition);
            // A tree kept over a clean stop counts as read at the start.
            let scrub = scrub_before_us.is_some_and(|before_us| read_us.unwrap_or(0) <= before_us);
            Errand { partition, scrub, with }
        });
        self.add(Turn::Last, round);
    }

    /// The next step, if one can be taken now.
    pub(crate) fn step(
        &mut self,
        now_us: u64,
        trees: &mut Trees,
        view: &View,
    ) -> Option<RepairStep> {
        // Each turn ends a stage or takes a step; an errand has two stages.
        loop {
            match &mut self.stage {
                Stage::Idle => {
                    let errand = self.take()?;
                    self.begin(errand, trees, view);
                }
                Stage::Reading { asked: true, .. } => return None,
                Stage::Reading { errand, asked } => {
                    let partition = errand.partition;
                    let Some(after) = trees.reading(partition) else {
                        let errand = *errand;
                        self.compare(errand, view);
                        continue;
                    };
                    *asked = true;
                    return Some(RepairStep::ReadPage { partition, after });
                }
                Stage::Comparing { errand, left, running } => {
                    let errand = *errand;
                    if let Some(running) = running {
                        let Running { id, n, exchange, .. } = running.as_mut();
                        if let Some(output) = exchange.poll_output() {
                            let (id, n) = (*id, *n);
                            let (peer, partition) = (exchange.peer(), errand.partition);
                            return Some(RepairStep::Exchange { id, peer, partition, n, output });
                        }
                        if !exchange.is_done() {
                            return None;
                        }
                        self.end_exchange(now_us);
                        continue;
                    }
                    let Some((n, peer)) = left.pop() else {
                        self.stage = Stage::Idle;
                        continue;
                    };
                    let Some(tree) = trees.whole(errand.partition, n) else { continue };
                    self.exchanges += 1;
                    let exchange = Exchange::new(peer, errand.partition, tree);
                    *running =
                        Some(Box::new(Running { id: self.exchanges, n, exchange, put_off: false }));
                }
            }
        }
    }

    fn begin(&mut self, errand: Errand, trees: &mut Trees, view: &View) {
        if !trees.owns(errand.partition) {
            return;
        }
        if errand.scrub || !trees.is_whole(errand.partition) {
            trees.begin_reading(errand.partition);
            self.stage = Stage::Reading { errand, asked: false };
        } else {
            self.compare(errand, view);
        }
    }

    fn compare(&mut self, errand: Errand, view: &View) {
        self.stage = Stage::Comparing { errand, left: pairs(errand, view), running: None };
    }

    /// The page that was asked for has been taken in.
    pub(crate) fn page_read(&mut self) {
        if let Stage::Reading { asked, .. } = &mut self.stage {
            *asked = false;
        }
    }

    /// A page could not be read: this errand comes again later.
    pub(crate) fn page_failed(&mut self, now_us: u64) {
        if let Stage::Reading { errand, .. } = self.stage {
            self.stage = Stage::Idle;
            self.again(now_us, errand);
        }
    }

    /// The exchange of this number, while it is under way.
    pub(crate) fn exchange(&mut self, wanted: u64) -> Option<&mut Exchange> {
        match &mut self.stage {
            Stage::Comparing { running: Some(running), .. } if running.id == wanted => {
                Some(&mut running.exchange)
            }
            _ => None,
        }
    }

    /// The peer of an exchange has to read its records first: it is tried again later.
    pub(crate) fn put_off(&mut self, wanted: u64) {
        if let Stage::Comparing { running: Some(running), .. } = &mut self.stage
            && running.id == wanted
        {
            running.put_off = true;
            running.exchange.handle_failure();
        }
    }

    fn end_exchange(&mut self, now_us: u64) {
        let Stage::Comparing { errand, running, .. } = &mut self.stage else { return };
        let Some(running) = running.take() else { return };
        let exchange = &running.exchange;
        let (mut errand, report) = (*errand, exchange.report());
        self.report.hash_requests += report.hash_requests;
        self.report.digest_requests += report.digest_requests;
        self.report.keys_compared += report.keys_compared;
        self.report.pulled += report.pulled;
        self.report.pushed += report.pushed;
        if exchange.outcome() == Outcome::Finished {
            self.report.exchanges += 1;
            self.report.agreed += u64::from(report.agreed);
        }
        if !report.complete {
            self.report.failed += u64::from(!running.put_off);
            errand.with = With::One(exchange.peer());
            errand.scrub = false;
            self.again(now_us, errand);
        }
    }

    fn again(&mut self, now_us: u64, errand: Errand) {
        if !self.failed.contains(&errand) {
            self.failed.push(errand);
        }
        self.retry_us.get_or_insert(now_us + RETRY_AFTER_US);
    }
}

/// With whom an errand's partition is compared, for each N: those who are up.
fn pairs(errand: Errand, view: &View) -> Vec<(u8, NodeId)> {
    let list = view.preference_list(errand.partition);
    let me = list.iter().position(|node| *node == view.me());
    let mut pairs = Vec::new();
    for n in view.replica_counts() {
        let owners = &list[..list.len().min(usize::from(n))];
        let Some(me) = me.filter(|me| *me < owners.len()) else { continue };
        for (place, node) in owners.iter().enumerate() {
            let wanted = match errand.with {
                With::All => place != me,
                With::Later => place > me,
                With::One(peer) => *node == peer && place != me,
            };
            if wanted && view.is_alive(*node) {
                pairs.push((n, *node));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
