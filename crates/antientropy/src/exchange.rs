//! The initiator's side of one exchange: root, then branches, then leaves, then records.
//!
//! Invariant: at most [`REQUESTS_AT_ONCE`] requests for hashes or digests, [`PAGES_AT_ONCE`] pages of
//! records and [`PIPELINE`] single records are under way, each is answered once, and an answer to what is
//! not under way changes nothing.
//!
//! [`PAGES_AT_ONCE`]: crate::PAGES_AT_ONCE
//! [`PIPELINE`]: crate::PIPELINE

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_merkle::{LEAVES, Tree};
use jedlik_protocol::client::ScanMark;
use jedlik_protocol::limits::DIGEST_PAGE_RECORDS;
use jedlik_protocol::peer::{DigestEntry, DigestPage};
use jedlik_protocol::{Digest, Key};

use crate::fetch::Fetches;
use crate::output::{Direction, ExchangeOutput};
use crate::records::{RecordTransfer, Records};
use crate::report::{ExchangeReport, Outcome};
use crate::span::{Nonsense, Span};
use crate::walk::Walk;

/// Most requests for hashes or digests that are under way, and spans whose own digests are kept, at any time.
pub const REQUESTS_AT_ONCE: usize = 4;
/// Most keys that neighbouring leaves read together are likely to hold: half a page, so that one request
/// does.
const SPAN_KEYS: u64 = DIGEST_PAGE_RECORDS as u64 / 2;

/// State machine of one comparison of one partition with one peer.
///
/// It compares the tree as it was at the start, and digests as they were when their leaf was listed, while
/// writes go on. Nothing goes wrong by that: a difference that has gone since costs a request whose answer
/// changes nothing, since merging is idempotent, and a difference that came later is the next exchange's. It
/// keeps no time: the sender of its requests says when one has failed.
///
/// Leaves that differ and in which this node holds nothing are streamed, all records of neighbouring ones
/// page by page; a node that holds nothing of the partition asks for the root's hashes alone. So a partition
/// that was received in part, before a crash of either side, resumes by itself: leaves that agree are
/// skipped, those that are partly there are compared record by record, the empty ones streamed.
#[derive(Debug)]
pub struct Exchange {
    peer: NodeId,
    partition: Partition,
    direction: Direction,
    walk: Walk,
    /// Spans of leaves being compared, by their first leaf.
    open: BTreeMap<u16, Span>,
    /// Number of leaves compared so far.
    leaves_compared: u64,
    fetches: Fetches,
    records: Records,
    report: ExchangeReport,
    outcome: Outcome,
}

impl Exchange {
    /// Starts to compare `partition` with `peer`; `tree` is this node's as it is now.
    ///
    /// With nothing to push it is over at once.
    #[must_use]
    pub fn new(peer: NodeId, partition: Partition, tree: Tree, direction: Direction) -> Self {
        let mut exchange = Self {
            peer,
            partition,
            direction,
            walk: Walk::new(tree, direction),
            open: BTreeMap::new(),
            leaves_compared: 0,
            fetches: Fetches::default(),
            records: Records::default(),
            report: ExchangeReport::default(),
            outcome: Outcome::Running,
        };
        exchange.finish_if_settled();
        exchange
    }

