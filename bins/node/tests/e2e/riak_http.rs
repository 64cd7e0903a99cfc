//! Riak's own client for Python, unchanged, over a real cluster's HTTP doors.
//!
//! The client is installed from its registry into an environment of its own. Where that fails the test is skipped, and
//! says so; under `CI` it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::cluster::Cluster;
use crate::http::open;
use crate::tools::{leave_out, run};

/// Package of the client, with the version that its users have.
const PACKAGE: &str = "riak==2.7.0";
/// Folder of the client's script, and of the shim that lets it run, below this package's.
pub(crate) const SCRIPTS: &str = "tests/e2e/riak_http";

/// Lock of the environment, so that two tests don't install it at the same time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Returns a Python that has the client; `None` if it can't be had here.
pub(crate) fn python() -> Option<PathBuf> {
    let _alone = INSTALLING.lock().unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("riak-python");
    let python = home.join("bin/python");
    let ready = home.join("ready");
    if !ready.exists() {
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&home))
            && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]));
        if !made {
            leave_out(
                "Riak's client could not be installed; that takes python3-venv and a network",
            );
            return None;
        }
        fs::write(ready, PACKAGE).unwrap();
    }
    Some(python)
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
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
