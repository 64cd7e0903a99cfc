//! MariaDB servers of one's own, on a Unix socket in their own folder: for tests, and for development clusters.
//!
//! Invariant: nothing outside of the server's folder is written, no port is opened, and only processes that were started
//! here are signalled.

mod database;
mod packages;
mod private;

pub use database::{Database, have_programs, sql};
pub use packages::install;
pub use private::PrivateServer;
