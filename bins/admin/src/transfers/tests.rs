//! Transfers as they are shown.

use std::time::{Duration, Instant};

use jedlik_client::admin::Partition;
use jedlik_client::{ClientError, NodeId};
use jedlik_protocol::admin::Transfer;

use super::{to_json, to_text};
use crate::transfer_progress::tests::moving;
use crate::transfer_progress::{Meters, TransferProgress};

fn under_way() -> (TransferProgress, Meters) {
    let mut meters = Meters::default();
    let start = Instant::now();
    meters.note(start, &moving(&[256, 0, 256]));
    let mut seen = moving(&[256, 85, 256]);
    seen.status.flipped = 80;
    seen.told[2].answer = Err(ClientError::NoLayout);
    let one = |partition, peer, outgoing| Transfer {
        partition: Partition(partition),
        peer: NodeId(peer),
        outgoing,
        records: 70,
    };
    for (index, moves) in [(0, vec![one(17, 2, true)]), (1, vec![one(17, 1, false)])] {
        let report = seen.told[index].answer.as_mut().unwrap();
        (report.current, report.received_bytes) = (moves, 1000 + index as u64 * 2_097_152);
    }
    meters.note(start + Duration::from_secs(2), &seen);
    (seen, meters)
}

#[test]
fn moves_paces_and_obstacles_are_shown_to_people() {
    let (seen, meters) = under_way();
    insta::assert_snapshot!(to_text(&seen, &meters), @r"
    node  layout  state      ready/owned  leaving  unowned  dropped  received  per second  sent  holds
    n1         1  moving 1       256/256        0        0        0    1000 B         0 B   0 B    0 B
    n2         1  moving 1        85/256        0        0        0   2.0 MiB     1.0 MiB   0 B    0 B
    n3         -  no answer            -        -        -        -         -           -     -      -
    all        1                 341/512        0        0        0   2.0 MiB     1.0 MiB   0 B
    partition 17: n1 -> n2 (n1 sends), 70 records
    partition 17: n1 -> n2 (n2 takes over), 70 records
    80 of 256 partitions have flipped, 2 transfers under way, 1.0 MiB/s
      n3 does not answer (the cluster has no layout yet; see `jedlik-admin cluster plan`); to do: start it; if it is lost: `jedlik-admin cluster replace n3 NEW` or `cluster remove n3`
      n2 is ready for 85 of 256 partitions
      176 of 256 partitions have not flipped
    ");
    let text = to_text(&moving(&[256, 256]), &meters);
    assert!(text.ends_with("nothing moves; all 256 partitions have flipped\n"), "{text}");
}

#[test]
fn programs_see_numbers_and_who_did_not_answer() {
    let (seen, meters) = under_way();
    let json = to_json(&seen, &meters);
    assert_eq!((&json["settled"], &json["flipped"]), (&false.into(), &80.into()));
    assert_eq!(json["all"]["received_bytes_per_s"], 1_048_576);
    let one = &json["nodes"][0]["transfers"]["current"][0];
    assert_eq!((&one["peer"]["name"], &one["outgoing"]), (&"n2".into(), &true.into()));
    assert!(json["nodes"][2]["transfers"].is_null() && json["nodes"][2]["error"].is_string());
    assert_eq!(to_json(&moving(&[256]), &meters)["settled"], true);
}
