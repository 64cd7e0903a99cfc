//! The keys that this shard may call absent, and the nodes that it must be compared with before that
//! ([design 8](../../../docs/design.md#8-what-a-replica-knows), decision 16).
//!
//! Invariants: what has no vote is on disk before anything is acknowledged or stored under the view that says
//! so, and comes off it only once all that was merged since is synced; what is lost of that row is lost with
//! the shard, and a shard without one that is an owner of what has flipped has lost its past.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_handoff::Refill;
use jedlik_hashing::Partition;
use jedlik_membership::{ActiveLayout, Past, View};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::{Doubt, PeerResponse, Vouching};
use jedlik_protocol::{LayoutId, PlacedKey};
use jedlik_storage_port::Holding;
use xxhash_rust::xxh3::xxh3_64;

use self::kept::{Kept, decode};
use self::layouts::Layouts;
use crate::config::ShardPast;
use crate::cx::Cx;
use crate::exchanges::Exchanges;
use crate::io::Output;
use crate::keyset::Keyset;
use crate::refilling::{first, oldest_owners};
use crate::replica::Replica;
use crate::transfers::Transfers;
use crate::trees::Trees;

mod kept;
mod layouts;

/// Number of owners whose past is to be held, and the fewest of them that made a put succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Basis {
    pub(crate) n: u8,
    pub(crate) least_w: u8,
}

/// State of the keys of one partition with one N for which there is no vote.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) bases: BTreeSet<Basis>,
    /// Whether acknowledged records may be lost; otherwise this node was never given what there was before
    /// `n` was raised.
    pub(crate) lost: bool,
    pub(crate) refill: Refill,
    /// Whether all was compared and what was merged is on its way to the disk.
    pub(crate) ending: bool,
}

/// Keys without a vote, and what decides when others join them.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    pub(crate) entries: BTreeMap<Keyset, Entry>,
    /// N of each bucket that does not have the default, as of the last view; `None` before the first.
    counts: Option<BTreeMap<Vec<u8>, u8>>,
    /// Layouts that were active by the last view; `None` before the first.
    layouts: Option<Layouts>,
    /// Whether this life knows what the cluster remembers of the lives before it.
    confirmed: bool,
    /// Whether the loss of this life's past has been written down.
    loss_noted: bool,
    /// Whether a past was lost and is not all refilled: an earlier life may have known newer layouts and
    /// numbers of replicas than this one does, and have acknowledged writes under them.
    catching_up: bool,
    /// Whether the disk refuses the row. A stop would forget the row, so that nothing has a vote meanwhile.
    unkept: bool,
    /// Time from which on a row that only shrank may be written again, in microseconds.
    pub(crate) keep_again_us: u64,
}

impl Votes {
    /// Restores the votes from what was kept; `None` if this shard never kept anything.
    pub(crate) fn restored(kept: Option<&[u8]>) -> Self {
        let decoded = kept.and_then(decode);
        let Some(Kept { entries, counts, catching_up, layouts }) = decoded else {
            return Self::default();
        };
        Self { entries, counts: Some(counts), catching_up, layouts, ..Self::default() }
    }

    /// Returns whether this shard may say that such keys are absent.
    pub(crate) fn has(&self, keys: Keyset) -> bool {
        let refilling = self.entries.contains_key(&keys);
        self.confirmed && !self.unkept && !refilling || planted::on(Bug::VoteAtOnce)
    }

    /// Returns whether this shard has no vote on these keys, and has lost nothing that it acknowledged: it is
    /// to own them only since `n` was raised.
    pub(crate) fn has_lost_nothing(&self, keys: Keyset) -> bool {
        let never_given =
            |entry: &Entry| !entry.lost && entry.bases.iter().all(|basis| basis.n < keys.n);
        let entry = self.entries.get(&keys);
        self.confirmed && !self.unkept && entry.is_some_and(never_given)
    }

    pub(crate) fn is_refilling(&self, partition: Partition) -> bool {
        self.entries.range(Keyset::all_of(partition)).next().is_some()
    }

