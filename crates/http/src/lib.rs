//! HTTP door of a node: a server with limits on everything that a client can make long, large or many, and the
//! interfaces that it offers.
//!
//! [`Door`] listens and serves; `routes` says which path belongs to which interface: `/v1` is Jedlik's own, described by
//! an OpenAPI document, Riak's paths are those of its HTTP interface, `/ui` is a page that shows the cluster, and
//! `/healthz`, `/readyz` and `/metrics` tell what watches the process.
//!
//! Invariant: nothing here knows a shard, a peer or QUIC. Whatever is asked becomes a request to a
//! [`jedlik_door::Node`].

mod access;
mod body;
mod health;
mod keep;
mod limits;
mod metrics;
mod pages;
mod path;
mod pieces;
mod problem;
mod riak;
mod routes;
mod serve;
mod traced;
mod ui;
mod v1;

pub use limits::Limits;
pub use metrics::knows_counter;
pub use serve::{Door, Settings};
