//! Attempts side by side, on virtual time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Attempt, InFlight};
use crate::calls::Coming;
use crate::routes::Target;

fn attempt(port: u16) -> Attempt {
    let address = ([127, 0, 0, 1], port).into();
    let target = Target { node: None, address };
    Attempt {
        target,
        since: Instant::now().into_std(),
        delay: Duration::from_millis(150),
        changes: false,
        coming: Coming::default(),
    }
}

async fn after(ms: u64) -> u64 {
    sleep(Duration::from_millis(ms)).await;
    ms
}

#[tokio::test(start_paused = true)]
async fn the_first_outcome_comes_first_whoever_began() {
    let mut in_flight = InFlight::new();
    in_flight.enter(attempt(1), after(300));
    assert!(!in_flight.is_full());
    in_flight.enter(attempt(2), after(100));
    assert!(in_flight.is_full());
    let (first, ms) = in_flight.outcome().await;
    assert_eq!((first.target.address.port(), ms), (2, 100));
    let (second, ms) = in_flight.outcome().await;
    assert_eq!((second.target.address.port(), ms), (1, 300));
    assert!(in_flight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_loses_no_attempt() {
    let mut in_flight = InFlight::new();
    in_flight.enter(attempt(1), after(300));
    for _ in 0..2 {
        assert!(timeout(Duration::from_millis(100), in_flight.outcome()).await.is_err());
    }
    assert_eq!(in_flight.outcome().await.1, 300);
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_is_never_heard_of() {
    let mut in_flight = InFlight::new();
    in_flight.enter(attempt(1), after(100));
    in_flight.enter(attempt(2), after(200));
    assert!(in_flight.drop_one(|_| false).is_none());
    assert_eq!(in_flight.drop_one(|_| true).unwrap().target.address.port(), 1);
    assert_eq!(in_flight.outcome().await.1, 200);
    assert!(timeout(Duration::from_secs(1), in_flight.outcome()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_late_once_its_delay_is_over() {
    let one = attempt(1);
    assert!(!one.is_late(Instant::now().into_std()));
    sleep(one.delay).await;
    assert!(one.is_late(Instant::now().into_std()));
}