    /// Returns the partitions of which some keys have no vote.
    pub(crate) fn refilling(&self) -> BTreeSet<Partition> {
        self.entries.keys().map(|keys| keys.partition).collect()
    }

    /// Takes the vote on these keys away until they are compared with the owners of `basis`. Returns whether
    /// that is new.
    pub(crate) fn add(&mut self, keys: Keyset, basis: Basis, lost: bool) -> bool {
        let entry = self.entries.entry(keys).or_default();
        let is_new = entry.bases.insert(basis) | (lost && !entry.lost);
        entry.lost |= lost;
        if is_new {
            entry.ending = false;
        }
        is_new
    }

    pub(crate) fn is_catching_up(&self) -> bool {
        self.catching_up
    }

    /// Notes that nothing is left to be refilled.
    pub(crate) fn caught_up(&mut self) {
        self.catching_up = false;
    }
}

fn counts_of(view: &View) -> BTreeMap<Vec<u8>, u8> {
    view.other_replica_counts().into_iter().map(|(bucket, n)| (bucket.to_vec(), n)).collect()
}

/// Returns the digest of all buckets' numbers of replicas: two nodes that agree on it keep trees of the same keys.
pub(crate) fn counts_digest(view: &View) -> u64 {
    let all = view.other_replica_counts().into_iter().flat_map(|(bucket, n)| {
        let length = (bucket.len() as u16).to_le_bytes().into_iter();
        length.chain(bucket.iter().copied()).chain([n]).collect::<Vec<u8>>()
    });
    xxh3_64(&all.collect::<Vec<u8>>())
}

impl Replica {
    /// Returns the number of partitions for whose absent keys this shard can't vouch.
    #[must_use]
    pub fn refilling(&self) -> u32 {
        self.cx.votes.refilling().len() as u32
    }
}

impl Transfers {
    /// Follows a view with another past, other owners or other numbers of replicas: what has no vote for it
    /// is written down before anything is done under that view.
    pub(crate) fn follow_votes(&mut self, cx: &mut Cx, before: Option<&View>, view: &View) {
        let past = view.past();
        cx.votes.confirmed = past != Past::Unconfirmed;
        let same = |before: &View| before.past() == past && before.has_owners_of(view);
        if before.is_some_and(same) {
            return;
        }
        let first = cx.votes.counts.is_none();
        let mut changed = first;
        let lost = past == Past::Lost || cx.config.past == ShardPast::Lost;
        let lost = lost && !core::mem::replace(&mut cx.votes.loss_noted, lost);
        if first || lost {
            for keys in cx.owned_keysets(view).collect::<Vec<_>>() {
                if lost || cx.has_flipped_to_me(view, keys) {
                    let basis = Basis { n: keys.n, least_w: view.least_w(keys.n) };
                    changed |= cx.votes.add(keys, basis, true);
                }
            }
            let began = lost || !cx.votes.entries.is_empty();
            changed |= began != cx.votes.catching_up && began;
            cx.votes.catching_up |= began;
        }
        changed |= cx.follow_flips(view);
        let is_noted = cx.note_layouts(view);
        changed |= cx.follow_counts(before, view);
        let owned: BTreeSet<Keyset> = cx.owned_keysets(view).collect();
        let entries = cx.votes.entries.len();
        cx.votes.entries.retain(|keys, _| owned.contains(keys));
        changed |= cx.votes.entries.len() != entries;
        self.queue_refills(cx);
        if changed || is_noted {
            cx.keep_votes(changed);
        }
    }

    fn queue_refills(&mut self, cx: &mut Cx) {
        for partition in cx.votes.refilling() {
            self.refill(partition);
        }
    }

