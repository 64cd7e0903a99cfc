//! Arrivals of requests at a steady rate, which the clients of a run share.
//!
//! Invariant: a request that had to wait for a free client counts from the time at which it arrived, so that a cluster
//! which stands still can't hide it by holding up the clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// Requests that arrive at equal distances from a beginning.
pub(super) struct Arrivals {
    began: Instant,
    per_second: u32,
    taken: AtomicU64,
    late: AtomicU64,
}

impl Arrivals {
    /// Begins the arrivals now, with so many in each second.
    pub(super) fn begin(per_second: u32) -> Self {
        let (taken, late) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { began: Instant::now(), per_second, taken, late }
    }

    /// Takes the next request, waits for its arrival, and returns the time from which it counts. A client that was free
    /// before it arrived counts from when it was woken, since what the timer is late by is not the cluster's.
    pub(super) async fn next(&self) -> Instant {
        let arrives = self.began + self.after(self.taken.fetch_add(1, Ordering::Relaxed));
        if arrives <= Instant::now() {
            self.late.fetch_add(1, Ordering::Relaxed);
            return arrives;
        }
        sleep_until(arrives.into()).await;
        Instant::now()
    }

    /// Returns the number of requests that had to wait for a free client.
    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Returns the time from the beginning to an arrival.
    fn after(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::Arrivals;

    #[test]
    fn arrivals_are_spaced_evenly() {
        let arrivals = Arrivals::begin(4_000);
        for (number, expected_us) in
            [(0, 0), (1, 250), (4_000, 1_000_000), (14_400_000, 3_600_000_000)]
        {
            assert_eq!(arrivals.after(number), Duration::from_micros(expected_us), "{number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_for_which_no_client_was_free_counts_from_its_arrival() {
        let began = Instant::now();
        let past = Arrivals { began: began - Duration::from_secs(10), ..Arrivals::begin(1) };
        past.taken.store(7, Ordering::Relaxed);
        assert_eq!(past.next().await, began - Duration::from_secs(3));
        assert_eq!(past.late(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_client_waits_for_the_arrival() {
        let waiting = Arrivals::begin(1);
        let clock = tokio::time::Instant::now();
        waiting.next().await;
        waiting.next().await;
        let waited = clock.elapsed();
        assert!(waited > Duration::from_millis(900), "{waited:?}");
        assert!(waiting.late() <= 1, "only the first one arrives at once");
    }
}
