//! The records that nodes hold, seen without a get, so that looking at them repairs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jedlik_client::{Client, NodeId};
use jedlik_protocol::Key;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, Explanation, RepairReport};
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, wait_for};
use crate::requests::ANSWER_LIMIT;

/// Keys that are explained at the same time.
const AT_ONCE: usize = 16;

/// N of every bucket in these tests.
pub(crate) const OWNERS: usize = 3;

/// Client of an admin, and the runtime on which a test's requests run.
pub(crate) struct Observer {
    pub(crate) runtime: Runtime,
    client: Client,
}

impl Observer {
    /// Makes an observer with the node at `index` as its only seed.
    pub(crate) fn of(cluster: &Cluster, index: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(cluster.client_as("admin", index));
        Self { runtime, client }
    }

    /// Explains what every node holds of each key; keys for which the request fails now are left out.
    pub(crate) fn explain(&self, keys: &[Key]) -> BTreeMap<Key, Explanation> {
        let keys: Arc<[Key]> = keys.into();
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|first| {
                let (client, keys) = (self.client.clone(), Arc::clone(&keys));
                self.runtime.spawn(async move {
                    let mut explained = Vec::new();
                    for key in keys.iter().skip(first).step_by(AT_ONCE) {
                        let request = AdminRequest::Explain { key: key.clone() };
                        if let Ok(AdminResponse::Explained(answer)) =
                            client.admin().ask(request, None).await
                        {
                            explained.push((key.clone(), *answer));
                        }
                    }
                    explained
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| self.runtime.block_on(worker).unwrap()).collect()
    }

    /// Returns the indices of all nodes in the order of a key's preference list.
    pub(crate) fn preference_list(&self, key: &Key) -> Vec<usize> {
        let topology = self.client.admin().topology();
        let ring = topology.layout.unwrap().ring;
        let partition = ring.partitions().partition(key.position(topology.cluster));
        ring.preference_list(partition).into_iter().map(|node| self.index(node)).collect()
    }

    /// Returns the number of the partition that a key is in.
    pub(crate) fn partition(&self, key: &Key) -> u32 {
        let topology = self.client.admin().topology();
        let ring = topology.layout.unwrap().ring;
        ring.partitions().partition(key.position(topology.cluster)).0
    }

    /// Returns the first `wanted` keys called `NAME-0` and so on for whose preference list the test holds.
    pub(crate) fn keys_where(
        &self,
        name: &str,
        wanted: usize,
        passes: impl Fn(&[usize]) -> bool,
    ) -> Vec<Key> {
        let all = (0..1_000 * wanted).map(|number| key(name, number));
        let keys: Vec<Key> =
            all.filter(|key| passes(&self.preference_list(key))).take(wanted).collect();
        assert_eq!(keys.len(), wanted, "so many keys lie so");
        keys
    }

    /// Returns the number of keys that have the node at `index` among their owners.
    pub(crate) fn owned_by(&self, index: usize, keys: &[Key]) -> usize {
        keys.iter().filter(|key| self.preference_list(key)[..OWNERS].contains(&index)).count()
    }

    /// Waits until every owner of each key holds the same, and no node holds a hint of it.
    pub(crate) fn wait_until_settled(&self, keys: &[Key]) {
        let mut left = keys.to_vec();
        wait_for("every owner holds every version", || {
            let unsettled = self.unsettled(&left);
            let why = unsettled.iter().next().map(|(key, why)| format!("; of {key:?} {why}"));
            left = unsettled.into_keys().collect();
            why.map_or(Ok(()), Err)
        });
    }

    /// Returns the keys that are not settled, each with the reason.
    pub(crate) fn unsettled(&self, keys: &[Key]) -> BTreeMap<Key, String> {
        let explained = self.explain(keys);
        let reason = |key: &Key| match explained.get(key) {
            None => Some("nobody can explain it".to_owned()),
            Some(explained) => self.why_unsettled(explained),
        };
        keys.iter().filter_map(|key| Some((key.clone(), reason(key)?))).collect()
    }

    /// Returns the number of hints of a key that the node at `index` holds.
    pub(crate) fn hints_at(&self, explained: &Explanation, index: usize) -> usize {
        let mut holders = explained.holders.iter();
        let holder = holders.find(|holder| self.index(holder.node) == index).unwrap();
        holder.holds.as_ref().map_or(0, |holds| holds.hints.len())
    }

    fn why_unsettled(&self, explained: &Explanation) -> Option<String> {
        let merged = explained.merged.as_ref().map(|record| record.digest);
        explained.holders.iter().find_map(|holder| {
            let owner = holder.rank < u16::from(explained.n);
            let why = match &holder.holds {
                None => "does not answer",
                Some(holds) if !holds.hints.is_empty() => "holds a hint",
                Some(holds) if holds.damaged => "holds a damaged record",
                Some(holds) if owner && holds.record.as_ref().map(|r| r.digest) != merged => {
                    "is behind"
                }
                Some(_) => return None,
            };
            Some(format!("n{} {why}", self.index(holder.node) + 1))
        })
    }

    /// Returns the lengths of the values that all nodes together hold of each key.
    pub(crate) fn lengths(&self, keys: &[Key]) -> BTreeMap<Key, BTreeSet<u32>> {
        let lengths = |explained: Explanation| {
            let siblings = explained.merged.into_iter().flat_map(|record| record.siblings);
            siblings.filter_map(|sibling| sibling.value_bytes).collect()
        };
        let explained = self.explain(keys).into_iter();
        explained.map(|(key, explained)| (key, lengths(explained))).collect()
    }

    /// Returns a counter of every node that answers, by the node's index.
    pub(crate) fn counter(&self, name: &str) -> BTreeMap<usize, u64> {
        let told = self.runtime.block_on(self.client.admin().stats(ANSWER_LIMIT));
        let told = told.into_iter().filter_map(|(member, stats)| {
            let counters = stats.ok()?.counters;
            let (_, value) = counters.into_iter().find(|(counter, _)| counter == name)?;
            Some((self.index(member.node), value))
        });
        told.collect()
    }

    /// Returns the repair report of every node that answers, counted since its start, by the node's index.
    pub(crate) fn repairs(&self) -> BTreeMap<usize, RepairReport> {
        let nodes: Vec<NodeId> =
            self.client.admin().topology().members.iter().map(|m| m.node).collect();
        let request = AdminRequest::RepairProgress;
        let asked = self.client.admin().ask_members(&nodes, &request, ANSWER_LIMIT);
        let told = self.runtime.block_on(asked).into_iter();
        let told = told.filter_map(|(member, answer)| match answer {
            Ok(AdminResponse::Repair(report)) => Some((self.index(member.node), *report)),
            _ => None,
        });
        told.collect()
    }

    /// Returns the identity of the node at `index`.
    pub(crate) fn node(&self, index: usize) -> NodeId {
        let members = self.client.admin().topology().members;
        let name = format!("n{}", index + 1);
        members.into_iter().find(|member| member.name == name).unwrap().node
    }

    fn index(&self, node: NodeId) -> usize {
        let members = self.client.admin().topology().members;
        let member = members.into_iter().find(|member| member.node == node).unwrap();
        member.name.strip_prefix('n').unwrap().parse::<usize>().unwrap() - 1
    }
}

/// Returns the key `NAME-NUMBER` in the bucket `carts`.
pub(crate) fn key(name: &str, number: usize) -> Key {
    Key::new("carts", format!("{name}-{number}").as_str()).unwrap()
}

/// Whether any node holds a value of a key.
pub(crate) fn has_value(explained: &Explanation) -> bool {
    let siblings = explained.merged.iter().flat_map(|record| &record.siblings);
    siblings.filter(|sibling| sibling.value_bytes.is_some()).count() > 0
}

/// Whether a node has answered that it holds anything of a key.
pub(crate) fn is_held(explained: &Explanation) -> bool {
    let holds = explained.holders.iter().filter_map(|holder| holder.holds.as_ref());
    holds.into_iter().any(|holds| holds.record.is_some() || !holds.hints.is_empty())
}

/// Whether every node has answered, and none holds anything of a key.
pub(crate) fn is_gone(explained: &Explanation) -> bool {
    explained.holders.iter().all(|holder| {
        let holds = holder.holds.as_ref();
        holds.is_some_and(|holds| holds.record.is_none() && holds.hints.is_empty())
    })
}
