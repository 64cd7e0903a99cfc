//! What lies between the nodes, and how it is broken.
//!
//! Invariant: every fault has its remedy here, and what was made is taken away again.

mod namespaces;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use tokio::process::Command;

use self::namespaces::Namespaces;
use crate::chronicle::print;
use crate::command::command;
use crate::plan::Number;

/// How nodes reach one another.
#[derive(Debug)]
pub(crate) enum Network {
    /// Each node in a namespace of its own, with a cable to a bridge.
    Namespaces(Namespaces),
    /// All on loopback, where nothing can be cut.
    Loopback,
}

/// How a node's packets are made late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    /// `tc` with netem: late, out of order, some lost.
    Netem,
    /// `tc` with a narrow token bucket, where the kernel has no netem: late as packets queue up.
    Narrow,
    /// The process is stopped and continued, again and again.
    Stutter,
}

impl Network {
    /// Namespaces, if this process may make them and they are wanted; says why not otherwise.
    ///
    /// # Errors
    /// Some could be made, but not all that is needed.
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

    /// In words, for the report.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Namespaces(namespaces) => namespaces.describe(),
            Self::Loopback => "processes only, delays by stopping and continuing".into(),
        }
    }

    /// Whether packets can be kept from a node while it runs.
    pub(crate) fn can_cut(&self) -> bool {
        matches!(self, Self::Namespaces(_))
    }

    /// How delays are made.
    pub(crate) fn delay(&self) -> Delay {
        match self {
            Self::Namespaces(namespaces) => namespaces.delay,
            Self::Loopback => Delay::Stutter,
        }
    }

    /// Makes a place for a node; where it is to listen.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(crate) async fn add(&self, node: Number) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Namespaces(namespaces) => namespaces.add(node).await,
            Self::Loopback => Ok((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }

    /// A program that will run in the node's place; its process is the program's own. It is killed when
    /// this one ends without having been able to tidy up.
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

    /// Cuts a node off, or takes it back.
    pub(crate) async fn cut(&self, node: Number, on: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.cut(node, on).await,
            Self::Loopback => Ok(()),
        }
    }

    /// Drops what a node sends to another, or lets it through again.
    pub(crate) async fn mute(&self, node: Number, to: Number, on: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.mute(node, to, on).await,
            Self::Loopback => Ok(()),
        }
    }

    /// Makes a node's packets late, or not any more.
    pub(crate) async fn hold_up(&self, node: Number, on: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.hold_up(node, on).await,
            Self::Loopback => Ok(()),
        }
    }

    /// Takes everything away; what is left and why.
    pub(crate) async fn tear_down(&self) -> Vec<String> {
        match self {
            Self::Namespaces(namespaces) => namespaces.tear_down().await,
            Self::Loopback => Vec::new(),
        }
    }
}
