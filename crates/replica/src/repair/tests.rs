//! The order of repair jobs.

use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};

use super::{Repairs, Turn};
use crate::exchange_worker::{JobKind, PartitionJob, With};

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
    assert_eq!(repairs.report.partitions, 5);
    repairs.add(Turn::Last, [job(0, With::Later)].into_iter());
    assert!(repairs.take().is_some(), "its turn may come again");
}
