//! Debian packages that tests need: installed where that is possible.

use std::process::{Command, Stdio};

/// Installs packages if this process is root. A failure is printed, and shows in missing files, for which callers
/// check.
pub fn install(packages: &[&str]) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    apt(&["-qq", "update"]);
    let mut arguments = vec!["-qq", "install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments);
}

fn apt(arguments: &[&str]) {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            println!("`apt-get {}` failed: {}", arguments.join(" "), said.trim());
        }
        Err(error) => println!("can't start `apt-get`: {error}"),
    }
}
