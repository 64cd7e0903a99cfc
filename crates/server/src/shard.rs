//! Thread of one shard: a replica and its storage, fed from one queue.
//!
//! Invariant: outputs are executed in the order in which they are polled, and storage's answers to them
//! are fed back at once; everything applied in a turn is submitted at its end, as one group.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{LayoutVersion, Now};
use jedlik_replica::{Input, Output, Replica};
use jedlik_storage::{Completion, Shard};
use jedlik_traces::Tracer;
use tokio::sync::mpsc;
use tracing::warn;

use crate::clock::AgreedClock;
use crate::inbox::{InboxReader, Mail};
use crate::membership_task::Event;
use crate::outcome::OutcomeFilter;
use crate::peers::Peers;
use crate::pool::Pool;
use crate::presence::Presence;
use crate::reply::{Asked, Begun, Replies};
use crate::request_counts::{RequestCounts, RequestKind};
use crate::stats::{ReplicaCounts, ShardReport};
use crate::ticks::Ticks;
use crate::weight;

mod admission;
mod asking;
mod copy;
mod desk;
mod disk;
mod keeping;
mod lives;
mod running;
mod seat;
mod storing;
mod traced;
mod untold;
mod visit;

use copy::CopyReader;
pub(crate) use desk::Desk;
use disk::DiskWatch;
pub(crate) use running::RunningShard;
use storing::fault;
use traced::ShardSpans;
use untold::Untold;
use visit::Visits;

/// Largest number of mails taken in one turn: enough to group commits, few enough to be submitted soon.
const TURN_MAIL: usize = 256;
/// Pause after which an idle shard looks whether its storage has failed.
const STORAGE_CHECK: Duration = Duration::from_secs(1);
/// Name under which the hash trees are kept over a clean stop.
const TREES: &str = "trees-2";
/// Name under which the engine keeps what the replica has no vote for.
const VOTES: &str = "votes";

/// Limits on what one shard may have under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShardLimits {
    /// Number of requests that the shard coordinates at a time.
    pub(crate) operations: usize,
    /// Time after which a disk that has not finished a call counts as stalled.
    pub(crate) stall_after: Duration,
}

/// Parts of the node that a shard shares.
#[derive(Clone)]
pub(crate) struct ShardEnvironment {
    pub(crate) limits: ShardLimits,
    /// Size of the values and records in requests that have not been answered.
    pub(crate) open_bytes: Pool,
    pub(crate) clock: AgreedClock,
    pub(crate) peers: Arc<Peers>,
    pub(crate) membership: mpsc::Sender<Event>,
    pub(crate) ticks: Ticks,
    pub(crate) presence: Presence,
    /// Beginner of spans; `None` if nothing is traced.
    pub(crate) tracer: Option<Tracer>,
}

/// Driver of one life of a shard: its replica, its storage, and what they need.
struct ShardDriver {
    replica: Replica,
    storage: Shard,
    inbox: InboxReader,
    around: ShardEnvironment,
    replies: Replies,
    outcomes: OutcomeFilter,
    untold: Untold,
    counts: Counts,
    /// Last view that the shard was told.
    view: Option<Arc<View>>,
    /// Changes that admins have made, for the shard's next life.
    background: Vec<BackgroundChange>,
    disk: DiskWatch,
    hints: HintNews,
    /// Reader of an earlier copy, while the shard is refilled.
    copy: Option<CopyReader>,
    spans: ShardSpans,
    visits: Visits,
}

/// Counts of one life of a shard.
#[derive(Debug, Default)]
struct Counts {
    replica: ReplicaCounts,
    requests: RequestCounts,
    /// Number of requests refused because too much was under way.
    refusals: u64,
}

/// State of what the replica knows of hints.
#[derive(Debug)]
struct HintNews {
    /// Whether hints came or went since the replica was told how many there are.
    changed: bool,
    /// Nodes for which there were hints then.
    targets: Vec<NodeId>,
}

fn asked(request: &PeerRequest) -> Asked {
    if matches!(request, PeerRequest::Forward(_)) { Asked::Forwarded } else { Asked::ByPeer }
}

/// Ending of a shard, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    /// Everything acknowledged is in the engine.
    Clean,
    /// Something acknowledged is in the journal alone.
    Unclean,
}

