//! Puts under a new layout, and puts whose time is up while they wait.
//!
//! Invariant: what was minted is written under the new layout, with the time that is left; what was not waits on.

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_protocol::error::{ErrorCode, Failure};

use super::operation::{PutOperation, WaitingPut};
use super::refuse_put;
use super::round::Group;
use crate::cx::Cx;
use crate::operations::{Operation, Operations};
use crate::pending::OperationId;

impl Operations {
    /// Has a waiting put go on under another layout.
    pub(crate) fn replan_waiting(&mut self, cx: &mut Cx, id: OperationId, put: &WaitingPut) {
        match self.plan_put(cx, put.asker, put.request.clone()) {
            Ok(mut new) => {
                (new.started_us, new.deadline_us) = (put.started_us, put.deadline_us);
                (new.passes_on, new.elsewhere) = (put.passes_on, put.elsewhere);
                new.plans.iter_mut().for_each(|plan| plan.deadline_us = put.deadline_us);
                self.by_id.insert(id, Operation::Waiting(Box::new(new)));
                self.drive(cx, id);
            }
            Err(failure) => {
                refuse_put(cx, put.asker, failure, put.elsewhere);
                self.leave_queue(cx, id, put);
            }
        }
    }

    /// Writes a minted and unanswered round anew under another layout, with the time that is left.
    pub(crate) fn restart_put(&mut self, cx: &mut Cx, put: PutOperation) {
        let mut groups: Vec<Group> = Vec::new();
        for member in put.members.into_iter().filter(|member| !member.answered) {
            match self.plan_put(cx, member.asker, member.request.clone()) {
                Ok(mut new) => {
                    new.plans.iter_mut().for_each(|plan| plan.deadline_us = member.deadline_us);
                    Group::add(&mut groups, Group::of(new, put.coordinator_copy, member));
                }
                // The put may be on some replicas.
                Err(failure) => refuse_put(cx, member.asker, failure, true),
            }
        }
        for group in groups {
            self.send_round(cx, &put.key, group, (put.stored.clone(), put.seen.clone()));
        }
    }

    /// Refuses a put whose turn did not come in time, or for which storage did not answer: nothing was minted.
    pub(crate) fn give_up_waiting(&mut self, cx: &mut Cx, id: OperationId) {
        if let Some(Operation::Waiting(put)) = self.end(id) {
            let message = "put: its turn among the puts of its key did not come before the timeout, or the \
                           coordinator's storage did not answer; nothing was done";
            let failure = Failure::new(ErrorCode::Timeout, message);
            refuse_put(cx, put.asker, failure, put.elsewhere);
            self.leave_queue(cx, id, &put);
        }
    }
}
