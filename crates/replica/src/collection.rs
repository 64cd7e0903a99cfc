//! The collector's questions and their answers, on both sides.
//!
//! Invariant: a node says that it holds a record "exactly so" only if no hint of the key is with it or may
//! still be on its disk; and durably that it holds it, or nothing, only once that is on its disk. It says so
//! only while it knows no other owners of the key, and no other process as a member, than the asker does.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{Comparison, PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Now, PlacedKey, StoredRecord};
use jedlik_storage_port::Holding;

use crate::Counter;
use crate::collector::{CollectionStep, Collector, Residue, Terms, residue};
use crate::cx::{Cx, Fact};
use crate::io::{Output, StorageFault};
use crate::pending::Purpose;
use crate::reasons::{ApplyFor, LoadFor};
use crate::revision::Revision;

/// Record that is to be forgotten, first here and then by the other owners. Until it is forgotten on this
/// node's disk, an older record there would come back after a crash.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    key: PlacedKey,
    /// Terms under which all owners and members were asked.
    terms: Terms,
    /// Digest of the record that all owners hold.
    pub(crate) expected: Digest,
    /// Record with fewer clock entries that takes its place; `None` if nothing is left.
    left: Option<EncodedRecord>,
    /// Owners of the key but this node.
    owners: Vec<NodeId>,
}

/// Question of another node's collector about a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// Terms under which the collector asks. They have to be this node's own when it answers, too.
    pub(crate) terms: Terms,
    /// Digest of the asker's record.
    pub(crate) digest: Digest,
    /// Whether the answer waits until the record is on disk.
    pub(crate) durably: bool,
}

impl Collector {
    /// Takes the next step of the collector; returns false if there is none now.
    pub(crate) fn next(&mut self, cx: &mut Cx) -> bool {
        let Some((key, step)) = self.step(cx.now.mono_us) else { return false };
        match step {
            CollectionStep::Read => {
                let ticket = cx.pending.load(LoadFor::Candidate(key.clone()));
                cx.emit(Output::Load { ticket, key });
            }
            CollectionStep::Ask { terms: Terms { n, lives, .. }, digest, nodes } => {
                for node in nodes {
                    let (key_of, durably) = (key.key.clone(), true);
                    let request = PeerRequest::Compare { key: key_of, digest, n, lives, durably };
                    cx.call(node, Purpose::Candidate(key.clone()), request);
                }
            }
            CollectionStep::Collect { terms, digest: expected, residue: left, owners } => {
                let collection = Collection { key: key.clone(), terms, expected, left, owners };
                let ticket = cx.pending.load(LoadFor::Collect(collection));
                cx.emit(Output::Load { ticket, key });
            }
        }
        true
    }

    /// Replaces the record here by what is left of it, now that all agree.
    pub(crate) fn collect(
        &mut self,
        cx: &mut Cx,
        collection: Collection,
        result: Result<Holding, StorageFault>,
    ) {
        let Collection { key, terms, expected, left, .. } = &collection;
        if !cx.is_under(*terms, key) {
            // The owners have changed: all are asked again.
            return self.notice(key, cx.now.mono_us);
        }
        let revised =
            result.ok().and_then(|holding| revised(cx.now, &holding, *expected, left.clone()));
        if let Some(by) = revised {
            let (key, expected) = (key.clone(), *expected);
            let ticket = cx.pending.apply(ApplyFor::Collected(collection));
            cx.emit(Output::Revise { ticket, key, expected, by });
        }
    }

    /// Gives the collector the record that it wanted read.
    pub(crate) fn handle_candidate(
        &mut self,
        cx: &mut Cx,
        key: &PlacedKey,
        result: Result<Holding, StorageFault>,
        is_hinted: impl FnOnce(&Holding) -> bool,
    ) {
        let Some(view) = cx.view.clone() else { return };
        let Ok(holding) = result else { return self.failed(cx.now.mono_us, key) };
        let hinted = is_hinted(&holding);
        let found = holding.record.and_then(|stored| {
            let left = residue(&stored.record.decode().ok()?, cx.now.judged_ms())?;
            let left = match left {
                Residue::Nothing => None,
                Residue::Pruned(record) => Some(EncodedRecord::encode(&record)),
            };
            Some((stored.record.digest(), left))
        });
        self.read(cx.now.mono_us, key, found, hinted, &view);
    }

