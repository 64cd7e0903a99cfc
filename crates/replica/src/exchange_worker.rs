//! Work on one partition at a time: its records are read if its tree is not whole, then it is compared with
//! one peer after the other (paper 4.7).
//!
//! Invariant: a job that was begun ends with [`WorkerStep::Done`], unless the worker is cleared.

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_antientropy::{Direction, Exchange, ExchangeOutput, ExchangeReport, Outcome};
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::peer::Vouching;
use jedlik_protocol::{Incarnation, PlacedKey};

use crate::trees::Trees;

/// Peers that a partition is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum With {
    /// All other owners of the partition.
    All,
    /// Owners after this node in the preference list; those before it begin the comparison with this one.
    Later,
    /// One of the other owners, if it is still one.
    One(NodeId),
}

/// Reason for comparing a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    /// The partition's owners are compared to find what one of them lacks.
    Compare {
        with: With,
        /// Whether all records are read first, even if the tree is whole.
        scrub: bool,
    },
    /// This node is to own the partition, and gets what the older owners hold.
    Inbound,
    /// This node no longer owns the partition, and hands on what it still holds.
    Outbound,
    /// This node has lost its past, and compares until it holds again all that it acknowledged.
    Refill,
    /// This node owns the partition for some N and not for others, and hands on what it holds for those.
    Thin,
}

/// Work to be done on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionJob {
    pub(crate) partition: Partition,
    pub(crate) kind: JobKind,
}

/// Step that a worker wants done, or the end of an exchange or of a job.
#[derive(Debug)]
pub(crate) enum WorkerStep {
    /// Read the next page of a partition whose tree is being made.
    ReadPage { partition: Partition, reading: u64, after: Option<PlacedKey> },
    /// Choose the peers to compare with, for each N, by [`ExchangeWorker::compare`].
    Choose(PartitionJob),
    /// Ask the peer whether it has a vote: before an exchange that depends on it, and after.
    AskVote { id: u64, peer: NodeId, partition: Partition, n: u8 },
    /// Carry out one step of an exchange.
    Exchange { id: u64, peer: NodeId, partition: Partition, n: u8, output: ExchangeOutput },
    /// One exchange of the job is over.
    Ended(Ended),
    /// The whole job is over.
    Done(Done),
}

/// End of a whole job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) job: PartitionJob,
    /// Whether every exchange came to its end.
    pub(crate) whole: bool,
    /// Number of changes of the partition when the exchanges began.
    pub(crate) changes: u64,
}

/// Result of one exchange.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) job: PartitionJob,
    pub(crate) n: u8,
    pub(crate) peer: NodeId,
    pub(crate) report: ExchangeReport,
    /// Whether the exchange came to its end, though perhaps not with every record.
    pub(crate) finished: bool,
    /// Whether the peer has to read its records first.
    pub(crate) put_off: bool,
    /// Lesser of the peer's vouchings before the exchange and after it; `Nothing` if it was asked in two lives.
    pub(crate) vouching: Vouching,
}

/// State of the question whether the peer has a vote; the answer names its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vote {
    NotAsked,
    Asked,
    Told(Option<(Incarnation, Vouching)>),
}

/// Exchange under way, and the peer's votes around it.
#[derive(Debug)]
struct Running {
    id: u64,
    n: u8,
    exchange: Exchange,
    /// Whether the peer's tree is not whole yet, which is no failure.
    put_off: bool,
    before: Vote,
    after: Vote,
}

#[derive(Debug)]
struct Comparing {
    job: PartitionJob,
    left: Vec<(u8, NodeId)>,
    running: Option<Box<Running>>,
    whole: bool,
    changes: u64,
}

#[derive(Debug, Default)]
enum WorkerStage {
    #[default]
    Idle,
    /// The partition's records are being read, a page at a time.
    Reading { job: PartitionJob, asked: bool },
    /// The partition's tree is whole; the peers are to be chosen.
    Choosing(PartitionJob),
    /// The partition is being compared with the peers that are left.
    Comparing(Comparing),
}