impl ShardDriver {
    fn new(
        mut replica: Replica,
        mut storage: Shard,
        inbox: InboxReader,
        around: ShardEnvironment,
        open: Arc<AtomicUsize>,
    ) -> Self {
        match storage.take_metadata(TREES) {
            Ok(Some(trees)) => replica.restore_trees(&trees),
            Ok(None) => {}
            Err(error) => warn!(%error, "the hash trees can't be read; they are made anew"),
        }
        Self {
            replica,
            storage,
            inbox,
            replies: Replies::new(open, around.open_bytes.share()),
            spans: ShardSpans::new(around.tracer.clone()),
            around,
            outcomes: OutcomeFilter::default(),
            untold: Untold::default(),
            counts: Counts::default(),
            view: None,
            background: Vec::new(),
            disk: DiskWatch::default(),
            hints: HintNews { changed: true, targets: Vec::new() },
            copy: None,
            visits: Visits::default(),
        }
    }

    /// Does one round of the loop. Returns false once it should end.
    fn turn(&mut self) -> bool {
        let mut going = true;
        self.execute_all(self.around.clock.now());
        for _ in 0..TURN_MAIL {
            let Some(mail) = self.inbox.take() else { break };
            going &= self.take(self.around.clock.now(), mail);
        }
        let now = self.around.clock.now();
        self.visits.turned_us = now.mono_us;
        self.watch_disk(now);
        self.retry_votes(now);
        self.tell_hint_totals(now);
        self.untold.tell(&self.around.membership);
        if self.is_due(now) {
            self.feed(now, Input::Timeout);
        }
        self.disk.keeping.is_mending = false;
        self.hold_back(now);
        self.storage.submit();
        going
    }

    fn layout(&self) -> LayoutVersion {
        self.view.as_ref().map_or(0, |view| view.layout_version())
    }

    /// Returns how long the machines can wait, and storage's other threads, which fail in silence.
    fn patience(&self) -> Duration {
        let machines = self.replica.poll_timeout().map(|at_us| self.around.clock.until(at_us));
        let machines = machines.into_iter().chain(self.untold.patience());
        machines.min().unwrap_or(STORAGE_CHECK).min(STORAGE_CHECK)
    }

    /// Deals with one mail that was taken by `now`: its age is judged by that. Returns false if it was the last.
    fn take(&mut self, now: Now, mail: Mail) -> bool {
        match mail {
            Mail::View(view) => {
                self.view = Some(Arc::clone(&view));
                self.feed(now, Input::View(view));
            }
            Mail::Client { origin, request } => {
                match self.room_for_client(now, &origin, &request) {
                    Ok(()) => {
                        let begun = Begun { kind: RequestKind::of(&request), at_us: now.mono_us };
                        let bytes = weight::of_client_request(&request);
                        let trace = origin.trace();
                        let reply = self.replies.add_of_client(origin, begun, bytes);
                        self.spans.begin(reply, trace);
                        self.feed(now, Input::Client { reply, request });
                    }
                    Err(full) => origin.answer_client(self.layout(), ClientResponse::Failed(full)),
                }
            }
            Mail::Peer { from, origin, terms, request } => {
                match self.room_to_coordinate(now, &request) {
                    Ok(()) => {
                        let (trace, bytes) = (origin.trace(), weight::of_peer_request(&request));
                        let reply = self.replies.add(origin, asked(&request), bytes);
                        self.spans.begin(reply, trace);
                        self.feed(now, Input::Peer { from, reply, terms, request });
                    }
                    Err(full) => origin.refuse(asked(&request), self.layout(), full),
                }
            }
            Mail::PeerAnswer { from, id, stamp, response } => {
                self.spans.answered(id, &response);
                self.feed(now, Input::PeerAnswer { from, id, stamp, response });
            }
            Mail::Withdrawn { connection, id } => {
                if let Some(reply) = self.replies.withdraw(connection, id) {
                    self.feed(now, Input::Withdrawn { reply });
                }
            }
            Mail::PeerLost { node } => self.feed(now, Input::PeerLost { node }),
            Mail::Completed(completions) => self.complete(now, completions),
            Mail::CopyAtHand => self.feed(now, Input::CopyAtHand),
            Mail::Recalled(recalled) => self.feed(now, Input::Recalled(recalled)),
            Mail::Report(asker) => {
                // The asker may have gone.
                let _gone = asker.send(self.report());
            }
            Mail::Repair(partition) => self.feed(now, Input::Repair { partition }),
            Mail::SetBackground(change) => {
                lives::remember(&mut self.background, change);
                self.feed(now, Input::SetBackground(change));
            }
            Mail::Believe => self.feed(now, Input::Believe),
            Mail::Close => return false,
        }
        true
    }

    fn complete(&mut self, now: Now, completions: Vec<Completion>) {
        // The keeper's completions come one by one.
        if let [Completion { ticket: keeping::TICKET, result }] = &completions[..] {
            return self.votes_kept(now, result.clone());
        }
        self.note_writes(now, &completions);
        let mut completions = completions.into_iter();
        while !self.is_left()
            && let Some(Completion { ticket, result }) = completions.next()
        {
            self.spans.written(ticket, result.is_err());
            self.feed(now, Input::Applied { ticket, result: result.map_err(fault) });
        }
        if completions.len() > 0 {
            self.inbox.put_back(Mail::Completed(completions.collect()));
        }
    }

