//! Queue of what waits for one shard, and its limits.
//!
//! Invariant: requests are refused past the limits, in number and in bytes, answers past twice the limits;
//! what the shard is owed by its own node (completions, views, orders) is never refused, and is bounded by
//! what it asked for.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
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
    shared: Arc<Shared>,
    limits: InboxLimits,
}

/// Receiving end of a shard's queue, for whoever does the shard's work at the moment.
#[derive(Clone)]
pub(crate) struct InboxReader {
    shared: Arc<Shared>,
}

/// Queue of one shard, with number and size of what waits, and the shard's progress.
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// Whether mail was left of which the thread was not told.
    left: AtomicBool,
    inputs: AtomicUsize,
    bytes: Share,
    progress: Progress,
}

#[derive(Default)]
struct Queue {
    mails: VecDeque<Mail>,
    /// Whether the shard's thread waits for mail.
    asleep: bool,
    /// Whether the thread was called while it was awake: it is not to wait before it has looked once more.
    called: bool,
}

/// Makes an empty queue; `bytes` counts what waits in it.
pub(crate) fn inbox(limits: InboxLimits, bytes: Share) -> (Inbox, InboxReader) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        filled: Condvar::new(),
        left: AtomicBool::new(false),
        inputs: AtomicUsize::new(0),
        bytes,
        progress: Progress::new(limits.stall_after),
    });
    (Inbox { shared: Arc::clone(&shared), limits }, InboxReader { shared })
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics with the queue locked")
    }

    fn push(&self, mail: Mail, wakes: bool) {
        self.progress.expect();
        self.inputs.fetch_add(1, Ordering::Relaxed);
        self.bytes.add(weight::of_mail(&mail));
        let mut queue = self.queue();
        queue.mails.push_back(mail);
        if wakes {
            self.wake(queue);
        } else {
            self.left.store(true, Ordering::Release);
        }
    }

    /// Wakes the thread if it waits: otherwise it looks at the queue before it does.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if mem::take(&mut queue.asleep) {
            drop(queue);
            self.filled.notify_one();
        }
    }
}

impl Inbox {
    /// Queues a request, or gives it back if too much waits, or the shard stands still.
    #[must_use]
    pub(crate) fn offer(&self, mail: Mail) -> Option<Mail> {
        self.offer_to(mail, true)
    }

    /// Queues a request as [`Self::offer`] does, and tells nobody: [`Desk::attend`] has to follow.
    ///
    /// [`Desk::attend`]: crate::shard::Desk::attend
    #[must_use]
    pub(crate) fn leave(&self, mail: Mail) -> Option<Mail> {
        self.offer_to(mail, false)
    }

    fn offer_to(&self, mail: Mail, wakes: bool) -> Option<Mail> {
        if self.stalled().is_some() { Some(mail) } else { self.put(mail, 1, wakes) }
    }

    /// Returns how long the shard has stood still; `None` if it works.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        self.shared.progress.stalled()
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

    /// Queues a peer's answer as [`Self::leave`] does, or gives it back if far too much waits: the request then times
    /// out.
    #[must_use]
    pub(crate) fn leave_answer(&self, mail: Mail) -> Option<Mail> {
        self.put(mail, 2, false)
    }

    /// Queues mail that must not be refused, as [`Self::leave`] does.
    pub(crate) fn leave_order(&self, mail: Mail) {
        self.shared.push(mail, false);
    }

    /// Queues mail that must not be refused.
    pub(crate) fn push(&self, mail: Mail) {
        self.shared.push(mail, true);
    }

    /// Takes the note that mail was left of which nobody was told, and returns whether there was one.
    pub(crate) fn take_left(&self) -> bool {
        let left = &self.shared.left;
        left.load(Ordering::Acquire) && left.swap(false, Ordering::AcqRel)
    }

    /// Has the shard's thread look what there is to do, be it mail or anything else.
    pub(crate) fn call(&self) {
        let mut queue = self.shared.queue();
        queue.called = true;
        self.shared.wake(queue);
    }

    /// Returns the number of inputs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.inputs.load(Ordering::Relaxed)
    }

    /// Queues mail, or gives it back if so many times the limits wait already.
    fn put(&self, mail: Mail, times: usize, wakes: bool) -> Option<Mail> {
        if self.waiting() >= self.limits.inputs * times || self.shared.bytes.is_full(times) {
            return Some(mail);
        }
        self.shared.push(mail, wakes);
        None
    }
}

