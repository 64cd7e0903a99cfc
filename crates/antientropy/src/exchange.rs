//! The initiator's side of one exchange: root, then branches, then leaves, then records.
//!
//! Invariant: at most [`REQUESTS_AT_ONCE`] requests for hashes or digests and [`PIPELINE`](crate::PIPELINE)
//! records are under way, each is answered once, and an answer to what is not under way changes nothing.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_merkle::{LEAVES_PER_BRANCH, Tree};
use jedlik_protocol::client::ScanMark;
use jedlik_protocol::limits::DIGEST_PAGE_RECORDS;
use jedlik_protocol::peer::DigestPage;
use jedlik_protocol::{Digest, Key};

use crate::records::{Records, Transfer};
use crate::report::{ExchangeReport, Outcome};
use crate::span::{Nonsense, Span};

/// The most requests for hashes or digests under way, and spans whose own digests are kept, at any time.
pub const REQUESTS_AT_ONCE: usize = 4;
/// Neighbouring leaves are read together while they are likely to hold no more keys than this: half a
/// page, so that one request does.
const SPAN_KEYS: u64 = DIGEST_PAGE_RECORDS as u64 / 2;

/// What an exchange wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeOutput {
    /// Ask the peer for the hashes below one node of its tree:
    /// [`Exchange::handle_hashes`] or [`Exchange::handle_same`].
    AskHashes {
        /// Below which branch; `None` for the root.
        branch: Option<u8>,
        /// The own hash of that node.
        known: u64,
    },
    /// List this node's own digests in neighbouring leaves, all of them:
    /// [`Exchange::handle_own_digests`].
    LoadDigests {
        /// The first of them.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
    },
    /// Ask the peer for a page of its digests in neighbouring leaves: [`Exchange::handle_digests`].
    AskDigests {
        /// The first of them.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
        /// Past which key.
        after: Option<ScanMark>,
    },
    /// Ask the peer for its record and merge it into the own: [`Exchange::handle_pulled`],
    /// [`Exchange::handle_gone`] or [`Exchange::handle_record_failure`].
    Pull {
        /// Which.
        key: Key,
        /// The own record's digest when its leaf was listed, which the peer need not send.
        known: Option<Digest>,
    },
    /// Send the peer the own record, as it is now: [`Exchange::handle_pushed`],
    /// [`Exchange::handle_gone`] or [`Exchange::handle_record_failure`].
    Push {
        /// Which.
        key: Key,
    },
}

/// One comparison of one partition with one peer.
///
/// It compares the tree as it was at the start, and digests as they were when their leaf was listed,
/// while writes go on. Nothing goes wrong by that: a difference that is none any more costs a request
/// whose answer changes nothing, since merging is idempotent, and a difference that came later is the
/// next exchange's. It keeps no time: whoever sends its requests says when one has failed.
#[derive(Debug)]
pub struct Exchange {
    peer: NodeId,
    partition: Partition,
    tree: Tree,
    /// Nodes whose hashes are to be asked for.
    branches: VecDeque<Option<u8>>,
    /// Nodes whose hashes have been.
    asked: BTreeSet<Option<u8>>,
    /// Leaves to be compared.
    leaves: VecDeque<u16>,
    /// Those being compared, by the first of neighbours.
    open: BTreeMap<u16, Span>,
    /// How many have been.
    leaves_compared: u64,
    records: Records,
    report: ExchangeReport,
    outcome: Outcome,
}

impl Exchange {
    /// Starts to compare `partition` with `peer`; `tree` is the own one as it is now.
    #[must_use]
    pub fn new(peer: NodeId, partition: Partition, tree: Tree) -> Self {
        Self {
            peer,
            partition,
            tree,
            branches: VecDeque::from([None]),
            asked: BTreeSet::new(),
            leaves: VecDeque::new(),
            open: BTreeMap::new(),
            leaves_compared: 0,
            records: Records::default(),
            report: ExchangeReport::default(),
            outcome: Outcome::Running,
        }
    }