/// Worker for one job at a time; idle without one.
#[derive(Debug, Default)]
pub(crate) struct ExchangeWorker {
    stage: WorkerStage,
}

impl ExchangeWorker {
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stage, WorkerStage::Idle)
    }

    /// Returns the job under way.
    pub(crate) fn job(&self) -> Option<PartitionJob> {
        match &self.stage {
            WorkerStage::Idle => None,
            WorkerStage::Reading { job, .. } | WorkerStage::Choosing(job) => Some(*job),
            WorkerStage::Comparing(comparing) => Some(comparing.job),
        }
    }

    /// Returns whether the worker is at work on the partition: only one worker at a time may be.
    pub(crate) fn is_at(&self, partition: Partition) -> bool {
        self.job().is_some_and(|job| job.partition == partition)
    }

    /// Forgets the job under way.
    pub(crate) fn clear(&mut self) {
        self.stage = WorkerStage::Idle;
    }

    /// Begins a job on a partition whose tree is kept; reads its records first if need be.
    pub(crate) fn begin(&mut self, job: PartitionJob, trees: &mut Trees) {
        let scrub = matches!(job.kind, JobKind::Compare { scrub: true, .. });
        if scrub || !trees.is_whole(job.partition) {
            trees.begin_reading(job.partition);
            self.stage = WorkerStage::Reading { job, asked: false };
        } else {
            self.stage = WorkerStage::Choosing(job);
        }
    }

    /// Begins to compare with these peers, the last of them first.
    pub(crate) fn compare(&mut self, left: Vec<(u8, NodeId)>, trees: &Trees) {
        if let WorkerStage::Choosing(job) = self.stage {
            let changes = trees.changes(job.partition);
            let (running, whole) = (None, true);
            self.stage = WorkerStage::Comparing(Comparing { job, left, running, whole, changes });
        }
    }

    /// Returns the next step if one can be taken now. `exchanges` counts the exchanges of the whole shard.
    pub(crate) fn step(&mut self, trees: &Trees, exchanges: &mut u64) -> Option<WorkerStep> {
        match &mut self.stage {
            WorkerStage::Idle | WorkerStage::Reading { asked: true, .. } => None,
            WorkerStage::Choosing(job) => Some(WorkerStep::Choose(*job)),
            WorkerStage::Reading { job, asked } => {
                let job = *job;
                let Some((reading, after)) = trees.reading(job.partition) else {
                    self.stage = WorkerStage::Choosing(job);
                    return Some(WorkerStep::Choose(job));
                };
                *asked = true;
                Some(WorkerStep::ReadPage { partition: job.partition, reading, after })
            }
            WorkerStage::Comparing(comparing) => {
                let step = comparing.step(trees, exchanges);
                if matches!(step, Some(WorkerStep::Done(_))) {
                    self.stage = WorkerStage::Idle;
                }
                step
            }
        }
    }

    /// Notes that the page that was asked for has been taken in.
    pub(crate) fn page_read(&mut self) {
        if let WorkerStage::Reading { asked, .. } = &mut self.stage {
            *asked = false;
        }
    }

    /// Returns whether the worker waits for a page of this partition.
    pub(crate) fn reads(&self, wanted: Partition) -> bool {
        matches!(self.stage, WorkerStage::Reading { job, asked: true } if job.partition == wanted)
    }

    /// Returns whether the exchange of this number is under way.
    pub(crate) fn runs(&self, wanted: u64) -> bool {
        matches!(&self.stage, WorkerStage::Comparing(Comparing { running: Some(running), .. })
            if running.id == wanted)
    }

    /// Returns the exchange of this number while it is under way.
    pub(crate) fn exchange(&mut self, wanted: u64) -> Option<&mut Exchange> {
        match &mut self.stage {
            WorkerStage::Comparing(Comparing { running: Some(running), .. })
                if running.id == wanted =>
            {
                Some(&mut running.exchange)
            }
            _ => None,
        }
    }

    /// Ends an exchange whose peer has to read its records first.
    pub(crate) fn put_off(&mut self, wanted: u64) {
        if let WorkerStage::Comparing(Comparing { running: Some(running), .. }) = &mut self.stage
            && running.id == wanted
        {
            running.put_off = true;
            running.exchange.handle_failure();
        }
    }

    /// Takes a peer's answer about its vote; `None` if it gave none.
    pub(crate) fn vote(&mut self, wanted: u64, told: Option<(Incarnation, Vouching)>) {
        if let WorkerStage::Comparing(Comparing { running: Some(running), .. }) = &mut self.stage
            && running.id == wanted
        {
            match (running.before, running.after) {
                (Vote::Asked, _) => running.before = Vote::Told(told),
                (_, Vote::Asked) => running.after = Vote::Told(told),
                _ => {}
            }
        }
    }

    /// Returns the job, the peer that is being compared with, and how far the exchange has come.
    pub(crate) fn progress(&self) -> Option<(PartitionJob, NodeId, ExchangeReport)> {
        let WorkerStage::Comparing(Comparing { job, running: Some(running), .. }) = &self.stage
        else {
            return None;
        };
        Some((*job, running.exchange.peer(), running.exchange.report()))
    }
}

