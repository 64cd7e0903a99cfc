//! The network between the nodes, and its faults.
//!
//! Invariant: every fault has its remedy here, and everything that was made is removed again.

mod namespaces;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use tokio::process::Command;

use self::namespaces::Namespaces;
use crate::chronicle::print;
use crate::command::command;
use crate::plan::Number;

/// Network over which the nodes reach one another.
#[derive(Debug)]
pub(crate) enum Network {
    /// Namespaces, one for each node, with a cable to a bridge.
    Namespaces(Namespaces),
    /// Loopback for all nodes, where nothing can be cut.
    Loopback,
}

/// Means of delaying a node's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    /// `tc` with netem: packets are late, out of order, and some are lost.
    Netem,
    /// `tc` with a narrow token bucket, where the kernel has no netem: packets queue up.
    Narrow,
    /// Signals that stop and continue the process, again and again.
    Stutter,
}

impl Network {
    /// Makes namespaces if they are wanted and this process may; otherwise says why not, and uses loopback.
    ///
    /// # Errors
    /// Some namespaces could be made, but not all that is needed.
    pub(crate) async fn new(prefix: &str, wanted: bool) -> anyhow::Result<Self> {
        if !wanted {
            print("network: processes only, as asked");
            return Ok(Self::Loopback);
        }
        if !rustix::process::geteuid().is_root() {
            print("network: processes only, since this isn't root; nothing is cut or muted");
            return Ok(Self::Loopback);
        }
        match Namespaces::available(prefix).await {
            Ok(()) => Ok(Self::Namespaces(Namespaces::new(prefix).await?)),
            Err(error) => {
                print(&format!(
                    "network: processes only, since namespaces can't be had: {error:#}"
                ));
                Ok(Self::Loopback)
            }
        }
    }

    /// Describes the network in words, for the report.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Namespaces(namespaces) => namespaces.describe(),
            Self::Loopback => "processes only, delays by stopping and continuing".into(),
        }
    }

    /// Whether a running node can be cut off.
    pub(crate) fn can_cut(&self) -> bool {
        matches!(self, Self::Namespaces(_))
    }

    /// Returns the means by which packets are delayed.
    pub(crate) fn delay(&self) -> Delay {
        match self {
            Self::Namespaces(namespaces) => namespaces.delay,
            Self::Loopback => Delay::Stutter,
        }
    }

    /// Makes a place for a node, and returns the address on which it is to listen.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(crate) async fn add(&self, node: Number) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Namespaces(namespaces) => namespaces.add(node).await,
            Self::Loopback => Ok((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }

    /// Returns a command that runs a program in the node's place, as the command's own process. The process is killed
    /// if this program ends without tidying up.
    pub(crate) fn program(&self, node: Number, program: &Path) -> anyhow::Result<Command> {
        let program = program.to_str().context("a path that is not UTF-8")?;
        let tied = ["setpriv", "--pdeathsig", "KILL", program];
        Ok(match self {
            Self::Namespaces(namespaces) => {
                let name = namespaces.name(node);
                command("ip", &[&["netns", "exec", &name], &tied[..]].concat())
            }
            Self::Loopback => command(tied[0], &tied[1..]),
        })
    }

    /// Cuts a node off if `on`, and reconnects it otherwise.
    pub(crate) async fn cut(&self, node: Number, on: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.cut(node, on).await,
            Self::Loopback => Ok(()),
        }
    }

    /// Drops the packets of one node to another if `on`, and lets them through otherwise.
    pub(crate) async fn mute(&self, node: Number, to: Number, on: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.mute(node, to, on).await,
            Self::Loopback => Ok(()),
        }
    }

    /// Delays a node's packets if `on`, and stops delaying them otherwise.
    pub(crate) async fn hold_up(&self, node: Number, on: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.hold_up(node, on).await,
            Self::Loopback => Ok(()),
        }
    }

    /// Removes the whole network; returns what is left, with the reasons.
    pub(crate) async fn tear_down(&self) -> Vec<String> {
        match self {
            Self::Namespaces(namespaces) => namespaces.tear_down().await,
            Self::Loopback => Vec::new(),
        }
    }
}
