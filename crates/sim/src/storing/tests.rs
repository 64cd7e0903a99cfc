//! Cases that the check on dead records accepts, and cases that it does not.

use jedlik_protocol::{Durability, EncodedRecord, Record, StoredRecord};
use jedlik_replica::Revision;
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use crate::Plan;
use crate::breach::Promise;
use crate::chance::{Chance, Concern};
use crate::disk::Step;
use crate::world::World;

/// Returns a world in which one node has a value on its disk, and a tombstone that has seen it.
fn with_a_value_on(node: u8) -> (World, Record) {
    let plan = Plan::of(1, 5);
    let mut world = World::new(plan, false);
    world.plan.setting.durability = Durability::Synced;
    let write = |content, id| Write {
        write_id: WriteId(id),
        written_at_ms: 1,
        expires_at_ms: None,
        content,
    };
    let mut record = Record::new();
    record.put(&VectorClock::new(), ActorId(7), write(Content::Value("v".into()), 1));
    let stored = StoredRecord { local: None, record: EncodedRecord::encode(&record) };
    let (key, mut chance) = (world.placed(0), Chance::new(1, Concern::Disk));
    let disk = &mut world.nodes[usize::from(node)].disk;
    disk.apply(1, &key, stored, Durability::Synced).expect("it is neither full nor overloaded");
    let _ = disk.submit(&mut chance);
    let _ = disk.advance(Step::Written, &mut chance);
    let _ = disk.advance(Step::Synced, &mut chance);
    let seen = record.clock().clone();
    record.put(&seen, ActorId(8), write(Content::Tombstone, 2));
    (world, record)
}

#[test]
fn a_value_on_the_disk_of_a_node_that_may_start_again_counts_and_of_one_that_never_will_does_not() {
    let (mut world, dead) = with_a_value_on(2);
    let (key, by) = (world.placed(0), 0);
    assert!(world.older(2, by, &key, &dead).is_some(), "it is stopped, and may start");
    assert!(world.older(1, by, &key, &dead).is_none(), "this one has nothing");
    world.nodes[2].over = true;
    assert!(world.older(2, by, &key, &dead).is_none(), "it has left, as most of the others know");
    (world.nodes[2].over, world.nodes[2].removed) = (false, true);
    assert!(world.older(2, by, &key, &dead).is_none(), "it was removed by force");
}

#[test]
fn a_value_on_the_own_disk_counts_once_the_others_hold_the_dead_record_no_more() {
    let (world, dead) = with_a_value_on(0);
    let key = world.placed(0);
    assert!(world.older(0, 0, &key, &dead).is_some(), "its end would bring the value back");
}

#[test]
fn what_is_forgotten_is_held_to_its_rule_by_whoever_forgets_it_and_what_is_given_up_is_not() {
    for (by, promise) in
        [(Revision::Forgotten, Some(Promise::NothingOlderLeft)), (Revision::GivenUp, None)]
    {
        // Without a layout, the node that removes the record is no owner of it.
        let (mut world, dead) = with_a_value_on(2);
        let (key, digest) = (world.placed(0), EncodedRecord::encode(&dead).digest());
        let stored = StoredRecord { local: None, record: EncodedRecord::encode(&dead) };
        let applied = world.nodes[0].disk.apply(1, &key, stored, Durability::Synced);
        applied.expect("it is neither full nor overloaded");
        world.revises(0, &key, digest, &by);
        assert_eq!(world.breach.as_ref().map(|breach| breach.promise), promise, "{by:?}");
    }
}
