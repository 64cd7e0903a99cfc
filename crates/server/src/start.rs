//! Start of a node's parts in the order in which they need one another.
//!
//! Invariant: the router refuses everything but gossip until the shards have a view and threads. A start that
//! fails before they have leaves the data directory's clean mark as it was.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_membership::{Config as MembershipConfig, Lineage, Membership, View};
use jedlik_net::{Credentials, Endpoint, Handler, Identity};
use jedlik_protocol::gossip::{Delta, Life, Load, MemberRecord, Ready, Speaks, Status};
use jedlik_protocol::{LayoutId, codec};
use jedlik_replica::{BudgetSettings, Config as ReplicaConfig, ShardPast, Tuning};
use jedlik_storage::{DataDir, ShardIdentity};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::clock::{AgreedClock, Clock};
use crate::config::{Config, Place};
use crate::doors::Doors;
use crate::error::NodeError;
use crate::fatal;
use crate::inbox::Inbox;
use crate::membership_task::{Event, MembershipTask, Saving, decode_state};
use crate::news::NewsLog;
use crate::node::{EmptyDirectory, Node};
use crate::notes::Notes;
use crate::parting::Parting;
use crate::peers::Peers;
use crate::pool::Pool;
use crate::presence::Presence;
use crate::router::Router;
use crate::saver::Saver;
use crate::seeds::{self, Seeds};
use crate::shard::{Desk, RunningShard, ShardEnvironment, ShardLimits};
use crate::stores::{self, OpenShard, Stores, random_bytes};
use crate::ticks::Ticks;
use crate::{spans, upkeep};

/// Number of events that may wait for membership; past it they are refused or, for outcomes, dropped.
const MEMBERSHIP_QUEUE: usize = 1024;

/// Number of requests that a shard may be at work on for each that may wait: many go on after their answer, for
/// replicas that are slow.
const OPERATIONS_PER_INPUT: usize = 4;

/// Starts a node: see [`Node::begin`].
pub(crate) async fn node(config: &Config, empty: EmptyDirectory) -> Result<Node, NodeError> {
    let credentials = Credentials::load(&config.tls.ca, &config.tls.cert, &config.tls.key)?;
    let me = Me::of(config, credentials.identity())?;
    let places = Places::look_up(config).await?;
    let Stores { dir, shards } = open_stores(config, &me).await?;
    let prepared = async {
        let prepared = Prepared::new(config, &places, &me, &credentials, (&dir, &shards))?;
        let Prepared { router, endpoint, .. } = &prepared;
        let doors = Doors::open(&config.doors, &me.identity.name, router, endpoint).await?;
        Ok((prepared, doors))
    };
    match prepared.await {
        Ok((prepared, doors)) => {
            prepared.run(config, (places.seeds, doors), me, (dir, empty), shards).await
        }
        Err(error) => {
            drop(shards);
            stores::give_up(dir);
            Err(error)
        }
    }
}

/// Parts that can be made, or can fail, before anything is issued in this life.
struct Prepared {
    clock: Clock,
    peers: Arc<Peers>,
    membership: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    view: watch::Sender<Arc<View>>,
    inboxes: Vec<Inbox>,
    router: Arc<Router>,
    endpoint: Endpoint,
    machine: Membership,
}

impl Prepared {
    fn new(
        config: &Config,
        places: &Places,
        me: &Me,
        credentials: &Credentials,
        (dir, shards): (&DataDir, &[OpenShard]),
    ) -> Result<Self, NodeError> {
        let stored = dir.load_state()?.map(decode_state).transpose()?;
        let clock = Clock::start();
        let peers = Arc::new(Peers::default());
        let (membership, events) = mpsc::channel(MEMBERSHIP_QUEUE);
        let (view, seen) = watch::channel(Arc::new(me.view()));
        let desks: Vec<Desk> = shards.iter().map(|shard| shard.desk.clone()).collect();
        let inboxes = desks.iter().map(|desk| desk.inbox.clone()).collect();
        let router = Router::new(desks, membership.clone(), seen, Arc::clone(&peers), clock);
        let router = Arc::new(router.traced(spans::tracer(config, me.node, &me.identity.name)));
        let handler: Arc<dyn Handler> = Arc::clone(&router) as Arc<dyn Handler>;
        let endpoint = places.bind(credentials, &handler)?;
        let address = places.advertise.unwrap_or(endpoint.local_addr());
        let seeds = places.seeds.addresses();
        let machine = me.machine(config, (address, seeds), (dir, stored), clock)?;
        Ok(Self { clock, peers, membership, events, view, inboxes, router, endpoint, machine })
    }

