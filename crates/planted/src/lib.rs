//! Faults planted on purpose, for the simulator: each is a known way to get a Dynamo wrong.
//!
//! The line that a bug would spoil asks [`on`] for it. A build for bugs, with `--cfg jedlik_planted`, puts one after the
//! other into effect with `plant`, and the simulator has to notice each.
//!
//! ```
//! use jedlik_planted::{self as planted, Bug};
//!
//! let (acknowledged, needed) = (1, 2);
//! let missing = usize::from(planted::on(Bug::AcknowledgementMissing));
//! assert!(acknowledged + missing < needed);
//! ```
//!
//! It is a crate of its own, at the bottom, so that every crate can have bugs without depending on another for them.
//!
//! Invariant: without `--cfg jedlik_planted` there are none, and the compiler drops every switch.

#![no_std]

/// Fault that the simulator must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A put succeeds with one acknowledgement less than asked for.
    AcknowledgementMissing,
    /// An actor is extended in a life that did not draw it.
    ActorKeptAcrossUncleanStart,
    /// A node coordinates everything under one actor for ever.
    OneActorPerNode,
    /// The replicas are sent the new version without its siblings.
    NewVersionSentAlone,
    /// Of concurrent versions a merge keeps the one written last.
    MergedByTimestamp,
    /// A disk answers before it has synced.
    AcknowledgedBeforeSync,
    /// A coordinator goes on under its actor although its own write was lost.
    DotReusedAfterLostWrite,
    /// A coordinator goes on under the actor of a hint that was handed off.
    ActorKeptAfterHandoff,
    /// A tombstone is collected although a hint of its key waits somewhere.
    CollectedDespiteHint,
    /// A clock is pruned whenever it has something to prune.
    PrunedAtAnyTime,
    /// A tree is not told of a merge.
    TreeNotUpdatedOnMerge,
    /// A replica that was behind is given the other's record in place of its own.
    RepairOverwrites,
    /// A hint is dropped before its target has synced it.
    HintDroppedBeforeSync,
    /// A get does not ask the fallback that keeps a hint for a primary that is away.
    FallbackNotAsked,
    /// A put goes to the owners of the oldest active layout, not to those still to come.
    PendingOwnersNotWritten,
    /// A get asks the owners of the newest layout alone.
    OnlyNewestOwnersRead,
    /// Of the active layouts only the newest two are asked.
    OneLayoutLookedBack,
    /// A new owner is ready once it has compared with one old owner.
    OneOldOwnerCompared,
    /// A partition flips although one of its next owners is not ready.
    FlippedBeforeAllReady,
    /// A range is dropped before its present owners were compared with.
    DroppedUnverified,
    /// A range is dropped although a present owner has yet to sync what it was found to hold.
    DroppedBeforeSync,
    /// A range is dropped although a member does not know the layout yet.
    DroppedBeforeAllKnow,
    /// A replica takes requests that were made under older layouts.
    NoLayoutFence,
    /// A removed node comes back with its data and is taken in.
    RemovedNodeTakenBack,
    /// Each node judges by itself, from the nodes that it believes to be up, which owners have to be ready for a flip.
    FlipByOwnView,
    /// A node that was removed by force is a member again once a rival layout wins that keeps it.
    RemovalUndoneByRival,
    /// A fallback that holds nothing of a key counts as a node that knows that it is absent.
    FallbackVotesAbsent,
    /// A record that fails its checksum is answered for as if the key were absent.
    DamageIsAbsence,
    /// Each node judges by its own calendar clock what has expired.
    ExpiryByOwnClock,
    /// A replica that has lost its past votes at once.
    VoteAtOnce,
    /// A replica that has lost its past votes once it was compared with others that have none either.
    ComparedWithNonVoter,
    /// A directory that lacks a life which the cluster remembers is served from.
    OldDirectoryTrusted,
    /// A start after a clean stop keeps the incarnation, which a copy of the directory keeps as well.
    ActorKeptAcrossStart,
    /// A shard whose storage was opened anew goes on under the actors of the life before.
    ActorKeptAcrossReopening,
    /// Two processes of one node go on coordinating puts when they know of one another.
    CloneCoordinates,
    /// A page of a scan shows records alone, without the hints of their keys.
    ScanSkipsHints,
    /// A last-write-wins bucket shows the version that a merge has put last, whenever it was written.
    LastWriteByArrival,
    /// A version in a last-write-wins bucket is as late as its coordinator's clock, whatever it has seen.
    LastWriteByOwnClock,
    /// The collector of tombstones takes a hint that can't be read for no hint.
    DamagedHintIsNone,
    /// A node's word is taken whichever of its processes speaks.
    EveryLifeHeeded,
    /// A process that others have done without for long goes on with what it holds if an admin keeps it in
    /// place of its rival.
    OutlivedKeepsItsData,
}

