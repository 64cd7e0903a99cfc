//! Checks that a frame's layout can't make: limits, records, rings, properties.
//!
//! Invariant: every key, mark, record, layout and gossiped setting in a frame that passed is within the
//! limits and well formed. What a client may get wrong by mistake (quorums, timeouts, the names that an
//! admin types) is left to the node, which answers with an error instead of ending the connection.

use jedlik_vclock::Content;

use crate::access::AccessEntry;
use crate::admin::{AdminRequest, AdminResponse};
use crate::bucket::BucketEntry;
use crate::client::{ClientRequest, ClientResponse, ScanMark, ScanOf};
use crate::error::DecodeError;
use crate::frame::Frame;
use crate::gossip::{Delta, Gossip, MemberRecord, StagedChange, Staging};
use crate::inspection::RecordSummary;
use crate::key::check_bucket;
use crate::limits::{
    ADMIN_LIST_MAX, ADMIN_TEXT_BYTES, CLOCK_ENTRIES_MAX, DEPARTED_MAX, DIGEST_PAGE_RECORDS,
    HINT_TARGETS_MAX, RECORD_MAX_BYTES, SCAN_PAGE_RECORDS, SIBLINGS_MAX,
};
use crate::peer::{DigestEntry, DigestPage, Page, PeerRequest, PeerResponse, ScannedPage};
use crate::{Attributes, EncodedRecord, Key, Layout, PartitionSet, Value, WireLayout};

/// The most partitions of any ring.
const PARTITIONS_MAX: u32 = 65_536;

/// The most active layouts: rivals come on top of those that an admin may commit.
const ACTIVE_LAYOUTS_MAX: usize = 1024;

/// The most hints of one key at one node: one for each member that it may stand in for.
const INSPECTED_HINTS_MAX: usize = 1024;

type Checked = Result<(), DecodeError>;

pub(crate) fn frame(frame: &Frame) -> Checked {
    match frame {
        Frame::ClientRequest { request, .. } => client_request(request),
        Frame::ClientResponse { response, .. } => client_response(response),
        Frame::PeerRequest { terms, request, .. } => {
            at_most("layouts", terms.layouts.older.len(), ACTIVE_LAYOUTS_MAX)?;
            peer_request(request)
        }
        Frame::PeerResponse { response, .. } => peer_response(response),
        Frame::Coming { .. } | Frame::Withdraw { .. } => Ok(()),
        Frame::Gossip(gossip) => match gossip {
            Gossip::Offer(sender, _, _) | Gossip::Recall(sender) => member(sender),
            Gossip::Recalled { record, .. } => record.as_deref().map_or(Ok(()), member),
            Gossip::Exchange(delta, _) | Gossip::Close(delta) => news(delta),
            Gossip::Fenced(layout, left) => {
                placed(layout)?;
                left.as_deref().map_or(Ok(()), member)
            }
            Gossip::Same
            | Gossip::Differ(_)
            | Gossip::Probe { .. }
            | Gossip::Alive { .. }
            | Gossip::ProbeFor { .. } => Ok(()),
        },
    }
}

fn client_request(request: &ClientRequest) -> Checked {
    match request {
        ClientRequest::Get(get) => Ok(get.key.check()?),
        ClientRequest::Put(put) => {
            put.key.check()?;
            content(&put.content)
        }
        ClientRequest::Scan(scan) => {
            if let ScanOf::Bucket(bucket) = &scan.of {
                check_bucket(bucket)?;
            }
            mark(scan.after.as_ref())
        }
        ClientRequest::Admin(request) => admin_request(request),
        ClientRequest::Topology => Ok(()),
    }
}

/// Refuses attributes that nobody could read back: no client of this version makes such.
fn content(content: &Content<Value>) -> Checked {
    match content {
        Content::Value(value) => Attributes::decode(value.encoded_attributes()).map(|_| ()),
        Content::Tombstone => Ok(()),
    }
}

