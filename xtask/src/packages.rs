//! Debian packages that tests need: installed where that is possible.

use std::path::Path;

use anyhow::bail;
use jedlik_services::install;

/// Makes sure that nodes' clocks can be set. Without the package the tests that set clocks fail, and say so.
///
/// # Errors
/// The package is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_clocks() -> anyhow::Result<()> {
    have("faketime", "nodes' clocks can't be set")
}

/// Makes sure that system calls of nodes can be made to fail. Without the package the tests of failing disks are
/// skipped, and say so.
///
/// # Errors
/// The package is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_failing_calls() -> anyhow::Result<()> {
    have("strace", "no errors can be injected into nodes' system calls")
}

/// Makes sure that tests have MariaDB's programs. Without them the tests of the engine on a server fail, and say so.
///
/// # Errors
/// A program is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_databases() -> anyhow::Result<()> {
    if let Err(missing) = jedlik_services::have_programs() {
        if std::env::var_os("CI").is_some() {
            bail!(missing);
        }
        println!("{missing}");
    }
    Ok(())
}

/// Makes sure that a package is there, which has a program of the same name.
fn have(package: &str, otherwise: &str) -> anyhow::Result<()> {
    let program = Path::new("/usr/bin").join(package);
    if !program.exists() {
        install(&[package]);
    }
    if !program.exists() {
        let missing =
            format!("{otherwise}; `sudo apt-get install {package}` brings what that takes");
        if std::env::var_os("CI").is_some() {
            bail!("{missing}");
        }
        println!("{missing}");
    }
    Ok(())
}
