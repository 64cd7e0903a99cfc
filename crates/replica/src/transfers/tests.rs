//! The queue of transfers: where each kind of job is at any time, and how it leaves.

use alloc::vec;

use jedlik_hashing::NodeId;
use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::exchange_worker::With;

const P1: Partition = Partition(1);
const P2: Partition = Partition(2);
const COMPARE: JobKind = JobKind::Compare { with: With::One(NodeId(2)), scrub: false };

/// Kind of work on a partition: how it is added and ended, and how long it rests.
struct Kind {
    kind: JobKind,
    add: fn(&mut Transfers, Partition),
    end: fn(&mut Transfers, &mut Cx, Partition),
    rest_us: u64,
}

const KINDS: [Kind; 4] = [
    Kind {
        kind: JobKind::Inbound,
        add: Transfers::add_inbound,
        end: Transfers::end_inbound,
        rest_us: RETRY_AFTER_US,
    },
    Kind {
        kind: JobKind::Outbound,
        add: Transfers::add_outbound,
        end: Transfers::end_outbound,
        rest_us: RETRY_AFTER_US,
    },
    Kind {
        kind: JobKind::Refill,
        add: Transfers::refill,
        end: Transfers::refilled,
        rest_us: REFILL_AGAIN_US,
    },
    Kind {
        kind: JobKind::Thin,
        add: Transfers::thin,
        end: Transfers::thinned,
        rest_us: RETRY_AFTER_US,
    },
];

impl Kind {
    fn job(&self, partition: Partition) -> PartitionJob {
        PartitionJob { partition, kind: self.kind }
    }

    /// Returns transfers with one such job, which waits.
    fn added(&self) -> Transfers {
        let mut transfers = Transfers::default();
        (self.add)(&mut transfers, P1);
        transfers
    }
}

/// Returns all jobs that wait, in turn, and leaves none.
fn taken(transfers: &mut Transfers) -> Vec<PartitionJob> {
    core::iter::from_fn(|| transfers.take()).collect()
}

/// Returns how many places each job is in, of those that wait, rest and are under way.
fn places(transfers: &Transfers) -> BTreeMap<PartitionJob, usize> {
    let mut places = BTreeMap::new();
    let under_way = transfers.under_way.iter().copied();
    let waiting = transfers.waiting.iter().copied();
    for job in waiting.chain(transfers.resting.keys().copied()).chain(under_way) {
        *places.entry(job).or_default() += 1;
    }
    places
}

#[test]
fn a_job_waits_once_however_often_it_is_added() {
    for kind in &KINDS {
        let mut transfers = kind.added();
        (kind.add)(&mut transfers, P1);
        transfers.queue(kind.job(P1));
        assert!(transfers.is_busy(), "{:?}", kind.kind);
        assert_eq!(taken(&mut transfers), [kind.job(P1)]);
        assert!(!transfers.is_busy(), "{:?}", kind.kind);
    }
}

#[test]
fn jobs_are_taken_in_the_order_in_which_they_were_added() {
    let mut transfers = Transfers::default();
    let mut expected = Vec::new();
    for partition in [P2, P1] {
        for kind in &KINDS {
            (kind.add)(&mut transfers, partition);
            expected.push(kind.job(partition));
        }
    }
    assert_eq!(taken(&mut transfers), expected);
}

#[test]
fn a_job_is_wanted_from_when_it_is_added_until_it_is_ended() {
    for kind in &KINDS {
        let mut transfers = kind.added();
        for other in &KINDS {
            assert_eq!(transfers.is_wanted(other.job(P1)), other.kind == kind.kind);
            assert!(!transfers.is_wanted(other.job(P2)));
        }
        taken(&mut transfers);
        assert!(transfers.is_wanted(kind.job(P1)), "{:?} is wanted while it is done", kind.kind);
        (kind.end)(&mut transfers, &mut Cx::for_tests(), P1);
        assert!(!transfers.is_wanted(kind.job(P1)));
        assert!(!transfers.is_wanted(PartitionJob { partition: P1, kind: COMPARE }));
    }
}

