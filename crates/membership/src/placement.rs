//! The first layout: what would be committed now, and what an admin should know before.
//!
//! Invariant: the plan depends on who is up alone, so the digest of a plan names it on every node.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{Balance, PartitionCount, RingNode, plan_first};
use jedlik_protocol::admin::{PlanReport, PlannedNode};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::MemberRecord;
use jedlik_protocol::{Layout, LayoutId};

/// A node whose work is further above its share than this is worth a warning.
const OVERLOAD_PERCENT: u64 = 25;

/// The layout that the first commit would make of the members that are `up`.
pub(crate) fn first_layout(
    up: &[&MemberRecord],
    partitions: PartitionCount,
    n: u8,
) -> Result<Layout, Failure> {
    if up.len() < usize::from(n) {
        return Err(Failure::new(
            ErrorCode::NotReady,
            format!(
                "{} nodes are up, and keys have {n} replicas: start more nodes, or set n lower in \
                 the configuration of each node",
                up.len()
            ),
        ));
    }
    let node = |record: &&MemberRecord| RingNode {
        node: record.node,
        zone: record.zone.clone(),
        weight: record.weight,
    };
    let ring = plan_first(up.iter().map(node).collect(), partitions, n)
        .map_err(|error| Failure::new(ErrorCode::InvalidRequest, format!("{error}")))?;
    Ok(Layout { version: 1, parent: LayoutId::default(), ring, gone: Vec::new() })
}

/// Shows what `layout` means, for members of which those in `down` are left out.
pub(crate) fn report(
    layout: &Layout,
    up: &[&MemberRecord],
    down: &[&MemberRecord],
    n: u8,
) -> PlanReport {
    let balance = Balance::of(&layout.ring, n);
    let planned = balance.nodes.iter().filter_map(|part| {
        let record = up.iter().find(|record| record.node == part.node)?;
        Some(PlannedNode {
            node: part.node,
            name: record.name.clone(),
            zone: record.zone.clone(),
            weight: record.weight,
            tokens_before: 0,
            tokens: part.tokens,
            owned_before: 0,
            owned: part.primaries,
            gains: 0,
            loses: 0,
            gains_bytes: 0,
            fair_share_milli: part.fair_share_milli,
        })
    });
    PlanReport {
        plan: layout.digest(),
        base: layout.parent,
        version: layout.version,
        partitions: layout.ring.partitions().get(),
        n,
        nodes: planned.collect(),
        moves: 0,
        least_moves: 0,
        bytes: 0,
        estimate_s: 0,
        zone_faults: (0, balance.zone_faults),
        node_faults: (0, balance.node_faults),
        risk: [jedlik_protocol::admin::CopiesAtRisk::default(); 3],
        warnings: warnings(&balance, up, down, layout.ring.partitions(), n),
    }
}

fn warnings(
    balance: &Balance,
    up: &[&MemberRecord],
    down: &[&MemberRecord],
    partitions: PartitionCount,
    n: u8,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for record in down {
        warnings.push(format!(
            "{} is not up and gets no partitions; start it before the commit if it should",
            record.name
        ));
    }
    if balance.zone_faults > 0 {
        let mut zones: Vec<&str> = up.iter().map(|record| record.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        warnings.push(format!(
            "{} of {} partitions have two of their {n} replicas in one zone: there are {} zones",
            balance.zone_faults,
            partitions.get(),
            zones.len()
        ));
    }
    for part in &balance.nodes {
        let name = up.iter().find(|record| record.node == part.node).map_or("", |r| &r.name);
        if part.tokens == 0 {
            warnings.push(format!("{name} gets no partitions: its weight is too small"));
        }
        let work = u64::from(part.primaries) * 1000 * 100;
        let fair = part.fair_share_milli * u64::from(n);
        if part.tokens > 0 && work > fair * (100 + OVERLOAD_PERCENT) {
            warnings.push(format!(
                "{name} holds replicas of {} partitions where its weight asks for {}: its zone has \
                 too little weight beside the others",
                part.primaries,
                fair / 1000
            ));
        }
    }
    warnings
}
