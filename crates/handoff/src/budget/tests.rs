//! The pace beside a made-up service that gets slower the more the background does.

use super::{Budget, BudgetSettings, Foreground};

/// Service for clients whose tail grows with the background's steps.
#[derive(Debug, Clone, Copy)]
struct Service {
    requests_per_s: u64,
    /// 99th percentile of its latency with nothing in the background.
    quiet_us: u64,
    /// Steps a second that double the latency; it grows with the square, as queues do.
    doubled_at_per_s: u64,
}

const GETS: Service = Service { requests_per_s: 2_000, quiet_us: 4_000, doubled_at_per_s: 5_000 };

/// Length of a tick, in microseconds: time goes in milliseconds.
const TICK_US: u64 = 1_000;

struct Run {
    budget: Budget,
    now_us: u64,
    noise: u64,
    /// Steps a second over the last hundred milliseconds or so, in thousandths.
    load_milli: u64,
    /// Requests that are still to be made, in thousandths.
    owed_milli: u64,
}

/// Measurements of a span of time.
#[derive(Debug)]
struct Span {
    steps_per_s: u64,
    p99_us: u64,
}

impl Run {
    fn new() -> Self {
        let budget = Budget::new(BudgetSettings::DEFAULT);
        Self { budget, now_us: 0, noise: 1, load_milli: 0, owed_milli: 0 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.noise >> 33) % below
    }

    /// Runs the service for so many seconds, beside work that takes up to `wanted_per_s` steps.
    fn run(&mut self, seconds: u64, service: Option<Service>, wanted_per_s: u64) -> Span {
        let (mut steps, mut latencies) = (0, alloc::vec![]);
        for _ in 0..seconds * 1_000_000 / TICK_US {
            steps += self.tick(wanted_per_s);
            let Some(service) = service else { continue };
            self.owed_milli += service.requests_per_s;
            while self.owed_milli >= 1_000 {
                self.owed_milli -= 1_000;
                let latency_us = self.latency_us(service);
                latencies.push(latency_us);
                self.budget.observe(self.now_us, Foreground::Get, latency_us);
            }
        }
        latencies.sort_unstable();
        let p99_us = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(0);
        Span { steps_per_s: steps / seconds, p99_us }
    }

    /// Runs one tick of the background, and returns how many steps it took.
    fn tick(&mut self, wanted_per_s: u64) -> u64 {
        self.now_us += TICK_US;
        let mut taken = 0;
        while taken < wanted_per_s.div_ceil(1_000) && self.budget.take(self.now_us, 1) {
            taken += 1;
        }
        self.load_milli = (self.load_milli * 99 + taken * 1_000_000) / 100;
        taken
    }

    /// Returns a latency: evenly up to the 99th percentile, a little more for one in fifty.
    fn latency_us(&mut self, service: Service) -> u64 {
        let strain_percent = self.load_milli / 10 / service.doubled_at_per_s;
        let p99_us = service.quiet_us + service.quiet_us * strain_percent * strain_percent / 10_000;
        if self.random(50) == 0 {
            p99_us * (90 + self.random(20)) / 100
        } else {
            p99_us / (1 + self.random(5)) * 9 / 10
        }
    }
}

const ALL: u64 = 100_000;

#[test]
fn the_foreground_stays_below_twice_its_quiet_tail() {
    let cases = [
        // A service that can take all there is.
        (Service { doubled_at_per_s: 100_000, ..GETS }, 15_000..=20_000),
        // Some of it: three and a half thousand make it half as slow again.
        (GETS, 1_800..=4_000),
        (Service { doubled_at_per_s: 1_000, ..GETS }, 350..=800),
        // Hardly any: little more than the floor.
        (Service { doubled_at_per_s: 200, ..GETS }, 70..=160),
        // Few clients, many clients, slow ones.
        (Service { requests_per_s: 50, ..GETS }, 1_000..=4_500),
        (Service { requests_per_s: 20_000, ..GETS }, 1_800..=4_000),
        (Service { quiet_us: 100_000, ..GETS }, 1_800..=4_000),
    ];
    for (service, expected) in cases {
        let mut run = Run::new();
        let quiet = run.run(20, Some(service), 0);
        run.run(30, Some(service), ALL);
        let busy = run.run(60, Some(service), ALL);
        assert!(busy.p99_us <= quiet.p99_us * 2, "{service:?}: {quiet:?}, {busy:?}");
        assert!(expected.contains(&busy.steps_per_s), "{service:?}: {busy:?}");
    }
}