#[test]
fn a_job_under_way_does_not_wait_before_its_worker_has_left_it() {
    for kind in &KINDS {
        let mut transfers = kind.added();
        let job = transfers.take().expect("it waits");
        transfers.began(job);
        assert!(transfers.is_busy());
        (kind.add)(&mut transfers, P1);
        transfers.queue(job);
        assert_eq!(taken(&mut transfers), [], "{:?} is under way", kind.kind);
        (kind.add)(&mut transfers, P2);
        assert_eq!(taken(&mut transfers), [kind.job(P2)], "another partition is not");
        transfers.left(job);
        transfers.queue(job);
        assert_eq!(taken(&mut transfers), [job]);
    }
}

#[test]
fn a_job_that_rests_waits_again_when_its_time_is_over_and_a_refill_rests_longer() {
    const { assert!(REFILL_AGAIN_US > RETRY_AFTER_US) };
    for kind in &KINDS {
        let mut transfers = kind.added();
        let job = transfers.take().expect("it waits");
        let (now_us, due_us) = (7_000, 7_000 + kind.rest_us);
        transfers.rest(now_us, job);
        assert_eq!(transfers.due_us(), Some(due_us), "{:?}", kind.kind);
        (kind.add)(&mut transfers, P1);
        transfers.queue(job);
        transfers.wake(due_us - 1);
        assert!(!transfers.is_busy());
        assert_eq!(taken(&mut transfers), [], "{:?} rests", kind.kind);
        transfers.wake(due_us);
        assert_eq!(transfers.due_us(), None);
        transfers.wake(u64::MAX);
        transfers.wake_all();
        assert_eq!(taken(&mut transfers), [job], "{:?} is tried again, once", kind.kind);
    }
}

#[test]
fn all_that_rests_may_wait_at_once_since_something_changed() {
    let mut transfers = Transfers::default();
    KINDS.iter().for_each(|kind| (kind.add)(&mut transfers, P1));
    let mut jobs = taken(&mut transfers);
    jobs.iter().for_each(|job| transfers.rest(1, *job));
    transfers.wake_all();
    assert_eq!(transfers.due_us(), None);
    let mut woken = taken(&mut transfers);
    jobs.sort_unstable();
    woken.sort_unstable();
    assert_eq!(woken, jobs);
}

#[test]
fn the_survey_or_the_first_job_is_due_next() {
    let job = |partition| PartitionJob { partition, kind: JobKind::Outbound };
    for (survey_us, rested_us, expected) in [
        (None, vec![], None),
        (Some(5), vec![], Some(5)),
        (None, vec![20, 10], Some(10 + RETRY_AFTER_US)),
        (Some(5), vec![20, 10], Some(5)),
        (Some(u64::MAX), vec![20, 10], Some(10 + RETRY_AFTER_US)),
    ] {
        let mut transfers = Transfers { survey_due_us: survey_us, ..Transfers::default() };
        for (partition, now_us) in (1..).map(Partition).zip(&rested_us) {
            transfers.rest(*now_us, job(partition));
        }
        assert_eq!(transfers.due_us(), expected, "{survey_us:?}, {rested_us:?}");
    }
}

#[test]
fn a_job_that_is_ended_is_forgotten_wherever_it_is_and_no_other_is() {
    for kind in &KINDS {
        for place in ["waiting", "resting", "under way"] {
            let mut transfers = kind.added();
            let job = kind.job(P1);
            if place != "waiting" {
                assert_eq!(transfers.take(), Some(job));
            }
            match place {
                "resting" => transfers.rest(1, job),
                "under way" => transfers.began(job),
                _ => {}
            }
            let others = KINDS.iter().filter(|other| other.kind != kind.kind);
            let mut others: Vec<(&Kind, Partition)> = others.map(|other| (other, P1)).collect();
            others.push((kind, P2));
            others.iter().for_each(|(other, partition)| (other.add)(&mut transfers, *partition));
            let kept = transfers.take().expect("the others wait");
            transfers.began(kept);
            let mut cx = Cx::for_tests();
            (kind.end)(&mut transfers, &mut cx, P1);
            let was_begun = place == "under way" || kept == job;
            let given_up: Vec<PartitionJob> = was_begun.then_some(job).into_iter().collect();
            assert_eq!(cx.given_up(), given_up, "{:?} was {place}", kind.kind);
            let left: Vec<PartitionJob> = transfers.under_way.iter().copied().collect();
            assert_eq!(left, (kept != job).then_some(kept).into_iter().collect::<Vec<_>>());
            transfers.wake(u64::MAX);
            let left = taken(&mut transfers);
            assert!(!left.contains(&job), "{:?} was {place}", kind.kind);
            let expected = others.iter().map(|(other, partition)| other.job(*partition));
            assert!(expected.filter(|other| *other != kept).eq(left), "{:?}", kind.kind);
            // Ended is ended: adding it again makes it wait again.
            (kind.add)(&mut transfers, P1);
            assert_eq!(taken(&mut transfers), [job]);
        }
    }
}

