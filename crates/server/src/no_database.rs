//! The engine `mysql` in a build without it, which refuses it as a mistake in the configuration.
//!
//! Invariant: no configuration with that engine exists, so nothing here is reached with one.

use std::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_storage::{OpenError, ShardFolder, Store};

use crate::config::Config;
use crate::error::NodeError;

/// Returns the folder as it is.
pub(crate) fn equipped(folder: ShardFolder, _config: &Config, _node: NodeId) -> ShardFolder {
    folder
}

/// Refuses to open an engine on a server.
pub(crate) fn open(folder: &ShardFolder) -> Result<Arc<dyn Store>, OpenError> {
    let message = "this program was built without the feature `mysql`".into();
    Err(OpenError::Engine { path: folder.engine_path(), message })
}

/// Whether a start may succeed later: no server has failed.
pub(crate) fn may_come_back(_config: &Config, _error: &NodeError) -> bool {
    false
}

/// Waits for no server, since there is none.
pub(crate) async fn awaited(_config: &Config) {}