impl Running {
    /// Returns the vote that has to be heard before anything else is done.
    fn next_vote(&mut self) -> Option<&mut Vote> {
        let heard = |vote: Vote| matches!(vote, Vote::Told(_));
        if !heard(self.before) {
            return Some(&mut self.before);
        }
        let over = self.exchange.is_done() && self.exchange.report().complete;
        (over && !heard(self.after)).then_some(&mut self.after)
    }
}

/// Returns the lesser of two vouchings of a peer in one life.
fn throughout(before: Vote, after: Vote) -> Vouching {
    match (before, after) {
        (Vote::Told(Some((life, then))), Vote::Told(Some((same, now)))) if life == same => {
            then.min(now)
        }
        _ => Vouching::Nothing,
    }
}

impl Comparing {
    fn step(&mut self, trees: &Trees, exchanges: &mut u64) -> Option<WorkerStep> {
        let (job, partition) = (self.job, self.job.partition);
        if let Some(running) = self.running.as_mut() {
            if let Some(vote) = running.next_vote() {
                if *vote == Vote::Asked {
                    return None;
                }
                *vote = Vote::Asked;
                let (id, n, peer) = (running.id, running.n, running.exchange.peer());
                return Some(WorkerStep::AskVote { id, peer, partition, n });
            }
            if let Some(output) = running.exchange.poll_output() {
                let (id, n, peer) = (running.id, running.n, running.exchange.peer());
                return Some(WorkerStep::Exchange { id, peer, partition, n, output });
            }
            if !running.exchange.is_done() {
                return None;
            }
            let Running { n, exchange, put_off, before, after, .. } = *self.running.take()?;
            let vouching = throughout(before, after);
            let (peer, report) = (exchange.peer(), exchange.report());
            self.whole &= report.complete;
            let finished = exchange.outcome() == Outcome::Finished;
            let ended = Ended { job, n, peer, report, finished, put_off, vouching };
            return Some(WorkerStep::Ended(ended));
        }
        while let Some((n, peer)) = self.left.pop() {
            let Some(tree) = trees.whole(partition, n) else {
                self.whole = false;
                continue;
            };
            *exchanges += 1;
            let direction = match job.kind {
                JobKind::Inbound => Direction::Inbound,
                JobKind::Outbound | JobKind::Thin => Direction::Push,
                JobKind::Compare { .. } | JobKind::Refill => Direction::Both,
            };
            let counts = matches!(job.kind, JobKind::Inbound | JobKind::Refill);
            let vote = if counts { Vote::NotAsked } else { Vote::Told(None) };
            let exchange = Exchange::new(peer, partition, tree, direction);
            let (id, put_off) = (*exchanges, false);
            let running = Running { id, n, exchange, put_off, before: vote, after: vote };
            self.running = Some(Box::new(running));
            return self.step(trees, exchanges);
        }
        Some(WorkerStep::Done(Done { job, whole: self.whole, changes: self.changes }))
    }
}

#[cfg(test)]
mod tests;
