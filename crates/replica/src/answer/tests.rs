//! Answers that can't carry every sibling: nothing is replaced that was not shown, and all is shown in the end.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jedlik_protocol::{Blob, Record};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};
use proptest::collection::vec;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::part_within;

fn write(write_id: u128, length: usize) -> Write<Blob> {
    let content = Content::Value(Blob::from(alloc::vec![7; length]));
    Write { write_id: WriteId(write_id), written_at_ms: 1, expires_at_ms: None, content }
}

fn ids(record: &Record) -> BTreeSet<WriteId> {
    record.siblings().iter().map(|sibling| sibling.write_id).collect()
}

proptest! {
    #[test]
    fn whoever_resolves_part_after_part_replaces_just_what_was_shown_and_sees_all(
        puts in vec((0..4_u64, 0..60_usize), 1..20), limit_bytes in 1..100_usize,
    ) {
        let mut record = Record::new();
        for (index, (actor, length)) in puts.iter().enumerate() {
            record.put(&VectorClock::new(), ActorId(*actor), write(index as u128, *length));
        }
        let all = ids(&record);
        let mut shown = BTreeSet::new();
        for round in 0..=puts.len() as u128 {
            let (part, partial) = part_within(&record, limit_bytes);
            let part = part.into_owned();
            prop_assert!(part.is_well_formed() && !part.siblings().is_empty());
            prop_assert_eq!(partial, part != record);
            shown.extend(ids(&part));
            let mut expected: Vec<WriteId> = ids(&record).difference(&ids(&part)).copied().collect();
            let resolved = 1_000 + round;
            record.put(part.clock(), ActorId(9), write(resolved, 0));
            expected.push(WriteId(resolved));
            expected.sort_unstable();
            prop_assert_eq!(ids(&record).into_iter().collect::<Vec<_>>(), expected);
            if !partial {
                break;
            }
        }
        prop_assert_eq!(record.siblings().len(), 1);
        prop_assert!(all.is_subset(&shown));
    }
}
