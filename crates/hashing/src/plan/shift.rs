//! The shift of tokens from nodes that hold too many to nodes that hold too few, at the places that suit best.
//!
//! Invariant: a token moves only from a placement with too many to one with too few, so every pass brings the counts
//! nearer to the targets and none is moved twice.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

use super::draft::{ChangeEffect, Draft};

/// Number of takers that are looked at for a place: those that are due first, and as many of its zone.
const TAKERS_MAX: usize = 16;

/// Rules of one pass around the ring.
#[derive(Debug, Clone, Copy)]
struct Pass {
    /// Whether only vacant placements give, which have to give up every place they hold.
    vacant: bool,
    /// Whether each placement gives at even distances around the ring.
    paced: bool,
    /// Whether tokens move only where walks meet neither node nor zone twice.
    apart: bool,
    /// Most copies that may move to others than the taker, for each token.
    wasted_max: i64,
}

/// Tokens still to be given and taken.
pub(crate) struct Shift<'a> {
    draft: &'a mut Draft,
    /// Number of nodes of the new ring: placements from this one on are vacant.
    vacant_from: u16,
    /// Number of tokens that each placement holds beyond its target.
    excess: Vec<i64>,
    /// Number of tokens that each placement lacked when the shift began.
    lacked: Vec<u64>,
    /// Placements that lack tokens, those first whose turn is next.
    due: BTreeSet<(u64, u16)>,
    /// Placements that lack tokens, by zone and turn.
    due_in_zone: BTreeSet<(u16, u64, u16)>,
    /// Places that changed hands.
    moved: Vec<usize>,
}

/// Moves tokens until every placement holds its target; returns the places that changed hands.
///
/// `targets` are for all placements, 0 for vacant placements, and add up to the places.
pub(crate) fn shift(draft: &mut Draft, targets: &[u64], vacant_from: u16) -> Vec<usize> {
    let mut excess: Vec<i64> = targets.iter().map(|target| -(*target as i64)).collect();
    (0..draft.places()).for_each(|place| excess[usize::from(draft.holder(place))] += 1);
    let n = draft.limit() as i64;
    let lacked = excess.iter().map(|excess| excess.min(&0).unsigned_abs()).collect();
    let (due, due_in_zone, moved) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut shift = Shift { draft, vacant_from, excess, lacked, due, due_in_zone, moved };
    (0..targets.len()).for_each(|placement| shift.queue(placement as u16));
    let strict = Pass { vacant: false, paced: false, apart: true, wasted_max: 0 };
    let loose = Pass { apart: false, ..strict };
    shift.space_out();
    for pass in [
        Pass { vacant: true, ..strict },
        Pass { paced: true, ..strict },
        strict,
        Pass { paced: true, ..loose },
        loose,
        Pass { wasted_max: n / 2, ..loose },
        Pass { wasted_max: n, ..loose },
    ] {
        if !shift.draft.is_laborious() {
            shift.pass(pass);
        }
    }
    shift.pass(Pass { wasted_max: i64::MAX, ..loose });
    shift.moved
}

