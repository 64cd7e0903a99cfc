//! The network between the nodes: the delay of a message, whether it arrives, and how often.
//!
//! Invariant: nothing of an ended connection arrives; every answer belongs to a request of the same life.

use crate::chance::{Chance, Concern};
use crate::plan::Setting;

/// Time after which a silent peer counts as gone, as in the transport.
pub(crate) const IDLE_LIMIT_US: u64 = 4_000_000;
/// Longest additional delay of a message over a slow link.
const SLOW_US: u64 = 1_500_000;

#[derive(Debug, Clone, Copy, Default)]
struct Way {
    /// Number of faults that block the way.
    blocks: u32,
    blocked_us: u64,
    slow: u32,
}

/// State of the ways between all nodes, in both directions.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    ways: Vec<Way>,
    /// Number of connections that each pair has had so far.
    epochs: Vec<u32>,
    delay_us: u64,
    loss_permille: u64,
    duplicate_permille: u64,
    chance: Chance,
}

impl Network {
    pub(crate) fn new(seed: u64, setting: &Setting) -> Self {
        let nodes = usize::from(setting.slots());
        Self {
            nodes,
            ways: vec![Way::default(); nodes * nodes],
            epochs: vec![0; nodes * nodes],
            delay_us: setting.delay_us,
            loss_permille: 0,
            duplicate_permille: 0,
            chance: Chance::new(seed, Concern::Network),
        }
    }

    /// Sets how often messages are lost and doubled from now on, in thousandths.
    pub(crate) fn trouble(&mut self, loss_permille: u64, duplicate_permille: u64) {
        (self.loss_permille, self.duplicate_permille) = (loss_permille, duplicate_permille);
    }

    /// Frees every way from all faults.
    pub(crate) fn heal(&mut self) {
        self.ways.fill(Way::default());
        self.trouble(0, 0);
    }

    pub(crate) fn epoch(&self, a: u8, b: u8) -> u32 {
        self.epochs[self.pair(a, b)]
    }

    /// Ends the connection of a pair, and returns the number of the next one.
    pub(crate) fn disconnect(&mut self, a: u8, b: u8) -> u32 {
        let pair = self.pair(a, b);
        self.epochs[pair] += 1;
        self.epochs[pair]
    }

    pub(crate) fn block(&mut self, now_us: u64, from: u8, to: u8) {
        let way = self.way(from, to);
        if way.blocks == 0 {
            way.blocked_us = now_us;
        }
        way.blocks += 1;
    }

    pub(crate) fn unblock(&mut self, from: u8, to: u8) {
        let way = self.way(from, to);
        way.blocks = way.blocks.saturating_sub(1);
    }

    pub(crate) fn slow(&mut self, from: u8, to: u8, by: i32) {
        let way = self.way(from, to);
        way.slow = way.slow.saturating_add_signed(by);
    }

    pub(crate) fn is_blocked(&self, from: u8, to: u8) -> bool {
        self.ways[usize::from(from) * self.nodes + usize::from(to)].blocks > 0
    }

    /// Whether the sender's transport knows by now that nothing gets through.
    pub(crate) fn is_given_up(&self, now_us: u64, from: u8, to: u8) -> bool {
        let way = |from: u8, to: u8| self.ways[usize::from(from) * self.nodes + usize::from(to)];
        [way(from, to), way(to, from)]
            .iter()
            .any(|way| way.blocks > 0 && now_us > way.blocked_us + IDLE_LIMIT_US)
    }

    /// Returns the delays of a message's copies; none if it is lost.
    pub(crate) fn delays(&mut self, from: u8, to: u8) -> Vec<u64> {
        if self.chance.permille(self.loss_permille) {
            return Vec::new();
        }
        let copies = if self.chance.permille(self.duplicate_permille) { 2 } else { 1 };
        (0..copies).map(|_| self.delay(from, to)).collect()
    }

    /// Returns the delay of a client's message; `None` if it is lost.
    pub(crate) fn client_delay(&mut self) -> Option<u64> {
        let lost = self.chance.permille(self.loss_permille);
        let delay_us = self.usual();
        (!lost).then_some(delay_us)
    }

    fn delay(&mut self, from: u8, to: u8) -> u64 {
        let usual_us = self.usual();
        if self.way(from, to).slow > 0 {
            usual_us + self.chance.magnitude(1_000, SLOW_US)
        } else {
            usual_us
        }
    }

    fn usual(&mut self) -> u64 {
        let late = if self.chance.permille(5) { 40 } else { 1 };
        self.chance.between(self.delay_us / 2, self.delay_us * 3 / 2) * late
    }

    fn way(&mut self, from: u8, to: u8) -> &mut Way {
        &mut self.ways[usize::from(from) * self.nodes + usize::from(to)]
    }

    fn pair(&self, a: u8, b: u8) -> usize {
        usize::from(a.min(b)) * self.nodes + usize::from(a.max(b))
    }
}
