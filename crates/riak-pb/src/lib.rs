//! Door of a node for Riak's Protocol Buffers clients.
//!
//! [`Door`] listens and serves, with limits on everything that a client can make long, large or many. A connection has a
//! session, which turns each message into requests to the node, one message after the other, as Riak does. `frame` is how
//! messages travel, `messages` what is in them, and `code` what each is, down to the ones that Jedlik refuses because it
//! has nothing of the kind: map/reduce, queries of indexes, search, data types, time series.
//!
//! Invariant: nothing here knows a shard, a peer or QUIC. Whatever is asked becomes a request to a
//! [`jedlik_door::Node`], and whatever can't be is an error's answer.

mod code;
mod connection;
mod content;
mod frame;
mod limits;
mod messages;
mod quorums;
mod refusal;
mod serve;
mod session;
mod settings;

pub use limits::Limits;
pub use serve::{Door, Settings, serve_stream};
