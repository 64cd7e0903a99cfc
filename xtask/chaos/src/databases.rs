//! The MariaDB server of a run whose nodes keep their records on one, and its faults.
//!
//! Invariant: the server ends with this program, however that ends, and its tables go with it. It is one server for all
//! nodes, so its faults meet all of them at once, which requests don't have to do without; what was acknowledged is in
//! its tables or in the nodes' own journals. A node's user reaches its own database alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jedlik_services::PrivateServer;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::Cluster;
use crate::plan::{ServerFault, ServerTrouble};

/// Server with the nodes' databases.
#[derive(Debug)]
pub(crate) struct Databases {
    server: Arc<PrivateServer>,
    /// Held by whoever needs the server to answer, and while it has a fault.
    turn: Mutex<()>,
}

impl Databases {
    /// Starts a server without databases.
    ///
    /// # Errors
    /// MariaDB's programs are missing and can't be installed, or refuse.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = spawn_blocking(|| PrivateServer::start(&[])).await?;
        let server = Arc::new(server.context("can't start MariaDB")?);
        Ok(Self { server, turn: Mutex::default() })
    }

    /// Waits until the server has no fault; it has none as long as the guard is there.
    pub(crate) async fn well(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Makes the database of a node, and its user of the same name.
    pub(crate) async fn add(&self, node: &str) -> anyhow::Result<()> {
        let _well = self.well().await;
        let statements = format!(
            "CREATE DATABASE {node}; CREATE USER {node}@localhost; \
             GRANT ALL ON {node}.* TO {node}@localhost"
        );
        self.sql(statements).await.map(drop)
    }

    /// Returns the table of a node's configuration that tells it the way to its database.
    pub(crate) fn config(&self, node: &str) -> String {
        let socket = self.server.socket();
        let socket = socket.display();
        format!("\n[mysql]\nsocket = \"{socket}\"\nuser = \"{node}\"\ndatabase = \"{node}\"\n")
    }

    /// Copies a node's tables, as a backup does. The node must not run.
    pub(crate) async fn copy(&self, node: &str) -> anyhow::Result<()> {
        let _well = self.well().await;
        let tables = self.sql(format!("SHOW TABLES IN {node}")).await?;
        let copied = tables.lines().map(|table| {
            format!(
                "CREATE TABLE {node}_copy.{table} LIKE {node}.{table}; \
                 INSERT INTO {node}_copy.{table} SELECT * FROM {node}.{table};\n"
            )
        });
        let copied: String = copied.collect();
        self.sql(format!("CREATE DATABASE {node}_copy;\n{copied}")).await.map(drop)
    }

    /// Replaces a node's tables with the copy, or removes the copy. The node must not run.
    pub(crate) async fn end_copy(&self, node: &str, put_back: bool) -> anyhow::Result<()> {
        let _well = self.well().await;
        let mut statements = String::new();
        if put_back {
            let tables = self.sql(format!("SHOW TABLES IN {node}_copy")).await?;
            let moved = tables
                .lines()
                .map(|table| format!("RENAME TABLE {node}_copy.{table} TO {node}.{table};\n"));
            let moved: String = moved.collect();
            statements = format!("DROP DATABASE {node}; CREATE DATABASE {node};\n{moved}");
        }
        self.sql(statements + &format!("DROP DATABASE {node}_copy")).await.map(drop)
    }

    /// Makes a fault, and ends it when its time is up.
    async fn suffer(&self, fault: ServerFault) -> anyhow::Result<()> {
        let _turn = self.turn.lock().await;
        let time = Duration::from_millis(fault.for_ms);
        let (begin, end): (Act, Act) = match fault.trouble {
            ServerTrouble::Kill => (PrivateServer::kill, |server| server.start_again(&[])),
            ServerTrouble::Stop => (PrivateServer::pause, PrivateServer::resume),
        };
        self.with(begin).await?;
        sleep(time).await;
        self.with(end).await
    }

    /// Runs statements as the server's root, and returns what they print.
    async fn sql(&self, statements: String) -> anyhow::Result<String> {
        self.with(move |server| server.sql(&statements)).await
    }

    /// Does something that takes its time with the server, on a thread of its own.
    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&PrivateServer) -> std::io::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let server = self.server.clone();
        spawn_blocking(move || act(&server)).await?.context("MariaDB")
    }
}

type Act = fn(&PrivateServer) -> std::io::Result<()>;

/// Makes the server's faults at their times, and returns when it is well again.
///
/// # Errors
/// The server doesn't come back, or the operating system refuses.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    faults: Vec<ServerFault>,
    start: Instant,
) -> anyhow::Result<()> {
    for fault in faults {
        sleep_until(start + Duration::from_millis(fault.at_ms)).await;
        cluster.chronicle.say(fault.to_string());
        cluster.chronicle.count(fault.trouble.name());
        cluster.databases()?.suffer(fault).await?;
        cluster.chronicle.say("the server is well again");
    }
    Ok(())
}
