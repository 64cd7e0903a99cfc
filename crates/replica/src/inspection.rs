//! All that a node holds of one key, described without values.

use jedlik_protocol::inspection::{HintSummary, Inspection, RecordSummary, SiblingSummary};
use jedlik_protocol::{EncodedRecord, Record};
use jedlik_storage_port::Holding;
use jedlik_vclock::Content;

/// Returns all that is held of a key, without values.
pub(crate) fn inspection(holding: &Holding, refilling: bool) -> Inspection {
    let record = holding.record.as_ref().and_then(|stored| summary(&stored.record));
    let hints = holding.hints.iter().filter_map(|hint| {
        let record = summary(&hint.record.record)?;
        Some(HintSummary { target: hint.target, since_ms: hint.since_ms, record })
    });
    Inspection { record, damaged: holding.damaged, hints: hints.collect(), refilling }
}

fn summary(encoded: &EncodedRecord) -> Option<RecordSummary> {
    let record: Record = encoded.decode().ok()?;
    let clock = record.clock().entries().iter().map(|entry| (entry.actor.0, entry.counter));
    let siblings = record.siblings().iter().map(|sibling| SiblingSummary {
        actor: sibling.dot.actor.0,
        counter: sibling.dot.counter,
        write_id: sibling.write_id,
        value_bytes: match &sibling.content {
            Content::Value(value) => Some(value.bytes().len() as u32),
            Content::Tombstone => None,
        },
        written_at_ms: sibling.written_at_ms,
        expires_at_ms: sibling.expires_at_ms,
    });
    let (clock, siblings) = (clock.collect(), siblings.collect());
    Some(RecordSummary { digest: encoded.digest(), clock, siblings })
}
