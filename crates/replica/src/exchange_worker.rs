//! One partition at a time: its records are read if its tree is not whole, then it is compared with one
//! peer after the other (paper 4.7).
//!
//! Invariant: a job that was begun ends with [`WorkerStep::Done`], unless the worker is cleared.

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_antientropy::{Direction, Exchange, ExchangeOutput, ExchangeReport, Outcome};
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::peer::Vouching;
use jedlik_protocol::{Incarnation, PlacedKey};

use crate::trees::Trees;

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

/// Why a partition is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    /// To find what one of its owners lacks.
    Compare {
        with: With,
        /// Read all its records first, even if its tree is whole.
        scrub: bool,
    },
    /// This node is to own it: to get what the older owners hold.
    Inbound,
    /// This node owns it no more: to hand on what it still holds.
    Outbound,
    /// This node has lost its past: to hold again all that it acknowledged.
    Refill,
    /// This node owns it for some N and not for others: to hand on what it holds for those.
    Thin,
}

/// What is to be done about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionJob {
    pub(crate) partition: Partition,
    pub(crate) kind: JobKind,
}

/// What a worker wants done, or has come to.
#[derive(Debug)]
pub(crate) enum WorkerStep {
    /// Read a page of the partition, whose tree is being made.
    ReadPage { partition: Partition, reading: u64, after: Option<PlacedKey> },
    /// Say with whom, for which N, by [`ExchangeWorker::compare`].
    Choose(PartitionJob),
    /// Ask the peer whether it has a vote: before an exchange that depends on it, and after.
    AskVote { id: u64, peer: NodeId, partition: Partition, n: u8 },
    /// A step of an exchange.
    Exchange { id: u64, peer: NodeId, partition: Partition, n: u8, output: ExchangeOutput },
    /// An exchange is over.
    Ended(Ended),
    /// The job is over. `whole`: every exchange came to its end. `changes`: the partition's count of
    /// changes when they began.
    Done { job: PartitionJob, whole: bool, changes: u64 },
}

/// What came of an exchange.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) job: PartitionJob,
    pub(crate) n: u8,
    pub(crate) peer: NodeId,
    pub(crate) report: ExchangeReport,
    /// It came to its end, though perhaps not with every record.
    pub(crate) finished: bool,
    /// The peer has to read its records first.
    pub(crate) put_off: bool,
    /// What the peer could say of it, before the exchange and after it, in one life.
    pub(crate) vouching: Vouching,
}

/// What a peer has said of its vote, and in which life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vote {
    NotAsked,
    Asked,
    Told(Option<(Incarnation, Vouching)>),
}

/// An exchange under way.
#[derive(Debug)]
struct Running {
    id: u64,
    n: u8,
    exchange: Exchange,
    /// The peer's tree is not whole yet: that is no failure.
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
    /// Its records are being read.
    Reading { job: PartitionJob, asked: bool },
    /// Its tree is whole.
    Choosing(PartitionJob),
    /// It is being compared.
    Comparing(Comparing),
}

/// One job under way, or none.
#[derive(Debug, Default)]
pub(crate) struct ExchangeWorker {
    stage: WorkerStage,
}

impl ExchangeWorker {
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stage, WorkerStage::Idle)
    }

    /// What is under way.
    pub(crate) fn job(&self) -> Option<PartitionJob> {
        match &self.stage {
            WorkerStage::Idle => None,
            WorkerStage::Reading { job, .. } | WorkerStage::Choosing(job) => Some(*job),
            WorkerStage::Comparing(comparing) => Some(comparing.job),
        }
    }

    /// Whether it is at work on the partition: one worker at a time may be.
    pub(crate) fn is_at(&self, partition: Partition) -> bool {
        self.job().is_some_and(|job| job.partition == partition)
    }

    /// Forgets what is under way.
    pub(crate) fn clear(&mut self) {
        self.stage = WorkerStage::Idle;
    }

    /// Begins a job on a partition of which a tree is kept.
    pub(crate) fn begin(&mut self, job: PartitionJob, trees: &mut Trees) {
        let scrub = matches!(job.kind, JobKind::Compare { scrub: true, .. });
        if scrub || !trees.is_whole(job.partition) {
            trees.begin_reading(job.partition);
            self.stage = WorkerStage::Reading { job, asked: false };
        } else {
            self.stage = WorkerStage::Choosing(job);
        }
    }

    /// With whom to compare, in reverse order.
    pub(crate) fn compare(&mut self, left: Vec<(u8, NodeId)>, trees: &Trees) {
        if let WorkerStage::Choosing(job) = self.stage {
            let changes = trees.changes(job.partition);
            let (running, whole) = (None, true);
            self.stage = WorkerStage::Comparing(Comparing { job, left, running, whole, changes });
        }
    }

    /// The next step, if one can be taken now. `exchanges` counts them for the whole shard.
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
                if matches!(step, Some(WorkerStep::Done { .. })) {
                    self.stage = WorkerStage::Idle;
                }
                step
            }
        }
    }

    /// The page that was asked for has been taken in.
    pub(crate) fn page_read(&mut self) {
        if let WorkerStage::Reading { asked, .. } = &mut self.stage {
            *asked = false;
        }
    }

    /// The job whose records are being read.
    pub(crate) fn reads(&self, wanted: Partition) -> Option<PartitionJob> {
        match self.stage {
            WorkerStage::Reading { job, asked: true } if job.partition == wanted => Some(job),
            _ => None,
        }
    }

    /// Whether the exchange of this number is under way.
    pub(crate) fn runs(&self, wanted: u64) -> bool {
        matches!(&self.stage, WorkerStage::Comparing(Comparing { running: Some(running), .. })
            if running.id == wanted)
    }

    /// The exchange of this number, while it is under way.
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

    /// The peer of an exchange has to read its records first.
    pub(crate) fn put_off(&mut self, wanted: u64) {
        if let WorkerStage::Comparing(Comparing { running: Some(running), .. }) = &mut self.stage
            && running.id == wanted
        {
            running.put_off = true;
            running.exchange.handle_failure();
        }
    }

    /// A peer has said whether it has a vote.
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

    /// The peer that is being compared with, and how far that is.
    pub(crate) fn progress(&self) -> Option<(PartitionJob, NodeId, ExchangeReport)> {
        let WorkerStage::Comparing(Comparing { job, running: Some(running), .. }) = &self.stage
        else {
            return None;
        };
        Some((*job, running.exchange.peer(), running.exchange.report()))
    }
}

impl Running {
    /// What is to be heard of the peer's vote before anything else is done.
    fn next_vote(&mut self) -> Option<&mut Vote> {
        let heard = |vote: Vote| matches!(vote, Vote::Told(_));
        if !heard(self.before) {
            return Some(&mut self.before);
        }
        let over = self.exchange.is_done() && self.exchange.report().complete;
        (over && !heard(self.after)).then_some(&mut self.after)
    }
}

/// What a peer could say before an exchange and after it.
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
        Some(WorkerStep::Done { job, whole: self.whole, changes: self.changes })
    }
}
