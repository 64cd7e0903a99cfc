//! The table of requests that wait for their answers, over all connections.
//!
//! Invariant: an entry leaves the table once: answered, given up by its caller, or ended with its connection. An answer
//! counts only on the connection that its request left on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jedlik_net::{CloseReason, Connection, Handler};
use jedlik_protocol::LayoutVersion;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::Frame;
use tokio::sync::oneshot;

/// A node's answer, and the layout that the node has.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Version of the layout that the node has.
    pub(crate) layout: LayoutVersion,
    pub(crate) response: ClientResponse,
}

struct Waiting {
    connection: u64,
    coming: Coming,
    answer: oneshot::Sender<Result<Answer, CloseReason>>,
}

/// Flag that the node has announced the answer as made and on its way; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coming(Arc<AtomicBool>);

impl Coming {
    /// Notes that the node has announced the answer.
    pub(crate) fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Table of all waiting requests; also the transport's handler for received frames.
#[derive(Default)]
pub(crate) struct Calls {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

/// One entry of the table, held by the caller that waits for it; dropping it gives the answer up.
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    id: u64,
    /// Connection on which to withdraw the request if the caller gives it up; `None` if the node isn't told.
    withdraw_at: Option<Connection>,
    answer: oneshot::Receiver<Result<Answer, CloseReason>>,
}

impl Calls {
    /// Adds an entry for a request that is about to leave on the connection with this identity.
    pub(crate) fn enter(&self, connection: u64, coming: Coming) -> Call<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.table().insert(id, Waiting { connection, coming, answer: sender });
        Call { calls: self, id, withdraw_at: None, answer }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, connection: u64, frames: impl Iterator<Item = Frame>) {
        let mut table = self.table();
        for frame in frames {
            let (id, layout, response) = match frame {
                Frame::ClientResponse { id, layout, response } => (id, layout, response),
                Frame::Coming { id, .. } => {
                    let waiting = table.get(&id).filter(|waiting| waiting.connection == connection);
                    waiting.inspect(|waiting| waiting.coming.announce());
                    continue;
                }
                _ => continue,
            };
            if table.get(&id).is_some_and(|waiting| waiting.connection == connection)
                && let Some(waiting) = table.remove(&id)
            {
                // A caller that has just given up has dropped its end.
                let _ = waiting.answer.send(Ok(Answer { layout, response }));
            }
        }
    }

    fn end_connection(&self, connection: u64, why: &CloseReason) {
        let on_it = |_: &u64, waiting: &mut Waiting| waiting.connection == connection;
        for (_, waiting) in self.table().extract_if(on_it) {
            let _ = waiting.answer.send(Err(why.clone()));
        }
    }
}

impl Handler for Calls {
    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        self.answer(connection.id(), frames.drain(..));
    }

    fn closed(&self, connection: &Connection, why: &CloseReason) {
        self.end_connection(connection.id(), why);
    }
}

impl Call<'_> {
    /// Returns the request's identity on the wire.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Withdraws the request at the node if the answer is given up, so that the node doesn't work for nobody.
    pub(crate) fn withdraw_at(&mut self, connection: Connection) {
        self.withdraw_at = Some(connection);
    }

    /// Waits for the answer, or for the reason why the connection ended first. Safe to cancel: nothing is lost.
    pub(crate) async fn answered(&mut self) -> Result<Answer, CloseReason> {
        (&mut self.answer).await.expect("an entry leaves the table answered while its caller waits")
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let given_up = self.calls.table().remove(&self.id).is_some();
        if given_up && let Some(connection) = &self.withdraw_at {
            // If the queue is full the node isn't told, and its answer finds no entry.
            let _ = connection.send(Frame::Withdraw { id: self.id });
        }
    }
}

#[cfg(test)]
mod tests {
    use jedlik_net::CloseReason;
    use jedlik_protocol::client::ClientResponse;
    use jedlik_protocol::codec::Frame;
    use jedlik_protocol::error::{ErrorCode, Failure};

    use super::{Calls, Coming};

    fn response(id: u64) -> Frame {
        let failure = Failure::new(ErrorCode::Internal, id.to_string());
        Frame::ClientResponse { id, layout: id, response: ClientResponse::Failed(failure) }
    }

    #[tokio::test]
    async fn answers_come_in_any_order() {
        let calls = Calls::default();
        let (mut first, mut second) =
            (calls.enter(1, Coming::default()), calls.enter(1, Coming::default()));
        calls.answer(1, [response(second.id()), response(first.id())].into_iter());
        let ids = (first.id(), second.id());
        assert_eq!(first.answered().await.unwrap().layout, ids.0);
        assert_eq!(second.answered().await.unwrap().layout, ids.1);
        assert!(calls.table().is_empty());
    }

    #[tokio::test]
    async fn an_answer_from_another_connection_is_not_taken() {
        let calls = Calls::default();
        let mut call = calls.enter(1, Coming::default());
        calls.answer(2, [response(call.id())].into_iter());
        calls.end_connection(1, &CloseReason::Silent);
        assert!(call.answered().await.is_err());
    }

    #[tokio::test]
    async fn a_lost_connection_ends_its_own_calls_only() {
        let calls = Calls::default();
        let (mut lost, mut kept) =
            (calls.enter(1, Coming::default()), calls.enter(2, Coming::default()));
        calls.end_connection(1, &CloseReason::Silent);
        assert!(lost.answered().await.is_err());
        calls.answer(2, [response(kept.id())].into_iter());
        assert!(kept.answered().await.is_ok());
    }

    #[test]
    fn an_answer_is_coming_once_its_own_connection_has_said_so() {
        let (calls, coming) = (Calls::default(), Coming::default());
        let call = calls.enter(1, coming.clone());
        let frame = || [Frame::Coming { id: call.id(), bytes: 1 }].into_iter();
        calls.answer(2, frame());
        assert!(!coming.is_announced());
        calls.answer(1, frame());
        assert!(coming.is_announced());
    }

    #[test]
    fn a_call_that_is_given_up_leaves_the_table() {
        let calls = Calls::default();
        drop(calls.enter(1, Coming::default()));
        assert!(calls.table().is_empty());
    }
}
