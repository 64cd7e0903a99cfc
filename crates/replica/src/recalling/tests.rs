//! The listing and look-up of a partition in an earlier copy, and the point at which a copy is left.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_protocol::client::ScanMark;
use jedlik_protocol::{ClusterId, Digest, Key, PlacedKey};

use super::{AT_ONCE, HeadStart, Page, Recall, Step, TRIAL, WORTH};
use crate::keyset::Keyset;
use crate::patience::FETCH_LIMIT_US;
use crate::scan::mark;

const PEER: NodeId = NodeId(2);

fn listed(count: usize) -> Vec<(PlacedKey, Digest)> {
    let partitions = PartitionCount::new(1).unwrap();
    let placed = |index: usize| {
        let key = Key::new("carts", alloc::format!("key {index}").as_str()).unwrap();
        PlacedKey::new(ClusterId(1), partitions, key)
    };
    let mut all: Vec<_> = (0..count).map(|index| (placed(index), Digest(index as u64))).collect();
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    all
}

fn asks(after: Option<ScanMark>) -> Step {
    Step::List { n: 3, peer: PEER, after }
}

#[test]
fn a_partition_is_listed_page_by_page_and_looked_for_a_few_at_a_time() {
    let all = listed(AT_ONCE + 10);
    let (first, second) = all.split_at(AT_ONCE + 5);
    let mut recall = Recall::new(3, PEER);
    assert_eq!(recall.step(0), asks(None));
    let until = mark(first.last().unwrap().0.clone());
    assert!(recall.take(first.to_vec().into(), Some(until.clone())));
    assert_eq!(recall.step(1), Step::Look(first[..AT_ONCE].to_vec()));
    // No more went into the answer.
    recall.looked(3);
    assert_eq!(recall.step(1), Step::Look(first[3..AT_ONCE + 3].to_vec()));
    recall.looked(AT_ONCE);
    assert_eq!(recall.step(1), Step::Look(first[AT_ONCE + 3..].to_vec()));
    recall.looked(2);
    assert_eq!(recall.step(1), asks(Some(until)));
    assert!(recall.take(second.to_vec().into(), None));
    assert_eq!(recall.step(2), Step::Look(second.to_vec()));
    recall.looked(second.len());
    assert_eq!(recall.step(2), Step::End);
}

#[test]
fn what_a_peer_said_too_long_ago_is_asked_again_from_where_it_was_left() {
    let all = listed(AT_ONCE + 10);
    let mut recall = Recall::new(3, PEER);
    assert_eq!(recall.step(7), asks(None));
    assert!(recall.take(all.clone().into(), None));
    assert_eq!(recall.step(8), Step::Look(all[..AT_ONCE].to_vec()));
    recall.looked(AT_ONCE - 1);
    let looked_at = mark(all[AT_ONCE - 2].0.clone());
    assert_eq!(
        recall.step(7 + FETCH_LIMIT_US),
        asks(Some(looked_at)),
        "it may be collected by now"
    );
    assert!(recall.take(VecDeque::new(), None));
    assert_eq!(recall.step(8 + FETCH_LIMIT_US), Step::End);
}

#[test]
fn a_page_that_leads_nowhere_is_not_asked_for_again() {
    let all = listed(3);
    let mut recall = Recall::new(3, PEER);
    recall.step(0);
    let until = mark(all[2].0.clone());
    assert!(recall.take(all.clone().into(), Some(until.clone())));
    recall.step(0);
    recall.looked(3);
    assert_eq!(recall.step(0), asks(Some(until.clone())));
    assert!(!recall.take(VecDeque::new(), Some(until)));
    assert_eq!(Recall::new(3, PEER).page, Page::None);
}

#[test]
fn a_copy_that_has_little_of_what_it_is_asked_for_is_not_worth_it() {
    let worth = |asked, found| HeadStart { asked, found, ..HeadStart::default() }.is_worth_it();
    assert!(worth(TRIAL - 1, 0), "there is no telling yet");
    assert!(worth(TRIAL, TRIAL / WORTH));
    assert!(!worth(TRIAL, TRIAL / WORTH - 1));
}

#[test]
fn a_partition_waits_for_its_answer_while_another_goes_on() {
    let mut head_start = HeadStart { at_hand: true, ..HeadStart::default() };
    head_start.running = [1, 2].map(|of| (Partition(of), Recall::new(3, PEER))).into();
    assert_eq!(head_start.step(0).unwrap(), (Partition(1), asks(None)));
    assert_eq!(head_start.step(0).unwrap(), (Partition(2), asks(None)));
    assert!(head_start.step(0).is_none() && !head_start.is_ready());
    head_start.go_on(Partition(2));
    assert!(head_start.is_ready());
    head_start.end(Partition(2));
    assert_eq!(
        head_start.listed.into_iter().collect::<Vec<_>>(),
        vec![Keyset::new(Partition(2), 3)]
    );
}
