//! What all parts of a replica share: the node and its view, open work, and the sink of effects.
//!
//! Invariant: effects are carried out in the order in which they are emitted.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_coordinator::ListedNode;
use jedlik_handoff::Foreground;
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::WorkKind;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Durability, Incarnation, Key, LayoutId, Now, PlacedKey, Terms};
use jedlik_storage_port::Holding;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::Counter;
use crate::config::Config;
use crate::exchange_worker::PartitionJob;
use crate::io::{Output, StorageFault};
use crate::message_age::MessageAge;
use crate::patience::answer_limit_us;
use crate::pending::{Asker, PeerCall, Pending, Purpose};
use crate::votes::Votes;

/// Something that happened in one part of a replica and that another one has to know.
#[derive(Debug)]
pub(crate) enum Fact {
    /// A client was answered: the background makes way if requests are slow.
    Answered {
        kind: Foreground,
        /// Time at which the request came, in microseconds.
        started_us: u64,
    },
    /// From this time on, in microseconds, something of a record may be forgotten.
    MayBeForgotten { key: PlacedKey, due_us: u64 },
    /// The record of a key can't be read.
    Damaged(PlacedKey),
    /// Records of a partition have come from an exchange.
    Received { partition: Partition, records: usize, bytes: usize },
    /// Records of a partition that moves were sent to its new owner.
    Sent { records: u64, bytes: u64 },
    /// Background work weighs so many steps beyond the one that it was granted as.
    Weighed { kind: WorkKind, steps: u32 },
    /// A peer waits for the tree of this partition, which is not whole.
    Wanted(Partition),
    /// A page of the partition could not be read, and its job was left.
    NotRead(PartitionJob),
    /// A job is not to be done any more.
    GivenUp(PartitionJob),
}

/// State that every part of a replica works with.
#[derive(Debug)]
pub(crate) struct Cx {
    pub(crate) config: Config,
    pub(crate) view: Option<Arc<View>>,
    pub(crate) random: ChaCha8Rng,
    pub(crate) pending: Pending,
    pub(crate) message_age: MessageAge,
    /// Time of the present input.
    pub(crate) now: Now,
    /// This node's clock for messages at the present input; answers to peers carry it.
    pub(crate) clock: u64,
    /// Partitions for whose absent keys this shard can't vouch.
    pub(crate) votes: Votes,
    outputs: VecDeque<Output>,
    facts: VecDeque<Fact>,
}