impl Shift<'_> {
    /// Goes once around the ring, and moves tokens by the rules of the pass.
    fn pass(&mut self, pass: Pass) {
        let placements = self.excess.len();
        let mut holds = alloc::vec![0_u64; placements];
        (0..self.draft.places()).for_each(|at| holds[usize::from(self.draft.holder(at))] += 1);
        let gives: Vec<u64> = self.excess.iter().map(|excess| (*excess).max(0) as u64).collect();
        let (mut met, mut given) = (alloc::vec![0_u64; placements], alloc::vec![0_u64; placements]);
        for place in 0..self.draft.places() {
            if self.due.is_empty() {
                return;
            }
            let holder = usize::from(self.draft.holder(place));
            let is_vacant = holder >= usize::from(self.vacant_from);
            if self.excess[holder] <= 0 || pass.vacant && !is_vacant {
                continue;
            }
            met[holder] += 1;
            let begin = xxh3_64(&(holder as u64).to_le_bytes()) % holds[holder];
            let early = given[holder] * holds[holder] + begin >= met[holder] * gives[holder];
            if pass.paced && !is_vacant && early {
                continue;
            }
            if let Some(taker) = self.taker(place, pass) {
                given[holder] += 1;
                self.give(place, taker);
            }
        }
    }

    /// Returns the taker of the place: the first in turn where nodes stay apart, else the one that moves least.
    fn taker(&mut self, place: usize, pass: Pass) -> Option<(u64, u16)> {
        let zone = self.draft.zone(self.draft.holder(place));
        let takers_max = if self.draft.is_laborious() { 1 } else { TAKERS_MAX };
        let first = self.due.iter().take(takers_max).copied();
        let takers: Vec<(u64, u16)> = first.chain(self.in_zone(zone).take(takers_max)).collect();
        let mut best: Option<(ChangeEffect, (u64, u16))> = None;
        for taker in takers {
            if pass.apart && self.draft.clashes(place, taker.1) {
                continue;
            }
            let change = self.draft.weigh(place, taker.1);
            if change.wasted > pass.wasted_max {
                continue;
            }
            if pass.apart {
                return Some(taker);
            }
            let cost = |change: &ChangeEffect| (change.wasted, change.strain);
            if best.as_ref().is_none_or(|(least, _)| cost(&change) < cost(least)) {
                best = Some((change, taker));
            }
        }
        best.map(|(_, taker)| taker)
    }

    fn in_zone(&self, zone: u16) -> impl Iterator<Item = (u64, u16)> {
        let of_zone = self.due_in_zone.range((zone, 0, 0)..=(zone, u64::MAX, u16::MAX));
        of_zone.map(|(_, turn, placement)| (*turn, *placement))
    }

    /// Gives zones that lack so much that they need a place in almost every list their places at even
    /// distances: taken as it comes, the last ones would find no list without their zone.
    fn space_out(&mut self) {
        let places = self.draft.places();
        let mut lack = alloc::vec![0; self.excess.len()];
        for (placement, lacked) in self.lacked.iter().enumerate() {
            lack[usize::from(self.draft.zone(placement as u16))] += *lacked as usize;
        }
        let needs_room = |zone: &usize| 10 * lack[*zone] * self.draft.limit() > 9 * places;
        let zones: Vec<usize> = (0..lack.len()).filter(needs_room).collect();
        let mut given = alloc::vec![0; lack.len()];
        for place in 0..places {
            for (turn, zone) in zones.iter().enumerate() {
                let holder = usize::from(self.draft.holder(place));
                let phase = places * turn / zones.len();
                let is_due = given[*zone] * places + phase <= place * lack[*zone];
                if self.excess[holder] <= 0 || !is_due {
                    continue;
                }
                let mut takers = self.in_zone(*zone as u16).take(TAKERS_MAX);
                let taker = takers.find(|(_, placement)| !self.draft.clashes(place, *placement));
                drop(takers);
                if let Some(taker) = taker {
                    given[*zone] += 1;
                    self.give(place, taker);
                }
            }
        }
    }

    fn give(&mut self, place: usize, (turn, taker): (u64, u16)) {
        self.due.remove(&(turn, taker));
        self.due_in_zone.remove(&(self.draft.zone(taker), turn, taker));
        self.excess[usize::from(self.draft.holder(place))] -= 1;
        self.excess[usize::from(taker)] += 1;
        self.draft.put(place, taker);
        self.moved.push(place);
        self.queue(taker);
    }

    /// Queues a placement that lacks tokens. If it lacks c, its turns are a c-th of the whole apart, so that
    /// takers alternate.
    fn queue(&mut self, placement: u16) {
        let index = usize::from(placement);
        if self.excess[index] < 0 {
            let got = self.lacked[index] - self.excess[index].unsigned_abs();
            let turn = ((2 * got + 1) << 32) / self.lacked[index];
            self.due.insert((turn, placement));
            self.due_in_zone.insert((self.draft.zone(placement), turn, placement));
        }
    }
}
