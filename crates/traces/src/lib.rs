//! Traces: which requests are followed across nodes, the spans of those that are, and their way to a collector.
//!
//! A [`Tracer`] begins an [`OpenSpan`] for a request that is traced, and nothing for any other. A span that ends is queued;
//! a task of its own sends what is queued to a collector, as OpenTelemetry's protocol over HTTP says.
//!
//! Invariant: nobody who makes spans ever waits. Everything that waits here has a limit, and what is past it is left out
//! and counted.

mod export;
mod limit;
mod otlp;
mod span;
mod tracer;

pub use export::SendError;
pub use otlp::Resource;
pub use span::{Kind, OpenSpan};
pub use tracer::{Counts, Settings, Tracer};