    /// Refills a partition in which a record took the place of a damaged one, which may have held more.
    pub(crate) fn handle_mended(&mut self, cx: &mut Cx, trees: &mut Trees, key: &PlacedKey) {
        let Some(view) = cx.view.clone() else { return };
        let n = view.bucket(key.key.bucket()).n;
        let owns = view.owners(key.partition, n).contains(&cx.config.me);
        if !owns || planted::on(Bug::DamageIsAbsence) {
            return;
        }
        let basis = Basis { n, least_w: view.least_w(n) };
        // The records that it was compared with before may be the lost ones.
        let keys = Keyset::new(key.partition, n);
        let former = cx.votes.entries.remove(&keys);
        for basis in former.into_iter().flat_map(|former| former.bases).chain([basis]) {
            cx.votes.add(keys, basis, true);
        }
        // The tree still counts the damaged record, so that it may agree with others' all the same; and so
        // may a comparison under way.
        trees.read_anew(key.partition);
        self.refilled(cx, key.partition);
        self.refill(key.partition);
        self.restart_inbound(cx, key.partition);
        cx.keep_votes(true);
    }

    /// Votes on everything again, since an admin takes this node's copies for all there is: whatever it lacks is lost.
    pub(crate) fn handle_believe(&mut self, cx: &mut Cx) {
        for partition in cx.votes.refilling() {
            self.refilled(cx, partition);
        }
        cx.votes.entries.clear();
        cx.votes.caught_up();
        self.leave_copy(cx);
        cx.keep_votes(false);
    }
}

impl Exchanges {
    /// Answers a peer what this node can say of keys with this N, as both know them.
    pub(crate) fn serve_vote(
        &self,
        cx: &mut Cx,
        reply: u64,
        keys: Keyset,
        counts: u64,
        flipped: LayoutId,
    ) {
        let Some(view) = cx.view.clone() else { return };
        let is_owner = counts_digest(&view) == counts
            && view.owners(keys.partition, keys.n).contains(&cx.config.me)
            && !self
                .trees
                .has_damage_of(keys.partition, |key| view.bucket(key.bucket()).n == keys.n);
        let vouching = if is_owner && cx.votes.has(keys) {
            Vouching::Votes
        } else if is_owner
            && cx.votes.has_lost_nothing(keys)
            && flipped_id(&view, keys.partition) == flipped
        {
            Vouching::LostNothing
        } else {
            Vouching::Nothing
        };
        let life = cx.config.incarnation;
        cx.answer_peer(reply, PeerResponse::Vote { life, vouching });
    }
}

impl Cx {
    /// Follows other numbers of replicas: this node has no vote on keys that it was never given, and none
    /// under the new number where it had none under the old. While it does not hold again what a lost past
    /// had, an earlier life may have been given such keys under the new number already.
    pub(crate) fn follow_counts(&mut self, before: Option<&View>, view: &View) -> bool {
        let now = counts_of(view);
        let Some(then) = self.votes.counts.replace(now.clone()) else { return false };
        if then == now {
            return false;
        }
        let default = view.default_n();
        let buckets: BTreeSet<&Vec<u8>> = then.keys().chain(now.keys()).collect();
        let count = |counts: &BTreeMap<Vec<u8>, u8>, bucket: &Vec<u8>| {
            counts.get(bucket).copied().unwrap_or(default)
        };
        let moves: BTreeSet<(u8, u8)> = buckets
            .into_iter()
            .map(|bucket| (count(&then, bucket), count(&now, bucket)))
            .filter(|(from, to)| from != to)
            .collect();
        for (from, to) in moves {
            let quorum = before.map_or(from, |before| before.least_w(from));
            let least_w = quorum.min(view.least_w(to)).max(1);
            let never_given = Basis { n: from, least_w };
            let partitions: Vec<Partition> = self
                .owned_keysets(view)
                .filter_map(|keys| (keys.n == to).then_some(keys.partition))
                .collect();
            for partition in partitions {
                let is_given = to < from || self.was_given(view, partition, from);
                let former =
                    self.votes.entries.get(&Keyset::new(partition, from)).filter(|_| is_given);
                let mut lost = former.is_some_and(|former| former.lost);
                let mut bases = match is_given {
                    true => former.map(|former| former.bases.clone()).unwrap_or_default(),
                    false => [never_given].into(),
                };
                if self.votes.catching_up && !bases.is_empty() {
                    bases.insert(Basis { n: to, least_w: view.least_w(to) });
                    lost = true;
                } else if !oldest_owners(view, partition, to).contains(&self.config.me) {
                    // A new owner that was given nothing by the number before: older owners vouch for what it
                    // lacks of that.
                    bases.retain(|basis| basis.n < to || basis.n >= from);
                }
                for basis in bases {
                    self.votes.add(Keyset::new(partition, to), basis, lost);
                }
            }
        }
        true
    }

