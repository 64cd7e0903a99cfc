//! When to hold the background at the floor for a second, to see the foreground undisturbed.
//!
//! Invariant: at least half a minute lies between two looks, so they cost a thirtieth of the work.

use super::foreground::Judgement;

/// Number of reviews beside clients without a calm one after which it looks.
const REVIEWS_MOST: u32 = 60;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Working,
    /// Work begun at the old pace comes to its end. Afterwards the pace is this one, in steps a second.
    Settling(u32),
    /// Requests are seen undisturbed. Afterwards the pace is this one, in steps a second.
    Looking(u32),
}

/// State of the looks at an undisturbed foreground.
#[derive(Debug, Default)]
pub(crate) struct Look {
    phase: Phase,
    turned: bool,
    /// Number of reviews since the last calm one.
    reviews: u32,
}

impl Look {
    /// Returns whether the last review began or ended something: latencies from before tell nothing then.
    pub(crate) fn has_turned(&self) -> bool {
        self.turned
    }

    /// Returns the pace from now on: `wanted_per_s` if there is no reason to look, `None` for the floor.
    pub(crate) fn review(
        &mut self,
        judgement: Judgement,
        calm: bool,
        wanted_per_s: u32,
    ) -> Option<u32> {
        self.reviews = if calm { 0 } else { self.reviews.saturating_add(1) };
        let clients = matches!(judgement, Judgement::Fine | Judgement::Slow);
        let due = judgement == Judgement::Unlearnt || clients && self.reviews >= REVIEWS_MOST;
        let (phase, pace_per_s) = match self.phase {
            Phase::Working if due => (Phase::Settling(wanted_per_s), None),
            Phase::Working => (Phase::Working, Some(wanted_per_s)),
            Phase::Settling(after_per_s) => (Phase::Looking(after_per_s), None),
            // Until there is enough to be seen.
            Phase::Looking(_) if judgement == Judgement::TooEarly => (self.phase, None),
            Phase::Looking(after_per_s) => (Phase::Working, Some(after_per_s)),
        };
        self.turned = phase != self.phase;
        self.phase = phase;
        pace_per_s
    }
}
