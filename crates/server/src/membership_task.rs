//! Task that runs the membership machine: its timers, its gossip, its state on disk, the view for everyone.
//!
//! Invariant: nothing here waits for a disk. The machine is told what has been saved, and an admin that has changed
//! something is answered once that is on disk, or that it is not. While the disk refuses, changes that another node can
//! make as well are left to it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::{Destination, Membership, Output, View};
use jedlik_net::{Connection, Endpoint};
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::{self, Frame};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{Delta, Gossip, Load, MemberRecord};
use jedlik_protocol::{LayoutId, Now};
use jedlik_storage::DataDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::clock::{AgreedClock, Clock};
use crate::error::NodeError;
use crate::inbox::{Inbox, Mail};
use crate::news::NewsLog;
use crate::node::{EmptyDirectory, Ending};
use crate::notes::{Note, Notes};
use crate::parting::Parting;
use crate::peers::{Member, Peers};
use crate::questions::{any_node_can_change, changes_state};
use crate::reply::Origin;
use crate::saver::Saver;

mod lives;

/// Time that an admin waits for its change to be on disk, in microseconds: less than its tool waits for an answer.
const SAVE_LIMIT_US: u64 = 3_000_000;
/// Number of admins that may wait for their changes at a time.
const WAITING_MAX: usize = 256;

/// Event that membership deals with.
pub(crate) enum Event {
    Gossip {
        /// Connection by which the gossip came: the way to answer a node that is dialled by nobody.
        caller: Connection,
        from: NodeId,
        gossip: Gossip,
    },
    Admin {
        origin: Origin,
        request: AdminRequest,
    },
    Outcome {
        node: NodeId,
        answered: bool,
    },
    /// A shard holds all that it needs to own a partition under a layout.
    Ready {
        layout: LayoutId,
        partition: Partition,
    },
    /// Either this node or another one knows a newer layout than the other.
    Behind {
        node: NodeId,
    },
    /// The seeds' names stand for these addresses now.
    Seeds(Vec<SocketAddr>),
    /// The node holds this much.
    Load(Load),
    /// The changes stored so far are on disk, with this tick.
    Tick(u32),
    /// An admin wants this node to take nothing new from clients, or to take requests again.
    Drain(bool),
    /// This node has left the layout, and others hold all that it did.
    Left,
    /// The node stops: tell the others, then say so.
    Leave(oneshot::Sender<()>),
    Stop,
}

/// Answer that is true once a state is on disk.
struct Waiting {
    state: u64,
    until_us: u64,
    origin: Origin,
    response: ClientResponse,
}

/// Task that holds the machine and what it acts on.
pub(crate) struct MembershipTask {
    pub(crate) machine: Membership,
    pub(crate) clock: Clock,
    /// Clock that the shards go by.
    pub(crate) agreed: AgreedClock,
    /// Notes that are written into the data directory.
    pub(crate) notes: Notes,
    pub(crate) saving: Saving,
    pub(crate) partitions: PartitionCount,
    pub(crate) endpoint: Endpoint,
    pub(crate) peers: Arc<Peers>,
    pub(crate) shards: Vec<Inbox>,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) parting: Parting,
    /// Sender for the node's ending, taken when the node can't go on, or need not.
    pub(crate) ended: Option<oneshot::Sender<Ending>>,
    /// Sender that is taken when the node may serve.
    pub(crate) serves: Option<oneshot::Sender<()>>,
    pub(crate) empty: EmptyDirectory,
    pub(crate) news: NewsLog,
}

/// States on their way to the disk, and the answers that wait for them.
pub(crate) struct Saving {
    saver: Saver,
    /// Number of the newest state that was handed over.
    handed: u64,
    waiting: VecDeque<Waiting>,
}

impl Saving {
    pub(crate) fn by(saver: Saver) -> Self {
        Self { saver, handed: 0, waiting: VecDeque::new() }
    }
}

