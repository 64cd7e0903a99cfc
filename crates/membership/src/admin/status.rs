//! The cluster as this node sees it, for admins.
//!
//! Invariant: all of a status is of one moment.

use jedlik_hashing::{Balance, Partition};
use jedlik_protocol::Now;
use jedlik_protocol::admin::{ClusterStatus, MemberState, MemberStatus};
use jedlik_protocol::gossip::{MemberRecord, Staging, Status};

use crate::Membership;
use crate::layout_history::ActiveLayout;

impl Membership {
    pub(super) fn status(&self, now: Now) -> ClusterStatus {
        let layout = self.known.newest();
        let balance = layout.map(|known| Balance::of(&known.layout().ring, self.config.n));
        let member = |record: &MemberRecord| {
            let part = |balance: &Balance| {
                balance.nodes.iter().find(|part| part.node == record.node).cloned()
            };
            let part = balance.as_ref().and_then(part);
            let placed = layout.and_then(|known| known.layout().ring.node(record.node));
            MemberStatus {
                record: record.clone(),
                alive: self.takes_as_up(record),
                state: self.state_of(record),
                tokens: part.as_ref().map_or(0, |part| part.tokens),
                owned: part.as_ref().map_or(0, |part| part.primaries),
                ready: layout.map_or(0, |known| self.settled_of(record, known)),
                placed: placed.map(|placed| (placed.zone.clone(), placed.weight)),
            }
        };
        ClusterStatus {
            cluster: self.config.cluster,
            node: self.config.me.node,
            layout: self.known.history().newest_id(),
            partitions: layout.map_or(0, |known| known.layout().ring.partitions().get()),
            flipped: layout.map_or(0, |known| known.flipped().len()),
            staging: self.staged(),
            clock_ms: now.wall_ms,
            agreed_ms: self.clocks.agreed_ms(now).0,
            members: self.known.members().values().map(member).collect(),
        }
    }

    /// Returns the phase of a member's membership.
    fn state_of(&self, record: &MemberRecord) -> MemberState {
        let layout = self.known.newest().map(ActiveLayout::layout);
        let departed = layout.and_then(|layout| layout.departed(record.node));
        let placed = layout.is_some_and(|layout| layout.ring.node(record.node).is_some());
        match (departed, record.status) {
            (Some(departed), _) if departed.forced => MemberState::Removed,
            (_, Status::Left) => MemberState::Left,
            (Some(_), _) => MemberState::Leaving,
            (None, Status::Away) => MemberState::Away,
            (None, Status::Up) if placed => MemberState::Up,
            (None, Status::Up) => MemberState::Joining,
        }
    }

    /// Counts the partitions that a member owns for the default N and that it is ready for or that have flipped.
    fn settled_of(&self, record: &MemberRecord, known: &ActiveLayout) -> u32 {
        let ready = Some(&record.ready).filter(|ready| ready.layout == known.id());
        let settled = |partition: &Partition| {
            let list = known.preference_list(*partition);
            list.iter().take(usize::from(self.config.n)).any(|node| *node == record.node)
                && (known.flipped().contains(*partition)
                    || ready.is_some_and(|ready| ready.partitions.contains(*partition)))
        };
        known.layout().ring.partitions().partitions().filter(settled).count() as u32
    }

    /// Returns the changes that the next plan is made of.
    pub(super) fn staged(&self) -> Staging {
        let base = self.known.history().newest_id();
        self.known.staging().cloned().unwrap_or(Staging { base, ..Staging::default() })
    }

    /// Whether this node takes a member to be up; it takes itself to be up unless it is drained.
    pub(super) fn takes_as_up(&self, record: &MemberRecord) -> bool {
        record.node == self.config.me.node && record.status == Status::Up
            || self.detector.is_up(record.node)
    }
}
