//! Hints on their way to targets that come, go, pause and refuse.

mod laws;
mod world;

use alloc::string::ToString;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;

use self::world::{World, placed};
use jedlik_protocol::admin::HintReport;

use jedlik_storage_port::{HintPage, HintTotals};

use crate::HandoffOutput;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// Returns a world with so many hints for each of these targets, none of them up.
fn holding(targets: &[NodeId], count: u32) -> World {
    let mut world = World::default();
    for target in targets {
        for key in 0..count {
            world.hint(*target, key, 10);
        }
    }
    world
}

fn keys_of(sent: &[(NodeId, jedlik_protocol::PlacedKey)], target: NodeId) -> usize {
    sent.iter().filter(|(to, _)| *to == target).count()
}

fn progress(world: &World, target: NodeId) -> HintReport {
    let mut all = world.handoff.progress();
    all.find(|progress| progress.target == target).expect("it has hints, or had some")
}

#[test]
fn hints_go_as_soon_as_the_target_is_up_and_the_oldest_first() {
    let mut world = holding(&[A], 200);
    assert_eq!(world.outputs, [], "nothing is read for a target that is away");
    world.up(A);
    let mut order = Vec::new();
    while world.left(A) > 0 {
        world.store_all();
        order.extend(world.send_all().into_iter().map(|(_, key)| key));
        world.deliver(0, 8);
        world.store_all();
    }
    assert_eq!(order, (0..200).map(placed).collect::<Vec<_>>());
    assert_eq!((world.send(), world.outputs.len()), (None, 0));
}

#[test]
fn a_hint_for_a_target_that_is_up_goes_at_once() {
    let mut world = World::default();
    world.up(A);
    world.hint(A, 1, 10);
    world.store_all();
    assert_eq!(world.send(), Some((A, placed(1))));
}

#[test]
fn the_receiver_paces() {
    let mut world = holding(&[A], 200);
    world.up(A);
    world.store_all();
    assert_eq!(world.send_all().len(), 8, "before it has said anything");
    let cases = [(20, 13), (20, 1), (3, 0), (30, 12)];
    for (window, sent) in cases {
        world.deliver(0, window);
        assert_eq!(world.send_all().len(), sent, "with a window of {window}");
    }
    world.deliver(0, u16::MAX);
    while world.underway.len() < 64 {
        world.store_all();
        assert!(world.send().is_some(), "at {}", world.underway.len());
    }
    world.store_all();
    assert_eq!(world.send(), None, "never more than a page");
}

#[test]
fn large_hints_go_one_after_the_other_whatever_the_window() {
    let mut world = World::default();
    for key in 0..3 {
        world.hint(A, key, 5 << 20);
    }
    world.up(A);
    for _ in 0..3 {
        world.store_all();
        assert_eq!(world.send_all().len(), 1);
        world.deliver(0, 8);
    }
    world.store_all();
    assert_eq!(world.left(A), 0);
}

#[test]
fn a_window_of_nothing_is_a_pause_after_which_one_is_tried() {
    let mut world = holding(&[A], 20);
    world.up(A);
    world.store_all();
    world.send_all();
    while !world.underway.is_empty() {
        world.deliver(0, 0);
    }
    assert_eq!((world.send(), progress(&world, A).delivering), (None, false));
    assert_eq!(world.handoff.poll_timeout(), Some(100_000), "eight answers are one pause");
    assert_eq!(progress(&world, A).failure, None, "a pause is no failure");
    world.pass(100_000);
    world.store_all();
    assert_eq!(world.send_all().len(), 1);
    world.deliver(0, 0);
    assert_eq!(world.handoff.poll_timeout(), Some(300_000), "the next pause is twice as long");
    world.pass(200_000);
    assert_eq!(world.send_all().len(), 1);
    world.deliver(0, 5);
    assert_eq!(world.send_all().len(), 5);
    world.deliver(0, 0);
    assert_eq!(world.handoff.poll_timeout(), Some(400_000), "a success begins anew");
}