#[test]
fn a_restart_forgets_all_but_what_is_to_go_and_what_is_to_be_refilled() {
    let added = || {
        let mut transfers = Transfers::default();
        KINDS.iter().for_each(|kind| (kind.add)(&mut transfers, P1));
        transfers
    };
    let (waiting, mut resting, mut under_way) = (added(), added(), added());
    taken(&mut resting).into_iter().for_each(|job| resting.rest(1, job));
    let begun: BTreeSet<PartitionJob> = taken(&mut under_way).into_iter().take(2).collect();
    begun.iter().for_each(|job| under_way.began(*job));
    for mut transfers in [waiting, resting, under_way] {
        let mut cx = Cx::for_tests();
        let begun = transfers.under_way.clone();
        transfers.restart(&mut cx);
        assert_eq!(cx.given_up().into_iter().collect::<BTreeSet<_>>(), begun);
        assert_eq!(transfers.due_us(), None);
        let job = |kind| PartitionJob { partition: P1, kind };
        let kept = [job(JobKind::Outbound), job(JobKind::Refill)];
        for kind in &KINDS {
            assert_eq!(transfers.is_wanted(kind.job(P1)), kept.contains(&kind.job(P1)));
        }
        assert_eq!(taken(&mut transfers), kept);
    }
}

#[test]
fn an_inbound_transfer_begins_anew_and_one_that_there_is_not_does_not_begin() {
    let job = PartitionJob { partition: P1, kind: JobKind::Inbound };
    let (mut transfers, mut cx) = (Transfers::default(), Cx::for_tests());
    transfers.restart_inbound(&mut cx, P1);
    assert!(!transfers.is_wanted(job));
    assert_eq!(taken(&mut transfers), []);
    transfers.add_inbound(P1);
    let status = |transfers: &Transfers| transfers.inbound[&P1].status(NodeId(1), &[]);
    let first = status(&transfers);
    assert_eq!(taken(&mut transfers), [job]);
    transfers.rest(1, job);
    transfers.restart_inbound(&mut cx, P1);
    assert_eq!(transfers.due_us(), None, "it does not wait for the end of its rest");
    assert_eq!(taken(&mut transfers), [job]);
    transfers.began(job);
    assert_eq!(cx.given_up(), []);
    transfers.restart_inbound(&mut cx, P1);
    assert_eq!(cx.given_up(), [job], "what was compared does not count");
    assert_eq!(taken(&mut transfers), [job]);
    assert_eq!(status(&transfers), first);
}

#[test]
fn a_refill_is_compared_at_once_only_while_there_is_one() {
    let job = PartitionJob { partition: P1, kind: JobKind::Refill };
    let mut transfers = Transfers::default();
    transfers.refill_now(P1);
    assert_eq!(taken(&mut transfers), []);
    transfers.refill(P1);
    assert_eq!(taken(&mut transfers), [job]);
    transfers.refill(P1);
    assert_eq!(taken(&mut transfers), [], "it is being refilled already");
    transfers.refill_now(P1);
    assert_eq!(taken(&mut transfers), [job]);
    transfers.refilled(&mut Cx::for_tests(), P1);
    transfers.refill_now(P1);
    assert_eq!(taken(&mut transfers), []);
}

#[test]
fn records_that_come_count_for_an_inbound_partition_alone() {
    let mut transfers = Transfers::default();
    transfers.add_inbound(P1);
    transfers.refill(P2);
    for (partition, records, bytes) in [(P1, 2, 30), (P2, 7, 70), (P1, 1, 4), (P1, 0, 0)] {
        transfers.count_received(partition, records, bytes);
    }
    let mut cx = Cx::for_tests();
    transfers.end_inbound(&mut cx, P1);
    transfers.count_received(P1, 9, 90);
    transfers.restart(&mut cx);
    let Transferred { received_records, received_bytes, sent_records, sent_bytes, dropped } =
        transfers.transferred;
    assert_eq!((received_records, received_bytes), (3, 34), "a restart keeps the counts");
    assert_eq!((sent_records, sent_bytes, dropped), (0, 0, 0));
}

