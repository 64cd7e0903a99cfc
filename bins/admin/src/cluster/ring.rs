//! `cluster ring`: which node holds what under the active layouts.
//!
//! Invariant: for a partition, the active owner sets are those of the newest layout and of each
//! older one back to the newest one known to have flipped for it, that one included.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jedlik_client::admin::{Partition, Preferences};
use jedlik_client::{ClientError, NodeId};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, ClusterStatus};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::{LayoutVersion, WireLayout};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::ring_map::{few_ranges, node_mark, ranges, ring_map};
use crate::exit::Usage;
use crate::members::resolve;
use crate::output::Output;
use crate::table::{Align, Table};

/// Show which node holds which partitions
///
/// Lists each node's share: of the tokens, which put it first in partitions' preference lists, and of the partitions
/// that it owns, for buckets with the default n. A map shows who holds each token. --json has the numbers of all
/// partitions.
///
/// For one partition: its preference list, and the owner sets that are active while it moves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik-admin cluster ring
  jedlik-admin cluster ring --json | jq '.layouts[0].token_holders'
  jedlik-admin cluster ring --partition 17
  jedlik-admin cluster ring --node n3")]
pub(crate) struct RingArgs {
    /// Show only this partition: its preference list and the active owner sets
    #[arg(long, value_name = "NUMBER", conflicts_with = "node")]
    partition: Option<u32>,
    /// Show only this node: the partitions that it owns, with or without their tokens
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

/// The active layouts, the newest first, with the names of their nodes.
struct Rings {
    /// Active layouts, the newest first; at least one, each checked to be well-formed.
    layouts: Vec<WireLayout>,
    /// Owners of all partitions under each of the layouts.
    owners: Vec<Preferences>,
    names: BTreeMap<NodeId, String>,
    /// Default N of buckets, which is the size of the owner sets shown.
    n: usize,
}

/// Owners of one partition under one layout.
pub(super) struct OwnerSet {
    pub(super) layout: LayoutVersion,
    pub(super) owners: Vec<NodeId>,
    /// Whether the partition is known to have flipped under that layout.
    pub(super) flipped: bool,
}

/// Returns the active sets among all sets, the newest first: those in which requests need a quorum.
pub(super) fn active(sets: &[OwnerSet]) -> &[OwnerSet] {
    let last = sets.iter().position(|set| set.flipped);
    &sets[..last.map_or(sets.len(), |last| last + 1)]
}

pub(super) async fn run(
    cluster: &Cluster,
    args: RingArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let AdminResponse::Layouts(layouts) = cluster.ask(&AdminRequest::Layouts).await? else {
        return Err(ClientError::Mismatch.into());
    };
    let rings = Rings::new(layouts, &status)?;
    if let Some(partition) = args.partition {
        let partition = rings.partition(partition)?;
        output.print(&rings.partition_json(partition), || rings.partition_text(partition))?;
    } else if let Some(node) = &args.node {
        let known = rings.names.iter().map(|(node, name)| (*node, name.as_str()));
        let node = resolve(node, known)?;
        output.print(&rings.node_json(node), || rings.node_text(node))?;
    } else {
        output.print(&rings.to_json(), || rings.to_text())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Rings {
    fn new(layouts: Vec<WireLayout>, status: &ClusterStatus) -> anyhow::Result<Self> {
        let Some(newest) = layouts.first() else {
            return Err(ClientError::NoLayout.into());
        };
        let partitions = newest.layout.ring.partitions();
        for placed in &layouts {
            let ring = &placed.layout.ring;
            if let Err(fault) = ring.check() {
                bail!("the node told of a layout that is none: {fault}");
            }
            if ring.partitions() != partitions {
                bail!("the node told of layouts with different numbers of partitions");
            }
        }
        let members = status.members.iter();
        let names = members.map(|member| (member.record.node, member.record.name.clone()));
        let n = usize::from(BucketProps::default().n);
        let owners = layouts.iter().map(|placed| Preferences::new(&placed.layout.ring, n));
        Ok(Self { owners: owners.collect(), layouts, names: names.collect(), n })
    }

    fn newest(&self) -> &WireLayout {
        self.layouts.first().expect("there is no ring without a layout")
    }

    fn partition(&self, number: u32) -> Result<Partition, Usage> {
        let all = self.newest().layout.ring.partitions().get();
        if number < all {
            return Ok(Partition(number));
        }
        Err(Usage(format!("there is no partition {number}: they go from 0 to {}", all - 1)))
    }

    /// Returns the partition's owners under each layout, the newest first.
    fn owner_sets(&self, partition: Partition) -> Vec<OwnerSet> {
        let set = |(placed, owners): (&WireLayout, &Preferences)| OwnerSet {
            layout: placed.layout.version,
            owners: owners.of(partition).to_vec(),
            flipped: placed.flipped.contains(partition),
        };
        self.layouts.iter().zip(&self.owners).map(set).collect()
    }

    /// Returns the partitions that a node owns under the newest layout.
    fn owned_by_newest(&self, node: NodeId) -> Vec<Partition> {
        let owners = self.owners.first().expect("there is no ring without a layout");
        let owns = |partition: &Partition| owners.of(*partition).contains(&node);
        self.newest().layout.ring.partitions().partitions().filter(owns).collect()
    }

    /// Returns the partitions that a node owns under each layout, where that owner set is active; the newest layout
    /// first.
    fn owned(&self, node: NodeId) -> Vec<(LayoutVersion, Vec<Partition>)> {
        let mut owned: Vec<(LayoutVersion, Vec<Partition>)> =
            self.layouts.iter().map(|placed| (placed.layout.version, Vec::new())).collect();
        for partition in self.newest().layout.ring.partitions().partitions() {
            let sets = self.owner_sets(partition);
            for (set, (_, owned)) in active(&sets).iter().zip(&mut owned) {
                if set.owners.contains(&node) {
                    owned.push(partition);
                }
            }
        }
        owned
    }

    fn name(&self, node: NodeId) -> String {
        self.names.get(&node).cloned().unwrap_or_else(|| node.to_string())
    }

    fn list_text(&self, nodes: &[NodeId]) -> String {
        nodes.iter().map(|node| self.name(*node)).collect::<Vec<_>>().join(", ")
    }

    fn tokens(&self, node: NodeId) -> Vec<Partition> {
        let ring = &self.newest().layout.ring;
        let held = |partition: &Partition| ring.token_holder(*partition) == node;
        ring.partitions().partitions().filter(held).collect()
    }

    fn header(&self) -> String {
        let newest = self.newest();
        let all = newest.layout.ring.partitions().get();
        let mut text = format!("layout {} of {all} partitions, n = {}", newest.layout.id(), self.n);
        let older: Vec<String> =
            self.layouts[1..].iter().map(|placed| placed.layout.version.to_string()).collect();
        match older.as_slice() {
            [] => {}
            older => write!(
                text,
                "; {} of them have flipped; under others, older layouts are active too: {}",
                newest.flipped.len(),
                older.join(", ")
            )
            .expect("writing into memory can't fail"),
        }
        text + "\n"
    }

    fn to_text(&self) -> String {
        let ring = &self.newest().layout.ring;
        let all = ring.partitions().get();
        let mut table = Table::new([
            ("mark", Align::Left),
            ("name", Align::Left),
            ("zone", Align::Left),
            ("weight", Align::Right),
            ("tokens", Align::Right),
            ("owned", Align::Right),
            ("owned partitions", Align::Left),
        ]);
        let mut nodes: Vec<_> = ring.nodes().iter().collect();
        nodes.sort_by_key(|node| self.name(node.node));
        let mut marks = BTreeMap::new();
        for (place, node) in nodes.into_iter().enumerate() {
            let mark = node_mark(place);
            marks.insert(node.node, mark);
            let (tokens, owned) = (ring.tokens_of(node.node), self.owned_by_newest(node.node));
            table.row([
                mark.to_string(),
                self.name(node.node),
                node.zone.clone(),
                node.weight.to_string(),
                with_share(tokens, all),
                with_share(owned.len() as u32, all),
                few_ranges(&owned),
            ]);
        }
        let map = ring_map(all, |partition| marks[&ring.token_holder(partition)]);
        format!("{}{table}the holder of each partition's token:\n{map}", self.header())
    }

    fn node_text(&self, node: NodeId) -> String {
        let mut text = self.header();
        let name = self.name(node);
        for (layout, owned) in self.owned(node) {
            let (count, ranges) = (owned.len(), ranges(&owned));
            writeln!(text, "{name} owns {count} partitions under layout {layout}: {ranges}")
                .expect("writing into memory can't fail");
        }
        let ring = &self.newest().layout.ring;
        let owners = self.owners.first().expect("there is no ring without a layout");
        let mark = |partition| match owners.of(partition) {
            _ if ring.token_holder(partition) == node => '#',
            owners if owners.contains(&node) => '+',
            _ => '.',
        };
        let (tokens, layout) = (ring.tokens_of(node), self.newest().layout.version);
        let map = ring_map(ring.partitions().get(), mark);
        text + &format!(
            "{name} holds {tokens} tokens under layout {layout} (# with the token, + without, . not \
             owned):\n{map}"
        )
    }

    fn partition_text(&self, partition: Partition) -> String {
        let list = self.newest().layout.ring.preference_list(partition);
        let (owners, fallbacks) = list.split_at(self.n.min(list.len()));
        let mut text = format!(
            "partition {partition}, n = {}\npreference list: {}\n",
            self.n,
            self.list_text(owners)
        );
        if !fallbacks.is_empty() {
            text += &format!("fallbacks: {}\n", self.list_text(fallbacks));
        }
        text + &sets_text(active(&self.owner_sets(partition)), |nodes| self.list_text(nodes))
    }

    fn to_json(&self) -> Value {
        let layouts: Vec<Value> = self
            .layouts
            .iter()
            .zip(&self.owners)
            .map(|(placed, owners)| {
                let ring = &placed.layout.ring;
                let owned = |node: NodeId| {
                    let owns = |partition: &Partition| owners.of(*partition).contains(&node);
                    ring.partitions().partitions().filter(owns).count()
                };
                let holder = |partition| ring.token_holder(partition).to_string();
                let nodes = ring.nodes().iter().map(|node| {
                    json!({
                        "node": node.node.to_string(),
                        "name": self.names.get(&node.node),
                        "zone": node.zone,
                        "weight": node.weight,
                        "tokens": ring.tokens_of(node.node),
                        "owned": owned(node.node),
                    })
                });
                let id = placed.layout.id();
                json!({
                    "layout": id.version,
                    "layout_digest": format!("{:016x}", id.digest),
                    "parent": placed.layout.parent.version,
                    "partitions": ring.partitions().get(),
                    "flipped": placed.flipped.len(),
                    "nodes": nodes.collect::<Vec<Value>>(),
                    "token_holders": ring.partitions().partitions().map(holder).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({ "n": self.n, "layouts": layouts })
    }

    fn node_json(&self, node: NodeId) -> Value {
        let numbers = |held: &[Partition]| held.iter().map(|one| one.0).collect::<Vec<u32>>();
        let owned = self.owned(node).into_iter();
        let layouts = owned
            .map(|(layout, owned)| json!({ "layout": layout, "owned": numbers(&owned) }))
            .collect::<Vec<Value>>();
        json!({
            "node": node.to_string(),
            "name": self.name(node),
            "tokens": numbers(&self.tokens(node)),
            "layouts": layouts,
        })
    }

    fn partition_json(&self, partition: Partition) -> Value {
        let one = |node: &NodeId| json!({ "node": node.to_string(), "name": self.name(*node) });
        let list = self.newest().layout.ring.preference_list(partition);
        let sets: Vec<Value> = active(&self.owner_sets(partition))
            .iter()
            .map(|set| {
                json!({
                    "layout": set.layout,
                    "flipped": set.flipped,
                    "owners": set.owners.iter().map(one).collect::<Vec<Value>>(),
                })
            })
            .collect();
        json!({
            "partition": partition.0,
            "n": self.n,
            "preference_list": list.iter().map(one).collect::<Vec<Value>>(),
            "owner_sets": sets,
        })
    }
}

/// Describes the active owner sets, a line each. A request needs a quorum in every set, but only one for sets with the
/// same owners, which are marked `as above`.
pub(super) fn sets_text(sets: &[OwnerSet], list: impl Fn(&[NodeId]) -> String) -> String {
    let mut text = "active owner sets:\n".to_owned();
    for (index, set) in sets.iter().enumerate() {
        let flipped = if set.flipped { ", flipped" } else { "" };
        let is_repeated = sets[..index].iter().any(|above| above.owners == set.owners);
        let repeated = if is_repeated { ", as above" } else { "" };
        let owners = list(&set.owners);
        writeln!(text, "  layout {}: {owners}{flipped}{repeated}", set.layout)
            .expect("writing into memory can't fail");
    }
    text
}

/// Formats a part of a whole with its share: `86 (33.6 %)`.
fn with_share(part: u32, whole: u32) -> String {
    format!("{part} ({:.1} %)", 100.0 * f64::from(part) / f64::from(whole))
}
