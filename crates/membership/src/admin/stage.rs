//! Changes to the layout, staged one after the other.
//!
//! Invariant: staged changes can be planned as they stand, without a member's record, so that the plan is the same on
//! every node that knows the layout and the staging.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::{MemberRecord, StagedChange, Staging};

use super::invalid;
use crate::Membership;
use crate::layout_history::ActiveLayout;
use crate::placement::successor;

/// Longest name of a zone.
const ZONE_LIMIT_BYTES: usize = 256;

impl Membership {
    /// Adds changes to those that are staged, unless it is a dry run, and returns all that then are.
    pub(super) fn stage(
        &mut self,
        now: Now,
        changes: &[(NodeId, StagedChange)],
        dry_run: bool,
    ) -> Result<Staging, Failure> {
        let mut staging = self.staged();
        for (node, change) in changes {
            let change = self.complete(*node, change)?;
            let place = staging.changes.binary_search_by_key(node, |(other, _)| *other);
            match place {
                Ok(index) => staging.changes[index].1 = change,
                Err(index) => staging.changes.insert(index, (*node, change)),
            }
        }
        self.check_substitutes(&staging)?;
        if !staging.changes.is_empty() {
            successor(self.known.newest(), &staging, self.required())?;
        }
        Ok(self.put_staging(now, staging, dry_run))
    }

    /// Drops the staged changes of some nodes, or of all if none is named.
    pub(super) fn unstage(&mut self, now: Now, nodes: &[NodeId]) -> Result<Staging, Failure> {
        let mut staging = self.staged();
        for node in nodes {
            if !staging.changes.iter().any(|(staged, _)| staged == node) {
                return Err(invalid(format!("nothing is staged for {}", self.name(*node))));
            }
        }
        staging.changes.retain(|(node, _)| !nodes.is_empty() && !nodes.contains(node));
        Ok(self.put_staging(now, staging, false))
    }

    fn put_staging(&mut self, now: Now, mut staging: Staging, dry_run: bool) -> Staging {
        if staging == self.staged() {
            return staging;
        }
        staging.revision += 1;
        if !dry_run && let Some(change) = self.known.merge_staging(staging.clone()) {
            self.changed(now, self.config.me.node, change);
        }
        staging
    }

    /// Checks one change and takes what it leaves out from the member's own record.
    fn complete(&self, node: NodeId, change: &StagedChange) -> Result<StagedChange, Failure> {
        self.check_not_gone(node, change)?;
        let placed = self.is_placed(node);
        let name = self.name(node);
        if !placed && !self.known.members().contains_key(&node) {
            return Err(self.unknown(node));
        }
        let up = self.known.members().get(&node).is_some_and(|record| self.takes_as_up(record));
        let outside = || {
            let add = "it has no partitions; add it with `jedlik-admin cluster join`";
            invalid(format!("{name} is not in the layout: {add}"))
        };
        match change {
            StagedChange::Join { .. } if placed => Err(invalid(format!(
                "{name} is in the layout already; change its weight or zone with \
                 `jedlik-admin cluster set`"
            ))),
            StagedChange::Join { zone, weight } => self.complete_join(node, zone, *weight),
            // Others still wait for a node that died, even if it has no partitions or never had any.
            StagedChange::Remove if !placed && !up => Ok(StagedChange::Remove),
            StagedChange::Remove if self.is_leaving(node) => Err(invalid(format!(
                "{name} is up and leaving: it stops by itself once others hold all that it has; what it \
                 waits for is told by `jedlik-admin cluster wait`"
            ))),
            StagedChange::Leave | StagedChange::Remove | StagedChange::Set { .. } if !placed => {
                Err(outside())
            }
            StagedChange::Leave if !up => Err(invalid(format!(
                "{name} is not up, so it can't hand on what it holds: start it, or use \
                 `jedlik-admin cluster remove` or `replace` to do without it"
            ))),
            StagedChange::Remove if up => Err(invalid(format!(
                "{name} is up: use `jedlik-admin cluster leave`, so that nothing is lost"
            ))),
            StagedChange::Leave | StagedChange::Remove => Ok(change.clone()),
            StagedChange::Replace { .. } if !placed => Err(outside()),
            StagedChange::Replace { by, zone, forced } => {
                self.check_force(&name, *forced, up)?;
                self.complete_replace(&name, *by, zone, *forced)
            }
            StagedChange::Set { zone, weight } => check_set(&name, zone.as_deref(), *weight)
                .map(|()| StagedChange::Set { zone: zone.clone(), weight: *weight }),
        }
    }

    fn check_not_gone(&self, node: NodeId, change: &StagedChange) -> Result<(), Failure> {
        let layout = self.known.newest().map(ActiveLayout::layout);
        let Some(departed) = layout.and_then(|layout| layout.departed(node)) else { return Ok(()) };
        let name = self.name(node);
        if departed.forced || self.known.has_left(node) {
            let went = if departed.forced { "was removed" } else { "has left" };
            return Err(invalid(format!(
                "{name} {went}, and its identity is not used again: give the node a new \
                 certificate and an empty data directory, and join it as a new one"
            )));
        }
        match change {
            StagedChange::Remove => Ok(()),
            // The node still serves, and has told nobody that it is done.
            StagedChange::Join { .. } if !self.is_settled() => Ok(()),
            StagedChange::Join { .. } => Err(invalid(format!(
                "{name} is leaving and others hold all that it does: it stops by itself in a moment; give the \
                 node a new certificate and an empty data directory, and join it as a new one"
            ))),
            _ => Err(invalid(format!(
                "{name} is leaving already; to keep it take that back with `jedlik-admin cluster join`; if it \
                 died on the way, use `jedlik-admin cluster remove`"
            ))),
        }
    }

