//! All tests: units, properties, documentation, and end-to-end tests with real processes.

mod tally;

use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};
use jedlik_engines::Engine;

pub(crate) use tally::Tally;

use crate::workspace::{Profile, Workspace};
use crate::{packages, step, words};

/// Environment variable that tells the end-to-end tests the folder of the binaries; the next ones name other files.
const BINARIES: &str = "JEDLIK_TEST_BINARIES";
const XTASK: &str = "JEDLIK_TEST_XTASK";
const WORDS: &str = "JEDLIK_TEST_WORDS";
const NEXT: &str = "JEDLIK_NEXT_NODE";
const TIMES: &str = "JEDLIK_TEST_TIMES";
/// Variable that names the engine of end-to-end tests which choose none.
const ENGINE: &str = "JEDLIK_TEST_ENGINE";
/// Modules of the end-to-end tests that CI runs on every engine: what a crash leaves, files that rot, vanish, can't be
/// read, or are older than they ought to be, disks without room, and room that is given back. Other tests run on the
/// default engine alone: they are about what lies above the engines, whose contract the storage crate's own suites check
/// on each.
const OF_ENGINES: [&str; 8] = [
    "bad_disk::",
    "crash::",
    "full_disk::",
    "given_back::",
    "rolled_back::",
    "rot::",
    "unlinked::",
    "votes::",
];
/// Tests of those modules that make no sense on an engine, by the beginnings of their names, each with the reason.
const LEFT_OUT: [(Engine, &str, &str); 4] = [
    (Engine::Mysql, "bad_disk::an_engine_that_can_not_be_read", NOT_ITS_FILES),
    (Engine::Mysql, "bad_disk::a_get_that_meets_an_error", NOT_ITS_FILES),
    (
        Engine::Mysql,
        "full_disk::a_disk_that_fails_thousands",
        "flushes find room on the server's disk",
    ),
    (Engine::Mysql, "given_back::", "how small the files of tables become is up to the server"),
];
const NOT_ITS_FILES: &str = "the server reads the engine's files, and no call of the node can fail";
/// Variable and number of tests of one program that run at a time: far more than processors, since the long ones mostly
/// wait.
const THREADS: (&str, &str) = ("RUST_TEST_THREADS", "8");

/// Runs the tests whose names contain `filter`, or all if it is `None`, and prints the sum at the end.
///
/// # Errors
/// A test fails, or a build does.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<()> {
    workspace.build(Profile::Release)?;
    let mut tally = Tally::default();
    let result = run_into(workspace, filter, &mut tally);
    println!("{tally}");
    result
}

/// Runs all tests for CI, which has built the programs. The tally counts the tests that ran even if the run fails.
pub(crate) fn ci(workspace: &Workspace) -> (Tally, anyhow::Result<()>) {
    let mut tally = Tally::default();
    let mut result = run_into(workspace, None, &mut tally);
    for engine in &Engine::ALL[1..] {
        let on_engine = run_on(workspace, *engine, &mut tally);
        result = result.and(on_engine.with_context(|| format!("on {engine}")));
    }
    (tally, result)
}

fn run_into(workspace: &Workspace, filter: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(filter);
    hear(workspace, command, tally)
}

/// Runs the end-to-end tests that have to do with engines on one of them. The workspace is named as above, so that
/// nothing is built again.
fn run_on(workspace: &Workspace, engine: Engine, tally: &mut Tally) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--test", "e2e", "--"]);
    command.args(OF_ENGINES).env(ENGINE, engine.name());
    for (_, test, why) in LEFT_OUT.iter().filter(|left_out| left_out.0 == engine) {
        println!("left out on {engine}: {test}: {why}");
        command.args(["--skip", test]);
    }
    hear(workspace, command, tally)
}

/// Runs a command of tests in their environment, and counts them.
fn hear(workspace: &Workspace, mut command: Command, tally: &mut Tally) -> anyhow::Result<()> {
    let failed = tally.failed();
    command.env(BINARIES, workspace.binaries(Profile::Release));
    command.env(XTASK, std::env::current_exe()?);
    if std::env::var_os(THREADS.0).is_none() {
        command.env(THREADS.0, THREADS.1);
    }
    let next = workspace.next_node();
    if next.exists() {
        command.env(NEXT, next);
    }
    packages::have_clocks()?;
    packages::have_failing_calls()?;
    packages::have_databases()?;
    packages::have_browser()?;
    packages::have_languages()?;
    if let Some(words) = words::find()? {
        command.env(WORDS, words);
    }
    let times = workspace.tools().join("test-times");
    fs::create_dir_all(workspace.tools())?;
    fs::write(&times, "")?;
    let result = step::heard(command.env(TIMES, &times), |line| tally.hear(line));
    tally.read_times(&fs::read_to_string(&times)?);
    ensure!(result.is_err() || tally.failed() == failed, "tests failed, and cargo has not said so");
    result
}
