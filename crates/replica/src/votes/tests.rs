//! The row that is kept of votes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::Partition;
use jedlik_protocol::LayoutId;

use super::layouts::{Followed, Layouts};
use super::{Basis, Votes};
use crate::keyset::Keyset;

fn layouts() -> Layouts {
    let learned =
        Followed { learned: true, flipped: [Partition(3), Partition(70)].into_iter().collect() };
    let id = |version| LayoutId { version, digest: version << 40 };
    Layouts::from([(id(6), Followed::default()), (id(7), learned)])
}

#[test]
fn what_has_no_vote_comes_back_from_what_was_kept() {
    let mut votes = Votes::restored(None);
    assert!(votes.counts.is_none(), "nothing was ever kept");
    votes.add(Keyset::new(Partition(3), 3), Basis { n: 3, least_w: 2 }, true);
    votes.add(Keyset::new(Partition(3), 5), Basis { n: 3, least_w: 2 }, false);
    votes.add(Keyset::new(Partition(3), 5), Basis { n: 4, least_w: 1 }, false);
    votes.counts = Some(BTreeMap::from([(b"carts".to_vec(), 5), (b"all".to_vec(), 1)]));
    votes.catching_up = true;
    votes.layouts = Some(layouts());
    let kept = votes.encode();
    let restored = Votes::restored(Some(&kept));
    assert_eq!(restored.encode(), kept);
    assert_eq!(restored.counts, votes.counts);
    assert!(restored.catching_up);
    assert_eq!(restored.layouts, votes.layouts);
    assert_eq!(
        restored.entries.values().map(|entry| entry.lost).collect::<Vec<_>>(),
        [true, false]
    );
    assert!(restored.is_refilling(Partition(3)) && !restored.is_refilling(Partition(4)));
    assert!(
        !restored.has(Keyset::new(Partition(4), 3)),
        "nothing has a vote before the first view"
    );
}

#[test]
fn what_versions_before_kept_counts_as_lost_for_they_did_not_say_whether_it_is() {
    let mut votes = Votes::restored(None);
    votes.add(Keyset::new(Partition(3), 5), Basis { n: 3, least_w: 2 }, true);
    votes.counts = Some(BTreeMap::from([(b"all".to_vec(), 1)]));
    let rest = [&[1, 0, 0, 0, 3, 0, 0, 0, 5, 1, 3, 2, 3, 0][..], b"all", &[1]].concat();
    // Version 2 did not say which layouts those were, and version 1 not whether a past was lost.
    for (begin, catching_up) in
        [(&[1][..], false), (&[2, 0], false), (&[2, 1], true), (&[3, 0], false)]
    {
        votes.catching_up = catching_up;
        let restored = Votes::restored(Some(&[begin, &rest].concat()));
        assert_eq!(restored.encode(), votes.encode(), "{begin:?}");
    }
}

#[test]
fn what_was_kept_and_can_not_be_read_is_as_if_nothing_had_been() {
    let mut votes = Votes::restored(None);
    votes.add(Keyset::new(Partition(3), 3), Basis { n: 3, least_w: 2 }, true);
    votes.counts = Some(BTreeMap::from([(b"carts".to_vec(), 5)]));
    votes.catching_up = true;
    votes.layouts = Some(layouts());
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
