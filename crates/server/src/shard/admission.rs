//! Admission of requests to a shard, before anything is done for them.
//!
//! Invariant: what is refused here has changed nothing and was sent to nobody, so it may be sent again at once.

use jedlik_protocol::Now;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use jedlik_protocol::peer::PeerRequest;
use jedlik_storage::StoreError;

use super::ShardDriver;
use super::asking::collects;
use super::disk::needs_disk;
use crate::reply::{Origin, untaken};

impl ShardDriver {
    /// Refuses a client's read for whose answer there is no room, before anything is read for it.
    pub(super) fn room_for_client(
        &mut self,
        now: Now,
        origin: &Origin,
        request: &ClientRequest,
    ) -> Result<(), Failure> {
        let reads = matches!(request, ClientRequest::Get(_) | ClientRequest::Scan(_));
        if reads && !origin.has_room(SMALL_FRAME_BYTES + 1) {
            self.counts.refusals += 1;
            return Err(untaken());
        }
        self.room_for(now, request)
    }

    /// Refuses a request if too much is under way already, before anything is done for it, and a put, before it is
    /// minted, if storage could not take it.
    pub(super) fn room_for(&mut self, now: Now, request: &ClientRequest) -> Result<(), Failure> {
        let under_way = self.replica.operations();
        if under_way >= self.around.limits.operations || self.replies.bytes.is_full(1) {
            let bytes = self.replies.bytes.held_by_all();
            let message = format!(
                "the node is at work on {under_way} requests with {bytes} bytes, all that limits.queue_inputs and \
                 limits.queue_bytes allow; nothing was done, try again"
            );
            self.counts.refusals += 1;
            return Err(Failure::new(ErrorCode::Overloaded, message));
        }
        if !matches!(request, ClientRequest::Put(_)) {
            return Ok(());
        }
        self.admit_to_disk(now)?;
        self.storage.admit().map_err(|error| {
            let code = match error {
                StoreError::Overloaded { .. } => ErrorCode::Overloaded,
                _ => ErrorCode::Storage,
            };
            Failure::new(code, error.to_string())
        })
    }

    pub(super) fn room_to_coordinate(
        &mut self,
        now: Now,
        request: &PeerRequest,
    ) -> Result<(), Failure> {
        match request {
            PeerRequest::Forward(request) => self.room_for(now, request),
            request if needs_disk(request) => self.admit_to_disk(now),
            request if collects(request) => self.around.ticks.admit_collection(),
            _ => Ok(()),
        }
    }

    fn admit_to_disk(&mut self, now: Now) -> Result<(), Failure> {
        let admitted = self.disk.admit(now);
        self.counts.refusals += u64::from(admitted.is_err());
        admitted
    }
}
