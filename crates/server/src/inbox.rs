//! Queue of what waits for one shard, and its limits.
//!
//! Invariant: requests are refused past the limits, in number and in bytes, answers past twice the limits;
//! what the shard is owed by its own node (completions, views, orders) is never refused, and is bounded by
//! what it asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Stamp, Terms};
use jedlik_replica::Recalled;
use jedlik_storage::Completion;
use tokio::sync::oneshot;

use crate::pool::Share;
use crate::progress::Progress;
use crate::reply::Origin;
use crate::stats::ShardReport;
use crate::weight;

/// Message that a shard deals with.
pub(crate) enum Mail {
    View(Arc<View>),
    Client {
        origin: Origin,
        request: ClientRequest,
    },
    Peer {
        from: NodeId,
        origin: Origin,
        terms: Terms,
        request: PeerRequest,
    },
    PeerAnswer {
        from: NodeId,
        id: u64,
        stamp: Stamp,
        response: PeerResponse,
    },
    PeerLost {
        node: NodeId,
    },
    /// The client of that connection no longer waits for the answer to its request `id`.
    Withdrawn {
        connection: u64,
        id: u64,
    },
    Completed(Vec<Completion>),
    /// The earlier copy of the shard can be asked for records.
    CopyAtHand,
    Recalled(Recalled),
    Report(oneshot::Sender<ShardReport>),
    Repair(Option<Partition>),
    SetBackground(BackgroundChange),
    Believe,
    Close,
}

/// Limits on what may wait in an inbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InboxLimits {
    pub(crate) inputs: usize,
    /// Time after which a shard that is still at one thing is given no more requests.
    pub(crate) stall_after: Duration,
}

/// Sending end of a shard's queue; clones share it.
#[derive(Clone)]
pub(crate) struct Inbox {
    sender: mpsc::Sender<Mail>,
    waiting: Arc<Waiting>,
    limits: InboxLimits,
}

/// Receiving end of a shard's queue.
pub(crate) struct InboxReader {
    receiver: mpsc::Receiver<Mail>,
    waiting: Arc<Waiting>,
}

/// Number and size of what waits, and the shard's progress.
#[derive(Debug)]
struct Waiting {
    inputs: AtomicUsize,
    bytes: Share,
    progress: Progress,
}

impl Waiting {
    fn add(&self, bytes: usize) {
        self.inputs.fetch_add(1, Ordering::Relaxed);
        self.bytes.add(bytes);
    }

    fn subtract(&self, bytes: usize) {
        self.inputs.fetch_sub(1, Ordering::Relaxed);
        self.bytes.subtract(bytes);
    }
}

/// Makes an empty queue; `bytes` counts what waits in it.
pub(crate) fn inbox(limits: InboxLimits, bytes: Share) -> (Inbox, InboxReader) {
    let (sender, receiver) = mpsc::channel();
    let progress = Progress::new(limits.stall_after);
    let waiting = Arc::new(Waiting { inputs: AtomicUsize::new(0), bytes, progress });
    (Inbox { sender, waiting: Arc::clone(&waiting), limits }, InboxReader { receiver, waiting })
}

impl Inbox {
    /// Queues a request, or gives it back if too much waits, or the shard stands still.
    #[must_use]
    pub(crate) fn offer(&self, mail: Mail) -> Option<Mail> {
        if self.stalled().is_some() { Some(mail) } else { self.put(mail, 1) }
    }

    /// Returns how long the shard has stood still; `None` if it works.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        self.waiting.progress.stalled()
    }

    /// Returns the failure with which a request that was given back is answered.
    pub(crate) fn refusal(&self) -> Failure {
        let message = match self.stalled() {
            Some(stalled) => format!(
                "a shard of the node has not finished what it is at for {} s, its disk may stand still; nothing \
                 was done, ask another",
                stalled.as_secs()
            ),
            None => "the node's queue is full (limits.queue_inputs, limits.queue_bytes); nothing was done, try again"
                .into(),
        };
        Failure::new(ErrorCode::Overloaded, message)
    }

    /// Queues a peer's answer, or gives it back if far too much waits: the request then times out.
    #[must_use]
    pub(crate) fn offer_answer(&self, mail: Mail) -> Option<Mail> {
        self.put(mail, 2)
    }

    /// Queues mail that must not be refused.
    pub(crate) fn push(&self, mail: Mail) {
        // A shard that has ended needs nothing any more.
        let _gone = self.send(mail);
    }

    /// Returns the number of inputs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.inputs.load(Ordering::Relaxed)
    }

    /// Queues mail, or gives it back if so many times the limits wait already.
    fn put(&self, mail: Mail, times: usize) -> Option<Mail> {
        let full = self.waiting.inputs.load(Ordering::Relaxed) >= self.limits.inputs * times
            || self.waiting.bytes.is_full(times);
        if full { Some(mail) } else { self.send(mail) }
    }

    fn send(&self, mail: Mail) -> Option<Mail> {
        let bytes = weight::of_mail(&mail);
        self.waiting.progress.expect();
        self.waiting.add(bytes);
        let returned = self.sender.send(mail).err()?;
        self.waiting.subtract(bytes);
        Some(returned.0)
    }
}

