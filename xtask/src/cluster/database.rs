//! Databases of a cluster whose nodes keep their records on a MySQL server: one for each node, on the cluster's own
//! MariaDB.
//!
//! Invariant: what is there already stays as it is, so every start may come by here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use jedlik_services::sql;

use super::home::{Home, Node};
use crate::services;

/// Folder of the server, in the cluster's.
const FOLDER: &str = "services";
/// Name of the file with a node's password, in the node's folder.
const PASSWORD: &str = "mysql-password";

/// Starts the server if it does not run, and makes the database and the user of each node that has none.
pub(super) fn ensure(home: &Home, nodes: &[Node]) -> anyhow::Result<()> {
    let (database, _) = services::up(&home.path(FOLDER))?;
    for node in nodes {
        let (name, path) = (&node.name, home.node_path(node, PASSWORD));
        let password = password(&path)
            .with_context(|| format!("can't make the password in {}", path.display()))?;
        let user = format!("{name}@localhost");
        let statements = format!(
            "CREATE DATABASE IF NOT EXISTS {name}; \
             CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}'; \
             GRANT ALL ON {name}.* TO {user}"
        );
        sql(&database.socket(), &statements)
            .with_context(|| format!("can't make a database for {name}"))?;
    }
    Ok(())
}

/// Stops the server, if the cluster has one that runs.
pub(super) fn stop(home: &Home) -> anyhow::Result<bool> {
    services::down(&home.path(FOLDER))
}

/// Returns the table of a node's configuration that tells it the way to its database. Paths are relative to the file.
pub(super) fn config(name: &str) -> String {
    format!(
        "\n\
         [mysql]\n\
         socket = \"../{FOLDER}/mysql.sock\"\n\
         user = \"{name}\"\n\
         password_file = \"{PASSWORD}\"\n\
         database = \"{name}\"\n"
    )
}

/// Returns the password in the file at `path`, which is made with a random one if it is missing.
fn password(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{text}")?;
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}