#[test]
fn failures_rest_the_target_from_a_tenth_of_a_second_to_ten() {
    let mut world = holding(&[A], 1);
    world.up(A);
    let mut rests_ms = Vec::new();
    for _ in 0..9 {
        world.store_all();
        assert_eq!(world.send_all().len(), 1);
        world.lose(0, false);
        assert_eq!((world.send(), &world.outputs[..]), (None, &[][..]), "not during a rest");
        let until_us = world.handoff.poll_timeout().expect("it rests");
        rests_ms.push((until_us - world.now_us) / 1_000);
        world.pass(u64::MAX / 2);
    }
    assert_eq!(rests_ms, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    assert_eq!(progress(&world, A).failure.as_deref(), Some("no answer"));
    world.store_all();
    world.send();
    world.deliver(0, 8);
    assert_eq!(progress(&world, A).failure, None);
}

#[test]
fn a_hint_that_is_refused_does_not_hold_up_the_rest() {
    let mut world = holding(&[A], 300);
    world.up(A);
    for _ in 0..1_000 {
        world.store_all();
        world.send_all();
        while let Some(delivery) = world.underway.first() {
            if delivery.key == placed(0) { world.lose(0, false) } else { world.deliver(0, 8) }
        }
        world.pass(10_000_000);
    }
    assert_eq!(world.left(A), 1);
    world.drain();
}

#[test]
fn a_hint_goes_only_once_its_target_has_synced_it() {
    let mut world = holding(&[A], 1);
    world.up(A);
    world.store_all();
    world.send();
    assert_eq!(world.outputs, []);
    let digest = world.underway[0].record.digest();
    world.deliver(0, 8);
    assert_eq!(world.outputs, [HandoffOutput::Release { target: A, key: placed(0), digest }]);
}

#[test]
fn a_hint_that_grew_under_way_stays_and_goes_again() {
    let mut world = holding(&[A], 1);
    world.up(A);
    world.store_all();
    world.send();
    world.hint(A, 0, 20);
    world.deliver(0, 8);
    world.store(0, true);
    assert_eq!(world.left(A), 1, "the larger record is not released");
    world.store_all();
    assert_eq!(world.send(), Some((A, placed(0))));
    world.deliver(0, 8);
    world.store_all();
    assert_eq!(world.left(A), 0);
}

#[test]
fn no_target_starves_another() {
    let mut world = holding(&[A, B, C], 100);
    for target in [A, B, C] {
        world.up(target);
    }
    world.store_all();
    // A answers at once and wants much, the others don't answer.
    let mut sent = Vec::new();
    for _ in 0..24 {
        sent.extend(world.send());
        if let Some(index) = world.underway.iter().position(|delivery| delivery.target == A) {
            world.deliver(index, 64);
        }
    }
    let counts = [A, B, C].map(|target| keys_of(&sent, target));
    assert_eq!(counts, [8, 8, 8]);
}

#[test]
fn a_target_that_goes_away_is_forgotten_but_for_what_is_under_way() {
    let mut world = holding(&[A], 100);
    world.up(A);
    world.store_all();
    world.send_all();
    world.deliver(0, 8);
    world.down(A);
    assert_eq!((world.send(), progress(&world, A).delivering), (None, false));
    world.up(A);
    world.store_all();
    assert_eq!(world.send(), Some((A, placed(8))), "what is still under way is not sent twice");
    world.drain();
}

#[test]
fn a_page_asked_for_before_the_target_went_away_is_not_used() {
    let mut world = holding(&[A], 1);
    world.up(A);
    world.down(A);
    world.up(A);
    assert_eq!(world.outputs.len(), 1, "one page at a time");
    world.store(0, true);
    assert_eq!(world.send(), None);
    world.store_all();
    assert_eq!(world.send(), Some((A, placed(0))));
}

#[test]
fn at_most_one_page_is_in_memory() {
    let mut world = holding(&[A], 1_000);
    world.up(A);
    let [HandoffOutput::LoadPage { limit_records: 64, limit_bytes: 262_144, .. }] =
        world.outputs[..]
    else {
        panic!("{:?}", world.outputs);
    };
    world.store_all();
    for _ in 0..7 {
        while world.send().is_some() {}
        assert_eq!(world.outputs, [], "the next page comes when this one is used up");
        for _ in 0..8 {
            world.deliver(0, 8);
        }
        world.store_all();
    }
    world.send_all();
    assert_eq!(world.outputs.len(), 1, "then while the last of it are still under way");
}

#[test]
fn hints_that_storage_counts_and_does_not_give_are_asked_for_seldom() {
    let mut world = World::default();
    world.up(A);
    let totals = HintTotals { count: 3, bytes: 30, oldest_ms: Some(1) };
    world.handoff.handle_totals(0, A, totals);
    let mut asked = 0;
    while world.now_us < 60_000_000 {
        while let Some(output) = world.handoff.poll_output() {
            assert!(matches!(output, HandoffOutput::LoadPage { after: None, .. }), "{output:?}");
            asked += 1;
            world.handoff.handle_page(world.now_us, A, HintPage::default());
        }
        world.now_us = world.handoff.poll_timeout().expect("it rests");
        world.handoff.handle_timeout(world.now_us);
    }
    assert!((8..20).contains(&asked), "{asked} times in a minute");
}

#[test]
fn what_storage_no_longer_holds_is_not_sent() {
    let mut world = holding(&[A], 10);
    world.up(A);
    world.store_all();
    world.held.clear();
    world.tell_totals(A);
    assert_eq!(world.send(), None);
}

#[test]
fn a_storage_that_fails_is_asked_again_and_said_so() {
    let mut world = holding(&[A], 1);
    world.up(A);
    world.store(0, false);
    let failure = progress(&world, A).failure.expect("it failed");
    assert_eq!(failure, "a page of hints could not be read".to_string());
    world.pass(100_000);
    world.store_all();
    world.send();
    world.deliver(0, 8);
    world.store(0, false);
    assert_eq!(progress(&world, A).failure.as_deref(), Some("the disk is full"));
    world.drain();
}

#[test]
fn a_release_that_failed_is_said_again_and_may_come_back_until_then() {
    let mut world = holding(&[A], 1);
    world.up(A);
    world.store_all();
    world.send();
    world.deliver(0, 8);
    let release = world.outputs.clone();
    assert!(matches!(release[..], [HandoffOutput::Release { .. }]), "{release:?}");
    assert!(world.handoff.is_releasing(&placed(0)));
    world.store(0, false);
    assert!(world.handoff.is_releasing(&placed(0)), "the disk may have it still");
    world.down(A);
    world.up(A);
    world.pass(100_000);
    assert!(world.outputs.contains(&release[0]), "{:?}", world.outputs);
    world.store_all();
    assert!(!world.handoff.is_releasing(&placed(0)));
    assert_eq!((world.left(A), world.send()), (0, None));
}

#[test]
fn progress_tells_what_is_left_and_for_how_long() {
    let mut world = holding(&[A], 1_000);
    world.hint(B, 1, 10);
    assert_eq!(progress(&world, A).left_s, None, "it is away");
    world.up(A);
    // Fifty a second.
    for _ in 0..150 {
        world.store_all();
        world.send();
        world.pass(20_000);
        world.deliver(0, 8);
        world.store_all();
    }
    let told = progress(&world, A);
    assert_eq!((told.count, told.delivered, told.delivering), (850, 150, true));
    assert_eq!((told.left_s, told.oldest_ms), (Some(17), Some(151)));
    let waiting = progress(&world, B);
    assert_eq!((waiting.count, waiting.delivered, waiting.delivering), (1, 0, false));
    world.up(B);
    world.drain();
    assert_eq!((progress(&world, A).count, progress(&world, A).delivered), (0, 1_000));
    assert_eq!(progress(&world, A).oldest_ms, None);
}