/// Step that the task takes next.
enum Next {
    Event(Box<Event>),
    Saved,
    Noted(Note),
    Due,
}

impl MembershipTask {
    /// Carries out what the machine wants at its start: after this, every part has a view.
    pub(crate) fn begin(&mut self) {
        self.carry_out();
    }

    /// Works until it is told to stop. Returns the data directory unless something could not be noted in it.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Option<DataDir> {
        self.agreed.agree(self.machine.agreed(self.clock.now()));
        loop {
            match self.next(&mut events).await {
                Next::Event(event) if matches!(*event, Event::Stop) => break,
                Next::Event(event) => self.take(*event),
                Next::Saved => {
                    let state = self.saving.saver.saved();
                    self.machine.handle_saved(self.clock.now(), state);
                }
                Next::Noted(note) => self.noted(note),
                Next::Due => {
                    self.machine.handle_timeout(self.clock.now());
                    self.part_from_spared();
                }
            }
            self.agreed.agree(self.machine.agreed(self.clock.now()));
            self.carry_out();
            self.answer_waiting();
            self.news.look(self.clock.now().mono_us);
        }
        if !self.saving.saver.close().await {
            warn!("stopping without the membership's last state on disk; others tell it again");
        }
        self.notes.close().await
    }

    async fn next(&mut self, events: &mut mpsc::Receiver<Event>) -> Next {
        let patience_us = self.saving.waiting.front().map(|waiting| waiting.until_us);
        let due_us = self.machine.poll_timeout().into_iter().chain(patience_us).min();
        let due = async {
            match due_us {
                Some(at_us) => sleep(self.clock.until(at_us)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Without a sender left there is nothing to go on for.
            event = events.recv() => Next::Event(Box::new(event.unwrap_or(Event::Stop))),
            () = self.saving.saver.progress() => Next::Saved,
            note = self.notes.dealt_with() => Next::Noted(note),
            () = due => Next::Due,
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Gossip { caller, from, gossip } => {
                self.peers.wake(from);
                self.machine.handle_answers_at(from, caller.remote_address());
                self.parting.caller = Some(caller);
                self.machine.handle_gossip(now, from, gossip);
                self.carry_out();
                self.part_from_caller(from);
            }
            Event::Outcome { node, answered } => self.machine.handle_outcome(now, node, answered),
            Event::Ready { layout, partition } => {
                self.machine.handle_ready(now, layout, &[partition]);
            }
            Event::Behind { node } => self.machine.handle_behind(now, node),
            Event::Seeds(seeds) => self.machine.set_seeds(seeds),
            Event::Load(load) => self.machine.handle_load(now, load),
            Event::Tick(tick) => self.machine.handle_tick(now, tick),
            Event::Drain(drained) => self.machine.handle_drain(now, drained),
            Event::Left => self.machine.handle_left(now),
            Event::Admin { origin, request } => self.serve_admin(now, origin, &request),
            Event::Leave(told) => {
                self.machine.handle_leaving(now);
                self.carry_out();
                // The asker may have run out of patience.
                let _gone = told.send(());
            }
            Event::Stop => {}
        }
    }

    fn serve_admin(&mut self, now: Now, origin: Origin, request: &AdminRequest) {
        if self.saving.saver.fails() && any_node_can_change(request) {
            return self.answer(origin, ClientResponse::Failed(left_to_others()));
        }
        let answer = self.machine.handle_admin(now, request);
        self.carry_out();
        let changed = answer.is_ok() && changes_state(request);
        let response = answer.map_or_else(ClientResponse::Failed, ClientResponse::Admin);
        let state = self.saving.handed;
        if !changed || self.saving.saver.saved() >= state {
            return self.answer(origin, response);
        }
        if self.saving.waiting.len() >= WAITING_MAX {
            return self.answer(origin, ClientResponse::Failed(unsaved()));
        }
        let until_us = now.mono_us + SAVE_LIMIT_US;
        self.saving.waiting.push_back(Waiting { state, until_us, origin, response });
    }

    /// Answers the admins whose change is on disk now, or can't be waited for any longer.
    fn answer_waiting(&mut self) {
        let (saved, now_us) = (self.saving.saver.saved(), self.clock.now().mono_us);
        let fails = self.saving.saver.fails();
        let is_due =
            |waiting: &mut Waiting| fails || waiting.state <= saved || waiting.until_us <= now_us;
        // Both only grow along the queue.
        while let Some(waiting) = self.saving.waiting.pop_front_if(is_due) {
            let is_saved = waiting.state <= saved;
            let unsaved = || ClientResponse::Failed(unsaved());
            let response = if is_saved { waiting.response } else { unsaved() };
            self.answer(waiting.origin, response);
        }
    }

    fn answer(&self, origin: Origin, response: ClientResponse) {
        origin.answer_client(self.machine.view().layout_version(), response);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Persist { state, whole } => {
                    self.saving.handed = state;
                    self.saving.saver.hand_over(state, whole);
                }
                Output::View(view) => self.spread(view),
                Output::Send { to, gossip } => self.send(to, gossip),
                Output::Event(news) => self.note(news),
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(ended) = self.ended.take() {
            // The listener may be stopping already.
            let _gone = ended.send(ending);
        }
    }

    /// Gives every part the new view, unless this node can't work under it.
    fn spread(&mut self, view: Arc<View>) {
        let (layout, configured) = (view.partitions().get(), self.partitions.get());
        if layout != configured {
            return self.end(Ending::Failed(NodeError::Partitions { layout, configured }));
        }
        let others = view.members().filter(|record| record.node != view.me());
        self.peers.update(&self.endpoint, others.map(|record| member(&view, record)));
        if self.serves.is_none() {
            self.tell_shards(&view);
        }
        self.part_from_gone(&view);
        self.view.send_replace(view);
    }

    fn tell_shards(&self, view: &Arc<View>) {
        for shard in &self.shards {
            shard.push(Mail::View(Arc::clone(view)));
        }
    }

    fn send(&self, to: Destination, gossip: Gossip) {
        let frame = Frame::Gossip(gossip);
        let sent = match to {
            Destination::Node(node, _) => self.peers.send(node, frame),
            Destination::Seed(address) => self.peers.send_to_seed(&self.endpoint, address, frame),
            Destination::Caller(_) => {
                self.parting.caller.as_ref().map_or(Ok(()), |to| to.send(frame))
            }
        };
        if let Err(error) = sent {
            debug!(?to, %error, "gossip was not sent");
        }
    }
}

/// Returns the member of a record. One that has no place in any active layout holds nothing and is waited for by
/// nobody: it may be gone for good, and is dialled the more seldom the longer it does not answer.
fn member(view: &View, record: &MemberRecord) -> Member {
    let placed = view.layouts().iter().any(|known| known.layout().ring.node(record.node).is_some());
    let seldom = !placed && view.layout().is_some();
    Member { node: record.node, address: record.address, seldom }
}

/// Encodes the state as it is stored: in a format of its own, which a change of the messages leaves alone.
pub(crate) fn encode_state(delta: &Delta) -> Vec<u8> {
    codec::encode_knowledge(delta)
}

/// Decodes a state that [`encode_state`] has made.
pub(crate) fn decode_state(state: Vec<u8>) -> Result<Delta, NodeError> {
    codec::decode_knowledge(&state.into())
        .map_err(|error| NodeError::State { why: error.to_string() })
}

fn unsaved() -> Failure {
    let message = "the change was made and is told to the others, but this node can't save it; see its log, \
                   and ask another node whether the change is in force";
    Failure { maybe_applied: true, ..Failure::new(ErrorCode::Storage, message) }
}

fn left_to_others() -> Failure {
    let message = "nothing was changed: this node can't save changes of the cluster now, see its log; ask \
                   another node, or make room on its disk";
    Failure::new(ErrorCode::Storage, message)
}