#[test]
fn what_storage_has_found_in_a_partition_is_remembered_until_the_partition_is_gone() {
    let job = PartitionJob { partition: P1, kind: JobKind::Outbound };
    let mut transfers = Transfers::default();
    transfers.add_outbound(P1);
    assert!(!transfers.is_occupied(P1), "it may hold nothing");
    transfers.found(P1);
    assert!(transfers.is_occupied(P1) && !transfers.is_occupied(P2));
    assert_eq!(taken(&mut transfers), [job], "it was to go already");
    let mut cx = Cx::for_tests();
    transfers.restart(&mut cx);
    assert!(transfers.is_occupied(P1));
    transfers.end_outbound(&mut cx, P1);
    assert!(!transfers.is_occupied(P1));
    transfers.found(P1);
    assert!(transfers.is_occupied(P1) && transfers.is_wanted(job));
    assert_eq!(taken(&mut transfers), [job]);
}

#[derive(Debug, Clone)]
enum Event {
    Add(usize, u32),
    End(usize, u32),
    /// The next job is begun.
    Begin,
    /// The job under way in this place is over and rests.
    Finish(usize),
    Wake(u64),
    WakeAll,
    RestartInbound(u32),
    RefillNow(u32),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let (kind, partition) = (0..KINDS.len(), 0..3_u32);
    prop_oneof![
        6 => (kind.clone(), partition.clone()).prop_map(|(kind, at)| Event::Add(kind, at)),
        2 => (kind, partition.clone()).prop_map(|(kind, at)| Event::End(kind, at)),
        6 => Just(Event::Begin),
        4 => (0..4_usize).prop_map(Event::Finish),
        3 => (0..2 * REFILL_AGAIN_US).prop_map(Event::Wake),
        1 => Just(Event::WakeAll),
        1 => partition.clone().prop_map(Event::RestartInbound),
        1 => partition.prop_map(Event::RefillNow),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn each_job_that_is_wanted_is_in_one_place_and_no_other_job_is_in_any(
        events in vec_of(event(), 1..60), begins_first in any::<bool>(),
    ) {
        let (mut transfers, mut cx) = (Transfers::default(), Cx::for_tests());
        let mut now_us = 0;
        if begins_first {
            transfers.add_inbound(Partition(0));
            let job = transfers.take().unwrap();
            transfers.began(job);
        }
        for event in events {
            match event {
                Event::Add(kind, at) => (KINDS[kind].add)(&mut transfers, Partition(at)),
                Event::End(kind, at) => {
                    (KINDS[kind].end)(&mut transfers, &mut cx, Partition(at));
                }
                Event::Begin => {
                    if let Some(job) = transfers.take() {
                        transfers.began(job);
                    }
                }
                Event::Finish(place) => {
                    if let Some(job) = transfers.under_way.iter().copied().nth(place) {
                        transfers.left(job);
                        transfers.rest(now_us, job);
                    }
                }
                Event::Wake(passed_us) => {
                    now_us += passed_us;
                    transfers.wake(now_us);
                    prop_assert!(transfers.due_us().is_none_or(|due_us| due_us > now_us));
                }
                Event::WakeAll => transfers.wake_all(),
                Event::RestartInbound(at) => {
                    transfers.restart_inbound(&mut cx, Partition(at));
                }
                Event::RefillNow(at) => transfers.refill_now(Partition(at)),
                Event::Restart => transfers.restart(&mut cx),
            }
            let partitions = (0..3).map(Partition);
            let jobs = partitions.flat_map(|at| KINDS.iter().map(move |kind| kind.job(at)));
            let wanted = jobs.filter(|job| transfers.is_wanted(*job)).map(|job| (job, 1));
            prop_assert_eq!(places(&transfers), wanted.collect());
            let waiting: BTreeSet<PartitionJob> = transfers.waiting.iter().copied().collect();
            prop_assert_eq!(waiting, transfers.queued.clone());
        }
    }
}
