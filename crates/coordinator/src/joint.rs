//! Requests of a joint operation, which has one leg for each active owner set while a partition moves. A
//! message that several legs want is sent once, and its answer is for all of them.
//!
//! Invariants: a request is answered at most once; no leg is given the answer to a request twice, so that a
//! leg which asks again is heard, and a leg alone shares nothing.

use alloc::vec::Vec;

/// Most owner sets that a request may span. One that spans more fails at once.
pub const OWNER_SETS_MAX: usize = 8;

/// Id of one request of a machine; the answer to the request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// Message to one node, which several legs may want sent.
pub(crate) trait Message: Clone {
    /// Returns whether the answer to this message says what the answer to `other` would.
    fn serves(&self, other: &Self) -> bool;
}

/// Set of legs by their numbers, each below [`OWNER_SETS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Legs(u8);

const _: () = assert!(OWNER_SETS_MAX == u8::BITS as usize, "each leg has a bit");

impl Legs {
    fn one(leg: usize) -> Self {
        Self(1 << leg)
    }

    fn first(count: usize) -> Self {
        (0..count).map(Self::one).fold(Self(0), Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, leg: usize) -> bool {
        self.0 & Self::one(leg).0 != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..OWNER_SETS_MAX).filter(move |leg| self.has(*leg))
    }
}

/// Result of a leg's wish to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked<A> {
    /// The message is a new request, to be sent.
    New(RequestId),
    /// A request under way serves the message: its answer is for this leg too.
    Joined,
    /// A request that was answered so serves the message.
    Answered(A),
}

#[derive(Debug)]
enum RequestState<A> {
    UnderWay,
    /// Answered; another leg may still want the answer.
    Answered(A),
    /// Failed, or every leg has the answer.
    Over,
}

#[derive(Debug)]
struct Request<M, A> {
    message: M,
    /// Legs that wait for the answer, or have it.
    legs: Legs,
    state: RequestState<A>,
}

/// Requests of one operation, in the order in which they were sent; a request's id is its place.
#[derive(Debug)]
pub(crate) struct Requests<M, A> {
    all: Legs,
    list: Vec<Request<M, A>>,
}

impl<M: Message, A: Clone> Requests<M, A> {
    /// Creates the requests of `count` legs, at most [`OWNER_SETS_MAX`].
    pub(crate) fn new(count: usize) -> Self {
        Self { all: Legs::first(count), list: Vec::new() }
    }

    /// Asks for `message` to be sent for `leg`. An answered request that serves it comes before one under way.
    pub(crate) fn ask(&mut self, leg: usize, message: &M) -> Asked<A> {
        let mut under_way = None;
        for request in &mut self.list {
            if request.legs.has(leg) || !request.message.serves(message) {
                continue;
            }
            match &request.state {
                RequestState::Answered(answer) => {
                    request.legs = request.legs.and(Legs::one(leg));
                    return Asked::Answered(answer.clone());
                }
                RequestState::UnderWay => under_way = Some(request),
                RequestState::Over => {}
            }
        }
        if let Some(request) = under_way {
            request.legs = request.legs.and(Legs::one(leg));
            return Asked::Joined;
        }
        let id = RequestId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        let legs = Legs::one(leg);
        self.list.push(Request { message: message.clone(), legs, state: RequestState::UnderWay });
        Asked::New(id)
    }

    /// Notes that a request was answered. Returns its message and the legs that waited for it, unless it was over.
    pub(crate) fn answer(&mut self, id: RequestId, answer: &A) -> Option<(&M, Legs)> {
        let everyone = self.all;
        let request = self.under_way(id)?;
        request.state = if request.legs == everyone {
            RequestState::Over
        } else {
            RequestState::Answered(answer.clone())
        };
        Some((&request.message, request.legs))
    }

    /// Notes that a request failed. Returns its message and the legs that waited for it, unless it was over.
    pub(crate) fn fail(&mut self, id: RequestId) -> Option<(&M, Legs)> {
        let request = self.under_way(id)?;
        request.state = RequestState::Over;
        Some((&request.message, request.legs))
    }

    fn under_way(&mut self, id: RequestId) -> Option<&mut Request<M, A>> {
        let request = self.list.get_mut(usize::try_from(id.0).ok()?)?;
        matches!(request.state, RequestState::UnderWay).then_some(request)
    }
}

/// Returns the plans in effect, newest owner set first: none if there are too many, so that no set is left
/// out unseen.
pub(crate) fn within_limit<P>(plans: &[P]) -> &[P] {
    if plans.len() > OWNER_SETS_MAX { &[] } else { plans }
}
