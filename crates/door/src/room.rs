//! Room for answers that wait for their readers, and for requests that are being received.
//!
//! Invariant: answers take at most the limit together, and one answer of any size fits while there is nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room that all answers of a node's doors share; clones are of one room.
#[derive(Debug, Clone)]
pub struct Room {
    limit_bytes: usize,
    taken_bytes: Arc<AtomicUsize>,
}

/// Part of a room that an answer takes. Dropping it gives the part back.
#[derive(Debug, Default)]
pub struct Held {
    bytes: usize,
    room: Option<Room>,
}

impl Room {
    /// Makes an empty room for so many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, taken_bytes: Arc::default() }
    }

    /// Takes room for an answer; `None` if others have taken too much.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Held> {
        let mut held = self.hold();
        held.grow(bytes).then_some(held)
    }

    /// Begins to take room for what is to grow; it takes none yet.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held { bytes: 0, room: Some(self.clone()) }
    }

    /// Whether there is room for an answer of this size.
    #[must_use]
    pub fn has(&self, bytes: usize) -> bool {
        let taken = self.taken_bytes.load(Ordering::Relaxed);
        taken == 0 || taken.saturating_add(bytes) <= self.limit_bytes
    }

    /// Returns the number of bytes that answers take now.
    #[must_use]
    pub fn taken_bytes(&self) -> usize {
        self.taken_bytes.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Takes so many more bytes of the same room; `false` if others have taken too much.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Some(room) = &self.room else { return false };
        let fits = |taken: usize| {
            let after = taken.saturating_add(bytes);
            (taken == self.bytes || after <= room.limit_bytes).then_some(after)
        };
        let grown = room.taken_bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.taken_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn answers_fit_up_to_the_limit_and_give_their_room_back() {
        let room = Room::new(100);
        let (first, second) = (room.take(60), room.take(40));
        assert!(first.is_some() && second.is_some() && room.take(1).is_none());
        drop(first);
        assert!(room.has(60) && !room.has(61));
        drop(second);
        assert_eq!(room.taken_bytes(), 0);
    }

    #[test]
    fn what_grows_has_one_share_of_the_room() {
        let room = Room::new(100);
        let (mut first, mut other) = (room.hold(), room.hold());
        assert!(first.grow(90) && first.grow(90), "it is alone");
        assert!(!other.grow(1));
        drop(first);
        let (mut first, _other) = (room.take(60).unwrap(), room.take(30).unwrap());
        assert!(first.grow(10) && !first.grow(1));
        assert_eq!(room.taken_bytes(), 100);
    }

    #[test]
    fn one_answer_fits_whatever_its_size() {
        let room = Room::new(100);
        let large = room.take(1_000);
        assert!(large.is_some() && room.take(1).is_none());
        drop(large);
        assert!(room.take(1).is_some());
    }
}
