//! The collector's questions and their answers, on both sides.
//!
//! Invariant: a node says that it holds a record "exactly so" only if no hint of the key is with it or may
//! still be on its disk; and durably that it holds it, or nothing, only once that is on its disk. It says so only while it
//! knows no other owners of the key, and no other process as a member, than the asker does.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{Comparison, PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_vclock::planted::{self, Bug};

use crate::Counter;
use crate::collector::{CollectionStep, Residue, Terms, residue};
use crate::io::{Holding, Output, StorageFault};
use crate::pending::{Purpose, Ticket};
use crate::replica::Replica;
use crate::revision::Revision;

/// A record that is to be forgotten, first here and then by the other owners: what is on this node's disk
/// may be older until then, and would come back after a crash.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    key: PlacedKey,
    /// Under which everyone was asked.
    terms: Terms,
    /// What everyone holds.
    pub(crate) expected: Digest,
    /// What takes its place, if anything.
    left: Option<EncodedRecord>,
    /// The other owners.
    owners: Vec<NodeId>,
}

/// What another node's collector asks of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// Under which it asks. They have to be this node's own when it answers, too.
    pub(crate) terms: Terms,
    /// What the asker holds.
    pub(crate) digest: Digest,
    /// Whether the answer waits for the disk.
    pub(crate) durably: bool,
}

impl Replica {
    /// Takes the next step of the collector; false if there is none now.
    pub(crate) fn collect_next(&mut self, now: Now) -> bool {
        let Some((key, step)) = self.background.collector.step(now.mono_us) else { return false };
        match step {
            CollectionStep::Read => {
                let ticket = self.pending.ticket(Ticket::Candidate(key.clone()));
                self.emit(Output::Load { ticket, key });
            }
            CollectionStep::Ask { terms: Terms { n, lives, .. }, digest, nodes } => {
                for node in nodes {
                    let (key_of, durably) = (key.key.clone(), true);
                    let request = PeerRequest::Compare { key: key_of, digest, n, lives, durably };
                    self.call(now, node, Purpose::Candidate(key.clone()), request);
                }
            }
            CollectionStep::Collect { terms, digest: expected, residue: left, owners } => {
                let collection = Collection { key: key.clone(), terms, expected, left, owners };
                let ticket = self.pending.ticket(Ticket::Collect(collection));
                self.emit(Output::Load { ticket, key });
            }
        }
        true
    }

    /// All agree: what is left of the record takes its place here.
    pub(crate) fn collect(
        &mut self,
        now: Now,
        collection: Collection,
        result: Result<Holding, StorageFault>,
    ) {
        let Collection { key, terms, expected, left, .. } = &collection;
        if !self.is_under(*terms, key) {
            // Other owners: all are asked again.
            return self.background.collector.notice(key, now.mono_us);
        }
        let revised =
            result.ok().and_then(|holding| revised(now, &holding, *expected, left.clone()));
        if let Some(by) = revised {
            let (key, expected) = (key.clone(), *expected);
            let ticket = self.pending.ticket(Ticket::Collected(collection));
            self.emit(Output::Revise { ticket, key, expected, by });
        }
    }

    /// Whether a layout, a number of replicas and the members' lives are those that this node knows.
    fn is_under(&self, terms: Terms, key: &PlacedKey) -> bool {
        self.view.as_ref().is_some_and(|view| Terms::of(view, key) == terms)
    }

    /// It has, on disk: the other owners are told. One that misses it brings the record back by an
    /// exchange, and it is found again.
    pub(crate) fn tell_collected(&mut self, now: Now, collection: Collection) {
        let Collection { key, expected, left, owners, .. } = collection;
        self.count(if left.is_some() { Counter::Pruned } else { Counter::Collected });
        for node in owners {
            let (key, record) = (key.key.clone(), left.clone());
            self.call(now, node, Purpose::Nobody, PeerRequest::Revise { key, expected, record });
        }
    }

    /// A record that may have nothing live is remembered for the collector.
    pub(crate) fn notice_dead(
        &mut self,
        now: Now,
        key: &PlacedKey,
        record: &EncodedRecord,
        view: &View,
    ) {
        // One owner's collector is enough: the first of those who are up.
        let n = usize::from(view.bucket(key.key.bucket()).n);
        let owners = view.preference_list(key.partition).iter().take(n);
        let first = owners.into_iter().find(|node| view.is_alive(**node));
        if first == Some(&self.config.me)
            && record.decode().is_ok_and(|record| residue(&record, now.judged_ms()).is_some())
        {
            self.background.collector.notice(key, now.mono_us);
        }
    }