/// Checks only what no tool sends, which ends the connection. What an admin can mistype is answered by the node.
fn admin_request(request: &AdminRequest) -> Checked {
    match request {
        AdminRequest::Explain { key } => Ok(key.check()?),
        AdminRequest::Stage { changes, .. } => {
            at_most("staged changes", changes.len(), ADMIN_LIST_MAX)?;
            changes.iter().try_for_each(|(_, change)| zone(change))
        }
        AdminRequest::Unstage { nodes } => at_most("nodes", nodes.len(), ADMIN_LIST_MAX),
        AdminRequest::BucketShow { name } => text(name),
        AdminRequest::AccessSet(entry) => {
            text(entry.subject.name().as_bytes())?;
            at_most("grants", entry.grants.len(), ADMIN_LIST_MAX)?;
            entry.grants.iter().try_for_each(|grant| text(&grant.prefix))
        }
        AdminRequest::AccessRevoke(subject) => text(subject.name().as_bytes()),
        AdminRequest::BucketSet { name, changes } => {
            text(name)?;
            at_most("properties", changes.len(), ADMIN_LIST_MAX)?;
            changes.iter().try_for_each(|(name, value)| {
                text(name.as_bytes())?;
                text(value.as_bytes())
            })
        }
        _ => Ok(()),
    }
}

fn zone(change: &StagedChange) -> Checked {
    match change {
        StagedChange::Join { zone, .. }
        | StagedChange::Replace { zone, .. }
        | StagedChange::Set { zone: Some(zone), .. } => text(zone.as_bytes()),
        StagedChange::Leave | StagedChange::Remove | StagedChange::Set { zone: None, .. } => Ok(()),
    }
}

