//! What doors ask of the router, beside having requests routed.
//!
//! Invariant: whoever comes by a door has no way around [`Router::permit`].

use std::sync::Arc;

use jedlik_door::Token;
use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};

use super::Router;
use crate::access::{self, Asker};
use crate::inbox::Mail;
use crate::questions::changes_state;

impl Router {
    /// Lets a request through if whoever asks may have it carried out.
    pub(crate) fn permit(
        &self,
        view: &View,
        asker: &Asker,
        request: &ClientRequest,
    ) -> Result<(), Failure> {
        access::permit(view, self.clock.wall_ms(), asker, request)
    }

    /// Whether a token is known, has the right secret, and is in force.
    pub(crate) fn knows_token(&self, token: &Token) -> bool {
        access::is_token(&self.view(), self.clock.wall_ms(), token)
    }

    /// Tells the shards that nobody waits for the answer to a request any more.
    pub(crate) fn withdraw(&self, connection: u64, id: u64) {
        for desk in &self.shards {
            // Where this finds no room, the request is done for nobody.
            let _full = desk.inbox.offer(Mail::Withdrawn { connection, id });
        }
    }

    /// Asks another member what it reports of itself.
    pub(crate) async fn ask_member(
        self: Arc<Self>,
        member: NodeId,
        request: AdminRequest,
    ) -> ClientResponse {
        if changes_state(&request) {
            let message = "a member is only asked what it reports, through another one";
            return ClientResponse::Failed(Failure::new(ErrorCode::Forbidden, message));
        }
        self.questions.ask(&self.peers, member, request).await
    }
}
