//! The way to a MySQL server, as flags of a migration to it.
//!
//! Invariant: the flags are the options of a node's table `[mysql]`, and mean the same.

use std::path::{Path, PathBuf};

use jedlik_storage::{MigrateError, Migration};

use crate::exit::Usage;

/// Flags that say where the tables are to be made.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct MysqlFlags {
    /// With --to mysql: the Unix socket of the server, as `mysql.socket` in the node's configuration
    #[arg(long, value_name = "PATH", conflicts_with = "mysql_host")]
    mysql_socket: Option<PathBuf>,
    /// The same for a server without a socket: 127.0.0.1, ::1 or localhost
    #[arg(long, value_name = "HOST")]
    mysql_host: Option<String>,
    /// The port of that host
    #[arg(long, value_name = "PORT", default_value_t = 3306)]
    mysql_port: u16,
    /// The user who is to own the tables
    #[arg(long, value_name = "USER", default_value = "jedlik")]
    mysql_user: String,
    /// The file whose first line is the user's password
    #[arg(long, value_name = "PATH")]
    mysql_password_file: Option<PathBuf>,
    /// The database in which the tables are made
    #[arg(long, value_name = "NAME", default_value = "jedlik")]
    mysql_database: String,
}

impl MysqlFlags {
    /// Opens the data directory for a migration to the server.
    #[cfg(feature = "mysql")]
    pub(super) fn open(self, data_dir: &Path) -> anyhow::Result<Result<Migration, MigrateError>> {
        use jedlik_storage::{MysqlAccess, MysqlAddress, MysqlOptions};
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let address = match (self.mysql_socket, self.mysql_host) {
            (Some(path), _) => MysqlAddress::Socket(absolute(path)),
            (None, Some(host)) => {
                MysqlAddress::loopback(&host, self.mysql_port).ok_or_else(|| {
                    Usage(format!(
                        "--mysql-host can't be {host:?}: what is sent to the server is not encrypted, so it must be \
                         on this machine"
                    ))
                })?
            }
            (None, None) => {
                let what = "--to mysql takes --mysql-socket PATH, or --mysql-host for a server without one";
                return Err(Usage(what.into()).into());
            }
        };
        let access = MysqlAccess {
            address,
            user: self.mysql_user,
            password_file: self.mysql_password_file.map(absolute),
            database: self.mysql_database,
        };
        let owner = format!("jedlik-admin, process {}", std::process::id());
        Ok(Migration::open_to_mysql(data_dir, MysqlOptions { access, owner }))
    }

    /// Refuses the migration, since this program was built without the engine.
    #[cfg(not(feature = "mysql"))]
    pub(super) fn open(self, _: &Path) -> anyhow::Result<Result<Migration, MigrateError>> {
        let what = "this jedlik-admin was built without MySQL; build it with the feature `mysql`";
        Err(Usage(what.into()).into())
    }
}