impl InboxReader {
    /// Returns the next mail, and waits for it up to `timeout`, without a limit if that is `None`.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Option<Mail> {
        self.waiting.progress.rest();
        let received = match timeout {
            Some(timeout) => match self.receiver.recv_timeout(timeout) {
                Err(RecvTimeoutError::Disconnected) => Some(Mail::Close),
                other => other.ok(),
            },
            None => Some(self.receiver.recv().unwrap_or(Mail::Close)),
        };
        self.counted(received)
    }

    /// Returns the next mail if it is there already.
    pub(crate) fn next_now(&self) -> Option<Mail> {
        self.counted(self.receiver.try_recv().ok())
    }

    fn counted(&self, mail: Option<Mail>) -> Option<Mail> {
        self.waiting.progress.begin();
        if let Some(mail) = &mail {
            self.waiting.subtract(weight::of_mail(mail));
        }
        mail
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jedlik_hashing::NodeId;
    use jedlik_protocol::peer::PeerResponse;
    use jedlik_protocol::{EncodedRecord, Record, Stamp};
    use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

    use super::{InboxLimits, Mail, inbox};
    use crate::pool::Pool;

    const LIMITS: InboxLimits = InboxLimits { inputs: 100, stall_after: Duration::from_secs(600) };

    fn large(length: usize) -> Record {
        let mut record = Record::new();
        let write = Write {
            write_id: WriteId(1),
            written_at_ms: 1,
            expires_at_ms: None,
            content: Content::Value(vec![0; length].into()),
        };
        record.put(&VectorClock::new(), ActorId(1), write);
        record
    }

    fn mail() -> Mail {
        Mail::PeerLost { node: NodeId(1) }
    }

    #[test]
    fn requests_are_refused_at_the_limit_answers_at_twice_the_limit_and_orders_never() {
        let (inbox, reader) =
            inbox(InboxLimits { inputs: 2, ..LIMITS }, Pool::new(1_000, 1).share());
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
    fn a_few_large_requests_fill_the_queue_as_many_small_ones_do() {
        let (inbox, reader) = inbox(LIMITS, Pool::new(1_000, 1).share());
        let record = EncodedRecord::encode(&large(600));
        let answer = || Mail::PeerAnswer {
            from: NodeId(1),
            id: 1,
            stamp: Stamp::UNTOLD,
            response: PeerResponse::Read(Some(record.clone())),
        };
        assert!(inbox.offer(answer()).is_none() && inbox.offer(answer()).is_none());
        assert!(inbox.offer(mail()).is_some(), "more than 1,000 bytes wait");
        assert!(inbox.offer_answer(mail()).is_none(), "an answer may still come");
        assert!(reader.next_now().is_some());
        assert!(inbox.offer(mail()).is_none());
    }

    #[test]
    fn a_reader_waits_no_longer_than_it_may_and_ends_with_its_last_sender() {
        let (inbox, reader) = inbox(LIMITS, Pool::new(1_000, 1).share());
        assert!(reader.next(Some(Duration::from_millis(1))).is_none());
        drop(inbox);
        assert!(matches!(reader.next(None), Some(Mail::Close)));
    }

    #[test]
    fn what_waits_for_one_shard_counts_for_the_others_which_keep_a_least_of_their_own() {
        let pool = Pool::new(1_000, 2);
        let (first, reader) = inbox(LIMITS, pool.share());
        let (second, _other) = inbox(LIMITS, pool.share());
        let record = EncodedRecord::encode(&large(600));
        let answer = || Mail::PeerAnswer {
            from: NodeId(1),
            id: 1,
            stamp: Stamp::UNTOLD,
            response: PeerResponse::Read(Some(record.clone())),
        };
        assert!(first.offer(answer()).is_none() && first.offer(answer()).is_none());
        assert!(first.offer(mail()).is_some(), "they fill the node's queue");
        assert!(second.offer(answer()).is_none(), "the other shard has a least of its own");
        assert!(second.offer(mail()).is_some(), "and no more");
        assert!(reader.next_now().is_some() && reader.next_now().is_some());
        assert!(second.offer(mail()).is_none());
    }

    #[test]
    fn a_shard_that_stands_still_is_given_no_requests_until_it_goes_on() {
        let limits = InboxLimits { stall_after: Duration::ZERO, ..LIMITS };
        let (inbox, reader) = inbox(limits, Pool::new(1_000, 1).share());
        assert!(inbox.offer(mail()).is_none(), "it waits for something to do");
        assert!(inbox.offer(mail()).is_some(), "it has not taken what it was given");
        assert!(reader.next(None).is_some());
        assert!(inbox.stalled().is_some() && inbox.offer(mail()).is_some());
        assert!(inbox.refusal().message.contains("ask another"));
        assert!(inbox.offer_answer(mail()).is_none(), "what it has asked for may still come");
        inbox.push(mail());
        assert!(reader.next_now().is_some() && reader.next_now().is_some());
        assert!(inbox.offer(mail()).is_some(), "it is at the next one");
        let rests = std::thread::spawn(move || drop(reader.next(Some(Duration::from_secs(600)))));
        while inbox.stalled().is_some() {
            std::thread::yield_now();
        }
        inbox.push(mail());
        rests.join().unwrap();
    }
}
