//! Which errand comes first.

use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};

use super::{Repairs, Turn};
use crate::lane::{Errand, Task, With};

fn errand(partition: u32, with: With) -> Errand {
    Errand { partition: Partition(partition), task: Task::Compare { with, scrub: false } }
}

#[test]
fn what_was_asked_for_comes_before_the_rest_of_a_round_and_nothing_comes_twice() {
    let mut repairs = Repairs::default();
    let round = (0..3).map(|partition| errand(partition, With::Later));
    repairs.add(Turn::Last, round.clone());
    repairs.add(Turn::First, [errand(7, With::All), errand(7, With::One(NodeId(1)))].into_iter());
    repairs.add(Turn::Last, round);
    repairs.add(Turn::First, [errand(7, With::All)].into_iter());
    let mut partitions = Vec::new();
    while let Some(errand) = repairs.take() {
        partitions.push(errand.partition.0);
    }
    assert_eq!(partitions, [7, 7, 0, 1, 2]);
    assert_eq!(repairs.report.partitions, 5);
    repairs.add(Turn::Last, [errand(0, With::Later)].into_iter());
    assert!(repairs.take().is_some(), "its turn may come again");
}
