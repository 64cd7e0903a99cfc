//! A ring in the making: the holder of each place, and what a change of one place does to the lists.
//!
//! Invariant: `lists`, `spans` and `gained` describe the present holders. A placement is a node's index in
//! the new ring; placements past its nodes are vacant, and are to give up all they hold.

use alloc::vec;
use alloc::vec::Vec;

/// Most places that a walk looks at where the weights leave a zone so few that it would look at more: lists
/// end there, and what lies beyond is not weighed.
const REACH_MAX: usize = 256;

/// Number of places that are looked at for each place before a plan is ended simply. In all, [`LOOKED_MAX`]
/// are a fraction of a second's work.
const LOOKED_PER_PLACE: u64 = 1 << 10;
const LOOKED_MAX: u64 = 1 << 22;

/// Effect of putting a node on a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ChangeEffect {
    /// Number of copies that get a new owner by the change, less those that no longer do.
    pub(crate) moved: i64,
    /// Number of `moved` copies that do not go to the node itself.
    pub(crate) wasted: i64,
    /// Loss of evenness of the copies, in the unit of [`strain`].
    pub(crate) strain: i64,
}

/// Ring in force and goals that a draft starts from.
pub(crate) struct DraftInput {
    /// Placement on each place; the number of places is a power of two.
    pub(crate) holders: Vec<u16>,
    /// Zone of each placement, vacant ones included.
    pub(crate) zones: Vec<u16>,
    /// Owners of each place under the ring in force.
    pub(crate) owners: Vec<Vec<u16>>,
    /// Number of copies that each placement should hold.
    pub(crate) goals: Vec<u64>,
    /// Number of nodes in a list.
    pub(crate) limit: usize,
    /// Number of nodes at the head of a list that are in distinct zones.
    pub(crate) spread: usize,
}

/// Holders of all places, with the lists that follow from them kept up to date.
pub(crate) struct Draft {
    input: DraftInput,
    reach: usize,
    lists: Vec<Vec<u16>>,
    /// Number of places that each list's walk looked at.
    spans: Vec<usize>,
    /// Number of nodes in each list that were not among the owners.
    gained: Vec<usize>,
    /// Number of copies that each placement holds.
    copies: Vec<i64>,
    /// Number of places that all walks looked at.
    looked: u64,
    others: Vec<u16>,
    /// Buffers kept for the next change, so that weighing one allocates nothing.
    spare: (Vec<u16>, Vec<CopyShift>),
}

/// Placement, the copies it held before a change, and how many more it holds after it.
type CopyShift = (u16, i64, i64);

/// Returns how far a placement is from its goal. A copy counts for more the further it is and the less the
/// placement should hold.
fn strain(copies: i64, goal: u64) -> i64 {
    let goal = goal as i64;
    (copies - goal).pow(2) * 1024 / goal.max(1)
}

impl Draft {
    pub(crate) fn new(input: DraftInput) -> Self {
        let places = input.holders.len();
        let room = ((1 << 16) / places).min(REACH_MAX).max(8 * input.limit);
        let mut draft = Self {
            reach: room.min(places),
            lists: vec![Vec::new(); places],
            spans: vec![0; places],
            gained: vec![0; places],
            copies: vec![0; input.zones.len()],
            looked: 0,
            others: Vec::new(),
            spare: (Vec::new(), Vec::new()),
            input,
        };
        for place in 0..places {
            let mut list = Vec::with_capacity(draft.input.limit);
            draft.spans[place] = draft.walk(place, &mut list);
            draft.gained[place] = draft.count_gained(place, &list);
            list.iter().for_each(|placement| draft.copies[usize::from(*placement)] += 1);
            draft.lists[place] = list;
        }
        draft
    }

    pub(crate) fn places(&self) -> usize {
        self.input.holders.len()
    }

    pub(crate) fn holder(&self, place: usize) -> u16 {
        self.input.holders[place]
    }

    pub(crate) fn zone(&self, placement: u16) -> u16 {
        self.input.zones[usize::from(placement)]
    }

    pub(crate) fn limit(&self) -> usize {
        self.input.limit
    }

    /// Returns whether weighing changes has taken so long that the plan has to be ended simply: the weights
    /// leave so little choice that lists reach far, and much is tried in vain.
    pub(crate) fn is_laborious(&self) -> bool {
        self.looked > LOOKED_MAX.min(LOOKED_PER_PLACE * self.places() as u64)
    }

    /// Returns the number of copies that have a new owner.
    pub(crate) fn moved(&self) -> usize {
        self.gained.iter().sum()
    }

    /// Returns how many copies the placement holds beyond its goal.
    pub(crate) fn excess(&self, placement: u16) -> i64 {
        self.copies[usize::from(placement)] - self.goal(placement)
    }

