//! Whole clusters on virtual time, with lost messages, from a seed.

pub(crate) mod cluster;
mod exhaustive;
mod figures;
mod growth;
mod rivals;
mod saving;
mod scenarios;
mod strangers;
mod twins;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::gossip::{Life, Load, MemberRecord, Ready, Speaks, Status};
use jedlik_protocol::{ClusterId, Incarnation, LayoutId, Now};

use crate::{Config, Lineage};

pub(crate) fn at(mono_us: u64) -> Now {
    Now::new(mono_us, 1_700_000_000_000 + mono_us / 1000)
}

pub(crate) fn address(node: u64) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), node as u16)
}

pub(crate) fn record(node: u64) -> MemberRecord {
    MemberRecord {
        node: NodeId(node),
        name: format!("n{node}"),
        address: address(node),
        zone: zone(node),
        weight: 1,
        life: Life::new(Incarnation(node)),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout: LayoutId::default(),
        ready: Ready::default(),
        load: Load::default(),
        speaks: Speaks::default(),
        message_life_ms: 30_000,
    }
}

/// Zone of a node, one of three in turn.
fn zone(node: u64) -> String {
    format!("z{}", node % 3)
}

pub(crate) fn config(node: u64) -> Config {
    Config {
        me: record(node),
        cluster: ClusterId(77),
        seeds: vec![address(1)],
        partitions: PartitionCount::new(64).unwrap(),
        n: 3,
        random_seed: [node as u8; 32],
        lineage: Lineage::first(Incarnation(node)),
    }
}
