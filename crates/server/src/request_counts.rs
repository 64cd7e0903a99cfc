//! Counts of the requests that clients made of one shard: by kind and outcome, with the times that they took.
//!
//! Invariant: each request that the shard has accepted from a client is counted once, when it is answered. One that its
//! client has withdrawn is not.

use jedlik_door::RequestMeasures;
use jedlik_histogram::{Numbers, TimesUs};
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::ErrorCode;
use jedlik_vclock::Content;

/// Kind of a request that a shard carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Get,
    Put,
    Delete,
    Scan,
    Explain,
}

/// Outcome of a request, as it matters to those who watch a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    /// The request can't be carried out as it is.
    Invalid,
    /// The key's record is too large, or has too many siblings.
    TooLarge,
    /// The time was over before the quorum was reached.
    Timeout,
    /// Too few replicas could be reached.
    Unavailable,
    /// A queue was full.
    Overloaded,
    /// The node was starting or stopping, or nodes differed about the layout.
    NotReady,
    /// The storage has failed.
    Storage,
    /// The program has failed.
    Internal,
}

const KINDS: [(RequestKind, &str); 5] = [
    (RequestKind::Get, "get"),
    (RequestKind::Put, "put"),
    (RequestKind::Delete, "delete"),
    (RequestKind::Scan, "scan"),
    (RequestKind::Explain, "explain"),
];

const OUTCOMES: [(Outcome, &str); 9] = [
    (Outcome::Ok, "ok"),
    (Outcome::Invalid, "invalid"),
    (Outcome::TooLarge, "too_large"),
    (Outcome::Timeout, "timeout"),
    (Outcome::Unavailable, "unavailable"),
    (Outcome::Overloaded, "overloaded"),
    (Outcome::NotReady, "not_ready"),
    (Outcome::Storage, "storage"),
    (Outcome::Internal, "internal"),
];

impl RequestKind {
    pub(crate) fn of(request: &ClientRequest) -> Self {
        match request {
            ClientRequest::Get(_) => Self::Get,
            ClientRequest::Put(put) if matches!(put.content, Content::Tombstone) => Self::Delete,
            ClientRequest::Put(_) => Self::Put,
            ClientRequest::Scan(_) => Self::Scan,
            // Of these, a shard is asked to explain alone.
            ClientRequest::Admin(_) | ClientRequest::Topology => Self::Explain,
        }
    }
}

impl Outcome {
    fn of(response: &ClientResponse) -> Self {
        let ClientResponse::Failed(failure) = response else { return Self::Ok };
        match failure.code {
            ErrorCode::InvalidRequest
            | ErrorCode::InvalidContext
            | ErrorCode::Forbidden
            | ErrorCode::PlanChanged => Self::Invalid,
            ErrorCode::ValueTooLarge | ErrorCode::RecordTooLarge | ErrorCode::TooManySiblings => {
                Self::TooLarge
            }
            ErrorCode::Timeout => Self::Timeout,
            ErrorCode::Unavailable => Self::Unavailable,
            ErrorCode::Overloaded | ErrorCode::KeyBusy => Self::Overloaded,
            ErrorCode::NotReady
            | ErrorCode::StaleLayout
            | ErrorCode::UnknownLayout
            | ErrorCode::NotOwner
            | ErrorCode::TooOld
            | ErrorCode::OtherLife => Self::NotReady,
            ErrorCode::Storage => Self::Storage,
            ErrorCode::Internal => Self::Internal,
        }
    }
}

/// Counts of one shard's requests, or of all shards' together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RequestCounts {
    kinds: [KindCounts; KINDS.len()],
    /// Number of versions that each successful get has found.
    pub(crate) siblings: Numbers,
}

/// Counts of the requests of one kind, in the order of `OUTCOMES`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct KindCounts {
    outcomes: [u64; OUTCOMES.len()],
    times_us: TimesUs,
}

impl RequestCounts {
    /// Counts an answer to a request that came so many microseconds ago.
    pub(crate) fn answered(&mut self, kind: RequestKind, took_us: u64, response: &ClientResponse) {
        let counts = &mut self.kinds[kind as usize];
        counts.outcomes[Outcome::of(response) as usize] += 1;
        counts.times_us.add(took_us);
        if let ClientResponse::Got(answer) = response {
            self.siblings.add(answer.versions.len() as u64);
        }
    }

    /// Adds another shard's counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (kind, more) in self.kinds.iter_mut().zip(&other.kinds) {
            for (count, more) in kind.outcomes.iter_mut().zip(more.outcomes) {
                *count += more;
            }
            kind.times_us.merge(&more.times_us);
        }
        self.siblings.merge(&other.siblings);
    }

    /// Returns the number of requests for which too few replicas answered, or not in time.
    pub(crate) fn quorum_shortfalls(&self) -> u64 {
        let short = [Outcome::Timeout, Outcome::Unavailable];
        self.kinds
            .iter()
            .flat_map(|kind| short.map(|outcome| kind.outcomes[outcome as usize]))
            .sum()
    }

    /// Returns the counts under the names that metrics have for them.
    pub(crate) fn named(&self) -> Vec<RequestMeasures> {
        let named = KINDS.iter().zip(&self.kinds).map(|((_, kind), counts)| RequestMeasures {
            kind,
            outcomes: OUTCOMES.iter().map(|(_, name)| *name).zip(counts.outcomes).collect(),
            times_us: counts.times_us,
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::client::{ClientResponse, GetAnswer, Version};
    use jedlik_protocol::error::{ErrorCode, Failure};
    use jedlik_vclock::Content;

    use super::{KINDS, OUTCOMES, RequestCounts, RequestKind};

    fn failed(code: ErrorCode) -> ClientResponse {
        ClientResponse::Failed(Failure::new(code, "no"))
    }

    #[test]
    fn names_stand_in_the_order_of_the_kinds_and_outcomes() {
        for (index, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
        for (index, (outcome, _)) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
    }

    #[test]
    fn a_get_counts_the_siblings_that_it_has_found() {
        let version = |tag| Version {
            content: Content::Tombstone,
            tag,
            written_at_ms: 0,
            expires_at_ms: None,
        };
        let versions = vec![version(1), version(2)];
        let answer =
            GetAnswer { versions, context: None, answered: 2, primaries: 2, partial: false };
        let mut counts = RequestCounts::default();
        counts.answered(RequestKind::Get, 100, &ClientResponse::Got(answer));
        counts.answered(RequestKind::Get, 100, &failed(ErrorCode::Timeout));
        assert_eq!((counts.siblings.count(), counts.siblings.sum()), (1, 2));
    }

    #[test]
    fn a_request_is_counted_by_its_kind_and_its_answer() {
        let mut counts = RequestCounts::default();
        counts.answered(RequestKind::Put, 100, &failed(ErrorCode::Timeout));
        counts.answered(RequestKind::Put, 70, &failed(ErrorCode::Unavailable));
        counts.answered(RequestKind::Scan, 70, &failed(ErrorCode::Storage));
        let mut all = counts;
        all.merge(&counts);
        assert_eq!(all.quorum_shortfalls(), 4);
        let named = all.named();
        let puts = named.iter().find(|measures| measures.kind == "put").unwrap();
        assert_eq!((puts.times_us.count(), puts.times_us.sum()), (4, 340));
        assert!(puts.outcomes.contains(&("timeout", 2)) && puts.outcomes.contains(&("ok", 0)));
        let scans = named.iter().find(|measures| measures.kind == "scan").unwrap();
        assert!(scans.outcomes.contains(&("storage", 2)));
    }
}
