//! A development cluster's authority and certificates, made by the admin tool.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use crate::cluster::Home;
use crate::step;

/// Makes what is missing of a development cluster's credentials: the authority in `ca`, and in `NAME/tls` a certificate
/// for each node, for `admin` and for `client`.
///
/// # Errors
/// The admin tool fails.
pub(crate) fn ensure(admin: &Path, home: &Home, nodes: &[&str]) -> anyhow::Result<()> {
    let ca = home.path("ca");
    if !ca.exists() {
        step::output(Command::new(admin).args(["ca", "init", "--dir"]).arg(&ca))?;
    }
    let named = nodes.iter().map(|name| (*name, "node"));
    for (name, role) in named.chain([("admin", "admin"), ("client", "client")]) {
        let out = home.path(&format!("{name}/tls"));
        if out.join("key.pem").exists() {
            continue;
        }
        let mut command = Command::new(admin);
        command.args(["cert", "issue", "--role", role, "--name", name, "--ca"]).arg(&ca);
        step::output(command.arg("--out").arg(&out))?;
        ensure!(out.join("key.pem").exists(), "{} lacks key.pem", out.display());
    }
    Ok(())
}