    /// Gives the replica one input and executes what comes out, and what comes out of that.
    fn feed(&mut self, now: Now, input: Input) {
        self.replica.handle(now, input);
        self.execute_all(now);
    }

    fn execute(&mut self, now: Now, output: Output) {
        match output {
            Output::Load { ticket, key } => self.load(now, ticket, &key),
            Output::Apply { ticket, key, record, durability } => {
                self.apply(now, (ticket, key), record, durability);
            }
            Output::Revise { ticket, key, expected, by } => {
                self.revise(now, (ticket, key), expected, by.record());
            }
            Output::Discard { ticket, key } => self.discard(now, ticket, key),
            Output::Hold { ticket, target, key, record, since_ms, durability } => {
                self.hold(now, (ticket, target, key), (record, since_ms), durability);
            }
            Output::Release { ticket, target, key, digest } => {
                self.release(now, (ticket, target, key), digest);
            }
            Output::Hints { ticket, target, after, limit_records, limit_bytes } => {
                let limits = (limit_records, limit_bytes);
                self.read_hints(now, (ticket, target), after.as_ref(), limits);
            }
            Output::Range { ticket, range } => self.read_range(now, ticket, range),
            Output::Sync { ticket } => self.storage.sync(ticket),
            Output::KeepVotes { votes, loses } => self.keep_votes(now, votes, loses),
            Output::Recall { ticket, wanted } => self.recall(now, ticket, wanted),
            Output::LeaveCopy { asked, found } => {
                if let Some(copy) = self.copy.take() {
                    copy.leave(asked, found);
                }
            }
            Output::Drop { ticket, partition } => self.drop_partition(now, ticket, partition),
            Output::Survey { ticket, partitions } => self.survey(now, ticket, partitions),
            Output::Ready { layout, partition } => {
                self.untold.add(layout, partition);
                self.untold.tell(&self.around.membership);
            }
            Output::Behind { node } => {
                // A node that is still behind says so again.
                let _full = self.around.membership.try_send(Event::Behind { node });
            }
            Output::Request { to, id, terms, request } => {
                self.ask(now, (to, id), terms, request);
            }
            Output::AnswerClient { reply, response } => self.answer_client(now, reply, response),
            Output::AnswerPeer { reply, stamp, response } => {
                if let Some(origin) = self.replies.take(reply) {
                    origin.answer_peer(stamp, response);
                }
            }
            Output::Outcome { node, answered } => {
                if !answered {
                    self.end_lost_calls(node);
                }
                if self.outcomes.passes(now.mono_us, node, answered) {
                    // The detector hears of it again soon if its queue is full now.
                    let _full = self.around.membership.try_send(Event::Outcome { node, answered });
                }
            }
            Output::Count(counter) => self.counts.replica.add(counter),
        }
    }

    fn answer_client(&mut self, now: Now, reply: u64, response: ClientResponse) {
        let Some((origin, begun)) = self.replies.take_begun(reply) else { return };
        if let Some(Begun { kind, at_us }) = begun {
            let took_us = now.mono_us.saturating_sub(at_us);
            self.counts.requests.answered(kind, took_us, &response);
        }
        origin.answer_client(self.layout(), response);
    }

    fn report(&self) -> ShardReport {
        let mut transfers = self.replica.transfer_report();
        let troubles = self.troubles();
        transfers.load.refilling = self.replica.refilling();
        transfers.load.set_aside = disk::set_aside_bits(&troubles);
        ShardReport {
            counts: self.counts.replica,
            requests: self.counts.requests,
            refusals: self.counts.refusals,
            storage: self.storage.stats(),
            operations: self.replica.operations() as u64,
            hints: self.replica.hint_reports(),
            repair: self.replica.repair_report(),
            background: self.replica.background_report(),
            transfers,
            troubles,
            serves: true,
            refilling: self.replica.refilling(),
            clashing: self.replica.clashing_records(self.around.clock.now()),
            reopenings: self.disk.reopenings,
        }
    }

    fn close(mut self) -> Ended {
        self.keep_last_votes();
        match self.storage.close_with(&[(TREES, &self.replica.trees())]) {
            Ok(()) => Ended::Clean,
            Err(error) => {
                warn!(%error, "a shard could not be emptied into its engine; its journal is kept");
                Ended::Unclean
            }
        }
    }
}

#[cfg(test)]
mod tests;
