//! Seats of exchanges: which partition each is at, how a job is left, and what a page that fails leaves behind.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_storage_port::RangePage;

use super::cluster::Cluster;
use crate::StorageFault;
use crate::cx::{Cx, Fact};
use crate::exchange::PageRead;
use crate::exchange_worker::{JobKind, PartitionJob, With};
use crate::exchanges::{Exchanges, Progress, Seat};
use crate::io::Output;

const P1: Partition = Partition(1);
const P2: Partition = Partition(2);
const N: u8 = 3;
const PEER: NodeId = NodeId(2);
const SEATS: [Seat; 3] = [Seat::REPAIRS, Seat::TRANSFERS[0], Seat::TRANSFERS[1]];
const COMPARE: JobKind = JobKind::Compare { with: With::All, scrub: false };

fn job(partition: Partition, kind: JobKind) -> PartitionJob {
    PartitionJob { partition, kind }
}

/// Exchanges of one node, its context and its view.
struct Bench {
    exchanges: Exchanges,
    cx: Cx,
    view: Arc<View>,
}

impl Bench {
    fn new() -> Self {
        let view = Cluster::new(3, &[]).view(NodeId(1));
        let mut cx = Cx::for_tests();
        cx.view = Some(Arc::clone(&view));
        let mut exchanges = Exchanges::default();
        [P1, P2].into_iter().for_each(|partition| exchanges.trees.keep(partition));
        Self { exchanges, cx, view }
    }

    fn step(&mut self, seat: Seat) -> Progress {
        self.exchanges.step(&mut self.cx, &self.view, seat)
    }

    fn page(
        &mut self,
        partition: Partition,
        result: Result<RangePage, StorageFault>,
    ) -> Option<PageRead> {
        let (reading, _) = self.exchanges.trees.reading(partition).expect("it is being read");
        self.exchanges.handle_reading(&mut self.cx, &self.view, (partition, reading), result)
    }

    /// Begins a job, and has the seat ask for the first page of its partition.
    fn begin(&mut self, seat: Seat, job: PartitionJob) {
        self.exchanges.begin(seat, job);
        assert!(matches!(self.step(seat), Progress::Taken));
        assert!(matches!(self.cx.poll_output(), Some(Output::Range { .. })));
        assert!(matches!(self.step(seat), Progress::Waits), "one page at a time");
    }

    /// Reads the partition of a job to its end, and begins to compare it with the peer.
    fn compare(&mut self, seat: Seat, job: PartitionJob) {
        self.begin(seat, job);
        let read = self.page(job.partition, Ok(RangePage::default()));
        assert!(read.is_some_and(|read| read.ended && read.damaged.is_empty()));
        assert!(matches!(self.step(seat), Progress::Choose(chosen) if chosen == job));
        self.exchanges.compare(seat, vec![(N, PEER)]);
        assert!(matches!(self.step(seat), Progress::Taken));
        assert!(matches!(self.cx.poll_output(), Some(Output::Request { to: PEER, .. })));
    }

    fn facts(&mut self) -> Vec<Fact> {
        core::iter::from_fn(|| self.cx.next_fact()).collect()
    }
}

#[test]
fn a_partition_is_taken_while_any_seat_is_at_it() {
    for seat in SEATS {
        let mut bench = Bench::new();
        assert!(SEATS.iter().all(|seat| bench.exchanges.is_free(*seat)));
        assert!(!bench.exchanges.is_at(P1));
        bench.exchanges.begin(seat, job(P1, COMPARE));
        assert!(bench.exchanges.is_at(P1) && !bench.exchanges.is_at(P2));
        let free = SEATS.iter().filter(|other| bench.exchanges.is_free(**other));
        assert!(free.eq(SEATS.iter().filter(|other| **other != seat)));
        bench.exchanges.leave(seat);
        assert!(!bench.exchanges.is_at(P1) && bench.exchanges.is_free(seat));
    }
}

