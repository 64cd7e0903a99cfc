//! The calendar time that the members agree on: the median of their clocks.
//!
//! Invariants: a reading of a clock is at most [`ROUND_TRIP_MAX_US`] behind that clock, however long messages waited.
//! While fewer than half of the known clocks are wrong, however wrong, the agreed time lies between two right
//! readings. An even number of clocks has two in the middle, of which one may be wrong. Versions are then given their
//! ends by the later and judged by the earlier, so that none expires early.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::Now;

/// Latest calendar time that is believed, the year 142000, so that sums of clocks stay in range.
const WALL_MAX_MS: u64 = 1 << 52;

/// Longest round trip of a question and its answer for the answer to count as a reading. A message that waited makes
/// a clock look late, and a node that stood still finds many such at once in its sockets.
const ROUND_TRIP_MAX_US: u64 = 1_000_000;

/// Lead over the last reading past which a clock is read again. A smaller one is the time that messages take.
const LATER_MS: i64 = 250;

/// Time that a question waits for its answer before it is sent again.
const ASK_AGAIN_US: u64 = 200_000;

/// A question that a member has not answered yet.
#[derive(Debug, Clone, Copy)]
struct Question {
    nonce: u64,
    first_us: u64,
    last_us: u64,
}

impl Question {
    /// Whether an answer that comes now is a reading.
    fn may_count(&self, now: Now) -> bool {
        now.mono_us <= self.first_us + ROUND_TRIP_MAX_US
    }
}

/// Calendar clock of one member, as far as it is known.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Peer {
    asked: Option<Question>,
    /// Lead of the clock over this node's monotonic clock; `None` before the first reading.
    ahead_ms: Option<i64>,
}

/// Leads of the members' calendar clocks over this node's monotonic clock.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Clocks {
    peers: BTreeMap<NodeId, Peer>,
    /// Leads of all clocks that were read, in ascending order.
    sorted_ms: Vec<i64>,
}

impl Clocks {
    /// Takes a member's word on its clock, of which it is unknown how long it was under way: the clock shows no less
    /// now. Returns whether the clock has to be read.
    pub(crate) fn hear(&mut self, now: Now, node: NodeId, wall_ms: u64) -> bool {
        let told_ms = ahead_ms(now, wall_ms);
        let peer = self.peers.entry(node).or_default();
        peer.ahead_ms = peer.ahead_ms.map(|read_ms| read_ms.max(told_ms));
        let differs = peer.ahead_ms.is_none_or(|read_ms| told_ms < read_ms - LATER_MS);
        let waits = peer.asked.is_some_and(|asked| now.mono_us < asked.last_us + ASK_AGAIN_US);
        self.sort();
        differs && !waits
    }

    /// Begins a reading of a member's clock and returns the nonce of the question. `fresh` is a nonce that was never
    /// used.
    pub(crate) fn ask(&mut self, now: Now, node: NodeId, fresh: u64) -> u64 {
        let asked = &mut self.peers.entry(node).or_default().asked;
        let first = Question { nonce: fresh, first_us: now.mono_us, last_us: now.mono_us };
        let question = asked.filter(|asked| asked.may_count(now)).unwrap_or(first);
        *asked = Some(Question { last_us: now.mono_us, ..question });
        question.nonce
    }

    /// Takes a member's answer to the question with this nonce: a reading, if it came in time. Returns whether the
    /// clock has to be read again.
    pub(crate) fn answered(&mut self, now: Now, node: NodeId, nonce: u64, wall_ms: u64) -> bool {
        let peer = self.peers.entry(node).or_default();
        if let Some(asked) = peer.asked.take_if(|asked| asked.nonce == nonce)
            && asked.may_count(now)
        {
            peer.ahead_ms = Some(ahead_ms(now, wall_ms));
        }
        self.hear(now, node, wall_ms)
    }

