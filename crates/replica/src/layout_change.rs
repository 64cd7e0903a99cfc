//! Requests that meet another layout than the node's own
//! ([design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariant: no client's request fails for it. One whose coordinator is behind begins anew under the next
//! view; one whose receiver is behind is sent again in a moment.

use alloc::vec::Vec;

use jedlik_protocol::error::ErrorCode;

use crate::cx::Cx;
use crate::io::Output;
use crate::operations::{Operation, Operations};
use crate::pending::{PeerCall, Purpose};

/// Time after which a node that did not know the layout is asked again, in microseconds. It learns the layout
/// by gossip, which its own refusal has set going.
const ASK_AGAIN_AFTER_US: u64 = 20_000;

impl Operations {
    /// Deals with a refusal that is no failure of the node; gives the call back if it is one.
    pub(crate) fn handle_refused(
        &mut self,
        cx: &mut Cx,
        mut call: PeerCall,
        code: ErrorCode,
    ) -> Option<PeerCall> {
        let waits = matches!(call.purpose, Purpose::Operation(_));
        match code {
            ErrorCode::TooOld => {
                // The peer has told its clock with the refusal.
                let Some(request) = call.again.take() else { return Some(call) };
                cx.ask(call.node, call.purpose, request, None);
                None
            }
            ErrorCode::StaleLayout => {
                cx.emit(Output::Behind { node: call.node });
                // The operation begins anew with the next view.
                (!waits).then_some(call)
            }
            // A node that has just started tells the peer so; a node that runs twice hears of the other process.
            ErrorCode::OtherLife if !cx.is_disputed() => {
                cx.emit(Output::Behind { node: call.node });
                self.ask_later(cx, call)
            }
            ErrorCode::UnknownLayout => self.ask_later(cx, call),
            _ => Some(call),
        }
    }

    /// Repeats a call that an operation waits for in a moment; gives back any other.
    fn ask_later(&mut self, cx: &mut Cx, call: PeerCall) -> Option<PeerCall> {
        let waits = matches!(call.purpose, Purpose::Operation(_));
        if !waits || call.again.is_none() {
            return Some(call);
        }
        let id = cx.pending.operation();
        self.deferred.insert((cx.now.mono_us + ASK_AGAIN_AFTER_US, id), call);
        None
    }

    /// Repeats the calls to nodes that did not know the layout, as long as their operations wait for the answer.
    pub(crate) fn ask_again(&mut self, cx: &mut Cx) {
        while let Some(due) = self.deferred.first_entry()
            && due.key().0 <= cx.now.mono_us
        {
            let mut call = due.remove();
            let Purpose::Operation(caller) = call.purpose else { continue };
            if !self.by_id.contains_key(&caller.operation) {
                continue;
            }
            if call.expires_us <= cx.now.mono_us {
                cx.emit(Output::Outcome { node: call.node, answered: false });
                self.handle_lost(cx, call.node, caller);
            } else if let Some(request) = call.again.take() {
                let again = Some(request.clone());
                cx.ask(call.node, call.purpose, request, again);
            }
        }
    }

    /// Begins operations anew under another layout, so that no request fails for the change.
    pub(crate) fn restart(&mut self, cx: &mut Cx) {
        self.queues.forget_rounds();
        let begins_anew = |operation: &Operation| match operation {
            Operation::Put(_) | Operation::Get(_) | Operation::Scan(_) | Operation::Waiting(_) => {
                true
            }
            Operation::Forward(_) | Operation::Explain(_) => false,
        };
        let open = self.by_id.iter().filter(|(_, operation)| begins_anew(operation));
        for id in open.map(|(id, _)| *id).collect::<Vec<_>>() {
            match self.end(id) {
                Some(Operation::Put(put)) => self.restart_put(cx, *put),
                Some(Operation::Get(get)) => self.restart_get(cx, *get),
                Some(Operation::Scan(scan)) => self.restart_scan(cx, *scan),
                Some(Operation::Waiting(put)) => self.replan_waiting(cx, id, &put),
                Some(Operation::Forward(_) | Operation::Explain(_)) | None => {}
            }
        }
        self.queues.begin_rounds(cx);
    }
}