impl Cx {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            random: ChaCha8Rng::from_seed(config.random_seed),
            pending: Pending::new(config.shard),
            message_age: MessageAge::new(config.clock_start, config.tuning.message_life_us),
            votes: Votes::restored(config.votes.as_deref()),
            config,
            view: None,
            now: Now::new(0, 0),
            clock: 0,
            outputs: VecDeque::new(),
            facts: VecDeque::new(),
        }
    }

    /// Begins to handle an input at this time.
    pub(crate) fn begin(&mut self, now: Now) {
        self.now = now;
        self.clock = self.message_age.clock(now);
    }

    /// Tells another part of the replica something, once the present one is done.
    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push_back(fact);
    }

    pub(crate) fn next_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// Counts a damaged record, and has it mended by the next round of comparisons.
    pub(crate) fn noticed(
        &mut self,
        key: &PlacedKey,
        result: Result<Holding, StorageFault>,
    ) -> Result<Holding, StorageFault> {
        if result.as_ref().is_ok_and(|holding| holding.damaged) {
            self.count(Counter::DamagedRecords);
            self.tell(Fact::Damaged(key.clone()));
        }
        result
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a request to a peer, and keeps a copy to send again where an answer is awaited or state changes.
    pub(crate) fn call(&mut self, node: NodeId, purpose: Purpose, request: PeerRequest) {
        // The peer may have begun a new life since it was heard, or was not heard for long; or it may not
        // know the layout yet.
        let waits = matches!(purpose, Purpose::Operation(_));
        let again = (waits || request.changes_state()).then(|| request.clone());
        self.ask(node, purpose, request, again);
    }

    pub(crate) fn ask(
        &mut self,
        node: NodeId,
        purpose: Purpose,
        request: PeerRequest,
        again: Option<PeerRequest>,
    ) {
        let durability = match &request {
            PeerRequest::Write { durability, .. } | PeerRequest::Hint { durability, .. } => {
                *durability
            }
            _ => Durability::Buffered,
        };
        let record_limit_bytes = |key: &Key| {
            let view = self.view.as_ref();
            view.map_or(0, |view| view.bucket(key.bucket()).record_limit_bytes)
        };
        let limit_us = answer_limit_us(&purpose, &request, record_limit_bytes);
        let id = self.pending.call(PeerCall {
            node,
            purpose,
            durability,
            sent_us: self.now.mono_us,
            expires_us: self.now.mono_us + limit_us,
            again,
        });
        let layouts = self.view.as_ref().map(|view| view.active_layouts()).unwrap_or_default();
        let terms = Terms {
            life: self.life(),
            layouts,
            receiver_clock: self.message_age.clock_of(node),
            trace: None,
        };
        self.emit(Output::Request { to: node, id, terms, request });
    }

    /// Begins a new life under the actor rule, since a local write that failed may have lost a dot.
    pub(crate) fn renew_incarnation(&mut self) {
        self.config.incarnation = Incarnation(self.random.next_u64());
    }

    /// Returns the newest layout that this node knows; the default before the first view.
    pub(crate) fn layout(&self) -> LayoutId {
        self.view.as_ref().map_or(LayoutId::default(), |view| view.layout_id())
    }

    /// Returns the view if it has a layout, and otherwise the refusal for requests.
    pub(crate) fn ready(&self) -> Result<Arc<View>, Failure> {
        let view = self.view.as_ref().filter(|view| view.layout_version() > 0);
        view.cloned().ok_or_else(|| {
            let why = "the cluster has no layout yet: an admin makes one with `jedlik-admin \
                       cluster plan` and `jedlik-admin cluster commit`";
            Failure::new(ErrorCode::NotReady, why)
        })
    }

    /// Returns the active preference lists of a partition, the newest first, each split into its first `n`
    /// nodes and its fallbacks. Among the first `n` this node comes first. The fallbacks keep their order, so that
    /// all nodes that know the same ones to be up let the same ones stand in, and a get's meet a put's.
    pub(crate) fn owner_sets(
        &self,
        view: &View,
        partition: Partition,
        n: u8,
    ) -> Vec<(Vec<ListedNode>, Vec<ListedNode>)> {
        let me = self.config.me;
        let target = |node: &NodeId| ListedNode { node: *node, alive: view.is_alive(*node) };
        let targets = |list: &[NodeId]| {
            let (primaries, fallbacks) = list.split_at(list.len().min(usize::from(n)));
            let mut primaries: Vec<ListedNode> = primaries.iter().map(target).collect();
            primaries.sort_by_key(|target| target.node != me);
            (primaries, fallbacks.iter().map(target).collect())
        };
        view.owner_lists(partition, n).into_iter().map(targets).collect()
    }

    pub(crate) fn answer(&mut self, asker: Asker, response: ClientResponse) {
        self.emit(match asker {
            Asker::Client(reply) => Output::AnswerClient { reply, response },
            Asker::Peer(reply) => {
                let response = PeerResponse::Forwarded(response);
                Output::AnswerPeer { reply, stamp: self.stamp(), response }
            }
        });
    }

    pub(crate) fn answer_peer(&mut self, reply: u64, response: PeerResponse) {
        self.emit(Output::AnswerPeer { reply, stamp: self.stamp(), response });
    }

    pub(crate) fn refuse(&mut self, asker: Asker, failure: Failure) {
        self.answer(asker, ClientResponse::Failed(failure));
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        self.emit(Output::Count(counter));
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

#[cfg(test)]
impl Cx {
    /// Creates the context of a node without a view.
    pub(crate) fn for_tests() -> Self {
        use jedlik_handoff::BudgetSettings;
        use jedlik_protocol::ClusterId;

        use crate::config::{ShardPast, Tuning};

        let budget = BudgetSettings { limit_per_s: 100, slowdown_percent: 150, floor_per_s: 10 };
        Self::new(Config {
            me: NodeId(1),
            cluster: ClusterId(1),
            incarnation: Incarnation(1),
            random_seed: [1; 32],
            shard: 0,
            shards: 1,
            clock_start: 1,
            tuning: Tuning {
                message_life_us: 10_000_000,
                exchange_interval_us: 60_000_000,
                scrub_interval_us: 600_000_000,
                budget,
            },
            past: ShardPast::Continuous,
            votes: None,
        })
    }

    /// Returns the jobs that were given up since they were last asked for, and drops all other facts.
    pub(crate) fn given_up(&mut self) -> Vec<PartitionJob> {
        let facts = core::iter::from_fn(|| self.next_fact());
        let jobs = facts.filter_map(|fact| match fact {
            Fact::GivenUp(job) => Some(job),
            _ => None,
        });
        jobs.collect()
    }
}
