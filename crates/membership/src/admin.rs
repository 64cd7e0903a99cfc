//! Admins' requests to the membership: status, staged changes, plans, commits, bucket properties.
//!
//! Invariant: a refused request changes nothing.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use jedlik_protocol::access::{AccessEntry, Subject};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::{BucketEntry, BucketProps, check_name};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Blob, Now};

use crate::Membership;
use crate::knowledge::KnowledgeChange;
use crate::layout_history::ActiveLayout;

mod commit;
mod stage;
mod status;

#[cfg(test)]
mod tests;

impl Membership {
    /// Answers an admin's request, except for those about data and counters. Carry out the outputs before the answer.
    ///
    /// # Errors
    /// The request can't be met; the failure says why and what to do, and nothing has changed.
    pub fn handle_admin(
        &mut self,
        now: Now,
        request: &AdminRequest,
    ) -> Result<AdminResponse, Failure> {
        if alters_the_cluster(request) {
            self.lives.check_may_speak_for_the_cluster()?;
        }
        let response = match request {
            AdminRequest::Status => AdminResponse::Status(self.status(now)),
            AdminRequest::Layouts => AdminResponse::Layouts(
                self.known.history().layouts().iter().map(ActiveLayout::placed).collect(),
            ),
            AdminRequest::Stage { changes, dry_run } => {
                AdminResponse::Staged(self.stage(now, changes, *dry_run)?)
            }
            AdminRequest::Unstage { nodes } => AdminResponse::Staged(self.unstage(now, nodes)?),
            AdminRequest::Plan => AdminResponse::Plan(Box::new(self.plan()?.report)),
            AdminRequest::Commit { plan, lost, dry_run } => {
                AdminResponse::Committed { layout: self.commit(now, *plan, *lost, *dry_run)? }
            }
            AdminRequest::BucketList => AdminResponse::Buckets((**self.known.buckets()).clone()),
            AdminRequest::BucketShow { name } => AdminResponse::Bucket(self.bucket(name)?),
            AdminRequest::BucketSet { name, changes } => {
                AdminResponse::Bucket(self.set_bucket(now, name, changes)?)
            }
            AdminRequest::AccessList => {
                AdminResponse::Access(self.known.access().entries().iter().map(shown).collect())
            }
            AdminRequest::AccessSet(entry) => {
                AdminResponse::AccessEntry(self.set_access(now, entry.clone())?)
            }
            AdminRequest::AccessRevoke(subject) => {
                AdminResponse::AccessEntry(self.revoke_access(now, subject)?)
            }
            AdminRequest::Keep { address } => AdminResponse::Kept(self.keep(*address)?),
            AdminRequest::Transfers
            | AdminRequest::Drain { .. }
            | AdminRequest::Stats
            | AdminRequest::Explain { .. }
            | AdminRequest::Hints
            | AdminRequest::Repair { .. }
            | AdminRequest::RepairProgress
            | AdminRequest::Background
            | AdminRequest::Believe { .. }
            | AdminRequest::SetBackground(_) => {
                return Err(Failure::new(ErrorCode::Internal, "membership keeps no data"));
            }
        };
        self.settle();
        Ok(response)
    }

    fn bucket(&self, name: &Blob) -> Result<BucketEntry, Failure> {
        check_name(name).map_err(invalid)?;
        let unset =
            || BucketEntry { name: name.clone(), version: 0, props: BucketProps::default() };
        Ok(self.known.bucket(name).cloned().unwrap_or_else(unset))
    }

    fn set_bucket(
        &mut self,
        now: Now,
        name: &Blob,
        changes: &[(String, String)],
    ) -> Result<BucketEntry, Failure> {
        let mut entry = self.bucket(name)?;
        let former = entry.props.clone();
        for (property, value) in changes {
            entry.props.set(property, value).map_err(invalid)?;
        }
        entry.props.check().map_err(invalid)?;
        check_min_w(changes, entry.props.w)?;
        if entry.props.n > former.n {
            self.check_n(entry.props.n)?;
        }
        if entry.version > 0 && entry.props == former {
            return Ok(entry);
        }
        entry.version += 1;
        match self.known.merge_bucket(entry.clone()) {
            Some(KnowledgeChange::Refused(fault)) => Err(invalid(fault)),
            Some(change) => {
                self.changed(now, self.config.me.node, change);
                Ok(entry)
            }
            None => Ok(entry),
        }
    }

