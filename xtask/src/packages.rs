//! Debian packages that tests need: installed where that is possible.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::step;

/// Package that gives a process a calendar clock of its own.
const FAKETIME: &str = "faketime";

/// Installs a package if this process is root. A failure shows in missing files, for which callers check.
pub(crate) fn install(package: &str) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        if let Err(error) = step::output(&mut command) {
            println!("{error:#}");
        }
    };
    apt(&["-qq", "update"]);
    apt(&["-qq", "install", "--yes", "--no-install-recommends", package]);
}

/// Makes sure that nodes' clocks can be set. Without the package the tests that set clocks fail, and say so.
///
/// # Errors
/// The package is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_clocks() -> anyhow::Result<()> {
    if !Path::new("/usr/bin/faketime").exists() {
        install(FAKETIME);
    }
    if !Path::new("/usr/bin/faketime").exists() {
        let missing =
            "nodes' clocks can't be set; `sudo apt-get install faketime` brings what that takes";
        if std::env::var_os("CI").is_some() {
            bail!("{missing}");
        }
        println!("{missing}");
    }
    Ok(())
}