impl InboxReader {
    /// Waits until there is mail, up to `timeout`; for the shard's thread alone.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut queue = self.shared.queue();
        if queue.mails.is_empty() && !queue.called {
            self.shared.progress.rest();
            queue.asleep = true;
            let sleeps = |queue: &mut Queue| queue.asleep && queue.mails.is_empty();
            let waited = self.shared.filled.wait_timeout_while(queue, timeout, sleeps);
            (queue, _) = waited.expect("nothing panics with the queue locked");
        }
        (queue.asleep, queue.called) = (false, false);
        self.shared.progress.begin();
    }

    /// Returns the next mail if it is there already.
    pub(crate) fn take(&self) -> Option<Mail> {
        self.take_if(|_| true)
    }

    /// Returns the next mail if it is there already and `wanted`.
    pub(crate) fn take_if(&self, wanted: impl FnOnce(&Mail) -> bool) -> Option<Mail> {
        let mail = self.shared.queue().mails.pop_front_if(|mail| wanted(mail))?;
        self.shared.progress.begin();
        self.shared.inputs.fetch_sub(1, Ordering::Relaxed);
        self.shared.bytes.subtract(weight::of_mail(&mail));
        Some(mail)
    }

    /// Puts mail back of which a part was taken; it comes first again.
    pub(crate) fn put_back(&self, mail: Mail) {
        self.shared.inputs.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.add(weight::of_mail(&mail));
        self.shared.queue().mails.push_front(mail);
    }

    /// Notes that somebody other than the shard's thread has done what it could. Returns whether anything is left.
    pub(crate) fn visited(&self) -> bool {
        let queue = self.shared.queue();
        if queue.asleep && queue.mails.is_empty() {
            self.shared.progress.rest();
        }
        !queue.mails.is_empty()
    }

    /// Waits for the next mail up to `timeout`, and takes it.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Mail> {
        self.wait(timeout);
        self.take()
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

    const LONG: Duration = Duration::from_secs(600);
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
        assert!(inbox.leave_answer(mail()).is_none() && inbox.leave_answer(mail()).is_none());
        assert!(inbox.leave_answer(mail()).is_some());
        inbox.push(mail());
        assert_eq!(inbox.waiting(), 5);
        for _ in 0..4 {
            assert!(reader.take().is_some());
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
        assert!(inbox.leave_answer(mail()).is_none(), "an answer may still come");
        assert!(reader.take().is_some());
        assert!(inbox.offer(mail()).is_none());
    }

    #[test]
    fn a_reader_waits_no_longer_than_it_may_and_no_longer_than_it_has_to() {
        let (inbox, reader) = inbox(LIMITS, Pool::new(1_000, 1).share());
        assert!(reader.next(Duration::from_millis(1)).is_none());
        let waits = std::thread::spawn(move || reader.next(LONG).is_some());
        inbox.push(mail());
        assert!(waits.join().unwrap());
    }

    #[test]
    fn mail_that_is_left_wakes_nobody_until_somebody_sees_to_it() {
        let (inbox, reader) = inbox(LIMITS, Pool::new(1_000, 1).share());
        let waits = {
            let reader = reader.clone();
            std::thread::spawn(move || reader.wait(LONG))
        };
        while !reader.shared.queue().asleep {
            std::thread::yield_now();
        }
        assert!(inbox.leave(mail()).is_none() && inbox.leave_answer(mail()).is_none());
        assert!(reader.shared.queue().asleep && inbox.waiting() == 2);
        assert!(reader.take_if(|_| false).is_none());
        assert!(reader.take_if(|_| true).is_some() && reader.visited(), "one is left");
        assert!(inbox.take_left() && !inbox.take_left());
        inbox.call();
        waits.join().unwrap();
        reader.wait(LONG);
        assert!(reader.take().is_some() && !reader.visited());
        assert_eq!(inbox.waiting(), 0);
        // What it is called for need not be mail.
        inbox.call();
        reader.wait(LONG);
    }

    #[test]
    fn a_shard_whose_mail_a_visitor_has_dealt_with_does_not_stand_still() {
        let limits = InboxLimits { stall_after: Duration::ZERO, ..LIMITS };
        let (inbox, reader) = inbox(limits, Pool::new(1_000, 1).share());
        reader.shared.queue().asleep = true;
        assert!(inbox.leave(mail()).is_none());
        assert!(inbox.stalled().is_some(), "it is not dealt with yet");
        assert!(reader.take().is_some() && inbox.stalled().is_some());
        assert!(!reader.visited() && inbox.stalled().is_none());
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
        assert!(reader.take().is_some() && reader.take().is_some());
        assert!(second.offer(mail()).is_none());
    }

    #[test]
    fn a_shard_that_stands_still_is_given_no_requests_until_it_goes_on() {
        let limits = InboxLimits { stall_after: Duration::ZERO, ..LIMITS };
        let (inbox, reader) = inbox(limits, Pool::new(1_000, 1).share());
        assert!(inbox.offer(mail()).is_none(), "it waits for something to do");
        assert!(inbox.offer(mail()).is_some(), "it has not taken what it was given");
        assert!(reader.next(LONG).is_some());
        assert!(inbox.stalled().is_some() && inbox.offer(mail()).is_some());
        assert!(inbox.refusal().message.contains("ask another"));
        assert!(inbox.leave_answer(mail()).is_none(), "what it has asked for may still come");
        inbox.push(mail());
        assert!(reader.take().is_some() && reader.take().is_some());
        assert!(inbox.offer(mail()).is_some(), "it is at the next one");
        let rests = std::thread::spawn(move || drop(reader.next(LONG)));
        while inbox.stalled().is_some() {
            std::thread::yield_now();
        }
        inbox.push(mail());
        rests.join().unwrap();
    }
}