    /// Returns the peer that the partition is compared with.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Returns the partition that is compared.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Returns the direction: which side gets what it lacks.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns whether the exchange runs, has finished or has failed.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns whether the exchange has finished or failed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome != Outcome::Running
    }

    /// Returns the counts of what the exchange found and did so far.
    #[must_use]
    pub fn report(&self) -> ExchangeReport {
        let complete = self.outcome == Outcome::Finished && self.report.failed_records == 0;
        ExchangeReport { complete, ..self.report }
    }

    /// Returns the next effect, if there is room for more under way. It counts as under way from now on, so
    /// it is to be polled only when it can be carried out.
    ///
    /// Records come first, then pages of them, then leaves, then branches: known differences are settled
    /// before more are looked for, which bounds what has to be remembered.
    pub fn poll_output(&mut self) -> Option<ExchangeOutput> {
        if self.is_done() {
            return None;
        }
        self.next_record().or_else(|| self.next_page()).or_else(|| self.next_request())
    }

    /// Notes that the peer's hash of a node equals this node's.
    pub fn handle_same(&mut self, branch: Option<u8>) {
        if self.walk.end_same(branch) {
            self.report.agreed |= branch.is_none();
            self.finish_if_settled();
        }
    }

    /// Takes the peer's hashes below a node. Another number of them than a node has fails the exchange.
    #[expect(clippy::needless_pass_by_value, reason = "as all answers are")]
    pub fn handle_hashes(&mut self, branch: Option<u8>, hashes: Vec<u64>) {
        match self.walk.compare(branch, &hashes) {
            Some(Ok(())) => self.finish_if_settled(),
            Some(Err(Nonsense)) => self.handle_failure(),
            None => {}
        }
    }

    /// Takes this node's own digests in the leaves from `first_leaf` on, in any order, with clocks if these
    /// were asked for.
    pub fn handle_own_digests(&mut self, first_leaf: u16, digests: Vec<(Key, DigestEntry)>) {
        if let Some(span) = self.open.get_mut(&first_leaf) {
            span.list(digests);
        }
    }

    /// Takes a page of the peer's digests in the leaves from `first_leaf` on. A page that does not lead past
    /// the one before, or is longer than pages are, fails the exchange.
    ///
    /// The caller has seen to it that the keys lie in this exchange's partition: a key that does not would be
    /// pulled all the same.
    pub fn handle_digests(&mut self, first_leaf: u16, page: DigestPage) {
        let Some(span) = self.open.get_mut(&first_leaf) else { return };
        let leaves = u64::from(span.last_leaf() - first_leaf) + 1;
        let Some(compared) = span.compare(page, self.direction) else { return };
        match compared {
            Err(Nonsense) => self.handle_failure(),
            Ok(compared) => {
                self.report.keys_compared += compared.keys;
                for (key, transfer) in compared.transfers {
                    self.records.add(key, transfer);
                }
                if compared.is_last {
                    self.open.remove(&first_leaf);
                    self.leaves_compared += leaves;
                }
                self.finish_if_settled();
            }
        }
    }

    /// Notes that a page of the peer's records in the leaves from `first_leaf` on has come and is being
    /// merged; the next is asked for meanwhile. `until` is the last key that it covers, `None` for the end of
    /// the leaves; a page that does not lead past the one before fails the exchange.
    ///
    /// The caller has seen to it that the records lie in this exchange's partition.
    pub fn handle_page(&mut self, first_leaf: u16, records: u32, until: Option<ScanMark>) {
        match self.fetches.take(first_leaf, until) {
            Some(Ok(())) => self.report.fetched += u64::from(records),
            Some(Err(Nonsense)) => self.handle_failure(),
            None => {}
        }
    }

    /// Notes that all records of one page of these leaves are merged into this node's and synced: once for
    /// each page that came, in any order, and for one without records too. If one of them could not be, the
    /// exchange has to fail by [`Self::handle_failure`].
    pub fn handle_page_merged(&mut self, first_leaf: u16) {
        if self.fetches.end_page(first_leaf) {
            self.finish_if_settled();
        }
    }

    /// Notes that the peer's record was merged into this node's, or is the known one. `own` is the digest of
    /// this node's record after that, `None` if there is none even so, and `theirs` the peer's.
    ///
    /// If they differ, the peer lacks something that this node has, so the merge is pushed back.
    pub fn handle_pulled(&mut self, key: &Key, own: Option<Digest>, theirs: Digest) {
        let Some(known) = self.records.end_pull(key) else { return };
        self.report.pulled += u64::from(known != Some(theirs));
        match own {
            None => self.report.failed_records += 1,
            Some(own) if own != theirs => {
                self.records.add_first(key.clone(), RecordTransfer::Push { theirs: Some(theirs) });
            }
            Some(_) => {}
        }
        self.finish_if_settled();
    }

    /// Notes that a record to be moved is not there any more: at the peer, when it was to be pulled, so that
    /// this node's is pushed if there was one; or at this node, when it was to be pushed.
    pub fn handle_gone(&mut self, key: &Key) {
        match self.records.end(key) {
            Some(RecordTransfer::Pull { known: Some(_), .. }) => {
                self.records.add_first(key.clone(), RecordTransfer::Push { theirs: None });
            }
            Some(RecordTransfer::Pull { known: None, .. } | RecordTransfer::Push { .. }) => {}
            None => return,
        }
        self.finish_if_settled();
    }

    /// Notes that the peer has merged the record and synced it.
    pub fn handle_pushed(&mut self, key: &Key) {
        if self.records.end_push(key) {
            self.report.pushed += 1;
            self.finish_if_settled();
        }
    }

    /// Notes that one record could not be fetched, stored or sent; the others go on.
    pub fn handle_record_failure(&mut self, key: &Key) {
        if self.records.end(key).is_some() {
            self.report.failed_records += 1;
            self.finish_if_settled();
        }
    }

    /// Notes that the records of both sides exceed the largest size together: neither takes the other's, and
    /// the others go on.
    pub fn handle_clash(&mut self, key: &Key) {
        if self.records.end(key).is_some() {
            self.report.failed_records += 1;
            self.report.clashes += 1;
            self.finish_if_settled();
        }
    }

    /// Ends the exchange, since the peer was lost or refused, or this node's digests could not be listed.
    pub fn handle_failure(&mut self) {
        if !self.is_done() {
            self.outcome = Outcome::Failed;
        }
    }

    fn next_record(&mut self) -> Option<ExchangeOutput> {
        let (key, transfer) = self.records.begin()?;
        Some(match transfer {
            RecordTransfer::Pull { known, theirs } => ExchangeOutput::Pull { key, known, theirs },
            RecordTransfer::Push { theirs } => ExchangeOutput::Push { key, theirs },
        })
    }

    fn next_page(&mut self) -> Option<ExchangeOutput> {
        while let Some(run) = self.walk.next_empty() {
            self.fetches.add(run);
        }
        let ((first_leaf, last_leaf), after) = self.fetches.ask()?;
        self.report.page_requests += 1;
        Some(ExchangeOutput::Fetch { first_leaf, last_leaf, after })
    }

    fn next_request(&mut self) -> Option<ExchangeOutput> {
        // Otherwise a leaf's pages would pile up faster than their records move.
        if !self.records.all_begun() {
            return None;
        }
        let clocks = self.direction.wants_clocks();
        for (first_leaf, span) in &mut self.open {
            if let Some(after) = span.ask() {
                self.report.digest_requests += 1;
                let (first_leaf, last_leaf) = (*first_leaf, span.last_leaf());
                return Some(ExchangeOutput::AskDigests { first_leaf, last_leaf, after, clocks });
            }
        }
        if self.walk.under_way() + self.open.len() >= REQUESTS_AT_ONCE {
            return None;
        }
        let fetches_across = self.walk.fetches_across();
        if fetches_across && !self.fetches.all_ended() {
            return None;
        }
        // As many leaves as are likely to fit, by what those compared or fetched so far held.
        let fitting = match self.leaves_compared {
            0 if fetches_across => LEAVES as u64 * SPAN_KEYS / self.report.fetched.max(1),
            0 => self.walk.fitting(SPAN_KEYS),
            compared => compared * SPAN_KEYS / self.report.keys_compared.max(1),
        };
        if let Some((first_leaf, last_leaf)) = self.walk.next_held(fitting) {
            self.open.insert(first_leaf, Span::new(last_leaf));
            return Some(ExchangeOutput::LoadDigests { first_leaf, last_leaf, clocks });
        }
        let (branch, known) = self.walk.ask()?;
        self.report.hash_requests += 1;
        Some(ExchangeOutput::AskHashes { branch, known })
    }

    fn finish_if_settled(&mut self) {
        let is_settled = self.walk.is_over()
            && self.open.is_empty()
            && self.fetches.all_ended()
            && self.records.all_ended();
        if is_settled && !self.is_done() {
            self.outcome = Outcome::Finished;
        }
    }
}

#[cfg(test)]
mod tests;
