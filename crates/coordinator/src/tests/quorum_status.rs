//! The arithmetic alone, as a table.

use crate::tally::{Needs, QuorumStatus, Tally, quorum_status};

#[test]
fn a_status_follows_from_what_is_needed_had_and_still_possible() {
    // needs (answers, primaries, synced) | has | at best | quorum status
    let table = [
        ((2, 0, 0), (0, 0, 0), (3, 3, 0), QuorumStatus::Pending),
        ((2, 0, 0), (1, 1, 0), (2, 2, 0), QuorumStatus::Pending),
        ((2, 0, 0), (2, 0, 0), (2, 0, 0), QuorumStatus::Reached),
        ((2, 0, 0), (1, 1, 0), (1, 1, 0), QuorumStatus::Impossible),
        ((2, 2, 0), (2, 1, 0), (3, 2, 0), QuorumStatus::Pending),
        ((2, 2, 0), (2, 1, 0), (3, 1, 0), QuorumStatus::Impossible),
        ((2, 0, 1), (2, 2, 0), (3, 3, 1), QuorumStatus::Pending),
        ((2, 0, 1), (2, 2, 1), (3, 3, 1), QuorumStatus::Reached),
        ((1, 0, 2), (3, 3, 1), (3, 3, 1), QuorumStatus::Impossible),
        ((3, 3, 3), (3, 3, 3), (3, 3, 3), QuorumStatus::Reached),
        ((0, 0, 0), (0, 0, 0), (0, 0, 0), QuorumStatus::Reached),
    ];
    for (needs, had, best, expected) in table {
        let tally = |(answers, primaries, synced)| Tally { answers, primaries, synced };
        let needs = Needs { answers: needs.0, primaries: needs.1, synced: needs.2 };
        assert_eq!(
            quorum_status(needs, tally(had), tally(best)),
            expected,
            "{needs:?} {had:?} {best:?}"
        );
    }
}
