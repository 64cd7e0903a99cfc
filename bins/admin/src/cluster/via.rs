//! Which node a command about the cluster goes to.
//!
//! Invariant: commands in a row go to the same node while it answers, so that what one of them staged
//! is known where the next one plans, before gossip has spread it.

use anyhow::Context as _;
use jedlik_client::protocol::admin::{AdminRequest, AdminResponse, ClusterStatus, PlanReport};
use jedlik_client::{Client, ClientError, ErrorKind, NodeId};

use crate::connection::ConnectionArgs;
use crate::members::resolve;

/// So many nodes are tried, one after another.
const TRIES: usize = 3;

/// A cluster, asked through one of its nodes.
pub(crate) struct Cluster {
    client: Client,
    via: Option<NodeId>,
}

impl Cluster {
    /// Connects; `via` names the node to ask, and else the member that is up with the lowest identity
    /// is asked.
    pub(crate) async fn connect(
        connection: &ConnectionArgs,
        via: Option<&str>,
    ) -> anyhow::Result<Self> {
        let client = connection.connect().await?;
        let members = client.topology().members;
        let known = || members.iter().map(|member| (member.node, member.name.as_str()));
        let via = via.map(|wanted| resolve(wanted, known())).transpose()?;
        Ok(Self { client, via })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks one node. Another is asked only if the first can't have done anything.
    pub(crate) async fn ask(&self, request: &AdminRequest) -> Result<AdminResponse, ClientError> {
        let mut order = self.order().into_iter().take(TRIES).peekable();
        while let Some(node) = order.next() {
            let answer = self.client.admin(request.clone(), Some(node)).await;
            // Who has left since the order was made is no member any more.
            let elsewhere = answer.as_ref().is_err_and(|error| {
                matches!(error, ClientError::UnknownNode(_))
                    || error.kind() == ErrorKind::Unavailable && !error.maybe_applied()
            });
            if !elsewhere || order.peek().is_none() {
                return answer;
            }
        }
        self.client.admin(request.clone(), None).await
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
        let mut members = self.client.topology().members;
        members.sort_unstable_by_key(|member| (!member.alive, member.node));
        members.into_iter().map(|member| member.node).collect()
    }
}