    /// Drops the clock of a node that is no longer a member.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.peers.remove(&node);
        self.sort();
    }

    /// Whether no other clock was read.
    pub(crate) fn is_alone(&self) -> bool {
        self.sorted_ms.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn heard(&self) -> usize {
        self.sorted_ms.len()
    }

    fn sort(&mut self) {
        self.sorted_ms = self.peers.values().filter_map(|peer| peer.ahead_ms).collect();
        self.sorted_ms.sort_unstable();
    }

    /// Returns the time that all known clocks agree on, this node's own among them: the earlier and the later of the
    /// two in the middle, or twice the one in the middle.
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

    /// Reads a member's clock at this moment.
    fn read(clocks: &mut Clocks, now: Now, node: u64, wall_ms: u64) {
        let nonce = clocks.ask(now, NodeId(node), 9);
        assert!(!clocks.answered(now, NodeId(node), nonce, wall_ms), "it was read just now");
    }

    fn agreed(own_ms: u64, others: &[u64]) -> u64 {
        let mut clocks = Clocks::default();
        for (node, wall_ms) in (0..).zip(others) {
            read(&mut clocks, at(7, own_ms), node, *wall_ms);
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
        read(&mut clocks, at(5, RIGHT_MS), 2, RIGHT_MS);
        read(&mut clocks, at(5, RIGHT_MS), 3, RIGHT_MS + 40);
        assert_eq!(clocks.agreed_ms(at(65, RIGHT_MS + HOUR_MS)).0, RIGHT_MS + 60_040);
        clocks.forget(NodeId(3));
        assert_eq!(clocks.agreed_ms(at(65, RIGHT_MS + HOUR_MS)).0, RIGHT_MS + 60_000);
    }

    #[test]
    fn messages_that_waited_while_the_node_stood_still_make_no_clock_late() {
        let stands_still = |first: &[u64]| {
            let mut clocks = Clocks::default();
            first.iter().for_each(|node| read(&mut clocks, at(0, RIGHT_MS), *node, RIGHT_MS));
            let then = at(24, RIGHT_MS + 24_000);
            for told_s in 1..24 {
                clocks.hear(then, NodeId(2), RIGHT_MS + 1_000 * told_s);
                clocks.hear(then, NodeId(3), RIGHT_MS + 1_000 * told_s);
            }
            clocks
        };
        assert!(stands_still(&[]).is_alone(), "none was read before");
        let then = at(24, RIGHT_MS + 24_000);
        assert_eq!(stands_still(&[2, 3]).agreed_ms(then), (then.wall_ms, then.wall_ms));

        let mut clocks = stands_still(&[]);
        clocks.ask(at(12, RIGHT_MS), NodeId(2), 1);
        assert!(clocks.answered(at(24, RIGHT_MS), NodeId(2), 1, RIGHT_MS + 12_000));
        assert!(clocks.is_alone(), "an answer that waited is no reading");
    }

    #[test]
    fn a_clock_is_read_where_none_was_and_where_what_is_told_is_later() {
        let mut clocks = Clocks::default();
        let (node, after) = (NodeId(2), |ms: u64| Now::new(1_000 * ms, RIGHT_MS));
        assert!(clocks.hear(after(0), node, RIGHT_MS));
        assert_eq!(clocks.ask(after(0), node, 5), 5);
        assert!(!clocks.hear(after(199), node, RIGHT_MS + 199), "its answer may be under way");
        assert!(clocks.hear(after(200), node, RIGHT_MS + 200));
        assert_eq!(clocks.ask(after(200), node, 6), 5, "either answer counts");
        assert!(!clocks.answered(after(300), node, 6, RIGHT_MS + 300), "it was not asked that");
        assert!(clocks.is_alone());
        assert_eq!(clocks.ask(after(1_001), node, 7), 7, "an answer would be too late");
        assert!(!clocks.answered(after(2_001), node, 7, RIGHT_MS + 1_901));
        assert_eq!(clocks.agreed_ms(after(2_001)).1, RIGHT_MS + 1_901);
        assert!(!clocks.hear(after(9_000), node, RIGHT_MS + 8_650), "messages take some time");
        assert!(clocks.hear(after(9_000), node, RIGHT_MS + 8_649));
    }

    #[test]
    fn a_clock_that_was_set_back_counts_once_it_is_read_and_one_set_forward_as_soon_as_it_is_told()
    {
        let mut clocks = Clocks::default();
        let told = |clocks: &mut Clocks, s: u64, wall_ms: u64| {
            let asks = [2, 3].map(|node| clocks.hear(at(s, RIGHT_MS), NodeId(node), wall_ms));
            (asks[0], clocks.agreed_ms(at(s, RIGHT_MS)).0)
        };
        let read_both = |clocks: &mut Clocks, s: u64| {
            for node in [2, 3] {
                read(clocks, at(s, RIGHT_MS), node, RIGHT_MS + 1_000 * s);
            }
        };
        read_both(&mut clocks, 0);
        let forward_ms = RIGHT_MS + HOUR_MS;
        assert_eq!(told(&mut clocks, 10, forward_ms + 10_000), (false, forward_ms + 10_000));
        assert_eq!(told(&mut clocks, 11, RIGHT_MS + 11_000), (true, forward_ms + 11_000));
        read_both(&mut clocks, 12);
        assert_eq!(told(&mut clocks, 13, RIGHT_MS + 13_000), (false, RIGHT_MS + 13_000));
    }

    #[test]
    fn of_two_clocks_that_differ_one_side_is_never_early_and_the_other_never_late() {
        for (own_ms, other_ms) in [(0, HOUR_MS), (HOUR_MS, 0)] {
            let mut clocks = Clocks::default();
            read(&mut clocks, at(7, RIGHT_MS + own_ms), 2, RIGHT_MS + other_ms);
            let agreed = clocks.agreed_ms(at(7, RIGHT_MS + own_ms));
            assert_eq!(agreed, (RIGHT_MS, RIGHT_MS + HOUR_MS));
            read(&mut clocks, at(7, RIGHT_MS + own_ms), 3, RIGHT_MS + 5);
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
