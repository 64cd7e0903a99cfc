//! The only wire format: every message between nodes, clients and admins.
//!
//! Modules use one another downwards only. At the top, [`codec`] makes bytes of frames and frames of bytes; below it are
//! the checks, the frame, the messages ([`client`], [`peer`], [`gossip`], [`admin`]), the values in them, and at the
//! bottom `archive`, the bytes of any one value.
//!
//! Invariant: bytes become values in `archive` alone, validated there; a frame that exists is well formed and within
//! [`limits`].

#![no_std]
extern crate alloc;

pub mod access;
pub mod admin;
mod archive;
mod blob;
pub mod bucket;
mod check;
pub mod client;
pub mod codec;
mod context;
pub mod error;
pub mod escape;
mod frame;
pub mod gossip;
pub mod inspection;
mod key;
mod layout;
pub mod limits;
mod partitions;
pub mod peer;
mod quorum;
mod record;
mod stamp;
mod time;
mod trace;
mod value;
mod version;

pub use blob::Blob;
pub use context::Context;
pub use jedlik_vclock::{Incarnation, LocalActor};
pub use key::{ClusterId, Key, PlacedKey};
pub use layout::{ActiveLayouts, Departed, Layout, LayoutId, LayoutVersion, WireLayout};
pub use partitions::PartitionSet;
pub use quorum::Quorum;
pub use record::{Digest, Durability, EncodedRecord, Record, Sibling, StoredRecord};
pub use stamp::{Stamp, Terms};
pub use time::Now;
pub use trace::TraceContext;
pub use value::{Attributes, Link, Value};
pub use version::ProtocolVersion;
