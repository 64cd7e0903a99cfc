//! The partition-aware client: learns the layout, goes straight to a key's owners, and retries.
//!
//! Invariants: every retry of a put carries the same write id, so a write happens once however often
//! it is sent; an answer that says a newer layout makes the client learn it. Absence and siblings are
//! results, not errors.
//!
//! ```no_run
//! # async fn example() -> Result<(), jedlik_client::ClientError> {
//! use jedlik_client::profile::{Overrides, Profile, Surroundings};
//! use jedlik_protocol::Key;
//! use jedlik_client::{Client, ClientConfig, GetOptions, PutOptions};
//!
//! let profile = Profile::load(Overrides::default(), &Surroundings::of_process())
//!     .map_err(jedlik_client::StartError::from)?;
//! let client = Client::connect(ClientConfig::from_profile(&profile)?).await?;
//! let key = Key::new("carts", "alice")?;
//! let found = client.get(&key, &GetOptions::default()).await?;
//! let follows = PutOptions { context: found.context, ..PutOptions::default() };
//! client.put(&key, "{\"tea\":1}", &follows).await?;
//! # Ok(())
//! # }
//! ```

mod background;
mod calls;
mod client;
mod config;
mod error;
mod hedge;
mod in_flight;
mod links;
mod options;
pub mod profile;
mod request;
mod request_loop;
mod retry;
mod routes;
mod scan;
mod seeds;
mod stamp;

pub use client::Client;
pub use config::ClientConfig;
pub use error::{AttemptError, ClientError, ErrorKind, StartError, code_name, in_one_line};
pub use jedlik_hashing::{NodeId, Partition};
pub use jedlik_vclock::{Content, WriteId};
pub use options::{GetOptions, PutOptions, ScanOptions};
pub use scan::Scan;
pub use stamp::rfc3339;
