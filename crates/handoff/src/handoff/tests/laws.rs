//! Laws that hold in any order of events, through restarts and failures of storage and targets.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use proptest::prelude::{Just, Strategy, any, proptest};
use proptest::prop_oneof;

use super::world::World;

#[derive(Debug, Clone, Copy)]
enum Event {
    Hint { target: u64, key: u32 },
    Up(u64),
    Down(u64),
    Send,
    Deliver { index: usize, window: u16 },
    Lose { index: usize, synced: bool },
    Store { index: usize, ok: bool },
    Pass(u64),
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let target = || 1..4_u64;
    let event = prop_oneof![
        6 => (target(), 0..100_u32).prop_map(|(target, key)| Event::Hint { target, key }),
        2 => target().prop_map(Event::Up),
        1 => target().prop_map(Event::Down),
        8 => Just(Event::Send),
        6 => (any::<usize>(), prop_oneof![Just(0), 1..100_u16])
            .prop_map(|(index, window)| Event::Deliver { index, window }),
        1 => (any::<usize>(), any::<bool>())
            .prop_map(|(index, synced)| Event::Lose { index, synced }),
        8 => (any::<usize>(), proptest::bool::weighted(0.9))
            .prop_map(|(index, ok)| Event::Store { index, ok }),
        2 => (1..500_000_u64).prop_map(Event::Pass),
        1 => Just(Event::Restart),
    ];
    proptest::collection::vec(event, 0..400)
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Hint { target, key } => world.hint(NodeId(target), key, 10),
        Event::Up(target) => world.up(NodeId(target)),
        Event::Down(target) => world.down(NodeId(target)),
        Event::Send => drop(world.send()),
        Event::Deliver { index, window } if !world.underway.is_empty() => {
            world.deliver(index % world.underway.len(), window);
        }
        Event::Lose { index, synced } if !world.underway.is_empty() => {
            world.lose(index % world.underway.len(), synced);
        }
        Event::Store { index, ok } if !world.outputs.is_empty() => {
            world.store(index % world.outputs.len(), ok);
        }
        Event::Pass(us) => world.pass(us),
        Event::Restart => world.restart(),
        Event::Deliver { .. } | Event::Lose { .. } | Event::Store { .. } => {}
    }
}

proptest! {
    // The world itself checks that nothing is released unsynced or sent twice at once.
    #[test]
    fn no_hint_is_lost_and_all_drain_once_everything_works(events in events()) {
        let mut world = World::default();
        for event in events {
            happen(&mut world, event);
        }
        for target in 1..4 {
            world.up(NodeId(target));
        }
        world.drain();
    }

    #[test]
    fn nothing_is_sent_to_a_target_that_is_away(events in events()) {
        let mut world = World::default();
        let mut up = [false; 4];
        for event in events {
            match event {
                Event::Up(target) => up[target as usize] = true,
                Event::Down(target) => up[target as usize] = false,
                Event::Restart => up = [false; 4],
                Event::Send => {
                    if let Some((target, _)) = world.send() {
                        assert!(up[target.0 as usize]);
                    }
                    continue;
                }
                _ => {}
            }
            happen(&mut world, event);
        }
    }
}