    fn set_access(&mut self, now: Now, mut entry: AccessEntry) -> Result<AccessEntry, Failure> {
        entry.grants.sort();
        entry.grants.dedup();
        entry.revoked = false;
        entry.version = self.access_version(&entry.subject) + 1;
        entry.check().map_err(invalid)?;
        self.put_access(now, entry)
    }

    fn revoke_access(&mut self, now: Now, subject: &Subject) -> Result<AccessEntry, Failure> {
        let held = match (self.known.access().get(subject), subject) {
            (Some(held), _) => held.clone(),
            // Nobody has limited it, and it may use all data.
            (None, Subject::Certificate(_)) => AccessEntry::none(subject.clone()),
            (None, Subject::Token(name)) => {
                return Err(invalid(format!(
                    "there is no token {name:?}; `jedlik-admin token list`"
                )));
            }
        };
        held.check().map_err(invalid)?;
        if held.revoked {
            return Ok(shown(&held));
        }
        let version = held.version + 1;
        self.put_access(now, AccessEntry { revoked: true, version, ..held })
    }

    fn access_version(&self, subject: &Subject) -> u64 {
        let held = self.known.access().get(subject);
        held.map_or(0, |entry| entry.version)
    }

    fn put_access(&mut self, now: Now, entry: AccessEntry) -> Result<AccessEntry, Failure> {
        let told = shown(&entry);
        match self.known.merge_access(entry) {
            Some(KnowledgeChange::Refused(fault)) => Err(invalid(fault)),
            Some(change) => {
                self.changed(now, self.config.me.node, change);
                Ok(told)
            }
            None => Ok(told),
        }
    }

    /// Refuses more replicas than there are nodes, since they could never all be written.
    fn check_n(&self, n: u8) -> Result<(), Failure> {
        let layout = self.known.newest().map(ActiveLayout::layout);
        let nodes = layout.map_or(self.known.members().len(), |layout| layout.ring.nodes().len());
        if usize::from(n) > nodes {
            return Err(invalid(format!(
                "n can't be {n}: there are {nodes} nodes to hold replicas; add nodes first"
            )));
        }
        Ok(())
    }
}

/// Returns an entry as an admin is shown it, without the hash of its secret.
fn shown(entry: &AccessEntry) -> AccessEntry {
    AccessEntry { secret_hash: [0; 32], ..entry.clone() }
}

/// Refuses a `min_w` above the `w` that the changes leave, since the lesser of the two would count.
fn check_min_w(changes: &[(String, String)], w: u8) -> Result<(), Failure> {
    let asked = changes.iter().filter(|(property, _)| property == "min_w");
    let asked = asked.filter_map(|(_, value)| value.parse::<u8>().ok()).max();
    match asked {
        Some(min_w) if min_w > w => {
            Err(invalid(format!("min_w can't be {min_w} while w is {w}: set w={min_w} as well")))
        }
        _ => Ok(()),
    }
}

/// Whether a request changes what all nodes are to agree on.
fn alters_the_cluster(request: &AdminRequest) -> bool {
    match request {
        AdminRequest::Stage { dry_run, .. } | AdminRequest::Commit { dry_run, .. } => !dry_run,
        AdminRequest::Unstage { .. }
        | AdminRequest::BucketSet { .. }
        | AdminRequest::AccessSet(_)
        | AdminRequest::AccessRevoke(_) => true,
        _ => false,
    }
}

pub(crate) fn invalid(fault: impl core::fmt::Display) -> Failure {
    Failure::new(ErrorCode::InvalidRequest, format!("{fault}"))
}
