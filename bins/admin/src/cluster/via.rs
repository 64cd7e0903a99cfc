//! The choice of the node that a command about the cluster goes to.
//!
//! Invariant: commands in a row go to the same node while it answers, so that a plan includes what was just staged,
//! before gossip has spread it. The admin chooses that node: the first of the seeds.

use std::net::SocketAddr;

use anyhow::Context as _;
use jedlik_client::{Client, ClientError, ErrorKind, NodeId};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus, PlanReport};
use jedlik_protocol::client::MemberAddress;

use crate::connection::ConnectionArgs;
use crate::members::resolve;

/// Most nodes that are tried, one after another.
const TRIES: usize = 3;

/// A cluster that is asked through one of its nodes.
pub(crate) struct Cluster {
    client: Client,
    via: Option<NodeId>,
}

impl Cluster {
    /// Connects. `via` names the node to ask; without it, the first of the seeds that is up is asked.
    pub(crate) async fn connect(
        connection: &ConnectionArgs,
        via: Option<&str>,
    ) -> anyhow::Result<Self> {
        let client = connection.connect().await?;
        let members = client.admin().topology().members;
        let known = || members.iter().map(|member| (member.node, member.name.as_str()));
        let via = via.map(|wanted| resolve(wanted, known())).transpose()?;
        Ok(Self { client, via })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks one node. Another is asked only if the first can't have applied the request.
    pub(crate) async fn ask(&self, request: &AdminRequest) -> Result<AdminResponse, ClientError> {
        let mut order = self.order().into_iter().take(TRIES).peekable();
        while let Some(node) = order.next() {
            let answer = self.client.admin().ask(request.clone(), Some(node)).await;
            // A node that has left since the order was made is no longer a member.
            let elsewhere = answer.as_ref().is_err_and(|error| {
                matches!(error, ClientError::UnknownNode(_))
                    || error.kind() == ErrorKind::Unavailable && !error.maybe_applied()
            });
            if !elsewhere || order.peek().is_none() {
                return answer;
            }
        }
        self.client.admin().ask(request.clone(), None).await
    }

    pub(crate) async fn status(&self) -> Result<ClusterStatus, ClientError> {
        match self.ask(&AdminRequest::Status).await? {
            AdminResponse::Status(status) => Ok(status),
            _ => Err(ClientError::Mismatch),
        }
    }

    pub(crate) async fn plan(&self) -> anyhow::Result<PlanReport> {
        match self.ask(&AdminRequest::Plan).await.context("there is no plan")? {
            AdminResponse::Plan(plan) => Ok(*plan),
            _ => Err(ClientError::Mismatch.into()),
        }
    }

    fn order(&self) -> Vec<NodeId> {
        if let Some(via) = self.via {
            return vec![via];
        }
        order(self.client.admin().topology().members, &self.client.admin().seeds())
    }
}

/// Returns the members in the order in which to ask: those that are up first, among these the seeds in their given
/// order, then by identity. A seed that members know under another address counts as none.
fn order(mut members: Vec<MemberAddress>, seeds: &[SocketAddr]) -> Vec<NodeId> {
    let place = |address| seeds.iter().position(|seed| *seed == address).unwrap_or(seeds.len());
    members.sort_unstable_by_key(|member| (!member.alive, place(member.address), member.node));
    members.into_iter().map(|member| member.node).collect()
}

#[cfg(test)]
mod tests {
    use jedlik_client::NodeId;
    use jedlik_protocol::client::MemberAddress;

    use super::order;

    fn member(node: u64, alive: bool) -> MemberAddress {
        let address = format!("127.0.0.1:{}", 7400 + node).parse().unwrap();
        MemberAddress { node: NodeId(node), name: format!("n{node}"), address, alive }
    }

    #[test]
    fn the_first_seed_that_is_up_is_asked_and_without_any_the_lowest_identity() {
        let ordered = |seeds: &[u64], down: u64| -> Vec<u64> {
            let members = [3, 1, 4, 2].map(|node| member(node, node != down)).to_vec();
            let seeds: Vec<_> = seeds.iter().map(|seed| member(*seed, true).address).collect();
            order(members, &seeds).into_iter().map(|node| node.0).collect()
        };
        assert_eq!(ordered(&[4, 2], 0), [4, 2, 1, 3]);
        assert_eq!(ordered(&[4, 2], 4), [2, 1, 3, 4], "a seed that is down is asked last");
        assert_eq!(ordered(&[9], 0), [1, 2, 3, 4], "members know the seed by another address");
    }
}
