//! The client of a Jedlik cluster: always writeable, and honest about concurrent writes.
//!
//! Invariants: every retry of a put carries the same write id, so a write happens once however often
//! it is sent; an answer that says a newer layout makes the client learn it. Absence and siblings are
//! results, not errors.
//!
//! # Begin
//!
//! A client needs one or more nodes to ask first, and certificates (`jedlik-admin cert issue --role client`). A
//! bucket need not be made; keys and values are bytes.
//!
//! ```no_run
//! use jedlik_client::{Client, Identity, Sibling};
//!
//! /// The items of all carts, each once.
//! fn merge(siblings: &[Sibling]) -> String {
//!     let carts = siblings.iter().filter_map(Sibling::value).map(|cart| String::from_utf8_lossy(cart));
//!     let mut items: Vec<String> =
//!         carts.flat_map(|cart| cart.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
//!     items.sort();
//!     items.dedup();
//!     items.join("\n")
//! }
//!
//! # async fn example() -> Result<(), jedlik_client::ClientError> {
//! let identity = Identity::from_pem_files("ca.pem", "client.pem", "client.key")?;
//! let db = Client::builder().seeds(["127.0.0.1:7101"]).identity(identity).connect().await?;
//! let carts = db.bucket("carts");
//!
//! // A put with the context of a get replaces what that get has seen.
//! let found = carts.get("alice").r(2).await?;
//! carts.put("alice", "tea\ncoffee").context(found.context()).w(3).await?;
//!
//! // Get, reconcile, put; repeated if another client wrote in between.
//! carts.update("alice", |siblings| merge(siblings)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Siblings
//!
//! Two clients that write a key at the same time both succeed. The next get returns both values as [`Sibling`]s, and
//! one [`Context`] for both; a client that knows what the values mean puts the reconciled value with that context.
//! [`Bucket::update`] does all of this. A put without a context says "I have seen nothing", and its value becomes a
//! sibling of the stored ones.
//!
//! # Many keys
//!
//! [`Bucket::get_many`] and [`Bucket::put_many`] keep many requests in flight. [`Bucket::scan`], [`Bucket::keys`] and
//! [`Client::buckets`] are streams ([`futures_core::Stream`]); each also has a `next` of its own:
//!
//! ```no_run
//! # async fn example(db: jedlik_client::Client) -> Result<(), jedlik_client::ClientError> {
//! let words = db.bucket("words");
//! let mut puts = words.put_many([("tea", "1"), ("coffee", "2")]).concurrency(128);
//! while let Some((key, stored)) = puts.next().await {
//!     stored?;
//!     println!("{} is stored", key.escape_ascii());
//! }
//! let mut all = words.scan().await?;
//! while let Some(entry) = all.next().await {
//!     let entry = entry?;
//!     println!("{} has {} siblings", entry.key().escape_ascii(), entry.siblings().len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When a request fails
//!
//! When a node fails or is silent, the client asks another one, until the request's time is up. The result is then a
//! [`ClientError`]: [`ClientError::kind`] says what to do about it, and [`ClientError::maybe_applied`] whether a put
//! may have taken effect all the same.
//!
//! # Examples
//!
//! `examples/` has a cart that merges siblings, a set that many clients add to, a bulk load with progress, and a watch
//! of failover. The feature `admin` adds the requests of cluster admins.

#[cfg(feature = "admin")]
pub mod admin;
mod answer;
mod background;
mod bucket;
mod builder;
mod calls;
mod client;
mod error;
mod get;
mod hedge;
mod identity;
mod in_flight;
mod links;
mod many;
mod options;
mod put;
mod quorum;
mod request;
mod request_loop;
mod retry;
mod routes;
mod scan;
mod seeds;
mod update;
mod value;

pub use answer::{Acknowledgement, Context, Entry, Found, Sibling, Stored, VersionTag};
pub use bucket::Bucket;
pub use builder::ClientBuilder;
pub use bytes::Bytes;
pub use client::{Client, Member};
pub use error::{
    AttemptError, ClientError, ConnectError, Disconnect, ErrorCode, ErrorKind, InvalidKey, Refusal,
    SeedError, StartError,
};
pub use get::Get;
pub use identity::{Identity, IdentityError};
#[doc(inline)]
pub use jedlik_hashing::NodeId;
pub use jedlik_protocol::{Attributes, Link};
pub use many::{GetMany, PutMany};
pub use options::{GetOptions, PutOptions, ScanOptions};
pub use put::Put;
pub use quorum::{InvalidQuorum, Quorum};
pub use scan::{Buckets, Keys, Progress, Scan, ScanRequest};
pub use update::{Change, Update, Updated};
pub use value::Value;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