    pub(crate) fn goal(&self, placement: u16) -> i64 {
        self.input.goals[usize::from(placement)] as i64
    }

    pub(crate) fn into_holders(self) -> Vec<u16> {
        self.input.holders
    }

    /// Returns whether a walk that meets `placement` on `place` may have met it, or its zone, just before or
    /// may do so just after.
    pub(crate) fn clashes(&self, place: usize, placement: u16) -> bool {
        let apart = self.input.limit.min(self.places());
        let by_zone = self.input.spread == self.input.limit;
        let alike = |other: usize| {
            let other = self.holder(other % self.places());
            other == placement || by_zone && self.zone(other) == self.zone(placement)
        };
        (1..apart).any(|step| alike(place + step) || alike(place + self.places() - step))
    }

    /// Returns the effect that [`Self::put`] would have, without changing anything.
    pub(crate) fn weigh(&mut self, place: usize, placement: u16) -> ChangeEffect {
        let before = core::mem::replace(&mut self.input.holders[place], placement);
        let change = self.follow(place, placement, |_, _, _, _| ());
        self.input.holders[place] = before;
        change
    }

    /// Puts a node on a place and returns the effect.
    pub(crate) fn put(&mut self, place: usize, placement: u16) -> ChangeEffect {
        self.input.holders[place] = placement;
        self.follow(place, placement, |draft, at, span, list| {
            draft.spans[at] = span;
            draft.gained[at] = draft.count_gained(at, list);
            core::mem::swap(&mut draft.lists[at], list);
            list.iter().for_each(|placement| draft.copies[usize::from(*placement)] -= 1);
            draft.lists[at].iter().for_each(|placement| draft.copies[usize::from(*placement)] += 1);
        })
    }

    /// Walks anew from every place whose walk meets `place`, before the change or after it. These are
    /// neighbours: a walk that begins earlier ends no later.
    fn follow(
        &mut self,
        place: usize,
        placement: u16,
        mut keep: impl FnMut(&mut Self, usize, usize, &mut Vec<u16>),
    ) -> ChangeEffect {
        let (mut list, mut shifts) = core::mem::take(&mut self.spare);
        shifts.clear();
        let mut change = ChangeEffect::default();
        for back in 0..self.places() {
            let at = (place + self.places() - back) % self.places();
            list.clear();
            let span = self.walk(at, &mut list);
            if back >= span.max(self.spans[at]) {
                break;
            }
            let own = |list: &[u16]| {
                i64::from(list.contains(&placement) && !self.input.owners[at].contains(&placement))
            };
            let moved = self.count_gained(at, &list) as i64 - self.gained[at] as i64;
            change.moved += moved;
            change.wasted += moved - own(&list) + own(&self.lists[at]);
            self.note(&mut shifts, &self.lists[at], -1);
            self.note(&mut shifts, &list, 1);
            keep(self, at, span, &mut list);
        }
        for (placement, before, by) in &shifts {
            let goal = self.input.goals[usize::from(*placement)];
            change.strain += strain(before + by, goal) - strain(*before, goal);
        }
        self.spare = (list, shifts);
        change
    }

    /// Adds a list's members to the copies that change hands: a placement, what it held, and the sum.
    fn note(&self, shifts: &mut Vec<CopyShift>, list: &[u16], by: i64) {
        for placement in list {
            match shifts.iter_mut().find(|(noted, ..)| noted == placement) {
                Some((_, _, sum)) => *sum += by,
                None => shifts.push((*placement, self.copies[usize::from(*placement)], by)),
            }
        }
    }

    fn count_gained(&self, place: usize, list: &[u16]) -> usize {
        list.iter().filter(|placement| !self.input.owners[place].contains(placement)).count()
    }

    /// Walks by the rule of [`crate::Preferences`], within reach; returns how many places it looked at.
    fn walk(&mut self, from: usize, list: &mut Vec<u16>) -> usize {
        let DraftInput { holders, zones, limit, spread, .. } = &self.input;
        let zone = |placement: &u16| zones[usize::from(*placement)];
        self.others.clear();
        let mut span = 0;
        while span < self.reach && (list.len() < *spread || list.len() + self.others.len() < *limit)
        {
            let placement = holders[(from + span) % holders.len()];
            span += 1;
            if list.contains(&placement) || self.others.contains(&placement) {
                continue;
            }
            if list.iter().all(|listed| zone(listed) != zone(&placement)) {
                list.push(placement);
            } else if self.others.len() < *limit {
                self.others.push(placement);
            }
        }
        self.looked += span as u64;
        list.extend(&self.others);
        list.truncate(*limit);
        span
    }
}
