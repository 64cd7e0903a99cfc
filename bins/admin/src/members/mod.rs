//! Questions to members one by one: to all of them, or to the one that was named.
//!
//! Invariant: a member that does not answer is never confused with one that has nothing to report.

mod naming;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use clap::Args;
use jedlik_client::{Client, ClientError, NodeId};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

pub(crate) use self::naming::{resolve, short};
use crate::exit::Usage;
use crate::output;

/// Time in which a member must answer a question about itself.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// One member's answer to a question, or the error of asking it.
pub(crate) struct Told<T> {
    pub(crate) member: MemberAddress,
    pub(crate) answer: Result<T, ClientError>,
}

/// Selection of members: all, or one.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichArgs {
    /// Only this member: its name, its identity, or the first digits of that
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
}

impl WhichArgs {
    /// Returns the selected ones of `members`.
    pub(crate) fn of(&self, members: Vec<MemberAddress>) -> Result<Vec<MemberAddress>, Usage> {
        let Some(wanted) = &self.node else { return Ok(members) };
        let known = members.iter().map(|member| (member.node, member.name.as_str()));
        let node = resolve(wanted, known)?;
        Ok(members.into_iter().filter(|member| member.node == node).collect())
    }
}

/// Sends the same request to each of `members` at once, and extracts from each answer what `expected` finds.
pub(crate) async fn ask<T>(
    client: &Client,
    members: &[MemberAddress],
    request: &AdminRequest,
    expected: impl Fn(AdminResponse) -> Option<T>,
) -> Vec<Told<T>> {
    let nodes: Vec<NodeId> = members.iter().map(|member| member.node).collect();
    let answers = client.admin().ask_members(&nodes, request, ANSWER_LIMIT).await;
    let told = answers.into_iter().map(|(member, answer)| {
        let answer = answer.and_then(|answer| expected(answer).ok_or(ClientError::Mismatch));
        Told { member, answer }
    });
    told.collect()
}

/// Returns the answers; fails if the certificate's role does not allow the question to any member.
pub(crate) fn permitted<T>(told: Vec<Told<T>>) -> Result<Vec<Told<T>>, ClientError> {
    let is_forbidden = |one: &Told<T>| matches!(one.answer, Err(ClientError::Forbidden(_)));
    if !told.iter().all(is_forbidden) {
        return Ok(told);
    }
    let refusal = told.into_iter().find_map(|one| one.answer.err());
    refusal.map_or_else(|| Ok(Vec::new()), Err)
}

/// Names on standard error the members that did not answer; returns whether there are any.
pub(crate) fn report_silent<T>(told: &[Told<T>]) -> bool {
    let silent = told.iter().filter_map(|one| Some((&one.member, one.answer.as_ref().err()?)));
    let mut any = false;
    for (member, error) in silent {
        output::say(&format_args!("jedlik-admin: no answer from {}: {error}", member.name));
        any = true;
    }
    any
}

/// Returns a node's name, or its identity if no member has it.
pub(crate) fn name(node: NodeId, members: &[MemberAddress]) -> String {
    let member = members.iter().find(|member| member.node == node);
    member.map_or_else(|| node.to_string(), |member| member.name.clone())
}

/// Formats a node as JSON, with its identity and its name.
pub(crate) fn node_json(node: NodeId, members: &[MemberAddress]) -> Value {
    let member = members.iter().find(|member| member.node == node);
    json!({ "node": node.to_string(), "name": member.map(|member| &member.name) })
}

/// Returns the largest N of any bucket: the most members that may own one partition.
pub(crate) async fn largest_n(client: &Client) -> Result<u8, ClientError> {
    match client.admin().ask(AdminRequest::BucketList, None).await? {
        AdminResponse::Buckets(buckets) => Ok(jedlik_doctor::largest_n(&buckets)),
        _ => Err(ClientError::Mismatch),
    }
}
