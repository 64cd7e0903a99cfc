//! Packages of other languages, installed from their registries into folders of their own.
//!
//! Invariant: where a package can't be had, its test is left out and says so; under `CI` it fails. A folder that is ready
//! has the whole package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::tools::leave_out;

/// Lock of the folders, so that two tests don't install the same package at the same time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Returns a Python that has the package, in an environment of its own; `None` if it can't be had here.
pub(crate) fn python(name: &str, package: &str) -> Option<PathBuf> {
    let home = installed(name, package, "python3-venv", |home| {
        let pip = ["-m", "pip", "install", "--quiet", package];
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(home))
            && succeeds(Command::new(home.join("bin/python")).args(pip))
    });
    Some(home?.join("bin/python"))
}

/// Returns a folder with the package for Node.js; `None` if it can't be had here.
pub(crate) fn node(name: &str, package: &str) -> Option<PathBuf> {
    installed(name, package, "npm", |home| {
        fs::create_dir_all(home).unwrap();
        let npm = ["install", "--no-audit", "--no-fund", "--loglevel=error", package];
        succeeds(Command::new("npm").args(npm).current_dir(home))
    })
}

fn installed(
    name: &str,
    package: &str,
    needed: &str,
    install: impl FnOnce(&Path) -> bool,
) -> Option<PathBuf> {
    // A test that failed here has left the folder without its mark.
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let ready = home.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|ready| ready == package) {
        return Some(home);
    }
    if !install(&home) {
        leave_out(&format!("{package} could not be installed; that takes {needed} and a network"));
        return None;
    }
    fs::write(ready, package).unwrap();
    Some(home)
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
