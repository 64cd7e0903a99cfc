//! Other programs, run as steps: a failure names the command that failed.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Runs a command to its end; its output goes where this program's goes.
///
/// # Errors
/// The command can't be started, or fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("can't start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command to its end, and calls `hear` for each line of both outputs, in their order.
///
/// # Errors
/// The command can't be started or fails, or its output can't be read.
pub(crate) fn heard(command: &mut Command, mut hear: impl FnMut(&str)) -> anyhow::Result<()> {
    let shown = shown(command);
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn();
    // Otherwise the command would keep its ends of the pipe, and reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.with_context(|| format!("can't start `{shown}`"))?;
    let mut lines = BufReader::new(reader).split(b'\n');
    let read = lines.try_for_each(|line| {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        hear(&line);
        io::Result::Ok(())
    });
    let status = child.wait()?;
    read?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command to its end, and adds the lines that are `wanted` to the notes.
///
/// # Errors
/// The same as for [`heard`].
pub(crate) fn noted(
    command: &mut Command,
    notes: &mut Vec<String>,
    wanted: fn(&str) -> bool,
) -> anyhow::Result<()> {
    heard(command, |line| notes.extend(wanted(line).then(|| line.to_owned())))
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// The command can't be started or fails; the message has what it wrote to standard error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("can't start `{shown}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}): {}", output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote no UTF-8"))
}

/// Formats the command as it might be typed.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}
