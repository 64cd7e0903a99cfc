//! Requests that a door has answered, by kind and outcome, with the times that the answers took.
//!
//! Invariant: counting takes no lock, and no memory but what there is from the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jedlik_histogram::SharedTimesUs;

use crate::RequestMeasures;

/// Kind of a request, by what its client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reading of one key.
    Get,
    /// Writing of one key.
    Put,
    /// Deletion of one key.
    Delete,
    /// Listing of keys or buckets.
    List,
    /// Any other kind of request.
    Other,
}

impl Kind {
    /// Every kind with its name in metrics, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Get, "get"),
        (Self::Put, "put"),
        (Self::Delete, "delete"),
        (Self::List, "list"),
        (Self::Other, "other"),
    ];
}

/// Counts of the requests that a door has answered.
#[derive(Debug, Default)]
pub struct Calls {
    kinds: [Counts; Kind::ALL.len()],
}

#[derive(Debug, Default)]
struct Counts {
    carried_out: AtomicU64,
    refused: AtomicU64,
    times_us: SharedTimesUs,
}

impl Calls {
    /// Counts a request that was answered after so long: carried out, or refused with an error.
    pub fn answered(&self, kind: Kind, refused: bool, took: Duration) {
        let counts = &self.kinds[kind as usize];
        let counter = if refused { &counts.refused } else { &counts.carried_out };
        counter.fetch_add(1, Ordering::Relaxed);
        counts.times_us.add(took.as_micros() as u64);
    }

    /// Returns what was counted, without what never happened.
    pub fn read(&self) -> Vec<RequestMeasures> {
        let read = |((_, kind), counts): (&(Kind, &'static str), &Counts)| {
            let outcomes = [("ok", &counts.carried_out), ("error", &counts.refused)];
            let outcomes = outcomes.map(|(name, count)| (name, count.load(Ordering::Relaxed)));
            let outcomes: Vec<_> = outcomes.into_iter().filter(|(_, count)| *count > 0).collect();
            let times_us = counts.times_us.read();
            (!outcomes.is_empty()).then_some(RequestMeasures { kind, outcomes, times_us })
        };
        Kind::ALL.iter().zip(&self.kinds).filter_map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Calls, Kind};

    #[test]
    fn requests_are_counted_by_kind_and_outcome() {
        for (index, (kind, _)) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
        let calls = Calls::default();
        assert!(calls.read().is_empty());
        for refused in [false, true, false] {
            calls.answered(Kind::Put, refused, Duration::from_micros(100));
        }
        let read = calls.read();
        assert_eq!(read.len(), 1, "{read:?}");
        assert_eq!((read[0].kind, &read[0].outcomes[..]), ("put", &[("ok", 2), ("error", 1)][..]));
        assert_eq!(read[0].times_us.count(), 3);
    }
}
