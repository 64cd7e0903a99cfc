//! Troubles that repeat: what to log of them, so that none fills a log.
//!
//! Invariant: a trouble gets one line when it begins, at most one a minute while it goes on, with how often it
//! happened meanwhile, and one when it is over. Pure: the caller passes its monotonic clock, and writes the
//! lines.
//!
//! Where a success ends the trouble (saves), call [`Trouble::over`]; where one may stand beside failures (writes),
//! [`Trouble::works`], and [`Trouble::quiet`] now and then, for the case that nothing comes after the success; where only
//! quiet ends it (refused handshakes), [`Trouble::quiet`] alone. [`Troubles`] keeps one for each key, up to a limit, and
//! one for all others.
//!
//! ```ignore
//! match self.saves.happened(now.mono_us) {
//!     Some(Report::Began) => warn!(%error, "the state can't be saved"),
//!     Some(Report::Continues { times }) => warn!(%error, times, "the state still can't be saved"),
//!     Some(Report::Over { .. }) | None => {}
//! }
//! ```

#![no_std]
extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Time between two lines about one trouble that goes on, in microseconds.
const REMIND_US: u64 = 60_000_000;
/// Time after which a trouble that has not happened again is over, in microseconds.
const QUIET_US: u64 = 60_000_000;
/// Time after which a success ends a trouble that has not happened again, in microseconds: where some of what is tried
/// fails and some does not, each success would end it.
const SETTLED_US: u64 = 10_000_000;
/// Number of keys that [`Troubles`] tells apart.
const KEYS_MAX: usize = 32;

/// Line that is to be logged of a trouble now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The trouble happened for the first time.
    Began,
    /// The trouble still goes on.
    Continues {
        /// Number of times that it happened since the last line.
        times: u64,
    },
    /// The trouble does not happen any more.
    Over {
        /// Number of times that it happened in all.
        times: u64,
        /// Time from the first occurrence to the last, in seconds.
        lasted_s: u64,
    },
}

/// Trouble that may go on, with what was logged of it.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    running: Option<Running>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    since_us: u64,
    last_us: u64,
    logged_us: u64,
    unlogged: u64,
    times: u64,
    /// Whether something of the kind has worked since.
    has_worked: bool,
}

impl Trouble {
    /// Notes that the trouble has happened once more. Returns what is to be logged.
    pub fn happened(&mut self, now_us: u64) -> Option<Report> {
        let Some(running) = &mut self.running else {
            self.running = Some(Running {
                since_us: now_us,
                last_us: now_us,
                logged_us: now_us,
                unlogged: 0,
                times: 1,
                has_worked: false,
            });
            return Some(Report::Began);
        };
        running.last_us = now_us;
        running.times += 1;
        running.has_worked = false;
        running.unlogged += 1;
        if now_us < running.logged_us + REMIND_US {
            return None;
        }
        running.logged_us = now_us;
        Some(Report::Continues { times: core::mem::take(&mut running.unlogged) })
    }

    /// Ends the trouble, since what failed works again.
    pub fn over(&mut self) -> Option<Report> {
        let Running { since_us, last_us, times, .. } = self.running.take()?;
        Some(Report::Over { times, lasted_s: (last_us - since_us) / 1_000_000 })
    }

    /// Notes that something of the kind has worked: ends the trouble if it has not happened for a while.
    pub fn works(&mut self, now_us: u64) -> Option<Report> {
        self.running.as_mut()?.has_worked = true;
        self.quiet(now_us)
    }

    /// Ends the trouble if it has not happened for a minute, or for a while in which something of the kind has worked.
    pub fn quiet(&mut self, now_us: u64) -> Option<Report> {
        let Running { last_us, has_worked, .. } = self.running?;
        let wait_us = if has_worked { SETTLED_US } else { QUIET_US };
        if now_us >= last_us.saturating_add(wait_us) { self.over() } else { None }
    }
}

/// Troubles of one kind with several others, such as the addresses that they come from.
#[derive(Debug)]
pub struct Troubles<K> {
    by_key: BTreeMap<K, Trouble>,
    /// Trouble of all keys past the limit together.
    others: Trouble,
}

impl<K> Default for Troubles<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), others: Trouble::default() }
    }
}

