//! What has to hold before a change goes in. CI runs this and nothing else.
//!
//! Invariant: every check runs, whatever the others say; one that fails makes the whole fail.

use std::process::Command;
use std::time::Instant;

use anyhow::bail;

use crate::chaos;
use crate::sim;
use crate::step;
use crate::test;
use crate::tidy;
use crate::workspace::Workspace;

/// cargo-deny's version where a machine has none.
const DENY_VERSION: &str = "0.20.2";

type Check = fn(&Workspace) -> anyhow::Result<()>;

/// The quick ones first.
const CHECKS: [(&str, Check); 5] = [
    ("format", format),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("docs", docs),
    ("licences, bans and sources", deny),
];

/// Runs everything; the last line says how many tests passed and failed.
///
/// # Errors
/// Names the checks that failed.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let mut judge = |name: &'static str, check: &mut dyn FnMut() -> anyhow::Result<()>| {
        println!("==> {name}");
        let start = Instant::now();
        let result = check();
        let seconds = start.elapsed().as_secs();
        match result {
            Ok(()) => println!("==> {name}: ok ({seconds} s)"),
            Err(error) => {
                println!("==> {name}: FAILED ({seconds} s): {error:#}");
                failed.push(name);
            }
        }
    };
    for (name, check) in CHECKS {
        judge(name, &mut || check(workspace));
    }
    let mut tally = test::Tally::default();
    judge("tests", &mut || {
        let (counted, result) = test::count(workspace, None);
        tally = counted;
        result
    });
    judge("simulation", &mut || sim::ci(workspace));
    judge("chaos", &mut || chaos::ci(workspace));
    let verdict = if failed.is_empty() {
        "ci: ok".into()
    } else {
        format!("ci: FAILED: {}", failed.join(", "))
    };
    println!("{verdict}\n{tally}");
    if !failed.is_empty() {
        bail!("{} of {} checks failed", failed.len(), CHECKS.len() + 3);
    }
    Ok(())
}

fn format(workspace: &Workspace) -> anyhow::Result<()> {
    step::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step::run(&mut workspace.cargo(&arguments))
}

fn docs(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"];
    step::run(workspace.cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Advisories need a database from the internet; the workflow on GitHub checks them besides.
fn deny(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = find_deny(workspace)?;
    command.current_dir(workspace.root());
    step::run(command.args([
        "--all-features",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))
}

/// The machine's cargo-deny, or one of our own below the target folder.
fn find_deny(workspace: &Workspace) -> anyhow::Result<Command> {
    let own = workspace.tools().join("bin/cargo-deny");
    let works = |program: &str| step::output(Command::new(program).arg("--version")).is_ok();
    if works("cargo-deny") {
        return Ok(Command::new("cargo-deny"));
    }
    if !own.exists() {
        let mut command = workspace.cargo(&["install", "cargo-deny", "--locked"]);
        command.args(["--version", DENY_VERSION, "--root"]).arg(workspace.tools());
        step::run(&mut command)?;
    }
    Ok(Command::new(own))
}