    /// The collector's record has been read.
    pub(crate) fn handle_candidate(
        &mut self,
        now: Now,
        key: &PlacedKey,
        result: Result<Holding, StorageFault>,
    ) {
        let Some(view) = self.view.clone() else { return };
        let Ok(holding) = result else { return self.background.collector.failed(now.mono_us, key) };
        let hinted = self.is_hinted(key, &holding);
        let found = holding.record.and_then(|stored| {
            let left = residue(&stored.record.decode().ok()?, now.judged_ms())?;
            let left = match left {
                Residue::Nothing => None,
                Residue::Pruned(record) => Some(EncodedRecord::encode(&record)),
            };
            Some((stored.record.digest(), left))
        });
        self.background.collector.read(now.mono_us, key, found, hinted, &view);
    }

    /// Whether a hint of the key is here, or may come back: its removal is not on disk yet, or it can't be read now.
    fn is_hinted(&self, key: &PlacedKey, holding: &Holding) -> bool {
        let damaged = holding.damaged_hints && !planted::on(Bug::DamagedHintIsNone);
        damaged || !holding.hints.is_empty() || self.background.handoff.is_releasing(key)
    }

    /// A node's answer to the collector.
    pub(crate) fn handle_comparison(
        &mut self,
        now: Now,
        node: NodeId,
        key: &PlacedKey,
        response: &PeerResponse,
    ) {
        match response {
            PeerResponse::Compared(comparison) => {
                self.background.collector.answered(now.mono_us, key, node, *comparison);
            }
            _ => self.background.collector.failed(now.mono_us, key),
        }
    }

    /// Another node's collector asks how this one stands to a record.
    pub(crate) fn serve_comparison(
        &mut self,
        reply: u64,
        key: PlacedKey,
        Question { terms, digest, durably }: Question,
        result: Result<Holding, StorageFault>,
    ) {
        if !self.is_under(terms, &key) {
            let message = "this node knows another layout, number of replicas or life of a member than the asker";
            let failure = Failure::new(ErrorCode::StaleLayout, message);
            return self.answer_peer(reply, PeerResponse::Refused(failure));
        }
        let holding = match result {
            Ok(holding) => holding,
            Err(fault) => {
                return self.answer_peer(reply, PeerResponse::Refused(fault.failure()));
            }
        };
        let hinted = self.is_hinted(&key, &holding) && !planted::on(Bug::CollectedDespiteHint);
        let comparison = match holding.record {
            None if !hinted && !holding.damaged => Comparison::Nothing,
            Some(stored) if !hinted && stored.record.digest() == digest => {
                if durably {
                    // What is merged once more is synced with all that came before it.
                    let ticket = self.pending.ticket(Ticket::ServeSynced { reply });
                    let record = StoredRecord { local: None, record: stored.record };
                    let durability = Durability::Synced;
                    return self.emit(Output::Apply { ticket, key, record, durability });
                }
                Comparison::Same
            }
            _ => Comparison::Other,
        };
        // What was dropped a moment ago may still be on the disk.
        self.answer_compared(reply, PeerResponse::Compared(comparison), durably);
    }

    /// Another node's collector says that all agree.
    pub(crate) fn serve_revision(
        &mut self,
        now: Now,
        reply: u64,
        key: PlacedKey,
        (expected, record): (Digest, Option<EncodedRecord>),
        result: Result<Holding, StorageFault>,
    ) {
        match result {
            Ok(holding) => {
                let revised = revised(now, &holding, expected, record);
                let Some(by) = revised else {
                    return self.answer_peer(reply, PeerResponse::Revised(false));
                };
                let ticket = self.pending.ticket(Ticket::ServeRevised { reply });
                self.emit(Output::Revise { ticket, key, expected, by });
            }
            Err(fault) => self.answer_peer(reply, PeerResponse::Refused(fault.failure())),
        }
    }
}

/// What is to stand in place of what is held, if that is the expected record and, where it is to go
/// altogether, is dead by this node's clock too.
fn revised(
    now: Now,
    holding: &Holding,
    expected: Digest,
    record: Option<EncodedRecord>,
) -> Option<Revision> {
    let stored = holding.record.as_ref().filter(|stored| stored.record.digest() == expected)?;
    match record {
        None => {
            let dead = stored.record.decode().ok()?.is_dead(now.judged_ms());
            dead.then_some(Revision::Forgotten)
        }
        Some(record) => {
            // The entry that this node extends may be among those that go.
            let clock = record.decode().ok()?;
            let local = stored.local.and_then(|local| local.kept_by(clock.clock()));
            Some(Revision::Record(StoredRecord { local, record }))
        }
    }
}
