//! The node as a process: its runtime, its readiness line, the signals that stop it.

use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use crate::config::Config;
use crate::error::NodeError;
use crate::logging;
use crate::node::{Ending, Node};

/// One thread for sockets and TLS serves this many cores; records have threads of their own.
///
/// A second one on two cores cost a third of the gets: each packet woke both.
const CORES_A_NETWORK_THREAD: usize = 4;

/// Runs a node until SIGTERM or SIGINT, then stops it cleanly; a second signal ends it at once.
///
/// # Errors
/// It could not start, had to end, or could not stop cleanly.
pub fn run(config: &Config) -> Result<(), NodeError> {
    let runtime = runtime().map_err(|source| NodeError::System { doing: "starting", source })?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut node = Node::start(config).await?;
        announce(&node);
        let ended = tokio::select! {
            () = signals.next() => Ok(()),
            ending = node.ended() => match ending {
                Ending::Failed(error) => Err(error),
                Ending::Left => {
                    info!("this node has left the cluster: others hold all that it held");
                    Ok(())
                }
            },
        };
        info!("stopping; a second signal ends the process at once");
        tokio::spawn(async move {
            signals.next().await;
            error!("ended by a second signal; the next start replays the journals");
            logging::finish();
            std::process::exit(1);
        });
        ended.and(node.shutdown().await)
    })
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(CORES_A_NETWORK_THREAD))
        .thread_name("network")
        .enable_all()
        .build()
}

/// One line, for whoever has started the process and waits for it to serve.
fn announce(node: &Node) {
    let (id, name, address) = (node.id(), node.name(), node.address());
    logging::announce(&format!("ready node={id} name={name} address={address}"));
    info!(node = %id, name, %address, "ready");
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, NodeError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|source| NodeError::System { doing: "listening for signals", source })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
