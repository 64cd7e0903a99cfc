//! What is kept of votes.

use alloc::collections::BTreeMap;

use jedlik_hashing::Partition;

use super::{Basis, Votes};

#[test]
fn what_has_no_vote_comes_back_from_what_was_kept() {
    let mut votes = Votes::restored(None);
    assert!(votes.counts.is_none(), "nothing was ever kept");
    votes.add(Partition(3), 3, Basis { n: 3, least_w: 2 });
    votes.add(Partition(3), 5, Basis { n: 3, least_w: 2 });
    votes.add(Partition(3), 5, Basis { n: 5, least_w: 1 });
    votes.counts = Some(BTreeMap::from([(b"carts".to_vec(), 5), (b"all".to_vec(), 1)]));
    votes.catching_up = true;
    let kept = votes.encode();
    let restored = Votes::restored(Some(&kept));
    assert_eq!(restored.encode(), kept);
    assert_eq!(restored.counts, votes.counts);
    assert!(restored.catching_up);
    // Version 1 did not say so.
    let former = Votes::restored(Some(&[&[1], &kept[2..]].concat()));
    assert_eq!(former.encode(), [&[2, 0], &kept[2..]].concat());
    assert!(restored.is_refilling(Partition(3)) && !restored.is_refilling(Partition(4)));
    assert!(!restored.has(Partition(4), 3), "nothing has a vote before the first view");
}

#[test]
fn what_was_kept_and_can_not_be_read_is_as_if_nothing_had_been() {
    let mut votes = Votes::restored(None);
    votes.add(Partition(3), 3, Basis { n: 3, least_w: 2 });
    votes.counts = Some(BTreeMap::from([(b"carts".to_vec(), 5)]));
    let kept = votes.encode();
    for length in 0..kept.len() {
        // One that ends before the buckets is whole, and says another thing.
        if length != kept.len() - 8 {
            assert!(Votes::restored(Some(&kept[..length])).counts.is_none(), "{length} bytes");
        }
    }
    let newer = [&[super::kept::VERSION + 1], &kept[1..]].concat();
    assert!(Votes::restored(Some(&newer)).counts.is_none());
}
