//! Connections of a door, and which of them gives way to a new one.
//!
//! Invariant: there are never more than the limit, and a connection with a request under way is closed for no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Connections of a door; clones share them.
#[derive(Debug, Clone)]
pub struct Connections {
    limit: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Known>,
    /// Connections by the time under which they are filed, so that a full house costs a newcomer no walk through it.
    filed: BTreeSet<(Instant, u64)>,
}

/// One connection, as it is filed.
#[derive(Debug)]
struct Known {
    activity: Arc<Activity>,
    /// Time since which the connection is idle at the earliest.
    filed_at: Instant,
}

/// Activity of one connection, by which it gives way.
#[derive(Debug)]
struct Activity {
    under_way: AtomicUsize,
    idle_since: Mutex<Instant>,
    gives_way: Notify,
}

/// Place of one connection; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    number: u64,
    activity: Arc<Activity>,
    open: Arc<Mutex<Open>>,
}

/// Mark that a request is under way on a connection.
#[derive(Debug)]
pub struct UnderWay(Arc<Activity>);

impl Connections {
    /// Makes a door's connections, of which there may be so many at a time.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Takes a place for a new connection, if need be that of the connection that has been idle for longest. `None` if
    /// all are at work.
    #[must_use]
    pub fn enter(&self) -> Option<Place> {
        let mut open = lock(&self.open);
        if open.connections.len() >= self.limit {
            let number = open.idle_for_longest()?;
            if let Some(gone) = open.remove(number) {
                gone.gives_way.notify_one();
            }
        }
        let number = open.next;
        open.next += 1;
        let now = Instant::now();
        let activity = Arc::new(Activity {
            under_way: AtomicUsize::new(0),
            idle_since: Mutex::new(now),
            gives_way: Notify::new(),
        });
        open.connections.insert(number, Known { activity: Arc::clone(&activity), filed_at: now });
        open.filed.insert((now, number));
        Some(Place { number, activity, open: Arc::clone(&self.open) })
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.open).connections.len()
    }
}

impl Open {
    /// Returns the connection that has been idle for longest; `None` if all are at work. Those that are looked at are
    /// filed anew, under the time since which they are idle.
    fn idle_for_longest(&mut self) -> Option<u64> {
        // Each is looked at twice at most: filed anew, and then found under that time or at work.
        for _ in 0..2 * self.connections.len() {
            let (filed_at, number) = self.filed.pop_first()?;
            let Some(known) = self.connections.get_mut(&number) else { continue };
            // One that is at work will be idle later than this.
            let idle_since = known.activity.idle_since();
            known.filed_at = idle_since.unwrap_or_else(Instant::now);
            self.filed.insert((known.filed_at, number));
            if idle_since == Some(filed_at) {
                return Some(number);
            }
        }
        None
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Activity>> {
        let Known { activity, filed_at } = self.connections.remove(&number)?;
        self.filed.remove(&(filed_at, number));
        Some(activity)
    }
}

impl Activity {
    /// Returns since when no request has been under way; `None` if one is.
    fn idle_since(&self) -> Option<Instant> {
        (self.under_way.load(Ordering::Acquire) == 0).then(|| *lock(&self.idle_since))
    }
}

impl Place {
    /// Marks a request as under way until the mark is dropped.
    #[must_use]
    pub fn begin(&self) -> UnderWay {
        self.activity.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(&self.activity))
    }

    /// Waits until the connection is to be closed: it has been idle for so long, or gives way to another.
    pub async fn is_over(&self, idle_limit: Duration) {
        loop {
            let idle = self.activity.idle_since().map(|since| since.elapsed());
            let left = match idle {
                Some(idle) if idle >= idle_limit => return,
                Some(idle) => idle_limit - idle,
                None => idle_limit,
            };
            tokio::select! {
                () = self.activity.gives_way.notified() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).remove(self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *lock(&self.0.idle_since) = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

// Nothing panics with a lock held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Connections, Place, lock};

    #[tokio::test]
    async fn the_connection_that_has_been_idle_for_longest_gives_way() {
        let connections = Connections::new(3);
        let [first, second, third] = [(); 3].map(|()| connections.enter().unwrap());
        let working = first.begin();
        drop(third.begin());
        let fourth = connections.enter().unwrap();
        // The first is at work, and the third was a moment ago.
        second.is_over(Duration::MAX).await;
        assert_eq!(connections.count(), 3);
        let all_work = [third.begin(), fourth.begin()];
        assert!(connections.enter().is_none(), "nobody at work gives way");
        drop((working, all_work));
        assert!(connections.enter().is_some());
    }

    #[test]
    fn a_full_house_costs_a_newcomer_no_walk_through_it() {
        let connections = Connections::new(2_000);
        let places: Vec<_> = (0..2_000).map(|_| connections.enter().unwrap()).collect();
        let working: Vec<_> = places.iter().take(1_000).map(Place::begin).collect();
        // The first newcomer files those at work anew; the others find the idle ones in front.
        let newcomers: Vec<_> = (0..1_000).map(|_| connections.enter().unwrap()).collect();
        assert_eq!(connections.count(), 2_000);
        assert_eq!(lock(&connections.open).filed.len(), 2_000);
        drop((working, newcomers, places));
        assert_eq!(connections.count(), 0);
        assert!(lock(&connections.open).filed.is_empty(), "nothing is left of those that went");
    }

    #[tokio::test]
    async fn a_place_is_free_once_its_connection_ends() {
        let connections = Connections::new(1);
        let place = connections.enter().unwrap();
        let working = place.begin();
        assert!(connections.enter().is_none());
        drop((working, place));
        assert_eq!(connections.count(), 0);
        let place = connections.enter().unwrap();
        place.is_over(Duration::ZERO).await;
    }
}
