//! The order of repair jobs.

use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};

use super::{RETRY_AFTER_US, Repairs, Turn};
use crate::cx::Cx;
use crate::exchange_worker::{JobKind, PartitionJob, With};
use crate::exchanges::Exchanges;

fn job(partition: u32, with: With) -> PartitionJob {
    PartitionJob { partition: Partition(partition), kind: JobKind::Compare { with, scrub: false } }
}

#[test]
fn what_was_asked_for_comes_before_the_rest_of_a_round_and_nothing_comes_twice() {
    let mut repairs = Repairs::default();
    let round = (0..3).map(|partition| job(partition, With::Later));
    repairs.add(Turn::Last, round.clone());
    repairs.add(Turn::First, [job(7, With::All), job(7, With::One(NodeId(1)))].into_iter());
    repairs.add(Turn::Last, round);
    repairs.add(Turn::First, [job(7, With::All)].into_iter());
    let mut partitions = Vec::new();
    while let Some(job) = repairs.take() {
        partitions.push(job.partition.0);
    }
    assert_eq!(partitions, [7, 7, 0, 1, 2]);
    assert_eq!(repairs.report(&Exchanges::default()).partitions, 5);
    repairs.add(Turn::Last, [job(0, With::Later)].into_iter());
    assert!(repairs.take().is_some(), "its turn may come again");
}

#[test]
fn a_job_whose_page_can_t_be_read_is_left_and_comes_again_after_a_while() {
    let (mut repairs, job) = (Repairs::default(), job(3, With::All));
    repairs.under_way = Some(job);
    assert!(repairs.is_busy());
    repairs.handle_not_read(7, job);
    let report = repairs.report(&Exchanges::default());
    assert!(!repairs.is_busy() && report.to_retry == 1, "{report:?}");
    assert_eq!(repairs.retry_us, Some(7 + RETRY_AFTER_US));
}

#[test]
fn a_restart_gives_up_the_job_under_way_and_forgets_all_others() {
    let (mut repairs, job) = (Repairs::default(), job(3, With::All));
    repairs.add(Turn::Last, [self::job(4, With::All)].into_iter());
    repairs.again(1, self::job(5, With::All));
    (repairs.under_way, repairs.next_round_us) = (Some(job), 99);
    let mut cx = Cx::for_tests();
    repairs.restart(&mut cx);
    assert_eq!(cx.given_up(), [job]);
    assert!(!repairs.is_busy() && repairs.failed.is_empty());
    assert_eq!(repairs.due_us(), 0, "the first round is due");
    repairs.restart(&mut cx);
    assert_eq!(cx.given_up(), [], "there was none");
}
