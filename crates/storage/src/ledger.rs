//! Totals of a shard's hints, counted in memory.
//!
//! Invariant: counts and sizes are those of the hints that a load would find, and no hint of a target lies before its
//! floor.

use std::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_storage_port::{HintMark, HintTotals};

use crate::buffer::Buffer;
use crate::hint::HintRow;
use crate::{Store, StoreError};

/// Totals of the hints of each target that has any.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    targets: BTreeMap<NodeId, Account>,
}

#[derive(Debug, Default)]
struct Account {
    count: u64,
    bytes: u64,
    floor: Floor,
}

/// Place of a target's oldest hint, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Floor {
    /// The oldest hint may be anywhere.
    #[default]
    Unknown,
    /// The oldest hint lies past this place, where the oldest was before.
    Past(HintMark),
    /// The oldest hint is at this place.
    At(HintMark),
}

impl Ledger {
    /// Begins with the totals of the hints that an engine holds.
    pub(crate) fn of(totals: &[(NodeId, HintTotals)]) -> Self {
        let account = |totals: &HintTotals| Account {
            count: totals.count,
            bytes: totals.bytes,
            floor: Floor::Unknown,
        };
        Self { targets: totals.iter().map(|(target, totals)| (*target, account(totals))).collect() }
    }

    /// Adds the changes of a buffer that lies over `engine`.
    pub(crate) fn add_buffer(
        &mut self,
        engine: &dyn Store,
        buffer: &Buffer,
    ) -> Result<(), StoreError> {
        for (target, key, hint) in buffer.hints() {
            let before = engine.load_hint(target, key)?;
            self.change(target, before.as_ref(), hint.map(HintRow::from).as_ref());
        }
        Ok(())
    }

    /// Adds the change of one hint.
    pub(crate) fn change(
        &mut self,
        target: NodeId,
        before: Option<&HintRow>,
        after: Option<&HintRow>,
    ) {
        if let Some(row) = before {
            self.remove(target, row);
        }
        if let Some(row) = after {
            self.add(target, row);
        }
    }

    /// Returns the nodes for which there is a hint.
    pub(crate) fn targets(&self) -> impl Iterator<Item = NodeId> {
        self.targets.keys().copied()
    }

    pub(crate) fn count(&self) -> u64 {
        self.targets.values().map(|account| account.count).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.targets.values().map(|account| account.bytes).sum()
    }

    pub(crate) fn floor(&self, target: NodeId) -> Floor {
        self.targets.get(&target).map_or(Floor::Unknown, |account| account.floor.clone())
    }

    /// Notes the place of the target's oldest hint, as it is now.
    pub(crate) fn set_oldest(&mut self, target: NodeId, oldest: HintMark) {
        if let Some(account) = self.targets.get_mut(&target) {
            account.floor = Floor::At(oldest);
        }
    }

    pub(crate) fn totals(&self) -> Vec<(NodeId, HintTotals)> {
        let totals = |(&target, account): (&NodeId, &Account)| {
            let totals = HintTotals {
                count: account.count,
                bytes: account.bytes,
                oldest_ms: match &account.floor {
                    Floor::At(oldest) => Some(oldest.since_ms),
                    Floor::Unknown | Floor::Past(_) => None,
                },
            };
            (target, totals)
        };
        self.targets.iter().map(totals).collect()
    }

    fn add(&mut self, target: NodeId, row: &HintRow) {
        let account = self.targets.entry(target).or_default();
        let is_oldest = match &account.floor {
            Floor::Unknown => account.count == 0,
            Floor::Past(mark) | Floor::At(mark) => row.mark <= *mark,
        };
        if is_oldest {
            account.floor = Floor::At(row.mark.clone());
        }
        account.count += 1;
        account.bytes += row.size_bytes;
    }

    fn remove(&mut self, target: NodeId, row: &HintRow) {
        let Some(account) = self.targets.get_mut(&target) else { return };
        account.count = account.count.saturating_sub(1);
        account.bytes = account.bytes.saturating_sub(row.size_bytes);
        if account.count == 0 {
            self.targets.remove(&target);
        } else if matches!(&account.floor, Floor::At(oldest) if *oldest == row.mark) {
            account.floor = Floor::Past(row.mark.clone());
        }
    }
}
