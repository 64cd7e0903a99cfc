//! Reload of a configuration that has changed, on SIGHUP: what a running node takes over.
//!
//! Invariant: a configuration with a mistake changes nothing, and an option that is not taken over is named, at
//! every reload, until the node has been restarted.

use std::sync::Arc;

use jedlik_net::Credentials;
use jedlik_protocol::admin::BackgroundChange;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::config::{Config, InvalidConfig, Settings, Snapshot};
use crate::logging;
use crate::node::Node;

/// Options that a running node takes over. The files of `tls.*` are read anew each time.
const TAKEN_OVER: [&str; 7] = [
    "log.filter",
    "limits.stop_ms",
    "background.limit_per_s",
    "background.slowdown_percent",
    "tls.ca",
    "tls.cert",
    "tls.key",
];

/// Function that reads all sources of the configuration.
pub type Load = dyn Fn() -> Settings + Send + Sync;

/// Reload of the configuration of one node.
pub(crate) struct Reload {
    load: Arc<Load>,
    /// Settings that the node runs with.
    running: Snapshot,
}

impl Reload {
    /// Returns the reload of a node that was started with `running`.
    pub(crate) fn new(load: Arc<Load>, running: Snapshot) -> Self {
        Self { load, running }
    }

    /// Reads the configuration anew, takes over what a running node can, and logs what changed.
    pub(crate) async fn run(&mut self, node: &mut Node) {
        let load = Arc::clone(&self.load);
        let read = move || {
            let settings = load();
            let snapshot = settings.snapshot();
            let config = settings.check()?;
            let tls = &config.tls;
            let credentials = Credentials::load(&tls.ca, &tls.cert, &tls.key);
            Ok::<_, InvalidConfig>((snapshot, config, credentials))
        };
        let Ok(read) = spawn_blocking(read).await else { return };
        let (fresh, config, credentials) = match read {
            Ok(read) => read,
            Err(mistakes) => {
                warn!(%mistakes, "the configuration was not reloaded: it has mistakes");
                return;
            }
        };
        let mut changed = self.running.changed(&fresh);
        let certificates = match credentials {
            Ok(credentials) => node.renew(&credentials).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let read = if certificates.is_ok() { "read anew" } else { "as before" };
        if let Err(error) = certificates {
            warn!(%error, "the certificates were not reloaded; the node goes on with those it has");
            changed.retain(|name| !name.starts_with("tls."));
        }
        let (taken, waiting): (Vec<&str>, Vec<&str>) =
            changed.into_iter().partition(|name| TAKEN_OVER.contains(name));
        take(&taken, &config, node);
        self.running.take(&taken, &fresh);
        let (taken, waiting) = (listed(&taken), listed(&waiting));
        info!(
            changed = taken,
            needs_a_restart = waiting,
            certificates = read,
            "reloaded the configuration"
        );
    }
}

fn take(names: &[&str], config: &Config, node: &mut Node) {
    if names.contains(&"log.filter") {
        logging::set_filter(&config.telemetry.log.filter);
    }
    node.drain_limit = config.limits.stop;
    let background = &config.background;
    let change = BackgroundChange {
        limit_per_s: names.contains(&"background.limit_per_s").then_some(background.limit_per_s),
        slowdown_percent: names
            .contains(&"background.slowdown_percent")
            .then_some(background.slowdown_percent),
        ..BackgroundChange::default()
    };
    if change != BackgroundChange::default() {
        node.set_background(change);
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { String::from("nothing") } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::TAKEN_OVER;
    use crate::config::OPTIONS;

    #[test]
    fn every_option_that_is_taken_over_is_one() {
        for name in TAKEN_OVER {
            assert!(OPTIONS.iter().any(|option| option.name == name), "{name}");
        }
    }
}
