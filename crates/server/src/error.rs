//! Why a node did not start, or had to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use jedlik_net::{CredentialsError, NetError};
use jedlik_protocol::LayoutId;
use jedlik_storage::OpenError;
use thiserror::Error;

/// A node that can't go on. Nothing that was acknowledged is lost by it.
#[derive(Debug, Error)]
pub enum NodeError {
    /// Mend the files, or issue new ones.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Use a certificate that was issued for a node.
    #[error("{identity} is not a node; issue a certificate with `jedlik-admin cert issue`")]
    NotANode {
        /// Whose certificate it is.
        identity: String,
    },
    /// The data directory or something in it can't be used as it is.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// What was known of the cluster can't be read. Start the node with an empty directory as a new
    /// node, or with the version that wrote it.
    #[error("the saved state of the membership can't be read: {why}")]
    State {
        /// What is wrong with it.
        why: String,
    },
    /// The address can't be had.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Put the host into the DNS or the hosts file, or name an address.
    #[error(
        "{option} = {place:?} can't be used: {why}; name an address, or a host that can be looked up here"
    )]
    UnknownPlace {
        /// Where it stands.
        option: &'static str,
        /// As configured.
        place: String,
        /// As the system says.
        why: String,
    },
    /// The system gave no random numbers.
    #[error("the system gives no random numbers: {message}")]
    Entropy {
        /// As the system says.
        message: String,
    },
    /// The system gave no thread, or the signals can't be listened to.
    #[error("{doing} failed: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// As the system says.
        source: io::Error,
    },
    /// Every node of a cluster has to be configured with the same number of partitions.
    #[error(
        "the cluster's layout has {layout} partitions, but this node was made for {configured}; set \
         partitions to {layout} and start it with an empty data directory"
    )]
    Partitions {
        /// The cluster's.
        layout: u32,
        /// This node's.
        configured: u32,
    },
    /// The cluster goes on without this node. See what the members say before anything is done with its
    /// data, of which no byte was touched; to come back, it needs a new certificate and another data directory.
    #[error(
        "this node {} the cluster, as layout {layout} says, and stops; its data directory is left as it \
         is. Look at `jedlik-admin cluster status` on the other nodes first. An identity that is gone is not \
         used again: to come back, start it with a certificate that is newly issued and another data \
         directory",
        if *.forced { "was removed from" } else { "has left" }
    )]
    Fenced {
        /// The layout that says so.
        layout: LayoutId,
        /// It was removed by force.
        forced: bool,
    },
    /// Mount the disk that is missing, or start with `--new` if the data is really gone.
    #[error(
        "{} is empty, but the cluster remembers this node: is a disk not mounted? If its data is lost, start \
         it with --new: it begins empty, and the other nodes refill it",
        path.display()
    )]
    EmptyDirectory {
        /// The data directory.
        path: PathBuf,
    },
    /// Start a node of its own here, or leave it at the other one.
    #[error(
        "two processes ran under this node's identity, and an admin decided for the one at {by}; this one's \
         data directory is not used again"
    )]
    Ousted {
        /// Where the other one listens.
        by: SocketAddr,
    },
    /// The data directory is whole, but counts as not cleanly stopped.
    #[error("the stop was not clean: {why}; the next start replays the journals")]
    Unclean {
        /// What could not be finished.
        why: &'static str,
    },
}
