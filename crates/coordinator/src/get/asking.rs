//! Whom a get asks: R at first, one more at a time where that takes longer than usual, or all.

use super::candidates::State;
use super::{Get, GetOutput};

impl Get {
    /// Keeps as many nodes asked as are needed; this node alone first, for its record's digest.
    pub(super) fn ask_enough(&mut self) {
        let found = self.found();
        while self.candidates.in_use(found) < self.wanted()
            && !self.waits_for_local()
            && self.ask_next()
        {}
    }

    /// Returns how many answers are wanted at least.
    fn wanted(&self) -> usize {
        usize::from(self.plan.needs.answers.max(self.plan.needs.primaries))
    }

    /// Asks more candidates, since the first are slow. Returns whether there were any.
    pub(super) fn hedge(&mut self, ask: impl Fn(&mut Self) -> bool) -> bool {
        let hedged = ask(self);
        if hedged {
            self.outputs.push_back(GetOutput::Hedged);
        }
        hedged
    }

    /// Asks every candidate that was not asked yet. Returns whether there were any.
    pub(super) fn ask_all(&mut self) -> bool {
        let asked = self.ask_next();
        while self.ask_next() {}
        asked
    }

    /// Asks one candidate more; or R others, where this node's own record is what takes so long. Returns whether there
    /// were any.
    pub(super) fn ask_more(&mut self) -> bool {
        let asked = self.ask_next();
        while self.waits_for_local()
            && self.candidates.in_use(self.found()) <= self.wanted()
            && self.ask_next()
        {}
        asked
    }

    /// Asks the next candidate that was not asked yet. Returns whether there was one.
    fn ask_next(&mut self) -> bool {
        let Some(next) = self.candidates.next_idle() else { return false };
        self.ask(next);
        true
    }

    fn ask(&mut self, index: usize) {
        let known = self.merged.digest();
        let node = self.candidates.ask(index, known);
        self.outputs.push_back(if node == self.plan.me {
            GetOutput::ReadLocal
        } else {
            GetOutput::Read { node, known }
        });
    }

    fn waits_for_local(&self) -> bool {
        matches!(self.candidates.state(self.plan.me), Some(State::Asked { .. }))
    }
}
