//! Answers that can't carry every sibling: nothing is replaced that was not shown, and all is shown in the end.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::{Needs, Shortfall, Tally};
use jedlik_hashing::NodeId;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::{Record, Value};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};
use proptest::collection::vec;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{part_within, shortfall};

fn write(write_id: u128, length: usize) -> Write<Value> {
    let content = Content::Value(alloc::vec![7; length].into());
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

#[test]
fn a_shortfall_says_what_is_short_and_which_owners_are_away() {
    let needs = Needs { answers: 2, primaries: 3, synced: 1 };
    let table: [([u8; 3], bool, &[u64], &str); 5] = [
        (
            [3, 2, 1],
            true,
            &[2],
            "put: 2 of 3 primaries among them before the timeout; n2 can't be reached",
        ),
        (
            [1, 1, 1],
            false,
            &[2, 3],
            "put: 1 of 2 replicas answered, 1 of 3 primaries among them; n2 and n3 can't be reached",
        ),
        (
            [1, 3, 1],
            false,
            &[],
            "put: 1 of 2 replicas answered; the others can't be reached or refuse",
        ),
        ([2, 3, 0], true, &[], "put: 0 of 1 synced before the timeout"),
        ([2, 3, 1], true, &[], "put: 2 of 2 replicas answered before the timeout"),
    ];
    for ([answers, primaries, synced], timed_out, away, expected) in table {
        let had = Tally { answers, primaries, synced };
        let in_doubt = Vec::new();
        let short = Shortfall { needs, had, timed_out, in_doubt, nothing_at_fallbacks: 0 };
        let away: Vec<NodeId> = away.iter().copied().map(NodeId).collect();
        let failure = shortfall("put", &short, &away, |node| format!("n{}", node.0));
        assert_eq!(failure.message, expected);
        let code = if timed_out { ErrorCode::Timeout } else { ErrorCode::Unavailable };
        assert_eq!(failure.code, code);
    }
}