#[test]
fn work_that_begins_beside_clients_begins_gently() {
    let mut run = Run::new();
    let quiet = run.run(20, Some(GETS), 0);
    let first = run.run(10, Some(GETS), ALL);
    assert!(first.p99_us <= quiet.p99_us * 2, "{quiet:?}, {first:?}");
    // So it does after a time without any.
    run.run(60, None, ALL);
    run.run(30, Some(GETS), 0);
    let again = run.run(10, Some(GETS), ALL);
    assert!(again.p99_us <= quiet.p99_us * 2, "{quiet:?}, {again:?}");
}

#[test]
fn without_clients_the_pace_goes_up_to_the_limit_within_seconds() {
    let mut run = Run::new();
    run.run(4, None, ALL);
    assert_eq!(run.budget.report().pace_per_s, 20_000);
    run.run(60, Some(GETS), ALL);
    assert!(run.budget.report().pace_per_s < 6_000);
    run.run(8, None, ALL);
    assert_eq!(run.budget.report().pace_per_s, 20_000, "the clients went away");
    assert_eq!(run.budget.report().foreground_p99_us, 0);
}

#[test]
fn what_quiet_means_is_learnt_before_work_goes_on_beside_the_first_clients() {
    let mut run = Run::new();
    run.run(10, None, ALL);
    run.run(30, Some(GETS), ALL);
    let quiet_us = run.budget.report().quiet_p99_us;
    assert!((3_500..5_000).contains(&quiet_us), "{quiet_us}");
}

#[test]
fn the_floor_is_kept_however_slow_the_foreground() {
    let mut run = Run::new();
    let service = Service { doubled_at_per_s: 5, ..GETS };
    run.run(20, Some(service), 0);
    let busy = run.run(60, Some(service), ALL);
    let floor_per_s = u64::from(BudgetSettings::DEFAULT.floor_per_s);
    // All but what the edges of the span cut off.
    assert!(busy.steps_per_s + 1 >= floor_per_s, "{busy:?}");
}

#[test]
fn a_foreground_that_got_slower_by_itself_is_the_new_measure() {
    let mut run = Run::new();
    run.run(20, Some(GETS), ALL);
    let slower = Service { quiet_us: 20_000, ..GETS };
    run.run(60, Some(slower), ALL);
    let busy = run.run(60, Some(slower), ALL);
    assert!(busy.steps_per_s >= 1_500, "{busy:?}, {:?}", run.budget.report());
    // And one that got faster, although the background never rests.
    run.run(120, Some(GETS), ALL);
    let busy = run.run(60, Some(GETS), ALL);
    assert!(busy.p99_us <= 8_000, "{busy:?}, {:?}", run.budget.report());
    // It was looked at: what endless work leaves to be seen of it is slower by more than a tenth.
    let quiet_us = run.budget.report().quiet_p99_us;
    assert!(quiet_us < 4_400, "{quiet_us}");
}

#[test]
fn a_hiccup_in_a_quiet_time_is_not_what_quiet_means() {
    let mut run = Run::new();
    for _ in 0..10 {
        run.run(6, Some(GETS), 0);
        for _ in 0..200 {
            run.budget.observe(run.now_us, Foreground::Get, 60_000);
        }
        run.run(1, Some(GETS), 0);
        let quiet_us = run.budget.report().quiet_p99_us;
        assert!((3_000..5_000).contains(&quiet_us), "{quiet_us}");
    }
}

