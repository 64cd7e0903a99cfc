//! The calendar time that the members agree on: the median of their clocks.
//!
//! Invariant: while fewer than half of the clocks that are known are wrong, however wrong, the agreed time lies
//! between two right ones. With an even number there are two in the middle, and one of them may be the wrong one
//! of two: then versions are given their ends by the later and judged by the earlier, so that none expires early.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;
use jedlik_vclock::planted::{self, Bug};

/// No calendar shows more, the year 142000; so sums of clocks stay in their range.
const WALL_MAX_MS: u64 = 1 << 52;

/// How long a clock has to be told later than before until that is believed. A message that waited makes a clock
/// look late, never early: all of those that a node finds in its sockets after it stood still do.
const LATER_FOR_US: u64 = 10_000_000;

/// By how much one calendar clock is ahead of this node's monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Reading {
    ahead_ms: i64,
    /// Since when all that was heard was less, and the most of that.
    less: Option<(u64, i64)>,
}

impl Reading {
    fn hear(&mut self, now_us: u64, ahead_ms: i64) {
        if ahead_ms >= self.ahead_ms {
            *self = Self { ahead_ms, less: None };
            return;
        }
        let (since_us, most_ms) = self.less.unwrap_or((now_us, ahead_ms));
        let most_ms = most_ms.max(ahead_ms);
        *self = if now_us >= since_us + LATER_FOR_US {
            Self { ahead_ms: most_ms, less: None }
        } else {
            Self { less: Some((since_us, most_ms)), ..*self }
        };
    }
}

/// By how much the calendar clocks of others are ahead of this node's monotonic clock.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Clocks {
    readings: BTreeMap<NodeId, Reading>,
    /// What counts of them, in order.
    sorted_ms: Vec<i64>,
}

impl Clocks {
    /// A member has told what its clock shows. How long that was under way is not known: what makes the clock look
    /// later than before is believed only once it lasts.
    pub(crate) fn hear(&mut self, now: Now, node: NodeId, wall_ms: u64) {
        let ahead_ms = ahead_ms(now, wall_ms);
        let first = Reading { ahead_ms, less: None };
        self.readings.entry(node).or_insert(first).hear(now.mono_us, ahead_ms);
        self.sort();
    }

    /// A node is no member any more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.readings.remove(&node);
        self.sort();
    }

    /// Whether no other clock was heard.
    pub(crate) fn is_alone(&self) -> bool {
        self.sorted_ms.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn heard(&self) -> usize {
        self.sorted_ms.len()
    }

    fn sort(&mut self) {
        self.sorted_ms = self.readings.values().map(|reading| reading.ahead_ms).collect();
        self.sorted_ms.sort_unstable();
    }

    /// What all clocks that are known agree on, this node's own among them: the two in the middle, or twice
    /// the one.
    pub(crate) fn agreed_ms(&self, now: Now) -> (u64, u64) {
        if planted::on(Bug::ExpiryByOwnClock) {
            return (now.wall_ms, now.wall_ms);
        }
        let own = ahead_ms(now, now.wall_ms);
        // The clocks of others and, at its place among them, this node's own.
        let before = self.sorted_ms.partition_point(|other| *other < own);
        let nth = |place: usize| match place.cmp(&before) {
            core::cmp::Ordering::Less => self.sorted_ms[place],
            core::cmp::Ordering::Equal => own,
            core::cmp::Ordering::Greater => self.sorted_ms[place - 1],
        };
        let others = self.sorted_ms.len();
        let shown = |ahead_ms: i64| {
            ahead_ms.saturating_add_unsigned(now.mono_us / 1_000).try_into().unwrap_or(0)
        };
        (shown(nth(others / 2)), shown(nth(others.div_ceil(2))))
    }
}

