//! What a replica does for its peers, and what it makes of storage's answers.
//!
//! Invariant: the layout fence. A request made under an older layout than this replica's is refused.

use alloc::format;

use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, LayoutVersion, Now, PlacedKey, StoredRecord};
use jedlik_vclock::planted::{self, Bug};

use crate::get::GetOperation;
use crate::io::{Counter, Output, RangeResult, StorageFault};
use crate::pending::{OperationId, Ticket};
use crate::replica::{Operation, Replica};
use crate::scan::wire_page;

impl Replica {
    pub(crate) fn serve(
        &mut self,
        now: Now,
        reply: u64,
        layout: LayoutVersion,
        request: PeerRequest,
    ) {
        let view = match self.fence(layout) {
            Ok(view) => view,
            Err(failure) => return self.emit_refusal(reply, failure),
        };
        let place = (self.config.cluster, view.partitions());
        match request {
            PeerRequest::Write { key, record, durability } => {
                let ticket = self.pending.ticket(Ticket::ServeWrite { reply });
                let key = PlacedKey::new(place.0, place.1, key);
                let record = StoredRecord { local: None, record };
                self.emit(Output::Apply { ticket, key, record, durability });
            }
            PeerRequest::Read { key, known } => {
                let ticket = self.pending.ticket(Ticket::ServeRead { reply, known });
                let key = PlacedKey::new(place.0, place.1, key);
                self.emit(Output::Load { ticket, key });
            }
            PeerRequest::Scan { bucket, partition, after, limit } => {
                let ticket = self.pending.ticket(Ticket::ServeScan { reply });
                let after = after.map(|mark| self.placed(mark, place));
                self.emit(Output::Range { ticket, bucket, partition, after, limit });
            }
            PeerRequest::Forward(request) => self.start_forwarded(now, reply, request),
        }
    }

    fn fence(
        &mut self,
        theirs: LayoutVersion,
    ) -> Result<alloc::sync::Arc<jedlik_membership::View>, Failure> {
        let view = self.ready()?;
        let ours = view.layout_version();
        if theirs < ours {
            self.count(Counter::StaleLayouts);
            let message =
                format!("the request was made under layout {theirs}; this node has {ours}");
            return Err(Failure::new(ErrorCode::StaleLayout, message));
        }
        if theirs > ours {
            let message = format!("this node has layout {ours} and is waiting for {theirs}");
            return Err(Failure::new(ErrorCode::NotReady, message));
        }
        Ok(view)
    }

    pub(crate) fn handle_loaded(
        &mut self,
        now: Now,
        ticket: u64,
        result: Result<Option<StoredRecord>, StorageFault>,
    ) {
        match self.pending.take_ticket(ticket) {
            Some(Ticket::Mint(key)) => self.mint_waiting(now, &key, result),
            Some(Ticket::Local { operation, .. }) => self.handle_own_record(now, operation, result),
            Some(Ticket::ServeRead { reply, known }) => self.answer_read(reply, known, result),
            _ => {}
        }
    }

    fn handle_own_record(
        &mut self,
        now: Now,
        id: OperationId,
        result: Result<Option<StoredRecord>, StorageFault>,
    ) {
        let result = self.damaged_is_missing(result);
        let me = self.config.me;
        if let Some(Operation::Get(GetOperation { machine, .. })) = self.operations.get_mut(&id) {
            match result {
                Ok(stored) => {
                    machine.handle_record(now.mono_us, me, stored.map(|stored| stored.record));
                }
                Err(_) => machine.handle_failure(now.mono_us, me),
            }
            self.drive(now, id);
        }
    }

    fn answer_read(
        &mut self,
        reply: u64,
        known: Option<Digest>,
        result: Result<Option<StoredRecord>, StorageFault>,
    ) {
        let response = match self.damaged_is_missing(result) {
            Ok(Some(stored)) if known == Some(stored.record.digest()) => PeerResponse::Same,
            Ok(stored) => PeerResponse::Read(stored.map(|stored| stored.record)),
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.emit(Output::AnswerPeer { reply, response });
    }

    fn damaged_is_missing(
        &mut self,
        result: Result<Option<StoredRecord>, StorageFault>,
    ) -> Result<Option<StoredRecord>, StorageFault> {
        if result == Err(StorageFault::Damaged) {
            self.count(Counter::DamagedRecords);
            return Ok(None);
        }
        result
    }

    pub(crate) fn handle_applied(
        &mut self,
        now: Now,
        ticket: u64,
        result: Result<(), StorageFault>,
    ) {
        match self.pending.take_ticket(ticket) {
            Some(Ticket::ServeWrite { reply }) => {
                let response = match result {
                    Ok(()) => PeerResponse::Written,
                    Err(fault) => PeerResponse::Refused(fault.failure()),
                };
                self.emit(Output::AnswerPeer { reply, response });
            }
            Some(Ticket::Local { operation, durability }) => {
                self.handle_own_write(now, operation, durability, &result);
            }
            _ => {}
        }
    }

    fn handle_own_write(
        &mut self,
        now: Now,
        id: OperationId,
        durability: Durability,
        result: &Result<(), StorageFault>,
    ) {
        if result.is_err() && !planted::on(Bug::DotReusedAfterLostWrite) {
            self.renew_incarnation();
        }
        let me = self.config.me;
        if let Some(Operation::Put(put)) = self.operations.get_mut(&id) {
            match result {
                Ok(()) => put.machine.handle_acknowledgement(me, durability),
                Err(fault) => put.handle_fault(now, me, fault),
            }
            self.drive(now, id);
        }
    }

    pub(crate) fn handle_ranged(
        &mut self,
        now: Now,
        ticket: u64,
        result: Result<RangeResult, StorageFault>,
    ) {
        match self.pending.take_ticket(ticket) {
            Some(Ticket::Local { operation, .. }) => self.handle_local_page(now, operation, result),
            Some(Ticket::ServeScan { reply }) => {
                let response = match result {
                    Ok(range) => PeerResponse::Page(wire_page(range)),
                    Err(fault) => PeerResponse::Refused(fault.failure()),
                };
                self.emit(Output::AnswerPeer { reply, response });
            }
            _ => {}
        }
    }

    fn emit_refusal(&mut self, reply: u64, failure: Failure) {
        self.emit(Output::AnswerPeer { reply, response: PeerResponse::Refused(failure) });
    }
}