    async fn run(
        self,
        config: &Config,
        (seeds, doors): (Seeds, Doors),
        me: Me,
        (mut dir, empty): (DataDir, EmptyDirectory),
        mut shards: Vec<OpenShard>,
    ) -> Result<Node, NodeError> {
        let ticks = begin_life(config, &mut dir, &mut shards, self.clock);
        let Self { clock, peers, membership, events, view, inboxes, router, endpoint, machine } =
            self;
        let agreed = AgreedClock::new(clock);
        let open_bytes = Pool::new(config.limits.queue_bytes, shards.len());
        let around =
            environment(shard_limits(config), open_bytes, &agreed, (&router, &membership), &ticks);
        let saver = Saver::start(dir.state_file(), clock, Arc::clone(&router.save_health))?;
        let shards = me.run_shards(config, shards, &dir, &around)?;
        let ((ending, ended), (serve, serves)) = (oneshot::channel(), oneshot::channel());
        let watched = view.subscribe();
        let mut task = MembershipTask {
            machine,
            clock,
            agreed,
            notes: Notes::start(dir, clock)?,
            saving: Saving::by(saver),
            partitions: config.first_layout.partitions,
            endpoint: endpoint.clone(),
            peers: Arc::clone(&peers),
            shards: inboxes.clone(),
            view,
            parting: Parting::default(),
            ended: Some(ending),
            serves: Some(serve),
            empty,
            news: NewsLog::default(),
        };
        task.begin();
        let membership_task = fatal::spawn("membership", task.run(events));
        ticks.spawn(membership.clone())?;
        let mut upkeep = router.keep_time(&around.clock);
        upkeep.extend([
            upkeep::spawn(inboxes, watched, membership.clone(), router.refusals()),
            seeds::spawn(seeds, Arc::clone(&peers), membership.clone(), clock),
            around.presence.spawn(clock),
        ]);
        Ok(Node {
            id: me.node,
            name: me.identity.name,
            engine: config.records.engine,
            drain_limit: config.limits.stop,
            router,
            peers,
            endpoint,
            doors,
            shards,
            ticks,
            membership,
            membership_task,
            upkeep,
            ended,
            serves,
        })
    }
}

/// Addresses that the places in the configuration stand for at a start.
struct Places {
    listen: Vec<SocketAddr>,
    advertise: Option<SocketAddr>,
    seeds: Seeds,
}

impl Places {
    async fn look_up(config: &Config) -> Result<Self, NodeError> {
        let listen = look_up_own(&config.listen, "listen").await?;
        let advertise = match &config.advertise {
            Some(place) => look_up_own(place, "advertise").await?.first().copied(),
            None => None,
        };
        Ok(Self { listen, advertise, seeds: Seeds::of(&config.seeds).await })
    }

