//! The hash trees of this shard's partitions, and the workers that read and compare them, for repairs and for transfers
//! alike (paper 4.7).
//!
//! Invariant: at most one worker is at a partition. What an exchange brings is merged, never put in place of what is
//! there.

use alloc::vec::Vec;

use jedlik_antientropy::{Exchange, ExchangeReport};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::RepairReport;
use jedlik_protocol::peer::PeerResponse;

use crate::clashes::Clashes;
use crate::cx::Cx;
use crate::exchange_worker::{Done, Ended, ExchangeWorker, PartitionJob, WorkerStep};
use crate::keyset::Keyset;
use crate::trees::Trees;

/// Place at which one partition at a time is read and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(usize);

impl Seat {
    /// Place of the rounds of comparisons.
    pub(crate) const REPAIRS: Self = Self(0);
    /// Places of partitions that move or are refilled: while one waits for an answer another is worked on.
    pub(crate) const TRANSFERS: [Self; 2] = [Self(1), Self(2)];
    const COUNT: usize = 3;
}

/// Result of a worker's step.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing can be done before an answer comes.
    Waits,
    /// The step was carried out.
    Taken,
    /// The peers are to be chosen that the partition is compared with, by [`Exchanges::compare`].
    Choose(PartitionJob),
    /// One exchange of a job is over.
    Ended(Ended),
    /// The whole job is over, and the seat is free.
    Done(Done),
}

/// Hash trees of one shard, and the work on them that is under way.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    pub(crate) trees: Trees,
    /// Records that this node and a peer can't take from one another.
    pub(crate) clashes: Clashes,
    workers: [ExchangeWorker; Seat::COUNT],
    /// Number of exchanges begun so far; each is named by its number.
    begun: u64,
    /// Counts of all that was read and compared since the start.
    pub(crate) counts: RepairReport,
}

impl Exchanges {
    pub(crate) fn is_free(&self, seat: Seat) -> bool {
        self.workers[seat.0].is_idle()
    }

    /// Returns whether a worker is at the partition. Two readings of one partition would wait for one another's pages.
    pub(crate) fn is_at(&self, partition: Partition) -> bool {
        self.workers.iter().any(|worker| worker.is_at(partition))
    }

    /// Begins a job at a free seat.
    pub(crate) fn begin(&mut self, seat: Seat, job: PartitionJob) {
        self.workers[seat.0].begin(job, &mut self.trees);
    }

    /// Begins to compare the partition that is to be compared at this seat with these peers, the last of them first.
    pub(crate) fn compare(&mut self, seat: Seat, peers: Vec<(u8, NodeId)>) {
        self.workers[seat.0].compare(peers, &self.trees);
    }

    /// Leaves the job at this seat.
    pub(crate) fn leave(&mut self, seat: Seat) {
        self.workers[seat.0].clear();
    }

    /// Leaves a job wherever it is under way.
    pub(crate) fn give_up(&mut self, job: PartitionJob) {
        self.workers
            .iter_mut()
            .filter(|worker| worker.job() == Some(job))
            .for_each(ExchangeWorker::clear);
    }

    /// Leaves the job that waits for a page of this partition, which can't be read.
    pub(crate) fn page_failed(&mut self, partition: Partition) -> Option<PartitionJob> {
        let mut reading = self.workers.iter_mut().filter(|worker| worker.reads(partition));
        let worker = reading.next()?;
        let job = worker.job();
        worker.clear();
        job
    }

    /// Notes that a page of a partition's records has been taken in.
    pub(crate) fn page_read(&mut self, partition: Partition) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.reads(partition)) {
            worker.page_read();
        }
    }

    /// Returns the job that the exchange of this number belongs to.
    pub(crate) fn job_of(&self, exchange: u64) -> Option<PartitionJob> {
        self.workers.iter().find(|worker| worker.runs(exchange)).and_then(ExchangeWorker::job)
    }

    /// Returns the exchange of this number while it is under way.
    pub(crate) fn exchange(&mut self, wanted: u64) -> Option<&mut Exchange> {
        self.workers.iter_mut().find_map(|worker| worker.exchange(wanted))
    }

    /// Ends an exchange whose peer has to read its records first.
    pub(crate) fn put_off(&mut self, exchange: u64) {
        self.workers.iter_mut().for_each(|worker| worker.put_off(exchange));
    }

    /// Takes a peer's answer whether it has a vote; `None` if it gave none.
    pub(crate) fn handle_vote(&mut self, exchange: u64, response: Option<&PeerResponse>) {
        let told = match response {
            Some(PeerResponse::Vote { life, vouching }) => Some((*life, *vouching)),
            _ => None,
        };
        self.workers.iter_mut().for_each(|worker| worker.vote(exchange, told));
    }

    /// Takes a step at this seat if one can be taken now.
    pub(crate) fn step(&mut self, cx: &mut Cx, view: &View, seat: Seat) -> Progress {
        let Self { workers, trees, begun, .. } = self;
        match workers[seat.0].step(trees, begun) {
            None => return Progress::Waits,
            Some(WorkerStep::Choose(job)) => return Progress::Choose(job),
            Some(WorkerStep::Done(done)) => return Progress::Done(done),
            Some(WorkerStep::Ended(ended)) => {
                self.count(&ended);
                return Progress::Ended(ended);
            }
            Some(WorkerStep::ReadPage { partition, reading, after }) => {
                cx.read_page(partition, reading, after);
            }
            Some(WorkerStep::AskVote { id, peer, partition, n }) => {
                cx.ask_vote(view, (id, peer), Keyset::new(partition, n));
            }
            Some(WorkerStep::Exchange { id, peer, partition, n, output }) => {
                self.carry_out(cx, (id, peer), Keyset::new(partition, n), output);
            }
        }
        Progress::Taken
    }

    fn count(&mut self, ended: &Ended) {
        let (total, report) = (&mut self.counts, &ended.report);
        total.hash_requests += report.hash_requests;
        total.digest_requests += report.digest_requests;
        total.keys_compared += report.keys_compared;
        total.pulled += report.pulled + report.fetched;
        total.pushed += report.pushed;
        if ended.finished {
            total.exchanges += 1;
            total.agreed += u64::from(report.agreed);
        }
    }

    /// Returns the transfers under way: the job, the peer, and how far the exchange has come.
    pub(crate) fn transfers(&self) -> impl Iterator<Item = (PartitionJob, NodeId, ExchangeReport)> {
        Seat::TRANSFERS.iter().filter_map(|seat| self.workers[seat.0].progress())
    }
}
