//! Structured logs, to standard error, and the few lines that a process prints besides.
//!
//! Invariant: no line is written by the thread that says it, so a full disk, a closed pipe or a reader that stands
//! still loses lines and does nothing else to the node.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::reload::Handle;

use crate::config::{Log, LogFormat};
use crate::line_queue::LineQueue;

/// Time that a process which ends gives the reader of its last lines.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(1);

static STDERR: OnceLock<LineQueue> = OnceLock::new();
static STDOUT: OnceLock<LineQueue> = OnceLock::new();
/// Function that exchanges the subscriber's filter.
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Starts logging for the whole process; the first call counts.
pub fn start(log: &Log) {
    let filter = EnvFilter::new(&log.filter);
    let lines = fmt().with_writer(|| stderr().clone()).log_internal_errors(false);
    // A second start (several nodes in one test) keeps the first one's subscriber.
    let _already_started = match log.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(false).with_env_filter(filter).with_filter_reloading();
            keep(lines.reload_handle());
            lines.try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_env_filter(filter).with_filter_reloading();
            keep(lines.reload_handle());
            lines.try_init()
        }
    };
    panic::set_hook(Box::new(|panic| {
        say(&describe(panic));
        finish();
    }));
}

fn keep<S: 'static>(filter: Handle<EnvFilter, S>) {
    // It fails only once the subscriber is gone, which lives as long as the process.
    let _kept = FILTER.set(Box::new(move |new| drop(filter.reload(new))));
}

/// Sets the filter by which lines are written from now on.
pub(crate) fn set_filter(filter: &str) {
    if let Some(set) = FILTER.get() {
        set(EnvFilter::new(filter));
    }
}

/// Prints a line to standard error, behind those that were logged before.
pub fn say(line: &str) {
    stderr().push(format!("{line}\n").as_bytes());
}

/// Prints a line to standard output.
pub fn announce(line: &str) {
    stdout().push(format!("{line}\n").as_bytes());
}

/// Waits until all lines are written, or nobody reads them: to be called before the process ends.
pub fn finish() {
    for queue in [&STDERR, &STDOUT] {
        if let Some(queue) = queue.get() {
            queue.flush(LAST_LINES_LIMIT);
        }
    }
}

fn stderr() -> &'static LineQueue {
    STDERR.get_or_init(|| {
        LineQueue::start("log", own(std::io::stderr().as_fd()), |lines| {
            warn!(lines, "log lines were lost: standard error did not take them");
        })
    })
}

fn stdout() -> &'static LineQueue {
    STDOUT.get_or_init(|| LineQueue::start("stdout", own(std::io::stdout().as_fd()), |_| {}))
}

/// Returns the stream without the standard library's lock, which a thread that is held up there would keep.
fn own(stream: BorrowedFd<'_>) -> Box<dyn std::io::Write + Send> {
    match stream.try_clone_to_owned() {
        Ok(stream) => Box::new(File::from(stream)),
        // Without a descriptor to spare the node can't open its data either, and says so nowhere.
        Err(_) => Box::new(std::io::sink()),
    }
}

/// Describes a panic as the standard library's own hook does.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    format!("thread '{name}' panicked at {place}: {}{trace}", message(panic.payload()))
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