    fn complete_join(
        &self,
        node: NodeId,
        zone: &str,
        weight: u32,
    ) -> Result<StagedChange, Failure> {
        check_zone(zone)?;
        let record = self.known.members().get(&node).ok_or_else(|| self.unknown(node))?;
        let zone = if zone.is_empty() { record.zone.clone() } else { zone.into() };
        let weight = if weight == 0 { record.weight } else { weight };
        Ok(StagedChange::Join { zone, weight })
    }

    fn complete_replace(
        &self,
        name: &str,
        by: NodeId,
        zone: &str,
        forced: bool,
    ) -> Result<StagedChange, Failure> {
        check_zone(zone)?;
        let Some(record) = self.known.members().get(&by) else { return Err(self.unknown(by)) };
        self.check_not_gone(by, &StagedChange::Leave)?;
        let by_name = &record.name;
        if self.is_placed(by) {
            return Err(invalid(format!(
                "{by_name} is in the layout already and can't take the place of {name}: name a node \
                 that has no partitions, or let {name} go with `jedlik-admin cluster leave` or `remove`"
            )));
        }
        if !self.takes_as_up(record) {
            return Err(invalid(format!(
                "{by_name} is not up and can't take the place of {name}: start it first"
            )));
        }
        let zone = if zone.is_empty() { record.zone.clone() } else { zone.into() };
        Ok(StagedChange::Replace { by, zone, forced })
    }

    /// Checks that a node is replaced by force exactly if it is down: one that is up hands on its data, one that is
    /// down can't.
    fn check_force(&self, name: &str, forced: bool, up: bool) -> Result<(), Failure> {
        match (forced, up) {
            (true, true) => Err(invalid(format!(
                "{name} is up: replace it without force, so that nothing is lost"
            ))),
            (false, false) => Err(invalid(format!(
                "{name} is not up, so it can't hand on what it holds: start it, or replace it by force"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that a substitute takes the place of one node at most, and that nothing else is staged for it.
    fn check_substitutes(&self, staging: &Staging) -> Result<(), Failure> {
        let mut taken: Vec<NodeId> = Vec::new();
        for (node, change) in &staging.changes {
            let StagedChange::Replace { by, .. } = change else { continue };
            let twice = taken.contains(by) || staging.changes.iter().any(|(other, _)| other == by);
            if twice {
                return Err(invalid(format!(
                    "{} can't take the place of {}: another change is staged for it; forget that one \
                     with `jedlik-admin cluster clear`",
                    self.name(*by),
                    self.name(*node)
                )));
            }
            taken.push(*by);
        }
        Ok(())
    }

    /// Whether all data has moved to the layout in force.
    fn is_settled(&self) -> bool {
        self.known.newest().is_some_and(ActiveLayout::is_settled)
    }

    /// Whether the layout in force has the node leave in its own time.
    fn is_leaving(&self, node: NodeId) -> bool {
        let layout = self.known.newest().map(ActiveLayout::layout);
        layout.and_then(|layout| layout.departed(node)).is_some_and(|departed| !departed.forced)
    }

    fn is_placed(&self, node: NodeId) -> bool {
        let newest = self.known.newest();
        newest.is_some_and(|newest| newest.layout().ring.node(node).is_some())
    }

    /// Returns a node's name for people.
    pub(crate) fn name(&self, node: NodeId) -> String {
        let record = self.known.members().get(&node);
        record.map_or_else(|| format!("node {node}"), |record| record.name.clone())
    }

    fn unknown(&self, node: NodeId) -> Failure {
        let members = self.known.members().values();
        let present = members.filter(|record: &&MemberRecord| !self.known.has_left(record.node));
        let names: Vec<&str> = present.map(|record| record.name.as_str()).collect();
        invalid(format!(
            "no node {node} is known here; known are {}. Start it with a seed of this cluster first",
            names.join(", ")
        ))
    }
}

fn check_zone(zone: &str) -> Result<(), Failure> {
    if zone.len() <= ZONE_LIMIT_BYTES {
        return Ok(());
    }
    let length = zone.len();
    Err(invalid(format!(
        "the zone's name has {length} bytes, over the limit of {ZONE_LIMIT_BYTES}"
    )))
}

fn check_set(name: &str, zone: Option<&str>, weight: Option<u32>) -> Result<(), Failure> {
    check_zone(zone.unwrap_or_default())?;
    if weight == Some(0) {
        return Err(invalid(format!(
            "{name} can't have weight 0: the least is 1; to take its partitions away use \
             `jedlik-admin cluster leave`"
        )));
    }
    if zone == Some("") || zone.is_none() && weight.is_none() {
        return Err(invalid(format!("nothing is to be set for {name}: name a zone or a weight")));
    }
    Ok(())
}