/// Limits a text that an admin may have typed in length alone, whatever it says.
fn text(text: &[u8]) -> Checked {
    at_most("bytes of text", text.len(), ADMIN_TEXT_BYTES)
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Checked {
    if count <= limit { Ok(()) } else { Err(DecodeError::TooMany { what, count, limit }) }
}

fn client_response(response: &ClientResponse) -> Checked {
    match response {
        ClientResponse::Scanned(scanned) => mark(scanned.next.as_ref()),
        ClientResponse::Topology(topology) => topology.layout.as_ref().map_or(Ok(()), layout),
        ClientResponse::Admin(AdminResponse::Layouts(layouts)) => {
            layouts.iter().try_for_each(placed)
        }
        ClientResponse::Admin(AdminResponse::Staged(staged)) => staging(staged),
        ClientResponse::Got(_)
        | ClientResponse::Put(_)
        | ClientResponse::Admin(_)
        | ClientResponse::Failed(_) => Ok(()),
    }
}

fn peer_request(request: &PeerRequest) -> Checked {
    match request {
        PeerRequest::Write { key, record, .. } | PeerRequest::Deliver { key, record } => {
            key.check()?;
            encoded(record)
        }
        PeerRequest::Hint { key, record, targets, .. } => {
            key.check()?;
            if !(1..=HINT_TARGETS_MAX).contains(&targets.len()) {
                return Err(DecodeError::Malformed { what: "hint" });
            }
            encoded(record)
        }
        PeerRequest::Revise { key, record, .. } => {
            key.check()?;
            record.as_ref().map_or(Ok(()), encoded)
        }
        PeerRequest::Read { key, .. }
        | PeerRequest::Compare { key, .. }
        | PeerRequest::Inspect { key } => Ok(key.check()?),
        PeerRequest::Hashes { .. } | PeerRequest::Vote { .. } => Ok(()),
        PeerRequest::Digests { after, .. } | PeerRequest::Fetch { after, .. } => {
            mark(after.as_ref())
        }
        PeerRequest::Scan { bucket, after, .. } => {
            bucket.as_ref().map_or(Ok(()), |bucket| check_bucket(bucket))?;
            mark(after.as_ref())
        }
        PeerRequest::Forward(request) => client_request(request),
    }
}

fn peer_response(response: &PeerResponse) -> Checked {
    match response {
        PeerResponse::Read(record) | PeerResponse::Unknown { record, .. } => {
            record.as_ref().map_or(Ok(()), encoded)
        }
        PeerResponse::Page(told) => page(told),
        PeerResponse::Scanned(ScannedPage { page: told, damaged, .. }) => {
            at_most("damaged keys in a page", damaged.len(), SCAN_PAGE_RECORDS as usize)?;
            damaged.iter().try_for_each(Key::check)?;
            page(told)
        }
        PeerResponse::Forwarded(response) => client_response(response),
        PeerResponse::Digests(DigestPage { digests, until }) => {
            at_most("digests in a page", digests.len(), DIGEST_PAGE_RECORDS as usize)?;
            digests.iter().try_for_each(|(key, told)| entry(key, told))?;
            mark(until.as_ref())
        }
        PeerResponse::Inspected(inspection) => {
            at_most("hints", inspection.hints.len(), INSPECTED_HINTS_MAX)?;
            let hints = inspection.hints.iter().map(|hint| &hint.record);
            inspection.record.iter().chain(hints).try_for_each(summary)
        }
        PeerResponse::Written
        | PeerResponse::Same
        | PeerResponse::Vote { .. }
        | PeerResponse::Delivered { .. }
        | PeerResponse::Hashes(_)
        | PeerResponse::Compared(_)
        | PeerResponse::Revised(_)
        | PeerResponse::Refused(_) => Ok(()),
    }
}

pub(crate) fn news(delta: &Delta) -> Checked {
    delta.members.iter().try_for_each(member)?;
    delta.buckets.iter().try_for_each(bucket)?;
    delta.access.iter().try_for_each(access)?;
    delta.layouts.iter().try_for_each(placed)?;
    delta.flips.iter().try_for_each(|(_, flipped)| partitions(flipped, PARTITIONS_MAX))?;
    delta.staging.as_ref().map_or(Ok(()), staging)
}

fn placed(placed: &WireLayout) -> Checked {
    layout(&placed.layout)?;
    partitions(&placed.flipped, placed.layout.ring.partitions().get())
}

fn staging(staging: &Staging) -> Checked {
    let ordered = staging.changes.is_sorted_by(|a, b| a.0 < b.0);
    let weighted = |change: &StagedChange| match change {
        StagedChange::Join { weight, .. } => *weight > 0,
        StagedChange::Set { weight, .. } => *weight != Some(0),
        StagedChange::Leave | StagedChange::Remove | StagedChange::Replace { .. } => true,
    };
    if ordered && staging.changes.iter().all(|(_, change)| weighted(change)) {
        Ok(())
    } else {
        Err(DecodeError::Malformed { what: "staging" })
    }
}

fn partitions(set: &PartitionSet, count: u32) -> Checked {
    let malformed = DecodeError::Malformed { what: "set of partitions" };
    if set.is_well_formed(count) { Ok(()) } else { Err(malformed) }
}

/// Refuses a weight of 0: no ring takes it, so one such member would keep every node from planning.
fn member(record: &MemberRecord) -> Checked {
    if record.weight == 0 {
        return Err(DecodeError::Malformed { what: "member" });
    }
    partitions(&record.ready.partitions, PARTITIONS_MAX)
}

fn bucket(entry: &BucketEntry) -> Checked {
    check_bucket(&entry.name)?;
    entry.props.check().map_err(|_| DecodeError::Malformed { what: "bucket entry" })
}

fn access(entry: &AccessEntry) -> Checked {
    entry.check().map_err(|_| DecodeError::Malformed { what: "access entry" })
}

fn summary(summary: &RecordSummary) -> Checked {
    at_most("clock entries", summary.clock.len(), CLOCK_ENTRIES_MAX)?;
    at_most("siblings", summary.siblings.len(), SIBLINGS_MAX)
}

/// Limits the records of a page and what each of them holds: the time that a shard takes to merge and show them grows
/// with both.
fn page(Page { records, until }: &Page) -> Checked {
    at_most("records in a page", records.len(), SCAN_PAGE_RECORDS as usize)?;
    for (key, record) in records {
        key.check()?;
        encoded(record)?;
    }
    mark(until.as_ref())
}

fn encoded(record: &EncodedRecord) -> Checked {
    at_most("bytes in a record", record.bytes().len(), RECORD_MAX_BYTES)?;
    let record = record.decode()?;
    at_most("clock entries", record.clock().len(), CLOCK_ENTRIES_MAX)?;
    at_most("siblings", record.siblings().len(), SIBLINGS_MAX)
}

/// Refuses clocks whose entries are out of order, since comparisons of clocks rely on the order.
fn entry(key: &Key, entry: &DigestEntry) -> Checked {
    key.check()?;
    let Some(clock) = &entry.clock else { return Ok(()) };
    at_most("clock entries", clock.len(), CLOCK_ENTRIES_MAX)?;
    let malformed = DecodeError::Malformed { what: "clock" };
    if clock.is_well_formed() { Ok(()) } else { Err(malformed) }
}

/// Refuses a ring that is not well formed, since it would break the code that walks it.
fn layout(layout: &Layout) -> Checked {
    let ordered = layout.departed.is_sorted_by(|a, b| a.node < b.node);
    if !ordered || layout.departed.len() > DEPARTED_MAX {
        return Err(DecodeError::Malformed { what: "layout" });
    }
    layout.ring.check().map_err(|_| DecodeError::Malformed { what: "layout" })
}

fn mark(mark: Option<&ScanMark>) -> Checked {
    mark.map_or(Ok(()), |mark| Ok(mark.key.check()?))
}

#[cfg(test)]
mod tests;