#[test]
fn what_a_step_turns_out_to_weigh_is_paid_for_before_the_next() {
    let settings = BudgetSettings { limit_per_s: 50, floor_per_s: 50, ..BudgetSettings::DEFAULT };
    let mut budget = Budget::new(settings);
    let (mut now_us, mut pages) = (0, 0);
    while now_us < 10_000_000 {
        if budget.take(now_us, 1) {
            budget.charge(now_us, 24);
            pages += 1;
        }
        now_us = budget.next_us(now_us).unwrap();
    }
    assert_eq!(pages, 20, "25 steps each, at 50 a second");
    assert!(budget.report().pace_per_s <= 50);
}

#[test]
fn latencies_of_less_than_two_milliseconds_are_no_sign_of_load() {
    let mut run = Run::new();
    let service = Service { quiet_us: 300, doubled_at_per_s: 10_000, ..GETS };
    run.run(20, Some(service), 0);
    run.run(60, Some(service), ALL);
    assert_eq!(run.budget.report().pace_per_s, 20_000);
}

#[test]
fn each_kind_of_request_is_judged_by_itself() {
    let mut run = Run::new();
    run.run(2, None, 0);
    for _ in 0..60_000 {
        let wanted_per_s = if run.now_us < 20_000_000 { 0 } else { ALL };
        run.tick(wanted_per_s);
        // Gets suffer below the puts' usual latency.
        let gets_us = if run.load_milli > 200_000 { 12_000 } else { 4_000 };
        run.budget.observe(run.now_us, Foreground::Put, 40_000);
        run.budget.observe(run.now_us, Foreground::Get, gets_us);
    }
    let report = run.budget.report();
    assert!((50..400).contains(&report.pace_per_s), "{report:?}");
}

#[test]
fn a_pause_stops_everything_and_a_resume_goes_on() {
    let mut run = Run::new();
    run.run(5, None, ALL);
    run.budget.pause();
    let paused = run.run(5, None, ALL);
    assert_eq!((paused.steps_per_s, run.budget.next_us(run.now_us)), (0, None));
    assert!(run.budget.report().paused);
    run.budget.resume();
    assert!(run.budget.next_us(run.now_us).is_some());
    let pace_per_s = u64::from(run.budget.report().pace_per_s);
    assert!(pace_per_s >= 200 && run.run(1, None, ALL).steps_per_s >= pace_per_s);
}

#[test]
fn new_bounds_hold_at_once_and_impossible_ones_are_moved() {
    let mut run = Run::new();
    run.run(5, None, ALL);
    let settings = BudgetSettings { limit_per_s: 100, ..BudgetSettings::DEFAULT };
    run.budget.set(run.now_us, settings);
    assert_eq!(run.budget.report().pace_per_s, 100);
    let after = run.run(10, None, ALL);
    assert!((95..=101).contains(&after.steps_per_s), "{after:?}");
    let settings = BudgetSettings { limit_per_s: 0, slowdown_percent: 3, floor_per_s: 70 };
    run.budget.set(run.now_us, settings);
    let report = run.budget.report();
    assert_eq!((report.limit_per_s, report.slowdown_percent, report.pace_per_s), (1, 101, 1));
}

#[test]
fn a_raised_limit_has_work_begin_at_its_own_cautious_pace() {
    let mut run = Run::new();
    run.run(5, None, 0);
    let settings = BudgetSettings { limit_per_s: 1_000_000, ..BudgetSettings::DEFAULT };
    run.budget.set(run.now_us, settings);
    assert_eq!(run.budget.report().pace_per_s, 10_000);
    // Setting what is set already raises nothing: what the clients' latency cut stays cut.
    let mut run = Run::new();
    let service = Service { doubled_at_per_s: 5, ..GETS };
    run.run(20, Some(service), 0);
    run.run(60, Some(service), ALL);
    let before = run.budget.report().pace_per_s;
    run.budget.set(run.now_us, BudgetSettings::DEFAULT);
    assert_eq!(run.budget.report().pace_per_s, before);
}
