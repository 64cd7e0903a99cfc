//! Visits: work of a shard that another than its thread does, as far as that takes no waiting
//! ([decision 76](../../../../docs/decisions/0076-a-shard-is-worked-at-where-its-mail-arrives.md)).
//!
//! Invariant: outputs are executed in the order in which they are polled, whoever does it. At the first one that may have
//! to wait for an engine a visitor stops, and nothing is given to the replica before the shard's thread has executed it.

use jedlik_protocol::Now;
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use jedlik_replica::{Input, Output};
use jedlik_storage::Completion;

use crate::inbox::Mail;
use crate::weight;

use super::{ShardDriver, keeping};

/// Largest number of mails that a visitor takes, and of completions in one of them: it has other things to do, and the
/// shard's thread can do them meanwhile.
pub(super) const VISIT_MAIL: usize = 16;
/// Time after which visitors leave a turn to the shard's thread, which looks at the disk in each, in microseconds.
pub(super) const LOOK_US: u64 = 100_000;

/// State of the visits to one shard.
#[derive(Debug, Default)]
pub(super) struct Visits {
    /// Whether another than the shard's thread is at work.
    pub(super) is_visited: bool,
    /// Output that a visitor has left to the shard's thread; all others come after it.
    pub(super) unexecuted: Option<Output>,
    /// Time of the thread's last turn, in microseconds of the monotonic clock.
    pub(super) turned_us: u64,
}

/// Outcome of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// Nothing is left to do before this time, in microseconds of the monotonic clock, if there is one.
    Done(Option<u64>),
    /// The shard's thread has to go on.
    Unfinished,
}

/// Whether mail is soon dealt with, and of the kinds that make up requests.
fn is_short(mail: &Mail) -> bool {
    match mail {
        Mail::Client { .. } | Mail::Peer { .. } | Mail::PeerAnswer { .. } => {
            !is_large(weight::of_mail(mail))
        }
        Mail::Completed(completions) => {
            let is_keepers = |completion: &Completion| completion.ticket == keeping::TICKET;
            completions.len() <= VISIT_MAIL && !completions.iter().any(is_keepers)
        }
        _ => false,
    }
}

/// Whether so much is better copied elsewhere: while the network's thread is at it, packets are lost.
fn is_large(bytes: usize) -> bool {
    bytes > SMALL_FRAME_BYTES
}

impl ShardDriver {
    /// Does what others than the shard's thread may do in its place: what needs no engine, and is soon done.
    pub(super) fn visit(&mut self) -> Visit {
        let now = self.around.clock.now();
        self.visits.is_visited = true;
        for _ in 0..VISIT_MAIL {
            // What was begun comes first.
            if self.is_left() {
                break;
            }
            let Some(mail) = self.inbox.take_if(is_short) else { break };
            self.take(self.around.clock.now(), mail);
        }
        if !self.is_left() && self.is_due(now) {
            self.feed(now, Input::Timeout);
        }
        self.visits.is_visited = false;
        self.storage.submit();
        let mail_is_left = self.inbox.visited();
        if mail_is_left
            || self.is_left()
            || self.storage.failure().is_some()
            || now.mono_us > self.visits.turned_us + LOOK_US
        {
            return Visit::Unfinished;
        }
        Visit::Done(self.replica.poll_timeout())
    }

    pub(super) fn is_due(&self, now: Now) -> bool {
        self.replica.poll_timeout().is_some_and(|at_us| at_us <= now.mono_us)
    }

    /// Whether a visitor has left something to the shard's thread.
    pub(super) fn is_left(&self) -> bool {
        self.visits.unexecuted.is_some()
    }

    /// Executes what has come out of the replica, up to what a visitor has to leave to the shard's thread.
    pub(super) fn execute_all(&mut self, now: Now) {
        while let Some(output) =
            self.visits.unexecuted.take().or_else(|| self.replica.poll_output())
        {
            if self.visits.is_visited && self.may_wait(&output) {
                self.visits.unexecuted = Some(output);
                return;
            }
            self.execute(now, output);
        }
    }

    /// Whether an output may have to wait for an engine, or has a large record copied.
    pub(super) fn may_wait(&self, output: &Output) -> bool {
        match output {
            Output::Load { key, .. } | Output::Apply { key, .. } => {
                self.storage.size_at_hand(key).is_none_or(is_large)
            }
            Output::Request { request, .. } => is_large(weight::of_peer_request(request)),
            Output::AnswerClient { response, .. } => is_large(weight::of_client_response(response)),
            Output::AnswerPeer { response, .. } => is_large(weight::of_peer_response(response)),
            Output::Ready { .. }
            | Output::Behind { .. }
            | Output::Outcome { .. }
            | Output::Count(_) => false,
            _ => true,
        }
    }
}
