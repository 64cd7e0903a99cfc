//! Other programs, run to their end: a failure names the command that failed.
//!
//! Invariant: a command ends with its caller, and a Ctrl-C at the terminal reaches this program alone.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

/// Returns a command for `program` with the arguments, without the environment's variables about other clusters.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("JEDLIK_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// The command can't be started, fails, or is not done within `limit`.
pub(crate) async fn output(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.with_context(|| format!("`{shown}` takes more than {limit:?}"))?;
    let output = output.with_context(|| format!("can't start `{shown}`"))?;
    if !output.status.success() {
        let said = [&output.stderr, &output.stdout].map(|said| String::from_utf8_lossy(said));
        bail!("`{shown}` failed ({}): {}", output.status, said.join(" ").trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote no UTF-8"))
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}
