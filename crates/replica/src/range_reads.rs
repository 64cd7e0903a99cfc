//! Pages of ranges that move to other owners, served at this node's own pace (paper 4.9, 6.5).
//!
//! The node that fetches knows how its own clients fare, not how this node's do. So each page that is asked
//! for waits until the budget grants it here as well. Invariant: at most [`WAITING_MAX`] pages wait, and none
//! is served whose asker has given up.

use alloc::collections::VecDeque;
use alloc::format;

use jedlik_membership::View;
use jedlik_protocol::PlacedKey;
use jedlik_protocol::admin::WorkKind;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::FETCH_PAGE_RECORDS;
use jedlik_protocol::peer::{Page, PeerResponse};
use jedlik_storage_port::RangePage;

use crate::cx::{Cx, Fact};
use crate::io::StorageFault;
use crate::keyset::Leaves;
use crate::patience::FETCH_LIMIT_US;
use crate::reasons::PageFor;
use crate::scan::mark;

/// Most pages that wait; further askers are refused and come again.
const WAITING_MAX: usize = 16;
/// Records of a range that count as one step of the budget: each costs its reading here, and at the receiver
/// its merging, its index and its share of a sync.
const STEP_RECORDS: usize = 4;
/// Bytes of a range that count as one step, where records are large.
const STEP_BYTES: usize = 16 << 10;

/// Returns the weight of a page of a range, in steps of the budget beyond the one that it was granted as.
pub(crate) fn page_steps(records: usize, bytes: usize) -> u32 {
    (records / STEP_RECORDS).max(bytes / STEP_BYTES) as u32
}

/// Page of a range that a peer has asked for.
#[derive(Debug)]
pub(crate) struct RangeRead {
    pub(crate) reply: u64,
    /// N of the buckets whose records are wanted.
    pub(crate) n: u8,
    pub(crate) leaves: Leaves,
    pub(crate) after: Option<PlacedKey>,
}

/// Pages that wait for the budget, each with the time at which its asker gives up, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct RangeReads {
    waiting: VecDeque<(u64, RangeRead)>,
}

/// Returns a page as it goes to a peer.
fn wire_page(result: RangePage) -> Page {
    let records = result.records.into_iter().map(|(key, stored)| (key.key, stored.record));
    Page { records: records.collect(), until: result.until.map(mark) }
}

impl RangeReads {
    /// Returns whether a page waits.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has a page wait for its turn, or refuses it if too many wait.
    pub(crate) fn wait_to_serve(&mut self, cx: &mut Cx, wanted: RangeRead) {
        let waiting = &mut self.waiting;
        while waiting.front().is_some_and(|(until_us, _)| *until_us <= cx.now.mono_us) {
            waiting.pop_front();
        }
        if waiting.len() < WAITING_MAX {
            return waiting.push_back((cx.now.mono_us + FETCH_LIMIT_US, wanted));
        }
        let message = format!("{WAITING_MAX} pages of ranges wait to be read already");
        let failure = Failure::new(ErrorCode::Overloaded, message);
        cx.answer_peer(wanted.reply, PeerResponse::Refused(failure));
    }

    /// Reads the next page whose asker still waits; returns false if there is none.
    pub(crate) fn step(&mut self, cx: &mut Cx, view: &View) -> bool {
        while let Some((until_us, wanted)) = self.waiting.pop_front() {
            if until_us > cx.now.mono_us {
                let RangeRead { reply, n, leaves, after } = wanted;
                let ticket = PageFor::ServeFetch { reply, n };
                cx.serve_leaves(view, ticket, leaves, after, FETCH_PAGE_RECORDS);
                return true;
            }
        }
        false
    }
}

impl Cx {
    /// Answers a peer with the page that was read, and charges its weight.
    pub(crate) fn serve_fetch(
        &mut self,
        (reply, n): (u64, u8),
        result: Result<RangePage, StorageFault>,
    ) {
        let Some(view) = self.view.clone() else { return };
        let response = match result {
            Ok(mut range) => {
                range.records.retain(|(key, _)| view.bucket(key.key.bucket()).n == n);
                let bytes =
                    range.records.iter().map(|(_, stored)| stored.record.bytes().len()).sum();
                let steps = page_steps(range.records.len(), bytes);
                self.tell(Fact::Weighed { kind: WorkKind::Transfer, steps });
                let records = range.records.len() as u64;
                self.tell(Fact::Sent { records, bytes: bytes as u64 });
                PeerResponse::Page(wire_page(range))
            }
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.answer_peer(reply, response);
    }
}