fn ahead_ms(now: Now, wall_ms: u64) -> i64 {
    let signed = |ms: u64| ms.min(WALL_MAX_MS) as i64;
    signed(wall_ms) - signed(now.mono_us / 1_000)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use jedlik_hashing::NodeId;
    use jedlik_protocol::Now;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::Clocks;

    const RIGHT_MS: u64 = 1_790_000_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn at(s: u64, wall_ms: u64) -> Now {
        Now::new(s * 1_000_000, wall_ms)
    }

    fn agreed(own_ms: u64, others: &[u64]) -> u64 {
        let mut clocks = Clocks::default();
        for (node, wall_ms) in others.iter().enumerate() {
            clocks.hear(at(7, own_ms), NodeId(node as u64), *wall_ms);
        }
        clocks.agreed_ms(at(7, own_ms)).0
    }

    #[test]
    fn one_wrong_clock_of_three_moves_nobodys_time() {
        for wrong_ms in [0, RIGHT_MS - HOUR_MS, RIGHT_MS + HOUR_MS, u64::MAX] {
            assert_eq!(agreed(wrong_ms, &[RIGHT_MS, RIGHT_MS]), RIGHT_MS);
            assert_eq!(agreed(RIGHT_MS, &[RIGHT_MS, wrong_ms]), RIGHT_MS);
        }
        assert_eq!(agreed(RIGHT_MS + HOUR_MS, &[]), RIGHT_MS + HOUR_MS, "alone it has its own");
        assert_eq!(agreed(RIGHT_MS + HOUR_MS, &[RIGHT_MS]), RIGHT_MS, "of two the earlier");
        assert_eq!(agreed(RIGHT_MS, &[RIGHT_MS + HOUR_MS]), RIGHT_MS, "on both sides");
    }

    #[test]
    fn the_agreed_time_goes_on_between_readings_though_the_own_clock_jumps() {
        let mut clocks = Clocks::default();
        clocks.hear(at(5, RIGHT_MS), NodeId(2), RIGHT_MS);
        clocks.hear(at(5, RIGHT_MS), NodeId(3), RIGHT_MS + 40);
        assert_eq!(clocks.agreed_ms(at(65, RIGHT_MS + HOUR_MS)).0, RIGHT_MS + 60_040);
        clocks.forget(NodeId(3));
        assert_eq!(clocks.agreed_ms(at(65, RIGHT_MS + HOUR_MS)).0, RIGHT_MS + 60_000);
    }

    #[test]
    fn messages_that_waited_while_the_node_stood_still_make_no_clock_late() {
        let mut clocks = Clocks::default();
        let hear = |clocks: &mut Clocks, s: u64, wall_ms: u64| {
            clocks.hear(at(s, RIGHT_MS), NodeId(2), wall_ms);
            clocks.hear(at(s, RIGHT_MS), NodeId(3), wall_ms);
            clocks.agreed_ms(at(s, RIGHT_MS)).0
        };
        assert_eq!(hear(&mut clocks, 0, RIGHT_MS), RIGHT_MS);
        for told_s in 1..24 {
            let agreed = hear(&mut clocks, 24, RIGHT_MS + 1_000 * told_s);
            assert_eq!(agreed, RIGHT_MS + 24_000, "told {told_s} s after the first");
        }
        assert_eq!(hear(&mut clocks, 25, RIGHT_MS + 24_990), RIGHT_MS + 25_000);
        assert_eq!(
            hear(&mut clocks, 34, RIGHT_MS + 33_980),
            RIGHT_MS + 33_990,
            "the latest that lasts"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_once_that_lasts_and_one_set_forward_at_once() {
        let mut clocks = Clocks::default();
        let hear = |clocks: &mut Clocks, s: u64, wall_ms: u64| {
            clocks.hear(at(s, RIGHT_MS), NodeId(2), wall_ms);
            clocks.hear(at(s, RIGHT_MS), NodeId(3), wall_ms);
            clocks.agreed_ms(at(s, RIGHT_MS)).0
        };
        hear(&mut clocks, 0, RIGHT_MS + HOUR_MS);
        for s in 1..=10 {
            assert_eq!(hear(&mut clocks, s, RIGHT_MS + 1_000 * s), RIGHT_MS + HOUR_MS + 1_000 * s);
        }
        assert_eq!(hear(&mut clocks, 11, RIGHT_MS + 11_000), RIGHT_MS + 11_000);
        assert_eq!(hear(&mut clocks, 12, RIGHT_MS + HOUR_MS), RIGHT_MS + HOUR_MS);
    }

    #[test]
    fn of_two_clocks_that_differ_one_side_is_never_early_and_the_other_never_late() {
        for (own_ms, other_ms) in [(0, HOUR_MS), (HOUR_MS, 0)] {
            let mut clocks = Clocks::default();
            clocks.hear(at(7, RIGHT_MS + own_ms), NodeId(2), RIGHT_MS + other_ms);
            let agreed = clocks.agreed_ms(at(7, RIGHT_MS + own_ms));
            assert_eq!(agreed, (RIGHT_MS, RIGHT_MS + HOUR_MS));
            clocks.hear(at(7, RIGHT_MS + own_ms), NodeId(3), RIGHT_MS + 5);
            let agreed = clocks.agreed_ms(at(7, RIGHT_MS + own_ms));
            assert_eq!(agreed, (RIGHT_MS + 5, RIGHT_MS + 5), "of three the middle");
        }
    }

    proptest! {
        #[test]
        fn a_minority_of_wrong_clocks_is_outvoted(
            right in proptest::collection::vec(0..1_000_u64, 2..6),
            wrong in proptest::collection::vec(any::<u64>(), 0..6),
            own_is_right: bool,
        ) {
            let right: Vec<u64> = right.into_iter().map(|ms| RIGHT_MS + ms).collect();
            let wrong = &wrong[..wrong.len().min(right.len() - 1)];
            let mut all: Vec<u64> = wrong.iter().chain(&right).copied().collect();
            if !own_is_right {
                all.reverse();
            }
            let own_ms = all.pop().unwrap_or(RIGHT_MS);
            let agreed = agreed(own_ms, &all);
            let (least, most) = (right.iter().min().unwrap(), right.iter().max().unwrap());
            prop_assert!((*least..=*most).contains(&agreed), "{agreed}");
        }
    }
}
