//! The actor rule as a table.

use super::{Incarnation, LocalActor, actor_for};
use crate::{ActorId, Dot, VectorClock};

const MINE: ActorId = ActorId(7);
const FRESH: ActorId = ActorId(99);

fn clock(entries: &[(u64, u64)]) -> VectorClock {
    let mut clock = VectorClock::new();
    for &(actor, counter) in entries {
        clock.extend(Dot { actor: ActorId(actor), counter }, 0);
    }
    clock
}

#[test]
fn an_actor_goes_on_only_where_everything_it_issued_is_still_held() {
    let mine = Some(LocalActor { actor: MINE, incarnation: Incarnation(1) });
    let past = Some(LocalActor { actor: MINE, incarnation: Incarnation(2) });
    for (why, local, record, context, expected) in [
        ("the same life, no context", mine, &[(7, 3)][..], &[][..], MINE),
        ("a context as new as the record", mine, &[(7, 3)], &[(7, 3)], MINE),
        ("a context with others' news", mine, &[(7, 3)], &[(5, 9), (7, 2)], MINE),
        ("no local record", None, &[], &[], FRESH),
        ("a record by others alone", None, &[(7, 3)], &[], FRESH),
        ("another life", past, &[(7, 3)], &[], FRESH),
        ("a pruned entry", mine, &[(5, 1)], &[], FRESH),
        ("a context that proves a loss", mine, &[(7, 3)], &[(7, 4)], FRESH),
        ("a pruned entry that a context names", mine, &[], &[(7, 3)], FRESH),
        ("a line at its end", mine, &[(7, u64::MAX - 1)], &[], FRESH),
    ] {
        let actor = actor_for(local, Incarnation(1), &clock(record), &clock(context), FRESH);
        assert_eq!(actor, expected, "{why}");
    }
}

#[test]
fn an_actor_is_kept_while_its_entry_is() {
    let local = LocalActor { actor: MINE, incarnation: Incarnation(1) };
    assert_eq!(local.kept_by(&clock(&[(7, 1)])), Some(local));
    assert_eq!(local.kept_by(&clock(&[(8, 1)])), None);
}
