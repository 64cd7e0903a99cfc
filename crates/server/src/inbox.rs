//! What waits for one shard, and how much of it may.
//!
//! Invariant: requests are refused past the limit, answers past twice the limit; what the shard is owed
//! by its own node (completions, views, orders) is never refused, and is bounded by what it asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::LayoutVersion;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_storage::Completion;
use tokio::sync::oneshot;

use crate::reply::Origin;
use crate::stats::ShardReport;

/// One thing for a shard to deal with.
pub(crate) enum Mail {
    View(Arc<View>),
    Client { origin: Origin, request: ClientRequest },
    Peer { from: NodeId, origin: Origin, layout: LayoutVersion, heard: u64, request: PeerRequest },
    PeerAnswer { from: NodeId, id: u64, clock: u64, response: PeerResponse },
    PeerLost { node: NodeId },
    Completed(Vec<Completion>),
    Report(oneshot::Sender<ShardReport>),
    Repair(Option<Partition>),
    SetBackground(BackgroundChange),
    Close,
}

/// The sending end of a shard's queue; clones share it.
#[derive(Clone)]
pub(crate) struct Inbox {
    sender: mpsc::Sender<Mail>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

/// The shard's end.
pub(crate) struct InboxReader {
    receiver: mpsc::Receiver<Mail>,
    waiting: Arc<AtomicUsize>,
}

/// A queue that holds `limit` requests.
pub(crate) fn inbox(limit: usize) -> (Inbox, InboxReader) {
    let (sender, receiver) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Inbox { sender, waiting: Arc::clone(&waiting), limit }, InboxReader { receiver, waiting })
}

impl Inbox {
    /// Puts in a request, or gives it back if too much waits.
    #[must_use]
    pub(crate) fn offer(&self, mail: Mail) -> Option<Mail> {
        self.put(mail, self.limit)
    }

    /// Puts in a peer's answer, or gives it back if far too much waits: its request then times out.
    #[must_use]
    pub(crate) fn offer_answer(&self, mail: Mail) -> Option<Mail> {
        self.put(mail, self.limit * 2)
    }

    /// Puts in what must not be refused.
    pub(crate) fn push(&self, mail: Mail) {
        // A shard that has gone needs nothing any more.
        let _gone = self.put(mail, usize::MAX);
    }

    /// How much waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn put(&self, mail: Mail, limit: usize) -> Option<Mail> {
        if self.waiting.load(Ordering::Relaxed) >= limit {
            return Some(mail);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let returned = self.sender.send(mail).err()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(returned.0)
    }
}

impl InboxReader {
    /// The next mail, waiting for it up to `timeout` (for ever if there is none).
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Option<Mail> {
        let received = match timeout {
            Some(timeout) => match self.receiver.recv_timeout(timeout) {
                Err(RecvTimeoutError::Disconnected) => Some(Mail::Close),
                other => other.ok(),
            },
            None => Some(self.receiver.recv().unwrap_or(Mail::Close)),
        };
        self.counted(received)
    }

    /// The next mail, if it is there already.
    pub(crate) fn next_now(&self) -> Option<Mail> {
        self.counted(self.receiver.try_recv().ok())
    }

    fn counted(&self, mail: Option<Mail>) -> Option<Mail> {
        if mail.is_some() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        mail
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jedlik_hashing::NodeId;

    use super::{Mail, inbox};

    fn mail() -> Mail {
        Mail::PeerLost { node: NodeId(1) }
    }

    #[test]
    fn requests_are_refused_at_the_limit_answers_at_twice_the_limit_and_orders_never() {
        let (inbox, reader) = inbox(2);
        assert!(inbox.offer(mail()).is_none() && inbox.offer(mail()).is_none());
        assert!(inbox.offer(mail()).is_some());
        assert!(inbox.offer_answer(mail()).is_none() && inbox.offer_answer(mail()).is_none());
        assert!(inbox.offer_answer(mail()).is_some());
        inbox.push(mail());
        assert_eq!(inbox.waiting(), 5);
        for _ in 0..4 {
            assert!(reader.next_now().is_some());
        }
        assert!(inbox.offer(mail()).is_none());
    }

    #[test]
    fn a_reader_waits_no_longer_than_it_may_and_ends_with_its_last_sender() {
        let (inbox, reader) = inbox(1);
        assert!(reader.next(Some(Duration::from_millis(1))).is_none());
        drop(inbox);
        assert!(matches!(reader.next(None), Some(Mail::Close)));
    }
}
