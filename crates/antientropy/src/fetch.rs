//! Runs of neighbouring leaves in which this node held nothing: the peer's records of them, page by page.
//!
//! Invariant: at most [`PAGES_AT_ONCE`] pages of all runs are asked for or not yet merged, the pages of a
//! run are asked for in order, and a run ends only when all its pages are merged.

use alloc::collections::{BTreeMap, VecDeque};

use jedlik_protocol::client::ScanMark;

use crate::span::Nonsense;
use crate::walk::Run;

/// Most pages of records that are asked for or not yet merged, at any time: while one is merged and synced
/// the next is on its way, and no more than two have to be kept in memory.
pub const PAGES_AT_ONCE: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchStage {
    /// The next page may be asked for.
    Due,
    /// The next page has been asked for.
    Asked,
    /// The last page has come.
    Ended,
}

/// Run of neighbouring leaves that is being fetched.
#[derive(Debug)]
struct Fetch {
    last_leaf: u16,
    stage: FetchStage,
    after: Option<ScanMark>,
    unmerged: usize,
}

/// Runs of leaves that are fetched, or wait to be.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    waiting: VecDeque<Run>,
    /// Runs that were begun, by their first leaf.
    open: BTreeMap<u16, Fetch>,
}

impl Fetches {
    /// Adds a run, to be fetched after those before it.
    pub(crate) fn add(&mut self, run: Run) {
        self.waiting.push_back(run);
    }

    /// Returns the run of the next page and the key after which it begins, if there is room for it; it counts
    /// as asked for then. Runs that were begun go first, so that few are open.
    pub(crate) fn ask(&mut self) -> Option<(Run, Option<ScanMark>)> {
        if self.under_way() >= PAGES_AT_ONCE {
            return None;
        }
        let due = self.open.iter_mut().find(|(_, fetch)| fetch.stage == FetchStage::Due);
        if let Some((first_leaf, fetch)) = due {
            fetch.stage = FetchStage::Asked;
            return Some(((*first_leaf, fetch.last_leaf), fetch.after.clone()));
        }
        let run = self.waiting.pop_front()?;
        let fetch = Fetch { last_leaf: run.1, stage: FetchStage::Asked, after: None, unmerged: 0 };
        self.open.insert(run.0, fetch);
        Some((run, None))
    }

    /// Takes a page that was asked for, which reaches `until`; `None` for the end of the run.
    pub(crate) fn take(
        &mut self,
        first_leaf: u16,
        until: Option<ScanMark>,
    ) -> Option<Result<(), Nonsense>> {
        let fetch =
            self.open.get_mut(&first_leaf).filter(|fetch| fetch.stage == FetchStage::Asked)?;
        // A page that leads nowhere would be asked for without end.
        if until.is_some() && until <= fetch.after {
            return Some(Err(Nonsense));
        }
        fetch.stage = if until.is_some() { FetchStage::Due } else { FetchStage::Ended };
        fetch.after = until;
        fetch.unmerged += 1;
        Some(Ok(()))
    }

    /// Notes that one of a run's pages is merged; returns false if all were.
    pub(crate) fn end_page(&mut self, first_leaf: u16) -> bool {
        let Some(fetch) = self.open.get_mut(&first_leaf).filter(|fetch| fetch.unmerged > 0) else {
            return false;
        };
        fetch.unmerged -= 1;
        if fetch.unmerged == 0 && fetch.stage == FetchStage::Ended {
            self.open.remove(&first_leaf);
        }
        true
    }

    /// Returns how many pages are asked for or not yet merged.
    pub(crate) fn under_way(&self) -> usize {
        let pages = |fetch: &Fetch| fetch.unmerged + usize::from(fetch.stage == FetchStage::Asked);
        self.open.values().map(pages).sum()
    }

    /// Returns whether no run waits and none is open.
    pub(crate) fn all_ended(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }
}