    /// Gives the collector a node's answer.
    pub(crate) fn handle_comparison(
        &mut self,
        cx: &mut Cx,
        node: NodeId,
        key: &PlacedKey,
        response: &PeerResponse,
    ) {
        match response {
            PeerResponse::Compared(comparison) => {
                self.answered(cx.now.mono_us, key, node, *comparison);
            }
            _ => self.failed(cx.now.mono_us, key),
        }
    }
}

impl Cx {
    /// Tells the other owners to forget a record that this node has forgotten on disk. If one of them misses
    /// it, an exchange brings the record back, and it is found again.
    pub(crate) fn tell_collected(&mut self, collection: Collection) {
        let Collection { key, expected, left, owners, .. } = collection;
        self.count(if left.is_some() { Counter::Pruned } else { Counter::Collected });
        for node in owners {
            let (key, record) = (key.key.clone(), left.clone());
            self.call(node, Purpose::Nobody, PeerRequest::Revise { key, expected, record });
        }
    }

    /// Answers another node's collector whether this node holds the record exactly so.
    pub(crate) fn serve_comparison(
        &mut self,
        reply: u64,
        key: PlacedKey,
        Question { terms, digest, durably }: Question,
        result: Result<Holding, StorageFault>,
        is_hinted: impl FnOnce(&Holding) -> bool,
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
        let hinted = is_hinted(&holding) && !planted::on(Bug::CollectedDespiteHint);
        let comparison = match holding.record {
            None if !hinted && !holding.damaged => Comparison::Nothing,
            Some(stored) if !hinted && stored.record.digest() == digest => {
                if durably {
                    // A record that is merged once more is synced with all that came before it.
                    let response = PeerResponse::Compared(Comparison::Same);
                    let ticket = self.pending.apply(ApplyFor::Serve { reply, response });
                    let record = StoredRecord { local: None, record: stored.record };
                    let durability = Durability::Synced;
                    return self.emit(Output::Apply { ticket, key, record, durability });
                }
                Comparison::Same
            }
            _ => Comparison::Other,
        };
        // A record dropped a moment ago may still be on the disk.
        self.answer_compared(reply, PeerResponse::Compared(comparison), durably);
    }

    /// Forgets a record, as another node's collector asks once all owners agree.
    pub(crate) fn serve_revision(
        &mut self,
        reply: u64,
        key: PlacedKey,
        (expected, record): (Digest, Option<EncodedRecord>),
        result: Result<Holding, StorageFault>,
    ) {
        match result {
            Ok(holding) => {
                let revised = revised(self.now, &holding, expected, record);
                let Some(by) = revised else {
                    return self.answer_peer(reply, PeerResponse::Revised(false));
                };
                let response = PeerResponse::Revised(true);
                let ticket = self.pending.apply(ApplyFor::Serve { reply, response });
                self.emit(Output::Revise { ticket, key, expected, by });
            }
            Err(fault) => self.answer_peer(reply, PeerResponse::Refused(fault.failure())),
        }
    }

    /// Notes a record that may have nothing live for the collector of its first living owner.
    pub(crate) fn notice_dead(&mut self, key: &PlacedKey, record: &EncodedRecord, view: &View) {
        // One owner's collector is enough: that of the first owner that is up.
        let n = usize::from(view.bucket(key.key.bucket()).n);
        let owners = view.preference_list(key.partition).iter().take(n);
        let first = owners.into_iter().find(|node| view.is_alive(**node));
        if first == Some(&self.config.me)
            && record.decode().is_ok_and(|record| residue(&record, self.now.judged_ms()).is_some())
        {
            self.tell(Fact::MayBeForgotten { key: key.clone(), due_us: self.now.mono_us });
        }
    }

    /// Returns whether these terms are those that this node knows for the key.
    pub(crate) fn is_under(&self, terms: Terms, key: &PlacedKey) -> bool {
        self.view.as_ref().is_some_and(|view| Terms::of(view, key) == terms)
    }
}

/// Returns the replacement for the stored record, if that is the expected one. A record that is to go
/// altogether must be dead by this node's clock too.
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
