//! Times since which other members have known of a later process of a node, and the consequence for the earlier one.
//!
//! Invariant: what members have forgotten without asking a process they have forgotten after they had known of
//! another one in its place for ten lives of a message. A member that has only just started can't say since when it
//! knows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Incarnation;

/// Most lives of a node of which it is remembered when another one took their place.
const LIVES_MAX: usize = 8;

/// Times at which each life of a member was first followed by another one, on the monotonic clock.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Superseded(BTreeMap<NodeId, Vec<(Incarnation, u64)>>);

impl Superseded {
    /// Notes that from now on another life is taken for the node in place of `life`.
    pub(crate) fn note(&mut self, now_us: u64, node: NodeId, life: Incarnation) {
        let lives = self.0.entry(node).or_default();
        if lives.iter().all(|(known, _)| *known != life) {
            if lives.len() == LIVES_MAX {
                lives.remove(0);
            }
            lives.push((life, now_us));
        }
    }

    /// Returns for how long another life has been known in place of `life`; `None` unless this process saw that
    /// begin.
    pub(crate) fn since_ms(&self, now_us: u64, node: NodeId, life: Incarnation) -> Option<u64> {
        let (_, at_us) = self.0.get(&node)?.iter().find(|(known, _)| *known == life)?;
        Some(now_us.saturating_sub(*at_us) / 1_000)
    }
}

/// Answers, to a process that has a rival, about how long others have done without it.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Absence {
    /// Whether any node has answered since there is a rival.
    heard: bool,
    shortest_ms: Option<u64>,
    /// Whether the other process is one of the same life that had come further when it was found. No node can tell
    /// two such processes apart, or say since when it has done without this one.
    is_behind: bool,
    /// Decision on an earlier process of this directory that found the rival: of this process nobody can tell the
    /// absence.
    before: Option<bool>,
}

impl Absence {
    /// Makes the absence of a process that was started again since the rival was found. If the earlier one ended
    /// before it had heard anything, it may have been absent for long.
    pub(crate) fn judged(outlived: Option<bool>) -> Self {
        Self { before: Some(outlived.unwrap_or(true)), ..Self::default() }
    }

    /// Makes the absence of a process that found its rival as it started: no other node has confirmed that its
    /// directory accounts for every life, so the directory may be a copy of any age.
    pub(crate) fn of_unknown_length() -> Self {
        Self::judged(None)
    }

    /// Takes an answer, with the time for which its author has known of another process if it can say.
    pub(crate) fn hear(&mut self, superseded_ms: Option<u64>) {
        self.heard = true;
        self.shortest_ms = self.shortest_ms.into_iter().chain(superseded_ms).min();
    }

    /// Notes that the other process is one of the same life, and whether this one `is_behind` it.
    pub(crate) fn note_one_life(&mut self, is_behind: bool) {
        self.is_behind |= is_behind;
    }

    /// Whether any node has answered.
    pub(crate) fn is_known(&self) -> bool {
        self.heard
    }

    /// Whether deletes may have been forgotten of which this directory's processes never heard: all who can say so
    /// have done without them for long. `None` as long as nobody has answered.
    pub(crate) fn is_long(&self, message_life_ms: u64) -> Option<bool> {
        // Half of what a collection takes, so that clocks may run at somewhat different rates.
        let is_long = self.shortest_ms.is_some_and(|ms| ms >= 5 * message_life_ms);
        self.before.or(self.heard.then_some(is_long || self.is_behind))
    }
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;
    use jedlik_protocol::Incarnation;

    use super::{Absence, LIVES_MAX, Superseded};

    #[test]
    fn the_first_time_that_another_life_is_known_counts_and_the_last_lives_are_remembered() {
        let mut superseded = Superseded::default();
        let (node, life) = (NodeId(1), Incarnation(1));
        assert_eq!(superseded.since_ms(5_000, node, life), None);
        superseded.note(1_000, node, life);
        superseded.note(4_000, node, life);
        assert_eq!(superseded.since_ms(5_000, node, life), Some(4));
        assert_eq!(superseded.since_ms(5_000, NodeId(2), life), None);
        for later in 0..LIVES_MAX as u64 {
            superseded.note(6_000, node, Incarnation(10 + later));
        }
        assert_eq!(superseded.since_ms(7_000, node, life), None);
        assert_eq!(superseded.since_ms(7_000, node, Incarnation(10)), Some(1));
    }

    #[test]
    fn an_absence_is_long_if_all_who_can_say_so_have_done_without_the_process_for_long() {
        let cases: [(&[Option<u64>], Option<bool>); 6] = [
            (&[], None),
            (&[None], Some(false)),
            (&[Some(499)], Some(false)),
            (&[Some(500)], Some(true)),
            (&[None, Some(700)], Some(true)),
            (&[Some(700), Some(20)], Some(false)),
        ];
        for (answers, long) in cases {
            let mut absence = Absence::default();
            answers.iter().for_each(|answer| absence.hear(*answer));
            assert_eq!((absence.is_known(), absence.is_long(100)), (long.is_some(), long));
        }
    }

    #[test]
    fn who_is_behind_another_process_of_its_life_may_have_been_out_for_long() {
        for (is_behind, answer) in [(false, None), (true, None), (true, Some(0))] {
            let mut absence = Absence::default();
            absence.note_one_life(is_behind);
            assert_eq!(absence.is_long(100), None, "another node has to be there");
            absence.note_one_life(false);
            absence.hear(answer);
            assert_eq!(absence.is_long(100), Some(is_behind), "what was found first counts");
        }
    }

    #[test]
    fn who_was_started_again_goes_by_what_was_found_before_and_by_the_worst_if_nothing_was() {
        for (found, long) in [(None, true), (Some(true), true), (Some(false), false)] {
            for answer in [None, Some(0), Some(9_000)] {
                let mut absence = Absence::judged(found);
                assert!(!absence.is_known(), "another node has to be there");
                absence.hear(answer);
                assert_eq!((absence.is_known(), absence.is_long(100)), (true, Some(long)));
            }
        }
    }
}
