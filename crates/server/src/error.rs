//! Errors for which a node does not start, or has to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use jedlik_net::{CredentialsError, NetError};
use jedlik_protocol::LayoutId;
use jedlik_storage::OpenError;
use thiserror::Error;

/// Reason why a node can't go on. Nothing that was acknowledged is lost by it.
#[derive(Debug, Error)]
pub enum NodeError {
    /// Credentials that can't be used. Correct the files, or issue new ones.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Certificate that was not issued for a node. Use one that was.
    #[error("{identity} is not a node; issue a certificate with `jedlik-admin cert issue`")]
    NotANode {
        /// Subject of the certificate.
        identity: String,
    },
    /// Data directory that can't be used as it is, or something in it.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// State of the membership that can't be read. Start the node with an empty directory as a new node, or with the
    /// version that wrote it.
    #[error("the saved state of the membership can't be read: {why}")]
    State {
        /// Description of what is wrong with the state.
        why: String,
    },
    /// Address that can't be listened at.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Configured place that can't be looked up. Put the host into the DNS or the hosts file, or name an address.
    #[error(
        "{option} = {place:?} can't be used: {why}; name an address, or a host that can be looked up here"
    )]
    UnknownPlace {
        /// Name of the option that holds the place.
        option: &'static str,
        /// Place as it was configured.
        place: String,
        /// Reason that the system gave.
        why: String,
    },
    /// Door that can't be opened. Choose another address, or stop what uses it.
    #[error("{option} = {place:?} can't be listened at: {source}")]
    Door {
        /// Name of the option that holds the place.
        option: &'static str,
        /// Place as it was configured.
        place: String,
        /// Error that the system returned.
        source: io::Error,
    },
    /// System that gave no random numbers.
    #[error("the system gives no random numbers: {message}")]
    Entropy {
        /// Message that the system gave.
        message: String,
    },
    /// System that gave no thread, or that lets no signals be listened to.
    #[error("{doing} failed: {source}")]
    System {
        /// Operation that failed, such as "starting a thread".
        doing: &'static str,
        /// Error that the system returned.
        source: io::Error,
    },
    /// Configured number of partitions that is not the cluster's. Every node of a cluster has to have the same.
    #[error(
        "the cluster's layout has {layout} partitions, but this node was made for {configured}; set \
         partitions to {layout} and start it with an empty data directory"
    )]
    Partitions {
        /// Number of partitions in the cluster's layout.
        layout: u32,
        /// Number of partitions that this node was made for.
        configured: u32,
    },
    /// Node that has left the cluster, or was removed from it. See what the members say before anything is done with
    /// its data, of which no byte was touched. To come back, it needs a new certificate and another data directory.
    #[error(
        "this node {} the cluster, as layout {layout} says, and stops; its data directory is left as it \
         is. Look at `jedlik-admin cluster status` on the other nodes first. An identity that is gone is not \
         used again: to come back, start it with a certificate that is newly issued and another data \
         directory",
        if *.forced { "was removed from" } else { "has left" }
    )]
    Fenced {
        /// Layout that says so.
        layout: LayoutId,
        /// Whether the node was removed by force; otherwise it has left.
        forced: bool,
    },
    /// Data directory that is empty, of a node that the cluster remembers. Mount the disk that is missing, or start
    /// with `--new` if the data is really gone.
    #[error(
        "{} is empty, but the cluster remembers this node: is a disk not mounted? If its data is lost, start \
         it with --new: it begins empty, and the other nodes refill it",
        path.display()
    )]
    EmptyDirectory {
        /// Path of the data directory.
        path: PathBuf,
    },
    /// Process that an admin has decided against, after two ran under this node's identity. Start a node of its own
    /// here, or leave the node at the other one.
    #[error(
        "two processes ran under this node's identity, and an admin decided for the one at {by}; this one's \
         data directory is not used again"
    )]
    Ousted {
        /// Address at which the other process listens.
        by: SocketAddr,
    },
    /// Stop that was not clean. The data directory is whole, and the next start replays the journals.
    #[error("the stop was not clean: {why}; the next start replays the journals")]
    Unclean {
        /// Step of the stop that could not be finished.
        why: &'static str,
    },
}