    /// Listens at the first address that can be had, and returns the endpoint.
    fn bind(
        &self,
        credentials: &Credentials,
        handler: &Arc<dyn Handler>,
    ) -> Result<Endpoint, NodeError> {
        let mut last = None;
        for address in &self.listen {
            match Endpoint::bind(*address, credentials, Arc::clone(handler)) {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a place that was looked up has an address").into())
    }
}

async fn look_up_own(place: &Place, option: &'static str) -> Result<Vec<SocketAddr>, NodeError> {
    let unknown = |why| NodeError::UnknownPlace { option, place: place.to_string(), why };
    seeds::look_up(place).await.map_err(unknown)
}

/// Opens the stores beside the runtime, since replaying journals takes a while.
async fn open_stores(config: &Config, me: &Me) -> Result<Stores, NodeError> {
    let (config, identity) = (config.clone(), me.shard(0));
    let opened = spawn_blocking(move || stores::open(&config, identity)).await;
    opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn shard_limits(config: &Config) -> ShardLimits {
    ShardLimits {
        stall_after: config.storage.stall_after,
        operations: OPERATIONS_PER_INPUT * config.limits.queue_inputs,
    }
}

/// Returns what all shards share.
fn environment(
    limits: ShardLimits,
    open_bytes: Pool,
    clock: &AgreedClock,
    (router, membership): (&Router, &mpsc::Sender<Event>),
    ticks: &Ticks,
) -> ShardEnvironment {
    ShardEnvironment {
        limits,
        open_bytes,
        clock: clock.clone(),
        peers: router.peers(),
        membership: membership.clone(),
        ticks: ticks.clone(),
        presence: Presence::default(),
        tracer: router.tracer.clone(),
    }
}

/// Returns one shard's part of what the node does of its own accord.
fn tuning(config: &Config, shards: u16) -> Tuning {
    let background = &config.background;
    let us = |time: Duration| time.as_micros() as u64;
    Tuning {
        message_life_us: us(config.limits.message_life),
        exchange_interval_us: us(background.exchange_interval),
        scrub_interval_us: us(background.scrub_interval),
        budget: BudgetSettings {
            limit_per_s: background.limit_per_s.div_ceil(shards.into()),
            slowdown_percent: background.slowdown_percent,
            ..BudgetSettings::DEFAULT
        },
    }
}

/// Marks the shards as used by this life, and saves what they hold as it begins, in place of what the life before has
/// said.
fn begin_life(config: &Config, dir: &mut DataDir, shards: &mut [OpenShard], clock: Clock) -> Ticks {
    stores::mark(dir, shards);
    let file = config.records.engine.keeps_records().then(|| dir.progress_file());
    let ticks = Ticks::new(file, clock, config.limits.message_life);
    for (index, shard) in shards.iter().enumerate() {
        if let Ok(storage) = &shard.storage {
            ticks.watch(index as u16, storage.progress());
        }
    }
    ticks.begin();
    ticks
}

/// Returns what the data directory says of this node's lives.
fn lineage(dir: &DataDir, confirm: Duration) -> Lineage {
    let shards = dir.lost_shards();
    Lineage {
        lives: dir.lives(),
        ticks: dir.ticks().into_iter().collect(),
        accounted_generation: dir.accounted_generation(),
        lost: !shards.is_empty() && shards.len() == usize::from(dir.shards()),
        rival: dir.rival(),
        outlived: dir.outlived(),
        ousts: dir.ousts(),
        believed: dir.is_believed(),
        confirm_limit_us: confirm.as_micros() as u64,
    }
}

/// Returns the versions of protocol and storage that this build speaks.
fn speaks() -> Speaks {
    Speaks {
        protocol_min: codec::PROTOCOL_MIN,
        protocol_max: codec::PROTOCOL_MAX,
        storage: jedlik_storage::RECORDS_FORMAT,
    }
}

/// Identity of this node, from its certificate and configuration.
struct Me {
    identity: Identity,
    node: NodeId,
    partitions: PartitionCount,
}

impl Me {
    fn of(config: &Config, identity: &Identity) -> Result<Self, NodeError> {
        let Some(node) = identity.node else {
            return Err(NodeError::NotANode { identity: identity.to_string() });
        };
        Ok(Self { identity: identity.clone(), node, partitions: config.first_layout.partitions })
    }

    fn shard(&self, shard: u16) -> ShardIdentity {
        ShardIdentity { cluster: self.identity.cluster, node: self.node, shard }
    }

    /// Returns a view of nothing, until membership has one.
    fn view(&self) -> View {
        let (cluster, nobody) = (self.identity.cluster, BTreeSet::new());
        View::new(self.node, cluster, self.partitions, Delta::default(), nobody)
    }

    fn run_shards(
        &self,
        config: &Config,
        shards: Vec<OpenShard>,
        dir: &DataDir,
        around: &ShardEnvironment,
    ) -> Result<Vec<RunningShard>, NodeError> {
        let count = shards.len() as u16;
        // Never 0, and half of the range is left to count in.
        let clock_start = (u64::from_le_bytes(random_bytes()?) >> 1).max(1);
        let tuning = tuning(config, count);
        let numbered = shards.into_iter().enumerate();
        let running = numbered.map(|(index, shard)| {
            let config = ReplicaConfig {
                me: self.node,
                cluster: self.identity.cluster,
                incarnation: dir.incarnation(),
                random_seed: random_bytes()?,
                shard: index as u16,
                shards: count,
                clock_start,
                tuning,
                past: ShardPast::Continuous,
                votes: None,
            };
            RunningShard::start(config, shard, around.clone())
        });
        running.collect()
    }

    fn machine(
        &self,
        config: &Config,
        (address, seeds): (SocketAddr, Vec<SocketAddr>),
        (dir, stored): (&DataDir, Option<Delta>),
        clock: Clock,
    ) -> Result<Membership, NodeError> {
        let record = MemberRecord {
            node: self.node,
            name: self.identity.name.clone(),
            address,
            zone: config.zone.clone(),
            weight: config.weight,
            life: Life::new(dir.incarnation()),
            generation: dir.generation(),
            version: 1,
            status: Status::Up,
            layout: LayoutId::default(),
            ready: Ready::default(),
            load: Load::default(),
            speaks: speaks(),
            message_life_ms: config.limits.message_life.as_millis() as u32,
        };
        let confirm = config.limits.confirm;
        let config = MembershipConfig {
            me: record,
            cluster: self.identity.cluster,
            seeds,
            partitions: config.first_layout.partitions,
            n: config.first_layout.n,
            random_seed: random_bytes()?,
            lineage: lineage(dir, confirm),
        };
        Ok(Membership::new(clock.now(), config, stored))
    }
}
