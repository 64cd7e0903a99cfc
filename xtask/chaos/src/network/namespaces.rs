//! A network namespace for each node, with a cable to the run's own bridge; iproute2 does all of it.
//!
//! Invariant: everything has the run's prefix in its name, and is recorded before it is made; everything recorded is
//! removed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;

use super::Delay;
use crate::command::{command, output};
use crate::plan::Number;

const LIMIT: Duration = Duration::from_secs(20);
const PORT: u16 = 7400;
/// Number of networks that runs may use: 10.213.0.0/24 and on.
const NETWORKS: u8 = 200;
/// Hardware address that no card has.
const NOBODY: &str = "02:00:00:00:00:01";
const NETEM: &str = "netem delay 80ms 60ms loss 2%";
/// Queue so narrow that the usual traffic of a node waits in it.
const NARROW: &str = "tbf rate 1mbit burst 4kb latency 300ms";

/// Bridge and namespaces of one run.
#[derive(Debug)]
pub(crate) struct Namespaces {
    prefix: String,
    network: u8,
    pub(crate) delay: Delay,
    made: Mutex<BTreeSet<Number>>,
}

/// Runs `ip` or `tc` with arguments that are separated by spaces.
async fn run(program: &str, words: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    output(&mut command(program, &words), LIMIT).await
}

async fn ip(words: &str) -> anyhow::Result<String> {
    run("ip", words).await
}

impl Namespaces {
    /// Tries everything that a run needs, and removes it again.
    ///
    /// # Errors
    /// This process may not make one of the things, or the system lacks it.
    pub(crate) async fn available(prefix: &str) -> anyhow::Result<()> {
        let name = format!("{prefix}-try");
        ip(&format!("netns add {name}")).await?;
        let inside = ip(&format!("-n {name} link set lo up")).await;
        ip(&format!("netns del {name}")).await?;
        inside.map(drop)
    }

    /// Makes the bridge, in a network that no other run uses.
    ///
    /// # Errors
    /// Every network is in use, or the bridge can't be made.
    pub(crate) async fn new(prefix: &str) -> anyhow::Result<Self> {
        let routes = ip("-4 route show table all").await?;
        let free = (0..NETWORKS).find(|network| !routes.contains(&format!("10.213.{network}.")));
        let Some(network) = free else { bail!("all of 10.213.0.0/16 is in use") };
        let mut namespaces =
            Self { prefix: prefix.into(), network, delay: Delay::Narrow, made: Mutex::default() };
        if let Err(error) = namespaces.make_bridge().await {
            namespaces.tear_down().await;
            return Err(error);
        }
        Ok(namespaces)
    }

    async fn make_bridge(&mut self) -> anyhow::Result<()> {
        let Self { prefix, network, .. } = &*self;
        ip(&format!("link add {prefix}b type bridge")).await?;
        ip(&format!("addr add 10.213.{network}.254/24 dev {prefix}b")).await?;
        ip(&format!("link set {prefix}b up")).await?;
        let device = format!("qdisc replace dev {prefix}b root {NETEM}");
        if run("tc", &device).await.is_ok() {
            run("tc", &format!("qdisc del dev {prefix}b root")).await?;
            self.delay = Delay::Netem;
        }
        Ok(())
    }

    pub(crate) fn describe(&self) -> String {
        let delay = match self.delay {
            Delay::Netem => "netem",
            Delay::Narrow | Delay::Stutter => "a narrow token bucket (this kernel has no netem)",
        };
        format!("namespaces {}-nN on bridge {}b, delays by {delay}", self.prefix, self.prefix)
    }

    pub(crate) fn name(&self, node: Number) -> String {
        format!("{}-n{node}", self.prefix)
    }

    fn address(&self, node: Number) -> Ipv4Addr {
        // A run has far fewer nodes than a network has addresses.
        Ipv4Addr::new(10, 213, self.network, node.min(250) as u8)
    }

    /// Returns the name of the bridge's end of a node's cable.
    fn cable(&self, node: Number) -> String {
        format!("{}v{node}", self.prefix)
    }

    fn noted(&self) -> BTreeSet<Number> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn add(&self, node: Number) -> anyhow::Result<SocketAddr> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(node);
        let (name, cable, address) = (self.name(node), self.cable(node), self.address(node));
        ip(&format!("netns add {name}")).await?;
        ip(&format!("link add {cable} type veth peer name eth0 netns {name}")).await?;
        ip(&format!("link set {cable} master {}b up", self.prefix)).await?;
        ip(&format!("-n {name} addr add {address}/24 dev eth0")).await?;
        ip(&format!("-n {name} link set eth0 up")).await?;
        ip(&format!("-n {name} link set lo up")).await?;
        Ok(SocketAddrV4::new(address, PORT).into())
    }

    /// Pulls a node's cable out of the bridge if `on`: packets don't arrive, and no one is told. Otherwise plugs it in
    /// again.
    pub(crate) async fn cut(&self, node: Number, on: bool) -> anyhow::Result<()> {
        let cable = self.cable(node);
        let words = match on {
            true => format!("link set {cable} nomaster"),
            false => format!("link set {cable} master {}b", self.prefix),
        };
        ip(&words).await.map(drop)
    }

    /// Makes a node take another one for a card that does not exist if `on`; otherwise undoes that.
    pub(crate) async fn mute(&self, node: Number, to: Number, on: bool) -> anyhow::Result<()> {
        let (name, to) = (self.name(node), self.address(to));
        let words = match on {
            true => {
                format!("-n {name} neigh replace {to} lladdr {NOBODY} nud permanent dev eth0")
            }
            false => format!("-n {name} neigh del {to} dev eth0"),
        };
        ip(&words).await.map(drop)
    }

    /// Delays a node's packets in both directions if `on`; otherwise stops delaying them.
    pub(crate) async fn hold_up(&self, node: Number, on: bool) -> anyhow::Result<()> {
        let how = match self.delay {
            Delay::Netem => NETEM,
            Delay::Narrow | Delay::Stutter => NARROW,
        };
        let ends = [format!("dev {}", self.cable(node)), "dev eth0".into()];
        for (namespace, end) in ["".to_owned(), format!("-n {}", self.name(node))].iter().zip(ends)
        {
            let words = match on {
                true => format!("{namespace} qdisc replace {end} root {how}"),
                false => format!("{namespace} qdisc del {end} root"),
            };
            run("tc", &words).await?;
        }
        Ok(())
    }

    /// Removes every namespace with its cable, then the bridge; returns what is left, with the reasons.
    pub(crate) async fn tear_down(&self) -> Vec<String> {
        let mut left = Vec::new();
        for node in self.noted() {
            let cable = self.cable(node);
            if ip(&format!("link show {cable}")).await.is_ok()
                && let Err(error) = ip(&format!("link del {cable}")).await
            {
                left.push(format!("{error:#}"));
            }
            let name = self.name(node);
            let known = ip("netns list").await.unwrap_or_default();
            if known.split_whitespace().any(|word| word == name)
                && let Err(error) = ip(&format!("netns del {name}")).await
            {
                left.push(format!("{error:#}"));
            }
        }
        let bridge = format!("{}b", self.prefix);
        if ip(&format!("link show {bridge}")).await.is_ok()
            && let Err(error) = ip(&format!("link del {bridge}")).await
        {
            left.push(format!("{error:#}"));
        }
        left
    }
}
