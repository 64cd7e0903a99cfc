//! The state of each node's membership on its way to the disk, as the server's saver has it: late, and in place of the
//! state before.
//!
//! Invariant: a state that is not saved when the process ends is lost, and nothing waits for it.

use jedlik_protocol::gossip::Delta;

use crate::world::{Event, World};

/// Longest time that a save takes.
const FAST_US: u64 = 50_000;
/// Longest time on a slow disk, and between tries on a full one.
const SLOW_US: u64 = 4_000_000;

impl World {
    pub(crate) fn persist(&mut self, node: u8, state: u64, whole: Delta) {
        if self.nodes[usize::from(node)].persist(state, whole) {
            self.save_soon(node);
        }
    }

    fn save_soon(&mut self, node: u8) {
        let place = &self.nodes[usize::from(node)];
        let condition = &place.disk.condition;
        let slowest_us = if condition.slow > 0 || condition.full > 0 { SLOW_US } else { FAST_US };
        let (life, after_us) = (place.life, self.chances.saves.below(slowest_us));
        self.after(after_us, Event::Save { node, life });
    }

    /// Stores the membership's state, or tries again later if that is not possible.
    pub(crate) fn save(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        let (now, stands_still) = (place.clock.now(self.now_us), place.pauses > 0);
        let saved = if stands_still { None } else { place.save() };
        match (saved, place.running.as_mut()) {
            (Some(state), Some(running)) => {
                running.membership.handle_saved(now, state);
                self.carry_out(node);
            }
            _ => self.save_soon(node),
        }
    }
}
