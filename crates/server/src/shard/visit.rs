//! Visits: work of a shard that another than its thread does, as far as that takes no waiting
//! ([decision 76](../../../../docs/decisions/0076-a-shard-is-worked-at-where-its-mail-arrives.md)).
//!
//! Invariant: outputs are executed in the order in which they are polled, whoever does it. At the first one that may have
//! to wait for an engine a visitor stops, and nothing is given to the replica before the shard's thread has executed it.

use jedlik_protocol::Now;
use jedlik_replica::{Input, Output};
use jedlik_storage::Completion;

use crate::inbox::Mail;

use super::{ShardDriver, keeping};

/// Largest number of mails that a visitor takes: it has other things to do, and the shard's thread can do them meanwhile.
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

/// Whether mail is a single input, of the kinds that make up requests.
fn is_short(mail: &Mail) -> bool {
    match mail {
        Mail::Client { .. } | Mail::Peer { .. } | Mail::PeerAnswer { .. } => true,
        Mail::Completed(completions) => {
            matches!(&completions[..], [Completion { ticket, .. }] if *ticket != keeping::TICKET)
        }
        _ => false,
    }
}

impl ShardDriver {
    /// Does what others than the shard's thread may do in its place: what needs no engine, and is soon done.
    pub(super) fn visit(&mut self) -> Visit {
        let now = self.around.clock.now();
        self.visits.is_visited = true;
        for _ in 0..VISIT_MAIL {
            // What was begun comes first.
            if self.visits.unexecuted.is_some() {
                break;
            }
            let Some(mail) = self.inbox.take_if(is_short) else { break };
            self.take(mail);
        }
        if self.visits.unexecuted.is_none() && self.is_due(now) {
            self.feed(now, Input::Timeout);
        }
        self.visits.is_visited = false;
        self.storage.submit();
        let is_left = self.inbox.visited() || self.visits.unexecuted.is_some();
        if is_left
            || self.storage.failure().is_some()
            || now.mono_us > self.visits.turned_us + LOOK_US
        {
            return Visit::Unfinished;
        }
        Visit::Done(self.replica.poll_timeout())
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

    /// Whether an output may have to wait for an engine.
    pub(super) fn may_wait(&self, output: &Output) -> bool {
        match output {
            Output::Load { key, .. } | Output::Apply { key, .. } => !self.storage.is_at_hand(key),
            Output::Ready { .. }
            | Output::Behind { .. }
            | Output::Request { .. }
            | Output::AnswerClient { .. }
            | Output::AnswerPeer { .. }
            | Output::Outcome { .. }
            | Output::Count(_) => false,
            _ => true,
        }
    }
}
