//! The hints of one target: which page comes next, which hints are under way, when to rest.
//!
//! A pass reads the hints from the oldest to the newest. A hint whose delivery failed is left for the next
//! pass, so that a hint which the target refuses can't hold up the rest. Invariants: at most one page of
//! records in memory; a hint under way or being released is not sent a second time; nothing is asked of
//! storage or of the target during a rest.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::HintReport;
use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};
use jedlik_storage_port::{Hint, HintMark, HintPage, HintTotals};

use crate::rate::Rate;

/// Most hints in a page, under way, or being released.
pub(crate) const PAGE_RECORDS: u32 = 64;
/// Bytes under way from which on no more hints are sent. Large ones go one after the other: more would share
/// the time in which each has to be answered.
const UNDERWAY_BYTES: usize = 4 << 20;
/// Number of hints that may be under way before the target has said how many it wants.
const WINDOW_START: u16 = 8;
/// Number of hints that may be under way after a rest: one is tried alone.
const WINDOW_TRIAL: u16 = 1;
/// Length of the first rest, in microseconds; each one without a success in between doubles it.
const REST_LEAST_US: u64 = 100_000;
const REST_MOST_US: u64 = 10_000_000;

/// State of the page that is being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Loading {
    #[default]
    Nothing,
    Page,
    /// A page was asked for before the target went away, and is dropped when it comes.
    Outdated,
}

/// Place of one walk over the target's hints.
#[derive(Debug, Default)]
struct Pass {
    /// Last hint that was read.
    mark: Option<HintMark>,
    /// Whether the last page was read.
    at_end: bool,
    /// Whether the target has answered in this pass, whatever it was.
    answered: bool,
}

/// Hint that its target has not answered for.
#[derive(Debug)]
struct Underway {
    digest: Digest,
    bytes: usize,
}

/// Hints of one target, and their state.
#[derive(Debug)]
pub(crate) struct HintQueue {
    totals: HintTotals,
    up: bool,
    pass: Pass,
    loading: Loading,
    waiting: VecDeque<Hint>,
    underway: BTreeMap<PlacedKey, Underway>,
    /// Hints whose removal is under way to the disk.
    releasing: BTreeMap<PlacedKey, Digest>,
    /// Hints whose removal has failed and is to be asked for again: loads may not show them any more, while
    /// the disk still has them.
    unreleased: BTreeMap<PlacedKey, Digest>,
    window: u16,
    rest_until_us: Option<u64>,
    /// Number of rests since the last success.
    rests: u32,
    rate: Rate,
    delivered: u64,
    failure: Option<String>,
}

impl HintQueue {
    pub(crate) fn new() -> Self {
        Self {
            totals: HintTotals::default(),
            up: false,
            pass: Pass::default(),
            loading: Loading::Nothing,
            waiting: VecDeque::new(),
            underway: BTreeMap::new(),
            releasing: BTreeMap::new(),
            unreleased: BTreeMap::new(),
            window: WINDOW_START,
            rest_until_us: None,
            rests: 0,
            rate: Rate::default(),
            delivered: 0,
            failure: None,
        }
    }

    pub(crate) fn set_totals(&mut self, totals: HintTotals) {
        self.totals = totals;
        if totals.count == 0 {
            // Hints that storage no longer holds must not be sent: they may be settled and collected by now.
            self.begin_anew();
            self.rate = Rate::default();
            self.failure = None;
            self.rests = 0;
        }
    }

    pub(crate) fn set_up(&mut self) {
        if !self.up {
            self.up = true;
            self.window = WINDOW_START;
            self.rests = 0;
        }
    }

    /// Stops and forgets the page. Hints under way stay so until they are answered.
    pub(crate) fn set_down(&mut self) {
        self.up = false;
        self.rest_until_us = None;
        self.rate = Rate::default();
        self.begin_anew();
    }

    /// Takes a page, or `None` for one that could not be read.
    pub(crate) fn take_page(&mut self, now_us: u64, page: Option<HintPage>) {
        if core::mem::take(&mut self.loading) != Loading::Page {
            return;
        }
        let Some(HintPage { hints, until, .. }) = page else {
            self.note_failure(now_us, "a page of hints could not be read".into());
            return;
        };
        // A page without a hint gives no mark to go on from.
        self.pass.at_end = until.is_none() || hints.is_empty();
        if let Some(last) = hints.last() {
            self.pass.mark = Some(last.mark());
        }
        self.waiting = hints.into();
        self.skip_busy();
    }

    /// Returns the hint after which to read a page, if it is time to.
    pub(crate) fn next_page(&mut self, now_us: u64) -> Option<Option<HintMark>> {
        let idle = self.loading == Loading::Nothing && self.waiting.is_empty();
        let rested = self.up && self.rest_until_us.is_none();
        if !idle || !rested || self.totals.count == 0 {
            return None;
        }
        let busy = self.underway.len() + self.releasing.len();
        if self.pass.at_end {
            if busy > 0 {
                return None;
            }
            let fruitless = !self.pass.answered;
            self.begin_anew();
            if fruitless {
                // Storage counts hints that it did not give: ask again, but not at once.
                self.rest(now_us);
                return None;
            }
        }
        if busy >= PAGE_RECORDS as usize {
            return None;
        }
        self.loading = Loading::Page;
        Some(self.pass.mark.clone())
    }

