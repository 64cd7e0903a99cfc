//! A ring in the making: who sits on each place, and what a change of one place does to the lists.
//!
//! Invariant: `lists`, `spans` and `gained` describe the present holders. A placement is a node's index in
//! the new ring; placements past its nodes are vacant, which are to give up all they hold.

use alloc::vec;
use alloc::vec::Vec;

/// The most places that a walk looks at where the weights leave a zone so few that it would look at
/// more: lists end there, and what lies beyond is not weighed.
const REACH_MAX: usize = 256;

/// How many places are looked at before a plan is ended simply: so many for each place, and in all a
/// fraction of a second's work.
const LOOKED_PER_PLACE: u64 = 1 << 10;
const LOOKED_MAX: u64 = 1 << 22;

/// What putting a node on a place does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ChangeEffect {
    /// Copies that get a new owner by it, less those that no longer do.
    pub(crate) moved: i64,
    /// Those of `moved` that do not go to the node itself.
    pub(crate) wasted: i64,
    /// By how much the copies get less even, in the unit of [`strain`].
    pub(crate) strain: i64,
}

/// What a draft is made of.
pub(crate) struct DraftInput {
    /// The placement on each place; a power of two of them.
    pub(crate) holders: Vec<u16>,
    /// Each placement's zone, vacant ones included.
    pub(crate) zones: Vec<u16>,
    /// Each place's owners under the ring that is in force.
    pub(crate) owners: Vec<Vec<u16>>,
    /// How many copies each placement should hold.
    pub(crate) goals: Vec<u64>,
    /// How many nodes a list holds.
    pub(crate) limit: usize,
    /// How many of them, the first ones, are in distinct zones.
    pub(crate) spread: usize,
}

/// The holders, with the lists that follow from them kept up to date.
pub(crate) struct Draft {
    input: DraftInput,
    reach: usize,
    lists: Vec<Vec<u16>>,
    /// How many places each list's walk looked at.
    spans: Vec<usize>,
    /// How many of each list were not among the owners.
    gained: Vec<usize>,
    /// How many copies each placement holds.
    copies: Vec<i64>,
    /// How many places all walks looked at.
    looked: u64,
    others: Vec<u16>,
    /// Kept for the next change, so that weighing one allocates nothing.
    spare: (Vec<u16>, Vec<CopyShift>),
}

/// A placement, what it held before a change, and how much more it holds after it.
type CopyShift = (u16, i64, i64);

/// How far a placement is from its goal, such that a copy counts for more the further it is and the less
/// the placement should hold.
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

    /// Whether weighing changes has taken so long that the plan has to be ended simply: the weights
    /// leave so little choice that lists reach far, and much is tried in vain.
    pub(crate) fn is_laborious(&self) -> bool {
        self.looked > LOOKED_MAX.min(LOOKED_PER_PLACE * self.places() as u64)
    }

    /// The copies that have a new owner.
    pub(crate) fn moved(&self) -> usize {
        self.gained.iter().sum()
    }

    /// How many copies the placement holds beyond its goal.
    pub(crate) fn excess(&self, placement: u16) -> i64 {
        self.copies[usize::from(placement)] - self.goal(placement)
    }

    pub(crate) fn goal(&self, placement: u16) -> i64 {
        self.input.goals[usize::from(placement)] as i64
    }

    pub(crate) fn into_holders(self) -> Vec<u16> {
        self.input.holders
    }

    /// Whether a walk that meets `placement` on `place` may have met it, or its zone, just before or may
    /// do so just after.
    pub(crate) fn clashes(&self, place: usize, placement: u16) -> bool {
        let apart = self.input.limit.min(self.places());
        let by_zone = self.input.spread == self.input.limit;
        let alike = |other: usize| {
            let other = self.holder(other % self.places());
            other == placement || by_zone && self.zone(other) == self.zone(placement)
        };
        (1..apart).any(|step| alike(place + step) || alike(place + self.places() - step))
    }

    /// What [`Self::put`] would do.
    pub(crate) fn weigh(&mut self, place: usize, placement: u16) -> ChangeEffect {
        let before = core::mem::replace(&mut self.input.holders[place], placement);
        let change = self.follow(place, placement, |_, _, _, _| ());
        self.input.holders[place] = before;
        change
    }

    /// Puts a node on a place.
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

    /// Walks anew from every place whose walk meets `place`, before the change or after it. Those
    /// are neighbours: a walk that begins earlier ends no later.
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

    /// The rule of [`crate::Preferences`], within reach; tells how many places it looked at.
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
