//! What the parts of a request have asked for, one part for each owner set that counts while a
//! partition moves: a message that several of them want is sent once, and its answer is for all.
//!
//! Invariants: a request is answered at most once; no part is given the answer to a request twice, so
//! that one which asks again is heard, and a part alone shares nothing.

use alloc::vec::Vec;

/// The most owner sets a request may span. One that spans more is answered short at once.
pub const OWNER_SETS_MAX: usize = 8;

/// Names one request that a machine has asked for, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// A message to one node.
pub(crate) trait Message: Clone {
    /// Whether the answer to this one says what the answer to `other` would.
    fn serves(&self, other: &Self) -> bool;
}

/// Parts by their numbers, each below [`OWNER_SETS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts(u8);

const _: () = assert!(OWNER_SETS_MAX == u8::BITS as usize, "each part has a bit");

impl Parts {
    fn one(part: usize) -> Self {
        Self(1 << part)
    }

    fn first(count: usize) -> Self {
        (0..count).map(Self::one).fold(Self(0), Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, part: usize) -> bool {
        self.0 & Self::one(part).0 != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..OWNER_SETS_MAX).filter(move |part| self.has(*part))
    }
}

/// What becomes of a part's wish to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked<A> {
    /// It is a request of its own, to be sent.
    New(RequestId),
    /// One under way serves it: the answer to that is for this part too.
    Joined,
    /// One that was answered so serves it.
    Answered(A),
}

#[derive(Debug)]
enum Course<A> {
    UnderWay,
    /// Another part may still want the answer.
    Answered(A),
    /// It failed, or every part has its answer.
    Over,
}

#[derive(Debug)]
struct Request<M, A> {
    message: M,
    /// Who waits for the answer, or has it.
    parts: Parts,
    course: Course<A>,
}

/// The requests of one operation, in the order in which they were sent; a request's id is its place.
#[derive(Debug)]
pub(crate) struct Requests<M, A> {
    all: Parts,
    list: Vec<Request<M, A>>,
}

impl<M: Message, A: Clone> Requests<M, A> {
    /// For `count` parts, at most [`OWNER_SETS_MAX`].
    pub(crate) fn new(count: usize) -> Self {
        Self { all: Parts::first(count), list: Vec::new() }
    }

    /// `part` wants `message` sent. What was answered already serves it sooner than what is under way.
    pub(crate) fn ask(&mut self, part: usize, message: &M) -> Asked<A> {
        let mut under_way = None;
        for request in &mut self.list {
            if request.parts.has(part) || !request.message.serves(message) {
                continue;
            }
            match &request.course {
                Course::Answered(answer) => {
                    request.parts = request.parts.and(Parts::one(part));
                    return Asked::Answered(answer.clone());
                }
                Course::UnderWay => under_way = Some(request),
                Course::Over => {}
            }
        }
        if let Some(request) = under_way {
            request.parts = request.parts.and(Parts::one(part));
            return Asked::Joined;
        }
        let id = RequestId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        let parts = Parts::one(part);
        self.list.push(Request { message: message.clone(), parts, course: Course::UnderWay });
        Asked::New(id)
    }

    /// A request was answered: says what it was and who waited for it, unless it was over.
    pub(crate) fn answer(&mut self, id: RequestId, answer: &A) -> Option<(&M, Parts)> {
        let everyone = self.all;
        let request = self.under_way(id)?;
        request.course =
            if request.parts == everyone { Course::Over } else { Course::Answered(answer.clone()) };
        Some((&request.message, request.parts))
    }

    /// A request failed: says what it was and who waited for it, unless it was over.
    pub(crate) fn fail(&mut self, id: RequestId) -> Option<(&M, Parts)> {
        let request = self.under_way(id)?;
        request.course = Course::Over;
        Some((&request.message, request.parts))
    }

    fn under_way(&mut self, id: RequestId) -> Option<&mut Request<M, A>> {
        let request = self.list.get_mut(usize::try_from(id.0).ok()?)?;
        matches!(request.course, Course::UnderWay).then_some(request)
    }
}

/// The plans in effect, newest owner set first: none if there are too many, so that no set is left out
/// unseen.
pub(crate) fn within_limit<P>(plans: &[P]) -> &[P] {
    if plans.len() > OWNER_SETS_MAX { &[] } else { plans }
}