    /// Returns the keysets of this shard that this node owns.
    pub(crate) fn owned_keysets<'a>(
        &'a self,
        view: &'a View,
    ) -> impl Iterator<Item = Keyset> + use<'a> {
        let counts = view.replica_counts();
        self.of_this_shard(view).flat_map(move |partition| {
            let owned = |n: &u8| view.owners(partition, *n).contains(&self.config.me);
            let owned: Vec<u8> = counts.iter().copied().filter(owned).collect();
            owned.into_iter().map(move |n| Keyset::new(partition, n))
        })
    }

    /// Returns whether this node was given what there was of these keys: a new owner is once it is ready.
    pub(crate) fn was_given(&self, view: &View, partition: Partition, n: u8) -> bool {
        let me = self.config.me;
        let is_ready = view.ready_of(me).contains(partition);
        oldest_owners(view, partition, n).contains(&me)
            || is_ready && first(view.preference_list(partition), n).contains(&me)
    }

    /// Returns whether this node is an owner under a layout that has flipped, and so once held all of the partition.
    pub(crate) fn has_flipped_to_me(&self, view: &View, keys: Keyset) -> bool {
        flipped_for(view, keys.partition).is_some_and(|known| {
            let list = known.preference_list(keys.partition);
            list.iter().take(usize::from(keys.n)).any(|node| *node == self.config.me)
        })
    }

    /// Has the row written to disk. `loses`: some keys have no vote for the first time.
    pub(crate) fn keep_votes(&mut self, loses: bool) {
        let votes = self.votes.encode();
        self.emit(Output::KeepVotes { votes, loses });
    }

    /// Notes whether the disk has the row of what has no vote.
    pub(crate) fn handle_votes_kept(&mut self, kept: bool) {
        self.votes.unkept = !kept;
    }

    /// Returns what keeps this node from saying that it holds all it should of a key, or that the key is
    /// absent. `n`: the asker's number of replicas.
    pub(crate) fn doubt(&self, key: &PlacedKey, n: u8, holding: &Holding) -> Option<Doubt> {
        if holding.damaged && !planted::on(Bug::DamageIsAbsence) {
            return Some(Doubt::Damaged);
        }
        let is_refilling =
            self.view.is_some() && !self.votes_for(key.key.bucket(), key.partition, n);
        is_refilling.then_some(Doubt::Refilling)
    }

    /// Returns whether this node can say which keys of the bucket are absent. `n`: the asker's number of
    /// replicas.
    pub(crate) fn votes_for(&self, bucket: &[u8], partition: Partition, n: u8) -> bool {
        let Some(view) = &self.view else { return false };
        let known = view.bucket(bucket).n;
        // This node has not heard yet that the bucket has more replicas, itself among them.
        let unheard = n > known && !view.owners(partition, known).contains(&self.config.me);
        self.votes.has(Keyset::new(partition, known)) && !unheard
    }

    /// Returns whether this node is an owner of the key and can't say what is absent.
    pub(crate) fn is_refilling_key(&self, key: &PlacedKey) -> bool {
        let Some(view) = self.view.as_ref() else { return false };
        let n = view.bucket(key.key.bucket()).n;
        let owns = view.owners(key.partition, n).contains(&self.config.me);
        owns && !self.votes.has(Keyset::new(key.partition, n))
    }
}

/// Returns the newest layout that has flipped for the partition.
pub(crate) fn flipped_for(view: &View, partition: Partition) -> Option<&ActiveLayout> {
    view.layouts().iter().find(|known| known.flipped().contains(partition))
}

/// Returns the id of the newest layout that has flipped for the partition; the default if none has.
pub(crate) fn flipped_id(view: &View, partition: Partition) -> LayoutId {
    flipped_for(view, partition).map(ActiveLayout::id).unwrap_or_default()
}

#[cfg(test)]
mod tests;