    /// With whom.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Of which partition.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How it stands.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome != Outcome::Running
    }

    /// What it found and did, so far.
    #[must_use]
    pub fn report(&self) -> ExchangeReport {
        let complete = self.outcome == Outcome::Finished && self.report.failed_records == 0;
        ExchangeReport { complete, ..self.report }
    }

    /// The next thing to do, if there is room for more under way. It counts as under way from now on,
    /// so it is to be asked for only when it can be done.
    ///
    /// Records come first, then leaves, then branches: what is known to differ is settled before more
    /// is looked for, which bounds what has to be remembered.
    pub fn poll_output(&mut self) -> Option<ExchangeOutput> {
        if self.is_done() {
            return None;
        }
        self.next_record().or_else(|| self.next_request())
    }

    /// The peer's hash of a node is the own one.
    pub fn handle_same(&mut self, branch: Option<u8>) {
        if self.asked.remove(&branch) {
            self.report.agreed |= branch.is_none();
            self.finish_if_settled();
        }
    }

    /// The peer's hashes below a node. Another number of them than a node has fails the exchange.
    #[expect(clippy::needless_pass_by_value, reason = "as all answers are")]
    pub fn handle_hashes(&mut self, branch: Option<u8>, hashes: Vec<u64>) {
        if !self.asked.remove(&branch) {
            return;
        }
        let own = self.tree.children(branch);
        if hashes.len() != own.len() {
            return self.handle_failure();
        }
        for (index, _) in own.iter().zip(&hashes).enumerate().filter(|(_, (a, b))| a != b) {
            match branch {
                None => self.branches.push_back(Some(index as u8)),
                Some(branch) => {
                    let first = usize::from(branch) * LEAVES_PER_BRANCH;
                    self.leaves.push_back((first + index) as u16);
                }
            }
        }
        self.finish_if_settled();
    }

    /// This node's own digests in the leaves from this one on that were asked for, in any order.
    pub fn handle_own_digests(&mut self, first_leaf: u16, digests: Vec<(Key, Digest)>) {
        if let Some(span) = self.open.get_mut(&first_leaf) {
            span.list(digests);
        }
    }

    /// A page of the peer's digests in the leaves from this one on that were asked for. One that does not lead past the page before, or is
    /// longer than pages are, fails the exchange.
    ///
    /// The caller has seen to it that the keys lie in this exchange's partition: a key that does not
    /// would be pulled all the same.
    pub fn handle_digests(&mut self, first_leaf: u16, page: DigestPage) {
        let Some(span) = self.open.get_mut(&first_leaf) else { return };
        let leaves = u64::from(span.last_leaf() - first_leaf) + 1;
        let Some(compared) = span.compare(page) else { return };
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

    /// The peer's record was merged into the own, or is the known one: the digests of the own one
    /// after that, `None` if there is none even so, and of the peer's.
    ///
    /// If they differ, the peer lacks something that this node has, so the merge is pushed back.
    pub fn handle_pulled(&mut self, key: &Key, own: Option<Digest>, theirs: Digest) {
        let Some(known) = self.records.end_pull(key) else { return };
        self.report.pulled += u64::from(known != Some(theirs));
        match own {
            None => self.report.failed_records += 1,
            Some(own) if own != theirs => self.records.add_first(key.clone(), Transfer::Push),
            Some(_) => {}
        }
        self.finish_if_settled();
    }

    /// Whose record was to be moved holds it no more: the peer, when it was to be pulled, so that the
    /// own one is pushed if there was one; or this node, when it was to be pushed.
    pub fn handle_gone(&mut self, key: &Key) {
        match self.records.end(key) {
            Some(Transfer::Pull { known: Some(_) }) => {
                self.records.add_first(key.clone(), Transfer::Push);
            }
            Some(Transfer::Pull { known: None } | Transfer::Push) => {}
            None => return,
        }
        self.finish_if_settled();
    }

    /// The peer has merged the record and holds it safely.
    pub fn handle_pushed(&mut self, key: &Key) {
        if self.records.end_push(key) {
            self.report.pushed += 1;
            self.finish_if_settled();
        }
    }

    /// One record could not be fetched, stored or sent; the others go on.
    pub fn handle_record_failure(&mut self, key: &Key) {
        if self.records.end(key).is_some() {
            self.report.failed_records += 1;
            self.finish_if_settled();
        }
    }

    /// The peer was lost or refused, or the own digests could not be listed: the exchange ends here.
    pub fn handle_failure(&mut self) {
        if !self.is_done() {
            self.outcome = Outcome::Failed;
        }
    }

    fn next_record(&mut self) -> Option<ExchangeOutput> {
        let (key, transfer) = self.records.begin()?;
        Some(match transfer {
            Transfer::Pull { known } => ExchangeOutput::Pull { key, known },
            Transfer::Push => ExchangeOutput::Push { key },
        })
    }

    fn next_request(&mut self) -> Option<ExchangeOutput> {
        // Otherwise a leaf's pages would pile up faster than their records move.
        if !self.records.all_begun() {
            return None;
        }
        for (first_leaf, span) in &mut self.open {
            if let Some(after) = span.ask() {
                self.report.digest_requests += 1;
                let (first_leaf, last_leaf) = (*first_leaf, span.last_leaf());
                return Some(ExchangeOutput::AskDigests { first_leaf, last_leaf, after });
            }
        }
        if self.asked.len() + self.open.len() >= REQUESTS_AT_ONCE {
            return None;
        }
        if let Some((first_leaf, last_leaf)) = self.next_span() {
            self.open.insert(first_leaf, Span::new(last_leaf));
            return Some(ExchangeOutput::LoadDigests { first_leaf, last_leaf });
        }
        let branch = self.branches.pop_front()?;
        self.asked.insert(branch);
        self.report.hash_requests += 1;
        let known = branch.map_or_else(|| self.tree.root(), |branch| self.tree.branch(branch));
        Some(ExchangeOutput::AskHashes { branch, known })
    }

    /// The first and the last of the neighbours to be compared next: as many as are likely to fit, by
    /// what those compared so far held; the first ones alone.
    fn next_span(&mut self) -> Option<(u16, u16)> {
        let first = self.leaves.pop_front()?;
        let fitting = self.leaves_compared * SPAN_KEYS / self.report.keys_compared.max(1);
        let mut last = first;
        while let Some(&next) = self.leaves.front() {
            if !self.are_neighbours(last, next) || u64::from(next - first) + 1 > fitting {
                break;
            }
            self.leaves.pop_front();
            last = next;
        }
        Some((first, last))
    }

    /// Whether nothing lies between two leaves that wait one after the other. Those between agree, if
    /// their branches have been looked at, so an empty one is empty on both sides.
    fn are_neighbours(&self, leaf: u16, next: u16) -> bool {
        let branch = |leaf: u16| usize::from(leaf) / LEAVES_PER_BRANCH;
        leaf < next
            && branch(next) <= branch(leaf) + 1
            && (leaf + 1..next).all(|between| self.tree.leaf(between) == 0)
    }

    fn finish_if_settled(&mut self) {
        let walked = self.branches.is_empty() && self.asked.is_empty();
        let compared = self.leaves.is_empty() && self.open.is_empty();
        if walked && compared && self.records.all_ended() && !self.is_done() {
            self.outcome = Outcome::Finished;
        }
    }
}

#[cfg(test)]
mod tests;