/// Bugs in the order in which the simulator tries them.
pub const BUGS: &[Bug] = &[
    Bug::AcknowledgementMissing,
    Bug::ActorKeptAcrossUncleanStart,
    Bug::OneActorPerNode,
    Bug::NewVersionSentAlone,
    Bug::MergedByTimestamp,
    Bug::AcknowledgedBeforeSync,
    Bug::DotReusedAfterLostWrite,
    Bug::ActorKeptAfterHandoff,
    Bug::CollectedDespiteHint,
    Bug::PrunedAtAnyTime,
    Bug::TreeNotUpdatedOnMerge,
    Bug::RepairOverwrites,
    Bug::HintDroppedBeforeSync,
    Bug::FallbackNotAsked,
    Bug::PendingOwnersNotWritten,
    Bug::OnlyNewestOwnersRead,
    Bug::OneLayoutLookedBack,
    Bug::OneOldOwnerCompared,
    Bug::FlippedBeforeAllReady,
    Bug::DroppedUnverified,
    Bug::DroppedBeforeSync,
    Bug::DroppedBeforeAllKnow,
    Bug::NoLayoutFence,
    Bug::RemovedNodeTakenBack,
    Bug::FlipByOwnView,
    Bug::RemovalUndoneByRival,
    Bug::FallbackVotesAbsent,
    Bug::DamageIsAbsence,
    Bug::ExpiryByOwnClock,
    Bug::VoteAtOnce,
    Bug::ComparedWithNonVoter,
    Bug::OldDirectoryTrusted,
    Bug::ActorKeptAcrossStart,
    Bug::ActorKeptAcrossReopening,
    Bug::CloneCoordinates,
    Bug::ScanSkipsHints,
    Bug::LastWriteByArrival,
    Bug::LastWriteByOwnClock,
    Bug::DamagedHintIsNone,
    Bug::EveryLifeHeeded,
    Bug::OutlivedKeepsItsData,
];

/// Returns whether `bug` is in effect: never in this build.
#[cfg(not(jedlik_planted))]
#[must_use]
pub const fn on(_bug: Bug) -> bool {
    false
}

#[cfg(jedlik_planted)]
pub use switched::{on, plant};

#[cfg(jedlik_planted)]
mod switched {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    const NONE: u8 = u8::MAX;

    /// Bug in effect, for all threads at once: the simulator tries one after the other.
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// Returns whether `bug` is in effect.
    #[must_use]
    pub fn on(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }

    /// Puts one bug into effect in place of the one before, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(NONE, |bug| bug as u8), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{BUGS, on};

    #[test]
    fn bugs_are_tried_in_the_order_of_their_declaration_and_none_in_between_is_left_out() {
        for (index, bug) in BUGS.iter().enumerate() {
            assert_eq!(index, *bug as usize, "{bug:?} is not where its declaration is");
        }
    }

    #[cfg(not(jedlik_planted))]
    #[test]
    fn a_sound_build_has_no_bug() {
        assert!(BUGS.iter().all(|bug| !on(*bug)));
    }

    #[cfg(jedlik_planted)]
    #[test]
    fn a_planted_bug_takes_the_place_of_the_one_before() {
        use super::Bug;

        let in_effect =
            |expected: Option<Bug>| BUGS.iter().copied().filter(|bug| on(*bug)).eq(expected);
        assert!(in_effect(None));
        for bug in BUGS.iter().copied() {
            super::plant(Some(bug));
            assert!(in_effect(Some(bug)), "{bug:?} is planted");
        }
        super::plant(None);
        assert!(in_effect(None));
    }
}
