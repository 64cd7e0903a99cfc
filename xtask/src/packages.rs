//! Debian packages that tests need: installed where that is possible.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
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

/// Makes sure that an allocator can be built for nodes.
///
/// # Errors
/// The package is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_make() -> anyhow::Result<()> {
    have("make", "nodes can't be built with jemalloc")
}

/// Makes sure that alert rules can be checked; returns whether they can.
///
/// # Errors
/// The program is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_promtool() -> anyhow::Result<bool> {
    have_program("promtool", "prometheus", "the alert rules can't be checked")?;
    Ok(has("promtool"))
}

/// Makes sure that tests have MariaDB's programs. Without them the tests of the engine on a server fail, and say so.
///
/// # Errors
/// A program is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_databases() -> anyhow::Result<()> {
    jedlik_services::have_programs().or_else(|missing| tell(&missing.to_string()))
}

/// Makes sure that tests have a browser. Without it the tests of the page are skipped, and say so.
///
/// # Errors
/// It is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_browser() -> anyhow::Result<()> {
    const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];
    let is_there = || ["chromium", "chromedriver"].iter().all(|program| has(program));
    if !is_there() {
        install(&PACKAGES);
    }
    if !is_there() {
        return tell(&format!(
            "the page can't be tried in a browser; `sudo apt-get install {}` brings one",
            PACKAGES.join(" ")
        ));
    }
    Ok(())
}

fn has(program: &str) -> bool {
    Path::new("/usr/bin").join(program).exists()
}

/// Makes sure that the programs are there with which the examples of docs/clients.md run. An example whose program is
/// missing is skipped, and says so.
///
/// # Errors
/// One is missing and could not be installed, and the environment has `CI`.
pub(crate) fn have_languages() -> anyhow::Result<()> {
    for (program, package) in [
        ("curl", "curl"),
        ("python3", "python3-minimal"),
        ("node", "nodejs"),
        ("java", "default-jdk-headless"),
    ] {
        let runs = || Command::new(program).arg("--version").output().is_ok();
        if !runs() {
            install(&[package]);
        }
        if !runs() {
            tell(&format!("there is no {program}; `sudo apt-get install {package}` brings it"))?;
        }
    }
    Ok(())
}

/// Makes sure that a package is there, which has a program of the same name.
fn have(package: &str, otherwise: &str) -> anyhow::Result<()> {
    have_program(package, package, otherwise)
}

fn have_program(program: &str, package: &str, otherwise: &str) -> anyhow::Result<()> {
    if !has(program) {
        install(&[package]);
    }
    if has(program) {
        return Ok(());
    }
    tell(&format!("{otherwise}; `sudo apt-get install {package}` brings what that takes"))
}

/// Tells what is missing, which fails in CI.
fn tell(missing: &str) -> anyhow::Result<()> {
    ensure!(std::env::var_os("CI").is_none(), "{missing}");
    println!("{missing}");
    Ok(())
}
