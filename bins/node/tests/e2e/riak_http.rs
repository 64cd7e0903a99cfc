//! Riak's own client for Python, unchanged, over a real cluster's HTTP doors.
//!
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::http::open;
use crate::packages;
use crate::tools::run;

/// Package of the client, with the version that its users have.
const PACKAGE: &str = "riak==2.7.0";
/// Folder of the client's script, and of the shim that lets it run, below this package's.
pub(crate) const SCRIPTS: &str = "tests/e2e/riak_http";

/// Returns a Python that has the client; `None` if it can't be had here.
pub(crate) fn python() -> Option<PathBuf> {
    packages::python("riak-python", PACKAGE)
}

#[test]
fn riaks_client_for_python_works_unchanged() {
    let Some(python) = python() else { return };
    let cluster = Cluster::start_with(open);
    let port = cluster.nodes[0].address.unwrap().port();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPTS);
    let mut client = Command::new(python);
    client.arg("-B").arg("-W").arg("ignore").arg(scripts.join("client.py")).arg(port.to_string());
    let said = run(&mut client).ok().stdout;
    assert!(said.ends_with("refusals done\n"), "{said}");
}
