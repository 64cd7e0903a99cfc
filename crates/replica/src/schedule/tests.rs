//! Turns and grants, as a table of what is asked and taken.

use alloc::vec::Vec;

use jedlik_handoff::BudgetSettings;
use jedlik_protocol::admin::{BackgroundChange, WorkKind};

use super::{Schedule, WORKS, turn_of};

fn schedule() -> Schedule {
    Schedule::new(BudgetSettings { limit_per_s: 100, slowdown_percent: 150, floor_per_s: 10 })
}

fn turns(schedule: &Schedule) -> Vec<WorkKind> {
    schedule.turns().collect()
}

fn paused(work: Option<WorkKind>, paused: bool) -> BackgroundChange {
    BackgroundChange { work, paused: Some(paused), ..BackgroundChange::default() }
}

#[test]
fn every_kind_has_the_place_that_its_turn_and_its_name_in_reports_have() {
    for (place, (kind, _)) in WORKS.into_iter().enumerate() {
        assert_eq!(turn_of(kind), place);
    }
}

#[test]
fn who_has_taken_a_step_is_last_in_the_next_turn_and_who_is_paused_has_none() {
    use WorkKind::{Collection, Handoff, Repair, Transfer};
    let mut schedule = schedule();
    assert_eq!(turns(&schedule), [Handoff, Repair, Collection, Transfer]);
    schedule.took(0, Repair);
    assert_eq!(turns(&schedule), [Collection, Transfer, Handoff, Repair]);
    schedule.handle_change(0, paused(Some(Transfer), true));
    assert_eq!(turns(&schedule), [Collection, Handoff, Repair]);
    assert!(schedule.is_paused());
    schedule.took(0, Collection);
    assert_eq!(turns(&schedule), [Handoff, Repair, Collection], "the paused one is passed over");
    schedule.handle_change(0, paused(None, false));
    assert_eq!(turns(&schedule), [Transfer, Handoff, Repair, Collection]);
}

#[test]
fn nothing_is_granted_while_paused_and_no_time_is_named_for_it() {
    let mut schedule = schedule();
    assert!(schedule.grants(1_000_000));
    schedule.handle_change(1_000_000, paused(None, true));
    assert!(!schedule.grants(1_000_000));
    assert_eq!(schedule.next_us([5].into_iter()), None);
    schedule.handle_change(1_000_000, paused(None, false));
    schedule.forget_grant();
    assert_eq!(schedule.next_us([5].into_iter()), Some(5));
    assert!(schedule.grants(2_000_000));
}

#[test]
fn what_is_due_waits_for_the_next_grant() {
    let mut schedule = schedule();
    let mut now_us = 1_000_000;
    while schedule.grants(now_us) {
        schedule.took(now_us, WorkKind::Repair);
    }
    let next_us = schedule.next_us([now_us].into_iter()).expect("a grant");
    assert!(next_us > now_us);
    now_us = next_us;
    assert!(schedule.grants(now_us));
}

#[test]
fn a_page_costs_what_it_weighs_beyond_its_step() {
    let mut schedule = schedule();
    schedule.took(0, WorkKind::Transfer);
    schedule.charge(0, WorkKind::Transfer, 7);
    let steps = schedule.report().steps;
    assert_eq!(steps.iter().map(|(_, steps)| *steps).collect::<Vec<_>>(), [0, 0, 0, 8]);
}
