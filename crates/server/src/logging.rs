//! Structured logs, to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process; the first call counts.
pub fn start(log: &Log) {
    let filter = EnvFilter::new(&log.filter);
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (several nodes in one test) keeps the first one's subscriber.
    let _already_started = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
