//! Leaves in which the two trees differ, and some between: this node's digests against the peer's, page by page.
//!
//! This node's are listed first and kept by key. Every digest of the peer's takes away this node's of the same key, so
//! no order has to be agreed on, and what is left at the end only this node has.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use jedlik_protocol::Key;
use jedlik_protocol::client::ScanMark;
use jedlik_protocol::limits::DIGEST_PAGE_RECORDS;
use jedlik_protocol::peer::{DigestEntry, DigestPage};

use crate::output::Direction;
use crate::records::RecordTransfer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpanStage {
    /// This node's digests are being listed.
    Listing,
    /// The peer's next page may be asked for.
    Due,
    /// The peer's next page has been asked for.
    Asked,
}

/// Span of neighbouring leaves under comparison.
#[derive(Debug)]
pub(crate) struct Span {
    last_leaf: u16,
    stage: SpanStage,
    own: BTreeMap<Key, DigestEntry>,
    after: Option<ScanMark>,
}

/// Result of comparing one page of the peer's digests.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Transfers that follow from the page.
    pub(crate) transfers: Vec<(Key, RecordTransfer)>,
    /// Number of keys that were compared.
    pub(crate) keys: u64,
    /// Whether the page was the peer's last.
    pub(crate) is_last: bool,
}

/// Error for an answer that no replica gives.
#[derive(Debug)]
pub(crate) struct Nonsense;

impl Span {
    /// Creates a span up to `last_leaf`, whose digests this node is listing.
    pub(crate) fn new(last_leaf: u16) -> Self {
        Self { last_leaf, stage: SpanStage::Listing, own: BTreeMap::new(), after: None }
    }

    /// Returns the last leaf of the span.
    pub(crate) fn last_leaf(&self) -> u16 {
        self.last_leaf
    }

    /// Takes this node's digests, unless they were listed before.
    pub(crate) fn list(&mut self, own: Vec<(Key, DigestEntry)>) {
        if self.stage == SpanStage::Listing {
            self.own = own.into_iter().collect();
            self.stage = SpanStage::Due;
        }
    }

    /// Returns the key after which the next page is to be asked for, if that is due; it counts as asked for then.
    pub(crate) fn ask(&mut self) -> Option<Option<ScanMark>> {
        if self.stage != SpanStage::Due {
            return None;
        }
        self.stage = SpanStage::Asked;
        Some(self.after.clone())
    }

    /// Compares a page of the peer's digests, if one was asked for.
    pub(crate) fn compare(
        &mut self,
        page: DigestPage,
        direction: Direction,
    ) -> Option<Result<Compared, Nonsense>> {
        if self.stage != SpanStage::Asked {
            return None;
        }
        // A page that leads nowhere would be asked for without end.
        let goes_on = page.until.is_none() || page.until > self.after;
        if page.digests.len() > DIGEST_PAGE_RECORDS as usize || !goes_on {
            return Some(Err(Nonsense));
        }
        let mut compared = Compared { is_last: page.until.is_none(), ..Compared::default() };
        for (key, theirs) in page.digests {
            compared.keys += 1;
            let own = self.own.remove(&key);
            let transfer = match (direction, own) {
                (_, Some(own)) if own.digest == theirs.digest => continue,
                (Direction::Push, Some(own)) if theirs.covers(&own) => continue,
                (Direction::Push, None) => continue,
                (Direction::Push, Some(_)) => RecordTransfer::Push { theirs: Some(theirs.digest) },
                (Direction::Both | Direction::Inbound, own) => {
                    RecordTransfer::Pull { known: own.map(|own| own.digest), theirs: theirs.digest }
                }
            };
            compared.transfers.push((key, transfer));
        }
        if compared.is_last {
            let own = mem::take(&mut self.own);
            compared.keys += own.len() as u64;
            let push = RecordTransfer::Push { theirs: None };
            compared.transfers.extend(own.into_keys().map(|key| (key, push)));
        }
        self.stage = SpanStage::Due;
        self.after = page.until;
        Some(Ok(compared))
    }
}
