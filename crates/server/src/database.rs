//! The MySQL server that has a node's records: how its shards reach it, and the wait for it at a start.
//!
//! Invariant: only a server that does not answer is waited for. What an answer says is for the opening of the shards to
//! judge.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_hashing::NodeId;
use jedlik_storage::{
    Filtered, Guarded, MysqlAccess, MysqlAddress, MysqlOptions, OpenError, ShardFolder, Store,
    StoreError,
};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::config::{Config, Mysql, MysqlPlace};
use crate::error::NodeError;

/// Pause between two looks for the server.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between two lines about a server that still does not answer.
const REMIND: Duration = Duration::from_secs(60);

/// Returns the way to the server that is configured, by paths that mean the same in every folder: tools that find a
/// shard find its tables.
fn access(mysql: &Mysql) -> MysqlAccess {
    let Mysql { place, user, password_file, database } = mysql.clone();
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let address = match place {
        MysqlPlace::Socket(path) => MysqlAddress::Socket(absolute(path)),
        MysqlPlace::Loopback(address) => MysqlAddress::Loopback(address),
    };
    let password_file = password_file.map(absolute);
    MysqlAccess { address, user, password_file, database }
}

/// Returns the folder of a shard of `node` with the way to its tables, if it has any.
pub(crate) fn equipped(folder: ShardFolder, config: &Config, node: NodeId) -> ShardFolder {
    let Some(mysql) = &config.records.mysql else { return folder };
    let owner = format!("node {node}, process {}", std::process::id());
    folder.with_mysql(Arc::new(MysqlOptions { access: access(mysql), owner }))
}

/// Opens the engine of a folder that has the way to its tables.
pub(crate) fn open(folder: &ShardFolder) -> Result<Arc<dyn Store>, OpenError> {
    let open = || folder.open_mysql().map(Filtered::over);
    Ok(Arc::new(Guarded::open(&folder.engine_path(), open)?))
}

/// Whether a start may have failed because the server went away once it had answered. What it refuses it refuses once
/// more.
pub(crate) fn may_come_back(config: &Config, error: &NodeError) -> bool {
    let NodeError::Storage(error) = error else { return false };
    config.records.mysql.is_some()
        && matches!(error, OpenError::Engine { .. } | OpenError::Replay(StoreError::Engine { .. }))
}

/// Waits until the server that is configured answers, if there is one.
pub(crate) async fn awaited(config: &Config) {
    let Some(mysql) = &config.records.mysql else { return };
    let mut logged: Option<Instant> = None;
    while let Some(what) = away(access(mysql)).await {
        if logged.is_none_or(|logged| logged.elapsed() >= REMIND) {
            warn!(server = %mysql.place, what, "waiting for the MySQL server that has the records");
            logged = Some(Instant::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
    if logged.is_some() {
        info!(server = %mysql.place, "the MySQL server answers");
    }
}

/// Returns why the server does not answer. The thread that asks may be left to itself, if it waits for a server that
/// stalls.
async fn away(access: MysqlAccess) -> Option<String> {
    let (tell, told) = oneshot::channel();
    let asked = thread::Builder::new()
        .name("mysql-wait".into())
        .spawn(move || drop(tell.send(access.away())));
    match asked {
        Ok(_) => told.await.unwrap_or_else(|_| Some("the attempt has failed".into())),
        Err(error) => Some(error.to_string()),
    }
}
