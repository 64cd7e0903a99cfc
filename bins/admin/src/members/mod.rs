//! Asking members one by one: all of them, or the one that was named.
//!
//! Invariant: who does not answer is told apart from who has nothing to say.

mod naming;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use clap::Args;
use jedlik_client::{Client, ClientError, NodeId};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

pub(crate) use self::naming::{resolve, short};
use crate::exit::Usage;
use crate::output;

/// How long a member may take to say something about itself.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What one member said, or why it said nothing.
pub(crate) struct Told<T> {
    pub(crate) member: MemberAddress,
    pub(crate) answer: Result<T, ClientError>,
}

/// Which members.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichArgs {
    /// Only this member: its name, its identity, or the first digits of that
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
}

impl WhichArgs {
    /// The members that are meant.
    pub(crate) fn of(&self, members: Vec<MemberAddress>) -> Result<Vec<MemberAddress>, Usage> {
        let Some(wanted) = &self.node else { return Ok(members) };
        let known = members.iter().map(|member| (member.node, member.name.as_str()));
        let node = resolve(wanted, known)?;
        Ok(members.into_iter().filter(|member| member.node == node).collect())
    }
}

/// Asks each of `members` the same at once, and takes from its answer what `expected` finds in it.
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

/// The answers; or the refusal, if the certificate's role does not allow the question to any member.
pub(crate) fn permitted<T>(told: Vec<Told<T>>) -> Result<Vec<Told<T>>, ClientError> {
    let is_forbidden = |one: &Told<T>| matches!(one.answer, Err(ClientError::Forbidden(_)));
    if !told.iter().all(is_forbidden) {
        return Ok(told);
    }
    let refusal = told.into_iter().find_map(|one| one.answer.err());
    refusal.map_or_else(|| Ok(Vec::new()), Err)
}

/// Says on standard error who did not answer; whether anybody did not.
pub(crate) fn report_silent<T>(told: &[Told<T>]) -> bool {
    let silent = told.iter().filter_map(|one| Some((&one.member, one.answer.as_ref().err()?)));
    let mut any = false;
    for (member, error) in silent {
        output::say(&format_args!("jedlik-admin: no answer from {}: {error}", member.name));
        any = true;
    }
    any
}

/// A node's name, or its identity if no member has it.
pub(crate) fn name(node: NodeId, members: &[MemberAddress]) -> String {
    let member = members.iter().find(|member| member.node == node);
    member.map_or_else(|| node.to_string(), |member| member.name.clone())
}

/// A node in JSON.
pub(crate) fn node_json(node: NodeId, members: &[MemberAddress]) -> Value {
    let member = members.iter().find(|member| member.node == node);
    json!({ "node": node.to_string(), "name": member.map(|member| &member.name) })
}

/// The largest N of any bucket: so many members may own a partition.
pub(crate) async fn largest_n(client: &Client) -> Result<u8, ClientError> {
    let usual = BucketProps::default().n;
    match client.admin().ask(AdminRequest::BucketList, None).await? {
        AdminResponse::Buckets(buckets) => {
            Ok(buckets.iter().map(|bucket| bucket.props.n).fold(usual, u8::max))
        }
        _ => Err(ClientError::Mismatch),
    }
}