#[test]
fn a_job_that_is_given_up_is_left_wherever_it_is_and_no_other_is() {
    for seat in SEATS {
        let mut bench = Bench::new();
        let others = SEATS.iter().copied().filter(|other| *other != seat);
        bench.exchanges.begin(seat, job(P1, JobKind::Refill));
        for (other, kind) in others.clone().zip([COMPARE, JobKind::Outbound]) {
            bench.exchanges.begin(other, job(P2, kind));
        }
        bench.exchanges.give_up(job(P1, JobKind::Inbound));
        bench.exchanges.give_up(job(P2, JobKind::Refill));
        assert!(SEATS.iter().all(|seat| !bench.exchanges.is_free(*seat)), "none of these is there");
        bench.exchanges.give_up(job(P1, JobKind::Refill));
        assert!(bench.exchanges.is_free(seat));
        assert!(others.clone().all(|other| !bench.exchanges.is_free(other)));
    }
}

#[test]
fn a_page_that_can_t_be_read_ends_the_job_that_waits_for_it_and_says_so() {
    for seat in SEATS {
        let mut bench = Bench::new();
        let (kind, other) = (JobKind::Refill, SEATS[usize::from(seat == SEATS[0])]);
        bench.begin(seat, job(P1, kind));
        bench.begin(other, job(P2, COMPARE));
        assert!(bench.page(P1, Err(StorageFault::Failed("bad sector".into()))).is_none());
        assert!(bench.exchanges.is_free(seat) && !bench.exchanges.is_free(other));
        let facts = bench.facts();
        assert!(matches!(facts[..], [Fact::NotRead(left)] if left == job(P1, kind)), "{facts:?}");
    }
}

#[test]
fn a_page_of_a_reading_that_was_begun_anew_is_not_taken_in() {
    let mut bench = Bench::new();
    bench.begin(Seat::REPAIRS, job(P1, COMPARE));
    let (first, _) = bench.exchanges.trees.reading(P1).expect("it is being read");
    bench.exchanges.leave(Seat::REPAIRS);
    bench.begin(Seat::TRANSFERS[0], job(P1, JobKind::Refill));
    let page = Ok(RangePage::default());
    let taken = bench.exchanges.handle_reading(&mut bench.cx, &bench.view, (P1, first), page);
    assert!(taken.is_none() && !bench.exchanges.trees.is_whole(P1));
    let fault = Err(StorageFault::Failed("bad sector".into()));
    let taken = bench.exchanges.handle_reading(&mut bench.cx, &bench.view, (P1, first), fault);
    assert!(taken.is_none() && bench.exchanges.is_at(P1), "the later one goes on");
    assert!(bench.page(P1, Ok(RangePage::default())).is_some_and(|read| read.ended));
    assert!(bench.exchanges.trees.is_whole(P1));
}

#[test]
fn each_exchange_has_a_number_of_its_own_and_belongs_to_its_job() {
    let mut bench = Bench::new();
    let jobs = [job(P1, COMPARE), job(P2, JobKind::Refill)];
    bench.compare(SEATS[0], jobs[0]);
    bench.compare(SEATS[2], jobs[1]);
    for (id, of) in [(1, Some(jobs[0])), (2, Some(jobs[1])), (3, None), (0, None)] {
        assert_eq!(bench.exchanges.job_of(id), of, "{id}");
        assert_eq!(
            bench.exchanges.exchange(id).map(|exchange| exchange.partition()),
            of.map(|of| of.partition)
        );
    }
    let moving: Vec<_> = bench.exchanges.transfers().map(|(job, peer, _)| (job, peer)).collect();
    assert_eq!(moving, [(jobs[1], PEER)], "a comparison of the rounds is no transfer");
    bench.exchanges.give_up(jobs[1]);
    assert!(bench.exchanges.exchange(2).is_none(), "late answers find nothing");
}

#[test]
fn an_exchange_that_is_put_off_ends_and_counts_as_none() {
    let mut bench = Bench::new();
    bench.compare(Seat::REPAIRS, job(P1, COMPARE));
    bench.exchanges.put_off(7);
    assert!(matches!(bench.step(Seat::REPAIRS), Progress::Waits), "that was another one");
    bench.exchanges.put_off(1);
    let Progress::Ended(ended) = bench.step(Seat::REPAIRS) else { panic!("it is over") };
    assert!(ended.put_off && !ended.finished);
    assert_eq!((bench.exchanges.counts.exchanges, bench.exchanges.counts.agreed), (0, 0));
    let Progress::Done(done) = bench.step(Seat::REPAIRS) else { panic!("there is no other peer") };
    assert!(!done.whole && bench.exchanges.is_free(Seat::REPAIRS));
}