    /// Returns whether [`Self::send`] would give a hint.
    pub(crate) fn may_send(&self) -> bool {
        let bytes: usize = self.underway.values().map(|hint| hint.bytes).sum();
        let room = self.underway.len() < usize::from(self.window) && bytes < UNDERWAY_BYTES;
        self.up && self.rest_until_us.is_none() && room && !self.waiting.is_empty()
    }

    /// Returns the oldest hint that waits; it is under way from now on.
    pub(crate) fn send(&mut self) -> Option<(PlacedKey, EncodedRecord, Digest)> {
        let hint = self.may_send().then(|| self.waiting.pop_front())??;
        let record = hint.record.record;
        let (digest, bytes) = (record.digest(), record.bytes().len());
        self.underway.insert(hint.key.clone(), Underway { digest, bytes });
        self.skip_busy();
        Some((hint.key, record, digest))
    }

    /// Notes that the target has synced a hint; returns the digest of the record that it was sent.
    pub(crate) fn settle(&mut self, now_us: u64, key: &PlacedKey, window: u16) -> Option<Digest> {
        let digest = self.underway.remove(key)?.digest;
        self.delivered += 1;
        self.rate.count(now_us);
        self.pass.answered = true;
        self.window = window.min(PAGE_RECORDS as u16);
        if window == 0 {
            self.rest(now_us);
        } else if self.rest_until_us.is_none() {
            self.rests = 0;
            self.failure = None;
        }
        Some(digest)
    }

    pub(crate) fn fail(&mut self, now_us: u64, key: &PlacedKey, why: String) {
        if self.underway.remove(key).is_some() {
            self.pass.answered = true;
            self.note_failure(now_us, why);
        }
    }

    pub(crate) fn note_failure(&mut self, now_us: u64, why: String) {
        self.failure = Some(why);
        self.rest(now_us);
    }

    pub(crate) fn begin_release(&mut self, key: &PlacedKey, digest: Digest) {
        self.releasing.insert(key.clone(), digest);
    }

    pub(crate) fn end_release(&mut self, key: &PlacedKey) {
        self.releasing.remove(key);
    }

    /// Notes that a removal did not reach the disk.
    pub(crate) fn fail_release(&mut self, now_us: u64, key: &PlacedKey, why: String) {
        if let Some(digest) = self.releasing.remove(key) {
            self.unreleased.insert(key.clone(), digest);
        }
        self.note_failure(now_us, why);
    }

    /// Returns the hints whose removal is to be asked for once more, if it is time to. They are being
    /// released from now on.
    pub(crate) fn release_again(&mut self) -> Vec<(PlacedKey, Digest)> {
        if !self.up || self.rest_until_us.is_some() {
            return Vec::new();
        }
        let again: Vec<_> = core::mem::take(&mut self.unreleased).into_iter().collect();
        self.releasing.extend(again.iter().cloned());
        again
    }

    /// Returns whether the disk may hold a hint that loads don't show any more.
    pub(crate) fn is_releasing(&self, key: &PlacedKey) -> bool {
        self.releasing.contains_key(key) || self.unreleased.contains_key(key)
    }

    pub(crate) fn rest_until_us(&self) -> Option<u64> {
        self.rest_until_us
    }

    pub(crate) fn end_rest(&mut self, now_us: u64) {
        if self.rest_until_us.is_some_and(|until_us| until_us <= now_us) {
            self.rest_until_us = None;
            self.window = WINDOW_TRIAL;
        }
    }

    /// Returns the progress of the target's hints; `None` if there are none and none were delivered.
    pub(crate) fn progress(&self, target: NodeId) -> Option<HintReport> {
        let HintTotals { count, bytes, oldest_ms } = self.totals;
        let delivering = self.up && count > 0 && self.rest_until_us.is_none();
        (count > 0 || self.delivered > 0).then(|| HintReport {
            target,
            count,
            bytes,
            oldest_ms,
            delivering,
            delivered: self.delivered,
            left_s: if delivering { self.rate.left_s(count) } else { None },
            failure: self.failure.clone(),
        })
    }

    fn begin_anew(&mut self) {
        self.pass = Pass::default();
        self.waiting.clear();
        if self.loading == Loading::Page {
            self.loading = Loading::Outdated;
        }
    }

    /// Leaves hints under way or being released for the next pass.
    fn skip_busy(&mut self) {
        while let Some(hint) = self.waiting.front()
            && (self.underway.contains_key(&hint.key) || self.is_releasing(&hint.key))
        {
            self.waiting.pop_front();
        }
    }

    fn rest(&mut self, now_us: u64) {
        if self.up && self.rest_until_us.is_none() {
            let rest_us = (REST_LEAST_US << self.rests.min(16)).min(REST_MOST_US);
            self.rest_until_us = Some(now_us.saturating_add(rest_us));
            self.rests += 1;
        }
    }
}
