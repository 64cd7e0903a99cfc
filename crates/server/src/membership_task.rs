//! Runs the membership machine: its timers, its gossip, its state on disk, the view for everyone.
//!
//! Invariant: outputs are carried out in order, so what an effect relies on is on disk before it; while
//! the disk refuses, membership stands still and the node goes on with the view that it has.

use std::sync::Arc;
use std::time::Duration;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::{Destination, Event as News, Membership, Output, Past, View};
use jedlik_net::{Connection, Endpoint};
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::{self, Frame};
use jedlik_protocol::gossip::{Delta, Gossip, Load, MemberRecord, Rival};
use jedlik_storage::{DataDir, OpenError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::clock::{AgreedClock, Clock};
use crate::error::NodeError;
use crate::inbox::{Inbox, Mail};
use crate::node::{EmptyDirectory, Ending};
use crate::peers::Peers;
use crate::reply::Origin;

/// Between two tries to save the state on a disk that refuses.
const SAVE_RETRY: Duration = Duration::from_secs(1);

/// One thing for membership to deal with.
pub(crate) enum Event {
    Gossip {
        /// By which it came: the way to answer a node that is dialled by nobody.
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
    /// A shard is ready to own a partition.
    Ready {
        layout: LayoutId,
        partition: Partition,
    },
    /// Of this node and another one knows a newer layout.
    Behind {
        node: NodeId,
    },
    /// What this node holds.
    Load(Load),
    /// An admin has this node take nothing new from clients, or takes that back.
    Drain(bool),
    /// This node has left the layout, and others hold all that it did.
    Left,
    /// Tell the others that this node goes, then say so.
    Leave(oneshot::Sender<()>),
    Stop,
}

/// The machine with what it acts on.
pub(crate) struct MembershipTask {
    pub(crate) machine: Membership,
    pub(crate) clock: Clock,
    /// What the shards are to go by.
    pub(crate) agreed: AgreedClock,
    pub(crate) dir: DataDir,
    pub(crate) partitions: PartitionCount,
    pub(crate) endpoint: Endpoint,
    pub(crate) peers: Arc<Peers>,
    pub(crate) shards: Vec<Inbox>,
    pub(crate) view: watch::Sender<Arc<View>>,
    /// By which the gossip came that is dealt with now.
    pub(crate) caller: Option<Connection>,
    /// Taken when the node can't go on, or need not.
    pub(crate) ended: Option<oneshot::Sender<Ending>>,
    /// Taken when the node may serve.
    pub(crate) serves: Option<oneshot::Sender<()>>,
    pub(crate) empty: EmptyDirectory,
}

impl MembershipTask {
    /// Carries out what the machine wants at its start: after this, everyone has a view.
    pub(crate) async fn begin(&mut self) {
        self.carry_out().await;
    }

    /// Works until it is told to stop, and gives the data directory back.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) -> DataDir {
        loop {
            match self.next(&mut events).await {
                Some(Event::Stop) => return self.dir,
                Some(event) => self.take(event).await,
                None => self.machine.handle_timeout(self.clock.now()),
            }
            self.agreed.agree(self.machine.agreed(self.clock.now()));
            self.carry_out().await;
        }
    }

    /// The next event, or `None` once the machine's time has come.
    async fn next(&self, events: &mut mpsc::Receiver<Event>) -> Option<Event> {
        let due = self.machine.poll_timeout();
        let received = match due {
            Some(at_us) => timeout(self.clock.until(at_us), events.recv()).await.ok()?,
            None => events.recv().await,
        };
        // Without anybody left to send, there is nothing to go on for.
        Some(received.unwrap_or(Event::Stop))
    }

    async fn take(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Gossip { caller, from, gossip } => {
                self.caller = Some(caller);
                self.machine.handle_gossip(now, from, gossip);
                self.carry_out().await;
                self.part_from_caller(from);
            }
            Event::Outcome { node, answered } => self.machine.handle_outcome(now, node, answered),
            Event::Ready { layout, partition } => {
                self.machine.handle_ready(now, layout, &[partition]);
            }
            Event::Behind { node } => self.machine.handle_behind(now, node),
            Event::Load(load) => self.machine.handle_load(now, load),
            Event::Drain(drained) => self.machine.handle_drain(now, drained),
            Event::Left => self.machine.handle_left(now),
            Event::Admin { origin, request } => {
                let answer = self.machine.handle_admin(now, &request);
                // What the answer promises has to be on disk before it.
                self.carry_out().await;
                let layout = self.machine.view().layout_version();
                let response = answer.map_or_else(ClientResponse::Failed, ClientResponse::Admin);
                origin.answer_client(layout, response);
            }
            Event::Leave(told) => {
                self.machine.handle_leaving(now);
                self.carry_out().await;
                // Who asked may have run out of patience.
                let _gone = told.send(());
            }
            Event::Stop => {}
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Persist(delta) => self.persist(delta).await,
                Output::View(view) => self.spread(view),
                Output::Send { to, gossip } => self.send(to, gossip),
                Output::Event(news) => self.note(news).await,
            }
        }
    }

    /// Who is no member has been told so, and is not listened to any longer.
    fn part_from_caller(&mut self, from: NodeId) {
        if let Some(caller) = self.caller.take()
            && self.machine.view().is_barred(from)
        {
            caller.finish();
        }
    }

    async fn note(&mut self, news: News) {
        log(&news);
        match news {
            News::Left => self.end(Ending::Left),
            News::Fenced { layout, forced } => {
                self.end(Ending::Failed(NodeError::Fenced { layout, forced }));
            }
            News::Serves { past } => self.serve(past),
            News::Forgotten(record) => self.forget(&record).await,
            News::Rival(Rival { incarnation, address }) => {
                self.write_down(|dir| dir.note_rival(incarnation, address)).await;
            }
            News::Prevails => {
                self.write_down(DataDir::prevail).await;
                self.end(Ending::Again);
            }
            News::Ousted { by } => {
                self.write_down(|dir| dir.cede(by)).await;
                self.end(Ending::Failed(NodeError::Ousted { by }));
            }
            _ => {}
        }
    }

    fn serve(&mut self, past: Past) {
        // Until it is confirmed an empty directory may still turn out to be in place of a lost one.
        if past != Past::Unconfirmed
            && let Err(error) = self.dir.note_serving().and_then(|()| self.dir.note_marked())
        {
            warn!(%error, "the data directory can't be noted as one that is in use");
        }
        if let Some(serves) = self.serves.take() {
            // Who listens may be stopping already.
            let _gone = serves.send(());
        }
    }

    /// The data directory lacks a life that the cluster remembers.
    async fn forget(&mut self, record: &MemberRecord) {
        let is_empty = !self.dir.has_served();
        if is_empty && self.empty == EmptyDirectory::Refused {
            let path = self.dir.path().to_path_buf();
            return self.end(Ending::Failed(NodeError::EmptyDirectory { path }));
        }
        self.write_down(|dir| dir.forget(record.life.incarnation, record.generation)).await;
        if is_empty {
            info!("the data directory is empty: the other nodes refill it");
        } else {
            warn!(
                "the data directory is an earlier copy: its shards are set aside in the folder set-aside \
                 there, and the other nodes refill empty ones"
            );
        }
        self.end(Ending::Again);
    }

    /// Writes something into the data directory's own file, however long the disk refuses.
    async fn write_down(&mut self, note: impl Fn(&mut DataDir) -> Result<(), OpenError>) {
        while let Err(error) = note(&mut self.dir) {
            warn!(%error, "the data directory can't be written to; tried again until it can");
            sleep(SAVE_RETRY).await;
        }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(ended) = self.ended.take() {
            // Who listens may be stopping already.
            let _gone = ended.send(ending);
        }
    }

    async fn persist(&self, delta: Delta) {
        let state = encode_state(&delta);
        while let Err(error) = self.dir.save_state(&state) {
            warn!(%error, "the membership can't be saved and stands still until it can");
            sleep(SAVE_RETRY).await;
        }
    }

    /// Gives everyone the new view, unless this node can't work under it.
    fn spread(&mut self, view: Arc<View>) {
        let (layout, configured) = (view.partitions().get(), self.partitions.get());
        if layout != configured {
            return self.end(Ending::Failed(NodeError::Partitions { layout, configured }));
        }
        let others = view.members().filter(|record| record.node != view.me());
        self.peers.update(&self.endpoint, others.map(|record| (record.node, record.address)));
        for shard in &self.shards {
            shard.push(Mail::View(Arc::clone(&view)));
        }
        // The one that has just said that it has left is still to hear that this was heard.
        let caller = self.caller.as_ref().and_then(|caller| caller.peer().node);
        self.endpoint.close_nodes(|node| view.is_barred(node) && Some(node) != caller);
        self.view.send_replace(view);
    }

    fn send(&self, to: Destination, gossip: Gossip) {
        let frame = Frame::Gossip(gossip);
        let sent = match to {
            Destination::Node(node, _) => self.peers.send(node, frame),
            Destination::Seed(address) => self.peers.send_to_seed(&self.endpoint, address, frame),
            Destination::Caller(_) => self.caller.as_ref().map_or(Ok(()), |to| to.send(frame)),
        };
        if let Err(error) = sent {
            debug!(?to, %error, "gossip was not sent");
        }
    }
}

/// The state as it is stored: in a layout of its own, which a change of the messages leaves alone.
pub(crate) fn encode_state(delta: &Delta) -> Vec<u8> {
    codec::encode_knowledge(delta)
}

/// Reads [`encode_state`] back.
pub(crate) fn decode_state(state: Vec<u8>) -> Result<Delta, NodeError> {
    codec::decode_knowledge(&state.into())
        .map_err(|error| NodeError::State { why: error.to_string() })
}

fn log(news: &News) {
    match news {
        News::Refused { .. }
        | News::Contested { .. }
        | News::Forgotten(_)
        | News::Rival(_)
        | News::Ousted { .. }
        | News::Prevails
        | News::Serves { past: Past::Unconfirmed | Past::Lost }
        | News::Fenced { .. }
        | News::Down { clean: false, .. } => {
            warn!("{news}");
        }
        News::Joined(_)
        | News::Up(_)
        | News::Down { clean: true, .. }
        | News::Layout { .. }
        | News::Settled(_)
        | News::Serves { past: Past::Continuous }
        | News::Left
        | News::Bucket { .. } => info!("{news}"),
    }
}
