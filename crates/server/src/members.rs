//! Questions to other members, asked as a client asks them: what they report of themselves.
//!
//! Invariant: a question is answered by the member that it was sent to, or by nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::peers::Peers;

/// Time that a member has for an answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Questions that wait for their answers; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Questions(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    waiting: HashMap<u64, Waiting>,
}

struct Waiting {
    asked: NodeId,
    answer: oneshot::Sender<ClientResponse>,
}

/// Question that is forgotten when it is dropped.
struct Question {
    id: u64,
    questions: Questions,
}

impl Questions {
    /// Asks a member, and waits for its answer.
    pub(crate) async fn ask(
        &self,
        peers: &Peers,
        member: NodeId,
        request: AdminRequest,
    ) -> ClientResponse {
        let (answer, answered) = oneshot::channel();
        let question = self.open(member, answer);
        let request = ClientRequest::Admin(request);
        let frame = Frame::ClientRequest { id: question.id, request };
        if let Err(error) = peers.send(member, frame) {
            return silent(member, &error.to_string());
        }
        match timeout(LIMIT, answered).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) | Err(_) => silent(member, &format!("no answer within {LIMIT:?}")),
        }
    }

    /// Hands over an answer that has come from a member. One that nobody waits for, or another node's, is dropped.
    pub(crate) fn answered(&self, from: NodeId, id: u64, response: ClientResponse) {
        let waiting = {
            let mut open = self.lock();
            match open.waiting.get(&id) {
                Some(waiting) if waiting.asked == from => open.waiting.remove(&id),
                _ => None,
            }
        };
        if let Some(Waiting { answer, .. }) = waiting {
            // The asker may have run out of patience.
            let _gone = answer.send(response);
        }
    }

    fn open(&self, asked: NodeId, answer: oneshot::Sender<ClientResponse>) -> Question {
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        open.waiting.insert(id, Waiting { asked, answer });
        Question { id, questions: self.clone() }
    }

    // Nothing panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.questions.lock().waiting.remove(&self.id);
    }
}

fn silent(member: NodeId, why: &str) -> ClientResponse {
    let message = format!("{member} can't be asked: {why}; it may be down, try again later");
    ClientResponse::Failed(Failure::new(ErrorCode::Unavailable, message))
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;
    use jedlik_protocol::admin::AdminRequest;
    use jedlik_protocol::client::ClientResponse;
    use jedlik_protocol::error::{ErrorCode, Failure};
    use tokio::sync::oneshot;

    use super::Questions;
    use crate::peers::Peers;

    fn response(message: &str) -> ClientResponse {
        ClientResponse::Failed(Failure::new(ErrorCode::NotReady, message))
    }

    #[test]
    fn an_answer_counts_if_it_is_of_the_member_that_was_asked() {
        let questions = Questions::default();
        let (answer, mut answered) = oneshot::channel();
        let question = questions.open(NodeId(1), answer);
        questions.answered(NodeId(2), question.id, response("another's"));
        questions.answered(NodeId(1), question.id + 1, response("to nothing"));
        assert!(answered.try_recv().is_err());
        questions.answered(NodeId(1), question.id, response("it"));
        assert_eq!(answered.try_recv(), Ok(response("it")));
    }

    #[test]
    fn a_question_that_is_given_up_is_forgotten() {
        let questions = Questions::default();
        let (answer, _answered) = oneshot::channel();
        drop(questions.open(NodeId(1), answer));
        assert!(questions.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_node_that_is_no_member_is_not_waited_for() {
        let questions = Questions::default();
        let told = questions.ask(&Peers::default(), NodeId(1), AdminRequest::Status).await;
        let ClientResponse::Failed(failure) = told else { panic!("{told:?}") };
        assert_eq!(failure.code, ErrorCode::Unavailable);
        assert!(questions.lock().waiting.is_empty());
    }
}
