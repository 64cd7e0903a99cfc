//! Process of the node: its runtime, its readiness line, the signals that it heeds.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use jedlik_net::released;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::config::{Config, Snapshot};
use crate::database;
use crate::error::NodeError;
use crate::fatal;
use crate::logging;
use crate::node::{EmptyDirectory, Ending, Node};
use crate::reload::{Load, Reload};

/// Number of cores for each thread of the network, which serves sockets and TLS; records have threads of their own.
///
/// A second thread on two cores cost a third of the gets: each packet woke both.
const CORES_A_NETWORK_THREAD: usize = 4;
/// Name of the network's threads.
const NETWORK: &str = "network";

/// Number of times that a node is started while the server that has its records fails: it answered just before.
const ATTEMPTS: u32 = 3;

/// Runs a node until SIGTERM or SIGINT, then stops it cleanly; a second signal ends it at once. On SIGHUP it reads its
/// configuration anew, with `load`; `running` holds the settings that `config` was made of.
///
/// # Errors
/// The node could not start, had to end, or could not stop cleanly.
pub fn run(
    config: &Config,
    empty: EmptyDirectory,
    running: Snapshot,
    load: Arc<Load>,
) -> Result<(), NodeError> {
    fatal::end_on_panic();
    let starting = |source| NodeError::System { doing: "starting", source };
    let runtime = runtime().map_err(starting)?;
    thread::scope(|scope| {
        // The thread that waits here is the network's, where there is but one.
        let network = thread::Builder::new().name(NETWORK.into());
        let serving =
            network.spawn_scoped(scope, || runtime.block_on(serve(config, empty, running, load)));
        serving.map_err(starting)?.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Serves until the node is asked to stop or has to.
async fn serve(
    config: &Config,
    empty: EmptyDirectory,
    running: Snapshot,
    load: Arc<Load>,
) -> Result<(), NodeError> {
    let mut signals = Signals::listen()?;
    let mut hangups = listen(SignalKind::hangup())?;
    let mut reload = Reload::new(load, running);
    let mut attempts = 0;
    let (node, ended) = loop {
        tokio::select! {
            () = signals.stop() => {
                info!("stopped before the MySQL server has answered");
                return Ok(());
            }
            () = database::awaited(config) => {}
        }
        attempts += 1;
        let mut node = match Node::begin(config, empty).await {
            Err(error) if attempts < ATTEMPTS && database::may_come_back(config, &error) => {
                warn!(%error, "the MySQL server has failed while the node started; once more");
                continue;
            }
            begun => begun?,
        };
        attempts = 0;
        match until_it_ends(&mut node, &mut signals, &mut hangups, &mut reload).await {
            Some(Ending::Again) => {
                info!("starting again");
                let address = node.address();
                node.shutdown().await?;
                released(address).await;
            }
            Some(Ending::Failed(error)) => break (node, Err(error)),
            Some(Ending::Left) => {
                info!("this node has left the cluster: others hold all that it held");
                break (node, Ok(()));
            }
            None => break (node, Ok(())),
        }
    };
    info!("stopping; a second signal ends the process at once");
    tokio::spawn(async move {
        signals.stop().await;
        error!("ended by a second signal; the next start replays the journals");
        logging::finish();
        std::process::exit(1);
    });
    match ended {
        Ok(()) => node.shutdown().await,
        Err(error) => Err(node.fail(error).await),
    }
}

/// Serves until the node ends by itself, and returns why; `None` once a signal asks for the stop.
async fn until_it_ends(
    node: &mut Node,
    signals: &mut Signals,
    hangups: &mut Signal,
    reload: &mut Reload,
) -> Option<Ending> {
    tokio::select! {
        () = signals.stop() => return None,
        served = node.serving() => if let Err(ending) = served {
            return Some(ending);
        },
    }
    announce(node);
    loop {
        tokio::select! {
            () = signals.stop() => return None,
            _ = hangups.recv() => reload.run(node).await,
            ending = node.ended() => return Some(ending),
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    // A scheduler for several threads costs a tenth of a put more.
    let mut builder = match cores.div_ceil(CORES_A_NETWORK_THREAD) {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.thread_name(NETWORK).enable_all().build()
}

/// Prints one line for the starter of the process, who waits for the node to serve.
fn announce(node: &Node) {
    let (id, name, address) = (node.id(), node.name(), node.address());
    let doors = [("http", node.http_address()), ("riak_pb", node.riak_pb_address())];
    let doors = doors.into_iter().filter_map(|(door, at)| Some(format!(" {door}={}", at?)));
    let doors: String = doors.collect();
    logging::announce(&format!("ready node={id} name={name} address={address}{doors}"));
    info!(node = %id, name, %address, doors = doors.trim_start(), "ready");
}

/// Signals that stop the node. Those that would end it uncleanly are ignored; the standard library ignores SIGPIPE
/// already.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

fn listen(kind: SignalKind) -> Result<Signal, NodeError> {
    signal(kind).map_err(|source| NodeError::System { doing: "listening for signals", source })
}

impl Signals {
    fn listen() -> Result<Self, NodeError> {
        for (name, kind) in
            [("SIGUSR1", SignalKind::user_defined1()), ("SIGUSR2", SignalKind::user_defined2())]
        {
            let mut ignored = listen(kind)?;
            tokio::spawn(async move {
                ignored.recv().await;
                // It goes on being ignored: the system's own way is gone for good.
                info!(signal = name, "this signal means nothing here and is ignored from now on");
            });
        }
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