impl<K: Ord + Clone> Troubles<K> {
    /// Notes that the trouble has happened once more with `key`. `None` as the key of a report stands for all those
    /// that are not told apart.
    pub fn happened(&mut self, now_us: u64, key: &K) -> Option<(Option<K>, Report)> {
        if let Some(trouble) = self.by_key.get_mut(key) {
            return trouble.happened(now_us).map(|report| (Some(key.clone()), report));
        }
        if self.by_key.len() >= KEYS_MAX {
            return self.others.happened(now_us).map(|report| (None, report));
        }
        let report = self.by_key.entry(key.clone()).or_default().happened(now_us);
        report.map(|report| (Some(key.clone()), report))
    }

    /// Ends every trouble that has not happened for a minute.
    pub fn quiet(&mut self, now_us: u64) -> Vec<(Option<K>, Report)> {
        let mut ended = Vec::new();
        self.by_key.retain(|key, trouble| {
            let report = trouble.quiet(now_us);
            ended.extend(report.map(|report| (Some(key.clone()), report)));
            report.is_none()
        });
        ended.extend(self.others.quiet(now_us).map(|report| (None, report)));
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::{KEYS_MAX, Report, Trouble, Troubles};

    const S: u64 = 1_000_000;

    #[test]
    fn a_trouble_is_told_when_it_begins_each_minute_with_a_count_and_when_it_is_over() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.over(), None, "there was none");
        assert_eq!(trouble.happened(5 * S), Some(Report::Began));
        for second in 6..65 {
            assert_eq!(trouble.happened(second * S), None, "at {second}");
        }
        assert_eq!(trouble.happened(65 * S), Some(Report::Continues { times: 60 }));
        assert_eq!(trouble.happened(66 * S), None);
        assert_eq!(trouble.over(), Some(Report::Over { times: 62, lasted_s: 61 }));
        assert_eq!(trouble.over(), None);
        assert_eq!(trouble.happened(70 * S), Some(Report::Began), "it begins anew");
    }

    #[test]
    fn what_works_beside_what_fails_ends_no_trouble() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.works(S), None, "there was none");
        assert_eq!(trouble.happened(S), Some(Report::Began));
        for second in 1..50 {
            assert_eq!(trouble.works(second * S + 1), None);
            assert_eq!(trouble.happened(second * S + 2), None);
        }
        assert_eq!(trouble.works(50 * S), None, "it is only just past");
        assert_eq!(trouble.works(60 * S), Some(Report::Over { times: 50, lasted_s: 48 }));
        assert_eq!(trouble.works(61 * S), None);
    }

    #[test]
    fn a_success_after_which_nothing_comes_ends_a_trouble_too() {
        let mut trouble = Trouble::default();
        trouble.happened(S);
        assert_eq!(trouble.works(2 * S), None, "it may stand beside failures");
        assert_eq!(trouble.quiet(10 * S), None);
        assert_eq!(trouble.quiet(11 * S), Some(Report::Over { times: 1, lasted_s: 0 }));
        trouble.happened(20 * S);
        trouble.works(21 * S);
        trouble.happened(22 * S);
        assert_eq!(trouble.quiet(50 * S), None, "nothing has worked since");
    }

    #[test]
    fn a_trouble_that_nothing_ends_is_over_after_a_quiet_minute() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.quiet(0), None);
        trouble.happened(S);
        trouble.happened(30 * S);
        assert_eq!(trouble.quiet(89 * S), None);
        assert_eq!(trouble.quiet(90 * S), Some(Report::Over { times: 2, lasted_s: 29 }));
        assert_eq!(trouble.quiet(91 * S), None);
    }

    #[test]
    fn troubles_with_more_keys_than_are_told_apart_are_one() {
        let mut troubles = Troubles::default();
        for key in 0..KEYS_MAX {
            assert_eq!(troubles.happened(S, &key), Some((Some(key), Report::Began)));
        }
        assert_eq!(troubles.happened(S, &900), Some((None, Report::Began)));
        assert_eq!(troubles.happened(S, &901), None, "it is the same trouble");
        assert_eq!(troubles.happened(S, &0), None, "one that is known keeps its own");
        let over = troubles.quiet(100 * S);
        assert_eq!(over.len(), KEYS_MAX + 1, "{over:?}");
        assert_eq!(troubles.happened(100 * S, &901), Some((Some(901), Report::Began)));
    }
}
